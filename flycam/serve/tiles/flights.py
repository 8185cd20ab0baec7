"""Events and flights, and what each flight imaged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from flycam.catalog.catalog import Catalog
from flycam.catalog.records import FrameStatus, MosaicInfo, RevisionRecord, Role
from flycam.catalog.tiles import no_such_mosaic
from flycam.errors import NotFound
from flycam.frame.classification import Classification
from flycam.frame.flight import Event, Flight
from flycam.frame.frame import Provenance
from flycam.frame.moment import iso
from flycam.frame.warning import brief, code_of, sentence
from flycam.pipeline.film_frames import is_from_stream
from flycam.pipeline.finish.readout import readouts_said
from flycam.pipeline.laying.opening import flown_for
from flycam.pipeline.moving import move_flight
from flycam.pipeline.outdated import outdated_said
from flycam.serve.answering.wording import Json, collection, feature, iso_or_none
from flycam.serve.door.guard import Guest, Operator, Sees, guest, viewer
from flycam.serve.door.routing import GuardedRoute
from flycam.serve.services import CatalogHere, ServicesHere
from flycam.serve.tiles.layers import LEGENDS, legend_json
from flycam.serve.tiles.missed import holes_between
from flycam.serve.tiles.offered import flight_here, flights_here, revision_on_show

router = APIRouter(
    route_class=GuardedRoute, dependencies=[Depends(guest)]
)  # what guests must not see asks for more


@router.get("/api/events")
def events(services: ServicesHere, visitor: Guest) -> list[Json]:
    """All events, drills marked; for a guest of one event that alone. `takes_unnamed`: real flights of now
    for which nobody names an event go into it."""
    only = visitor.account.event_id if visitor.account else ""
    workspace = services.workspace
    events = workspace.catalog.flights.events()
    storm = flown_for(workspace.catalog, events, workspace.clock_ns())
    return [{**_event(one), "takes_unnamed": one == storm} for one in events if only in ("", one.event_id)]


@router.get("/api/flights")
def flights(catalog: CatalogHere, visitor: Guest, event: str | None = None) -> list[Json]:
    """Flights, newest capture first, with the mosaics on show and what they cover. `is_streamed`: its newest
    picture came from a stream, which alone makes a mosaic that is not finished a live one to people. Guests
    are not told who flew, nor of video."""
    event_id = catalog.flights.event(event).event_id if event else None
    drills = {one.event_id for one in catalog.flights.events() if one.is_drill}
    shown: dict[str, list[MosaicInfo]] = {}
    for mosaic in catalog.tiles.mosaics():
        if mosaic.published:
            shown.setdefault(mosaic.flight_id, []).append(mosaic)
    told = _Told(levels=catalog.restrictions.levels(), newest=catalog.frames.newest_pictures())
    found = [
        _flight(catalog, flight, shown.get(flight.flight_id, []), flight.event_id in drills, told)
        for flight in flights_here(catalog, visitor.withholding, event_id)
    ]
    return (
        found if visitor.may(Role.VIEWER) else [{**one, "operator": None, "recorded_s": 0.0} for one in found]
    )


@router.get("/api/flights/{ref}", dependencies=[Depends(viewer)])
def flight(ref: str, catalog: CatalogHere, sees: Sees) -> Json:
    """One flight by id or name, with what became of its frames."""
    found = flight_here(catalog, ref, sees)
    is_drill = catalog.flights.event(found.event_id).is_drill
    shown = [mosaic for mosaic in catalog.tiles.mosaics(found.flight_id) if mosaic.published]
    frames = catalog.frames.of_flight(found.flight_id)
    told = _Told(levels=catalog.restrictions.levels(), newest=catalog.frames.newest_pictures(found.flight_id))
    status = Counter(frame.status for frame in frames)
    rejected = Counter(frame.reason for frame in frames if frame.status is FrameStatus.REJECTED)
    return {
        **_flight(catalog, found, shown, is_drill, told),
        "frames": {
            "used": status[FrameStatus.USED],
            "withdrawn": status[FrameStatus.WITHDRAWN],
            "rejected": dict(rejected),
        },
    }


class MoveAsked(BaseModel):
    """The event (name or id) that a flight belongs to; a new name begins one."""

    event: Annotated[str, Field(min_length=1, max_length=200)]


@router.put("/api/flights/{ref}/event")
def move(ref: str, asked: MoveAsked, visitor: Operator, services: ServicesHere) -> Json:
    """Put a flight into another event: operators their own, analysts and administrators every one that they
    see. 409 while it is in the air or laid, and where changes were looked for on it."""
    found = flight_here(services.workspace.catalog, ref, visitor.withholding)
    only_of = None if visitor.may(Role.ANALYST) else visitor.name
    moved = move_flight(services.workspace, found.flight_id, asked.event, visitor.name, only_of=only_of)
    return {
        "flight_id": found.flight_id,
        "event": _event(moved.event),
        "former": _event(moved.former),
    }


@router.get("/api/flights/{ref}/footprints", dependencies=[Depends(viewer)])
def footprints(ref: str, catalog: CatalogHere, sees: Sees) -> Json:
    """Ground that each used frame sees, as GeoJSON."""
    found = flight_here(catalog, ref, sees)
    return collection(
        feature(
            frame.footprint_wkb,
            {
                "frame_id": frame.frame_id,
                "source_name": frame.header.provenance.source_name,
                "captured": iso(frame.header.captured_ns),
                "gsd_m": frame.gsd_m,
            },
        )
        for frame in catalog.frames.of_flight(found.flight_id, FrameStatus.USED)
        if frame.footprint_wkb is not None
    )


@router.get("/api/flights/{ref}/gaps", dependencies=[Depends(viewer)])
def gaps(ref: str, catalog: CatalogHere, sees: Sees) -> Json:
    """Ground inside the flight that no used photo sees, largest first, as GeoJSON with areas."""
    found = flight_here(catalog, ref, sees)
    used = catalog.frames.of_flight(found.flight_id, FrameStatus.USED)
    return collection(
        feature(hole.wkb, {"area_m2": hole.area_m2}) for hole in holes_between(used, found.work_crs)
    )


@router.get("/api/legends")
def legends() -> Json:
    """Titles, colours and classes of the tile views `?layer=error|age|gsd|surface`."""
    return {layer.value: legend_json(legend) for layer, legend in LEGENDS.items()}


@router.get("/tilejson/{mosaic_id}")
def tilejson(
    mosaic_id: str,
    request: Request,
    catalog: CatalogHere,
    sees: Sees,
    revision: Annotated[int | None, Query(ge=0, lt=1_000_000_000)] = None,
) -> Json:
    """TileJSON 3.0 of the mosaic revision on show, or of the one named."""
    published = catalog.tiles.mosaic(mosaic_id)
    found = catalog.flights.flight(published.flight_id)
    if sees.hides_whole(found):
        raise no_such_mosaic(mosaic_id)
    mosaic = revision_on_show(catalog, published, revision)
    event = catalog.flights.event(found.event_id)
    base = str(request.base_url)
    named = "" if revision is None else f"?revision={revision}"
    mark = "DIỄN TẬP – " if event.is_drill else ""
    return {
        "tilejson": "3.0.0",
        "name": f"{mark}{found.name}",
        "description": f"{mark}{event.name}",
        "scheme": "xyz",
        "tiles": [f"{base}tiles/{mosaic_id}/{{z}}/{{x}}/{{y}}{named}"],
        "minzoom": mosaic.min_zoom,
        "maxzoom": mosaic.base_zoom,
        "bounds": list(found.bounds_lonlat_deg or (-180.0, -85.05, 180.0, 85.05)),
        "flycam": {"layer": mosaic.layer.value, "revision": mosaic.revision, "captured": iso(found.last_ns)},
    }


@dataclass(frozen=True, slots=True)
class _Told:
    """What one answer looks up once: levels of flights, where the newest picture of each is from, names of
    communes."""

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
        "starts": iso_or_none(event.starts_ns),
        "ends": iso_or_none(event.ends_ns),
    }


def _flight(catalog: Catalog, flight: Flight, mosaics: list[MosaicInfo], is_drill: bool, told: _Told) -> Json:
    coverage = catalog.boundaries.coverage(flight.flight_id)
    newest = told.newest.get(flight.flight_id)
    return {
        "flight_id": flight.flight_id,
        "name": flight.name,
        "event_id": flight.event_id,
        "is_drill": is_drill,
        "state": flight.state.value,
        "is_streamed": newest is not None and is_from_stream(newest),
        "classification": told.levels.get(flight.flight_id, Classification.OPEN).value,
        "gsd_m": flight.gsd_m,
        "first": iso(flight.first_ns),
        "last": iso(flight.last_ns),
        "bounds": flight.bounds_lonlat_deg,
        "operator": flight.operator,
        "recorded_s": round(catalog.recordings.seconds_kept(flight.flight_id), 1),
        "work_crs": flight.work_crs,
        "vertical_datum": flight.vertical_datum,
        "warnings": [
            _warning(kept)
            for kept in (
                *flight.warnings,
                *outdated_said(catalog, mosaics),
                *readouts_said(catalog, mosaics),
            )
        ],
        "mosaics": [_mosaic(catalog, mosaic) for mosaic in mosaics],
        "communes": [
            {
                "code": row.commune_code,
                "name": _commune_name(catalog, row.commune_code, told.names),
                "covered_pct": row.covered_pct,
                "covered_m2": row.covered_m2,
                "gsd_m": row.gsd_m,
                "first": iso(row.first_ns),
                "last": iso(row.last_ns),
            }
            for row in coverage
        ],
    }


def _warning(kept: str) -> Json:
    return {
        "code": code_of(kept),
        "sentence": sentence(kept),
        "sentence_vi": sentence(kept, "vi"),
        "brief": brief(kept),
        "brief_vi": brief(kept, "vi"),
        "finished": brief(kept, finished=True),
        "finished_vi": brief(kept, "vi", finished=True),
    }


def _mosaic(catalog: Catalog, mosaic: MosaicInfo) -> dict[str, Any]:
    return {
        "mosaic_id": mosaic.mosaic_id,
        "layer": mosaic.layer.value,
        "revision": mosaic.revision,
        "base_zoom": mosaic.base_zoom,
        "min_zoom": mosaic.min_zoom,
        "seq": catalog.tiles.last_seq(mosaic.mosaic_id),
        "revisions": [_revision(one) for one in catalog.revisions.of_mosaic(mosaic.mosaic_id)],
    }


def _revision(one: RevisionRecord) -> Json:
    """A finished revision; the live one (0) has no record, and is always there."""
    return {
        "revision": one.revision,
        "state": one.state.value,
        "made": iso(one.made_ns),
        "why": one.why,
        "has_surface": one.support_key is not None,
        "options": one.options,
        "stats": one.stats,
        "reports": one.reports,
    }


def _commune_name(catalog: Catalog, code: str, known: dict[str, str]) -> str:
    """Name of a commune, in force or not, looked up once a request; the code where no boundary has it."""
    if code not in known:
        try:
            known[code] = catalog.boundaries.commune(code).name
        except NotFound:
            known[code] = code
    return known[code]
