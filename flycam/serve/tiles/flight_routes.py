"""Events and flights, and the coverage of each flight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from flycam.access.visible_flights import (
    find_shown_revision,
    find_visible_flight,
    format_title,
    list_visible_flights,
)
from flycam.catalog.catalog import Catalog
from flycam.catalog.tiles import make_mosaic_not_found
from flycam.errors import NotFound
from flycam.http.guards import (
    AccessPolicyHere,
    GuardedRoute,
    GuestPrincipal,
    OperatorPrincipal,
    require_guest,
    require_viewer,
)
from flycam.http.responses import Json, format_iso_or_none, to_geojson_collection, to_geojson_feature
from flycam.http.services import CatalogHere, ServicesHere
from flycam.ingest.video.video_frames import is_from_stream
from flycam.model.access import Role
from flycam.model.flight import Classification, Event, Flight
from flycam.model.frame import Provenance
from flycam.model.records import FrameStatus, MosaicInfo, RevisionRecord
from flycam.model.revision_stats import put_in_words
from flycam.model.time import format_iso
from flycam.model.warning import describe_warning, describe_warning_briefly, parse_warning_code
from flycam.mosaic.amendments import move_flight
from flycam.mosaic.finish.revisions import collect_readout_warnings, list_outdated_warnings
from flycam.mosaic.orthorectify.flight_session import find_current_event
from flycam.serve.tiles.data_tiles import LEGENDS, to_legend_json
from flycam.serve.tiles.outlines import find_coverage_gaps

# routes that guests must not reach require more
router = APIRouter(route_class=GuardedRoute, dependencies=[Depends(require_guest)])


@router.get("/api/events")
def list_events(services: ServicesHere, principal: GuestPrincipal) -> list[Json]:
    """List all events, exercises marked; for a guest of one event that alone.

    `takes_unnamed`: real flights of now without a given event go into it.
    """
    only = principal.account.event_id if principal.account else ""
    workspace = services.workspace
    events = workspace.catalog.flights.events()
    storm = find_current_event(workspace.catalog, events, workspace.clock_ns())
    return [{**_event(one), "takes_unnamed": one == storm} for one in events if only in ("", one.event_id)]


@router.get("/api/flights")
def list_flights(catalog: CatalogHere, principal: GuestPrincipal, event: str | None = None) -> list[Json]:
    """List flights, newest capture first, with their published mosaics and coverage.

    `is_streamed`: the newest image came from a stream; only then an unfinished mosaic is shown as live.
    Guests see neither the operator nor the length of video.
    """
    event_id = catalog.flights.event(event).event_id if event else None
    drills = {one.event_id for one in catalog.flights.events() if one.is_drill}
    shown: dict[str, list[MosaicInfo]] = {}
    for mosaic in catalog.tiles.mosaics():
        if mosaic.published:
            shown.setdefault(mosaic.flight_id, []).append(mosaic)
    lookups = _FlightLookups(
        levels=catalog.restrictions.levels(), newest=catalog.frames.find_latest_originals()
    )
    found = [
        _flight(catalog, flight, shown.get(flight.flight_id, []), flight.event_id in drills, lookups)
        for flight in list_visible_flights(catalog, principal.access_policy, event_id)
    ]
    return (
        found
        if principal.has_role(Role.VIEWER)
        else [{**one, "operator": None, "recorded_s": 0.0} for one in found]
    )


@router.get("/api/flights/{ref}", dependencies=[Depends(require_viewer)])
def get_flight(ref: str, catalog: CatalogHere, access_policy: AccessPolicyHere) -> Json:
    """Return one flight by id or name, with the status of its frames."""
    found = find_visible_flight(catalog, ref, access_policy)
    is_drill = catalog.flights.event(found.event_id).is_drill
    shown = [mosaic for mosaic in catalog.tiles.mosaics(found.flight_id) if mosaic.published]
    frames = catalog.frames.list_for_flight(found.flight_id)
    lookups = _FlightLookups(
        levels=catalog.restrictions.levels(), newest=catalog.frames.find_latest_originals(found.flight_id)
    )
    status = Counter(frame.status for frame in frames)
    rejected = Counter(frame.reason for frame in frames if frame.status is FrameStatus.REJECTED)
    return {
        **_flight(catalog, found, shown, is_drill, lookups),
        "frames": {
            "used": status[FrameStatus.USED],
            "withdrawn": status[FrameStatus.WITHDRAWN],
            "rejected": dict(rejected),
        },
    }


class FlightMoveBody(BaseModel):
    """Event (name or id) that a flight belongs to; a new name creates one."""

    event: Annotated[str, Field(min_length=1, max_length=200)]


@router.put("/api/flights/{ref}/event")
def put_flight_event(
    ref: str, body: FlightMoveBody, principal: OperatorPrincipal, services: ServicesHere
) -> Json:
    """Move a flight to another event.

    Operators may move their own, analysts and administrators every one that they see. 409 while it is in the
    air, being ingested or finished, and where it was compared.
    """
    found = find_visible_flight(services.workspace.catalog, ref, principal.access_policy)
    only_of = None if principal.has_role(Role.ANALYST) else principal.name
    moved = move_flight(services.workspace, found.flight_id, body.event, principal.name, only_of=only_of)
    return {
        "flight_id": found.flight_id,
        "event": _event(moved.event),
        "former": _event(moved.former),
    }


@router.get("/api/flights/{ref}/footprints", dependencies=[Depends(require_viewer)])
def list_footprints(ref: str, catalog: CatalogHere, access_policy: AccessPolicyHere) -> Json:
    """List the footprints of the used frames, as GeoJSON."""
    found = find_visible_flight(catalog, ref, access_policy)
    return to_geojson_collection(
        to_geojson_feature(
            frame.footprint_wkb,
            {
                "frame_id": frame.frame_id,
                "source_name": frame.header.provenance.source_name,
                "captured": format_iso(frame.header.captured_ns),
                "gsd_m": frame.gsd_m,
            },
        )
        for frame in catalog.frames.list_for_flight(found.flight_id, FrameStatus.USED)
        if frame.footprint_wkb is not None
    )


@router.get("/api/flights/{ref}/gaps", dependencies=[Depends(require_viewer)])
def list_gaps(ref: str, catalog: CatalogHere, access_policy: AccessPolicyHere) -> Json:
    """List the gaps: ground inside the flight that no used photo sees.

    Largest first, as GeoJSON with areas.
    """
    found = find_visible_flight(catalog, ref, access_policy)
    used = catalog.frames.list_for_flight(found.flight_id, FrameStatus.USED)
    return to_geojson_collection(
        to_geojson_feature(hole.wkb, {"area_m2": hole.area_m2})
        for hole in find_coverage_gaps(used, found.work_crs)
    )


@router.get("/api/legends")
def list_legends() -> Json:
    """Return titles, colours and classes of the views `?layer=error|age|gsd|surface`."""
    return {layer.value: to_legend_json(legend) for layer, legend in LEGENDS.items()}


@router.get("/tilejson/{mosaic_id}")
def get_tilejson(
    mosaic_id: str,
    request: Request,
    catalog: CatalogHere,
    access_policy: AccessPolicyHere,
    revision: Annotated[int | None, Query(ge=0, lt=1_000_000_000)] = None,
) -> Json:
    """Return TileJSON 3.0 of the published revision of a mosaic, or of the one named."""
    published = catalog.tiles.mosaic(mosaic_id)
    found = catalog.flights.flight(published.flight_id)
    if access_policy.hides_flight_entirely(found):
        raise make_mosaic_not_found(mosaic_id)
    mosaic = find_shown_revision(catalog, published, revision)
    event = catalog.flights.event(found.event_id)
    base = str(request.base_url)
    named = "" if revision is None else f"?revision={revision}"
    return {
        "tilejson": "3.0.0",
        "name": format_title(found.name, event),
        "description": format_title(event.name, event),
        "scheme": "xyz",
        "tiles": [f"{base}tiles/{mosaic_id}/{{z}}/{{x}}/{{y}}{named}"],
        "minzoom": mosaic.min_zoom,
        "maxzoom": mosaic.base_zoom,
        "bounds": list(found.bounds_lonlat_deg or (-180.0, -85.05, 180.0, 85.05)),
        "flycam": {
            "layer": mosaic.layer.value,
            "revision": mosaic.revision,
            "captured": format_iso(found.last_ns),
        },
    }


@dataclass(frozen=True, slots=True)
class _FlightLookups:
    """Look-ups shared by one answer.

    levels: classification by flight; newest: provenance of the newest frame by flight; names: of communes, by
    code.
    """

    levels: Mapping[str, Classification]
    newest: Mapping[str, Provenance]
    names: dict[str, str] = field(default_factory=dict)


def _event(event: Event) -> Json:
    return {
        "event_id": event.event_id,
        "name": event.name,
        "kind": event.kind.value,
        "is_drill": event.is_drill,
        "risk_level": event.risk_level,
        "starts": format_iso_or_none(event.starts_ns),
        "ends": format_iso_or_none(event.ends_ns),
    }


def _flight(
    catalog: Catalog, flight: Flight, mosaics: list[MosaicInfo], is_drill: bool, lookups: _FlightLookups
) -> Json:
    coverage = catalog.boundaries.coverage(flight.flight_id)
    newest = lookups.newest.get(flight.flight_id)
    return {
        "flight_id": flight.flight_id,
        "name": flight.name,
        "event_id": flight.event_id,
        "is_drill": is_drill,
        "state": flight.state.value,
        "is_streamed": newest is not None and is_from_stream(newest),
        "classification": lookups.levels.get(flight.flight_id, Classification.OPEN).value,
        "gsd_m": flight.gsd_m,
        "first": format_iso(flight.first_ns),
        "last": format_iso(flight.last_ns),
        "bounds": flight.bounds_lonlat_deg,
        "operator": flight.operator,
        "recorded_s": round(catalog.recordings.sum_stored_seconds(flight.flight_id), 1),
        "work_crs": flight.work_crs,
        "vertical_datum": flight.vertical_datum,
        "warnings": [
            _warning(encoded)
            for encoded in (
                *flight.warnings,
                *list_outdated_warnings(catalog, mosaics),
                *collect_readout_warnings(catalog, mosaics),
            )
        ],
        "mosaics": [_mosaic(catalog, mosaic) for mosaic in mosaics],
        "communes": [
            {
                "code": row.commune_code,
                "name": _look_up_commune_name(catalog, row.commune_code, lookups.names),
                "covered_pct": row.covered_pct,
                "covered_m2": row.covered_m2,
                "gsd_m": row.gsd_m,
                "first": format_iso(row.first_ns),
                "last": format_iso(row.last_ns),
            }
            for row in coverage
        ],
    }


def _warning(encoded: str) -> Json:
    return {
        "code": parse_warning_code(encoded),
        **describe_warning(encoded).to_fields(),
        **describe_warning_briefly(encoded).to_fields("brief"),
        **describe_warning_briefly(encoded, finished=True).to_fields("finished"),
    }


def _mosaic(catalog: Catalog, mosaic: MosaicInfo) -> dict[str, Any]:
    return {
        "mosaic_id": mosaic.mosaic_id,
        "layer": mosaic.layer.value,
        "revision": mosaic.revision,
        "base_zoom": mosaic.base_zoom,
        "min_zoom": mosaic.min_zoom,
        "seq": catalog.tiles.last_seq(mosaic.mosaic_id),
        "revisions": [_revision(one) for one in catalog.revisions.list_for_mosaic(mosaic.mosaic_id)],
    }


def _revision(one: RevisionRecord) -> Json:
    """Describe a finished revision; the live one (0) has no record.

    The live one always exists.
    """
    return {
        "revision": one.revision,
        "state": one.state.value,
        "made": format_iso(one.made_ns),
        "why": one.why,
        "has_surface": one.support_key is not None,
        "options": one.options,
        "stats": put_in_words(one.stats),
        "reports": one.reports,
    }


def _look_up_commune_name(catalog: Catalog, code: str, known: dict[str, str]) -> str:
    """Return the name of a commune, in force or not; its code where unknown.

    Looked up once a request.
    """
    if code not in known:
        try:
            known[code] = catalog.boundaries.commune(code).name
        except NotFound:
            known[code] = code
    return known[code]
