"""OGC WMTS 1.0.0, OGC API Tiles and KML: every published mosaic as a layer.

Clients are QGIS, ArcGIS and others. `/wmts` answers key-value requests (GetCapabilities, GetTile);
`/wmts/1.0.0/WMTSCapabilities.xml` is the same document for clients that read tiles by address. The grid is
the well-known WebMercatorQuad (OGC 17-083r2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import numpy as np
import shapely
from fastapi import APIRouter, Depends, Path, Request, Response

from flycam.access.policy import (
    AccessPolicy,
    find_shown_mosaic,
    format_title,
    get_flight_bounds,
    iterate_shown_mosaics,
    list_flights_on_map,
    read_events_by_id,
)
from flycam.catalog.catalog import Catalog
from flycam.errors import NotFound
from flycam.geodata.kml import KmlStyle, Placemark, escape_xml, format_box, format_kml, format_placemark
from flycam.geometry.grid import (
    HALF_WORLD_M,
    MAX_ZOOM,
    TILE_SIZE_PX,
    TileId,
    get_tile_bounds,
    mercator_to_lonlat,
)
from flycam.http.guards import AccessPolicyHere, CatalogHere, get_access_policy, require_viewer
from flycam.http.protocol import Json, build_link, get_base_url, quote_path_segment
from flycam.messages import _
from flycam.model.flight import Event, Flight
from flycam.model.records import BoundsLonLat, MosaicInfo
from flycam.model.time import EARLIEST_NS, format_iso, format_minute, format_utc_offset
from flycam.mosaic.tiles.codec import ViewFormat
from flycam.serve.flight_routes import get_shown_outline
from flycam.serve.ogc.features import CRS84, NamePath, accept_json_only, create_standard_router
from flycam.serve.tiles import (
    TILE_MATRIX_SET,
    TileMatrix,
    build_tile_response,
    is_within_limits,
    iterate_tile_limits,
)

# -- OGC API Tiles: tile sets of the published mosaics, and their tiles ----------------------------
#
# Sources: OGC 20-057 (Tiles, part 1); OGC 17-083r4 (tile matrix set, tile set metadata), JSON encoding.


router = create_standard_router("/ogc", "OGC API", accept_json_only)

_CRS = "http://www.opengis.net/def/crs/EPSG/0/3857"
_URI = f"http://www.opengis.net/def/tilematrixset/OGC/1.0/{TILE_MATRIX_SET}"
_SCALES = "http://www.opengis.net/def/wkss/OGC/1.0/GoogleMapsCompatible"
_SCHEME = "http://www.opengis.net/def/rel/ogc/1.0/tiling-scheme"
_TITLE = "Google Maps Compatible for the World"
_DIGITS = "^[0-9]{1,8}$"
_Quad = Literal["WebMercatorQuad"]


@router.get("/tileMatrixSets")
def list_tile_matrix_sets(request: Request) -> Json:
    """List the tile matrix sets: one."""
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
    """Return the tile matrix set, with matrices for all zooms that can be requested."""
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
        "tileMatrices": [_describe_matrix(TileMatrix(zoom)) for zoom in range(MAX_ZOOM + 1)],
    }


@router.get("/collections/{collection_id}/map/tiles")
def list_tile_sets(collection_id: NamePath, request: Request, catalog: CatalogHere) -> Json:
    """List the tile sets of a mosaic: one."""
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
    """Return one tile set: its bounds, its limits, and the URL template of its tiles."""
    mosaic, flight = find_shown_mosaic(catalog, collection_id, get_access_policy(request))
    event = catalog.flights.event(flight.event_id)
    base = get_base_url(request)
    west, south, east, north = get_flight_bounds(flight)
    here = f"{base}ogc/collections/{quote_path_segment(mosaic.mosaic_id)}/map/tiles/{TILE_MATRIX_SET}"
    return {
        **_describe_mosaic(mosaic, flight, event),
        "tileMatrixSetLimits": [
            {
                "tileMatrix": str(one.z),
                "minTileRow": one.y_start,
                "maxTileRow": one.y_stop - 1,
                "minTileCol": one.x_start,
                "maxTileCol": one.x_stop - 1,
            }
            for one in iterate_tile_limits(mosaic, get_flight_bounds(flight))
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
    """Return a tile of the published revision as PNG.

    Transparent where nothing was imaged; 404 outside the limits that the tile set states.
    """
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


def _describe_matrix(matrix: TileMatrix) -> Json:
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


# -- WMTS 1.0.0: capabilities and tiles ------------------------------------------------------------


wmts_router = APIRouter(dependencies=[Depends(require_viewer)])

_FORMATS = {one.value: one for one in (ViewFormat.PNG, ViewFormat.WEBP)}

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<Capabilities xmlns="http://www.opengis.net/wmts/1.0" xmlns:ows="http://www.opengis.net/ows/1.1"
 xmlns:xlink="http://www.w3.org/1999/xlink" version="1.0.0">
<ows:ServiceIdentification><ows:Title>flycam</ows:Title><ows:ServiceType>OGC WMTS</ows:ServiceType>
<ows:ServiceTypeVersion>1.0.0</ows:ServiceTypeVersion></ows:ServiceIdentification>"""


