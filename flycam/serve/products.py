"""Clipped maps of communes as they lie in the store: Cloud-Optimized GeoTIFFs, read by ranges.

They show what the tiles show, pixel for pixel, so who may see the one may read the other.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request, Response

from flycam.catalog.catalog import Catalog
from flycam.catalog.records import Coverage, MosaicInfo
from flycam.errors import NotFound
from flycam.serve.asked_for import Name
from flycam.serve.flights import CatalogHere
from flycam.serve.guard import viewer
from flycam.serve.offered import revision_on_show, shown_mosaic
from flycam.serve.ranges import StoreHere, beyond_the_end, bytes_answer, wanted
from flycam.store import keys

router = APIRouter(dependencies=[Depends(viewer)])

COG = "image/tiff; application=geotiff; profile=cloud-optimized"


def clips_of(catalog: Catalog, mosaic: MosaicInfo) -> list[tuple[Coverage, str]]:
    """The clipped maps that were made of this very revision, each with its store key."""
    prefix = keys.product_prefix(mosaic.mosaic_id, mosaic.revision)
    covered = catalog.boundaries.coverage(mosaic.flight_id)
    return [(one, one.clip_key) for one in covered if one.clip_key and one.clip_key.startswith(prefix)]


@router.head("/cog/{mosaic_id}/{revision}/{commune}.tif", include_in_schema=False)
@router.get("/cog/{mosaic_id}/{revision}/{commune}.tif", response_class=Response)
def cog(
    mosaic_id: Name,
    revision: Annotated[int, Path(ge=0, lt=1_000_000_000)],
    commune: Name,
    request: Request,
    catalog: CatalogHere,
    store: StoreHere,
    range_header: Annotated[str | None, Header(alias="range")] = None,
) -> Response:
    """A commune of a mosaic revision as a GeoTIFF; ranges are honoured, so that GDAL reads what it needs."""
    shown, _ = shown_mosaic(catalog, mosaic_id)
    mosaic = revision_on_show(catalog, shown, revision)
    key = next((key for one, key in clips_of(catalog, mosaic) if one.commune_code == commune), None)
    if key is None:
        raise NotFound(
            f"{commune[:80]}: no clipped map of it was made of this revision; see /stac",
            vi=f"{commune[:80]}: chưa có bản cắt của xã này từ bản ảnh này; xem /stac",
        )
    size = store.size(key)
    start, stop = wanted(range_header if request.method == "GET" else None, size)
    if start >= stop:
        return beyond_the_end(size)
    answer = bytes_answer(
        store,
        key,
        size,
        (start, stop),
        name=f"{mosaic_id}-r{revision}-{commune}.tif",
        etag=key.rpartition("-")[2].removesuffix(".tif"),
        media_type=COG,
    )
    return Response(headers=dict(answer.headers)) if request.method == "HEAD" else answer
