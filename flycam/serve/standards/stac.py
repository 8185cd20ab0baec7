"""STAC API 1.0.0: events as collections, mosaic revisions as items, and search.

Sources: STAC API specification 1.0.0 (core, collections, features, item search); STAC 1.0.0; OGC 17-069r4.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import shapely
from fastapi import Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from shapely.geometry.base import BaseGeometry

from flycam.catalog.access_policy import AccessPolicy
from flycam.catalog.catalog import Catalog
from flycam.errors import NotFound
from flycam.frame.flight import Event, Flight
from flycam.messages import _
from flycam.serve.auth.guards import AccessPolicyHere, get_access_policy
from flycam.serve.http.json_values import Json
from flycam.serve.http.links import (
    GEOJSON,
    OPENAPI,
    build_current_url,
    build_link,
    get_base_url,
    quote_path_segment,
)
from flycam.serve.services import CatalogHere
from flycam.serve.standards.query_params import (
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
from flycam.serve.standards.stac_documents import (
    STAC_VERSION,
    OfferedRevision,
    build_stac_collection,
    build_stac_item,
    find_revision_outline,
    list_offered_revisions,
)
from flycam.serve.tiles.visible_flights import format_title, is_near, list_flights_on_map

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
    """What is searched for; everything left out is not asked for."""

    collections: _Names | None = None
    ids: _Names | None = None
    bbox: Annotated[list[float], Field(min_length=4, max_length=6)] | None = None
    intersects: dict[str, Any] | None = None
    datetime: Annotated[str, Field(max_length=100)] | None = None
    limit: Annotated[int, Field(ge=1)] = DEFAULT_LIMIT
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET)] = 0


@router.get("")
def get_stac_root(request: Request, catalog: CatalogHere, access_policy: AccessPolicyHere) -> Json:
    """The catalogue: a child for each event that has a flight on the map, and where to search."""
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
    """Which classes of the standards are met."""
    return {"conformsTo": list(_CONFORMS)}


@router.get("/collections")
def list_stac_collections(request: Request, catalog: CatalogHere, access_policy: AccessPolicyHere) -> Json:
    """A collection for each event that has a flight on the map."""
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
    """The collection of one event: its extent, and where its items are."""
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
    """A page of an event's items, newest capture first. collections and ids as of a search: clients ask here
    too for the collection that they are in."""
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
    """The item of one revision of a flight's mosaic."""
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
    """Items of all events, newest capture first. collections and ids: names with commas between;
    intersects: a GeoJSON geometry, instead of bbox."""
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
    """The same, asked for in JSON."""
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
    said = [
        build_link("root", f"{base}stac"),
        build_link("self", build_current_url(request), GEOJSON),
        *links,
    ]
    if stop < len(found) and body is None:
        said.append(build_link("next", build_current_url(request, offset=stop), GEOJSON, method="GET"))
    elif stop < len(found) and body is not None:
        said.append(
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
        "links": said,
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
