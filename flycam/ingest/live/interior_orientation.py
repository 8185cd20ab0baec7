"""Interior orientation of a video: given, logged, or estimated from motion."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.errors import CalibrationMissing
from flycam.geodata.crs import to_lonlat
from flycam.geodata.dem import DemInfo
from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.ingest.live.clock import (
    ESTIMATE_INTERVAL_S,
    FIRST_ESTIMATE_S,
    MAX_MOTIONS,
    MAX_WAIT_S,
    SHARED_SIGMA_S,
    STATED_SIGMA_S,
)
from flycam.ingest.live.frame_pipeline import count_frames
from flycam.ingest.live.inputs import LiveRequest, format_log_name, resolve_interior_orientation
from flycam.ingest.live.orthorectifier import MAX_QUEUED, MAX_QUEUED_BYTES
from flycam.ingest.live.telemetry import Telemetry
from flycam.ingest.preflight.takeoff import SIGMA_GNSS_HEIGHT_M
from flycam.ingest.video.clock_offset import (
    ClockOffset,
    ImageMotion,
    ImageMotionEstimator,
    LoggedPoses,
    estimate_offset,
    predict_rates,
)
from flycam.ingest.video.video_source import VideoFrame, VideoSource, count_fitting_frames, make_video_name
from flycam.messages import Message, _
from flycam.model.diagnosis import TerrainAt
from flycam.mosaic.terrain import TerrainLookup
from flycam.workspace import Progress

# -- Focal length from image motion against track and terrain --------------------------------------
#
# The image of a level camera moves by focal length × (speed / height + turn): the prediction for a camera of
# known focal length, times the ratio of the two. That ratio is estimated in intervals of a few seconds; their
# spread gives its uncertainty, to which the uncertainty of the height above ground is added, because it
# scales the ratio in all intervals alike.


Floats = NDArray[np.float64]

CALIBRATION_ID = "estimated:motion"
MAX_SIGMA = 0.08
"""Largest relative sigma of a focal length with which frames can be orthorectified."""

# Narrower than video cameras are, because the clock search allows gains only slightly above one.
_GUESS_DEG = 35.0
_STRETCHES, _MIN_STRETCHES = 12, 4
_MIN_MOTIONS = 6  # per interval
_MIN_EXPLAINED, _MIN_POWER = 0.6, 0.02
_OUTLIER = 4.0
_MIN_FIELD_OF_VIEW_DEG, _MAX_FIELD_OF_VIEW_DEG = 8.0, 140.0
_DISTORTION_SIGMA = 0.01  # the lens is modelled without distortion
# Assumed height of trees and houses, which are seen instead of the ground.
_CROWNS_M = 4.0
# Sample positions across a usual view, as shares of the height above ground.
_VIEW = (-0.3, 0.0, 0.3)


@dataclass(frozen=True, slots=True)
class FocalEstimate:
    """Estimated focal length.

    focal_px, and its relative 1-sigma.
    """

    focal_px: float
    sigma_rel: float

    def hfov_deg(self, width_px: int) -> float:
        """Return the horizontal field of view, degrees."""
        return float(np.degrees(2.0 * np.arctan(width_px / (2.0 * self.focal_px))))


def make_pinhole(size_px: tuple[int, int], focal_px: float, sigma_rel: float = 0.0) -> InteriorOrientation:
    """Return a camera without distortion for frames of a size (width, height)."""
    width, height = size_px
    return InteriorOrientation(
        model=LensModel.PINHOLE,
        image_size_px=size_px,
        focal_length_px=(focal_px, focal_px),
        principal_point_px=((width - 1) / 2.0, (height - 1) / 2.0),
        calibration_id=CALIBRATION_ID,
        sigma_focal_rel=sigma_rel,
    )


def guess_pinhole(size_px: tuple[int, int]) -> InteriorOrientation:
    """Return a provisional camera for the clock search and for measuring ratios."""
    return make_pinhole(size_px, size_px[0] / (2.0 * np.tan(np.radians(_GUESS_DEG) / 2.0)))


def with_view_heights(poses: LoggedPoses, work_crs: str, terrain_at: TerrainAt) -> LoggedPoses:
    """Return the poses with heights above the ground in view, not the ground below.

    Image motion is the mean over the view, and ground at half the distance moves twice as fast.
    """
    places = poses.centre_m[:, :2]
    nearness = []
    for east in _VIEW:
        for north in _VIEW:
            there = places + np.array([east, north]) * poses.above_m[:, None]
            ground, __ = terrain_at(to_lonlat(there, work_crs))
            nearness.append(1.0 / (poses.centre_m[:, 2] - ground))
    above = 1.0 / np.mean(nearness, axis=0)
    return replace(poses, above_m=np.where(np.isfinite(above) & (above > 0.0), above, poses.above_m))


def estimate_focal_length(
    motions: Sequence[ImageMotion],
    poses: LoggedPoses,
    size_px: tuple[int, int],
    clock: ClockOffset,
    sigma_height_m: float,
) -> FocalEstimate | None:
    """Estimate the focal length of frames of a size (width, height).

    None where the motion does not determine it.

    motions         in order of time, video time; poses in the log's time, `clock` between them
    sigma_height_m  of the poses' heights above ground
    """
    guess = guess_pinhole(size_px)
    first, second = (np.array([getattr(m, name) for m in motions]) for name in ("first_s", "second_s"))
    predicted = predict_rates(poses, guess, clock.to_log_s(first), clock.to_log_s(second))[:, :2]
    seen = np.array([m.rate for m in motions]).reshape(-1, 3)[:, :2]
    known = np.isfinite(predicted).all(axis=1) & np.isfinite(seen).all(axis=1)
    seen, predicted, first = seen[known], predicted[known], first[known]
    if len(seen) < _MIN_MOTIONS * _MIN_STRETCHES:
        return None
    ratios, weights = _ratios(seen, predicted, first)
    if len(ratios) < _MIN_STRETCHES:
        return None
    middle = float(np.median(ratios))
    spread = 1.4826 * float(np.median(np.abs(ratios - middle)))
    inlier = np.abs(ratios - middle) <= _OUTLIER * max(spread, 1e-6)
    ratio = float(np.average(ratios[inlier], weights=weights[inlier]))
    explained = 1.0 - float(((seen - ratio * predicted) ** 2).sum() / (seen**2).sum())
    if ratio <= 0.0 or explained < _MIN_EXPLAINED:
        return None
    above = float(np.nanmedian(poses.above_m))
    scatter = float(ratios[inlier].std(ddof=1)) / ratio / np.sqrt(inlier.sum())
    height = float(np.hypot(sigma_height_m, _CROWNS_M)) / above
    sigma = float(np.sqrt(scatter**2 + height**2 + _DISTORTION_SIGMA**2))
    found = FocalEstimate(float(ratio * guess.focal_length_px[0]), sigma)
    return found if _MIN_FIELD_OF_VIEW_DEG < found.hfov_deg(size_px[0]) < _MAX_FIELD_OF_VIEW_DEG else None


def _ratios(seen: Floats, logged: Floats, at_s: Floats) -> tuple[Floats, Floats]:
    """Return measured over logged motion of each interval, with weights.

    Least squares; a weight is the power of the logged motion.
    """
    edges = np.linspace(at_s[0], at_s[-1] + 1e-6, _STRETCHES + 1)
    stretch = np.searchsorted(edges, at_s, side="right") - 1
    both = np.bincount(stretch, (seen * logged).sum(axis=1), _STRETCHES)
    power = np.bincount(stretch, (logged**2).sum(axis=1), _STRETCHES)
    enough = np.bincount(stretch, minlength=_STRETCHES) >= _MIN_MOTIONS
    used = enough & (power > _MIN_POWER * power.max())  # a hover carries no information
    weights: Floats = power[used].astype(np.float64)
    return both[used] / weights, weights


# -- Interior orientation of a video ---------------------------------------------------------------


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
        seen = _watched(search, progress) if source.is_stream else _looked_through(search, progress, stopped)
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
            "{log}: give --camera or --hfov, or the video's own log if this is another "
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
        motions, logged, poses = list(self.motions), self.telemetry.log_poses, self.telemetry.poses
        clock = self._clock(motions)
        if not clock.is_known:
            return None
        if self._terrain_at is not None:
            logged = with_view_heights(logged, poses.work_crs, self._terrain_at)
        sigma_m = poses.sigma_home_m if np.isfinite(poses.home_m) else SIGMA_GNSS_HEIGHT_M
        found = estimate_focal_length(motions, logged, self.source.size_px, clock, sigma_m)
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


def _watched(search: _Search, progress: Progress) -> FocalEstimate | None:
    """Estimate from a stream's frames as they come, for at most `MAX_WAIT_S`."""
    sample = TimeSample(count_fitting_frames(MAX_QUEUED, MAX_QUEUED_BYTES, search.source.size_px))
    began_s: float | None = None
    looked_s = float("-inf")
    for done, picture in enumerate(search.source.frames(), start=1):
        search.telemetry.refresh()
        search.add(picture)
        sample.add(picture)
        progress("clock", done, 0)
        now_s = picture.pts_ns / 1e9
        began_s = now_s if began_s is None else began_s
        if now_s - began_s >= FIRST_ESTIMATE_S and now_s - looked_s >= ESTIMATE_INTERVAL_S:
            looked_s = now_s
            if (seen := search.seen()) is not None:
                search.source.put_back(sample.pictures)
                return seen
        if now_s - began_s >= MAX_WAIT_S:
            return None
    return None


class TimeSample:
    """Sample of at most `most` (at least 3) frames, evenly spaced but for the last.

    pictures  the sampled frames, oldest first
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
