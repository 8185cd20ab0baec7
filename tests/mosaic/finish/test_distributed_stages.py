"""A finish in squares: by a cluster of one worker, in this process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from flycam.errors import Cancelled
from flycam.mosaic.cluster import run as cluster_run
from flycam.mosaic.finish.workflow import FinishRequest
from flycam.storage import keys
from tests.clusters import InThisProcess
from tests.finished_house import NAME, make_finished, tiles_of
from tests.finishing import finish_flight

_REQUEST = FinishRequest(report=False, dsm_spacing_m=4.0)


@pytest.mark.slow
def test_stopped_on_a_cluster_it_goes_on_without_to_the_same_tiles_surface_and_all(
    drill: DrillReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_run, "_ZOOMS_ABOVE", 1)
    alone = make_finished(tmp_path / "alone", drill, _REQUEST)
    workspace = alone.copy(tmp_path / "house", finished=False)
    cluster = InThisProcess(workspace)
    squares_done = 0

    def stopped() -> bool:
        return squares_done > 1

    def watch(stage: str, _done: int, _total: int) -> None:
        nonlocal squares_done
        squares_done += stage == "blend"

    with pytest.raises(Cancelled):
        finish_flight(replace(workspace, cluster=cluster), NAME, _REQUEST, watch, stopped)
    flight_id = alone.report.flight.flight_id
    objects = workspace.store.list(keys.format_cluster_run_prefix(flight_id))
    names = [key.rpartition("/")[2] for key in objects]
    assert sum(name.startswith("features-") for name in names) == drill.frames
    assert sum(name.startswith("pair-") for name in names) >= drill.frames
    begun = tiles_of(workspace, alone.mosaic_id, 1)
    assert 0 < len(begun) < len(tiles_of(alone.workspace, alone.mosaic_id, 1))

    finish_flight(workspace, NAME, _REQUEST)
    assert tiles_of(workspace, alone.mosaic_id, 1) == tiles_of(alone.workspace, alone.mosaic_id, 1)
