"""Reassignment of a flight that was registered under the wrong event."""

from __future__ import annotations

from dataclasses import dataclass

from flycam.catalog.flights import format_finish_lock
from flycam.catalog.records import AuditEntry
from flycam.catalog.retention_records import select_active_holds
from flycam.errors import AccessDenied, FlightBoundToEvent, FlightBusy
from flycam.frame.flight import Event, Flight, FlightState
from flycam.frame.text_normalization import validate_name
from flycam.messages import _
from flycam.pipeline.orthorectification.flight_session import resolve_flight_event
from flycam.pipeline.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightReassignment:
    """A flight after the move, with its events.

    `former` equals `event` if it was there already.
    """

    flight: Flight
    former: Event
    event: Event


def move_flight(
    workspace: Workspace, ref: str, event: str, who: str, *, only_of: str | None = None
) -> FlightReassignment:
    """Move a flight (id or name) into another event (id or name).

    An unknown name begins an event. Only the flight is moved. Marks, changes and places of a meeting under
    the former event belong to that event and stay; other nodes keep the event under which they have the
    flight.

    only_of  the operator whose flights the caller may move; None: everybody's

    Raises NotFound; InputUnusable for no name; NameTaken where an exercise and a real event would mix;
    FlightBusy while it is ingested, finished, in the air, or in a briefing pack that is being made;
    FlightBoundToEvent where it was compared under its event, or that event is held and the flight is not;
    AccessDenied.
    """
    flights = workspace.catalog.flights
    name = validate_name(event)
    flight_id = flights.flight(ref).flight_id
    # against an ingest and a finish of this flight
    with flights.lock(flight_id), flights.lock(format_finish_lock(flight_id)):
        flight = flights.flight(flight_id)
        former = flights.event(flight.event_id)
        _require_own(flight, only_of)
        if name in (former.event_id, former.name):
            return FlightReassignment(flight=flight, former=former, event=former)
        _require_orthorectified(flight)
        _require_no_pack(workspace, flight)
        _require_not_compared(workspace, flight, former)
        _require_not_held(workspace, flight, former)
        found = resolve_flight_event(workspace, name, is_drill=former.is_drill)
        told = AuditEntry(
            who=who,
            what="flight moved",
            subject=flight_id,
            detail=f"{flight.name}: {_both(former)} -> {_both(found)}",
            at_ns=workspace.clock_ns(),
        )
        moved = flights.move(flight_id, found.event_id, told)
    return FlightReassignment(flight=moved, former=former, event=found)


def _both(event: Event) -> str:
    return f"{event.name} ({event.event_id})"


def _require_own(flight: Flight, only_of: str | None) -> None:
    if only_of is not None and flight.operator != only_of:
        raise AccessDenied(
            _(
                "{name}: another operator brought this flight; ask them, an analyst or an "
                "administrator to move it",
                name=flight.name,
            )
        )


def _require_orthorectified(flight: Flight) -> None:
    if flight.state is FlightState.INGESTING:
        raise FlightBusy(
            _(
                "{name}: is in the air or not wholly on the map yet; move it when that is done",
                name=flight.name,
            )
        )


def _require_no_pack(workspace: Workspace, flight: Flight) -> None:
    packs = workspace.catalog.packs.all()
    if any(one.is_pending and flight.flight_id in one.flights_seen for one in packs):
        raise FlightBusy(
            _(
                "{name}: a meeting pack that shows it is being made; move it when the pack is there",
                name=flight.name,
            )
        )


def _require_not_compared(workspace: Workspace, flight: Flight, event: Event) -> None:
    """Raise FlightBoundToEvent if the flight was compared under its event.

    What was found, or not found, is recorded for that event, and signed: it cannot move with the flight, and
    would stay behind without its images.
    """
    catalog = workspace.catalog
    own = {one.mosaic_id for one in catalog.tiles.mosaics(flight.flight_id)}
    compared = [one.mosaics for one in catalog.comparisons.list_for_event(event.event_id)]
    compared += [one.mosaics for one in catalog.changes.current(event.event_id)]
    if any(own.intersection(mosaics) for mosaics in compared):
        raise FlightBoundToEvent(
            _(
                "{name}: changes were looked for on it in the event {event_name}, and what "
                "was found and decided stays there: the flight stays too. To have its "
                "changes in another event, compare it again for that event",
                name=flight.name,
                event_name=event.name,
            )
        )


def _require_not_held(workspace: Workspace, flight: Flight, event: Event) -> None:
    """Raise FlightBoundToEvent if only the event is held.

    Its hold covers the originals of its flights: one that leaves it would be held no more.
    """
    retention = workspace.catalog.retention
    held = {one.subject for one in select_active_holds(retention.holds([flight.flight_id, event.event_id]))}
    if event.event_id in held and flight.flight_id not in held:
        raise FlightBoundToEvent(
            _(
                "{name}: the event {event_name} is held (its originals may not be let go), "
                "which would not hold this flight any more; an administrator holds the "
                "flight itself first",
                name=flight.name,
                event_name=event.name,
            )
        )
