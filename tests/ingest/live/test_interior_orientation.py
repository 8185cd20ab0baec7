"""A lens nobody names is found by the motion of film or stream, with a sigma that is true of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.drill.video_drill import VideoDrillReport
from flycam.geometry.pose import rotation_from_gimbal
from flycam.ingest.live.inputs import LiveRequest, resolve_interior_orientation
from flycam.ingest.live.orthorectifier import MAX_QUEUED
from flycam.ingest.live.telemetry import LiveClock, RecordedTelemetry, interpolate_orientation
from flycam.ingest.live.workflow import (
    TimeSample,
    estimate_focal_length,
    estimate_interior_orientation,
    make_pinhole,
)
from flycam.ingest.video.clock_offset import ClockOffset, ImageMotion, LoggedPoses, predict_rates
from flycam.ingest.video.video_poses import VideoLog, read_video_log
from flycam.ingest.video.video_source import VideoFrame, VideoSource
from flycam.mosaic.terrain import TerrainLookup, load_registered_dems
from flycam.workspace import ignore_progress
from tests.houses import House
from tests.ingest.video.test_video_poses import log, samples

MakeHouse = Callable[..., House]


class AsStream:
    """A film's pictures as a stream gives them: once."""

    is_stream = True
    duration_s = 0.0
    name = "rtsp://10.0.0.9/live"

    def __init__(self, source: VideoSource) -> None:
        self._source, self.size_px, self.fps = source, source.size_px, source.fps
        self.given = 0
        self.back: list[VideoFrame] = []

    def frames(self) -> Iterator[VideoFrame]:
        for picture in self._source.frames():
            self.given += 1
            yield picture

    def put_back(self, pictures: list[VideoFrame]) -> None:
        self.back = list(pictures)


def test_the_lens_of_a_stream_is_seen_in_its_first_seconds_and_they_are_laid_then(
    film: VideoDrillReport, make_house: MakeHouse
) -> None:
    dems = load_registered_dems(make_house(film).workspace)
    with VideoSource(str(film.video)) as source:
        telemetry = RecordedTelemetry(read_video_log(film.subtitles, source.created_ns), TerrainLookup(dems))
        stream = AsStream(source)
        request = LiveRequest(video=stream.name, telemetry="udp://:14550")
        found = estimate_interior_orientation(request, stream, telemetry, ignore_progress, lambda: False)  # type: ignore[arg-type]
    true_px = json.loads(film.camera.read_text())["fx"]
    off = found.interior.focal_length_px[0] / true_px - 1.0
    assert abs(off) < 2.5 * found.interior.sigma_focal_rel < 0.2
    assert [one for one in found.remarks if "--camera" in str(one)]
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
    sample = TimeSample(most)
    times = np.cumsum(steps).tolist()
    for at in times:
        sample.add(VideoFrame(pts_ns=at, t_utc_ns=at, arrived_ns=0, pixels=np.zeros((1, 1, 3), np.uint8)))
        assert len(sample.pictures) <= most
        assert sample.pictures[-1].pts_ns == at and sample.pictures[0].pts_ns == times[0]
    gaps = [b.pts_ns - a.pts_ns for a, b in pairwise(sample.pictures)]
    assert not gaps or max(gaps) <= 8 * max(*steps, times[-1] / most)


SIZE_PX = (640, 360)
EXACT = ClockOffset(0.0, 0.02)


def flight(speed_mps: float = 9.0, seconds: float = 40.0, pitch_deg: float = -88.0) -> LoggedPoses:
    """North at 100 m above level ground, a turn to the east half-way."""
    time_s = np.arange(0.0, seconds, 0.1)
    zero = np.zeros_like(time_s)
    yaw = np.where(time_s < seconds / 2.0, 0.0, np.pi / 2.0)
    way = np.cumsum(np.stack([np.sin(yaw), np.cos(yaw)], axis=1) * speed_mps * 0.1, axis=0)
    return LoggedPoses(
        time_s=time_s,
        centre_m=np.column_stack([way + np.array([500_000.0, 2_400_000.0]), zero + 100.0]),
        rotation=rotation_from_gimbal(yaw, zero + np.radians(pitch_deg), zero),
        above_m=zero + 100.0,
        max_gap_s=1.0,
    )


def seen_by(poses: LoggedPoses, focal_px: float, noise_px_s: float, seed: int = 1) -> list[ImageMotion]:
    first = poses.time_s[:-2:1]
    rates = predict_rates(poses, make_pinhole(SIZE_PX, focal_px), first, first + 0.1)
    rates[:, :2] += np.random.default_rng(seed).normal(0.0, noise_px_s, (len(rates), 2))
    return [ImageMotion(t, t + 0.1, tuple(rate)) for t, rate in zip(first, rates.tolist(), strict=True)]


@given(focal_px=st.floats(300.0, 1200.0), seed=st.integers(0, 1000))
def test_the_focal_length_is_found_and_its_sigma_is_honest(focal_px: float, seed: int) -> None:
    poses = flight()
    found = estimate_focal_length(seen_by(poses, focal_px, 4.0, seed), poses, SIZE_PX, EXACT, 1.0)
    assert found is not None
    assert abs(found.focal_px / focal_px - 1.0) < 3.0 * found.sigma_rel
    assert 0.01 <= found.sigma_rel < 0.08


def test_a_zoom_that_the_log_states_is_each_frames_own() -> None:
    """Sixty degrees wide for two seconds, then thirty, whose focal length is 2.15 times as long."""
    flown = [
        replace(one, hfov_deg=60.0 + 0.01 * (k % 3) if k < 60 else 30.0) for k, one in enumerate(samples())
    ]
    telemetry = RecordedTelemetry(VideoLog(log=log(flown), zero_ns=0, is_shared=True, base_s=0.0), None)
    request = LiveRequest(video="a.ts", telemetry="a.ts")
    interior = resolve_interior_orientation(request, telemetry.poses, SIZE_PX)
    early, late = (interpolate_orientation(telemetry, EXACT, interior, s * 10**9)[1] for s in (2, 8))
    assert early == interior  # no zoom: one camera, whatever the encoder's last digit
    assert late.focal_length_px[0] / early.focal_length_px[0] == pytest.approx(2.155, rel=0.006)
    assert late.calibration_id != early.calibration_id
    # a camera that the operator gave is not zoomed by the log
    stated = resolve_interior_orientation(replace(request, hfov_deg=50.0), telemetry.poses, SIZE_PX)
    assert interpolate_orientation(telemetry, EXACT, stated, 8 * 10**9)[1] == stated


def test_a_hover_and_a_log_of_another_flight_tell_nothing() -> None:
    hover, flown = flight(speed_mps=0.0), flight()
    noise = seen_by(hover, 500.0, 3.0)
    assert estimate_focal_length(noise, hover, SIZE_PX, EXACT, 1.0) is None
    assert estimate_focal_length(noise, flown, SIZE_PX, EXACT, 1.0) is None
    assert estimate_focal_length(seen_by(flown, 500.0, 1.0)[:20], flown, SIZE_PX, EXACT, 1.0) is None
