"""From a live mosaic to one that can be measured on: a new revision beside it, from the same frames.

    frames as recorded -> ties -> adjust -> (control, reference: adjust again) -> surface -> radiometry
    -> seams -> tiles -> publish -> communes

Each layer of a flight is a block of its own. Every stage is kept on disk until the revision is published, so
that the same command goes on where it was killed or stopped; nothing is shown before all of it is there. The
same inputs and options make nothing new, but tiles that were lost or damaged are made again. Where the
adjustment does not improve on the priors by its own evidence they are kept, and the revision is evened out
and blended with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from flycam.adjust.ties import as_read
from flycam.catalog.records import Coverage, FrameStatus, RevisionRecord
from flycam.catalog.retention_records import let_go_said
from flycam.errors import InputUnusable
from flycam.frame.flight import Flight
from flycam.frame.terraincodec import with_content_id
from flycam.geometry.grid import TileId
from flycam.messages import Bilingual, _
from flycam.mosaic.mending import damaged_tiles
from flycam.mosaic.own_ground import own_ground_pct
from flycam.pipeline.cache_names import STAGES
from flycam.pipeline.cluster.spread import FINISH, spread_of
from flycam.pipeline.coverage import cover_communes
from flycam.pipeline.evidence import keep, let_go_of
from flycam.pipeline.executor import workers_here
from flycam.pipeline.finish.block import block_frames
from flycam.pipeline.finish.controlled import adjust_with_control, check_control
from flycam.pipeline.finish.jobs import LayerJob, jobs_of
from flycam.pipeline.finish.made import Made, parents_mended, support_of, tiles_made
from flycam.pipeline.finish.originals import Originals
from flycam.pipeline.finish.placing import place_frames
from flycam.pipeline.finish.progress import FinishProgress, cost_of_communes
from flycam.pipeline.finish.quality_report import make_reports
from flycam.pipeline.finish.report import FinishReport, LayerReport, statistics, with_report
from flycam.pipeline.finish.request import FinishRequest, check_request
from flycam.pipeline.finish.stages import Run, even_out, ground, overviews, plan, tie
from flycam.pipeline.finish.state import StageFolder
from flycam.pipeline.freeing import watched
from flycam.pipeline.laying.redacting import settle_masked_ground
from flycam.pipeline.laying.refolding import photos_elsewhere
from flycam.pipeline.terrain import keep_terrain, recorded_terrain
from flycam.pipeline.trial import try_store
from flycam.pipeline.workspace import Progress, Workspace, silent
from flycam.store import keys

__all__ = ["FinishRequest", "finish"]

_FRAME_BYTES, _RUN_BYTES = 3_000_000, 300_000_000  # of stage files, measured on 1.3 and 9 megapixels


DEFAULTS = FinishRequest()


def _never() -> bool:
    return False


def finish(
    workspace: Workspace,
    ref: str,
    request: FinishRequest = DEFAULTS,
    progress: Progress = silent,
    cancelled: Callable[[], bool] = _never,
) -> FinishReport:
    """Finish a flight (id or name); see the recipe above. Idempotent, resumable.

    progress   told the stage and the percent of the whole
    cancelled  asked often; when it says so the run stops cleanly and can be continued

    Raises NotFound, LetGo, InputUnusable (nothing to finish, or options that make no sense), FlightBusy,
    StorageTrouble (run again: it goes on), Cancelled.
    """
    began_ns = workspace.clock_ns()
    flight = workspace.catalog.flights.flight(ref)
    check_request(flight, request)
    workspace = watched(workspace)
    workspace.require_room()
    try_store(workspace)
    _require_photos(workspace, flight)
    with workspace.catalog.flights.lock(f"finish-{flight.flight_id}"):
        jobs = jobs_of(workspace, flight, request)
        last = cost_of_communes(jobs[0].work.tiles)
        whole = sum(job.cost for job in jobs) + last
        layers: list[LayerReport] = []
        done = 0.0
        for job in jobs:
            told = FinishProgress(progress, job.costs, cancelled, before=done, whole=whole)
            layers.append(_finish_layer(workspace, job, told))
            done += job.cost
        if all(one.record is None for one in layers):
            first = layers[0]
            raise InputUnusable(_("{name}: {why}", name=flight.name, why=Bilingual(first.why, first.why_vi)))
        told = FinishProgress(progress, {"communes": last}, cancelled, before=done, whole=whole)
        communes = _cover(workspace, flight, told)
    return FinishReport(
        flight=flight,
        layers=tuple(layers),
        communes=tuple(communes),
        seconds=(workspace.clock_ns() - began_ns) / 1e9,
        notes=workspace.room.notes,
    )


def _require_photos(workspace: Workspace, flight: Flight) -> None:
    """Raise LetGo where photos of the flight were let go under a retention term, InputUnusable where they are
    on the box that flew it and not here."""
    gone = let_go_of(workspace, flight.flight_id)
    used = workspace.catalog.frames.of_flight(flight.flight_id, FrameStatus.USED) if gone else []
    lines = [gone[one] for record in used if (one := record.header.provenance.source_sha256) in gone]
    if lines:
        raise let_go_said(lines[0], f"{flight.name}, {len(lines)} photos")
    if elsewhere := len(photos_elsewhere(workspace, flight.flight_id)):
        raise InputUnusable(
            _(
                "{name}: {elsewhere} photos of this flight are on another box, only its map "
                "came here; finish it there, or bring them with 'flycam bundle write "
                "--originals'",
                name=flight.name,
                elsewhere=elsewhere,
            )
        )


def _finish_layer(workspace: Workspace, job: LayerJob, progress: FinishProgress) -> LayerReport:
    """One layer's new revision, the one that stands, or the sentence why there is none."""
    layer = job.mosaic.layer.value
    if job.why_not:
        return LayerReport(layer=layer, record=None, why=job.why_not, why_vi=job.why_not_vi)
    standing = workspace.catalog.revisions.standing(job.mosaic.mosaic_id, job.digest)
    if standing is not None and not job.request.redo:
        instead_of = _show(workspace, job.flight, standing)
        mended = _mend(workspace, job, standing, progress)
        _stages(workspace, job).remove()  # of a run that was killed once the revision was on show
        return LayerReport(layer=layer, record=standing, mended=mended, instead_of=instead_of)
    record = _make_revision(workspace, job, _prepare(workspace, job, progress))
    return LayerReport(layer=layer, record=record, new=True)


