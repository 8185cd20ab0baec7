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
from flycam.ingest.live.orthorectifier import LiveOrthorectifier, Publisher
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

_ENOUGH = 25  # pictures of 60
WRITERS = ("publishing", "merging", "placing", "group", "tiles", "news", "picture")

STEPS: list[tuple[object, str, bool]] = [  # the last: whether `make soak` alone tries it
    (workflow, "store_live_inputs", False),
    (StatusReporter, "follow", True),
    (StatusReporter, "close", True),
    (VideoSource, "stop", True),
    (VideoSource, "close", True),
    (LiveOrthorectifier, "close", True),
    (LiveOrthorectifier, "_finish_merging", False),
    (Publisher, "close", False),
    (MosaicWriter, "flush", True),
    (orthorectifier, "measure_coverage", True),
    (orthorectifier, "close_flight", False),
]


@dataclass
class Lock:
    """is_held: by now, or once before. alive: threads that wrote still as it was given back, each time."""

    is_held: bool = False
    alive: list[list[str]] = field(default_factory=list)


def failing_once(owner: object, name: str, monkeypatch: pytest.MonkeyPatch, lock: Lock) -> list[str]:
    """A step that fails when it is first asked for under the flight's lock, and does what it does before and
    after; what failed."""
    original, failed = getattr(owner, name), list[str]()

    def step(*args: Any, **options: Any) -> Any:
        if failed or not lock.is_held:
            return original(*args, **options)
        failed.append(name)
        raise StorageFailed(f"{name} failed for this test")

    monkeypatch.setattr(owner, name, step)
    return failed


def watch_lock(monkeypatch: pytest.MonkeyPatch) -> Lock:
    """The lock of any flight, watched."""
    original, lock_seen, others = Flights.lock, Lock(), set(threading.enumerate())

    @contextmanager
    def lock(flights: Flights, flight_id: str) -> Iterator[None]:
        with original(flights, flight_id):
            lock_seen.is_held = True
            try:
                yield
            finally:
                mine = set(threading.enumerate()) - others
                lock_seen.alive.append([one.name for one in mine if one.name.startswith(WRITERS)])

    monkeypatch.setattr(Flights, "lock", lock)
    return lock_seen


@pytest.mark.parametrize(
    ("owner", "name"),
    [pytest.param(one, name, marks=[pytest.mark.soak] * is_soak) for one, name, is_soak in STEPS],
)
def test_the_lock_is_given_back_once_nobody_writes_any_more(
    owner: object, name: str, clip: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(clip)
    request = LiveRequest(video=str(clip.video), telemetry=str(clip.subtitles), camera=clip.camera)
    first = replace(request, is_realtime=owner is StatusReporter)  # which reports no other film
    lock, stop = watch_lock(monkeypatch), StopAfter(PROGRESS_STAGE, _ENOUGH)
    failed = failing_once(owner, name, monkeypatch, lock)
    with pytest.raises(FlycamError, match=name):
        orthorectify_video(house.workspace, first, FlightLabels(), stop.progress, stop.stopped)
    assert failed and lock.alive and not any(lock.alive)
    again = orthorectify_video(house.workspace, request, FlightLabels(), ignore_progress)
    assert again.flight.state is FlightState.READY
    used = house.workspace.catalog.frames.list_for_flight(again.flight.flight_id, FrameStatus.USED)
    assert len(used) == again.used >= 2 and not any(lock.alive)


def test_what_a_recording_lacks_at_its_end_is_raised_over_a_flight_that_is_whole(
    clip: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(clip)
    lock = watch_lock(monkeypatch)
    monkeypatch.setattr(StreamRecording, "is_on", property(lambda _recording: True))
    failing_once(StreamRecording, "close", monkeypatch, lock)
    request = LiveRequest(video=str(clip.video), telemetry=str(clip.subtitles), camera=clip.camera)
    with pytest.raises(StorageFailed, match="close"):
        orthorectify_video(house.workspace, request, FlightLabels(), ignore_progress)
    (flight,) = house.workspace.catalog.flights.flights()
    assert flight.state is FlightState.READY and not any(lock.alive)
