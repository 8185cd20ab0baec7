"""Ingest: photos on a memory card to a mosaic in the store.

    try store -> preflight check -> terrain -> plan -> open flight -> originals -> repair, reprocess
    -> orthorectify -> record -> merge -> communes -> ready

Bytes first, then the record that names them. An interrupted ingest is completed by the same command: what was
recorded is orthorectified again with its recorded pose and terrain, and merging twice changes nothing. Lost
or damaged tiles of the flight are rebuilt, and frames are reprocessed on terrain that was registered after
them (`flycam.mosaic.amendments`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from flycam.catalog.flights import SET_ASIDE_REASON
from flycam.catalog.retention import make_original_purged
from flycam.concurrency import count_workers, map_ordered
from flycam.errors import InputUnusable, OptionUnusable
from flycam.geodata.crs import to_lonlat
from flycam.geodata.dem import DemInfo
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.distributed import merge_frames_on_cluster
from flycam.ingest.photos.photo_reader import PhotoPrefetch
from flycam.ingest.preflight.frame_headers import find_infrared_suspects
from flycam.ingest.preflight_check import (
    PreflightRequest,
    PreflightResult,
    make_outside_terrain_error,
    run_preflight,
)
from flycam.ingest.video.video_frames import VideoIdentity, is_video_frame
from flycam.messages import _, join
from flycam.model.diagnosis import Diagnosis, Rejection
from flycam.model.flight import Flight, FlightState
from flycam.model.frame import FrameHeader, derive_flight_id
from flycam.model.records import Coverage, FrameRecord, FrameStatus, MosaicInfo
from flycam.model.time import VIETNAM, format_day
from flycam.model.warning import (
    FINER_PHOTOS,
    MAYBE_INFRARED,
    OPTIONS_IGNORED,
    ORIGINALS_ADDED,
    ORIGINALS_PURGED,
    TILES_REPAIRED,
    WITHDRAWN,
    encode_warning,
)
from flycam.mosaic.amendments import (
    apply_layer_moves,
    apply_reprocess_plan,
    open_target_mosaics,
    plan_layer_moves,
    plan_reprocess,
    update_visible_layers,
)
from flycam.mosaic.cluster.run import update_all_ancestors
from flycam.mosaic.coverage import list_boundary_warnings, measure_coverage
from flycam.mosaic.eviction import enable_eviction
from flycam.mosaic.finish.revisions import list_outdated_warnings
from flycam.mosaic.orthorectify.flight_session import (
    MIN_GSD_SHARE,
    FlightLabels,
    FlightSession,
    ReprocessPlan,
    close_flight,
    find_flight,
    open_flight,
    open_mosaic,
    resolve_flight_state,
)
from flycam.mosaic.orthorectify.frame_merge import MergeFrame, Rejections, merge_frames
from flycam.mosaic.orthorectify.rebuild import RebuildReport, list_live_mosaics, rebuild_mosaic
from flycam.mosaic.orthorectify.rectification import (
    FrameFootprint,
    build_frame_record,
    load_terrain_under,
    project_frames,
)
from flycam.mosaic.terrain import extend_terrain, format_dem_names, load_registered_dems
from flycam.originals import find_purged_here, store_original
from flycam.retry import check_store_writable
from flycam.storage import keys
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
    into       the flight that the photos join (id, name, or "auto": `resolve_flight_to_join`)
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
            default_name=plan.paths[plan.frames[0].header.frame_id].resolve().parent.name,
            work_crs=seen.diagnosis.work_crs,
            is_drill=seen.diagnosis.is_drill,
            doubted=_find_doubtful_cameras(seen),
        )
        # originals before the records that name them
        _keep_inputs(workspace, request)
        added_count = store_missing_originals(workspace, flight_id, plan.frames, plan.paths)
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

    paths       files of the frames, by id
    reprocess   frames on the map that are orthorectified again, or in another layer
    rejections  frames that are not used; more are added while orthopatches are made
    """

    terrain: TerrainGrid
    terrain_names: str
    frames: Sequence[FrameFootprint]
    paths: Mapping[str, Path]
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
    frames, refused = project_frames(seen.diagnosis.headers, terrain)
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
        paths={one.header.frame_id: Path(seen.diagnosis.paths[one.header.frame_id]) for one in frames},
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
    done = [
        rebuild_mosaic(
            workspace, mosaic, progress, also=plan.reprocess.tiles(mosaic.layer), paths=plan.paths, check=True
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
        todo = list(_records(workspace, opened, mosaic, frames, plan))
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
    plan: _Plan,
) -> Iterator[MergeFrame]:
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
            if opened.was_ready:
                continue
        else:
            record = build_frame_record(frame, flight.flight_id, mosaic.base_zoom, plan.terrain.dem_id)
        yield MergeFrame(record, plan.paths[record.frame_id], record.header.interior.image_size_px)


# -- Known photos: what the catalogue holds of their originals, layer, pose, withdrawal and purge ----


def keep_recorded_layers(
    workspace: Workspace, flight_id: str, planned: Sequence[FrameFootprint], layer: str | None
) -> list[FrameFootprint]:
    """Return the frames, known ones in their recorded layer; reads only.

    A pixel of the map must not change its layer silently. The operator's `layer` moves frames that are on the
    map (`flycam.mosaic.amendments`); withdrawn ones stay as they were.
    """
    before = {
        record.frame_id: record
        for record in workspace.catalog.frames.list_for_flight(flight_id)
        if record.status is not FrameStatus.REJECTED or record.reason == SET_ASIDE_REASON
    }
    keeps = {
        frame_id: record.header.layer
        for frame_id, record in before.items()
        if layer is None or record.status is FrameStatus.WITHDRAWN
    }
    return [
        replace(one, header=replace(one.header, layer=keeps.get(one.header.frame_id, one.header.layer)))
        for one in planned
    ]


def store_missing_originals(
    workspace: Workspace, flight_id: str, planned: Sequence[FrameFootprint], paths: Mapping[str, Path]
) -> int:
    """Store photos of frames on the map whose originals are not here.

    They were lost, or another node sent the frames. Returns their number.
    """
    used = {one.frame_id for one in workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)}
    known = [one for one in planned if one.header.frame_id in used]
    hashes = [one.header.provenance.source_sha256 for one in known]
    workers = count_workers()
    are_here = map_ordered(
        workspace.store.exists, map(keys.format_original_key, hashes), workers, 4 * workers
    )
    missing = [one for one, is_here in zip(known, are_here, strict=True) if not is_here]
    for one in missing:
        store_original(
            workspace, paths[one.header.frame_id], one.header.provenance.source_sha256, durable=False
        )
    if missing:
        workspace.store.flush()
    workspace.catalog.kept_originals.note(hashes)
    return len(missing)


