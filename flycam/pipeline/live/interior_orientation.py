"""Interior orientation of a video: given, logged, or estimated from motion."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from flycam.errors import CalibrationMissing
from flycam.geodata.dem_info import DemInfo
from flycam.geometry.interior import InteriorOrientation
from flycam.ingest.preflight.takeoff import SIGMA_GNSS_HEIGHT_M
from flycam.ingest.video.clock_offset import ClockOffset, estimate_offset
from flycam.ingest.video.decoder import count_fitting_frames
from flycam.ingest.video.focal_estimation import (
    MAX_SIGMA,
    FocalEstimate,
    estimate_focal_length,
    guess_pinhole,
    make_pinhole,
    with_view_heights,
)
from flycam.ingest.video.image_motion import ImageMotion, ImageMotionEstimator
from flycam.ingest.video.video_source import VideoFrame, VideoSource, make_video_name
from flycam.messages import Message, _
from flycam.pipeline.live.clock import (
    ESTIMATE_INTERVAL_S,
    FIRST_ESTIMATE_S,
    MAX_MOTIONS,
    MAX_WAIT_S,
    SHARED_SIGMA_S,
    STATED_SIGMA_S,
)
from flycam.pipeline.live.frame_pipeline import count_frames
from flycam.pipeline.live.frame_queue import MAX_QUEUED, MAX_QUEUED_BYTES
from flycam.pipeline.live.live_inputs import LiveRequest, format_log_name, resolve_interior_orientation
from flycam.pipeline.live.live_telemetry import Telemetry
from flycam.pipeline.live.stream_stop import stop_stream_when
from flycam.pipeline.terrain import TerrainLookup
from flycam.pipeline.workspace import Progress


@dataclass(frozen=True, slots=True)
class EstimatedInterior:
    """Interior orientation of a source, with remarks.

    motions: of a stream that was watched to estimate it, for its clock too.
    """

    interior: InteriorOrientation
    remarks: tuple[Message, ...] = ()
    motions: Sequence[ImageMotion] = ()


def estimate_interior_orientation(
    request: LiveRequest,
    source: VideoSource,
    telemetry: Telemetry,
    dems: Sequence[DemInfo],
    progress: Progress,
    stopped: Callable[[], bool],
) -> EstimatedInterior:
    """Return the interior orientation as given or logged, else estimate it.

    A file is read once beforehand for it. Of a stream nothing is orthorectified until it is known: some of
    the frames of that time, evenly spaced, are put back to be processed then. Raises what
    `resolve_interior_orientation` raises, also where the motion does not give the focal length.
    """
    try:
        return EstimatedInterior(resolve_interior_orientation(request, telemetry.poses, source.size_px))
    except CalibrationMissing as error:
        if request.camera is not None:
            raise
        search = _Search(request, source, telemetry, dems)
        seen = (
            _watched(search, progress, stopped)
            if source.is_stream
            else _looked_through(search, progress, stopped)
        )
        if seen is None:
            raise _make_calibration_error(request) from error
    interior = make_pinhole(source.size_px, seen.focal_px, seen.sigma_rel)
    return EstimatedInterior(
        interior, (_describe_estimate(source, seen),), search.motions if source.is_stream else ()
    )


def _make_calibration_error(request: LiveRequest) -> CalibrationMissing:
    video, log = make_video_name(request.video), format_log_name(request.telemetry)
    if request.telemetry == request.video:
        return CalibrationMissing(
            _(
                "{video}: nothing says what lens filmed it, nor does its motion: give --camera or --hfov",
                video=video,
            )
        )
    return CalibrationMissing(
        _(
            "{video}: nothing says what lens filmed it, and its motion fits no lens by "
            "{log}: give --camera or --hfov, or the film's own log if this is another "
            "flight's",
            video=video,
            log=log,
        )
    )


class _Search:
    """Motions so far, and the estimate from them."""

    def __init__(
        self, request: LiveRequest, source: VideoSource, telemetry: Telemetry, dems: Sequence[DemInfo]
    ) -> None:
        self.video, self.source, self.telemetry = Path(request.video), source, telemetry
        self._given_s = request.clock_offset_s
        self._terrain_at = TerrainLookup(dems) if dems else None
        self._meter = ImageMotionEstimator()
        self.motions: deque[ImageMotion] = deque(maxlen=MAX_MOTIONS)

    def add(self, picture: VideoFrame) -> None:
        """Measure a frame's motion."""
        motion = self._meter.add(picture.pts_ns / 1e9, picture.pixels)
        if motion is not None:
            self.motions.append(motion)

    def seen(self) -> FocalEstimate | None:
        """Estimate the focal length; None unless good enough to orthorectify with."""
        motions, told, poses = list(self.motions), self.telemetry.log_poses, self.telemetry.poses
        clock = self._clock(motions)
        if not clock.is_known:
            return None
        if self._terrain_at is not None:
            told = with_view_heights(told, poses.work_crs, self._terrain_at)
        sigma_m = poses.sigma_home_m if np.isfinite(poses.home_m) else SIGMA_GNSS_HEIGHT_M
        found = estimate_focal_length(motions, told, self.source.size_px, clock, sigma_m)
        return found if found is not None and found.sigma_rel <= MAX_SIGMA else None

    def _clock(self, motions: Sequence[ImageMotion]) -> ClockOffset:
        telemetry = self.telemetry
        if self._given_s is not None:
            return ClockOffset(telemetry.from_reported(self._given_s), STATED_SIGMA_S)
        if telemetry.is_shared:
            return ClockOffset(0.0, SHARED_SIGMA_S)
        before, reach_s = telemetry.estimate_initial_offset(self.source.duration_s)
        guess = guess_pinhole(self.source.size_px)
        return estimate_offset(motions, telemetry.log_poses, guess, before, reach_s)


