"""`flycam finish`: a measurable revision beside the live mosaic, of its frames.

 frames as recorded -> ties -> adjust -> (control, reference: adjust again) -> surface -> radiometry
 -> seams -> tiles -> publish -> communes

Each layer of a flight is a block of its own. Every stage is kept on disk until the revision is published, so
that the same command continues where it was killed or stopped; nothing is shown before it is complete. The
same inputs and options make nothing new, but lost or damaged tiles are made again. Where the adjustment does
not improve on the priors by its own evidence they are kept, and the revision is balanced and blended with
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from flycam.adjust.ties import apply_tie_turns
from flycam.catalog.records import Coverage, FrameStatus, MosaicInfo, RevisionRecord
from flycam.catalog.retention_records import make_original_purged
from flycam.catalog.revision_stats import get_refusal
from flycam.errors import InputUnusable
from flycam.frame.flight import Flight
from flycam.frame.terrain_codec import assign_content_id
from flycam.geometry.grid import TileId
from flycam.messages import _
from flycam.mosaic.dsm_share import compute_dsm_pct
from flycam.mosaic.tile_repair import find_damaged_tiles
from flycam.pipeline.cache_layout import STAGES_DIR
from flycam.pipeline.cluster.cluster_run import FINISH, open_cluster_run
from flycam.pipeline.coverage import measure_coverage
from flycam.pipeline.eviction import enable_eviction
from flycam.pipeline.executor import count_workers
from flycam.pipeline.finish.adjustment_block import build_block_frames
from flycam.pipeline.finish.controlled_adjustment import adjust_with_control, check_control
from flycam.pipeline.finish.finish_report import (
    FinishReport,
    LayerReport,
    add_report_statistics,
    compile_statistics,
)
from flycam.pipeline.finish.finish_request import FinishRequest, check_request
from flycam.pipeline.finish.layer_jobs import LayerJob, plan_layer_jobs
from flycam.pipeline.finish.photo_cache import PhotoCache
from flycam.pipeline.finish.placement import place_frames
from flycam.pipeline.finish.progress import FinishProgress, estimate_commune_cost
from flycam.pipeline.finish.revision_inputs import (
    RevisionInputs,
    build_support_grid,
    repair_overview_tiles,
    write_revision_tiles,
)
from flycam.pipeline.finish.stage_folder import StageFolder
from flycam.pipeline.finish.stages import (
    FinishRun,
    balance_radiometry,
    derive_surface,
    find_tie_points,
    make_overviews,
    plan_seamlines,
)
from flycam.pipeline.original_store import find_flight_purged, store_original
from flycam.pipeline.orthorectification.redaction import update_redaction_footprints
from flycam.pipeline.orthorectification.tile_rebuild import find_remote_photos
from flycam.pipeline.store_probe import check_store_writable
from flycam.pipeline.terrain import load_recorded_terrain, store_terrain
from flycam.pipeline.workspace import Progress, Workspace, ignore_progress
from flycam.report.report_figures import ReportFigures
from flycam.store import keys

__all__ = ["FinishRequest", "finish_flight"]

# Size of stage files, measured on 1.3 and 9 megapixels.
_FRAME_BYTES, _RUN_BYTES = 3_000_000, 300_000_000


DEFAULTS = FinishRequest()

ReportMaker: TypeAlias = Callable[
    [Workspace, Flight, MosaicInfo, RevisionRecord, Progress], tuple[dict[str, str], ReportFigures]
]
"""Makes and stores a revision's quality reports: store keys by language and kind, and the figures."""


def _never() -> bool:
    return False


