"""STAC API 1.0.0: events as collections, revisions of their flights' mosaics as items, and a search.

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

from flycam.catalog.catalog import Catalog
from flycam.catalog.withholding import Withholding
from flycam.errors import NotFound
from flycam.frame.flight import Event, Flight
from flycam.messages import _
from flycam.serve.answering.links import GEOJSON, OPENAPI, base_of, here, link, part
from flycam.serve.answering.wording import Json
from flycam.serve.door.guard import Sees, withholding_of
from flycam.serve.services import CatalogHere
from flycam.serve.standards.asked_for import (
    FARTHEST,
    MOST,
    USUAL,
    Name,
    PageWanted,
    Wanted,
    bounds_of_numbers,
    period_of,
    refused,
    standard_router,
    touching,
    within,
)
from flycam.serve.standards.stac_documents import VERSION, Offered, collection_of, item_of, offered, outline
from flycam.serve.tiles.offered import flights_on_map, is_near, titled

router = standard_router("/stac", "STAC API")

_CONFORMS = (
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "https://api.stacspec.org/v1.0.0/item-search",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
)
_Listed = Annotated[str | None, Query(max_length=4000)]
_Names = Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=1000)]


class Search(BaseModel):
    """What is searched for; everything left out is not asked for."""

    collections: _Names | None = None
    ids: _Names | None = None
    bbox: Annotated[list[float], Field(min_length=4, max_length=6)] | None = None
    intersects: dict[str, Any] | None = None
    datetime: Annotated[str, Field(max_length=100)] | None = None
    limit: Annotated[int, Field(ge=1)] = USUAL
    offset: Annotated[int, Field(ge=0, le=FARTHEST)] = 0


@router.get("")
def root(request: Request, catalog: CatalogHere, sees: Sees) -> Json:
    """The catalogue: a child for each event that has a flight on the map, and where to search."""
    base = base_of(request)
    address = f"{base}stac"
    children = [
        link("child", f"{address}/collections/{part(one.event_id)}", title=titled(one.name, one))
        for one, _ in _flown(catalog, sees)
    ]
    search = f"{address}/search"
    return {
        "type": "Catalog",
        "stac_version": VERSION,
        "id": "flycam",
        "title": "flycam",
        "description": "Drone flights made into orthomosaics, by event.",
        "conformsTo": list(_CONFORMS),
        "links": [
            link("root", address),
            link("self", address),
            link("service-desc", f"{base}api/openapi.json", OPENAPI),
            link("service-doc", f"{base}api/docs", "text/html"),
            link("conformance", f"{address}/conformance"),
            link("data", f"{address}/collections"),
            link("search", search, GEOJSON, method="GET"),
            link("search", search, GEOJSON, method="POST"),
            *children,
        ],
    }


@router.get("/conformance")
def conformance() -> Json:
    """Which classes of the standards are met."""
    return {"conformsTo": list(_CONFORMS)}


@router.get("/collections")
def collections(request: Request, catalog: CatalogHere, sees: Sees) -> Json:
    """A collection for each event that has a flight on the map."""
    base = base_of(request)
    return {
        "collections": [collection_of(event, flights, base) for event, flights in _flown(catalog, sees)],
        "links": [link("root", f"{base}stac"), link("self", f"{base}stac/collections")],
    }


@router.get("/collections/{event_id}")
def collection(event_id: Name, request: Request, catalog: CatalogHere, sees: Sees) -> Json:
    """The collection of one event: its extent, and where its items are."""
    return collection_of(*_event(catalog, event_id, sees), base_of(request))


@router.get("/collections/{event_id}/items")
def items(
    event_id: Name,
    wanted: PageWanted,
    request: Request,
    catalog: CatalogHere,
    sees: Sees,
    collections: _Listed = None,
    ids: _Listed = None,
) -> JSONResponse:
    """A page of an event's items, newest capture first. collections and ids as of a search: clients ask here
    too for the collection that they are in."""
    event, _ = _event(catalog, event_id, sees)
    chosen = _named(offered(catalog, sees, event.event_id), _split(collections), _split(ids))
    found = _matching(request, catalog, chosen, wanted)
    links = [link("collection", f"{base_of(request)}stac/collections/{part(event.event_id)}")]
    return _page(request, catalog, found, wanted, links)


@router.get("/collections/{event_id}/items/{item_id}")
def item(event_id: Name, item_id: Name, request: Request, catalog: CatalogHere, sees: Sees) -> JSONResponse:
    """The item of one revision of a flight's mosaic."""
    event, __ = _event(catalog, event_id, sees)
    one = next((one for one in offered(catalog, sees, event.event_id) if one.name == item_id), None)
    if one is None:
        raise NotFound(
            _(
                "{item_id}: {name} has no such item; see /stac/collections/{event_id}/items",
                item_id=item_id[:80],
                name=event.name,
                event_id=event.event_id,
            )
        )
    body = item_of(catalog, one, outline(request, catalog, one), base_of(request), sees)
    return JSONResponse(body, media_type=GEOJSON)


