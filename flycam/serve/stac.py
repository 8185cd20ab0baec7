"""STAC 1.0.0: a catalogue of events, each a collection, each flight an item with its addresses as assets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import shapely
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from flycam.catalog.catalog import Catalog
from flycam.errors import NotFound
from flycam.frame.flight import Event, Flight, FlightState
from flycam.frame.moment import iso
from flycam.serve.flights import CatalogHere
from flycam.serve.guard import viewer
from flycam.serve.imaged import outline_on_show
from flycam.serve.wording import Json, geometry, iso_or_none

router = APIRouter(dependencies=[Depends(viewer)])

_VERSION = "1.0.0"
_DRILL = "DIỄN TẬP – "
_JSON, _GEOJSON = "application/json", "application/geo+json"


@router.get("/stac")
def root(request: Request, catalog: CatalogHere) -> Json:
    """STAC catalogue: a child for each event that has a flight on the map."""
    base = str(request.base_url)
    flown = {flight.event_id for flight in _flights(catalog)}
    events = [event for event in catalog.flights.events() if event.event_id in flown]
    children = [
        _link("child", f"{base}stac/{event.event_id}", _JSON, _title(event.name, event)) for event in events
    ]
    return {
        "type": "Catalog",
        "stac_version": _VERSION,
        "id": "flycam",
        "title": "flycam",
        "description": "Drone flights made into orthomosaics, by event.",
        "links": [_link("root", f"{base}stac"), _link("self", f"{base}stac"), *children],
    }


@router.get("/stac/{event_id}")
def event(event_id: str, request: Request, catalog: CatalogHere) -> Json:
    """STAC collection of one event: its extent, and an item for each flight."""
    base = str(request.base_url)
    found = catalog.flights.event(event_id)
    flights = [one for one in _flights(catalog) if one.event_id == found.event_id]
    if not flights:
        raise NotFound(
            f"{found.name}: none of its flights is on the map; see /stac",
            vi=f"{found.name}: không có chuyến bay nào trên bản đồ; xem /stac",
        )
    boxes = [one.bounds_lonlat_deg for one in flights if one.bounds_lonlat_deg is not None]
    here = f"{base}stac/{found.event_id}"
    items = [_link("item", f"{here}/{one.flight_id}", _GEOJSON, _title(one.name, found)) for one in flights]
    return {
        "type": "Collection",
        "stac_version": _VERSION,
        "id": found.event_id,
        "title": _title(found.name, found),
        "description": _title(found.name, found),
        "license": "proprietary",
        "extent": {
            "spatial": {"bbox": [_around(boxes)]},
            "temporal": {
                "interval": [
                    [
                        iso(min(one.first_ns for one in flights)),
                        iso(max(one.last_ns for one in flights)),
                    ]
                ]
            },
        },
        "summaries": {"gsd": {"minimum": _least(flights), "maximum": max(one.gsd_m for one in flights)}},
        "links": [*_up(base, f"{base}stac"), _link("self", here), *items],
    }


@router.get("/stac/{event_id}/{flight_id}")
def item(event_id: str, flight_id: str, request: Request, catalog: CatalogHere) -> Response:
    """STAC item of one flight: the ground it imaged, its times, and the addresses of its mosaics."""
    base = str(request.base_url)
    found = catalog.flights.event(event_id)
    flight = next((one for one in _flights(catalog) if one.flight_id == flight_id), None)
    if flight is None or flight.event_id != found.event_id or flight.bounds_lonlat_deg is None:
        raise NotFound(
            f"{flight_id}: no flight of {found.name} on the map; see /stac/{found.event_id}",
            vi=f"{flight_id}: không phải chuyến bay của {found.name} trên bản đồ; xem /stac/{found.event_id}",
        )
    mosaics = [one for one in catalog.tiles.mosaics(flight_id) if one.published]
    outline = outline_on_show(request, catalog, flight) or shapely.to_wkb(
        shapely.box(*flight.bounds_lonlat_deg)
    )
    shape, bounds = geometry(outline)
    collection = f"{base}stac/{found.event_id}"
    assets: Json = {}
    for mosaic in mosaics:
        assets[mosaic.layer.value] = {
            "href": f"{base}tilejson/{mosaic.mosaic_id}",
            "type": _JSON,
            "title": f"TileJSON: {mosaic.layer.value}, revision {mosaic.revision}",
            "roles": ["visual", "tiles"],
        }
    assets["wmts"] = {"href": f"{base}wmts", "type": "application/xml", "title": "WMTS", "roles": ["tiles"]}
    body = {
        "type": "Feature",
        "stac_version": _VERSION,
        "id": flight.flight_id,
        "collection": found.event_id,
        "geometry": shape,
        "bbox": bounds,
        "properties": {
            "title": _title(flight.name, found),
            "datetime": None,
            "start_datetime": iso(flight.first_ns),
            "end_datetime": iso(flight.last_ns),
            "gsd": flight.gsd_m,
            "flycam:is_drill": found.is_drill,
            "flycam:state": flight.state.value,
            "flycam:vertical_datum": flight.vertical_datum,
            "flycam:event_starts": iso_or_none(found.starts_ns),
        },
        "assets": assets,
        "links": [
            *_up(base, collection),
            _link("self", f"{collection}/{flight.flight_id}", _GEOJSON),
            _link("collection", collection),
        ],
    }
    return JSONResponse(body, media_type=_GEOJSON)


def _flights(catalog: Catalog) -> list[Flight]:
    """Flights that are on the map."""
    every = catalog.flights.flights()
    return [
        one for one in every if one.state is not FlightState.WITHDRAWN and one.bounds_lonlat_deg is not None
    ]


def _title(name: str, event: Event) -> str:
    return f"{_DRILL}{name}" if event.is_drill else name


def _link(rel: str, href: str, media_type: str = _JSON, title: str = "") -> Json:
    link = {"rel": rel, "href": href, "type": media_type}
    return {**link, "title": title} if title else link


def _up(base: str, parent: str) -> list[Json]:
    return [_link("root", f"{base}stac"), _link("parent", parent)]


def _around(boxes: Iterable[Sequence[float]]) -> list[float]:
    west, south, east, north = zip(*boxes, strict=True)
    return [min(west), min(south), max(east), max(north)]


def _least(flights: Iterable[Flight]) -> float:
    return min(one.gsd_m for one in flights)