@wmts_router.get("/wmts", response_class=Response)
def answer_wmts_kvp(request: Request, catalog: CatalogHere, access_policy: AccessPolicyHere) -> Response:
    """Answer WMTS 1.0.0 by key-value pairs: GetCapabilities (the default), GetTile."""
    parameters = {name.lower(): value for name, value in request.query_params.items()}
    if parameters.get("service", "WMTS").upper() != "WMTS":
        return _build_exception_report("InvalidParameterValue", "service", "only WMTS is served here")
    wanted = parameters.get("request", "GetCapabilities").lower()
    if wanted == "getcapabilities":
        return _xml(build_wmts_capabilities(catalog, str(request.base_url), access_policy))
    if wanted != "gettile":
        return _build_exception_report(
            "OperationNotSupported", "request", "ask for GetCapabilities or GetTile"
        )
    return _tile(request, catalog, parameters)


@wmts_router.get("/wmts/1.0.0/WMTSCapabilities.xml", response_class=Response)
def get_wmts_capabilities(
    request: Request, catalog: CatalogHere, access_policy: AccessPolicyHere
) -> Response:
    """Return the capabilities at the address that WMTS REST clients know."""
    return _xml(build_wmts_capabilities(catalog, str(request.base_url), access_policy))


def build_wmts_capabilities(catalog: Catalog, base: str, access_policy: AccessPolicy) -> str:
    """Build the capabilities document; `base`: the server's address, with a slash."""
    events, shown = read_events_by_id(catalog), list(iterate_shown_mosaics(catalog, access_policy))
    layers = [_layer(mosaic, flight, events[flight.event_id], base) for mosaic, flight in shown]
    deepest = max((mosaic.base_zoom for mosaic, __ in shown), default=0)
    grid = (
        f"<TileMatrixSet><ows:Identifier>{TILE_MATRIX_SET}</ows:Identifier>"
        "<ows:SupportedCRS>urn:ogc:def:crs:EPSG::3857</ows:SupportedCRS>"
        "<WellKnownScaleSet>urn:ogc:def:wkss:OGC:1.0:GoogleMapsCompatible</WellKnownScaleSet>"
        f"{''.join(_format_matrix(TileMatrix(z)) for z in range(deepest + 1))}</TileMatrixSet>"
    )
    contents = f"<Contents>{''.join(layers)}{grid}</Contents>"
    document = escape_xml(f"{base}wmts/1.0.0/WMTSCapabilities.xml")
    return f'{_HEAD}{_operations(base)}{contents}<ServiceMetadataURL xlink:href="{document}"/></Capabilities>'


def _operations(base: str) -> str:
    address = escape_xml(f"{base}wmts?")
    get = (
        f'<ows:DCP><ows:HTTP><ows:Get xlink:href="{address}"><ows:Constraint name="GetEncoding">'
        "<ows:AllowedValues><ows:Value>KVP</ows:Value></ows:AllowedValues></ows:Constraint></ows:Get>"
        "</ows:HTTP></ows:DCP>"
    )
    both = "".join(f'<ows:Operation name="{n}">{get}</ows:Operation>' for n in ("GetCapabilities", "GetTile"))
    return f"<ows:OperationsMetadata>{both}</ows:OperationsMetadata>"


