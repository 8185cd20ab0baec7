"""STAC 1.0.0 documents: collections of events, items of offered revisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import shapely
from fastapi import Request

from flycam.catalog.access_policy import AccessPolicy
from flycam.catalog.catalog import Catalog
from flycam.catalog.records import MosaicInfo
from flycam.catalog.revisions import LIVE_REVISION
from flycam.frame.flight import Event, Flight
from flycam.frame.timestamp import format_iso
from flycam.messages import _
from flycam.serve.http.json_values import Json, format_iso_or_none, to_geojson_geometry
from flycam.serve.http.links import GEOJSON, JSON, build_link, quote_path_segment
from flycam.serve.http.tile_matrix import iterate_tile_limits
from flycam.serve.standards.clips import COG_MEDIA_TYPE, is_clip_withheld, list_clips
from flycam.serve.tiles.outlines import get_revision_outline
from flycam.serve.tiles.visible_flights import (
    format_title,
    get_flight_bounds,
    iterate_offered_mosaics,
    list_flights_on_map,
    read_events_by_id,
)

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
    """Yield links of the web map extension; WMTS has only the revision on show."""
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
    asked = f"kind=pdf&layer={one.mosaic.layer.value}&revision={one.mosaic.revision}"
    return {
        f"report-{language}": {
            "href": f"{address}?{asked}&language={language}",
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