def list_unused_option_warnings(
    workspace: Workspace, flight_id: str, request: PreflightRequest, planned: Sequence[FrameFootprint]
) -> list[str]:
    """Return the warning if options would change frames that stay as they are.

    Call it once all reprocessed frames are recorded.
    """
    by_option = {
        "--camera": request.camera is not None,
        "--takeoff": request.takeoff is not None,
        "--height": request.height_mode != "auto",
        "--telemetry": request.telemetry is not None,
        "--clock-offset": request.clock_offset_s is not None,
    }
    options = " ".join(name for name, is_given in by_option.items() if is_given)
    if not options:
        return []
    used = workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    recorded = {record.frame_id: record for record in used}
    others = sum(
        _is_placed_differently(recorded[frame.header.frame_id], frame)
        for frame in planned
        if frame.header.frame_id in recorded
    )
    return [encode_warning(OPTIONS_IGNORED, options=options, frames=others)] if others else []


def _is_placed_differently(record: FrameRecord, frame: FrameFootprint) -> bool:
    """Return True if a frame on the map has another camera or pose than this run's.

    The version is ignored.
    """
    if record.exterior is None:
        return False
    settled = replace(frame.header.exterior_prior, version=record.exterior.version)
    return (record.exterior, record.header.interior) != (settled, frame.header.interior)


