"""A finish in squares: by a cluster of one worker, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flycam.drill.photo_drill import DrillReport
from flycam.errors import Cancelled, FlightBusy
from flycam.mosaic.cluster import run as cluster_run
from flycam.mosaic.cluster.run import JobOrder, TaskAttempt, note_attempt, run_task
from flycam.mosaic.finish.tile_blending import TileBlockBlender
from flycam.mosaic.finish.workflow import FinishRequest
from flycam.storage import keys
from flycam.workspace import Workspace
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
    kept = [key.rpartition("/")[2] for key in workspace.store.list(keys.format_cluster_run_prefix(flight_id))]
    assert sum(name.startswith("features-") for name in kept) == drill.frames
    assert sum(name.startswith("pair-") for name in kept) >= drill.frames
    begun = tiles_of(workspace, alone.mosaic_id, 1)
    assert 0 < len(begun) < len(tiles_of(alone.workspace, alone.mosaic_id, 1))

    finish_flight(workspace, NAME, _REQUEST)
    assert tiles_of(workspace, alone.mosaic_id, 1) == tiles_of(alone.workspace, alone.mosaic_id, 1)


class ThoughtDead(InThisProcess):
    """Its first square was given on before it had made it; the tiles that were written all the same."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._workspace = workspace
        self.refused = 0

    def run(self, order: JobOrder, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        if order.job is TileBlockBlender:
            first, second = (TaskAttempt(key=f"{order.key}-alone-0", number=number) for number in (1, 2))
            note_attempt(self._workspace.store, second)
            before = self._written(order)
            with pytest.raises(FlightBusy, match="another worker"):
                run_task(order, tasks[0], first)
            assert self._written(order) == before
            self.refused += 1
            run_task(order, tasks[0], second)
            self._workspace.store.delete(second.key)  # the others' turns are first ones
        yield from super().run(order, tasks)

    def _written(self, order: JobOrder) -> int:
        return len(self._workspace.catalog.tiles.log_since(f"{order.flight_id}-colour", 0, 100_000))


@pytest.mark.soak
def test_a_square_that_was_given_on_is_not_written_by_who_had_it(drill: DrillReport, tmp_path: Path) -> None:
    request = replace(_REQUEST, surface=False)
    alone = make_finished(tmp_path / "alone", drill, request)
    workspace = alone.copy(tmp_path / "house", finished=False)
    cluster = ThoughtDead(workspace)
    finish_flight(replace(workspace, cluster=cluster), NAME, request)
    assert cluster.refused == 1
    assert tiles_of(workspace, alone.mosaic_id, 1) == tiles_of(alone.workspace, alone.mosaic_id, 1)


def _never(*_: object, **__: object) -> None:
    raise AssertionError("sought again")
