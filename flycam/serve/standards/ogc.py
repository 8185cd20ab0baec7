"""`/ogc`: landing page, conformance, and the collections of OGC API.

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
from flycam.frame.timestamp import format_iso
from flycam.messages import _
from flycam.serve.api.specialist_layers import Now
from flycam.serve.auth.guards import get_access_policy
from flycam.serve.http.json_values import Json, format_iso_or_none, to_geojson_feature
from flycam.serve.http.links import (
    GEOJSON,
    JSON,
    OPENAPI,
    build_current_url,
    build_link,
    get_base_url,
    quote_path_segment,
)
from flycam.serve.services import CatalogHere
from flycam.serve.standards.feature_sources import (
    FeatureSource,
    SourceFeature,
    TimeSpan,
    format_in_both,
    list_feature_sources,
)
from flycam.serve.standards.query_params import FeatureQueryHere, NamePath, create_standard_router
from flycam.serve.tiles.visible_flights import (
    format_title,
    get_flight_bounds,
    iterate_shown_mosaics,
    read_events_by_id,
)


def accept_json_only(_f: Annotated[Literal["json"] | None, Query(alias="f")] = None) -> None:
    """Accept `f=json`: the one encoding, which some clients ask for by name."""


router = create_standard_router("/ogc", "OGC API", accept_json_only)

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
def get_ogc_landing(request: Request) -> Json:
    """What there is behind `/ogc`, by links."""
    base = get_base_url(request)
    here_ = f"{base}ogc"
    return {
        "title": "flycam",
        "description": format_in_both(_("drone mosaics, flights, communes, field marks and layers.")),
        "links": [
            build_link("self", here_),
            build_link("service-desc", f"{base}api/openapi.json", OPENAPI),
            build_link("service-doc", f"{base}api/docs", "text/html"),
            build_link("conformance", f"{here_}/conformance"),
            build_link("data", f"{here_}/collections"),
            build_link(SCHEMES, f"{here_}/tileMatrixSets"),
        ],
    }


@router.get("/conformance")
def get_ogc_conformance() -> Json:
    """Which classes of the standards are met."""
    return {"conformsTo": list(_CONFORMS)}


@router.get("/collections")
def list_ogc_collections(request: Request, catalog: CatalogHere, now_ns: Now) -> Json:
    """Every collection: features first, then the mosaic on show of every flight and layer, as map tiles."""
    base = get_base_url(request)
    described = [
        _describe_feature_collection(one, base) for one in list_feature_sources(request, catalog, now_ns)
    ]
    events = read_events_by_id(catalog)
    mosaics = [
        _describe_tile_collection(*pair, events, base)
        for pair in iterate_shown_mosaics(catalog, get_access_policy(request))
    ]
    return {"links": [build_link("self", f"{base}ogc/collections")], "collections": [*described, *mosaics]}


@router.get("/collections/{collection_id}")
def get_ogc_collection(collection_id: NamePath, request: Request, catalog: CatalogHere, now_ns: Now) -> Json:
    """One collection: its extent, and where its items or tiles are."""
    base = get_base_url(request)
    source = next(
        (one for one in list_feature_sources(request, catalog, now_ns) if one.name == collection_id), None
    )
    if source is not None:
        return _describe_feature_collection(source, base)
    for mosaic, flight in iterate_shown_mosaics(catalog, get_access_policy(request)):
        if mosaic.mosaic_id == collection_id:
            return _describe_tile_collection(mosaic, flight, read_events_by_id(catalog), base)
    raise _build_no_collection_error(collection_id)


@router.get("/collections/{collection_id}/items")
def list_ogc_items(
    collection_id: NamePath, wanted: FeatureQueryHere, request: Request, catalog: CatalogHere, now_ns: Now
) -> JSONResponse:
    """A page of features as GeoJSON, and the link to the next. Where nobody has counted, `numberMatched` is
    left out."""
    source = _find_source(collection_id, request, catalog, now_ns)
    page = source.page(wanted)
    base = get_base_url(request)
    links = [
        build_link("self", build_current_url(request), GEOJSON),
        build_link("collection", _address(base, source.name)),
    ]
    if page.next_offset is not None:
        links.append(build_link("next", build_current_url(request, offset=page.next_offset), GEOJSON))
    counted = {} if page.matched_count is None else {"numberMatched": page.matched_count}
    body = {
        "type": "FeatureCollection",
        "features": [_feature(one, source.name, base) for one in page.features],
        "links": links,
        "timeStamp": format_iso(now_ns, "seconds"),
        **counted,
        "numberReturned": len(page.features),
    }
    return JSONResponse(body, media_type=GEOJSON)


@router.get("/collections/{collection_id}/items/{feature_id}")
def get_ogc_item(
    collection_id: NamePath, feature_id: NamePath, request: Request, catalog: CatalogHere, now_ns: Now
) -> JSONResponse:
    """One feature as GeoJSON."""
    source = _find_source(collection_id, request, catalog, now_ns)
    return JSONResponse(
        _feature(source.get_feature(feature_id), source.name, get_base_url(request)), media_type=GEOJSON
    )


def _find_source(name: str, request: Request, catalog: Catalog, now_ns: int) -> FeatureSource:
    found = next((one for one in list_feature_sources(request, catalog, now_ns) if one.name == name), None)
    if found is None:
        raise _build_no_collection_error(name)
    return found


def _describe_feature_collection(source: FeatureSource, base: str) -> Json:
    address = _address(base, source.name)
    return {
        "id": source.name,
        "title": source.title,
        "description": source.description,
        "itemType": "feature",
        "crs": [CRS84],
        **_extent(*source.extent()),
        "links": [build_link("self", address), build_link("items", f"{address}/items", GEOJSON)],
    }


def _describe_tile_collection(
    mosaic: MosaicInfo, flight: Flight, events: dict[str, Event], base: str
) -> Json:
    address = _address(base, mosaic.mosaic_id)
    return {
        "id": mosaic.mosaic_id,
        "title": f"{format_title(flight.name, events[flight.event_id])} ({mosaic.layer.value})",
        "description": f"Mosaic, revision {mosaic.revision}, GSD {flight.gsd_m:.3f} m.",
        # clients take a collection without itemType for features; GDAL's driver reads layerDataType alone
        "itemType": "map",
        "layerDataType": "Raster",
        "crs": [CRS84],
        **_extent(get_flight_bounds(flight), (flight.first_ns, flight.last_ns)),
        "links": [
            build_link("self", address),
            build_link(TILESETS, f"{address}/map/tiles"),
            build_link(
                "alternate", f"{base}tilejson/{quote_path_segment(mosaic.mosaic_id)}", JSON, "TileJSON"
            ),
        ],
    }


def _extent(bounds: BoundsLonLat | None, ends: TimeSpan | None) -> Json:
    """Return the `extent` member; {} where nothing is known."""
    extent: Json = {}
    if bounds is not None:
        extent["spatial"] = {"bbox": [list(bounds)], "crs": CRS84}
    if ends is not None:
        extent["temporal"] = {"interval": [[format_iso_or_none(one) for one in ends]]}
    return {"extent": extent} if extent else {}


def _feature(thing: SourceFeature, collection: str, base: str) -> Json:
    address = _address(base, collection)
    links: Iterable[Json] = (
        build_link("self", f"{address}/items/{quote_path_segment(thing.name)}", GEOJSON),
        build_link("collection", address),
    )
    return {**to_geojson_feature(thing.wkb, thing.properties), "id": thing.name, "links": list(links)}


def _address(base: str, collection: str) -> str:
    return f"{base}ogc/collections/{quote_path_segment(collection)}"


def _build_no_collection_error(name: str) -> NotFound:
    return NotFound(
        _("{name}: there is no such collection of features; see /ogc/collections", name=name[:80])
    )
