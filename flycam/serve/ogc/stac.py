"""STAC API 1.0.0: events as collections, mosaic revisions as items, and search.

Clips of communes are served as Cloud-Optimized GeoTIFFs by ranges.

Sources: STAC API specification 1.0.0 (core, collections, features, item search); STAC 1.0.0; OGC 17-069r4.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import shapely
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from shapely.geometry.base import BaseGeometry

from flycam.access.policy import (
    AccessPolicy,
    build_withheld_error,
    find_shown_mosaic,
    find_shown_revision,
    format_title,
    get_flight_bounds,
    is_near,
    iterate_offered_mosaics,
    list_flights_on_map,
    read_events_by_id,
)
from flycam.catalog.catalog import Catalog
from flycam.catalog.mosaics import LIVE_REVISION
from flycam.errors import NotFound
from flycam.http.guards import (
    AccessPolicyHere,
    CatalogHere,
    DownloadLog,
    ServicesHere,
    StoreHere,
    ViewerPrincipal,
    get_access_policy,
    require_viewer,
)
from flycam.http.protocol import (
    GEOJSON,
    JSON,
    OPENAPI,
    Json,
    RangeHere,
    build_current_url,
    build_link,
    build_unsatisfiable_response,
    format_iso_or_none,
    get_base_url,
    quote_path_segment,
    stream_object,
    to_geojson_geometry,
)
from flycam.messages import _
from flycam.model.flight import Event, Flight
from flycam.model.records import Coverage, MosaicInfo
from flycam.model.time import format_iso
from flycam.mosaic.coverage import make_clip, select_main_mosaic
from flycam.serve.flight_routes import get_revision_outline
from flycam.serve.ogc.features import (
    DEFAULT_LIMIT,
    MAX_ITEMS,
    MAX_OFFSET,
    FeatureQuery,
    FeatureQueryHere,
    NamePath,
    build_bad_request,
    create_standard_router,
    is_within_period,
    mask_intersecting,
    parse_period,
    to_bbox,
)
from flycam.serve.tiles import iterate_tile_limits

# -- Clips of communes -----------------------------------------------------------------------------
#
# They show what the tiles show, pixel for pixel, so the same accounts may read both.


clips_router = APIRouter(dependencies=[Depends(require_viewer)])

_AROUND_DEG = 0.001
COG_MEDIA_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"


def list_clips(catalog: Catalog, mosaic: MosaicInfo) -> list[Coverage]:
    """Return communes of which clips exist: of the revision that shows the flight."""
    if not mosaic.published or select_main_mosaic(catalog, mosaic.flight_id).mosaic_id != mosaic.mosaic_id:
        return []
    return catalog.boundaries.coverage(mosaic.flight_id)


def is_clip_withheld(catalog: Catalog, covered: Coverage, access_policy: AccessPolicy) -> bool:
    """Return True if a clip may show withheld ground.

    Anywhere its commune was imaged: a file is served whole or not at all. Which of a commune's boundaries cut
    it is not recorded, so all of them count; a commune that is not known any more counts as withheld.
    """
    if access_policy.is_nothing:
        return False
    bounds = catalog.flights.flight(covered.flight_id).bounds_lonlat_deg
    if not access_policy.touches_box(bounds):
        return False
    editions = catalog.boundaries.editions(covered.commune_code)
    if not editions:
        return True
    ground = shapely.union_all([shapely.from_wkb(one.wkb) for one in editions])
    if bounds is not None:
        ground = shapely.intersection(ground, shapely.box(*bounds).buffer(_AROUND_DEG))
    return access_policy.touches(shapely.to_wkb(ground), margin_m=0.0)


@clips_router.head("/cog/{mosaic_id}/{revision}/{commune}.tif", include_in_schema=False)
@clips_router.get("/cog/{mosaic_id}/{revision}/{commune}.tif", response_class=Response)
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
    """Return a commune's clip of a mosaic revision as a GeoTIFF.

    It is made when it is first requested, which takes seconds; ranges are honoured, so that GDAL reads what
    it needs.
    """
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


# -- STAC 1.0.0 documents: collections of events, items of offered revisions -----------------------


STAC_VERSION = "1.0.0"
_WEB_MAPS = "https://stac-extensions.github.io/web-map-links/v1.2.0/schema.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class OfferedRevision:
    """Revision of a flight's mosaic that is offered as an item."""

    event: Event
    flight: Flight
    mosaic: MosaicInfo

    @property
    def name(self) -> str:
        """Id of its item; never changes."""
        return f"{self.mosaic.mosaic_id}-r{self.mosaic.revision}"


