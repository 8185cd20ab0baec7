"""A stream whose lens nobody names waits until its motion tells it, and what it saw meanwhile is not lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flycam.drill.video_drill import VideoDrillReport
from flycam.errors import CalibrationMissing
from flycam.ingest.live.clock import LiveClock
from flycam.ingest.live.frame_pipeline import MAX_QUEUED
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.interior_orientation import (
    EstimatedInterior,
    TimeSample,
    estimate_interior_orientation,
)
from flycam.ingest.live.telemetry import RecordedTelemetry
from flycam.ingest.video.video_log import read_video_log
from flycam.ingest.video.video_source import VideoFrame, VideoSource
from flycam.mosaic.terrain import TerrainLookup, load_registered_dems
from flycam.workspace import ignore_progress
from tests.houses import House

MakeHouse = Callable[..., House]


class AsStream:
    """A film's pictures as a stream gives them: once."""

    is_stream = True
    duration_s = 0.0
    name = "rtsp://10.0.0.9/live"

    def __init__(self, source: VideoSource, silent_after: int | None) -> None:
        self._source, self.size_px, self.fps = source, source.size_px, source.fps
        self._silent_after, self._stopped = silent_after, threading.Event()
        self.given = 0
        self.back: list[VideoFrame] = []

    def frames(self) -> Iterator[VideoFrame]:
        for picture in self._source.frames():
            self.given += 1
            yield picture
            if self.given == self._silent_after:
                assert self._stopped.wait(90.0)
                return

    def put_back(self, pictures: list[VideoFrame]) -> None:
        self.back = list(pictures)

    def stop(self) -> None:
        self._stopped.set()


def looked_for(
    house: House, film: VideoDrillReport, log: Path, *, silent_after: int | None = None
) -> tuple[EstimatedInterior | CalibrationMissing, AsStream, RecordedTelemetry]:
    dems = load_registered_dems(house.workspace)
    with VideoSource(str(film.video)) as source:
        telemetry = RecordedTelemetry(read_video_log(log, source.created_ns), TerrainLookup(dems))
        stream = AsStream(source, silent_after)
        request = LiveRequest(video=stream.name, telemetry="udp://:14550")
        try:
            found = estimate_interior_orientation(
                request, stream, telemetry, dems, ignore_progress, lambda: silent_after is not None
            )  # type: ignore[arg-type]
        except CalibrationMissing as error:
            return error, stream, telemetry
    return found, stream, telemetry


def test_the_lens_of_a_stream_is_seen_in_its_first_seconds_and_they_are_laid_then(
    film: VideoDrillReport, make_house: MakeHouse
) -> None:
    found, stream, telemetry = looked_for(make_house(film), film, film.subtitles)
    assert isinstance(found, EstimatedInterior)
    true_px = json.loads(film.camera.read_text())["fx"]
    off = found.interior.focal_length_px[0] / true_px - 1.0
    assert abs(off) < 2.5 * found.interior.sigma_focal_rel < 0.2
    assert any("field of view was estimated" in str(one) for one in found.remarks)
    assert 150 <= stream.given <= 200  # fifteen seconds and no more than it has
    assert len(stream.back) <= MAX_QUEUED
    times = [picture.pts_ns / 1e9 for picture in stream.back]
    assert times == sorted(times) and times[0] == 0.0 and times[-1] > 14.5
    assert max(b - a for a, b in pairwise(times)) < 2.0
    # what was seen of its motion tells its clock too: nobody waits for that again
    clock = LiveClock(lambda: telemetry.log_poses, found.interior)
    clock.remember(found.motions)
    assert clock.is_settled and abs(clock.offset.offset_s) < 0.2


@given(st.lists(st.integers(1, 400), min_size=1, max_size=400), st.integers(3, 30))
def test_what_is_kept_is_bounded_and_reaches_from_the_first_to_the_newest(
    steps: list[int], most: int
) -> None:
    kept = TimeSample(most)
    times = np.cumsum(steps).tolist()
    for at in times:
        kept.add(VideoFrame(pts_ns=at, t_utc_ns=at, arrived_ns=0, pixels=np.zeros((1, 1, 3), np.uint8)))
        assert len(kept.pictures) <= most
        assert kept.pictures[-1].pts_ns == at and kept.pictures[0].pts_ns == times[0]
    gaps = [b.pts_ns - a.pts_ns for a, b in pairwise(kept.pictures)]
    assert not gaps or max(gaps) <= 8 * max(*steps, times[-1] / most)