def _layer(mosaic: MosaicInfo, flight: Flight, event: Event, base: str) -> str:
    bounds = west, south, east, north = get_flight_bounds(flight)
    title = f"{format_title(flight.name, event)} ({mosaic.layer.value})"
    formats = "".join(f"<Format>{kind}</Format>" for kind in _FORMATS)
    templates = "".join(
        f'<ResourceURL format="{kind}" resourceType="tile" template='
        f'"{escape_xml(f"{base}tiles/{mosaic.mosaic_id}/{{TileMatrix}}/{{TileCol}}/{{TileRow}}{suffix}")}"/>'
        for kind, suffix in (("image/png", ".png"), ("image/webp", ".webp"))
    )
    return (
        f"<Layer><ows:Title>{escape_xml(title)}</ows:Title>"
        "<ows:Abstract>"
        f"{escape_xml(f'{format_iso(flight.first_ns)} – {format_iso(flight.last_ns)}')}</ows:Abstract>"
        f"<ows:WGS84BoundingBox><ows:LowerCorner>{west:.7f} {south:.7f}</ows:LowerCorner>"
        f"<ows:UpperCorner>{east:.7f} {north:.7f}</ows:UpperCorner></ows:WGS84BoundingBox>"
        f"<ows:Identifier>{escape_xml(mosaic.mosaic_id)}</ows:Identifier>"
        f'<Style isDefault="true"><ows:Identifier>default</ows:Identifier></Style>{formats}'
        f"<TileMatrixSetLink><TileMatrixSet>{TILE_MATRIX_SET}</TileMatrixSet><TileMatrixSetLimits>"
        f"{''.join(_format_limits(mosaic, bounds))}</TileMatrixSetLimits></TileMatrixSetLink>"
        f"{templates}</Layer>"
    )


def _format_limits(mosaic: MosaicInfo, bounds: tuple[float, float, float, float]) -> Iterator[str]:
    for tiles in iterate_tile_limits(mosaic, bounds):
        yield (
            f"<TileMatrixLimits><TileMatrix>{tiles.z}</TileMatrix><MinTileRow>{tiles.y_start}</MinTileRow>"
            f"<MaxTileRow>{tiles.y_stop - 1}</MaxTileRow><MinTileCol>{tiles.x_start}</MinTileCol>"
            f"<MaxTileCol>{tiles.x_stop - 1}</MaxTileCol></TileMatrixLimits>"
        )


def _format_matrix(matrix: TileMatrix) -> str:
    return (
        f"<TileMatrix><ows:Identifier>{matrix.zoom}</ows:Identifier>"
        f"<ScaleDenominator>{matrix.scale_denominator!r}</ScaleDenominator>"
        f"<TopLeftCorner>{-HALF_WORLD_M!r} {HALF_WORLD_M!r}</TopLeftCorner>"
        f"<TileWidth>{TILE_SIZE_PX}</TileWidth><TileHeight>{TILE_SIZE_PX}</TileHeight>"
        f"<MatrixWidth>{matrix.tiles}</MatrixWidth><MatrixHeight>{matrix.tiles}</MatrixHeight></TileMatrix>"
    )


def _tile(request: Request, catalog: Catalog, parameters: Mapping[str, str]) -> Response:
    """Answer GetTile: the tile, or an exception report on the wrong parameter."""
    names = ("layer", "tilematrix", "tilecol", "tilerow")
    missing = next((name for name in names if not parameters.get(name)), None)
    if missing:
        return _build_exception_report("MissingParameterValue", missing, f"{missing} is missing")
    if parameters.get("tilematrixset", TILE_MATRIX_SET) != TILE_MATRIX_SET:
        return _build_exception_report(
            "InvalidParameterValue", "tilematrixset", f"the only one is {TILE_MATRIX_SET}"
        )
    numbers = [parameters[name] for name in names[1:]]
    if not all(one.isascii() and one.isdecimal() and len(one) < 10 for one in numbers):
        return _build_exception_report(
            "InvalidParameterValue", "tilematrix", "see the capabilities for what there is"
        )
    wanted = _FORMATS.get(parameters.get("format", "image/png"))
    if wanted is None:
        return _build_exception_report("InvalidParameterValue", "format", f"ask for {' or '.join(_FORMATS)}")
    if not _is_plain(parameters["layer"]):
        return _build_exception_report(
            "InvalidParameterValue", "layer", "see the capabilities for what there is"
        )
    try:
        mosaic, flight = find_shown_mosaic(catalog, parameters["layer"], get_access_policy(request))
    except NotFound as error:
        return _build_exception_report("InvalidParameterValue", "layer", str(error))
    z, x, y = map(int, numbers)
    tile_id = TileId(z=z, x=x, y=y)
    if not is_within_limits(mosaic, flight, tile_id):
        return _build_exception_report(
            "TileOutOfRange", "tilerow", "see the TileMatrixSetLimits of the layer"
        )
    return build_tile_response(request, mosaic, tile_id, wanted)


