"""OGC API Tiles: the tile sets of the mosaics, as links to the very tiles that the map draws.

Sources: OGC 20-057 (Tiles, part 1); OGC 17-083r4 (tile matrix set, tile set metadata), JSON encoding.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Request, Response

from flycam.catalog.records import MosaicInfo
from flycam.errors import NotFound
from flycam.frame.flight import Event, Flight
from flycam.geometry.grid import HALF_WORLD_M, MAX_ZOOM, TILE_SIZE_PX, TileRange
from flycam.serve.asked_for import only_known
from flycam.serve.flights import CatalogHere
from flycam.serve.guard import viewer
from flycam.serve.links import base_of, link, part
from flycam.serve.offered import bounds_of, shown_mosaic, titled
from flycam.serve.ogc import CRS84, json_only
from flycam.serve.quad import QUAD, Matrix, limits
from flycam.serve.wording import Json

router = APIRouter(
    prefix="/ogc",
    tags=["OGC API"],
    dependencies=[Depends(viewer), Depends(only_known), Depends(json_only)],
    responses={400: {"description": "A parameter is not known or cannot be read"}},
)

_CRS = "http://www.opengis.net/def/crs/EPSG/0/3857"
_URI = f"http://www.opengis.net/def/tilematrixset/OGC/1.0/{QUAD}"
_SCALES = "http://www.opengis.net/def/wkss/OGC/1.0/GoogleMapsCompatible"
_SCHEME = "http://www.opengis.net/def/rel/ogc/1.0/tiling-scheme"
_TITLE = "Google Maps Compatible for the World"
_Name = Annotated[str, Path(max_length=200)]
_Digits = Annotated[str, Path(pattern="^[0-9]{1,8}$")]
_Quad = Literal["WebMercatorQuad"]


@router.get("/tileMatrixSets")
def matrix_sets(request: Request) -> Json:
    """The grids that tiles come in: one."""
    address = f"{base_of(request)}ogc/tileMatrixSets/{QUAD}"
    one = {"id": QUAD, "title": _TITLE, "uri": _URI, "crs": _CRS, "links": [link("self", address)]}
    return {"tileMatrixSets": [one]}


@router.get("/tileMatrixSets/{matrix_set}")
def matrix_set(matrix_set: _Name) -> Json:
    """The grid itself. Its matrices go as far as tiles can be asked for."""
    if matrix_set != QUAD:
        raise NotFound(
            f"{matrix_set[:80]}: the only grid is {QUAD}; see /ogc/tileMatrixSets",
            vi=f"{matrix_set[:80]}: chỉ có lưới {QUAD}; xem /ogc/tileMatrixSets",
        )
    return {
        "id": QUAD,
        "title": _TITLE,
        "uri": _URI,
        "crs": _CRS,
        "orderedAxes": ["X", "Y"],
        "wellKnownScaleSet": _SCALES,
        "tileMatrices": [_matrix(Matrix(zoom)) for zoom in range(MAX_ZOOM + 1)],
    }


@router.get("/collections/{collection_id}/map/tiles")
def tile_sets(collection_id: _Name, request: Request, catalog: CatalogHere) -> Json:
    """The tile sets of a mosaic: one."""
    mosaic, flight = shown_mosaic(catalog, collection_id)
    event = catalog.flights.event(flight.event_id)
    address = f"{base_of(request)}ogc/collections/{part(mosaic.mosaic_id)}/map/tiles"
    one = {**_named(mosaic, flight, event), "links": [link("self", f"{address}/{QUAD}")]}
    return {"links": [link("self", address)], "tilesets": [one]}


@router.get("/collections/{collection_id}/map/tiles/{matrix_set}")
def tile_set(collection_id: _Name, matrix_set: _Quad, request: Request, catalog: CatalogHere) -> Json:
    """One tile set: where it lies, which tiles there can be, and the template of their addresses."""
    mosaic, flight = shown_mosaic(catalog, collection_id)
    event = catalog.flights.event(flight.event_id)
    base = base_of(request)
    west, south, east, north = bounds_of(flight)
    tile = f"{base}tiles/{part(mosaic.mosaic_id)}/{{tileMatrix}}/{{tileCol}}/{{tileRow}}"
    return {
        **_named(mosaic, flight, event),
        "tileMatrixSetLimits": [_limits(one) for one in limits(mosaic, bounds_of(flight))],
        "boundingBox": {"lowerLeft": [west, south], "upperRight": [east, north], "crs": CRS84},
        "links": [
            link("self", f"{base}ogc/collections/{part(mosaic.mosaic_id)}/map/tiles/{matrix_set}"),
            link(_SCHEME, f"{base}ogc/tileMatrixSets/{QUAD}"),
            link("item", f"{tile}.png", "image/png", templated=True),
            link("item", f"{tile}.webp", "image/webp", templated=True),
        ],
    }


@router.get("/collections/{collection_id}/map/tiles/{matrix_set}/{matrix}/{row}/{column}")
def tile(
    collection_id: _Name,
    matrix_set: _Quad,
    matrix: _Digits,
    row: _Digits,
    column: _Digits,
    catalog: CatalogHere,
) -> Response:
    """A tile at the address that the standard recommends: sends on to its own, which knows its age.

    404 outside the limits that the tile set states.
    """
    mosaic, flight = shown_mosaic(catalog, collection_id)
    z, x, y = int(matrix), int(column), int(row)
    inside = next((one for one in limits(mosaic, bounds_of(flight)) if one.z == z), None)
    if inside is None or not (inside.y_start <= y < inside.y_stop and inside.x_start <= x < inside.x_stop):
        raise NotFound(
            f"{matrix_set} {matrix}/{row}/{column}: outside the tile set; see its tileMatrixSetLimits",
            vi=f"{matrix_set} {matrix}/{row}/{column}: ngoài bộ mảnh này; xem tileMatrixSetLimits",
        )
    path = f"/tiles/{part(mosaic.mosaic_id)}/{z}/{x}/{y}.png"
    return Response(status_code=307, headers={"Location": path, "Cache-Control": "no-store"})


def _named(mosaic: MosaicInfo, flight: Flight, event: Event) -> Json:
    return {
        "title": f"{titled(flight.name, event)} ({mosaic.layer.value})",
        "dataType": "map",
        "crs": _CRS,
        "tileMatrixSetURI": _URI,
    }


def _matrix(matrix: Matrix) -> Json:
    return {
        "id": str(matrix.zoom),
        "scaleDenominator": matrix.scale_denominator,
        "cellSize": matrix.cell_m,
        "cornerOfOrigin": "topLeft",
        "pointOfOrigin": [-HALF_WORLD_M, HALF_WORLD_M],
        "tileWidth": TILE_SIZE_PX,
        "tileHeight": TILE_SIZE_PX,
        "matrixWidth": matrix.tiles,
        "matrixHeight": matrix.tiles,
    }


def _limits(tiles: TileRange) -> Json:
    return {
        "tileMatrix": str(tiles.z),
        "minTileRow": tiles.y_start,
        "maxTileRow": tiles.y_stop - 1,
        "minTileCol": tiles.x_start,
        "maxTileCol": tiles.x_stop - 1,
    }
