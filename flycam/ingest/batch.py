"""Ingest: photos on a memory card to a mosaic in the store.

    try store -> preflight check -> terrain -> plan -> open flight -> originals -> repair, reprocess
    -> orthorectify -> record -> merge -> communes -> ready

Bytes first, then the record that names them. An interrupted ingest is completed by the same command: what was
recorded is orthorectified again with its recorded pose and terrain, and merging twice changes nothing. Lost
or damaged tiles of the flight are rebuilt, and frames are reprocessed on terrain that was registered after
them (`flycam.mosaic.orthorectify.reprocess`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flycam.errors import InputUnusable
from flycam.geodata.dem import DemInfo
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.distributed import merge_frames_on_cluster
from flycam.ingest.existing_photos import (
    exclude_purged,
    keep_recorded_layers,
    list_finer_photo_warnings,
    list_purge_warnings,
    list_unused_option_warnings,
    list_withdrawal_warnings,
    resolve_flight_to_join,
    store_missing_originals,
)
from flycam.ingest.photos.photo_reader import PhotoPrefetch
from flycam.ingest.preflight.frame_headers import find_infrared_suspects
from flycam.ingest.preflight_check import (
    PreflightRequest,
    PreflightResult,
    make_outside_terrain_error,
    run_preflight,
)
from flycam.messages import join
from flycam.model.diagnosis import Diagnosis, Rejection
from flycam.model.flight import Flight
from flycam.model.frame import derive_flight_id
from flycam.model.records import Coverage, FrameRecord, FrameStatus, MosaicInfo
from flycam.model.warning import MAYBE_INFRARED, ORIGINALS_ADDED, TILES_REPAIRED, encode_warning
from flycam.mosaic.cluster.run import update_all_ancestors
from flycam.mosaic.coverage import list_boundary_warnings, measure_coverage
from flycam.mosaic.eviction import enable_eviction
from flycam.mosaic.finish.revisions import list_outdated_warnings
from flycam.mosaic.flight_edits import (
    apply_layer_moves,
    open_target_mosaics,
    plan_layer_moves,
    update_visible_layers,
)
from flycam.mosaic.orthorectify.flight_session import (
    FlightLabels,
    FlightSession,
    close_flight,
    find_flight,
    open_flight,
    open_mosaic,
    resolve_flight_state,
)
from flycam.mosaic.orthorectify.frame_merge import Rejections, merge_frames
from flycam.mosaic.orthorectify.rebuild import RebuildReport, list_live_mosaics, rebuild_mosaic
from flycam.mosaic.orthorectify.rectification import (
    FrameFootprint,
    build_frame_record,
    load_terrain_under,
    project_frames,
)
from flycam.mosaic.orthorectify.reprocess import ReprocessPlan, apply_reprocess_plan, plan_reprocess
from flycam.mosaic.terrain import extend_terrain, format_dem_names, load_registered_dems
from flycam.originals import store_original
from flycam.retry import check_store_writable
from flycam.workspace import Progress, Workspace, ignore_progress


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestReport:
    """Result of an ingest.

    used         photos of this run that are on the map; in_flight: all that its flight has there
    new          frames merged by this run (0 when the same bytes are ingested again)
    reprocessed  frames orthorectified again on other terrain
    repaired     tiles that were lost or damaged
    notes        what else was done or not done, as `flycam.model.warning` encodes it
    rejections   frames that are not used, each with its reason and a sentence
    communes     by covered area, largest first
    """

    flight: Flight
    preflight: PreflightResult
    used: int
    in_flight: int
    new: int
    rejections: tuple[Rejection, ...]
    communes: tuple[Coverage, ...]
    seconds: float
    reprocessed: int = 0
    repaired: int = 0
    notes: tuple[str, ...] = ()

    @property
    def rejected(self) -> dict[str, int]:
        """Number of rejected frames by reason."""
        return dict(sorted(Counter(one.reason for one in self.rejections).items()))


def ingest(
    workspace: Workspace,
    request: PreflightRequest,
    labels: FlightLabels,
    progress: Progress = ignore_progress,
    *,
    reprocess: bool = False,
    into: str | None = None,
    prefetch: PhotoPrefetch | None = None,
) -> IngestReport:
    """Ingest photos into a published live mosaic, in the order above. Idempotent.

    reprocess  orthorectify frames that are on the map again on today's terrain, whatever it is
    into       the flight that the photos join (id, name, or "auto"; see
               `flycam.ingest.existing_photos`)
    prefetch   photos that are being read already

    Raises InputUnusable when nothing of the input can be used, NameTaken, FlightBusy when another process is
    writing this flight, StorageFailed when store, disk or database fail (run again).
    """
    started_ns = workspace.clock_ns()
    workspace = enable_eviction(workspace)
    workspace.require_disk_space()
    check_store_writable(workspace)
    dems = load_registered_dems(workspace)
    seen = run_preflight(request, dems, check_pixels=True, prefetch=prefetch, progress=progress)
    _refuse_feet(seen.diagnosis, dems)
    flight_id = _flight_id(workspace, seen.diagnosis, into)
    with workspace.catalog.flights.lock(flight_id):
        # it may have changed before the lock was taken
        if into is not None:
            _flight_id(workspace, seen.diagnosis, flight_id)
        plan = _plan(
            workspace, request, seen, dems, flight_id, is_requested=reprocess, joins=into is not None
        )
        opened = open_flight(
            workspace,
            flight_id,
            plan.frames,
            plan.terrain,
            labels,
            plan.terrain_names,
            plan.reprocess,
            default_name=plan.frames[0].path.resolve().parent.name,
            work_crs=seen.diagnosis.work_crs,
            is_drill=seen.diagnosis.is_drill,
            doubted=_find_doubtful_cameras(seen),
        )
        # originals before the records that name them
        _keep_inputs(workspace, request)
        added_count = store_missing_originals(workspace, flight_id, plan.frames)
        refolded = _amend(workspace, opened, plan, started_ns, progress)
        new = _merge(workspace, opened, plan, progress)
        unseen = Rejections(errors=list(seen.diagnosis.refused))
        workspace.catalog.frames.put([*unseen.to_records(flight_id), *plan.rejections.to_records(flight_id)])
        update_visible_layers(workspace, flight_id)
        changed = new > 0 or plan.reprocess.is_due or refolded.lines > 0
        communes = measure_coverage(workspace, opened.flight, progress, changed=changed)
        flight = close_flight(workspace, opened.flight, resolve_flight_state(workspace, flight_id))
        workspace.catalog.audit.append(
            workspace.operator or workspace.box, "ingest", flight_id, f"{new} new frames", at_ns=started_ns
        )
    all_headers = [*seen.diagnosis.headers, *(header for header, _ in seen.diagnosis.refused)]
    used = {
        record.frame_id for record in workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    }
    return IngestReport(
        flight=flight,
        preflight=seen,
        used=len(used & {header.frame_id for header in all_headers}),
        in_flight=len(used),
        new=new,
        rejections=(
            *seen.unreadable,
            *seen.diagnosis.rejected,
            *plan.rejections.to_rejections(except_ids=used),
        ),
        communes=tuple(communes),
        seconds=(workspace.clock_ns() - started_ns) / 1e9,
        reprocessed=len(plan.reprocess.frames),
        repaired=refolded.repaired,
        notes=(
            *_notes(workspace, seen, opened, refolded),
            *([encode_warning(ORIGINALS_ADDED, photos=added_count)] if added_count else []),
            *(list_finer_photo_warnings(flight, plan.frames) if into is not None else ()),
            *list_unused_option_warnings(workspace, flight_id, request, plan.frames),
            *list_boundary_warnings(workspace.catalog, flight),
            *workspace.disk_space.notes,
        ),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """Plan of an ingest for the frames that see ground.

    reprocess   frames on the map that are orthorectified again, or in another layer
    rejections  frames that are not used; more are added while orthopatches are made
    """

    terrain: TerrainGrid
    terrain_names: str
    frames: Sequence[FrameFootprint]
    reprocess: ReprocessPlan
    rejections: Rejections


def _plan(
    workspace: Workspace,
    request: PreflightRequest,
    seen: PreflightResult,
    dems: Sequence[DemInfo],
    flight_id: str,
    *,
    is_requested: bool,
    joins: bool,
) -> _Plan:
    """Plan an ingest; only reads. Raises OutsideTerrain where no frame sees ground."""
    terrain = load_terrain_under(workspace, seen.diagnosis, dems)
    if joins:
        # one terrain under the whole flight, on which `finish` makes all of it (decision 0031)
        terrain = extend_terrain(workspace, dems, terrain, find_flight(workspace, flight_id))
    frames, refused = project_frames(seen.diagnosis, terrain)
    names = format_dem_names(dems, terrain.bounds_m, terrain.work_crs)
    if not frames:
        raise make_outside_terrain_error(seen, refused, names)
    frames = exclude_purged(workspace, frames)
    frames = keep_recorded_layers(workspace, flight_id, frames, request.layer)
    again = plan_reprocess(
        workspace,
        flight_id,
        seen.diagnosis.rejected,
        frames,
        refused,
        terrain,
        names,
        is_requested=is_requested,
    )
    return _Plan(
        terrain=terrain,
        terrain_names=names,
        frames=frames,
        reprocess=plan_layer_moves(workspace, flight_id, frames, again),
        rejections=Rejections(errors=refused),
    )


def _amend(
    workspace: Workspace, opened: FlightSession, plan: _Plan, at_ns: int, progress: Progress
) -> RebuildReport:
    """Record what is reprocessed or moved, then rebuild tiles from the records."""
    flight_id = opened.flight.flight_id
    open_target_mosaics(workspace, opened.flight, plan.reprocess)
    apply_reprocess_plan(workspace, flight_id, plan.reprocess, at_ns)
    apply_layer_moves(workspace, flight_id, plan.reprocess, at_ns)
    paths = {frame.header.frame_id: frame.path for frame in plan.frames}
    done = [
        rebuild_mosaic(
            workspace, mosaic, progress, also=plan.reprocess.tiles(mosaic.layer), paths=paths, check=True
        )
        for mosaic in list_live_mosaics(workspace, flight_id)
    ]
    return RebuildReport(lines=sum(one.lines for one in done), repaired=sum(one.repaired for one in done))


def _merge(workspace: Workspace, opened: FlightSession, plan: _Plan, progress: Progress) -> int:
    """Merge the frames that are not on the map, layer by layer; return their number."""
    new = 0
    for layer in sorted({frame.header.layer for frame in plan.frames}):
        frames = [frame for frame in plan.frames if frame.header.layer == layer]
        mosaic = open_mosaic(workspace, opened.flight, layer, frames)
        frames = [frame for frame in frames if frame.header.frame_id not in plan.reprocess.held]
        todo = list(_records(workspace, opened, mosaic, frames, plan.terrain))
        merge = merge_frames if workspace.cluster is None else merge_frames_on_cluster
        new += merge(workspace, mosaic, todo, plan.terrain, plan.rejections, progress)
        # the run that was cut short may have written tiles without their overview tiles
        if opened.was_cut_short:
            update_all_ancestors(workspace, mosaic)
    return new


def _notes(
    workspace: Workspace, seen: PreflightResult, opened: FlightSession, refolded: RebuildReport
) -> tuple[str, ...]:
    """List warnings about what else was done or not done."""
    flight_id = opened.flight.flight_id
    all_headers = [*seen.diagnosis.headers, *(header for header, _ in seen.diagnosis.refused)]
    withdrawn = list_withdrawal_warnings(workspace, flight_id, [header.frame_id for header in all_headers])
    mended = [encode_warning(TILES_REPAIRED, tiles=refolded.repaired)] if refolded.repaired else []
    shown = [one for one in workspace.catalog.tiles.mosaics(flight_id) if one.published]
    older = list_outdated_warnings(workspace.catalog, shown)
    let_go = list_purge_warnings(workspace, all_headers)
    return tuple(dict.fromkeys((*withdrawn, *let_go, *opened.notes, *mended, *older)))


def _refuse_feet(diagnosis: Diagnosis, dems: Sequence[DemInfo]) -> None:
    """Raise InputUnusable if the preflight check found terrain in feet.

    It names the files.
    """
    for problem in diagnosis.problems:
        if problem.code == "terrain_in_feet":
            centres = np.array([header.exterior_prior.projection_centre_m for header in diagnosis.headers])
            (west, south), (east, north) = centres[:, :2].min(axis=0), centres[:, :2].max(axis=0)
            names = format_dem_names(dems, (west, south, east, north), diagnosis.work_crs)
            raise InputUnusable(join([names, problem.sentence], ": "))


def _flight_id(workspace: Workspace, diagnosis: Diagnosis, into: str | None) -> str:
    """Return the id of the flight for this run's frames.

    It is the requested flight, else one that holds some of these frames, else a new id. A flight holds some
    of them already where a memory card is completed later.
    """
    frame_ids = [header.frame_id for header in diagnosis.headers]
    existing_id = workspace.catalog.flights.flight_of_frames(frame_ids)
    if into is not None:
        return resolve_flight_to_join(workspace, into, diagnosis, existing_id)
    return existing_id or derive_flight_id(frame_ids)


def _find_doubtful_cameras(seen: PreflightResult) -> frozenset[str]:
    """Return the cameras of this run whose colours may be near-infrared."""
    is_doubted = any(problem.code == MAYBE_INFRARED for problem in seen.diagnosis.problems)
    return find_infrared_suspects(seen.photos) if is_doubted else frozenset()


def _keep_inputs(workspace: Workspace, request: PreflightRequest) -> None:
    for path in (request.telemetry, request.camera):
        if path is not None:
            store_original(workspace, path)


def _records(
    workspace: Workspace,
    opened: FlightSession,
    mosaic: MosaicInfo,
    frames: Sequence[FrameFootprint],
    terrain: TerrainGrid,
) -> Iterator[tuple[FrameRecord, Path]]:
    """Yield what is to be merged: recorded frames, else new ones."""
    flight = opened.flight
    existing = {
        record.frame_id: record for record in workspace.catalog.frames.list_for_flight(flight.flight_id)
    }
    for frame in frames:
        record = existing.get(frame.header.frame_id)
        if record is not None and record.status is FrameStatus.WITHDRAWN:
            continue
        if record is not None and record.status is FrameStatus.USED:
            # an interrupted run may have recorded frames that it did not merge
            if not opened.was_ready:
                yield record, frame.path
            continue
        work_crs, base_zoom = flight.work_crs, mosaic.base_zoom
        yield (
            build_frame_record(frame, flight.flight_id, work_crs, base_zoom, terrain.dem_id),
            frame.path,
        )
