"""What goes first: news before what was begun, photos last of all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flycam.storage import keys
from flycam.sync import client
from flycam.sync.client import TransferLimits
from flycam.sync.exchange import ObjectKind
from tests.suites.catalog_suite import photo_of
from tests.sync.boxes import Box, new_box, record
from tests.sync.lines import Said, Wire


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of a tile or two."""
    for name in ("_FIRST_STEP_BYTES", "_MIN_STEP_BYTES", "_MAX_STEP_BYTES"):
        monkeypatch.setattr(client, name, 4 << 10)


def photographed(box: Box, numbers: set[int], flight_id: str = "f1") -> list[str]:
    """The box has the photos of these frames as well; their SHA-256."""
    box.lay(numbers, flight_id)
    names = []
    for number in sorted(numbers):
        name = record(number).header.provenance.source_sha256
        data = photo_of(number)
        assert hashlib.sha256(data).hexdigest() == name
        box.workspace.store.put(keys.format_original_key(name), data)
        names.append(name)
    return names


def kinds_taken(
    box: Box, province: Box, folder: Path, meanwhile: dict[ObjectKind, Callable[[], None]]
) -> list[str]:
    """What each step held that was taken in; what is given happens once, after the first of a kind."""
    taken: list[str] = []

    class Watched(Wire):
        def request_once(self, method: str, path: str, body: Any = None, **headers: str) -> Said:
            said = super().request_once(method, path, body, **headers)
            if method == "PUT" and said.status == 200:
                taken.append("+".join(sorted({one.kind.value for one in last[-1].manifest.items})))
                for kind in [one for one in meanwhile if one.value in taken[-1]]:
                    meanwhile.pop(kind)()
            return said

    last: list[Any] = []
    sender = client.Sender(
        box.workspace, Watched(province, folder), TransferLimits(originals=True), sleep=lambda _s: None
    )
    send = sender._send

    def noted(step: Any) -> Any:
        last.append(step)
        return send(step)

    sender._send = noted  # type: ignore[method-assign]
    sender.run_round()
    return taken


def test_a_withdrawal_waits_for_no_photo_and_no_tile(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    photographed(box, {0, 1, 2, 3})
    happens = {ObjectKind.TILE: lambda: box.withdraw(0), ObjectKind.ORIGINAL: lambda: box.withdraw(1)}
    taken = kinds_taken(box, province, tmp_path, happens)
    first_tile = next(n for n, one in enumerate(taken) if "tile" in one)
    assert "change" in taken[first_tile + 1]
    assert "change" in taken[taken.index("original") + 1]
    assert taken.count("original") <= 3  # of those withdrawn none goes any more, but the one that had gone
    assert province.tiles() == box.tiles()


def test_a_flight_that_was_laid_goes_before_the_photos(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    names = photographed(box, {0, 1, 2})
    taken = kinds_taken(box, province, tmp_path, {ObjectKind.ORIGINAL: lambda: box.lay({5}, "f2")})
    first_photo = taken.index("original")
    assert "records" in taken[first_photo + 1]
    assert taken[-1] == "original"
    assert taken.count("original") == len(names)
    assert province.tiles("f2") == box.tiles("f2")
