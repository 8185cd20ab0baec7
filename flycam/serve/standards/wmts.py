"""OGC WMTS 1.0.0: every mosaic on show as a layer, for QGIS, ArcGIS and other sites.

`/wmts` answers key-value requests (GetCapabilities, GetTile); `/wmts/1.0.0/WMTSCapabilities.xml` is the same
document for clients that read tiles by address. The grid is the well-known WebMercatorQuad (OGC 17-083r2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fastapi import APIRouter, Depends, Request, Response

from flycam.catalog.catalog import Catalog
from flycam.catalog.records import MosaicInfo
from flycam.catalog.withholding import Withholding
from flycam.errors import NotFound
from flycam.frame.flight import Event, Flight
from flycam.frame.moment import iso
from flycam.frame.tilecodec import ViewFormat
from flycam.geometry.grid import HALF_WORLD_M, TILE_SIZE_PX, TileId
from flycam.serve.answering.quad import QUAD, Matrix, limits
from flycam.serve.door.guard import Sees, viewer, withholding_of
from flycam.serve.services import CatalogHere
from flycam.serve.standards.xml_words import escape, quoteattr
from flycam.serve.tiles.offered import bounds_of, events_by_id, shown_mosaic, shown_mosaics, titled
from flycam.serve.tiles.tile_answers import is_within_limits, tile_answer

router = APIRouter(dependencies=[Depends(viewer)])

_FORMATS = {one.value: one for one in (ViewFormat.PNG, ViewFormat.WEBP)}

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<Capabilities xmlns="http://www.opengis.net/wmts/1.0" xmlns:ows="http://www.opengis.net/ows/1.1"
 xmlns:xlink="http://www.w3.org/1999/xlink" version="1.0.0">
<ows:ServiceIdentification><ows:Title>flycam</ows:Title><ows:ServiceType>OGC WMTS</ows:ServiceType>
<ows:ServiceTypeVersion>1.0.0</ows:ServiceTypeVersion></ows:ServiceIdentification>"""


@router.get("/wmts", response_class=Response)
def wmts(request: Request, catalog: CatalogHere, sees: Sees) -> Response:
    """WMTS 1.0.0 by key-value pairs: GetCapabilities (also without any), and GetTile."""
    asked = {name.lower(): value for name, value in request.query_params.items()}
    if asked.get("service", "WMTS").upper() != "WMTS":
        return _refused("InvalidParameterValue", "service", "only WMTS is served here")
    wanted = asked.get("request", "GetCapabilities").lower()
    if wanted == "getcapabilities":
        return _xml(capabilities(catalog, str(request.base_url), sees))
    if wanted != "gettile":
        return _refused("OperationNotSupported", "request", "ask for GetCapabilities or GetTile")
    return _tile(request, catalog, asked)


@router.get("/wmts/1.0.0/WMTSCapabilities.xml", response_class=Response)
def wmts_document(request: Request, catalog: CatalogHere, sees: Sees) -> Response:
    """The capabilities of WMTS 1.0.0 at the address that clients of its REST binding know."""
    return _xml(capabilities(catalog, str(request.base_url), sees))


def capabilities(catalog: Catalog, base: str, sees: Withholding) -> str:
    """The capabilities document; `base` is the server's own address, with a slash at its end."""
    events, shown = events_by_id(catalog), list(shown_mosaics(catalog, sees))
    layers = [_layer(mosaic, flight, events[flight.event_id], base) for mosaic, flight in shown]
    deepest = max((mosaic.base_zoom for mosaic, _ in shown), default=0)
    grid = (
        f"<TileMatrixSet><ows:Identifier>{QUAD}</ows:Identifier>"
        "<ows:SupportedCRS>urn:ogc:def:crs:EPSG::3857</ows:SupportedCRS>"
        "<WellKnownScaleSet>urn:ogc:def:wkss:OGC:1.0:GoogleMapsCompatible</WellKnownScaleSet>"
        f"{''.join(_matrix(Matrix(z)) for z in range(deepest + 1))}</TileMatrixSet>"
    )
    contents = f"<Contents>{''.join(layers)}{grid}</Contents>"
    document = quoteattr(f"{base}wmts/1.0.0/WMTSCapabilities.xml")
    return f"{_HEAD}{_operations(base)}{contents}<ServiceMetadataURL xlink:href={document}/></Capabilities>"


def _operations(base: str) -> str:
    address = quoteattr(f"{base}wmts?")
    get = (
        f'<ows:DCP><ows:HTTP><ows:Get xlink:href={address}><ows:Constraint name="GetEncoding">'
        "<ows:AllowedValues><ows:Value>KVP</ows:Value></ows:AllowedValues></ows:Constraint></ows:Get>"
        "</ows:HTTP></ows:DCP>"
    )
    both = "".join(f'<ows:Operation name="{n}">{get}</ows:Operation>' for n in ("GetCapabilities", "GetTile"))
    return f"<ows:OperationsMetadata>{both}</ows:OperationsMetadata>"


