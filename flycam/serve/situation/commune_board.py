"""`/api/board`: every commune with what was imaged of it, what is marked in it, and who flies over it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated

import shapely
from fastapi import APIRouter, Depends, Query, Request

from flycam.catalog.catalog import Catalog
from flycam.catalog.withholding import Withholding
from flycam.frame.flight import Flight, FlightState
from flycam.pipeline.change.commune_board import (
    CommuneRow,
    FlownGround,
    board_communes,
    commune_board,
    imaged_of_all,
)
from flycam.pipeline.change.compared_keeping import looked_at_in
from flycam.pipeline.change.words import waiting_said
from flycam.serve.answering.until import parse_until
from flycam.serve.answering.wording import Json, iso_or_none
from flycam.serve.door.guard import Sees, viewer
from flycam.serve.services import CatalogHere
from flycam.serve.situation.airborne import Sighted, Sky, Standing, sky_of
from flycam.serve.situation.commune_troubles import CommuneTroubles
from flycam.serve.tiles.imaged import outline_on_show
from flycam.serve.tiles.offered import flights_here

router = APIRouter(dependencies=[Depends(viewer)])


@router.get("/api/board")
def board(
    request: Request,
    catalog: CatalogHere,
    sky: Annotated[Sky, Depends(sky_of)],
    sees: Sees,
    event: Annotated[str, Query(max_length=200)],
    on: date | None = None,
    until: datetime | None = None,
) -> Json:
    """The communes in force on a date (those of today where none is known for it), as an event stands: a
    drill's in drills only, and those alone where all of it was flown over them.

    `imaged_pct` null: not flown; beside `communes`: of the ground of all of them together. `waiting`: changes
    that nobody has decided on yet, by kind, with their ground in it; null: none. `changes` counts confirmed
    ones, those that lie on each other once; 0: none stands on what was compared of it (`compared_pct`);
    null: none is confirmed there, which does not mean that nothing changed. With `until` (without a zone it
    is Vietnam's) only flights count whose last picture was taken by then, marks and changes as they stood
    then.
    `under_way` names flights over a commune that had begun by then and were not over: whether they had imaged
    it yet is not told, so it is not to be called unflown. `aloft` names flights in the air over a commune
    now: of an earlier time none. `troubles`: how many things of which layer their owner says to be in
    trouble; null of an earlier time, for layers are kept as they were read last.
    """
    found = catalog.flights.event(event)
    event_id = found.event_id
    here = flights_here(catalog, sees, event_id)
    flights = [one for one in here if one.state is not FlightState.WITHDRAWN]
    until_ns = parse_until(until)
    compared = looked_at_in(catalog, [event_id], sees, until_ns)
    communes = board_communes(catalog.boundaries, flights, compared.ground, on, is_drill=found.is_drill)
    if not sees.is_nothing:
        communes = [one for one in communes if not sees.is_outside(_inner_point(one.wkb))]
    over, begun = _by_then(flights, until_ns)
    changed = catalog.changes.current(event_id, until_ns=until_ns)
    rows = commune_board(
        communes,
        [_flown(request, catalog, one) for one in over],
        catalog.marks.current(event_id, until_ns=until_ns),
        _aloft(sky, event_id, sees) if until_ns is None else {},
        [_flown(request, catalog, one) for one in begun],
        [one for one in changed if not sees.hides_change(one)],
        compared,
    )
    known: CommuneTroubles = request.app.state.commune_troubles
    troubles = [None] * len(rows) if until_ns is not None else known.of(communes, sees)
    valid_from = max((one.valid_from.isoformat() for one in communes), default=None)
    return {
        "event_id": event_id,
        "valid_from": valid_from,
        "imaged_pct": imaged_of_all(rows),
        "communes": [_row(one, some) for one, some in zip(rows, troubles, strict=True)],
    }


def _inner_point(wkb: bytes) -> bytes:
    """A place within a commune: its neighbours' boundaries touch its own."""
    point: bytes = shapely.to_wkb(shapely.from_wkb(wkb).representative_point())
    return point


def _by_then(flights: Sequence[Flight], until_ns: int | None) -> tuple[list[Flight], list[Flight]]:
    """Flights whose last picture was taken by a time (None: now), and those that were under way then."""
    if until_ns is None:
        return list(flights), []
    begun = [one for one in flights if one.first_ns <= until_ns]
    return [one for one in begun if one.last_ns <= until_ns], [one for one in begun if one.last_ns > until_ns]


def _flown(request: Request, catalog: Catalog, flight: Flight) -> FlownGround:
    return FlownGround(
        flight_id=flight.flight_id,
        last_ns=flight.last_ns,
        work_crs=flight.work_crs,
        outline_wkb=outline_on_show(request, catalog, flight),
        coverage=catalog.boundaries.coverage(flight.flight_id),
    )


def _aloft(sky: Sky, event_id: str, sees: Withholding) -> dict[str, tuple[float, float]]:
    """Where live flights of the event look, else are: those too of which nothing is heard any more, and
    neither those that have landed nor films played again."""
    now_s = sky.now_s()
    flights = [
        one
        for one in sky.look()
        if one.told.event_id == event_id
        and not one.told.is_recording
        and not sees.hides_flight(one.told.flight_id)
    ]
    places = {one.told.flight_id: _place(one) for one in flights if one.standing(now_s) is not Standing.ENDED}
    return {flight_id: place for flight_id, place in places.items() if place is not None}


def _place(one: Sighted) -> tuple[float, float] | None:
    if len(one.told.footprint) > 2:
        middle = shapely.Polygon(one.told.footprint).centroid
        return middle.x, middle.y
    return one.told.aircraft.lonlat_deg if one.told.aircraft else None


def _row(row: CommuneRow, troubles: list[Json] | None) -> Json:
    return {
        "code": row.code,
        "name": row.name,
        "bounds": [round(side, 6) for side in row.bounds_lonlat_deg],
        "imaged_pct": row.imaged_pct,
        "newest": iso_or_none(row.newest_ns),
        "newest_flight": row.newest_flight,
        "newest_pct": row.newest_pct,
        "flights": row.flights,
        "marks": {kind.value: count for kind, count in sorted(row.marks.items())},
        "changes": row.changes,
        "waiting": waiting_said(row.waiting),
        "compared_pct": row.compared_pct,
        "aloft": row.aloft,
        "under_way": row.under_way,
        "troubles": troubles,
    }