def list_offered_revisions(
    catalog: Catalog, access_policy: AccessPolicy, event_id: str | None = None
) -> list[OfferedRevision]:
    """Return revisions that may be shown: newest capture, then newest revision first."""
    events = read_events_by_id(catalog)
    return [
        OfferedRevision(event=events[flight.event_id], flight=flight, mosaic=mosaic)
        for flight in list_flights_on_map(catalog, access_policy, event_id)
        for mosaic in sorted(iterate_offered_mosaics(catalog, flight), key=lambda one: -one.revision)
    ]


def find_revision_outline(request: Request, catalog: Catalog, one: OfferedRevision) -> bytes:
    """Return the outline of its ground (WKB); its flight's bounds where it has none."""
    found = get_revision_outline(request, catalog, one.flight, one.mosaic)
    return found or shapely.to_wkb(shapely.box(*get_flight_bounds(one.flight)))


def build_stac_collection(event: Event, flights: Sequence[Flight], base: str) -> Json:
    """Build the collection of an event with at least one flight."""
    west, south, east, north = zip(*(get_flight_bounds(one) for one in flights), strict=True)
    first, last = min(one.first_ns for one in flights), max(one.last_ns for one in flights)
    here = f"{base}stac/collections/{quote_path_segment(event.event_id)}"
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "id": event.event_id,
        "title": format_title(event.name, event),
        "description": format_title(event.name, event),
        "license": "proprietary",
        "extent": {
            "spatial": {"bbox": [[min(west), min(south), max(east), max(north)]]},
            "temporal": {"interval": [[format_iso(first), format_iso(last)]]},
        },
        "summaries": {
            "gsd": {
                "minimum": min(one.gsd_m for one in flights),
                "maximum": max(one.gsd_m for one in flights),
            }
        },
        "links": [
            *_build_parent_links(base, f"{base}stac"),
            build_link("self", here),
            build_link("items", f"{here}/items", GEOJSON),
        ],
    }


def build_stac_item(
    catalog: Catalog, one: OfferedRevision, outline_wkb: bytes, base: str, access_policy: AccessPolicy
) -> Json:
    """Build the item of a revision: ground, times, tiles, clips and reports.

    `outline_wkb` comes from `find_revision_outline`. Clips and reports are those that the policy allows.
    """
    event, flight, mosaic = one.event, one.flight, one.mosaic
    shape, bounds = to_geojson_geometry(outline_wkb)
    collection = f"{base}stac/collections/{quote_path_segment(event.event_id)}"
    title = f"{format_title(flight.name, event)} ({mosaic.layer.value}, {_kind(mosaic)})"
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [_WEB_MAPS],
        "id": one.name,
        "collection": event.event_id,
        "geometry": shape,
        "bbox": bounds,
        "properties": {
            "title": title,
            "datetime": None,
            "start_datetime": format_iso(flight.first_ns),
            "end_datetime": format_iso(flight.last_ns),
            "gsd": flight.gsd_m,
            "flycam:flight_id": flight.flight_id,
            "flycam:layer": mosaic.layer.value,
            "flycam:revision": mosaic.revision,
            "flycam:on_show": mosaic.published,
            "flycam:is_drill": event.is_drill,
            "flycam:state": flight.state.value,
            "flycam:vertical_datum": flight.vertical_datum,
            "flycam:event_starts": format_iso_or_none(event.starts_ns),
            **_describe_provenance(catalog, mosaic),
        },
        "assets": _assets(catalog, one, base, access_policy),
        "links": [
            *_build_parent_links(base, collection),
            build_link("self", f"{collection}/items/{quote_path_segment(one.name)}", GEOJSON),
            build_link("collection", collection),
            *_web_maps(mosaic, base, title),
        ],
    }


def _web_maps(mosaic: MosaicInfo, base: str, title: str) -> Iterator[Json]:
    """Yield links of the web map extension; WMTS has only the published revision."""
    address = quote_path_segment(mosaic.mosaic_id)
    tiles = f"{base}tiles/{address}/{{z}}/{{x}}/{{y}}.png?revision={mosaic.revision}"
    yield build_link("xyz", tiles, "image/png", title)
    yield build_link("tilejson", f"{base}tilejson/{address}?revision={mosaic.revision}", JSON, title)
    if mosaic.published:
        yield build_link("wmts", f"{base}wmts", "image/png", title, **{"wmts:layer": mosaic.mosaic_id})


