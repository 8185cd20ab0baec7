"""The lens of a film: what the operator or the log says, else what its pictures' motion tells of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from flycam.errors import CalibrationMissing
from flycam.geodata.dem_info import DemInfo
from flycam.geometry.interior import InteriorOrientation
from flycam.ingest.takeoff import SIGMA_GNSS_HEIGHT_M
from flycam.ingest.video import VideoSource
from flycam.ingest.video_clock import ClockOffset, estimate_offset
from flycam.ingest.video_lens import (
    MOST_SIGMA,
    SeenLens,
    estimate_lens,
    guessed_lens,
    lens,
    over_the_view,
)
from flycam.ingest.video_motion import Motion, MotionMeter
from flycam.pipeline.live_clock import SHARED_SIGMA_S, TOLD_SIGMA_S
from flycam.pipeline.live_flow import pictures_in
from flycam.pipeline.live_given import LiveRequest, camera_of
from flycam.pipeline.live_telemetry import Telemetry
from flycam.pipeline.terrain import TerrainLookup
from flycam.pipeline.workspace import Progress

_MOST_MOTIONS = 1500  # two and a half minutes, as the clock remembers

Remarks = tuple[tuple[str, str], ...]


def lens_of(
    request: LiveRequest,
    source: VideoSource,
    telemetry: Telemetry,
    dems: Sequence[DemInfo],
    progress: Progress,
    stopped: Callable[[], bool],
) -> tuple[InteriorOrientation, Remarks]:
    """The lens for the source's pictures, and what is to be said of it.

    Raises what `camera_of` raises; CalibrationMissing also where a film's motion does not tell its lens. A
    stream's is not looked for: its pictures do not wait.
    """
    try:
        return camera_of(request, telemetry.poses, source.size_px), ()
    except CalibrationMissing:
        if request.camera is not None or source.is_stream:
            raise
        seen = _seen(request, source, telemetry, dems, progress, stopped)
        if seen is None or seen.sigma_rel > MOST_SIGMA:
            raise
    return lens(source.size_px, seen.focal_px, seen.sigma_rel), (_said(source, seen),)


def _seen(
    request: LiveRequest,
    source: VideoSource,
    telemetry: Telemetry,
    dems: Sequence[DemInfo],
    progress: Progress,
    stopped: Callable[[], bool],
) -> SeenLens | None:
    motions = _motions(Path(request.video), progress, stopped)
    told, poses = telemetry.told, telemetry.poses
    clock = _clock(request, source, telemetry, motions)
    if not clock.is_known:
        return None
    if dems:
        told = over_the_view(told, poses.work_crs, TerrainLookup(dems))
    sigma_m = poses.sigma_home_m if np.isfinite(poses.home_m) else SIGMA_GNSS_HEIGHT_M
    return estimate_lens(motions, told, source.size_px, clock, sigma_m)


def _clock(
    request: LiveRequest, source: VideoSource, telemetry: Telemetry, motions: Sequence[Motion]
) -> ClockOffset:
    if request.clock_offset_s is not None:
        return ClockOffset(telemetry.from_reported(request.clock_offset_s), TOLD_SIGMA_S)
    if telemetry.is_shared:
        return ClockOffset(0.0, SHARED_SIGMA_S)
    around_s, reach_s = telemetry.search(source.duration_s)
    return estimate_offset(motions, telemetry.told, guessed_lens(source.size_px), around_s, reach_s)


def _motions(video: Path, progress: Progress, stopped: Callable[[], bool]) -> list[Motion]:
    """Of the film's beginning."""
    meter, motions = MotionMeter(), []
    with VideoSource(str(video)) as source:
        for done, picture in enumerate(source.pictures(), start=1):
            motion = meter.add(picture.pts_ns / 1e9, picture.pixels)
            motions += [motion] if motion is not None else []
            progress("clock", done, pictures_in(source, done))
            if stopped() or len(motions) >= _MOST_MOTIONS:
                break
    return motions


def _said(source: VideoSource, seen: SeenLens) -> tuple[str, str]:
    degrees = seen.hfov_deg(source.size_px[0])
    half = np.radians(degrees) / 2.0
    sigma_deg = float(np.degrees(seen.sigma_rel * np.sin(2.0 * half)))
    return (
        f"{source.name}: nothing says what lens filmed it: its field of view was estimated from the "
        f"pictures' motion, {degrees:.1f}° ± {sigma_deg:.1f}° across; better give --camera or --hfov",
        f"{source.name}: chưa biết ống kính nên góc nhìn ngang được ước lượng từ chuyển động của hình: "
        f"{degrees:.1f}° ± {sigma_deg:.1f}°; nên cho --camera hoặc --hfov để chính xác hơn",
    )
