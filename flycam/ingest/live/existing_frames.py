"""Frames of a video that are on the map, and its consistency with the log.

A video is read again in full, but frames on the map keep their place: they are replayed from their recorded
pose and terrain, and reprocessed by the rules of any flight (`mosaic.amendments`).
Besides, a video with an unknown clock offset is reprocessed in full by a run that knows it; by a log with
other positions it is reprocessed only at the operator's request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.errors import Cancelled, FlightLogMismatch, FrameRejected, SourceUnreadable
from flycam.geometry.pose import ExteriorOrientation
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.live.clock import ESTIMATE_INTERVAL_S, LiveClock
from flycam.ingest.live.frame_pipeline import count_frames
from flycam.ingest.live.inputs import LiveRequest, format_log_name
from flycam.ingest.live.telemetry import PoseAt, Telemetry
from flycam.ingest.video.clock_offset import TurnComparison
from flycam.ingest.video.video_frames import VideoIdentity
from flycam.ingest.video.video_source import VideoSource
from flycam.messages import Message, _, join
from flycam.model.flight import Flight, FlightState, is_flat_datum
from flycam.model.frame import FrameHeader, parse_video_frame_pts_ns
from flycam.model.records import FrameRecord, FrameStatus
from flycam.model.warning import COMPLETED, encode_warning, format_log_warning
from flycam.mosaic.amendments import apply_reprocess_plan, plan_reprocess
from flycam.mosaic.coverage import measure_coverage
from flycam.mosaic.orthorectify.flight_session import (
    NO_REPROCESS,
    FlightLabels,
    ReprocessPlan,
    close_flight,
    find_flight,
    open_flight,
    resolve_flight_state,
)
from flycam.mosaic.orthorectify.rebuild import list_live_mosaics, rebuild_mosaic
from flycam.mosaic.orthorectify.rectification import FrameFootprint, project_frames
from flycam.mosaic.terrain import FixedTerrain
from flycam.mosaic.terrain_codec import parse_source_dem_id
from flycam.workspace import Progress, Workspace

# -- Consistency of a video and its log: length, clock, turns, recorded poses ----------------------
#
# A video is read before any of it is orthorectified: in full to estimate its clock; if that is known, until
# its turns are enough to judge the log. A log contradicted by the video's turns is rejected, for the map
# would show the wrong ground. It is only doubted, and the flight keeps a warning, where the operator vouches
# for it with a clock offset, where the log has the aircraft's attitude alone (a gimbal may turn by itself),
# and for a live stream: what is in the air is shown, for no other log can be given now.


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
                        "{name}: stopped before anything was processed; the same command begins again",
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
    reasons, log, of = join(why, "; "), format_log_name(request.telemetry), video.stream_id
    return [format_log_warning(video.name, of, log, reasons, is_stream=source.is_stream)]


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
            "{log}: gives positions other than those of {count} pictures of {film} on the "
            "map ({is_apart} of them clearly, by {metres:.0f} m and {degrees:.0f}° on the "
            "whole); nothing was changed: give the log they were placed by, or add --relay "
            "if this one is right",
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
            "{log}: is not the log of {video}: {why}; nothing was processed: give this "
            "video's own log or subtitles; if you are sure of it, add --clock-offset, and "
            "the map shows a warning",
            log=log,
            video=video,
            why=_counted(turns),
        )
    )


# -- Frames on the map: completed after a kill, or reprocessed -------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class ExistingFramesReport:
    """Result for frames that were on the map.

    reprocessed  number of frames; notes: encoded by `flycam.model.warning`
    """

    reprocessed: int = 0
    notes: tuple[str, ...] = ()


def reconcile_existing_frames(
    workspace: Workspace,
    flight_id: str,
    video: VideoIdentity,
    request: LiveRequest,
    pose_at: PoseAt,
    ground: FixedTerrain | None,
    clock_warnings: Sequence[str],
    progress: Progress,
) -> ExistingFramesReport:
    """Complete and reprocess a video's frames, on this run's terrain and log.

    pose_at         the pose at a PTS (ns) of the video; raises FrameRejected where there is none
    ground          under the video; None: nothing is reprocessed, for the clock is not known yet
    clock_warnings  this run's warnings on the clock; empty where it is known

    Raises FlightLogMismatch where the log gives other positions than the record, and reprocessing was not
    requested; InputUnusable if a stored original does not read, StorageFailed (run again: it completes).
    """
    before = find_flight(workspace, flight_id)
    used = workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    if before is None or not used:
        return ExistingFramesReport()
    at_ns = workspace.clock_ns()
    was_cut = before.state is FlightState.INGESTING
    # Photos of the card, and its other videos, may belong to the flight too.
    filmed = video.select_frames(used)
    if not filmed and not was_cut:
        return ExistingFramesReport()
    seen = _Seen() if ground is None else _seen(filmed, video, pose_at, ground.terrain)
    again = NO_REPROCESS
    if ground is not None:
        was_unknown = any(video.is_doubt_warning(one) for one in before.warnings)
        if not (request.reprocess or was_unknown):
            now = {one.header.frame_id: one.header.exterior_prior for one in seen.planned}
            here = [one for one in filmed if one.frame_id in now]
            log = format_log_name(request.telemetry)
            require_same_poses(video.name, log, here, [now[one.frame_id] for one in here])
        again = _plan_reprocess(
            workspace,
            before,
            filmed,
            seen,
            ground,
            clock_warnings,
            was_unknown=was_unknown,
            is_requested=request.reprocess,
        )
    if not again.is_due and not was_cut:
        return ExistingFramesReport(notes=again.notes)
    flight = before
    if again.is_due and ground is not None:
        flight = _opened(workspace, flight_id, video, seen.planned, ground, again)
        others = [one for one in flight.warnings if not video.is_doubt_warning(one)]
        flight = replace(flight, warnings=tuple(dict.fromkeys((*others, *clock_warnings))))
        apply_reprocess_plan(workspace, flight_id, again, at_ns)
    _fold(workspace, flight_id, again, was_cut=was_cut, progress=progress)
    measure_coverage(workspace, flight, progress, changed=True)
    close_flight(workspace, flight, resolve_flight_state(workspace, flight_id))
    completed = (encode_warning(COMPLETED, frames=len(used)),) if was_cut else ()
    return ExistingFramesReport(reprocessed=len(again.frames), notes=(*again.notes, *completed))


@dataclass(frozen=True, slots=True)
class _Seen:
    """Frames on the map as this run would place them; rejected ones with their error."""

    planned: list[FrameFootprint] = field(default_factory=list)
    refused: list[tuple[FrameHeader, FrameRejected]] = field(default_factory=list)


def _plan_reprocess(
    workspace: Workspace,
    before: Flight,
    used: Sequence[FrameRecord],
    seen: _Seen,
    ground: FixedTerrain,
    clock_warnings: Sequence[str],
    *,
    was_unknown: bool,
    is_requested: bool,
) -> ReprocessPlan:
    """Plan which frames to reprocess.

    Poses of a known clock are not replaced by those of an unknown one unless the operator requests it; the
    notes state what is missing.
    """
    terrain = ground.terrain
    if clock_warnings and not was_unknown and not is_requested:
        is_other = {parse_source_dem_id(str(record.dem_id)) for record in used} != {terrain.dem_id}
        return ReprocessPlan(notes=tuple(clock_warnings) if is_other else ())
    onto_plane = is_flat_datum(terrain.vertical_datum) and not is_flat_datum(before.vertical_datum)
    is_requested = is_requested or (was_unknown and not clock_warnings and not onto_plane)
    return plan_reprocess(
        workspace,
        before.flight_id,
        (),
        seen.planned,
        seen.refused,
        terrain,
        ground.names,
        is_requested=is_requested,
    )


def _seen(used: Iterable[FrameRecord], video: VideoIdentity, pose_at: PoseAt, terrain: TerrainGrid) -> _Seen:
    headers: list[FrameHeader] = []
    unposed: list[tuple[FrameHeader, FrameRejected]] = []
    for record in used:
        try:
            pose = pose_at(parse_video_frame_pts_ns(record.header.provenance.source_name))
        except FrameRejected as error:
            unposed.append((record.header, error))
            continue
        headers.append(replace(record.header, interior=video.interior, exterior_prior=pose))
    planned, refused = project_frames(headers, terrain)
    return _Seen(planned, [*unposed, *refused])


def _opened(
    workspace: Workspace,
    flight_id: str,
    video: VideoIdentity,
    planned: Sequence[FrameFootprint],
    ground: FixedTerrain,
    reprocess: ReprocessPlan,
) -> Flight:
    opened = open_flight(
        workspace,
        flight_id,
        planned,
        ground.terrain,
        FlightLabels(),
        ground.names,
        reprocess,
        default_name=video.title,
        work_crs=video.work_crs,
        is_drill=video.is_drill,
    )
    return opened.flight


def _fold(
    workspace: Workspace, flight_id: str, reprocess: ReprocessPlan, *, was_cut: bool, progress: Progress
) -> None:
    """Rebuild tiles from the recorded frames; after a kill all: none is certain."""
    everywhere = workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED) if was_cut else []
    for mosaic in list_live_mosaics(workspace, flight_id):
        also = [r.tiles for r in everywhere if r.tiles is not None and r.header.layer == mosaic.layer]
        rebuild_mosaic(workspace, mosaic, progress, also=[*also, *reprocess.tiles(mosaic.layer)], check=True)
