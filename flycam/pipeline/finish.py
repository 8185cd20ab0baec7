"""From a live mosaic to one that can be measured on: a new revision beside it, from the same frames.

    frames as recorded -> ties -> adjust -> (control, reference: adjust again) -> surface -> radiometry
    -> seams -> tiles -> publish -> communes

Each layer of a flight is a block of its own. Every stage is kept on disk until the revision is published, so
that the same command goes on where it was killed or stopped; nothing is shown before all of it is there. The
same inputs and options make nothing new. Where the adjustment does not improve on the priors by its own
evidence they are kept, and the revision is evened out and blended with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flycam.adjust.bundle import LEAST_HELD_OUT, AdjustOptions
from flycam.adjust.ties import as_read
from flycam.catalog.records import Coverage, FrameRecord, FrameStatus, MosaicInfo, RevisionRecord
from flycam.catalog.revisions import LIVE_REVISION
from flycam.errors import InputUnusable
from flycam.frame.flight import Flight, FlightState
from flycam.frame.frame import Layer
from flycam.frame.terraincodec import encode_terrain, with_content_id
from flycam.geodata.crs import to_lonlat
from flycam.geometry.grid import zoom_for_gsd
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.photos import sha256_of
from flycam.pipeline.coverage import cover_communes, main_mosaic
from flycam.pipeline.evidence import keep
from flycam.pipeline.executor import workers_here
from flycam.pipeline.finish_block import block_frames, inputs_hash, one_system, terrain_id
from flycam.pipeline.finish_control import adjust_with_control, check_control
from flycam.pipeline.finish_originals import Originals
from flycam.pipeline.finish_placing import place_frames
from flycam.pipeline.finish_progress import FinishProgress
from flycam.pipeline.finish_report import FinishReport, LayerReport, statistics, with_seconds
from flycam.pipeline.finish_stages import Run, even_out, ground, overviews, plan, tie
from flycam.pipeline.finish_state import StageFolder
from flycam.pipeline.finish_tiles import write_tiles
from flycam.pipeline.opening import check_gsd
from flycam.pipeline.rectification import recorded_pose
from flycam.pipeline.report import make_reports
from flycam.pipeline.terrain import recorded_terrain
from flycam.pipeline.workspace import Progress, Workspace, silent
from flycam.store import keys
from flycam.surface.surface import Surface

_COARSEST_TIMES = 16.0
_DSM_PER_GSD = 4.0
_FINEST_DSM_M = 0.2  # at 1.7 cm GSD surface and blend on 7 cm posts took 300 of 335 processor seconds
_LEAST_FRAMES = 2
_FRAME_BYTES, _RUN_BYTES = 3_000_000, 300_000_000  # of stage files, measured on 1.3 and 9 megapixels


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishRequest:
    """What is asked for beyond the flight.

    surface          measure the ground from the flight itself, and rectify on it
    dsm_spacing_m    distance of its posts; None: four ground samples, 0.2 m at least
    rolling_shutter  use the cameras' readout times
    held_out_share   share of the tie points kept out of the adjustment and reported
    gsd_m            of the revision; None: the live mosaic's
    reference        a map of the same ground that the block is tied to
    gcp              ground control points, as OpenDroneMap's list writes them
    report           make the quality report
    redo             make a further revision even if one of the same inputs stands
    """

    surface: bool = True
    dsm_spacing_m: float | None = None
    rolling_shutter: bool = True
    held_out_share: float = AdjustOptions().held_out_share
    gsd_m: float | None = None
    reference: Path | None = None
    gcp: Path | None = None
    report: bool = True
    redo: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """What decides the result, as JSON values; files by their content. Raises SourceUnreadable."""
        plain = {name: value for name, value in asdict(self).items() if name not in ("report", "redo")}
        for name in ("reference", "gcp"):
            path = getattr(self, name)
            plain[name] = None if path is None else {"name": path.name, "sha256": sha256_of(path)}
        return plain


def _never() -> bool:
    return False


def finish(
    workspace: Workspace,
    ref: str,
    request: FinishRequest = FinishRequest(),
    progress: Progress = silent,
    cancelled: Callable[[], bool] = _never,
) -> FinishReport:
    """Finish a flight (id or name); see the recipe above. Idempotent, resumable.

    progress   told the stage and the percent of the whole
    cancelled  asked often; when it says so the run stops cleanly and can be continued

    Raises NotFound, InputUnusable (nothing to finish, or options that make no sense), FlightBusy,
    StorageTrouble (run again: it goes on), Cancelled.
    """
    began_ns = workspace.clock_ns()
    flight = workspace.catalog.flights.flight(ref)
    _check(flight, request)
    with workspace.catalog.flights.lock(f"finish-{flight.flight_id}"):
        layers: list[LayerReport] = []
        for mosaic in _live_mosaics(workspace, flight):
            # marks are made on the photos of the main layer
            asked = request if not layers else replace(request, gcp=None)
            told = FinishProgress(progress, cancelled=cancelled)
            layers.append(_finish_layer(workspace, flight, mosaic, asked, told))
        if all(one.record is None for one in layers):
            raise InputUnusable(f"{flight.name}: {layers[0].why}")
        communes = _cover(workspace, flight, FinishProgress(progress, cancelled=cancelled))
    return FinishReport(
        flight=flight,
        layers=tuple(layers),
        communes=tuple(communes),
        seconds=(workspace.clock_ns() - began_ns) / 1e9,
    )


def _check(flight: Flight, request: FinishRequest) -> None:
    if flight.state is FlightState.WITHDRAWN:
        raise InputUnusable(f"{flight.name}: this flight was withdrawn; there is nothing to finish")
    if flight.state is FlightState.INGESTING:
        raise InputUnusable(f"{flight.name}: its ingest is not complete; run 'flycam ingest' again first")
    if not LEAST_HELD_OUT <= request.held_out_share <= 0.5:
        raise InputUnusable(
            f"--held-out {request.held_out_share:g}: give a share from {LEAST_HELD_OUT:g} to 0.5; without "
            "points held out nothing tells whether the adjustment is better than what it began with"
        )
    if request.gsd_m is not None:
        check_gsd(request.gsd_m, flight.gsd_m, _COARSEST_TIMES * flight.gsd_m)
    if request.dsm_spacing_m is not None and not flight.gsd_m <= request.dsm_spacing_m <= 100.0:
        raise InputUnusable(
            f"--dsm-spacing {request.dsm_spacing_m:g}: give metres, from the flight's ground sample "
            f"({flight.gsd_m:.2g} m) to 100"
        )


def _live_mosaics(workspace: Workspace, flight: Flight) -> list[MosaicInfo]:
    """The live mosaic of each layer, the one that the flight is shown by first."""
    mosaics = [m for m in workspace.catalog.tiles.mosaics(flight.flight_id) if m.revision == LIVE_REVISION]
    if not mosaics:
        raise InputUnusable(f"{flight.name}: it has no mosaic yet; run 'flycam ingest' again to complete it")
    return sorted(mosaics, key=lambda mosaic: (mosaic.layer is not Layer.COLOUR, mosaic.layer))


def _finish_layer(
    workspace: Workspace,
    flight: Flight,
    live: MosaicInfo,
    request: FinishRequest,
    progress: FinishProgress,
) -> LayerReport:
    """One layer's new revision, the one that stands, or the sentence why there is none."""
    layer = live.layer.value
    used = workspace.catalog.frames.of_flight(flight.flight_id, FrameStatus.USED)
    records = [record for record in used if record.header.layer is live.layer]
    if len(records) < _LEAST_FRAMES:
        return LayerReport(
            layer=layer,
            record=None,
            why=f"its {layer} layer has {len(records)} photos; {_LEAST_FRAMES} that overlap are needed",
        )
    one_system(records)
    dem_id = terrain_id(records, flight.dem_id)
    mosaic = _with_gsd(live, records, request.gsd_m)
    options = request.options
    digest = inputs_hash(mosaic, records, dem_id, options)
    standing = workspace.catalog.revisions.standing(live.mosaic_id, digest)
    if standing is not None and not request.redo:
        _show(workspace, standing)
        return LayerReport(layer=layer, record=standing)
    folder = StageFolder(workspace.cache_dir / "finish" / flight.flight_id / f"{layer}-{digest}", digest)
    folder.require_free(_RUN_BYTES + _FRAME_BYTES * len(records), flight.name)
    folder.sweep()
    run = Run(
        flight=flight,
        mosaic=mosaic,
        records=records,
        frames=block_frames(records),
        terrain=recorded_terrain(workspace, dem_id),
        originals=Originals(workspace, records),
        folder=folder,
        progress=progress,
        workers=workers_here(),
    )
    check_control(run.frames, request.reference, request.gcp)
    if request.gcp is not None:
        keep(workspace, request.gcp)
    record = _make_revision(workspace, run, request, options, digest)
    folder.remove()
    return LayerReport(layer=layer, record=record, new=True)


