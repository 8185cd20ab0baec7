"""Clips of communes as they lie in the store: Cloud-Optimized GeoTIFFs by ranges.

They show what the tiles show, pixel for pixel, so the same accounts may read both.
"""

from __future__ import annotations

from typing import Annotated

import shapely
from fastapi import APIRouter, Depends, Path, Request, Response

from flycam.catalog.access_policy import AccessPolicy
from flycam.catalog.catalog import Catalog
from flycam.catalog.records import Coverage, MosaicInfo
from flycam.errors import NotFound
from flycam.messages import _
from flycam.pipeline.coverage import make_clip, select_main_mosaic
from flycam.serve.auth.download_log import DownloadLog
from flycam.serve.auth.guards import ViewerPrincipal, require_viewer
from flycam.serve.services import CatalogHere, ServicesHere, StoreHere
from flycam.serve.standards.query_params import NamePath
from flycam.serve.tiles.byte_ranges import RangeHere, build_unsatisfiable_response, stream_object
from flycam.serve.tiles.visible_flights import build_withheld_error, find_shown_mosaic, find_shown_revision

router = APIRouter(dependencies=[Depends(require_viewer)])

_AROUND_DEG = 0.001
COG_MEDIA_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"


def list_clips(catalog: Catalog, mosaic: MosaicInfo) -> list[Coverage]:
    """Return communes of which clips exist: of the revision that shows the flight."""
    if not mosaic.published or select_main_mosaic(catalog, mosaic.flight_id).mosaic_id != mosaic.mosaic_id:
        return []
    return catalog.boundaries.coverage(mosaic.flight_id)


def is_clip_withheld(catalog: Catalog, covered: Coverage, access_policy: AccessPolicy) -> bool:
    """Return True if a clip may show withheld ground.

    Anywhere its commune was imaged: a file is served whole or not at all. Which version of a commune's
    boundaries cut it is not recorded: a commune that is not known any more counts as withheld.
    """
    if access_policy.is_nothing:
        return False
    bounds = catalog.flights.flight(covered.flight_id).bounds_lonlat_deg
    if not access_policy.touches_box(bounds):
        return False
    try:
        commune = catalog.boundaries.commune(covered.commune_code)
    except NotFound:
        return True
    ground = shapely.from_wkb(commune.wkb)
    if bounds is not None:
        ground = shapely.intersection(ground, shapely.box(*bounds).buffer(_AROUND_DEG))
    return access_policy.touches(shapely.to_wkb(ground), margin_m=0.0)


@router.head("/cog/{mosaic_id}/{revision}/{commune}.tif", include_in_schema=False)
@router.get("/cog/{mosaic_id}/{revision}/{commune}.tif", response_class=Response)
def get_clip_cog(
    mosaic_id: NamePath,
    revision: Annotated[int, Path(ge=0, lt=1_000_000_000)],
    commune: NamePath,
    request: Request,
    catalog: CatalogHere,
    store: StoreHere,
    services: ServicesHere,
    principal: ViewerPrincipal,
    part: RangeHere,
) -> Response:
    """A commune of a mosaic revision as a GeoTIFF, made when it is first asked for, which takes seconds;
    ranges are honoured, so that GDAL reads what it needs."""
    policy = principal.access_policy
    shown, flight = find_shown_mosaic(catalog, mosaic_id, policy)
    mosaic = find_shown_revision(catalog, shown, revision)
    covered = next((one for one in list_clips(catalog, mosaic) if one.commune_code == commune), None)
    if covered is None:
        raise NotFound(
            _("{commune}: no clipped map of it is made of this revision; see /stac", commune=commune[:80])
        )
    if is_clip_withheld(catalog, covered, policy):
        raise build_withheld_error(f"{flight.name}, {commune}", principal.name)
    key = make_clip(services.workspace, flight, mosaic, covered)
    size = store.size(key)
    etag = key.rpartition("-")[2].removesuffix(".tif")
    start, stop = part.resolve(size, etag) if request.method == "GET" else (0, size)
    if start >= stop:
        return build_unsatisfiable_response(size)
    if request.method == "GET":
        openings: DownloadLog = request.app.state.openings
        subject = f"{mosaic_id} r{revision} {commune}"
        openings.note_export(catalog.audit, principal.name, "map exported", subject, flight.name)
    answer = stream_object(
        store,
        key,
        size,
        (start, stop),
        name=f"{mosaic_id}-r{revision}-{commune}.tif",
        etag=etag,
        media_type=COG_MEDIA_TYPE,
    )
    return Response(headers=dict(answer.headers)) if request.method == "HEAD" else answer
