"""Consistency of a video and its log: length, clock, turns, recorded poses.

A video is read before any of it is orthorectified: in full to estimate its clock; if that is known, until its
turns are enough to judge the log. A log contradicted by the video's turns is rejected, for the map would show
the wrong ground. It is only doubted, and the flight keeps a warning, where the operator vouches for it with a
clock offset, where the log has the aircraft's attitude alone (a gimbal may turn by itself), and for a live
stream: what is in the air is shown, for no other log can be given now.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.catalog.records import FrameRecord
from flycam.errors import Cancelled, FlightLogMismatch, SourceUnreadable
from flycam.frame.video_warnings import format_log_warning
from flycam.geometry.exterior import ExteriorOrientation
from flycam.ingest.video.turn_comparison import TurnComparison
from flycam.ingest.video.video_source import VideoSource
from flycam.messages import Message, _, join
from flycam.pipeline.live.clock import ESTIMATE_INTERVAL_S, LiveClock
from flycam.pipeline.live.frame_pipeline import count_frames
from flycam.pipeline.live.live_inputs import LiveRequest, format_log_name
from flycam.pipeline.live.live_telemetry import Telemetry
from flycam.pipeline.video_frames import VideoIdentity
from flycam.pipeline.workspace import Progress

_MAX_SIGMAS = 3.0


def measure_video_motion(
    request: LiveRequest,
    clock: LiveClock,
    telemetry: Telemetry,
    progress: Progress,
    stopped: Callable[[], bool],
) -> None:
    """Measure a video's motion before any of it is orthorectified.

    No later time knows its clock better. Raises FlightLogMismatch where it is of another flight than its log;
    Cancelled where it is `stopped`.
    """
    video = Path(request.video)
    needs_all = not clock.is_settled
    looked_s = 0.0
    # A video that breaks off gives its motion so far; the error is reported where it is orthorectified.
    with VideoSource(str(video)) as source, suppress(SourceUnreadable):
        for done, picture in enumerate(source.frames(), start=1):
            clock.add(picture)
            progress("clock", done, count_frames(source, done))
            if stopped():
                raise Cancelled(
                    _(
                        "{name}: stopped before anything was laid; the same command begins again",
                        name=video.name,
                    )
                )
            if not needs_all and picture.pts_ns / 1e9 - looked_s >= ESTIMATE_INTERVAL_S:
                looked_s = picture.pts_ns / 1e9
                if clock.is_judged:
                    break
    clock.settle()
    if request.clock_offset_s is None and telemetry.poses.tells_camera and clock.turns.is_contradiction:
        raise _contradicted(video.name, format_log_name(request.telemetry), clock.turns)


def list_log_doubts(
    request: LiveRequest, video: VideoIdentity, source: VideoSource, telemetry: Telemetry, clock: LiveClock
) -> list[str]:
    """Return the warning that a flight keeps on a video whose log may be of another."""
    why = (*telemetry.doubts(source.duration_s, source.created_ns), *list_turn_doubts(clock))
    if not why:
        return []
    said, log, of = join(why, "; "), format_log_name(request.telemetry), video.stream_id
    both = said.in_language("en"), said.in_language("vi")
    return [format_log_warning(video.name, of, log, *both, is_stream=source.is_stream)]


def list_turn_doubts(clock: LiveClock) -> tuple[Message, ...]:
    """Return the doubt that frames turn otherwise than the log, if so."""
    turns = clock.turns
    return (_counted(turns),) if turns.is_contradiction else ()


def require_same_poses(
    video: str, log: str, on_map: Sequence[FrameRecord], now: Sequence[ExteriorOrientation]
) -> None:
    """Raise FlightLogMismatch if a log contradicts the poses of frames on the map.

    If most of them are farther off, or turned more, than three sigmas of both allow. A log of a similar
    flight passes the check of turns, and two logs in one map are worse than either.

    now  the poses by this log, of the same frames
    """
    before = [record.header.exterior_prior for record in on_map]
    if not before:
        return
    apart_m = np.linalg.norm(_centres(before) - _centres(now), axis=1)
    within_m = np.hypot(_sigmas(before, "sigma_position_m"), _sigmas(now, "sigma_position_m"))
    turned_rad = _turned(before, now)
    within_rad = np.hypot(_sigmas(before, "sigma_attitude_rad"), _sigmas(now, "sigma_attitude_rad"))
    is_apart = (apart_m > _MAX_SIGMAS * within_m) | (turned_rad > _MAX_SIGMAS * within_rad)
    if 2 * is_apart.sum() <= len(before):
        return
    metres, degrees = float(np.median(apart_m)), float(np.degrees(np.median(turned_rad)))
    raise FlightLogMismatch(
        _(
            "{log}: tells other places than those that {count} pictures of {film} lie by on "
            "the map ({is_apart} of them beyond all doubt, by {metres:.0f} m and "
            "{degrees:.0f}° on the whole); nothing was changed: give the log they were laid "
            "by, or add --relay if this one is right",
            log=log,
            count=len(before),
            film=video,
            is_apart=is_apart.sum(),
            metres=metres,
            degrees=degrees,
        )
    )


def _centres(poses: Sequence[ExteriorOrientation]) -> NDArray[np.float64]:
    return np.array([pose.projection_centre_m[:2] for pose in poses])


def _sigmas(poses: Sequence[ExteriorOrientation], of: str) -> NDArray[np.float64]:
    """Return the larger of each pose's first two sigmas."""
    return np.array([max(getattr(pose, of)[:2]) for pose in poses])


def _turned(before: Sequence[ExteriorOrientation], now: Sequence[ExteriorOrientation]) -> NDArray[np.float64]:
    """Return the angles (rad) between the poses' axes of view."""
    axes, others = (np.array([pose.rotation[2] for pose in poses]) for poses in (before, now))
    turned: NDArray[np.float64] = np.arccos(np.clip((axes * others).sum(axis=1), -1.0, 1.0))
    return turned


def _counted(turns: TurnComparison) -> Message:
    return _(
        "in {differing} of {count} turns the pictures turn otherwise than it says",
        differing=turns.differing,
        count=turns.count,
    )


def _contradicted(video: str, log: str, turns: TurnComparison) -> FlightLogMismatch:
    return FlightLogMismatch(
        _(
            "{log}: is not the log of {video}: {why}; nothing was laid: give this film's "
            "own log or subtitles; if you are sure of it, add --clock-offset, and the map "
            "bears a warning",
            log=log,
            video=video,
            why=_counted(turns),
        )
    )