def _assets(catalog: Catalog, one: OfferedRevision, base: str, access_policy: AccessPolicy) -> Json:
    mosaic = one.mosaic
    address, number = quote_path_segment(mosaic.mosaic_id), mosaic.revision
    assets: Json = {
        "tilejson": {
            "href": f"{base}tilejson/{address}?revision={number}",
            "type": JSON,
            "title": "TileJSON",
            "roles": ["visual", "tiles"],
        }
    }
    small = [tiles for tiles in iterate_tile_limits(mosaic, get_flight_bounds(one.flight)) if len(tiles) == 1]
    if small:
        tile = f"{small[-1].z}/{small[-1].x_start}/{small[-1].y_start}"
        assets["thumbnail"] = {
            "href": f"{base}tiles/{address}/{tile}.png?revision={number}",
            "type": "image/png",
            "roles": ["thumbnail"],
        }
    names = catalog.boundaries.names()
    for covered in list_clips(catalog, mosaic):
        if is_clip_withheld(catalog, covered, access_policy):
            continue
        code = covered.commune_code
        assets[f"cog-{code}"] = {
            "href": f"{base}cog/{address}/{number}/{quote_path_segment(code)}.tif",
            "type": COG_MEDIA_TYPE,
            "title": f"{names.get(code, code)} ({code})",
            "roles": ["data", "visual"],
            "gsd": covered.gsd_m,
        }
    if access_policy.touches_box(one.flight.bounds_lonlat_deg):
        return assets
    return {**assets, **_reports(catalog, one, base)}


def _reports(catalog: Catalog, one: OfferedRevision, base: str) -> Json:
    if one.mosaic.revision == LIVE_REVISION:
        return {}
    record = catalog.revisions.get(one.mosaic.mosaic_id, one.mosaic.revision)
    address = f"{base}api/flights/{quote_path_segment(one.flight.flight_id)}/report"
    query = f"kind=pdf&layer={one.mosaic.layer.value}&revision={one.mosaic.revision}"
    return {
        f"report-{language}": {
            "href": f"{address}?{query}&language={language}",
            "type": "application/pdf",
            "title": _("Quality report").in_language(language),
            "roles": ["metadata"],
        }
        for language in ("vi", "en")
        if f"{language}.pdf" in record.reports
    }


def _describe_provenance(catalog: Catalog, mosaic: MosaicInfo) -> Json:
    if mosaic.revision == LIVE_REVISION:
        return {}
    return {"created": format_iso(catalog.revisions.get(mosaic.mosaic_id, mosaic.revision).made_ns)}


def _kind(mosaic: MosaicInfo) -> str:
    return "not finished" if mosaic.revision == LIVE_REVISION else f"finished, revision {mosaic.revision}"


def _build_parent_links(base: str, parent: str) -> list[Json]:
    return [build_link("root", f"{base}stac"), build_link("parent", parent)]


# -- STAC API: catalogue, collections, items, search -----------------------------------------------


router = create_standard_router("/stac", "STAC API")

_CONFORMS = (
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "https://api.stacspec.org/v1.0.0/item-search",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
)
_NameListParameter = Annotated[str | None, Query(max_length=4000)]
_Names = Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=1000)]


class StacSearchBody(BaseModel):
    """Search criteria; omitted ones do not restrict."""

    collections: _Names | None = None
    ids: _Names | None = None
    bbox: Annotated[list[float], Field(min_length=4, max_length=6)] | None = None
    intersects: dict[str, Any] | None = None
    datetime: Annotated[str, Field(max_length=100)] | None = None
    limit: Annotated[int, Field(ge=1)] = DEFAULT_LIMIT
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET)] = 0


@router.get("")
def get_stac_root(request: Request, catalog: CatalogHere, access_policy: AccessPolicyHere) -> Json:
    """Return the catalogue: a child for each event with a flight on the map.

    With a link to the search.
    """
    base = get_base_url(request)
    address = f"{base}stac"
    children = [
        build_link(
            "child",
            f"{address}/collections/{quote_path_segment(one.event_id)}",
            title=format_title(one.name, one),
        )
        for one, _ in _find_flown_events(catalog, access_policy)
    ]
    search = f"{address}/search"
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": "flycam",
        "title": "flycam",
        "description": "Drone flights made into orthomosaics, by event.",
        "conformsTo": list(_CONFORMS),
        "links": [
            build_link("root", address),
            build_link("self", address),
            build_link("service-desc", f"{base}api/openapi.json", OPENAPI),
            build_link("service-doc", f"{base}api/docs", "text/html"),
            build_link("conformance", f"{address}/conformance"),
            build_link("data", f"{address}/collections"),
            build_link("search", search, GEOJSON, method="GET"),
            build_link("search", search, GEOJSON, method="POST"),
            *children,
        ],
    }