def _make_revision(
    workspace: Workspace, run: Run, request: FinishRequest, asked: dict[str, Any], digest: str
) -> RevisionRecord:
    """All stages of one layer, up to the revision on show. asked: the options as they are recorded."""
    spacing_m = request.dsm_spacing_m or max(_DSM_PER_GSD * run.flight.gsd_m, _FINEST_DSM_M)
    ties = tie(run)
    run = replace(run, frames=as_read(run.frames, ties))
    options = AdjustOptions(held_out_share=request.held_out_share, rolling_shutter=request.rolling_shutter)
    controlled = adjust_with_control(run, ties.ties, options, request.reference, request.gcp)
    adjustment = controlled.adjustment
    surface = ground(run, adjustment, spacing_m) if request.surface and adjustment.accepted else None
    terrain = run.terrain if surface is None else with_content_id(surface.for_rectification())
    placing = place_frames(run.records, run.frames, adjustment, terrain, run.mosaic.base_zoom)
    if not placing.frames:
        raise InputUnusable(
            f"{run.flight.name}: none of its photos sees known ground: {placing.left_out[0][1]}"
        )
    seen = overviews(run, placing.frames, terrain)
    radiometry = even_out(run, seen)
    seams = plan(run, seen, radiometry)
    revisions = workspace.catalog.revisions
    number = revisions.open(run.mosaic, digest, asked, workspace.clock_ns())
    revisions.put_frames(run.mosaic.mosaic_id, number, [one.kept for one in placing.frames])
    mosaic = replace(run.mosaic, revision=number, published=False)
    write_tiles(workspace, run, mosaic, seams, radiometry, placing.frames, terrain, surface)
    record = replace(
        revisions.get(mosaic.mosaic_id, number),
        made_ns=workspace.clock_ns(),
        dem_id=_keep_terrain(workspace, terrain),
        support_key=None if surface is None else _keep_support(workspace, surface),
        stats=statistics(
            ties=ties,
            adjustment=adjustment,
            control=controlled.stats,
            surface=surface,
            surface_id=None if surface is None else _keep_terrain(workspace, surface.terrain),
            placing=placing,
            radiometry=radiometry,
            plan=seams,
            seconds=run.progress.seconds,
        ),
    )
    if request.report:
        with run.progress.stage("report") as told:
            record = replace(record, reports=make_reports(workspace, run.flight, mosaic, record, told))
        record = replace(record, stats=with_seconds(record.stats, run.progress.seconds))
    return _publish(workspace, run.flight, record)