@router.get("/search")
def search(
    wanted: PageWanted,
    request: Request,
    catalog: CatalogHere,
    sees: Sees,
    collections: _Listed = None,
    ids: _Listed = None,
    intersects: Annotated[str | None, Query(max_length=16_000)] = None,
) -> JSONResponse:
    """Items of all events, newest capture first. collections and ids: names with commas between;
    intersects: a GeoJSON geometry, instead of bbox."""
    shape = None
    if intersects is not None:
        shape = _shape(intersects, wanted)
    chosen = _named(offered(catalog, sees), _split(collections), _split(ids))
    found = _matching(request, catalog, chosen, wanted, shape)
    return _page(request, catalog, found, wanted, [])


@router.post("/search")
def search_by_body(body: Search, request: Request, catalog: CatalogHere, sees: Sees) -> JSONResponse:
    """The same, asked for in JSON."""
    wanted = Wanted(
        bounds=None if body.bbox is None else bounds_of_numbers(body.bbox),
        period=None if body.datetime is None else period_of(body.datetime),
        limit=min(body.limit, MOST),
        offset=body.offset,
    )
    again = body.model_dump(exclude_unset=True)
    shape = None
    if body.intersects is not None:
        shape = _shape(json.dumps(body.intersects), wanted)
        again["intersects"] = json.loads(shapely.to_geojson(shape))  # and nothing else that was sent with it
    chosen = _named(offered(catalog, sees), body.collections or (), body.ids or ())
    found = _matching(request, catalog, chosen, wanted, shape)
    return _page(request, catalog, found, wanted, [], again)


def _flown(catalog: Catalog, sees: Withholding) -> list[tuple[Event, list[Flight]]]:
    """Events with their flights on the map, those without any left out."""
    flights: dict[str, list[Flight]] = {}
    for one in flights_on_map(catalog, sees):
        flights.setdefault(one.event_id, []).append(one)
    return [(one, flights[one.event_id]) for one in catalog.flights.events() if one.event_id in flights]


def _event(catalog: Catalog, event_id: str, sees: Withholding) -> tuple[Event, list[Flight]]:
    found = next((pair for pair in _flown(catalog, sees) if pair[0].event_id == event_id), None)
    if found is None:
        raise NotFound(
            _(
                "{event_id}: no event with a flight on the map has this id; see /stac/collections",
                event_id=event_id[:80],
            )
        )
    return found


def _split(names: str | None) -> list[str]:
    """Names with commas between."""
    return [one for one in (names or "").split(",") if one]


def _named(every: Sequence[Offered], collections: Sequence[str], ids: Sequence[str]) -> list[Offered]:
    """Those of these events and of these names, as far as any are named."""
    return [
        one
        for one in every
        if (not collections or one.event.event_id in collections) and (not ids or one.name in ids)
    ]


def _matching(
    request: Request,
    catalog: Catalog,
    every: Sequence[Offered],
    wanted: Wanted,
    shape: BaseGeometry | None = None,
) -> list[tuple[Offered, bytes | None]]:
    """Those that are wanted, each with its outline where that had to be looked at."""
    timely = [one for one in every if within(one.flight.first_ns, one.flight.last_ns, wanted.period)]
    if wanted.bounds is None and shape is None:
        return [(one, None) for one in timely]
    box = wanted.box if shape is None else shape.bounds
    near = [one for one in timely if is_near(one.flight, box)]  # an outline is read off the mosaic's tiles
    outlines = [outline(request, catalog, one) for one in near]
    touched = touching(outlines, wanted.area if shape is None else shape)
    return [
        pair for pair, is_inside in zip(zip(near, outlines, strict=True), touched, strict=True) if is_inside
    ]


def _page(
    request: Request,
    catalog: Catalog,
    found: Sequence[tuple[Offered, bytes | None]],
    wanted: Wanted,
    links: Sequence[Json],
    body: Json | None = None,
) -> JSONResponse:
    """Some of what was found as an item collection, with the link to what comes next: for a search by `body`
    that body again."""
    base, stop = base_of(request), wanted.offset + wanted.limit
    page = found[wanted.offset : stop]
    said = [link("root", f"{base}stac"), link("self", here(request), GEOJSON), *links]
    if stop < len(found) and body is None:
        said.append(link("next", here(request, offset=stop), GEOJSON, method="GET"))
    elif stop < len(found) and body is not None:
        said.append(link("next", here(request), GEOJSON, method="POST", body={**body, "offset": stop}))
    features = [
        item_of(catalog, one, outline_wkb or outline(request, catalog, one), base, withholding_of(request))
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


def _shape(text: str, wanted: Wanted) -> BaseGeometry:
    """A geometry of GeoJSON; 400 for anything else, and beside a bbox."""
    if wanted.bounds is not None:
        raise refused("give bbox or intersects, not both", "chỉ dùng một trong hai: bbox hoặc intersects")
    try:
        shape = shapely.from_geojson(text)
    except (shapely.errors.ShapelyError, UnicodeError) as error:  # GEOS cuts what it says within a letter
        raise _no_shape() from error
    if shape is None or shape.is_empty or not shape.is_valid:
        raise _no_shape()
    return shape


def _no_shape() -> Exception:
    return refused(
        "intersects: give a GeoJSON geometry that is not empty and does not cross itself",
        "intersects: hãy cho một hình GeoJSON không rỗng và không tự cắt",
    )