@router.get("/conformance")
def get_stac_conformance() -> Json:
    """List the conformance classes that are met."""
    return {"conformsTo": list(_CONFORMS)}


@router.get("/collections")
def list_stac_collections(request: Request, catalog: CatalogHere, access_policy: AccessPolicyHere) -> Json:
    """List a collection for each event that has a flight on the map."""
    base = get_base_url(request)
    return {
        "collections": [
            build_stac_collection(event, flights, base)
            for event, flights in _find_flown_events(catalog, access_policy)
        ],
        "links": [build_link("root", f"{base}stac"), build_link("self", f"{base}stac/collections")],
    }


@router.get("/collections/{event_id}")
def get_stac_collection(
    event_id: NamePath, request: Request, catalog: CatalogHere, access_policy: AccessPolicyHere
) -> Json:
    """Return the collection of one event: its extent, and where its items are."""
    return build_stac_collection(*_find_event(catalog, event_id, access_policy), get_base_url(request))


@router.get("/collections/{event_id}/items")
def list_stac_items(
    event_id: NamePath,
    wanted: FeatureQueryHere,
    request: Request,
    catalog: CatalogHere,
    access_policy: AccessPolicyHere,
    collections: _NameListParameter = None,
    ids: _NameListParameter = None,
) -> JSONResponse:
    """Return a page of an event's items, newest capture first.

    collections and ids as in a search: some clients name the collection here too.
    """
    event, _ = _find_event(catalog, event_id, access_policy)
    chosen = _filter_by_name(
        list_offered_revisions(catalog, access_policy, event.event_id),
        _split_names(collections),
        _split_names(ids),
    )
    found = _filter_offered(request, catalog, chosen, wanted)
    links = [
        build_link(
            "collection", f"{get_base_url(request)}stac/collections/{quote_path_segment(event.event_id)}"
        )
    ]
    return _build_item_page(request, catalog, found, wanted, links)


@router.get("/collections/{event_id}/items/{item_id}")
def get_stac_item(
    event_id: NamePath,
    item_id: NamePath,
    request: Request,
    catalog: CatalogHere,
    access_policy: AccessPolicyHere,
) -> JSONResponse:
    """Return the item of one revision of a flight's mosaic."""
    event, __ = _find_event(catalog, event_id, access_policy)
    one = next(
        (
            one
            for one in list_offered_revisions(catalog, access_policy, event.event_id)
            if one.name == item_id
        ),
        None,
    )
    if one is None:
        raise NotFound(
            _(
                "{item_id}: {name} has no such item; see /stac/collections/{event_id}/items",
                item_id=item_id[:80],
                name=event.name,
                event_id=event.event_id,
            )
        )
    body = build_stac_item(
        catalog, one, find_revision_outline(request, catalog, one), get_base_url(request), access_policy
    )
    return JSONResponse(body, media_type=GEOJSON)


@router.get("/search")
def search_stac_items(
    wanted: FeatureQueryHere,
    request: Request,
    catalog: CatalogHere,
    access_policy: AccessPolicyHere,
    collections: _NameListParameter = None,
    ids: _NameListParameter = None,
    intersects: Annotated[str | None, Query(max_length=16_000)] = None,
) -> JSONResponse:
    """Search the items of all events, newest capture first.

    collections and ids: names separated by commas; intersects: a GeoJSON geometry, instead of bbox.
    """
    shape = None
    if intersects is not None:
        shape = _parse_shape(intersects, wanted)
    chosen = _filter_by_name(
        list_offered_revisions(catalog, access_policy), _split_names(collections), _split_names(ids)
    )
    found = _filter_offered(request, catalog, chosen, wanted, shape)
    return _build_item_page(request, catalog, found, wanted, [])


@router.post("/search")
def post_stac_search(
    body: StacSearchBody, request: Request, catalog: CatalogHere, access_policy: AccessPolicyHere
) -> JSONResponse:
    """Search as by GET, with the criteria in JSON."""
    wanted = FeatureQuery(
        bounds=None if body.bbox is None else to_bbox(body.bbox),
        period=None if body.datetime is None else parse_period(body.datetime),
        limit=min(body.limit, MAX_ITEMS),
        offset=body.offset,
    )
    again = body.model_dump(exclude_unset=True)
    shape = None
    if body.intersects is not None:
        shape = _parse_shape(json.dumps(body.intersects), wanted)
        # parsed back from the geometry, so that nothing else of the request is repeated in links
        again["intersects"] = json.loads(shapely.to_geojson(shape))
    chosen = _filter_by_name(
        list_offered_revisions(catalog, access_policy), body.collections or (), body.ids or ()
    )
    found = _filter_offered(request, catalog, chosen, wanted, shape)
    return _build_item_page(request, catalog, found, wanted, [], again)