def _looked_through(search: _Search, progress: Progress, stopped: Callable[[], bool]) -> FocalEstimate | None:
    """Estimate from the beginning of a file, which is opened a second time for it."""
    with VideoSource(str(search.video)) as source:
        for done, picture in enumerate(source.frames(), start=1):
            search.add(picture)
            progress("clock", done, count_frames(source, done))
            if stopped() or len(search.motions) >= MAX_MOTIONS:
                break
    return search.seen()


def _watched(search: _Search, progress: Progress, stopped: Callable[[], bool]) -> FocalEstimate | None:
    """Estimate from a stream's frames as they come, for at most `MAX_WAIT_S`."""
    kept = TimeSample(count_fitting_frames(MAX_QUEUED, MAX_QUEUED_BYTES, search.source.size_px))
    began_s: float | None = None
    looked_s = float("-inf")
    with stop_stream_when(search.source, stopped):
        for done, picture in enumerate(search.source.frames(), start=1):
            search.telemetry.refresh()
            search.add(picture)
            kept.add(picture)
            progress("clock", done, 0)
            now_s = picture.pts_ns / 1e9
            began_s = now_s if began_s is None else began_s
            if now_s - began_s >= FIRST_ESTIMATE_S and now_s - looked_s >= ESTIMATE_INTERVAL_S:
                looked_s = now_s
                if (seen := search.seen()) is not None:
                    search.source.put_back(kept.pictures)
                    return seen
            if now_s - began_s >= MAX_WAIT_S:
                return None
    return None


class TimeSample:
    """Sample of at most `most` (at least 3) frames, evenly spaced but for the last.

    pictures  oldest first
    """

    def __init__(self, most: int) -> None:
        self._most, self._apart_ns = most, 0
        self.pictures: list[VideoFrame] = []

    def add(self, picture: VideoFrame) -> None:
        """Add the newest frame."""
        if len(self.pictures) > 1 and self.pictures[-1].pts_ns - self.pictures[-2].pts_ns < self._apart_ns:
            self.pictures.pop()
        self.pictures.append(picture)
        if len(self.pictures) > self._most:
            self.pictures = self.pictures[:-1:2]
            self._apart_ns = min(b.pts_ns - a.pts_ns for a, b in pairwise(self.pictures))
            self.pictures.append(picture)


def _describe_estimate(source: VideoSource, seen: FocalEstimate) -> Message:
    degrees = seen.hfov_deg(source.size_px[0])
    half = np.radians(degrees) / 2.0
    sigma_deg = float(np.degrees(seen.sigma_rel * np.sin(2.0 * half)))
    return _(
        "{name}: nothing says what lens filmed it: its field of view was estimated from the pictures' "
        "motion, {hfov_deg:.1f}° ± {sigma_deg:.1f}° across; better give --camera or --hfov",
        name=source.name,
        hfov_deg=degrees,
        sigma_deg=sigma_deg,
    )
