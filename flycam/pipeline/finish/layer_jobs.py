"""Work of `finish` for each layer of a flight, planned before any is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flycam.catalog.records import FrameRecord, FrameStatus, MosaicInfo
from flycam.errors import InputUnusable
from flycam.frame.flight import Flight
from flycam.frame.frame import Layer, name_layer
from flycam.geodata.crs import to_lonlat
from flycam.geometry.grid import TILE_SIZE_PX, choose_zoom, compute_ground_pixel_m
from flycam.messages import Message, _, ngettext
from flycam.pipeline.finish.adjustment_block import hash_block_inputs, require_common_crs, select_terrain
from flycam.pipeline.finish.finish_request import FinishRequest
from flycam.pipeline.finish.progress import WorkAhead, estimate_costs
from flycam.pipeline.orthorectification.rectification import get_recorded_pose
from flycam.pipeline.orthorectification.tile_rebuild import list_live_mosaics
from flycam.pipeline.terrain import find_stated_sigma
from flycam.pipeline.workspace import Workspace

_MIN_FRAMES = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerJob:
    """One layer to be finished.

    mosaic   of the layer, with the requested base zoom
    records  its frames in use
    dem_id   recorded terrain that they lie on
    terrain_sigma_m  its stated sigma, as `DemRecord.sigma_m`
    options  what decides the result, as recorded; digest: of that and of all inputs
    skip_reason  why it cannot be finished; then there is no digest
    """

    flight: Flight
    mosaic: MosaicInfo
    records: Sequence[FrameRecord]
    request: FinishRequest
    options: dict[str, Any]
    work: WorkAhead
    dem_id: str = ""
    terrain_sigma_m: tuple[float, float | None] | None = None
    digest: str = ""
    skip_reason: Message | None = None

    @property
    def costs(self) -> dict[str, float]:
        """Estimated cost by stage; empty if skipped."""
        return {} if self.skip_reason else estimate_costs(self.work)

    @property
    def cost(self) -> float:
        return sum(self.costs.values())


def plan_layer_jobs(workspace: Workspace, flight: Flight, request: FinishRequest) -> list[LayerJob]:
    """Return a job for each layer, first the one that the flight is shown by.

    Raises InputUnusable for a flight without a mosaic, or with poses in several systems; SourceUnreadable for
    a file of the request.
    """
    every = workspace.catalog.tiles.mosaics(flight.flight_id)
    shown = {mosaic.mosaic_id for mosaic in every if mosaic.published}
    mosaics = [one for one in list_live_mosaics(workspace, flight.flight_id) if one.mosaic_id in shown]
    if not mosaics:
        raise InputUnusable(
            _("{name}: it has no mosaic yet; run 'flycam ingest' again to complete it", name=flight.name)
        )
    mosaics.sort(key=lambda mosaic: (mosaic.layer is not Layer.COLOUR, mosaic.layer))
    used = workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    options = request.options
    jobs = []
    for number, mosaic in enumerate(mosaics):
        records = [record for record in used if record.header.layer is mosaic.layer]
        asked, recorded = request, options
        # Marks are made on the photos of the main layer.
        if number > 0:
            asked, recorded = replace(request, gcp=None), {**options, "gcp": None}
        jobs.append(_job(workspace, flight, mosaic, records, asked, recorded))
    return jobs


def _job(
    workspace: Workspace,
    flight: Flight,
    live: MosaicInfo,
    records: list[FrameRecord],
    request: FinishRequest,
    options: dict[str, Any],
) -> LayerJob:
    tiles = len(workspace.catalog.tiles.heads(live.mosaic_id, live.revision, z=live.base_zoom))
    mosaic = live
    if records and request.gsd_m is not None:
        mosaic = replace(live, base_zoom=choose_zoom(request.gsd_m, _latitude(records)))
    job = LayerJob(
        flight=flight,
        mosaic=mosaic,
        records=records,
        request=request,
        options=options,
        work=_work_ahead(flight, live, mosaic, records, request, tiles),
    )
    if len(records) < _MIN_FRAMES:
        why = ngettext(
            "its {layer} layer has {count} photo; {least} that overlap are needed",
            "its {layer} layer has {count} photos; {least} that overlap are needed",
            len(records),
            layer=name_layer(live.layer),
            least=_MIN_FRAMES,
        )
        return replace(job, skip_reason=why)
    require_common_crs(records)
    dem_id = select_terrain(records, flight.dem_id)
    centres = np.array([get_recorded_pose(record)[0].projection_centre_m[:2] for record in records])
    sigma_m = find_stated_sigma(workspace, centres, get_recorded_pose(records[0])[0].work_crs)
    if sigma_m is not None:
        options = {**options, "terrain_sigma_m": list(sigma_m)}
    return replace(
        job,
        dem_id=dem_id,
        options=options,
        terrain_sigma_m=sigma_m,
        digest=hash_block_inputs(mosaic, records, dem_id, options),
    )


def _work_ahead(
    flight: Flight,
    live: MosaicInfo,
    mosaic: MosaicInfo,
    records: Sequence[FrameRecord],
    request: FinishRequest,
    live_tiles: int,
) -> WorkAhead:
    posts = 0.0
    if request.surface and records:
        tile_m = TILE_SIZE_PX * compute_ground_pixel_m(live.base_zoom, _latitude(records))
        posts = live_tiles * (tile_m / request.spacing_m(flight)) ** 2
    return WorkAhead(
        frames=len(records),
        megapixels=sum(float(np.prod(one.header.interior.image_size_px)) for one in records) / 1e6,
        tiles=round(live_tiles * 4.0 ** (mosaic.base_zoom - live.base_zoom)),
        posts=posts,
        reference=request.reference is not None,
        report=request.report,
    )


def _latitude(records: Sequence[FrameRecord]) -> float:
    pose = get_recorded_pose(records[len(records) // 2])[0]
    return float(to_lonlat(np.array([pose.projection_centre_m[:2]]), pose.work_crs)[0, 1])