def _find_flown_events(catalog: Catalog, access_policy: AccessPolicy) -> list[tuple[Event, list[Flight]]]:
    """Return events that have flights on the map, with these flights."""
    flights: dict[str, list[Flight]] = {}
    for one in list_flights_on_map(catalog, access_policy):
        flights.setdefault(one.event_id, []).append(one)
    return [(one, flights[one.event_id]) for one in catalog.flights.events() if one.event_id in flights]


def _find_event(catalog: Catalog, event_id: str, access_policy: AccessPolicy) -> tuple[Event, list[Flight]]:
    found = next(
        (pair for pair in _find_flown_events(catalog, access_policy) if pair[0].event_id == event_id), None
    )
    if found is None:
        raise NotFound(
            _(
                "{event_id}: no event with a flight on the map has this id; see /stac/collections",
                event_id=event_id[:80],
            )
        )
    return found


def _split_names(names: str | None) -> list[str]:
    """Split names at commas."""
    return [one for one in (names or "").split(",") if one]


def _filter_by_name(
    every: Sequence[OfferedRevision], collections: Sequence[str], ids: Sequence[str]
) -> list[OfferedRevision]:
    """Filter by event id and item id, as far as any are given."""
    return [
        one
        for one in every
        if (not collections or one.event.event_id in collections) and (not ids or one.name in ids)
    ]


def _filter_offered(
    request: Request,
    catalog: Catalog,
    every: Sequence[OfferedRevision],
    wanted: FeatureQuery,
    shape: BaseGeometry | None = None,
) -> list[tuple[OfferedRevision, bytes | None]]:
    """Filter by period and area.

    Returns each revision with its outline where that was computed, else None.
    """
    timely = [
        one for one in every if is_within_period(one.flight.first_ns, one.flight.last_ns, wanted.period)
    ]
    if wanted.bounds is None and shape is None:
        return [(one, None) for one in timely]
    box = wanted.bounding_box if shape is None else shape.bounds
    # by bounds first, as an outline is traced from the mosaic's tiles
    near = [one for one in timely if is_near(one.flight, box)]
    outlines = [find_revision_outline(request, catalog, one) for one in near]
    touched = mask_intersecting(outlines, wanted.query_area if shape is None else shape)
    return [
        pair for pair, is_inside in zip(zip(near, outlines, strict=True), touched, strict=True) if is_inside
    ]


def _build_item_page(
    request: Request,
    catalog: Catalog,
    found: Sequence[tuple[OfferedRevision, bytes | None]],
    wanted: FeatureQuery,
    links: Sequence[Json],
    body: Json | None = None,
) -> JSONResponse:
    """Build an item collection of a page, with the link to the next.

    For a search by `body` the link repeats that body.
    """
    base, stop = get_base_url(request), wanted.offset + wanted.limit
    page = found[wanted.offset : stop]
    page_links = [
        build_link("root", f"{base}stac"),
        build_link("self", build_current_url(request), GEOJSON),
        *links,
    ]
    if stop < len(found) and body is None:
        page_links.append(build_link("next", build_current_url(request, offset=stop), GEOJSON, method="GET"))
    elif stop < len(found) and body is not None:
        page_links.append(
            build_link(
                "next", build_current_url(request), GEOJSON, method="POST", body={**body, "offset": stop}
            )
        )
    features = [
        build_stac_item(
            catalog,
            one,
            outline_wkb or find_revision_outline(request, catalog, one),
            base,
            get_access_policy(request),
        )
        for one, outline_wkb in page
    ]
    answer = {
        "type": "FeatureCollection",
        "features": features,
        "links": page_links,
        "numberMatched": len(found),
        "numberReturned": len(features),
    }
    return JSONResponse(answer, media_type=GEOJSON)


def _parse_shape(text: str, wanted: FeatureQuery) -> BaseGeometry:
    """Parse a GeoJSON geometry; 400 for anything else, and beside a bbox."""
    if wanted.bounds is not None:
        raise build_bad_request(_("give bbox or intersects, not both"))
    try:
        shape = shapely.from_geojson(text)
    except (shapely.errors.ShapelyError, UnicodeError) as error:
        # GEOS may cut its message within a UTF-8 character
        raise _build_shape_error() from error
    if shape is None or shape.is_empty or not shape.is_valid:
        raise _build_shape_error()
    return shape


def _build_shape_error() -> Exception:
    return build_bad_request(
        _("intersects: give a GeoJSON geometry that is not empty and does not cross itself")
    )