def _prepare(workspace: Workspace, job: LayerJob, progress: FinishProgress) -> Run:
    """Room on disk, what a killed run left swept away, control looked at: all before the work begins."""
    folder = _stages(workspace, job)
    wanted_bytes = _RUN_BYTES + _FRAME_BYTES * len(job.records)
    workspace.room.make(wanted_bytes)
    folder.require_free(wanted_bytes, job.flight.name)
    folder.sweep()
    progress.go_on_from(
        folder.load("seconds", ()) or {}, lambda spent: folder.save("seconds", spent, synced=False)
    )
    run = Run(
        flight=job.flight,
        mosaic=job.mosaic,
        records=job.records,
        frames=block_frames(job.records, rolling_shutter=job.request.rolling_shutter),
        terrain=recorded_terrain(workspace, job.dem_id),
        originals=Originals(workspace, job.records),
        folder=folder,
        progress=progress,
        workers=workers_here(),
        terrain_sigma_m=job.terrain_sigma_m,
        spread=spread_of(workspace, job.flight.flight_id, FINISH + job.digest),
    )
    check_control(run.frames, job.request.reference, job.request.gcp)
    if job.request.gcp is not None:
        keep(workspace, job.request.gcp)
    return run


def _stages(workspace: Workspace, job: LayerJob) -> StageFolder:
    name = f"{job.mosaic.layer.value}-{job.digest}"
    return StageFolder(workspace.cache_dir / STAGES / job.flight.flight_id / name, job.digest)


def _make_revision(workspace: Workspace, job: LayerJob, run: Run) -> RevisionRecord:
    """All stages of one layer, up to the revision on show."""
    made = _make_stages(run, job.request)
    revisions = workspace.catalog.revisions
    number = revisions.open(run.mosaic, job.digest, job.options, workspace.clock_ns())
    revisions.put_frames(run.mosaic.mosaic_id, number, [one.kept for one in made.placing.frames])
    mosaic = replace(run.mosaic, revision=number, published=False)
    tiles_made(workspace, run, mosaic, made)
    record = _described(workspace, run, made, revisions.get(mosaic.mosaic_id, number))
    if job.request.report:
        with run.progress.stage("report") as told:
            reports, figures = make_reports(workspace, run.flight, mosaic, record, told)
        stats = with_report(record.stats, figures, run.progress.seconds)
        record = replace(record, reports=reports, stats=stats)
    shown = _publish(workspace, run.flight, record)
    run.folder.remove()
    _forget_spread(run)
    return shown


def _forget_spread(run: Run) -> None:
    if run.spread is not None:
        run.spread.clear()


