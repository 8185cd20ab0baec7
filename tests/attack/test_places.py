"""A field and a province, each in a network of its own, and the one link between them cut and restored."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from tests.attack.commands import Operator
from tests.attack.exchanges import admitted, common, flight_of, kept, masts
from tests.attack.places import Link, two_places
from tests.waiting import ENOUGH_S, until

_PORT = 8000


@pytest.fixture
def province(drill: DrillReport, tmp_path: Path) -> Operator:
    """A province with ground and a layer."""
    made = Operator(tmp_path / "province", {"FLYCAM_BOX": "province"}).with_ground(drill)
    assert made("layers", "add", masts(tmp_path / "masts.json", 200), "--kind", "mast").exit_code == 0
    return made


@pytest.fixture
def field(province: Operator, drill: DrillReport, tmp_path: Path) -> Operator:
    """A box that laid the drill's photos, with a token for the province."""
    made = Operator(tmp_path / "field", {"FLYCAM_BOX": "field"}).with_flight(drill)
    return admitted(made, province, "box-1")


@contextmanager
def ended(*processes: subprocess.Popen[str]) -> Iterator[None]:
    """Processes that go on until they are ended."""
    try:
        yield
    finally:
        for one in processes:
            one.terminate()
            one.communicate(timeout=ENOUGH_S)


def wait_for(what: Callable[[], object], seconds: float = 300.0) -> None:
    until(what, within_s=seconds, every_s=0.1)


def tiles_given(province: Operator) -> int:
    """How many states of tiles have come."""
    return len(kept(province, "sync/tiles/"))


def exchanged(link: Link, province: Operator, field: Operator, url: str) -> dict[str, object]:
    """What `sync` says at its end; the link is cut for a while once a tile came."""
    sender = link.start(link.field, field, "sync", url, "--once")
    wait_for(lambda: sender.poll() is not None or tiles_given(province))
    assert sender.poll() is None, sender.communicate()
    link.cut()
    time.sleep(1.5)
    link.restore()
    out, err = sender.communicate(timeout=800)
    assert sender.returncode == 0, err
    said: dict[str, object] = json.loads(out.strip().splitlines()[-1])
    return said


def require_equal(province: Operator, field: Operator, said: dict[str, object]) -> None:
    flight_id = flight_of(field)
    assert (said["left"], said["left_there"], said["kept"], said["apart"]) == (0, 0, [], [])
    assert province.tiles(flight_id) == field.tiles(flight_id)
    assert common(field) == common(province)


@pytest.mark.slow
def test_a_link_that_is_cut_and_restored(province: Operator, field: Operator) -> None:
    with two_places("2mbit") as link:
        server = link.start(link.province, province, "serve", "--host", link.address, "--port", _PORT)
        with ended(server):
            said = exchanged(link, province, field, f"http://{link.address}:{_PORT}")
    require_equal(province, field, said)