def finish_flight(
    workspace: Workspace,
    ref: str,
    request: FinishRequest = DEFAULTS,
    progress: Progress = ignore_progress,
    cancelled: Callable[[], bool] = _never,
    *,
    make_reports: ReportMaker,
) -> FinishReport:
    """Finish a flight (id or name); idempotent and resumable.

    progress      gets the stage and the percent of the whole
    cancelled     asked often; once it is true the run stops cleanly and can be continued
    make_reports  makes the quality reports of a revision before it is published

    Raises NotFound, OriginalPurged, InputUnusable (nothing to finish, or invalid options), FlightBusy,
    StorageFailed (run again to continue), Cancelled.
    """
    began_ns = workspace.clock_ns()
    flight = workspace.catalog.flights.flight(ref)
    check_request(flight, request)
    workspace = enable_eviction(workspace)
    workspace.require_disk_space()
    check_store_writable(workspace)
    _require_photos(workspace, flight)
    # Not the flight's own lock: ingest and withdrawal are not held up meanwhile (decision 0014).
    with workspace.catalog.flights.lock(f"finish-{flight.flight_id}"):
        jobs = plan_layer_jobs(workspace, flight, request)
        last = estimate_commune_cost(jobs[0].work.tiles)
        whole = sum(job.cost for job in jobs) + last
        layers: list[LayerReport] = []
        done = 0.0
        for job in jobs:
            told = FinishProgress(progress, job.costs, cancelled, before=done, whole=whole)
            layers.append(_finish_layer(workspace, job, told, make_reports))
            done += job.cost
        if all(one.record is None for one in layers):
            raise InputUnusable(_("{name}: {why}", name=flight.name, why=layers[0].why))
        told = FinishProgress(progress, {"communes": last}, cancelled, before=done, whole=whole)
        communes = _cover(workspace, flight, told)
    return FinishReport(
        flight=flight,
        layers=tuple(layers),
        communes=tuple(communes),
        seconds=(workspace.clock_ns() - began_ns) / 1e9,
        notes=workspace.disk_space.notes,
    )


def _require_photos(workspace: Workspace, flight: Flight) -> None:
    """Raise unless all photos of the flight are here.

    OriginalPurged where some were deleted under a retention term, InputUnusable where they are on the node
    that flew it and not here.
    """
    gone = find_flight_purged(workspace, flight.flight_id)
    used = workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED) if gone else []
    lines = [gone[one] for record in used if (one := record.header.provenance.source_sha256) in gone]
    if lines:
        raise make_original_purged(lines[0], f"{flight.name}, {len(lines)} photos")
    if elsewhere := len(find_remote_photos(workspace, flight.flight_id)):
        raise InputUnusable(
            _(
                "{name}: {elsewhere} photos of this flight are on another box, only its map "
                "came here; finish it there, or bring them with 'flycam bundle write "
                "--originals'",
                name=flight.name,
                elsewhere=elsewhere,
            )
        )


def _finish_layer(
    workspace: Workspace, job: LayerJob, progress: FinishProgress, make_reports: ReportMaker
) -> LayerReport:
    """Return one layer's new or existing revision, or the reason why there is none."""
    layer = job.mosaic.layer.value
    if job.skip_reason:
        return LayerReport(layer=layer, record=None, why=job.skip_reason)
    standing = workspace.catalog.revisions.find_by_inputs(job.mosaic.mosaic_id, job.digest)
    if standing is not None and not job.request.redo:
        instead_of = _show(workspace, job.flight, standing)
        mended = _repair(workspace, job, standing, progress)
        # of a run that was killed after it published
        _stages(workspace, job).remove()
        return LayerReport(layer=layer, record=standing, repaired=mended, instead_of=instead_of)
    record = _make_revision(workspace, job, _prepare(workspace, job, progress), make_reports)
    return LayerReport(layer=layer, record=record, new=True)