def _make_stages(run: Run, request: FinishRequest) -> Made:
    """All that tiles are made of: poses, ground, light and seams."""
    ties = tie(run)
    run = replace(run, frames=as_read(run.frames, ties))
    controlled = adjust_with_control(
        run, ties.ties, request.adjusting, request.reference, request.gcp, request.reference_sigma_m
    )
    adjustment = controlled.adjustment
    wanted = request.surface and adjustment.accepted
    surface = ground(run, adjustment, request.spacing_m(run.flight)) if wanted else None
    terrain = run.terrain if surface is None else with_content_id(surface.for_rectification())
    placing = place_frames(run.records, run.frames, adjustment, terrain, run.mosaic.base_zoom)
    if not placing.frames:
        raise InputUnusable(
            _(
                "{name}: none of its photos sees known ground: {left_out}",
                name=run.flight.name,
                left_out=Bilingual(placing.left_out[0][1], placing.left_out[0][2]),
            )
        )
    seen = overviews(run, placing.frames, terrain)
    radiometry = even_out(run, seen)
    return Made(
        ties=ties,
        controlled=controlled,
        surface=surface,
        terrain=terrain,
        placing=placing,
        radiometry=radiometry,
        seams=plan(run, seen, radiometry),
    )


def _described(workspace: Workspace, run: Run, made: Made, record: RevisionRecord) -> RevisionRecord:
    """The record of a revision whose tiles are written: its ground, and its figures."""
    surface = made.surface
    support = None if surface is None else support_of(surface)
    own_pct = None
    if support is not None:
        mosaic = replace(run.mosaic, revision=record.revision)
        own_pct = own_ground_pct(workspace.store, workspace.catalog.tiles, mosaic, support)
    return replace(
        record,
        made_ns=workspace.clock_ns(),
        dem_id=keep_terrain(workspace, made.terrain),
        support_key=None if support is None else keys.terrain(keep_terrain(workspace, support)),
        stats=statistics(
            ties=made.ties,
            frames=run.frames,
            adjustment=made.controlled.adjustment,
            control=made.controlled.stats,
            surface=surface,
            surface_id=None if surface is None else keep_terrain(workspace, surface.terrain),
            own_pct=own_pct,
            placing=made.placing,
            rolling_shutter=bool(record.options.get("rolling_shutter", True)),
            radiometry=made.radiometry,
            plan=made.seams,
            seconds=run.progress.seconds,
        ),
    )


def _mend(workspace: Workspace, job: LayerJob, standing: RevisionRecord, progress: FinishProgress) -> int:
    """Make tiles of a standing revision again whose objects are lost or damaged; how many there were."""
    damaged = _damaged(workspace, standing, progress)
    if damaged:
        mosaic = replace(job.mosaic, revision=standing.revision, published=False)
        base = [tile for tile in damaged if tile.z == mosaic.base_zoom]
        if base:
            run = _prepare(workspace, job, progress)
            tiles_made(workspace, run, mosaic, _make_stages(run, job.request), base)
            _forget_spread(run)
        parents_mended(workspace, mosaic, damaged)
    return len(damaged)


def _damaged(workspace: Workspace, standing: RevisionRecord, progress: FinishProgress) -> Sequence[TileId]:
    heads = workspace.catalog.tiles.heads(standing.mosaic_id, standing.revision)
    with progress.stage("check") as told:
        return damaged_tiles(
            workspace.store, heads, lambda done: told("check", done, len(heads)), workers_here()
        )


def _publish(workspace: Workspace, flight: Flight, record: RevisionRecord) -> RevisionRecord:
    """On show, with a line in the audit log."""
    shown = workspace.catalog.revisions.publish(record)
    settle_masked_ground(workspace)  # until then all that a masked photo shows is withheld
    what = "accepted" if record.stats["accepted"] else f"priors kept: {record.stats['why']}"
    workspace.catalog.audit.append(
        workspace.operator or workspace.box,
        "finish",
        flight.flight_id,
        f"{record.mosaic_id} revision {record.revision}: {what}",
    )
    return shown


def _show(workspace: Workspace, flight: Flight, standing: RevisionRecord) -> int | None:
    """Show a revision that stands already, with a line in the audit log, if another is on show; which that
    was."""
    tiles = workspace.catalog.tiles
    shown = tiles.mosaic(standing.mosaic_id).revision
    if shown == standing.revision:
        return None
    tiles.publish(standing.mosaic_id, standing.revision)
    workspace.catalog.audit.append(
        workspace.operator or workspace.box,
        "finish",
        flight.flight_id,
        f"{standing.mosaic_id} revision {standing.revision}: on show again instead of {shown}",
    )
    return shown


def _cover(workspace: Workspace, flight: Flight, progress: FinishProgress) -> list[Coverage]:
    """Communes of the revision on show. Not while the flight is ingested or withdrawn from, for what those
    decide must not be overwritten."""
    with workspace.catalog.flights.lock(flight.flight_id), progress.stage("communes") as told:
        return cover_communes(workspace, flight, told, changed=False)
