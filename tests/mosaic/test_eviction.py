"""What gives way on a disk that is full, on a small file system of its own, and what never does."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from flycam.catalog.flights import format_finish_lock
from flycam.drill.photo_drill import DrillReport
from flycam.drill.video_drill import VideoDrillReport
from flycam.errors import DiskFull
from flycam.ingest.batch import ingest
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import orthorectify_video
from flycam.ingest.preflight_check import PreflightRequest
from flycam.model.flight import FlightState
from flycam.model.warning import describe_warning
from flycam.mosaic.amendments import withdraw_by_reference
from flycam.mosaic.eviction import DAY_S, MIN_GRACE_S, enable_eviction, estimate_evictable, evict_derived
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.tiles.codec import read_tile
from flycam.operations.verify import verify_objects
from flycam.storage.files import GROUP_BYTES, RESERVED_BYTES, Freed, get_free_bytes
from tests.attack.commands import in_ram
from tests.houses import House
from tests.mosaic.test_garbage_collection import START_NS, Clock, Reprocessed, reprocess_once

__all__ = ["in_ram"]

MakeHouse = Callable[..., House]
ALL = 1 << 50


@dataclass
class OnDisk(Reprocessed):
    """The same, on a disk of its own."""

    disk: Path

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


@pytest.fixture
def flight(drill: DrillReport, in_ram: Callable[[str], Path]) -> OnDisk:
    """On a disk of 160 MB, which counts as low at all times."""
    disk = in_ram("160m")
    made = reprocess_once(drill, disk / "house")
    return OnDisk(made.workspace, made.clock, made.flight_id, disk)


def test_old_states_and_clips_go_however_young_and_nothing_else(flight: OnDisk) -> None:
    before, evidence, in_use = flight.objects, flight.permanent(), flight.in_use()
    flight.clock.s += MIN_GRACE_S - 1
    assert evict_derived(flight.workspace, ALL) == Freed() == estimate_evictable(flight.workspace)
    assert flight.objects == before and flight.audited() == []
    flight.clock.s += 2
    counted = estimate_evictable(flight.workspace)
    assert flight.objects == before
    freed = evict_derived(flight.workspace, ALL)
    assert freed == counted and freed.tiles > 0 and freed.clips > 0
    assert flight.objects == evidence | in_use
    (line,) = flight.audited()
    assert f"{freed.tiles} tile states" in line and f"{freed.size_bytes} bytes" in line
    assert str(flight.disk) in line
    assert flight.is_whole()
    assert evict_derived(flight.workspace, ALL) == Freed() and len(flight.audited()) == 1


def test_what_is_past_its_grace_goes_first_and_no_more_than_is_needed(
    flight: OnDisk, drill: DrillReport
) -> None:
    copy = flight.workspace.cache_dir / "killed"
    copy.mkdir(parents=True)
    (copy / "x").write_bytes(bytes(200_000))
    os.utime(copy / "x", ns=(START_NS, START_NS))
    os.utime(copy, ns=(START_NS, START_NS))
    flight.clock.s += 8 * DAY_S
    before = flight.objects
    flight.fill(50 << 20)
    freed = evict_derived(flight.workspace, (50 << 20) + 150_000)
    assert freed == Freed(copies=1, size_bytes=200_000) and not copy.exists()
    assert flight.objects == before
    freed = evict_derived(flight.workspace, (50 << 20) + 250_000)
    assert freed.tiles > 0 and freed.copies == 0
    assert flight.is_whole()


def test_a_flight_that_another_writes_or_finishes_is_left_alone(flight: OnDisk) -> None:
    flight.clock.s += 30 * DAY_S
    before, flights = flight.objects, flight.workspace.catalog.flights
    for name in (flight.flight_id, format_finish_lock(flight.flight_id)):
        with flights.lock(name):
            assert evict_derived(flight.workspace, ALL) == Freed()
            assert flight.objects == before
    with flights.lock(flight.flight_id):  # by the one who asks
        assert evict_derived(flight.workspace, ALL, flight.flight_id).tiles > 0
    assert flight.is_whole()


def test_stage_files_of_a_run_that_nobody_went_on_with_go_but_never_those_of_the_run_that_asks(
    flight: OnDisk,
) -> None:
    stage = flight.workspace.cache_dir / "finish" / flight.flight_id / "colour-abc" / "ties.stage"
    stage.parent.mkdir(parents=True)
    stage.write_bytes(bytes(1000))
    for path in (stage, stage.parent):
        os.utime(path, ns=(flight.clock(), flight.clock()))
    assert evict_derived(flight.workspace, ALL).copies == 0
    flight.clock.s += DAY_S + 1
    lock = format_finish_lock(flight.flight_id)
    with flight.workspace.catalog.flights.lock(lock):
        evict_derived(flight.workspace, ALL)
        evict_derived(flight.workspace, ALL, lock)
        assert stage.exists()
    assert evict_derived(flight.workspace, ALL) == Freed(copies=1, size_bytes=1000)
    assert not stage.parent.exists()


def test_an_ingest_on_a_full_disk_makes_room_for_itself_and_says_so(flight: OnDisk, card: Path) -> None:
    evidence = flight.permanent()
    flight.clock.s += MIN_GRACE_S + 1
    could = estimate_evictable(flight.workspace)
    flight.fill(RESERVED_BYTES - could.size_bytes // 2)
    with pytest.raises(DiskFull, match="no space left"):
        flight.workspace.require_disk_space()  # who frees nothing stops here
    enable_eviction(flight.workspace).require_disk_space()
    assert len(flight.audited()) == 1
    flight.fill(RESERVED_BYTES + GROUP_BYTES + (4 << 20))
    withdraw_by_reference(flight.workspace, flight.flight_id, "doanh trại", "UBND")
    flight.clock.s += MIN_GRACE_S + 1
    report = ingest(flight.workspace, PreflightRequest(paths=(card,)), FlightLabels())
    assert any("nearly full" in str(describe_warning(one)) for one in report.notes)
    assert len(flight.audited()) == 2
    assert evidence <= flight.permanent() and flight.is_whole()


def test_what_lies_in_a_store_that_cannot_be_told_is_not_deleted_for_the_catalogues_disk(
    flight: OnDisk, tmp_path: Path
) -> None:
    """As on S3: a full disk of the box is no reason to delete there."""
    flight.clock.s += 30 * DAY_S

    class Untold:
        def __init__(self, inner: object) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> object:
            return (lambda: None) if name == "free_bytes" else getattr(self._inner, name)

    untold = replace(flight.workspace, store=Untold(flight.workspace.store))  # type: ignore[arg-type]
    before = flight.objects
    flight.fill(RESERVED_BYTES - 1)
    assert evict_derived(untold, ALL) == Freed()
    assert flight.objects == before


def test_a_live_flight_whose_disk_fills_stops_cleanly_and_the_same_command_completes_it(
    film: VideoDrillReport, in_ram: Callable[[str], Path], make_house: MakeHouse
) -> None:
    disk = in_ram("200m")
    workspace = make_house(film, name=f"{disk.name}/nhà").workspace
    here = OnDisk(workspace, Clock(), "", disk)
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
