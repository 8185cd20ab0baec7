"""OGC API Tiles: tile sets of the mosaics on show, and their tiles.

Sources: OGC 20-057 (Tiles, part 1); OGC 17-083r4 (tile matrix set, tile set metadata), JSON encoding.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path, Request, Response

from flycam.catalog.records import MosaicInfo
from flycam.errors import NotFound
from flycam.frame.flight import Event, Flight
from flycam.frame.tile_codec import ViewFormat
from flycam.geometry.grid import HALF_WORLD_M, MAX_ZOOM, TILE_SIZE_PX, TileId, TileRange
from flycam.messages import _
from flycam.serve.auth.guards import get_access_policy
from flycam.serve.http.json_values import Json
from flycam.serve.http.links import build_link, get_base_url, quote_path_segment
from flycam.serve.http.tile_matrix import TILE_MATRIX_SET, TileMatrix, iterate_tile_limits
from flycam.serve.services import CatalogHere
from flycam.serve.standards.ogc import CRS84, accept_json_only
from flycam.serve.standards.query_params import NamePath, create_standard_router
from flycam.serve.tiles.tile_responses import build_tile_response, is_within_limits
from flycam.serve.tiles.visible_flights import find_shown_mosaic, format_title, get_flight_bounds

router = create_standard_router("/ogc", "OGC API", accept_json_only)

_PNG = ViewFormat.PNG.value
_CRS = "http://www.opengis.net/def/crs/EPSG/0/3857"
_URI = f"http://www.opengis.net/def/tilematrixset/OGC/1.0/{TILE_MATRIX_SET}"
_SCALES = "http://www.opengis.net/def/wkss/OGC/1.0/GoogleMapsCompatible"
_SCHEME = "http://www.opengis.net/def/rel/ogc/1.0/tiling-scheme"
_TITLE = "Google Maps Compatible for the World"
_DIGITS = "^[0-9]{1,8}$"
_Quad = Literal["WebMercatorQuad"]


@router.get("/tileMatrixSets")
def list_tile_matrix_sets(request: Request) -> Json:
    """The grids that tiles come in: one."""
    address = f"{get_base_url(request)}ogc/tileMatrixSets/{TILE_MATRIX_SET}"
    one = {
        "id": TILE_MATRIX_SET,
        "title": _TITLE,
        "uri": _URI,
        "crs": _CRS,
        "links": [build_link("self", address)],
    }
    return {"tileMatrixSets": [one]}


@router.get("/tileMatrixSets/{matrix_set}")
def get_tile_matrix_set(matrix_set: NamePath) -> Json:
    """The grid itself. Its matrices go as far as tiles can be asked for."""
    if matrix_set != TILE_MATRIX_SET:
        raise NotFound(
            _(
                "{matrix_set}: the only grid is {quad}; see /ogc/tileMatrixSets",
                matrix_set=matrix_set[:80],
                quad=TILE_MATRIX_SET,
            )
        )
    return {
        "id": TILE_MATRIX_SET,
        "title": _TITLE,
        "uri": _URI,
        "crs": _CRS,
        "orderedAxes": ["X", "Y"],
        "wellKnownScaleSet": _SCALES,
        "tileMatrices": [_matrix(TileMatrix(zoom)) for zoom in range(MAX_ZOOM + 1)],
    }


@router.get("/collections/{collection_id}/map/tiles")
def list_tile_sets(collection_id: NamePath, request: Request, catalog: CatalogHere) -> Json:
    """The tile sets of a mosaic: one."""
    mosaic, flight = find_shown_mosaic(catalog, collection_id, get_access_policy(request))
    event = catalog.flights.event(flight.event_id)
    address = f"{get_base_url(request)}ogc/collections/{quote_path_segment(mosaic.mosaic_id)}/map/tiles"
    links = [
        build_link("self", f"{address}/{TILE_MATRIX_SET}"),
        build_link(_SCHEME, f"{get_base_url(request)}ogc/tileMatrixSets/{TILE_MATRIX_SET}"),
    ]
    one = {**_describe_mosaic(mosaic, flight, event), "links": links}
    return {"links": [build_link("self", address)], "tilesets": [one]}


@router.get("/collections/{collection_id}/map/tiles/{tileMatrixSetId}")
def get_tile_set(
    collection_id: NamePath,
    _matrix_set: Annotated[_Quad, Path(alias="tileMatrixSetId")],
    request: Request,
    catalog: CatalogHere,
) -> Json:
    """One tile set: where it lies, which tiles there can be, and the template of their addresses."""
    mosaic, flight = find_shown_mosaic(catalog, collection_id, get_access_policy(request))
    event = catalog.flights.event(flight.event_id)
    base = get_base_url(request)
    west, south, east, north = get_flight_bounds(flight)
    here = f"{base}ogc/collections/{quote_path_segment(mosaic.mosaic_id)}/map/tiles/{TILE_MATRIX_SET}"
    return {
        **_describe_mosaic(mosaic, flight, event),
        "tileMatrixSetLimits": [
            _limits(one) for one in iterate_tile_limits(mosaic, get_flight_bounds(flight))
        ],
        "boundingBox": {"lowerLeft": [west, south], "upperRight": [east, north], "crs": CRS84},
        "links": [
            build_link("self", here),
            build_link(_SCHEME, f"{base}ogc/tileMatrixSets/{TILE_MATRIX_SET}"),
            build_link(
                "alternate", f"{base}tilejson/{quote_path_segment(mosaic.mosaic_id)}", title="TileJSON"
            ),
            build_link(
                "item", f"{here}/{{tileMatrix}}/{{tileRow}}/{{tileCol}}", ViewFormat.PNG.value, templated=True
            ),
        ],
    }


@router.get(
    "/collections/{collection_id}/map/tiles/{tileMatrixSetId}/{tileMatrix}/{tileRow}/{tileCol}",
    response_class=Response,
)
def get_ogc_tile(
    collection_id: NamePath,
    matrix_set: Annotated[_Quad, Path(alias="tileMatrixSetId")],
    matrix: Annotated[str, Path(alias="tileMatrix", pattern=_DIGITS)],
    row: Annotated[str, Path(alias="tileRow", pattern=_DIGITS)],
    column: Annotated[str, Path(alias="tileCol", pattern=_DIGITS)],
    request: Request,
    catalog: CatalogHere,
) -> Response:
    """A tile of the revision on show as PNG, transparent where nothing was flown. 404 outside the limits that
    the tile set states."""
    mosaic, flight = find_shown_mosaic(catalog, collection_id, get_access_policy(request))
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
    return build_tile_response(request, mosaic, tile_id, ViewFormat.PNG)


def _describe_mosaic(mosaic: MosaicInfo, flight: Flight, event: Event) -> Json:
    return {
        "title": f"{format_title(flight.name, event)} ({mosaic.layer.value})",
        "dataType": "map",
        "crs": _CRS,
        "tileMatrixSetURI": _URI,
    }


def _matrix(matrix: TileMatrix) -> Json:
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
