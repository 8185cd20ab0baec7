"""Deliberate renaming of a flight: photos and videos that join one never change its name."""

from __future__ import annotations

from dataclasses import dataclass

from flycam.catalog.flights import format_finish_lock
from flycam.catalog.records import AuditEntry
from flycam.frame.flight import Flight
from flycam.frame.text_normalization import validate_name
from flycam.pipeline.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightRename:
    """A flight after the renaming, and its former name, which may be the same."""

    flight: Flight
    former: str


def rename_flight(workspace: Workspace, ref: str, name: str, who: str) -> FlightRename:
    """Rename a flight (id or name), with an entry in the audit log.

    Raises NotFound; InputUnusable for no name; NameTaken where another flight has it; FlightBusy while it is
    ingested, finished or in the air.
    """
    flights = workspace.catalog.flights
    called = validate_name(name)
    flight_id = flights.flight(ref).flight_id
    # against an ingest and a finish of this flight
    with flights.lock(flight_id), flights.lock(format_finish_lock(flight_id)):
        flight = flights.flight(flight_id)
        if flight.name == called:
            return FlightRename(flight=flight, former=called)
        told = AuditEntry(
            who=who,
            what="flight renamed",
            subject=flight_id,
            detail=f"{flight.name} -> {called}",
            at_ns=workspace.clock_ns(),
        )
        return FlightRename(flight=flights.rename(flight_id, called, told), former=flight.name)
