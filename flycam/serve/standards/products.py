"""Clipped maps of communes as they lie in the store: Cloud-Optimized GeoTIFFs, read by ranges.

They show what the tiles show, pixel for pixel, so who may see the one may read the other.
"""

from __future__ import annotations

from typing import Annotated

import shapely
from fastapi import APIRouter, Depends, Path, Request, Response

from flycam.catalog.catalog import Catalog
from flycam.catalog.records import Coverage, MosaicInfo
from flycam.catalog.withholding import Withholding
from flycam.errors import NotFound
from flycam.messages import _
from flycam.pipeline.coverage import clip_of, main_mosaic_in
from flycam.serve.door.guard import Viewer, viewer
from flycam.serve.door.openings import Openings
from flycam.serve.services import CatalogHere, ServicesHere, StoreHere
from flycam.serve.standards.asked_for import Name
from flycam.serve.tiles.offered import revision_on_show, shown_mosaic, withheld_from
from flycam.serve.tiles.ranges import PartHere, beyond_the_end, bytes_answer

router = APIRouter(dependencies=[Depends(viewer)])

_AROUND_DEG = 0.001
COG = "image/tiff; application=geotiff; profile=cloud-optimized"


def clips_of(catalog: Catalog, mosaic: MosaicInfo) -> list[Coverage]:
    """Communes of which a clipped map may be had: of the revision by which its flight is shown."""
    if not mosaic.published or main_mosaic_in(catalog, mosaic.flight_id).mosaic_id != mosaic.mosaic_id:
        return []
    return catalog.boundaries.coverage(mosaic.flight_id)


def is_clip_withheld(catalog: Catalog, covered: Coverage, sees: Withholding) -> bool:
    """Whether a clipped map may show ground that is withheld: all of its commune that its flight saw.

    A file is handed out whole or not at all. Which of a commune's boundaries it was cut by is not recorded:
    one that is not known any more counts as withheld.
    """
    if sees.is_nothing:
        return False
    bounds = catalog.flights.flight(covered.flight_id).bounds_lonlat_deg
    if not sees.touches_box(bounds):
        return False
    try:
        commune = catalog.boundaries.commune(covered.commune_code)
    except NotFound:
        return True
    ground = shapely.from_wkb(commune.wkb)
    if bounds is not None:
        ground = shapely.intersection(ground, shapely.box(*bounds).buffer(_AROUND_DEG))
    return sees.touches(shapely.to_wkb(ground), margin_m=0.0)


@router.head("/cog/{mosaic_id}/{revision}/{commune}.tif", include_in_schema=False)
@router.get("/cog/{mosaic_id}/{revision}/{commune}.tif", response_class=Response)
def cog(
    mosaic_id: Name,
    revision: Annotated[int, Path(ge=0, lt=1_000_000_000)],
    commune: Name,
    request: Request,
    catalog: CatalogHere,
    store: StoreHere,
    services: ServicesHere,
    visitor: Viewer,
    part: PartHere,
) -> Response:
    """A commune of a mosaic revision as a GeoTIFF, made when it is first asked for, which takes seconds;
    ranges are honoured, so that GDAL reads what it needs."""
    sees = visitor.withholding
    shown, flight = shown_mosaic(catalog, mosaic_id, sees)
    mosaic = revision_on_show(catalog, shown, revision)
    covered = next((one for one in clips_of(catalog, mosaic) if one.commune_code == commune), None)
    if covered is None:
        raise NotFound(
            _("{commune}: no clipped map of it is made of this revision; see /stac", commune=commune[:80])
        )
    if is_clip_withheld(catalog, covered, sees):
        raise withheld_from(f"{flight.name}, {commune}", visitor.name)
    key = clip_of(services.workspace, flight, mosaic, covered)
    size = store.size(key)
    etag = key.rpartition("-")[2].removesuffix(".tif")
    start, stop = part.of(size, etag) if request.method == "GET" else (0, size)
    if start >= stop:
        return beyond_the_end(size)
    if request.method == "GET":
        openings: Openings = request.app.state.openings
        subject = f"{mosaic_id} r{revision} {commune}"
        openings.note_export(catalog.audit, visitor.name, "map exported", subject, flight.name)
    answer = bytes_answer(
        store,
        key,
        size,
        (start, stop),
        name=f"{mosaic_id}-r{revision}-{commune}.tif",
        etag=etag,
        media_type=COG,
    )
    return Response(headers=dict(answer.headers)) if request.method == "HEAD" else answer
