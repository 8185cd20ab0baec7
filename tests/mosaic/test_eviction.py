"""What gives way on a disk that is full, on a small file system of its own, and what never does."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from flycam.board.layers import register_communes
from flycam.catalog.flights import format_finish_lock
from flycam.drill.photo_drill import DrillReport
from flycam.drill.video_drill import VideoDrillReport
from flycam.errors import DiskFull
from flycam.ingest.batch import ingest
from flycam.ingest.inspection import PreflightRequest
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import orthorectify_video
from flycam.model.flight import FlightState
from flycam.model.warning import describe_warning
from flycam.mosaic.eviction import DAY_S, MIN_GRACE_S, enable_eviction, estimate_evictable, evict_derived
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.orthorectify.withdrawal import withdraw_by_reference
from flycam.mosaic.terrain import register_dem
from flycam.mosaic.tiles.codec import read_tile
from flycam.operations.verify import verify_objects
from flycam.storage import keys
from flycam.storage.disk_space import GROUP_BYTES, RESERVED_BYTES, Freed, get_free_bytes
from tests.attack.commands import in_ram
from tests.clips import cut_all
from tests.houses import House
from tests.mosaic import test_garbage_collection as collected

__all__ = ["in_ram"]

MakeHouse = Callable[..., House]
START_NS = 1_800_000_000 * 10**9
ALL = 1 << 50


@dataclass
class Clock:
    s: float = 0.0

    def __call__(self) -> int:
        return START_NS + int(self.s * 1e9)


@dataclass
class Laid(collected.Laid):
    """The same, on a disk of its own."""

    clock: Clock
    disk: Path

    def permanent(self) -> set[str]:
        return {key for key in self.objects if keys.is_permanent(key)}

    def fill(self, free: int) -> Path:
        """So many bytes are left on the disk."""
        filler = self.disk / "đầy"
        filler.unlink(missing_ok=True)
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, get_free_bytes(self.disk) - free)
        return filler

    def is_whole(self) -> bool:
        for head in self.workspace.catalog.tiles.heads(f"{self.flight_id}-colour", 0):
            read_tile(self.workspace.store, head)
        return verify_objects(self.workspace).unrepaired == []

    def audited(self) -> list[str]:
        return [line.detail for line in self.workspace.catalog.audit.lines() if line.what == "make room"]


def _laid(drill: DrillReport, house: House, disk: Path) -> Laid:
    clock = Clock()
    workspace = replace(house.workspace, clock_ns=clock)
    register_communes(workspace, drill.communes)
    request = PreflightRequest(paths=(drill.photos,))
    flight_id = ingest(workspace, request, FlightLabels()).flight.flight_id
    cut_all(workspace, flight_id)
    clock.s = 2 * DAY_S
    register_dem(workspace, drill.dem)
    ingest(workspace, request, FlightLabels())
    return Laid(workspace, clock, flight_id, disk)


@pytest.fixture
def laid(drill: DrillReport, in_ram: Callable[[str], Path], make_house: MakeHouse) -> Laid:
    """On a disk of 160 MB, which counts as low at all times."""
    disk = in_ram("160m")
    return _laid(drill, make_house(name=f"{disk.name}/nhà"), disk)


def test_old_states_and_clips_go_however_young_and_nothing_else(laid: Laid) -> None:
    before, evidence, in_use = laid.objects, laid.permanent(), laid.in_use()
    laid.clock.s += MIN_GRACE_S - 1
    assert evict_derived(laid.workspace, ALL) == Freed() == estimate_evictable(laid.workspace)
    assert laid.objects == before and laid.audited() == []
    laid.clock.s += 2
    counted = estimate_evictable(laid.workspace)
    assert laid.objects == before
    freed = evict_derived(laid.workspace, ALL)
    assert freed == counted and freed.tiles > 0 and freed.clips > 0
    assert laid.objects == evidence | in_use
    (line,) = laid.audited()
    assert f"{freed.tiles} tile states" in line and f"{freed.size_bytes} bytes" in line
    assert str(laid.disk) in line
    assert laid.is_whole()
    assert evict_derived(laid.workspace, ALL) == Freed() and len(laid.audited()) == 1


def test_what_is_past_its_grace_goes_first_and_no_more_than_is_needed(laid: Laid, drill: DrillReport) -> None:
    copy = laid.workspace.cache_dir / "killed"
    copy.mkdir(parents=True)
    (copy / "x").write_bytes(bytes(200_000))
    os.utime(copy / "x", ns=(START_NS, START_NS))
    os.utime(copy, ns=(START_NS, START_NS))
    laid.clock.s += 8 * DAY_S
    before = laid.objects
    laid.fill(50 << 20)
    freed = evict_derived(laid.workspace, (50 << 20) + 150_000)
    assert freed == Freed(copies=1, size_bytes=200_000) and not copy.exists()
    assert laid.objects == before
    freed = evict_derived(laid.workspace, (50 << 20) + 250_000)
    assert freed.tiles > 0 and freed.copies == 0
    assert laid.is_whole()


def test_a_flight_that_another_writes_or_finishes_is_left_alone(laid: Laid) -> None:
    laid.clock.s += 30 * DAY_S
    before, flights = laid.objects, laid.workspace.catalog.flights
    for name in (laid.flight_id, format_finish_lock(laid.flight_id)):
        with flights.lock(name):
            assert evict_derived(laid.workspace, ALL) == Freed()
            assert laid.objects == before
    with flights.lock(laid.flight_id):  # by the one who asks
        assert evict_derived(laid.workspace, ALL, laid.flight_id).tiles > 0
    assert laid.is_whole()


def test_stage_files_of_a_run_that_nobody_went_on_with_go_but_never_those_of_the_run_that_asks(
    laid: Laid,
) -> None:
    stage = laid.workspace.cache_dir / "finish" / laid.flight_id / "colour-abc" / "ties.stage"
    stage.parent.mkdir(parents=True)
    stage.write_bytes(bytes(1000))
    for path in (stage, stage.parent):
        os.utime(path, ns=(laid.clock(), laid.clock()))
    assert evict_derived(laid.workspace, ALL).copies == 0
    laid.clock.s += DAY_S + 1
    lock = format_finish_lock(laid.flight_id)
    with laid.workspace.catalog.flights.lock(lock):
        evict_derived(laid.workspace, ALL)
        evict_derived(laid.workspace, ALL, lock)
        assert stage.exists()
    assert evict_derived(laid.workspace, ALL) == Freed(copies=1, size_bytes=1000)
    assert not stage.parent.exists()


def test_an_ingest_on_a_full_disk_makes_room_for_itself_and_says_so(laid: Laid, card: Path) -> None:
    evidence = laid.permanent()
    laid.clock.s += MIN_GRACE_S + 1
    could = estimate_evictable(laid.workspace)
    laid.fill(RESERVED_BYTES - could.size_bytes // 2)
    with pytest.raises(DiskFull, match="no space left"):
        laid.workspace.require_disk_space()  # who frees nothing stops here
    enable_eviction(laid.workspace).require_disk_space()
    assert len(laid.audited()) == 1
    laid.fill(RESERVED_BYTES + GROUP_BYTES + (4 << 20))
    withdraw_by_reference(laid.workspace, laid.flight_id, "doanh trại", "UBND")
    laid.clock.s += MIN_GRACE_S + 1
    report = ingest(laid.workspace, PreflightRequest(paths=(card,)), FlightLabels())
    assert any("nearly full" in str(describe_warning(one)) for one in report.notes)
    assert len(laid.audited()) == 2
    assert evidence <= laid.permanent() and laid.is_whole()


def test_what_lies_in_a_store_that_cannot_be_told_is_not_deleted_for_the_catalogues_disk(
    laid: Laid, tmp_path: Path
) -> None:
    """As on S3: a full disk of the box is no reason to delete there."""
    laid.clock.s += 30 * DAY_S

    class Untold:
        def __init__(self, inner: object) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> object:
            return (lambda: None) if name == "free_bytes" else getattr(self._inner, name)

    untold = replace(laid.workspace, store=Untold(laid.workspace.store))  # type: ignore[arg-type]
    before = laid.objects
    laid.fill(RESERVED_BYTES - 1)
    assert evict_derived(untold, ALL) == Freed()
    assert laid.objects == before


def test_a_live_flight_whose_disk_fills_stops_cleanly_and_the_same_command_completes_it(
    film: VideoDrillReport, in_ram: Callable[[str], Path], make_house: MakeHouse
) -> None:
    disk = in_ram("200m")
    workspace = make_house(film, name=f"{disk.name}/nhà").workspace
    here = Laid(workspace, Clock(), "", disk)
    request = LiveRequest(video=str(film.video), telemetry=str(film.subtitles), camera=film.camera)
    fillers: list[Path] = []

    def fill(_stage: str, done: int, _of: int) -> None:
        if done >= 60 and not fillers and workspace.catalog.flights.flights():
            fillers.append(here.fill(RESERVED_BYTES - 1))

    with pytest.raises(DiskFull, match=f"{disk}.*no space left"):
        orthorectify_video(workspace, request, FlightLabels(), fill)
    (flight,) = workspace.catalog.flights.flights()
    assert flight.state is FlightState.INGESTING
    assert verify_objects(workspace).unrepaired == []
    fillers[0].unlink()
    report = orthorectify_video(workspace, request, FlightLabels())
    assert report.flight.state is FlightState.READY and report.used > 0
    assert verify_objects(workspace).unrepaired == []