def _prepare(workspace: Workspace, job: LayerJob, progress: FinishProgress) -> FinishRun:
    """Check disk space and control, and remove a killed run's partial files.

    All before the work begins.
    """
    folder = _stages(workspace, job)
    wanted_bytes = _RUN_BYTES + _FRAME_BYTES * len(job.records)
    workspace.disk_space.free_space(wanted_bytes)
    folder.require_free(wanted_bytes, job.flight.name)
    folder.remove_partial()
    progress.resume_from(
        folder.load("seconds", ()) or {}, lambda spent: folder.save("seconds", spent, synced=False)
    )
    run = FinishRun(
        flight=job.flight,
        mosaic=job.mosaic,
        records=job.records,
        frames=build_block_frames(job.records, rolling_shutter=job.request.rolling_shutter),
        terrain=load_recorded_terrain(workspace, job.dem_id),
        originals=PhotoCache(workspace, job.records),
        folder=folder,
        progress=progress,
        workers=count_workers(),
        terrain_sigma_m=job.terrain_sigma_m,
        cluster_run=open_cluster_run(workspace, job.flight.flight_id, FINISH + job.digest),
    )
    check_control(run.frames, job.request.reference, job.request.gcp)
    if job.request.gcp is not None:
        store_original(workspace, job.request.gcp)
    return run


def _stages(workspace: Workspace, job: LayerJob) -> StageFolder:
    name = f"{job.mosaic.layer.value}-{job.digest}"
    return StageFolder(workspace.cache_dir / STAGES_DIR / job.flight.flight_id / name, job.digest)


def _make_revision(
    workspace: Workspace, job: LayerJob, run: FinishRun, make_reports: ReportMaker
) -> RevisionRecord:
    """Run all stages of one layer, up to the published revision."""
    made = _make_stages(run, job.request)
    revisions = workspace.catalog.revisions
    number = revisions.open(run.mosaic, job.digest, job.options, workspace.clock_ns())
    revisions.put_frames(run.mosaic.mosaic_id, number, [one.kept for one in made.placing.frames])
    mosaic = replace(run.mosaic, revision=number, published=False)
    write_revision_tiles(workspace, run, mosaic, made)
    record = _describe_revision(workspace, run, made, revisions.get(mosaic.mosaic_id, number))
    if job.request.report:
        with run.progress.stage("report") as told:
            reports, figures = make_reports(workspace, run.flight, mosaic, record, told)
        stats = add_report_statistics(record.stats, figures, run.progress.seconds)
        record = replace(record, reports=reports, stats=stats)
    shown = _publish(workspace, run.flight, record)
    run.folder.remove()
    _forget_spread(run)
    return shown


def _forget_spread(run: FinishRun) -> None:
    if run.cluster_run is not None:
        run.cluster_run.clear()


def _make_stages(run: FinishRun, request: FinishRequest) -> RevisionInputs:
    """Compute all inputs of the tiles: poses, ground, radiometry and seamlines."""
    ties = find_tie_points(run)
    run = replace(run, frames=apply_tie_turns(run.frames, ties))
    controlled = adjust_with_control(
        run, ties.ties, request.adjust_options, request.reference, request.gcp, request.reference_sigma_m
    )
    adjustment = controlled.adjustment
    wanted = request.surface and adjustment.accepted
    surface = derive_surface(run, adjustment, request.spacing_m(run.flight)) if wanted else None
    terrain = run.terrain if surface is None else assign_content_id(surface.rectification_terrain())
    placing = place_frames(run.records, run.frames, adjustment, terrain, run.mosaic.base_zoom)
    if not placing.frames:
        raise InputUnusable(
            _(
                "{name}: none of its photos sees known ground: {left_out}",
                name=run.flight.name,
                left_out=placing.rejected[0][1],
            )
        )
    seen = make_overviews(run, placing.frames, terrain)
    radiometry = balance_radiometry(run, seen)
    return RevisionInputs(
        ties=ties,
        controlled=controlled,
        surface=surface,
        terrain=terrain,
        placing=placing,
        radiometry=radiometry,
        seams=plan_seamlines(run, seen, radiometry),
    )


