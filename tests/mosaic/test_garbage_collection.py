"""Old tile states and clips are collected after their grace; evidence and what is in use never are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from flycam.board.layers import register_communes
from flycam.drill.photo_drill import DrillReport
from flycam.errors import Cancelled, NotFound
from flycam.ingest.batch import ingest
from flycam.ingest.preflight_check import PreflightRequest
from flycam.mosaic.amendments import withdraw_by_reference
from flycam.mosaic.eviction import DAY_S, collect_garbage
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.terrain import register_dem, remove_dem
from flycam.mosaic.tiles.codec import read_tile
from flycam.originals import fetch_local_copy
from flycam.storage import keys
from flycam.storage.keys import SETUP_CODE_FILE
from flycam.workspace import Workspace
from tests.clips import cut_all
from tests.finished_house import QUICK, Finished, finish_quickly, make_finished, open_workspace
from tests.once import copied_once

REQUEST = replace(QUICK, report=False)
START_NS = 1_800_000_000 * 10**9


@dataclass
class Clock:
    s: float = 0.0

    def __call__(self) -> int:
        return START_NS + int(self.s * 1e9)


@dataclass
class Reprocessed:
    """A flight that was laid again on the second day: it has old tiles and old clips."""

    workspace: Workspace
    clock: Clock
    flight_id: str

    @property
    def objects(self) -> set[str]:
        return set(self.workspace.store.list(""))

    def in_use(self) -> set[str]:
        catalog = self.workspace.catalog
        heads = {head.key for head in catalog.tiles.heads(f"{self.flight_id}-colour", 0)}
        return heads | {c.clip_key for c in catalog.boundaries.coverage(self.flight_id) if c.clip_key}

    def permanent(self) -> set[str]:
        return {key for key in self.objects if keys.is_permanent(key)}


def reprocess_once(drill: DrillReport, root: Path) -> Reprocessed:
    """A copy of one that was made once."""
    clock = Clock()

    def make(folder: Path) -> str:
        workspace = replace(open_workspace(folder), clock_ns=clock)
        register_communes(workspace, drill.communes)
        request = PreflightRequest(paths=(drill.photos,))
        flight_id = ingest(workspace, request, FlightLabels()).flight.flight_id
        cut_all(workspace, flight_id)
        clock.s = 2 * DAY_S
        register_dem(workspace, drill.dem)
        ingest(workspace, request, FlightLabels())
        cut_all(workspace, flight_id)
        workspace.catalog.close()
        return flight_id

    flight_id = copied_once("reprocessed", make, root)
    clock.s = 2 * DAY_S
    return Reprocessed(replace(open_workspace(root), clock_ns=clock), clock, flight_id)


@pytest.fixture
def flight(drill: DrillReport, tmp_path: Path) -> Reprocessed:
    return reprocess_once(drill, tmp_path / "house")


def test_nothing_goes_within_the_grace_and_only_what_is_old_after_it(flight: Reprocessed) -> None:
    before, evidence, in_use = flight.objects, flight.permanent(), flight.in_use()
    assert in_use < before
    flight.clock.s = (2.0 + 6.9) * DAY_S
    early = collect_garbage(flight.workspace)
    assert (early.tiles, early.clips, early.freed_bytes) == (0, 0, 0) and early.within_grace > 0
    assert flight.objects == before
    flight.clock.s = (2.0 + 7.1) * DAY_S
    tried = collect_garbage(flight.workspace, dry_run=True)
    assert flight.objects == before
    done = collect_garbage(flight.workspace)
    assert (done.tiles, done.clips, done.freed_bytes) == (tried.tiles, tried.clips, tried.freed_bytes)
    assert done.tiles > 0 and done.clips > 0 and done.within_grace == 0
    assert done.tiles + done.clips == early.within_grace
    assert flight.objects == evidence | in_use
    again = collect_garbage(flight.workspace)
    assert (again.tiles, again.clips) == (0, 0)
    for head in flight.workspace.catalog.tiles.heads(f"{flight.flight_id}-colour", 0):
        read_tile(flight.workspace.store, head)
    assert [line.what for line in flight.workspace.catalog.audit.lines()].count("collect") == 1


def test_tiles_and_clips_of_a_withdrawn_flight_go_its_evidence_stays(flight: Reprocessed) -> None:
    withdraw_by_reference(flight.workspace, flight.flight_id, "doanh trại", "UBND")
    evidence = flight.permanent()
    flight.clock.s = 30.0 * DAY_S
    collect_garbage(flight.workspace)
    assert flight.permanent() == evidence and any(key.startswith("evidence/") for key in evidence)
    heads = flight.workspace.catalog.tiles.heads(f"{flight.flight_id}-colour", 0)
    assert flight.objects - evidence == {head.key for head in heads}
    assert all(not read_tile(flight.workspace.store, head).frames for head in heads)


def test_what_the_log_never_named_is_left_alone(flight: Reprocessed) -> None:
    strangers = {f"mosaics/{flight.flight_id}-colour/r0/20/1/2-abc.tile", "mosaics/other/r0/20/1/2-abc.tile"}
    for key in strangers:
        flight.workspace.store.put(key, b"of another catalogue")
    flight.clock.s = 30.0 * DAY_S
    assert collect_garbage(flight.workspace).tiles > 0
    assert strangers < flight.objects


def test_a_state_that_came_back_is_not_old(flight: Reprocessed) -> None:
    tiles = flight.workspace.catalog.tiles
    mosaic_id = f"{flight.flight_id}-colour"
    first = next(
        line
        for line in tiles.log_since(mosaic_id, 0)
        if (head := tiles.head(mosaic_id, 0, line.tile_id)) and head.key != line.key
    )
    head = tiles.head(mosaic_id, 0, first.tile_id)
    assert head is not None
    tiles.append([first], {first.tile_id: head.content_hash})
    flight.clock.s = 30.0 * DAY_S
    collect_garbage(flight.workspace)
    assert first.key in flight.objects and head.key not in flight.objects


def test_terrain_taken_off_the_list_leaves_its_trace_and_what_was_laid_on_it(
    flight: Reprocessed, drill: DrillReport
) -> None:
    (dem,) = flight.workspace.catalog.terrain.dems()
    before, in_use = flight.objects, flight.in_use()
    assert remove_dem(flight.workspace, "dem.tif") == dem
    assert flight.workspace.catalog.terrain.dems() == []
    assert flight.objects == before
    line = flight.workspace.catalog.audit.lines()[-1]
    assert (line.what, line.subject) == ("dem remove", dem.dem_id) and dem.sha256 in line.detail
    frame_id = flight.workspace.catalog.frames.list_for_flight(flight.flight_id)[0].frame_id
    assert withdraw_by_reference(flight.workspace, frame_id, "nhà dân", "UBND").tiles > 0, (
        "recorded terrain is read back"
    )
    assert flight.in_use() != in_use
    with pytest.raises(NotFound, match="dem list"):
        remove_dem(flight.workspace, dem.dem_id)
    register_dem(flight.workspace, drill.dem)
    assert remove_dem(flight.workspace, dem.dem_id[:8]).dem_id == dem.dem_id


def test_tiles_of_retired_revisions_go_and_those_on_show_stay(finished: Finished, tmp_path: Path) -> None:
    """The first is retired by a withdrawal, the second without that frame is on show."""
    workspace = finished.copy(tmp_path / "house")
    frame = workspace.catalog.frames.list_for_flight(finished.report.flight.flight_id)[0]
    withdraw_by_reference(workspace, frame.frame_id, "nhà dân", "UBND tỉnh")
    finish_quickly(workspace, request=REQUEST)
    old, new = (workspace.catalog.tiles.heads(finished.mosaic_id, number) for number in (1, 2))
    assert old and new
    assert collect_garbage(workspace).tiles == 0
    done = collect_garbage(workspace, grace_s=0.0)
    assert done.tiles >= len(old)
    assert not [head for head in old if workspace.store.exists(head.key)]
    for head in (*new, *workspace.catalog.tiles.heads(finished.mosaic_id, 0)):
        read_tile(workspace.store, head)


def test_what_a_stopped_finish_left_on_disk_goes_after_the_grace(finished: Finished, tmp_path: Path) -> None:
    workspace = finished.copy(tmp_path / "house", finished=False)
    with pytest.raises(Cancelled):
        finish_quickly(workspace, cancelled=stop_at_the_second_report())
    killed = workspace.cache_dir / "tmpkilled" / "DJI_0001.JPG"
    photo = workspace.cache_dir / "evidence" / ("0" * 64) / "DJI_0001.JPG"
    code = workspace.cache_dir / SETUP_CODE_FILE
    code.write_text("not used yet")
    for path in (killed, photo):
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(1000))
    (dem,) = workspace.catalog.terrain.dems()
    terrain = fetch_local_copy(workspace, dem.sha256, dem.name)
    stages = workspace.cache_dir / "finish" / finished.report.flight.flight_id
    assert list(stages.iterdir())
    assert collect_garbage(workspace, grace_s=0.0).local_bytes == 0, "somebody may be reading them now"
    later = replace(workspace, clock_ns=lambda: time.time_ns() + int(8 * DAY_S * 1e9))
    with workspace.catalog.flights.lock(f"finish-{finished.report.flight.flight_id}"):
        tried = collect_garbage(later, dry_run=True)
        assert tried.local_bytes == 2000
        assert list(stages.iterdir()), "somebody goes on with it now"
    assert collect_garbage(later).local_bytes >= 2000
    assert code.exists() and terrain.exists() and not killed.exists() and not photo.exists()
    assert not list(stages.iterdir())


def stop_at_the_second_report() -> Callable[[], bool]:
    answers = iter([False])
    return lambda: next(answers, True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, drill: DrillReport) -> Finished:
    return make_finished(tmp_path_factory.mktemp("finished"), drill, REQUEST)
