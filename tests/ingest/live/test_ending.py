"""Whatever goes wrong at a flight's end: who gets its lock next is alone in it, and completes it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from flycam.catalog.flights import Flights
from flycam.drill.video_drill import VideoDrillReport
from flycam.errors import FlycamError, StorageFailed
from flycam.ingest.live import orthorectifier, workflow
from flycam.ingest.live.frame_pipeline import PROGRESS_STAGE
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.live_map import Publisher
from flycam.ingest.live.orthorectifier import LiveOrthorectifier, MergeThread
from flycam.ingest.live.recording import StreamRecording
from flycam.ingest.live.status import StatusReporter
from flycam.ingest.live.workflow import orthorectify_video
from flycam.ingest.video.video_source import VideoSource
from flycam.model.flight import FlightState
from flycam.model.records import FrameStatus
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.workspace import ignore_progress
from tests.houses import House, StopAfter

MakeHouse = Callable[..., House]

_ENOUGH = 60  # pictures of 200
WRITERS = ("publishing", "merging", "coding", "laying", "group", "tiles", "news", "picture")

STEPS: list[tuple[object, str]] = [
    (workflow, "store_live_inputs"),
    (StatusReporter, "follow"),
    (StatusReporter, "close"),
    (VideoSource, "stop"),
    (VideoSource, "close"),
    (LiveOrthorectifier, "close"),
    (MergeThread, "close"),
    (Publisher, "close"),
    (MosaicWriter, "flush"),
    (orthorectifier, "measure_coverage"),
    (orthorectifier, "close_flight"),
]


@dataclass
class Lock:
    """is_held: by now, or once before. alive: threads that wrote still as it was given back, each time."""

    is_held: bool = False
    alive: list[list[str]] = field(default_factory=list)


def failing_once(owner: object, name: str, monkeypatch: pytest.MonkeyPatch, lock: Lock) -> list[str]:
    """A step that fails when it is first asked for under the flight's lock, and does what it does before and
    after; what failed."""
    as_ever, failed = getattr(owner, name), list[str]()

    def step(*args: Any, **options: Any) -> Any:
        if failed or not lock.is_held:
            return as_ever(*args, **options)
        failed.append(name)
        raise StorageFailed(f"{name} failed for this test")

    monkeypatch.setattr(owner, name, step)
    return failed


def watched_lock(monkeypatch: pytest.MonkeyPatch) -> Lock:
    """The lock of any flight, watched."""
    as_ever, watched, others = Flights.lock, Lock(), set(threading.enumerate())

    @contextmanager
    def lock(flights: Flights, flight_id: str) -> Iterator[None]:
        with as_ever(flights, flight_id):
            watched.is_held = True
            try:
                yield
            finally:
                mine = set(threading.enumerate()) - others
                watched.alive.append([one.name for one in mine if one.name.startswith(WRITERS)])

    monkeypatch.setattr(Flights, "lock", lock)
    return watched


@pytest.mark.parametrize(("owner", "name"), STEPS, ids=[name for _, name in STEPS])
def test_the_lock_is_given_back_once_nobody_writes_any_more(
    owner: object, name: str, film: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(film)
    request = LiveRequest(video=str(film.video), telemetry=str(film.subtitles), camera=film.camera)
    told_of = replace(
        request, is_realtime=owner is StatusReporter
    )  # of films read as fast as they go nothing is
    lock, stop = watched_lock(monkeypatch), StopAfter(PROGRESS_STAGE, _ENOUGH)
    failed = failing_once(owner, name, monkeypatch, lock)
    with pytest.raises(FlycamError, match=f"{name} failed for this test"):
        orthorectify_video(house.workspace, told_of, FlightLabels(), stop.progress, stop.stopped)
    assert failed and lock.alive and not any(lock.alive)
    again = orthorectify_video(house.workspace, request, FlightLabels(), ignore_progress)
    assert again.flight.state is FlightState.READY
    used = house.workspace.catalog.frames.list_for_flight(again.flight.flight_id, FrameStatus.USED)
    assert len(used) == again.used >= 2 and not any(lock.alive)


def test_what_a_recording_lacks_at_its_end_is_raised_over_a_flight_that_is_whole(
    film: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(film)
    lock = watched_lock(monkeypatch)
    monkeypatch.setattr(StreamRecording, "is_on", property(lambda _recording: True))
    failing_once(StreamRecording, "close", monkeypatch, lock)
    request = LiveRequest(video=str(film.video), telemetry=str(film.subtitles), camera=film.camera)
    with pytest.raises(StorageFailed, match="close failed for this test"):
        orthorectify_video(house.workspace, request, FlightLabels(), ignore_progress)
    (flight,) = house.workspace.catalog.flights.flights()
    assert flight.state is FlightState.READY and not any(lock.alive)
