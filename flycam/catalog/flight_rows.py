"""Conversion of flights and events to and from rows."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Row

from flycam.catalog.bounding_boxes import parse_box, to_box_columns
from flycam.frame.flight import Event, EventKind, Flight, FlightState
from flycam.frame.text_normalization import to_canonical_name, to_visible


def to_event_row(event: Event) -> dict[str, Any]:
    """Convert an event to a row."""
    return {
        "event_id": event.event_id,
        "name": to_canonical_name(event.name),
        "kind": event.kind.value,
        "is_drill": event.is_drill,
        "risk_level": event.risk_level,
        "starts_ns": event.starts_ns,
        "ends_ns": event.ends_ns,
    }


def parse_event_row(row: Row[Any]) -> Event:
    """Convert a row to an event; inverse of `to_event_row`."""
    return Event(
        event_id=row.event_id,
        name=to_visible(row.name),  # from an older version or another node
        kind=EventKind(row.kind),
        is_drill=row.is_drill,
        risk_level=row.risk_level,
        starts_ns=row.starts_ns,
        ends_ns=row.ends_ns,
    )


def to_flight_row(flight: Flight) -> dict[str, Any]:
    """Convert a flight to a row."""
    return {
        "flight_id": flight.flight_id,
        "name": to_canonical_name(flight.name),
        "event_id": flight.event_id,
        "state": flight.state.value,
        "work_crs": flight.work_crs,
        "vertical_datum": flight.vertical_datum,
        "dem_id": flight.dem_id,
        "gsd_m": float(flight.gsd_m),
        "first_ns": int(flight.first_ns),
        "last_ns": int(flight.last_ns),
        **to_box_columns(flight.bounds_lonlat_deg),
        "operator": flight.operator,
        "warnings": json.dumps(list(flight.warnings), ensure_ascii=False),
    }


def parse_flight_row(row: Row[Any]) -> Flight:
    """Convert a row to a flight; inverse of `to_flight_row`."""
    return Flight(
        flight_id=row.flight_id,
        name=to_visible(row.name),  # from an older version or another node
        event_id=row.event_id,
        state=FlightState(row.state),
        work_crs=row.work_crs,
        vertical_datum=row.vertical_datum,
        dem_id=row.dem_id,
        gsd_m=row.gsd_m,
        first_ns=row.first_ns,
        last_ns=row.last_ns,
        bounds_lonlat_deg=parse_box(row),
        operator=row.operator,
        warnings=_warnings_of(row.warnings),
    )


def _warnings_of(kept: str) -> tuple[str, ...]:
    """Parse stored warnings; skip malformed ones.

    Older nodes accepted any from peers, and one flight's row must not hide other flights.
    """
    values = json.loads(kept)
    return tuple(one for one in values if isinstance(one, str)) if isinstance(values, list) else ()