def list_withdrawal_warnings(workspace: Workspace, flight_id: str, frame_ids: Iterable[str]) -> list[str]:
    """Return a warning for each withdrawal that concerns some of these frames.

    By reason, authority and minute.
    """
    here = set(frame_ids)
    found = Counter(
        (one.reason, one.authority, _minute(one.withdrawn_ns))
        for one in workspace.catalog.frames.withdrawals(flight_id)
        if one.frame_id in here
    )
    return [
        encode_warning(WITHDRAWN, frames=count, reason=reason, authority=authority, at=at)
        for (reason, authority, at), count in found.items()
    ]


def exclude_purged(workspace: Workspace, planned: Sequence[FrameFootprint]) -> list[FrameFootprint]:
    """Return the frames whose originals were not deleted under a retention term.

    A deleted photo's pixels stay on the map, and its bytes do not come back by a card. Raises OriginalPurged
    if no frame is left.
    """
    purged = find_purged_here(workspace, [one.header.provenance.source_sha256 for one in planned])
    left = [one for one in planned if one.header.provenance.source_sha256 not in purged]
    if not left and planned:
        first = planned[0].header.provenance
        raise make_original_purged(purged[first.source_sha256], first.source_name)
    return left


def list_purge_warnings(workspace: Workspace, headers: Iterable[FrameHeader]) -> list[str]:
    """Return a warning for each deletion of some of these photos.

    By author and day.
    """
    purged = find_purged_here(workspace, [one.provenance.source_sha256 for one in headers])
    days = ((one, format_day(one.at_ns)) for one in purged.values())
    found = Counter((one.author, one.box, day.in_language("en"), day.in_language("vi")) for one, day in days)
    return [
        encode_warning(ORIGINALS_PURGED, frames=count, authority=author, box=box, day=day, day_vi=day_vi)
        for (author, box, day, day_vi), count in found.items()
    ]