def _describe_revision(
    workspace: Workspace, run: FinishRun, made: RevisionInputs, record: RevisionRecord
) -> RevisionRecord:
    """Return the record of a revision whose tiles are written, with its statistics."""
    surface = made.surface
    support = None if surface is None else build_support_grid(surface)
    own_pct = None
    if support is not None:
        mosaic = replace(run.mosaic, revision=record.revision)
        own_pct = compute_dsm_pct(workspace.store, workspace.catalog.tiles, mosaic, support)
    return replace(
        record,
        made_ns=workspace.clock_ns(),
        dem_id=store_terrain(workspace, made.terrain),
        support_key=None if support is None else keys.format_terrain_key(store_terrain(workspace, support)),
        stats=compile_statistics(
            ties=made.ties,
            frames=run.frames,
            adjustment=made.controlled.adjustment,
            control=made.controlled.stats,
            surface=surface,
            surface_id=None if surface is None else store_terrain(workspace, surface.terrain),
            own_pct=own_pct,
            placing=made.placing,
            rolling_shutter=bool(record.options.get("rolling_shutter", True)),
            radiometry=made.radiometry,
            plan=made.seams,
            seconds=run.progress.seconds,
        ),
    )


def _repair(workspace: Workspace, job: LayerJob, existing: RevisionRecord, progress: FinishProgress) -> int:
    """Repair lost or damaged tiles of an existing revision; return their number."""
    damaged = _damaged(workspace, existing, progress)
    if damaged:
        mosaic = replace(job.mosaic, revision=existing.revision, published=False)
        base = [tile for tile in damaged if tile.z == mosaic.base_zoom]
        if base:
            run = _prepare(workspace, job, progress)
            write_revision_tiles(workspace, run, mosaic, _make_stages(run, job.request), base)
            _forget_spread(run)
        repair_overview_tiles(workspace, mosaic, damaged)
    return len(damaged)


def _damaged(workspace: Workspace, existing: RevisionRecord, progress: FinishProgress) -> Sequence[TileId]:
    heads = workspace.catalog.tiles.heads(existing.mosaic_id, existing.revision)
    with progress.stage("check") as told:
        return find_damaged_tiles(
            workspace.store, heads, lambda done: told("check", done, len(heads)), count_workers()
        )


def _publish(workspace: Workspace, flight: Flight, record: RevisionRecord) -> RevisionRecord:
    """Publish the revision, with an entry in the audit log."""
    shown = workspace.catalog.revisions.publish(record)
    # Until then all that a redacted photo shows is withheld.
    update_redaction_footprints(workspace)
    what = "accepted" if record.stats["accepted"] else f"priors kept: {get_refusal(record.stats)}"
    workspace.catalog.audit.append(
        workspace.operator or workspace.box,
        "finish",
        flight.flight_id,
        f"{record.mosaic_id} revision {record.revision}: {what}",
    )
    return shown


def _show(workspace: Workspace, flight: Flight, existing: RevisionRecord) -> int | None:
    """Publish an existing revision unless it is; return the one it replaces.

    With an entry in the audit log.
    """
    tiles = workspace.catalog.tiles
    shown = tiles.mosaic(existing.mosaic_id).revision
    if shown == existing.revision:
        return None
    tiles.publish(existing.mosaic_id, existing.revision)
    workspace.catalog.audit.append(
        workspace.operator or workspace.box,
        "finish",
        flight.flight_id,
        f"{existing.mosaic_id} revision {existing.revision}: on show again instead of {shown}",
    )
    return shown


def _cover(workspace: Workspace, flight: Flight, progress: FinishProgress) -> list[Coverage]:
    """Measure the published revision's coverage by commune.

    Under the flight's lock: a concurrent ingest or withdrawal decides on coverage too, and must not be
    overwritten.
    """
    with workspace.catalog.flights.lock(flight.flight_id), progress.stage("communes") as told:
        return measure_coverage(workspace, flight, told, changed=False)
