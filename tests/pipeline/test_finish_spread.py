"""A finish in squares: by a cluster of one worker, in this process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flycam.drill.drill import DrillReport
from flycam.errors import Cancelled
from flycam.pipeline import squares
from flycam.pipeline.finish import FinishRequest, finish
from flycam.store import keys
from tests.clusters import InThisProcess
from tests.pipeline.finished_house import NAME, make_finished, tiles_of

_REQUEST = FinishRequest(report=False)


@pytest.mark.slow
def test_stopped_on_a_cluster_it_goes_on_without_to_the_same_tiles_surface_and_all(
    drill: DrillReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(squares, "_ZOOMS_ABOVE", 1)
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
        finish(replace(workspace, cluster=cluster), NAME, _REQUEST, watch, stopped)
    flight_id = alone.report.flight.flight_id
    kept = [key.rpartition("/")[2] for key in workspace.store.list(keys.spread_prefix(flight_id))]
    assert sum(name.startswith("features-") for name in kept) == drill.frames
    assert sum(name.startswith("pair-") for name in kept) >= drill.frames
    begun = tiles_of(workspace, alone.mosaic_id, 1)
    assert 0 < len(begun) < len(tiles_of(alone.workspace, alone.mosaic_id, 1))

    finish(workspace, NAME, _REQUEST)
    assert tiles_of(workspace, alone.mosaic_id, 1) == tiles_of(alone.workspace, alone.mosaic_id, 1)


def test_what_a_worker_kept_is_not_sought_again(
    drill: DrillReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = make_finished(tmp_path / "alone", drill, replace(_REQUEST, surface=False))
    workspace = alone.copy(tmp_path / "house", finished=False)
    shared = replace(workspace, cluster=InThisProcess(workspace))
    with monkeypatch.context() as patched:
        patched.setattr("flycam.pipeline.finish_stages.overviews_by_workers", _stop)
        with pytest.raises(Cancelled):
            finish(shared, NAME, replace(_REQUEST, surface=False))
    # ties are a stage file by now; without it the features in the store are found
    for stage in workspace.cache_dir.rglob("ties.stage"):
        stage.unlink()
    monkeypatch.setattr("flycam.adjust.ties.find_features", _never)
    monkeypatch.setattr("flycam.adjust.ties.match_pair", _never)
    finish(shared, NAME, replace(_REQUEST, surface=False))
    assert tiles_of(workspace, alone.mosaic_id, 1) == tiles_of(alone.workspace, alone.mosaic_id, 1)
    assert not list(workspace.store.list(keys.spread_prefix(alone.report.flight.flight_id)))


def _stop(*_: object) -> None:
    raise Cancelled("killed here")


def _never(*_: object, **__: object) -> None:
    raise AssertionError("sought again")