def _minute(ns: int) -> str:
    moment = datetime.fromtimestamp(ns // 1_000_000_000, UTC).astimezone(VIETNAM)
    return f"{moment:%Y-%m-%d %H:%M} (UTC+7)"


# -- Flights that further photos and videos join ---------------------------------------------------
#
# After landing, what is on the memory card joins what was streamed live, or other photos of the card. One
# aircraft took them over one ground, so they are one flight: one mosaic, one block for `flycam finish`.


AUTO = "auto"
# Tolerance for the clocks of camera and receiver, and for early photos.
_AROUND_NS = 15 * 60 * 10**9
_MAX_SIMILARITY = 0.8
_FINER_GSD_SHARE = 0.8
_NEAR_DEG = 0.003
_EXAMPLES = 3


def resolve_flight_to_join(workspace: Workspace, ref: str, diagnosis: Diagnosis, existing: str | None) -> str:
    """Return the id of the flight that these photos are to join.

    ref       its id or name, or "auto" for the one with video of their time and place
    existing  the flight that holds them already, None: none does

    Raises NotFound, OptionUnusable where they cannot belong to it.
    """
    flight = find_flight(workspace, ref) if ref == AUTO else workspace.catalog.flights.flight(ref)
    flight = flight or _find_filmed_flight(workspace, diagnosis)
    if existing not in (None, flight.flight_id):
        holder = workspace.catalog.flights.flight(str(existing))
        raise OptionUnusable(
            _(
                "--flight {ref}: these photos are in the flight {name} already, and stay "
                "there; run without --flight, or use another data folder (--data)",
                ref=ref,
                name=holder.name,
            )
        )
    _check_alike(workspace, ref, flight, is_drill=diagnosis.is_drill, work_crs=diagnosis.work_crs)
    if existing is None:
        name = min((one.provenance.source_name for one in diagnosis.headers), default="")
        _check_datum(ref, flight, name, diagnosis.vertical_datum)
    return flight.flight_id


def resolve_flight_for_video(workspace: Workspace, ref: str, video: VideoIdentity, datum: str) -> Flight:
    """Return the flight (given by id or name) that a video is to join.

    Call it again under the flight's lock: before, another process may change the flight.

    datum  of the heights with which the video would be orthorectified

    Raises NotFound, OptionUnusable where it cannot belong to it.
    """
    flight = workspace.catalog.flights.flight(ref)
    _check_alike(workspace, ref, flight, is_drill=video.is_drill, work_crs=video.work_crs)
    lies_there = video.select_frames(workspace.catalog.frames.list_for_flight(flight.flight_id))
    if not lies_there:
        _check_datum(ref, flight, video.name, datum)
    return flight


def _check_datum(ref: str, flight: Flight, name: str, datum: str) -> None:
    """Raise OptionUnusable unless heights are in the flight's datum.

    `finish` ties no block in two datums. name: of a file that is to join.
    """
    if flight.vertical_datum == datum:
        return
    raise OptionUnusable(
        _(
            "--flight {ref}: its heights are in {vertical_datum}, those of {name} would be "
            "in {datum}: terrain was added or removed since; give what is in the flight "
            "again ('flycam ingest' the photos, 'flycam live' the video), which places it on "
            "the terrain of today, then this; or run without --flight",
            ref=ref,
            vertical_datum=flight.vertical_datum,
            name=name,
            datum=datum,
        )
    )


def _check_alike(workspace: Workspace, ref: str, flight: Flight, *, is_drill: bool, work_crs: str) -> None:
    """Raise OptionUnusable unless images of this kind and place fit a flight."""
    if flight.state is FlightState.WITHDRAWN:
        raise OptionUnusable(_("--flight {ref}: this flight was withdrawn; run without --flight", ref=ref))
    if workspace.catalog.flights.event(flight.event_id).is_drill != is_drill:
        raise OptionUnusable(
            _("--flight {ref}: real pictures and a drill never mix; name another flight", ref=ref)
        )
    if flight.work_crs != work_crs:
        raise OptionUnusable(
            _(
                "--flight {ref}: it lies in {work_crs}, what is to join it in {joining_crs}: "
                "of another place; run without --flight",
                ref=ref,
                work_crs=flight.work_crs,
                joining_crs=work_crs,
            )
        )


def list_finer_photo_warnings(flight: Flight, planned: Sequence[FrameFootprint]) -> tuple[str, ...]:
    """Return the warning if joining photos are finer than the flight's fixed zoom."""
    photos_m = float(np.median([frame.footprint.gsd_m for frame in planned]))
    if photos_m > _FINER_GSD_SHARE * flight.gsd_m:
        return ()
    finest_m = max(photos_m, MIN_GSD_SHARE * flight.gsd_m)
    return (encode_warning(FINER_PHOTOS, photos=f"{finest_m:.2g}", kept=f"{flight.gsd_m:.2g}"),)


def _find_filmed_flight(workspace: Workspace, diagnosis: Diagnosis) -> Flight:
    """Return the one flight with video among whose frames most photos were taken."""
    found = [
        flight
        for flight in workspace.catalog.flights.flights()
        if flight.state is not FlightState.WITHDRAWN
        and _is_among(flight, diagnosis)
        and any(map(is_video_frame, workspace.catalog.frames.list_for_flight(flight.flight_id)))
    ]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(flight.name for flight in found[:_EXAMPLES])
    names = f" ({listed})" if listed else ""
    raise OptionUnusable(
        _(
            "--flight auto: {count} live flights were in the air at the time and place of "
            "these photos{names}: give the flight's id or name, or run without --flight",
            count=len(found),
            names=names,
        )
    )


def _is_among(flight: Flight, diagnosis: Diagnosis) -> bool:
    if flight.bounds_lonlat_deg is None:
        return False
    west, south, east, north = flight.bounds_lonlat_deg
    headers = diagnosis.headers
    times = np.array([header.captured_ns for header in headers])
    centres = np.array([header.exterior_prior.projection_centre_m[:2] for header in headers])
    lon, lat = to_lonlat(centres, diagnosis.work_crs).T
    in_time = (times >= flight.first_ns - _AROUND_NS) & (times <= flight.last_ns + _AROUND_NS)
    in_place = (lon >= west - _NEAR_DEG) & (lon <= east + _NEAR_DEG)
    in_place &= (lat >= south - _NEAR_DEG) & (lat <= north + _NEAR_DEG)
    return bool((in_time & in_place).mean() >= _MAX_SIMILARITY)
