"""OGC API Tiles: the tile sets of the mosaics on show, and their tiles at the addresses of the standard.

Sources: OGC 20-057 (Tiles, part 1); OGC 17-083r4 (tile matrix set, tile set metadata), JSON encoding.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path, Request, Response

from flycam.catalog.records import MosaicInfo
from flycam.errors import NotFound
from flycam.frame.flight import Event, Flight
from flycam.frame.tilecodec import ViewFormat
from flycam.geometry.grid import HALF_WORLD_M, MAX_ZOOM, TILE_SIZE_PX, TileId, TileRange
from flycam.messages import _
from flycam.serve.answering.links import base_of, link, part
from flycam.serve.answering.quad import QUAD, Matrix, limits
from flycam.serve.answering.wording import Json
from flycam.serve.door.guard import withholding_of
from flycam.serve.services import CatalogHere
from flycam.serve.standards.asked_for import Name, standard_router
from flycam.serve.standards.ogc import CRS84, json_only
from flycam.serve.tiles.offered import bounds_of, shown_mosaic, titled
from flycam.serve.tiles.tile_answers import is_within_limits, tile_answer

router = standard_router("/ogc", "OGC API", json_only)

_PNG = ViewFormat.PNG.value
_CRS = "http://www.opengis.net/def/crs/EPSG/0/3857"
_URI = f"http://www.opengis.net/def/tilematrixset/OGC/1.0/{QUAD}"
_SCALES = "http://www.opengis.net/def/wkss/OGC/1.0/GoogleMapsCompatible"
_SCHEME = "http://www.opengis.net/def/rel/ogc/1.0/tiling-scheme"
_TITLE = "Google Maps Compatible for the World"
_DIGITS = "^[0-9]{1,8}$"
_Quad = Literal["WebMercatorQuad"]


@router.get("/tileMatrixSets")
def matrix_sets(request: Request) -> Json:
    """The grids that tiles come in: one."""
    address = f"{base_of(request)}ogc/tileMatrixSets/{QUAD}"
    one = {"id": QUAD, "title": _TITLE, "uri": _URI, "crs": _CRS, "links": [link("self", address)]}
    return {"tileMatrixSets": [one]}


@router.get("/tileMatrixSets/{matrix_set}")
def matrix_set(matrix_set: Name) -> Json:
    """The grid itself. Its matrices go as far as tiles can be asked for."""
    if matrix_set != QUAD:
        raise NotFound(
            _(
                "{matrix_set}: the only grid is {quad}; see /ogc/tileMatrixSets",
                matrix_set=matrix_set[:80],
                quad=QUAD,
            )
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
def tile_sets(collection_id: Name, request: Request, catalog: CatalogHere) -> Json:
    """The tile sets of a mosaic: one."""
    mosaic, flight = shown_mosaic(catalog, collection_id, withholding_of(request))
    event = catalog.flights.event(flight.event_id)
    address = f"{base_of(request)}ogc/collections/{part(mosaic.mosaic_id)}/map/tiles"
    links = [link("self", f"{address}/{QUAD}"), link(_SCHEME, f"{base_of(request)}ogc/tileMatrixSets/{QUAD}")]
    one = {**_named(mosaic, flight, event), "links": links}
    return {"links": [link("self", address)], "tilesets": [one]}


@router.get("/collections/{collection_id}/map/tiles/{tileMatrixSetId}")
def tile_set(
    collection_id: Name,
    _matrix_set: Annotated[_Quad, Path(alias="tileMatrixSetId")],
    request: Request,
    catalog: CatalogHere,
) -> Json:
    """One tile set: where it lies, which tiles there can be, and the template of their addresses."""
    mosaic, flight = shown_mosaic(catalog, collection_id, withholding_of(request))
    event = catalog.flights.event(flight.event_id)
    base = base_of(request)
    west, south, east, north = bounds_of(flight)
    here = f"{base}ogc/collections/{part(mosaic.mosaic_id)}/map/tiles/{QUAD}"
    return {
        **_named(mosaic, flight, event),
        "tileMatrixSetLimits": [_limits(one) for one in limits(mosaic, bounds_of(flight))],
        "boundingBox": {"lowerLeft": [west, south], "upperRight": [east, north], "crs": CRS84},
        "links": [
            link("self", here),
            link(_SCHEME, f"{base}ogc/tileMatrixSets/{QUAD}"),
            link("alternate", f"{base}tilejson/{part(mosaic.mosaic_id)}", title="TileJSON"),
            link(
                "item", f"{here}/{{tileMatrix}}/{{tileRow}}/{{tileCol}}", ViewFormat.PNG.value, templated=True
            ),
        ],
    }


@router.get(
    "/collections/{collection_id}/map/tiles/{tileMatrixSetId}/{tileMatrix}/{tileRow}/{tileCol}",
    response_class=Response,
)
def tile(
    collection_id: Name,
    matrix_set: Annotated[_Quad, Path(alias="tileMatrixSetId")],
    matrix: Annotated[str, Path(alias="tileMatrix", pattern=_DIGITS)],
    row: Annotated[str, Path(alias="tileRow", pattern=_DIGITS)],
    column: Annotated[str, Path(alias="tileCol", pattern=_DIGITS)],
    request: Request,
    catalog: CatalogHere,
) -> Response:
    """A tile of the revision on show as PNG, transparent where nothing was flown. 404 outside the limits that
    the tile set states."""
    mosaic, flight = shown_mosaic(catalog, collection_id, withholding_of(request))
    tile_id = TileId(z=int(matrix), x=int(column), y=int(row))
    if not is_within_limits(mosaic, flight, tile_id):
        raise NotFound(
            _(
                "{matrix_set} {matrix}/{row}/{column}: outside the tile set; see its tileMatrixSetLimits",
                matrix_set=matrix_set,
                matrix=matrix,
                row=row,
                column=column,
            )
        )
    return tile_answer(request, mosaic, tile_id, ViewFormat.PNG)


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
