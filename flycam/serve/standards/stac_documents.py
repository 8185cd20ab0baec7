"""STAC 1.0.0 documents: a collection for each event, an item for each revision that may be shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import shapely
from fastapi import Request

from flycam.catalog.catalog import Catalog
from flycam.catalog.records import MosaicInfo
from flycam.catalog.revisions import LIVE_REVISION
from flycam.catalog.withholding import Withholding
from flycam.frame.flight import Event, Flight
from flycam.frame.moment import iso
from flycam.serve.answering.links import GEOJSON, JSON, link, part
from flycam.serve.answering.quad import limits
from flycam.serve.answering.wording import Json, geometry, iso_or_none
from flycam.serve.standards.products import COG, clips_of, is_clip_withheld
from flycam.serve.tiles.imaged import outline_of
from flycam.serve.tiles.offered import bounds_of, events_by_id, flights_on_map, on_offer, titled

VERSION = "1.0.0"
_WEB_MAPS = "https://stac-extensions.github.io/web-map-links/v1.2.0/schema.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Offered:
    """One revision of a flight's mosaic, as an item will tell it."""

    event: Event
    flight: Flight
    mosaic: MosaicInfo

    @property
    def name(self) -> str:
        """Its item's id; the same for ever."""
        return f"{self.mosaic.mosaic_id}-r{self.mosaic.revision}"


def offered(catalog: Catalog, sees: Withholding, event_id: str | None = None) -> list[Offered]:
    """Every revision that may be shown, newest capture first, of a flight the newest revision first."""
    events = events_by_id(catalog)
    return [
        Offered(event=events[flight.event_id], flight=flight, mosaic=mosaic)
        for flight in flights_on_map(catalog, sees, event_id)
        for mosaic in sorted(on_offer(catalog, flight), key=lambda one: -one.revision)
    ]


def outline(request: Request, catalog: Catalog, one: Offered) -> bytes:
    """The ground that it shows, WKB; its flight's box where it shows none."""
    found = outline_of(request, catalog, one.flight, one.mosaic)
    return found or shapely.to_wkb(shapely.box(*bounds_of(one.flight)))


def collection_of(event: Event, flights: Sequence[Flight], base: str) -> Json:
    """The collection of an event with these flights, of which there is at least one."""
    west, south, east, north = zip(*(bounds_of(one) for one in flights), strict=True)
    first, last = min(one.first_ns for one in flights), max(one.last_ns for one in flights)
    here = f"{base}stac/collections/{part(event.event_id)}"
    return {
        "type": "Collection",
        "stac_version": VERSION,
        "id": event.event_id,
        "title": titled(event.name, event),
        "description": titled(event.name, event),
        "license": "proprietary",
        "extent": {
            "spatial": {"bbox": [[min(west), min(south), max(east), max(north)]]},
            "temporal": {"interval": [[iso(first), iso(last)]]},
        },
        "summaries": {
            "gsd": {
                "minimum": min(one.gsd_m for one in flights),
                "maximum": max(one.gsd_m for one in flights),
            }
        },
        "links": [*_up(base, f"{base}stac"), link("self", here), link("items", f"{here}/items", GEOJSON)],
    }


def item_of(catalog: Catalog, one: Offered, outline_wkb: bytes, base: str, sees: Withholding) -> Json:
    """The item of a revision: the ground it shows, its times, the addresses of its tiles, and of the clipped
    maps and reports that may be had. `outline_wkb` is `outline` of it."""
    event, flight, mosaic = one.event, one.flight, one.mosaic
    shape, bounds = geometry(outline_wkb)
    collection = f"{base}stac/collections/{part(event.event_id)}"
    title = f"{titled(flight.name, event)} ({mosaic.layer.value}, {_kind(mosaic)})"
    return {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": [_WEB_MAPS],
        "id": one.name,
        "collection": event.event_id,
        "geometry": shape,
        "bbox": bounds,
        "properties": {
            "title": title,
            "datetime": None,
            "start_datetime": iso(flight.first_ns),
            "end_datetime": iso(flight.last_ns),
            "gsd": flight.gsd_m,
            "flycam:flight_id": flight.flight_id,
            "flycam:layer": mosaic.layer.value,
            "flycam:revision": mosaic.revision,
            "flycam:on_show": mosaic.published,
            "flycam:is_drill": event.is_drill,
            "flycam:state": flight.state.value,
            "flycam:vertical_datum": flight.vertical_datum,
            "flycam:event_starts": iso_or_none(event.starts_ns),
            **_made(catalog, mosaic),
        },
        "assets": _assets(catalog, one, base, sees),
        "links": [
            *_up(base, collection),
            link("self", f"{collection}/items/{part(one.name)}", GEOJSON),
            link("collection", collection),
            *_web_maps(mosaic, base, title),
        ],
    }


