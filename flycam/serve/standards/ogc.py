"""`/ogc`: the landing page, what it conforms to, and the collections of OGC API Features and Tiles.

Sources: OGC 17-069r4 (Features, part 1), OGC 19-072 (Common, part 1), OGC 20-057 (Tiles, part 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from fastapi import Query, Request
from fastapi.responses import JSONResponse

from flycam.catalog.catalog import Catalog
from flycam.catalog.records import BoundsLonLat, MosaicInfo
from flycam.errors import NotFound
from flycam.frame.flight import Event, Flight
from flycam.frame.moment import iso
from flycam.messages import _
from flycam.serve.answering.links import GEOJSON, JSON, OPENAPI, base_of, here, link, part
from flycam.serve.answering.wording import Json, feature, iso_or_none
from flycam.serve.door.guard import withholding_of
from flycam.serve.services import CatalogHere
from flycam.serve.situation.specialist import Now
from flycam.serve.standards.asked_for import Name, PageWanted, standard_router
from flycam.serve.standards.feature_sources import Ends, Source, Thing, sources
from flycam.serve.tiles.offered import bounds_of, events_by_id, shown_mosaics, titled


def json_only(_f: Annotated[Literal["json"] | None, Query(alias="f")] = None) -> None:
    """There is one encoding; clients that ask for it by name are not turned away."""


router = standard_router("/ogc", "OGC API", json_only)

CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
TILESETS = "http://www.opengis.net/def/rel/ogc/1.0/tilesets-map"
SCHEMES = "http://www.opengis.net/def/rel/ogc/1.0/tiling-schemes"
_CONFORMS = (
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/json",
    "http://www.opengis.net/spec/ogcapi-common-2/1.0/conf/collections",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/tileset",
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/tilesets-list",
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/geodata-tilesets",
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/png",
    "http://www.opengis.net/spec/tms/2.0/conf/tilematrixset",
    "http://www.opengis.net/spec/tms/2.0/conf/json-tilematrixset",
)


@router.get("")
def landing(request: Request) -> Json:
    """What there is behind `/ogc`, by links."""
    base = base_of(request)
    here_ = f"{base}ogc"
    return {
        "title": "flycam",
        "description": "Bản đồ ảnh bay chụp / drone mosaics, flights, communes, field marks and layers.",
        "links": [
            link("self", here_),
            link("service-desc", f"{base}api/openapi.json", OPENAPI),
            link("service-doc", f"{base}api/docs", "text/html"),
            link("conformance", f"{here_}/conformance"),
            link("data", f"{here_}/collections"),
            link(SCHEMES, f"{here_}/tileMatrixSets"),
        ],
    }


@router.get("/conformance")
def conformance() -> Json:
    """Which classes of the standards are met."""
    return {"conformsTo": list(_CONFORMS)}


@router.get("/collections")
def collections(request: Request, catalog: CatalogHere, now_ns: Now) -> Json:
    """Every collection: features first, then the mosaic on show of every flight and layer, as map tiles."""
    base = base_of(request)
    described = [_of_features(one, base) for one in sources(request, catalog, now_ns)]
    events = events_by_id(catalog)
    mosaics = [_of_tiles(*pair, events, base) for pair in shown_mosaics(catalog, withholding_of(request))]
    return {"links": [link("self", f"{base}ogc/collections")], "collections": [*described, *mosaics]}


@router.get("/collections/{collection_id}")
def collection(collection_id: Name, request: Request, catalog: CatalogHere, now_ns: Now) -> Json:
    """One collection: its extent, and where its items or tiles are."""
    base = base_of(request)
    source = next((one for one in sources(request, catalog, now_ns) if one.name == collection_id), None)
    if source is not None:
        return _of_features(source, base)
    for mosaic, flight in shown_mosaics(catalog, withholding_of(request)):
        if mosaic.mosaic_id == collection_id:
            return _of_tiles(mosaic, flight, events_by_id(catalog), base)
    raise _no_collection(collection_id)


@router.get("/collections/{collection_id}/items")
def items(
    collection_id: Name, wanted: PageWanted, request: Request, catalog: CatalogHere, now_ns: Now
) -> JSONResponse:
    """A page of features as GeoJSON, and the link to the next. Where nobody has counted, `numberMatched` is
    left out."""
    source = _source(collection_id, request, catalog, now_ns)
    page = source.page(wanted)
    base = base_of(request)
    links = [link("self", here(request), GEOJSON), link("collection", _address(base, source.name))]
    if page.next_offset is not None:
        links.append(link("next", here(request, offset=page.next_offset), GEOJSON))
    counted = {} if page.matched is None else {"numberMatched": page.matched}
    body = {
        "type": "FeatureCollection",
        "features": [_feature(one, source.name, base) for one in page.things],
        "links": links,
        "timeStamp": iso(now_ns, "seconds"),
        **counted,
        "numberReturned": len(page.things),
    }
    return JSONResponse(body, media_type=GEOJSON)


@router.get("/collections/{collection_id}/items/{feature_id}")
def item(
    collection_id: Name, feature_id: Name, request: Request, catalog: CatalogHere, now_ns: Now
) -> JSONResponse:
    """One feature as GeoJSON."""
    source = _source(collection_id, request, catalog, now_ns)
    return JSONResponse(_feature(source.one(feature_id), source.name, base_of(request)), media_type=GEOJSON)


def _source(name: str, request: Request, catalog: Catalog, now_ns: int) -> Source:
    found = next((one for one in sources(request, catalog, now_ns) if one.name == name), None)
    if found is None:
        raise _no_collection(name)
    return found


def _of_features(source: Source, base: str) -> Json:
    address = _address(base, source.name)
    return {
        "id": source.name,
        "title": source.title,
        "description": source.description,
        "itemType": "feature",
        "crs": [CRS84],
        **_extent(*source.extent()),
        "links": [link("self", address), link("items", f"{address}/items", GEOJSON)],
    }


def _of_tiles(mosaic: MosaicInfo, flight: Flight, events: dict[str, Event], base: str) -> Json:
    address = _address(base, mosaic.mosaic_id)
    return {
        "id": mosaic.mosaic_id,
        "title": f"{titled(flight.name, events[flight.event_id])} ({mosaic.layer.value})",
        "description": f"Mosaic, revision {mosaic.revision}, GSD {flight.gsd_m:.3f} m.",
        # clients take what does not say otherwise for features; GDAL's driver looks at the second word alone
        "itemType": "map",
        "layerDataType": "Raster",
        "crs": [CRS84],
        **_extent(bounds_of(flight), (flight.first_ns, flight.last_ns)),
        "links": [
            link("self", address),
            link(TILESETS, f"{address}/map/tiles"),
            link("alternate", f"{base}tilejson/{part(mosaic.mosaic_id)}", JSON, "TileJSON"),
        ],
    }


def _extent(bounds: BoundsLonLat | None, ends: Ends | None) -> Json:
    """The `extent` member; nothing where nothing is known."""
    extent: Json = {}
    if bounds is not None:
        extent["spatial"] = {"bbox": [list(bounds)], "crs": CRS84}
    if ends is not None:
        extent["temporal"] = {"interval": [[iso_or_none(one) for one in ends]]}
    return {"extent": extent} if extent else {}


def _feature(thing: Thing, collection: str, base: str) -> Json:
    address = _address(base, collection)
    links: Iterable[Json] = (
        link("self", f"{address}/items/{part(thing.name)}", GEOJSON),
        link("collection", address),
    )
    return {**feature(thing.wkb, thing.properties), "id": thing.name, "links": list(links)}


def _address(base: str, collection: str) -> str:
    return f"{base}ogc/collections/{part(collection)}"


def _no_collection(name: str) -> NotFound:
    return NotFound(
        _("{name}: there is no such collection of features; see /ogc/collections", name=name[:80])
    )