def _layer(mosaic: MosaicInfo, flight: Flight, event: Event, base: str) -> str:
    bounds = west, south, east, north = bounds_of(flight)
    title = f"{titled(flight.name, event)} ({mosaic.layer.value})"
    formats = "".join(f"<Format>{kind}</Format>" for kind in _FORMATS)
    templates = "".join(
        f'<ResourceURL format="{kind}" resourceType="tile" template='
        f"{quoteattr(f'{base}tiles/{mosaic.mosaic_id}/{{TileMatrix}}/{{TileCol}}/{{TileRow}}{suffix}')}/>"
        for kind, suffix in (("image/png", ".png"), ("image/webp", ".webp"))
    )
    return (
        f"<Layer><ows:Title>{escape(title)}</ows:Title>"
        f"<ows:Abstract>{escape(f'{iso(flight.first_ns)} – {iso(flight.last_ns)}')}</ows:Abstract>"
        f"<ows:WGS84BoundingBox><ows:LowerCorner>{west:.7f} {south:.7f}</ows:LowerCorner>"
        f"<ows:UpperCorner>{east:.7f} {north:.7f}</ows:UpperCorner></ows:WGS84BoundingBox>"
        f"<ows:Identifier>{escape(mosaic.mosaic_id)}</ows:Identifier>"
        f'<Style isDefault="true"><ows:Identifier>default</ows:Identifier></Style>{formats}'
        f"<TileMatrixSetLink><TileMatrixSet>{QUAD}</TileMatrixSet><TileMatrixSetLimits>"
        f"{''.join(_limits(mosaic, bounds))}</TileMatrixSetLimits></TileMatrixSetLink>{templates}</Layer>"
    )


def _limits(mosaic: MosaicInfo, bounds: tuple[float, float, float, float]) -> Iterator[str]:
    for tiles in limits(mosaic, bounds):
        yield (
            f"<TileMatrixLimits><TileMatrix>{tiles.z}</TileMatrix><MinTileRow>{tiles.y_start}</MinTileRow>"
            f"<MaxTileRow>{tiles.y_stop - 1}</MaxTileRow><MinTileCol>{tiles.x_start}</MinTileCol>"
            f"<MaxTileCol>{tiles.x_stop - 1}</MaxTileCol></TileMatrixLimits>"
        )


def _matrix(matrix: Matrix) -> str:
    return (
        f"<TileMatrix><ows:Identifier>{matrix.zoom}</ows:Identifier>"
        f"<ScaleDenominator>{matrix.scale_denominator!r}</ScaleDenominator>"
        f"<TopLeftCorner>{-HALF_WORLD_M!r} {HALF_WORLD_M!r}</TopLeftCorner>"
        f"<TileWidth>{TILE_SIZE_PX}</TileWidth><TileHeight>{TILE_SIZE_PX}</TileHeight>"
        f"<MatrixWidth>{matrix.tiles}</MatrixWidth><MatrixHeight>{matrix.tiles}</MatrixHeight></TileMatrix>"
    )


def _tile(request: Request, catalog: Catalog, asked: Mapping[str, str]) -> Response:
    """GetTile: the tile itself, or an exception that says which parameter is wrong."""
    names = ("layer", "tilematrix", "tilecol", "tilerow")
    missing = next((name for name in names if not asked.get(name)), None)
    if missing:
        return _refused("MissingParameterValue", missing, f"{missing} is missing")
    if asked.get("tilematrixset", QUAD) != QUAD:
        return _refused("InvalidParameterValue", "tilematrixset", f"the only one is {QUAD}")
    numbers = [asked[name] for name in names[1:]]
    if not all(one.isascii() and one.isdecimal() and len(one) < 10 for one in numbers):
        return _refused("InvalidParameterValue", "tilematrix", "see the capabilities for what there is")
    wanted = _FORMATS.get(asked.get("format", "image/png"))
    if wanted is None:
        return _refused("InvalidParameterValue", "format", f"ask for {' or '.join(_FORMATS)}")
    if not _is_plain(asked["layer"]):
        return _refused("InvalidParameterValue", "layer", "see the capabilities for what there is")
    try:
        mosaic, flight = shown_mosaic(catalog, asked["layer"], withholding_of(request))
    except NotFound as error:
        return _refused("InvalidParameterValue", "layer", str(error))
    z, x, y = map(int, numbers)
    tile_id = TileId(z=z, x=x, y=y)
    if not is_within_limits(mosaic, flight, tile_id):
        return _refused("TileOutOfRange", "tilerow", "see the TileMatrixSetLimits of the layer")
    return tile_answer(request, mosaic, tile_id, wanted)


def _is_plain(name: str) -> bool:
    return name.isascii() and all(c.isalnum() or c in "._-" for c in name)


def _xml(text: str, status: int = 200) -> Response:
    return Response(text, status, media_type="application/xml")


def _refused(code: str, where: str, what: str) -> Response:
    """An exception report as OGC 06-121r3 has it."""
    return _xml(
        '<?xml version="1.0" encoding="UTF-8"?><ExceptionReport xmlns="http://www.opengis.net/ows/1.1" '
        f'version="1.1.0"><Exception exceptionCode="{code}" locator="{where}"><ExceptionText>{escape(what)}'
        "</ExceptionText></Exception></ExceptionReport>",
        501 if code == "OperationNotSupported" else 400,
    )