def _web_maps(mosaic: MosaicInfo, base: str, title: str) -> Iterator[Json]:
    """Links of the extension for web maps; WMTS knows the revision on show alone."""
    address = part(mosaic.mosaic_id)
    tiles = f"{base}tiles/{address}/{{z}}/{{x}}/{{y}}.png?revision={mosaic.revision}"
    yield link("xyz", tiles, "image/png", title)
    yield link("tilejson", f"{base}tilejson/{address}?revision={mosaic.revision}", JSON, title)
    if mosaic.published:
        yield link("wmts", f"{base}wmts", "image/png", title, **{"wmts:layer": mosaic.mosaic_id})


def _assets(catalog: Catalog, one: Offered, base: str, sees: Withholding) -> Json:
    mosaic = one.mosaic
    address, number = part(mosaic.mosaic_id), mosaic.revision
    assets: Json = {
        "tilejson": {
            "href": f"{base}tilejson/{address}?revision={number}",
            "type": JSON,
            "title": "TileJSON",
            "roles": ["visual", "tiles"],
        }
    }
    small = [tiles for tiles in limits(mosaic, bounds_of(one.flight)) if len(tiles) == 1]
    if small:
        tile = f"{small[-1].z}/{small[-1].x_start}/{small[-1].y_start}"
        assets["thumbnail"] = {
            "href": f"{base}tiles/{address}/{tile}.png?revision={number}",
            "type": "image/png",
            "roles": ["thumbnail"],
        }
    names = catalog.boundaries.names()
    for covered in clips_of(catalog, mosaic):
        if is_clip_withheld(catalog, covered, sees):
            continue
        code = covered.commune_code
        assets[f"cog-{code}"] = {
            "href": f"{base}cog/{address}/{number}/{part(code)}.tif",
            "type": COG,
            "title": f"{names.get(code, code)} ({code})",
            "roles": ["data", "visual"],
            "gsd": covered.gsd_m,
        }
    if sees.touches_box(one.flight.bounds_lonlat_deg):
        return assets
    return {**assets, **_reports(catalog, one, base)}


def _reports(catalog: Catalog, one: Offered, base: str) -> Json:
    if one.mosaic.revision == LIVE_REVISION:
        return {}
    record = catalog.revisions.get(one.mosaic.mosaic_id, one.mosaic.revision)
    address = f"{base}api/flights/{part(one.flight.flight_id)}/report"
    asked = f"kind=pdf&layer={one.mosaic.layer.value}&revision={one.mosaic.revision}"
    return {
        f"report-{language}": {
            "href": f"{address}?{asked}&language={language}",
            "type": "application/pdf",
            "title": title,
            "roles": ["metadata"],
        }
        for language, title in (("vi", "Báo cáo chất lượng"), ("en", "Quality report"))
        if f"{language}.pdf" in record.reports
    }


def _made(catalog: Catalog, mosaic: MosaicInfo) -> Json:
    if mosaic.revision == LIVE_REVISION:
        return {}
    return {"created": iso(catalog.revisions.get(mosaic.mosaic_id, mosaic.revision).made_ns)}


def _kind(mosaic: MosaicInfo) -> str:
    return "not finished" if mosaic.revision == LIVE_REVISION else f"finished, revision {mosaic.revision}"


def _up(base: str, parent: str) -> list[Json]:
    return [link("root", f"{base}stac"), link("parent", parent)]
