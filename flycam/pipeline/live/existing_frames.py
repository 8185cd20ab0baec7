"""Frames of a video that are on the map: completed after a kill, or reprocessed.

A video is read again in full, but frames on the map keep their place: they are replayed from their recorded
pose and terrain, and reprocessed by the rules of any flight (`pipeline.orthorectification.reprocess_plan`).
Besides, a video with an unknown clock offset is reprocessed in full by a run that knows it; by a log with
other positions it is reprocessed only at the operator's request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from flycam.catalog.records import FrameRecord, FrameStatus
from flycam.errors import FrameRejected
from flycam.frame.flight import Flight, FlightState, is_flat_datum
from flycam.frame.frame import FrameHeader, parse_video_frame_pts_ns
from flycam.frame.terrain_codec import parse_source_dem_id
from flycam.frame.warning import COMPLETED, encode_warning
from flycam.geometry.terrain import TerrainGrid
from flycam.pipeline.coverage import measure_coverage
from flycam.pipeline.live.live_inputs import LiveRequest, format_log_name
from flycam.pipeline.live.live_telemetry import PoseAt
from flycam.pipeline.live.log_consistency import require_same_poses
from flycam.pipeline.live.terrain_source import FixedTerrain
from flycam.pipeline.orthorectification.flight_session import (
    FlightLabels,
    close_flight,
    find_flight,
    open_flight,
    resolve_flight_state,
)
from flycam.pipeline.orthorectification.frame_plan import FrameFootprint
from flycam.pipeline.orthorectification.rectification import compute_ground_views
from flycam.pipeline.orthorectification.reprocess_plan import (
    NO_REPROCESS,
    ReprocessPlan,
    apply_reprocess_plan,
    plan_reprocess,
)
from flycam.pipeline.orthorectification.tile_rebuild import list_live_mosaics, rebuild_mosaic
from flycam.pipeline.video_frames import VideoIdentity
from flycam.pipeline.workspace import Progress, Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class ExistingFramesReport:
    """Result for frames that were on the map.

    reprocessed  number of frames; notes: encoded by `flycam.frame.warning`
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
    filmed = video.select_frames(flight_id, used)
    if not filmed and not was_cut:
        return ExistingFramesReport()
    seen = _Seen() if ground is None else _seen(filmed, video, pose_at, ground.terrain)
    again = NO_REPROCESS
    if ground is not None:
        was_unknown = any(video.is_doubt_warning(flight_id, one) for one in before.warnings)
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
        others = [one for one in flight.warnings if not video.is_doubt_warning(flight_id, one)]
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
    seen = _Seen()
    for record in used:
        try:
            pose = pose_at(parse_video_frame_pts_ns(record.header.provenance.source_name))
        except FrameRejected as error:
            seen.refused.append((record.header, error))
            continue
        headers.append(replace(record.header, interior=video.interior, exterior_prior=pose))
    for header, view in zip(headers, compute_ground_views(headers, terrain) if headers else (), strict=True):
        if isinstance(view, FrameRejected):
            seen.refused.append((header, view))
        else:
            name = header.provenance.source_name
            seen.planned.append(FrameFootprint(header=header, view=view, path=Path(video.name).parent / name))
    return seen


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