def _publish(workspace: Workspace, flight: Flight, record: RevisionRecord) -> RevisionRecord:
    """On show, with a line in the audit log."""
    shown = workspace.catalog.revisions.publish(record)
    what = "accepted" if record.stats["accepted"] else f"priors kept: {record.stats['why']}"
    workspace.catalog.audit.append(
        workspace.operator or workspace.box,
        "finish",
        flight.flight_id,
        f"{record.mosaic_id} revision {record.revision}: {what}",
    )
    return shown


def _show(workspace: Workspace, standing: RevisionRecord) -> None:
    """Show a revision that stands already, if another is on show."""
    tiles = workspace.catalog.tiles
    if tiles.mosaic(standing.mosaic_id).revision != standing.revision:
        tiles.publish(standing.mosaic_id, standing.revision)


def _cover(workspace: Workspace, flight: Flight, progress: FinishProgress) -> list[Coverage]:
    """Communes of the revision on show: measured and clipped anew unless they are of that revision already.

    Not while the flight is ingested or withdrawn from, for what those decide must not be overwritten.
    """
    shown = main_mosaic(workspace, flight.flight_id)
    own = keys.product_prefix(shown.mosaic_id, shown.revision)
    standing = workspace.catalog.boundaries.coverage(flight.flight_id)
    if standing and all(one.clip_key is None or one.clip_key.startswith(own) for one in standing):
        return standing
    with workspace.catalog.flights.lock(flight.flight_id), progress.stage("communes") as told:
        return cover_communes(workspace, flight, told, changed=True)


def _with_gsd(live: MosaicInfo, records: list[FrameRecord], gsd_m: float | None) -> MosaicInfo:
    if gsd_m is None:
        return live
    pose = recorded_pose(records[len(records) // 2])[0]
    lonlat = to_lonlat(np.array([pose.projection_centre_m[:2]]), pose.work_crs)
    return replace(live, base_zoom=zoom_for_gsd(gsd_m, float(lonlat[0, 1])))


def _keep_terrain(workspace: Workspace, terrain: TerrainGrid) -> str:
    """Record the terrain that a revision lies on; its id."""
    key = keys.terrain(terrain.dem_id)
    if not workspace.store.exists(key):
        workspace.store.put(key, encode_terrain(terrain), durable=True)
    return terrain.dem_id


def _keep_support(workspace: Workspace, surface: Surface) -> str:
    """Record where the surface is the flight's own, as a grid of its sigmas (NaN elsewhere); its key."""
    sigma = np.where(surface.support, surface.sigma_m, np.float32(np.nan))
    support = with_content_id(replace(surface.terrain, heights_m=sigma, dem_id="support"))
    return keys.terrain(_keep_terrain(workspace, support))
