"""`flycam sync` as it is used: real processes, a thin line, and either side killed at random moments."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flycam.catalog.catalog import open_catalog
from flycam.drill.drill import DrillReport
from flycam.store.opening import open_store
from tests.attack.commands import Operator
from tests.attack.uploading import CuttingProxy, ServerProcess
from tests.lines import ThinLine

_TRIALS = {"test": 3, "soak": 40}


@pytest.fixture
def field(drill: DrillReport, tmp_path: Path) -> Operator:
    """A box that laid the drill's photos."""
    made = Operator(tmp_path / "field", {"FLYCAM_BOX": "field"})
    assert made("ingest", drill.photos, "--dem", drill.dem).exit_code == 0
    return made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    made = ServerProcess(Operator(tmp_path / "province", {"FLYCAM_BOX": "province"}))
    made.start()
    yield made
    made.end()


def flight_of(field: Operator) -> str:
    with open_catalog(f"sqlite:///{field.data / 'catalog.sqlite'}") as catalog:
        return catalog.flights.flights()[0].flight_id


def kept(operator: Operator, prefix: str) -> list[str]:
    with closing(open_store((operator.data / "store").as_uri())) as store:
        return list(store.list(prefix))


@pytest.mark.slow
def test_a_line_that_is_cut_again_and_again(field: Operator, server: ServerProcess) -> None:
    flight_id = flight_of(field)
    proxy = CuttingProxy(server.port, total=600_000, cuts=6, seed=3)
    said = field("sync", f"http://127.0.0.1:{proxy.port}", "--once")
    proxy.close()
    assert said.exit_code == 0, said.stderr
    assert proxy.cuts > 2
    assert said.json["left"] == 0
    assert server.operator.tiles(flight_id) == field.tiles(flight_id)


@pytest.mark.slow
def test_a_thin_line_with_an_outage_carries_little_more_than_the_tiles(
    field: Operator, server: ServerProcess, drill: DrillReport
) -> None:
    with ThinLine(server.port, bytes_s=400_000, round_trip_s=0.2, outages=[(1.0, 3.0)], loss=0.02) as line:
        said = field("sync", line.url, "--once")
        passed = sum(line.passed.values())
    assert said.exit_code == 0, said.stderr
    flight_id = flight_of(field)
    assert server.operator.tiles(flight_id) == field.tiles(flight_id)
    assert passed <= said.json["sent"]
    assert passed <= 1.2 * said.json["tile_bytes"]
    with_photos = field("sync", server.url, "--once", "--photos").json
    assert (with_photos["left"], with_photos["tiles"]) == (0, 0)
    assert with_photos["originals"] == len(list(drill.photos.iterdir()))
    assert set(kept(server.operator, "evidence/")) < set(kept(field, "evidence/"))  # the DEM stays
    assert kept(server.operator, "terrain/") == kept(field, "terrain/")


@pytest.mark.slow
@pytest.mark.parametrize("size", ["test", pytest.param("soak", marks=pytest.mark.soak)])
def test_either_side_killed_at_any_moment(
    field: Operator, server: ServerProcess, tmp_path: Path, size: str
) -> None:
    flight_id = flight_of(field)
    whole = field.tiles(flight_id)
    choose = random.Random(20240912)
    for trial in range(_TRIALS[size]):
        there = ServerProcess(
            Operator(tmp_path / f"province-{trial}", {"FLYCAM_BOX": "province"}), port=server.port
        )
        server.end()
        server = there
        server.start()
        with ThinLine(server.port, bytes_s=400_000, round_trip_s=0.05) as line:
            box = field.start("sync", line.url, "--once")
            time.sleep(choose.uniform(1.5, 6.0))
            if trial % 2:
                box.send_signal(signal.SIGKILL)
                box.communicate()
                box = field.start("sync", line.url, "--once")
            else:
                server.end(signal.SIGKILL)
                server.start()
            out, err = box.communicate(timeout=120)
        assert box.returncode == 0, err
        assert json.loads(out.strip().splitlines()[-1])["left"] == 0
        assert there.operator.tiles(flight_id) == whole
    server.end()
    print(f"{_TRIALS[size]} exchanges, a side of each killed")