def _is_plain(name: str) -> bool:
    return name.isascii() and all(c.isalnum() or c in "._-" for c in name)


def _xml(text: str, status: int = 200) -> Response:
    return Response(text, status, media_type="application/xml")


def _build_exception_report(code: str, where: str, what: str) -> Response:
    """Build an exception report (OGC 06-121r3)."""
    return _xml(
        '<?xml version="1.0" encoding="UTF-8"?><ExceptionReport xmlns="http://www.opengis.net/ows/1.1" '
        f'version="1.1.0"><Exception exceptionCode="{code}" '
        f'locator="{where}"><ExceptionText>{escape_xml(what)}'
        "</ExceptionText></Exception></ExceptionReport>",
        501 if code == "OperationNotSupported" else 400,
    )


# -- KML: flight outlines, and mosaics tile by tile ------------------------------------------------
#
# `/kml` lists the flights, `/kml/link.kml` is the small file that keeps requesting that list, and
# `/kml/{mosaic}/{z}/{x}/{y}.kml` is a node of the pyramid (Regions, "super-overlay"). A tile is placed by its
# edges in degrees: between them a Mercator image is off by less than a third of its pixel from zoom 8 on.
# Source: OGC 12-007r2 (KML 2.3), which reads KML 2.2.


kml_router = APIRouter(dependencies=[Depends(require_viewer)])

KML_MEDIA_TYPE = "application/vnd.google-earth.kml+xml"
_STYLES = {False: KmlStyle("real", "ffd700"), True: KmlStyle("drill", "007fff")}
_REFRESH_S = 60
_APPEARS_PX, _GONE_PX = 128, 2048
"""Side on the screen from which a tile is drawn, and up to which one that has children stays."""
_MAX_ROOTS = 4
_MINUTE_NS = 60 * 10**9
_Number = Annotated[int, Path(ge=0, lt=1 << MAX_ZOOM)]


@kml_router.get("/kml", response_class=Response)
def get_flights_kml(request: Request, catalog: CatalogHere) -> Response:
    """List flights on the map by event, each with outline, times and mosaic.

    The mosaic loads as one zooms in.
    """
    base = get_base_url(request)
    folders = "".join(_folder(request, catalog, event, base) for event in catalog.flights.events())
    document = format_kml("flycam", folders, styles=_STYLES.values(), is_open=True)
    return _kml(document, "flycam.kml")


@kml_router.get("/kml/link.kml", response_class=Response)
def get_live_kml_link(request: Request) -> Response:
    """Return a link to `/kml` that reloads every minute: the file to hand out."""
    link = (
        "<NetworkLink><name>flycam</name><open>1</open><Link>"
        f"<href>{escape_xml(get_base_url(request))}kml</href><refreshMode>onInterval</refreshMode>"
        f"<refreshInterval>{_REFRESH_S}</refreshInterval></Link></NetworkLink>"
    )
    return _kml(format_kml("flycam", link), "flycam-link.kml")


@kml_router.get("/kml/{mosaic_id}/{z}/{x}/{y}.kml", response_class=Response)
def get_tile_kml(
    mosaic_id: NamePath,
    z: Annotated[int, Path(ge=0, le=MAX_ZOOM)],
    x: _Number,
    y: _Number,
    request: Request,
    catalog: CatalogHere,
) -> Response:
    """Return one tile of the published mosaic as a ground overlay.

    With links to those of its children that exist.
    """
    mosaic, flight = find_shown_mosaic(catalog, mosaic_id, get_access_policy(request))
    tile = TileId(z=z, x=x, y=y)
    if not _exists(catalog, mosaic, tile):
        raise NotFound(_("{tile}: the mosaic has no such tile; see /kml", tile=tile))
    base = get_base_url(request)
    children = [one for one in tile.children() if z < mosaic.base_zoom and _exists(catalog, mosaic, one)]
    links = "".join(_node_link(mosaic, one, base) for one in children)
    has_children = bool(children)
    overlay = (
        f"<GroundOverlay><name>{tile}</name>{_region(tile, _GONE_PX if has_children else -1)}"
        f"<drawOrder>{_order(flight, tile.z)}</drawOrder>"
        f"<Icon><href>{escape_xml(base)}tiles/{quote_path_segment(mosaic.mosaic_id)}/{tile}.png</href></Icon>"
        f"{format_box('LatLonBox', _edges(tile))}</GroundOverlay>"
    )
    return _kml(format_kml(str(tile), overlay, links), f"{z}-{x}-{y}.kml")


