"""Records of a flight that grows, over a line: what went before does not go again, and the peer has all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flycam.model.flight import FlightState
from flycam.storage import keys
from flycam.sync import client, step_planner
from flycam.sync.manifest import ObjectKind
from flycam.sync.records import encode_flight_records, read_flight_records
from flycam.sync.step_planner import SyncStep
from tests.sync.boxes import Box, new_box
from tests.sync.lines import Wire, sync

FILM = "f" * 64


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ObjectKind, int]]:
    """Kind and size of all records that went."""
    found: list[tuple[ObjectKind, int]] = []
    whole = client.Sender._send

    def watched(self: client.Sender, step: SyncStep) -> object:
        items = [one for one in step.manifest.items if one.kind in (ObjectKind.RECORDS, ObjectKind.CHANGE)]
        found.extend((one.kind, one.size_bytes) for one in items)
        return whole(self, step)

    monkeypatch.setattr(client.Sender, "_send", watched)
    return found


def kinds(sent: list[tuple[ObjectKind, int]]) -> list[ObjectKind]:
    """What went since this was asked last."""
    found = [kind for kind, _ in sent]
    sent.clear()
    return found


def same_records(box: Box, province: Box) -> bool:
    """Whether the province has of the flight what the box has."""
    here, there = (
        read_flight_records(one.catalog, one.catalog.flights.flight("f1")) for one in (box, province)
    )
    return step_planner.simplify_footprints(here) == there


def test_of_a_flight_in_the_air_its_new_pictures_go(
    tmp_path: Path, sent: list[tuple[ObjectKind, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_planner, "_FIRST_FRAMES", 1)
    box, province = replace(new_box(tmp_path, "field"), film=FILM), new_box(tmp_path, "province")
    wire = Wire(province, tmp_path)
    for number in range(8):
        box.lay({number}, state=FlightState.INGESTING if number < 7 else FlightState.READY)
        sync(box, wire)
        assert province.tiles() == box.tiles()
        assert same_records(box, province)
    whole = len(encode_flight_records(read_flight_records(box.catalog, box.catalog.flights.flight("f1"))))
    assert sent[0][0] is ObjectKind.RECORDS and {kind for kind, _ in sent[1:]} == {ObjectKind.CHANGE}
    assert max(size for _, size in sent[-2:]) < 0.6 * whole
    for _ in range(2):  # hears that all of it is there, then names no other
        assert sync(box, wire).steps == 0
    assert len(list((box.workspace.cache_dir / "sent").iterdir())) == 1
    assert len(list(province.workspace.store.list(keys.format_peer_records_prefix()))) <= 2


def test_a_withdrawal_goes_alone(tmp_path: Path, sent: list[tuple[ObjectKind, int]]) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay(range(10))
    sync(box, Wire(province, tmp_path))
    assert sync(box, Wire(province, tmp_path)).steps == 0  # hears that all of it is there
    ((kind, whole),) = sent
    assert kind is ObjectKind.RECORDS
    sent.clear()
    box.withdraw(3)
    sync(box, Wire(province, tmp_path))
    ((kind, size),) = sent
    assert kind is ObjectKind.CHANGE and size < whole / 3
    assert province.tiles() == box.tiles() and same_records(box, province)