def _folder(request: Request, catalog: Catalog, event: Event, base: str) -> str:
    shown = list_flights_on_map(catalog, get_access_policy(request), event.event_id)
    if not shown:
        return ""
    inside = "".join(_flight(request, catalog, one, event, base) for one in shown)
    return f"<Folder><name>{escape_xml(format_title(event.name, event))}</name>{inside}</Folder>"


def _flight(request: Request, catalog: Catalog, flight: Flight, event: Event, base: str) -> str:
    outline = get_shown_outline(request, catalog, flight)
    shape = shapely.from_wkb(outline) if outline else shapely.box(*get_flight_bounds(flight))
    links = "".join(
        f"<Folder><name>{escape_xml(mosaic.layer.value)}</name>"
        f"{''.join(_roots(catalog, mosaic, flight, base))}</Folder>"
        for mosaic in catalog.tiles.mosaics(flight.flight_id)
        if mosaic.published
    )
    name = format_title(flight.name, event)
    placemark = Placemark(
        name=name,
        description=_describe_flight(flight),
        begin=format_iso(flight.first_ns),
        end=format_iso(flight.last_ns),
        style=_STYLES[event.is_drill],
        shape=shape,
    )
    return f"<Folder><name>{escape_xml(name)}</name>{format_placemark(placemark)}{links}</Folder>"


def _describe_flight(flight: Flight) -> str:
    """Format time and GSD for readers in Vietnam: local time, centimetres."""
    first, last = format_minute(flight.first_ns), format_minute(flight.last_ns)
    return (
        f"{first} – {last} ({format_utc_offset(flight.first_ns, flight.last_ns)}) · GSD "
        f"{flight.gsd_m * 100:.0f} cm"
    )


def _roots(catalog: Catalog, mosaic: MosaicInfo, flight: Flight, base: str) -> Iterator[str]:
    """Yield links to the root tiles of the pyramid.

    They are at the deepest zoom at which a few tiles hold all of the mosaic.
    """
    few = [
        tiles for tiles in iterate_tile_limits(mosaic, get_flight_bounds(flight)) if len(tiles) <= _MAX_ROOTS
    ]
    for tile in few[-1] if few else ():
        if _exists(catalog, mosaic, tile):
            yield _node_link(mosaic, tile, base)


def _exists(catalog: Catalog, mosaic: MosaicInfo, tile: TileId) -> bool:
    return catalog.tiles.head(mosaic.mosaic_id, mosaic.revision, tile) is not None


def _node_link(mosaic: MosaicInfo, tile: TileId, base: str) -> str:
    return (
        f"<NetworkLink><name>{tile}</name>{_region(tile, -1)}<Link>"
        f"<href>{escape_xml(base)}kml/{quote_path_segment(mosaic.mosaic_id)}/{tile}.kml</href>"
        "<viewRefreshMode>onRegion</viewRefreshMode></Link></NetworkLink>"
    )


def _order(flight: Flight, zoom: int) -> int:
    """Return the draw order: the newest flight on top, then the finest zoom.

    Within 31 bits until 2100.
    """
    minutes = max(flight.last_ns - EARLIEST_NS, 0) // _MINUTE_NS
    return int(minutes) * (MAX_ZOOM + 6) + zoom


def _region(tile: TileId, max_px: int) -> str:
    return (
        f"<Region>{format_box('LatLonAltBox', _edges(tile))}<Lod><minLodPixels>{_APPEARS_PX}</minLodPixels>"
        f"<maxLodPixels>{max_px}</maxLodPixels></Lod></Region>"
    )


def _edges(tile: TileId) -> BoundsLonLat:
    """Return west, south, east, north of a tile in degrees."""
    x0, y0, x1, y1 = get_tile_bounds(tile)
    (west, south), (east, north) = mercator_to_lonlat(np.array([[x0, y0], [x1, y1]])).tolist()
    return west, south, east, north


def _kml(text: str, name: str) -> Response:
    headers = {"Content-Disposition": f'inline; filename="{name}"'}
    return Response(text, media_type=KML_MEDIA_TYPE, headers=headers)
