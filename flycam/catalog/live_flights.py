"""Latest report of every live flight. Readers poll it; a report that does not come is news, too."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import delete, func, or_, select

from flycam.catalog import tables
from flycam.catalog.database import Database
from flycam.frame.flight import FlightState
from flycam.frame.live_flight import AircraftState, LinkState, LiveFlightPhase, LiveFlightReport
from flycam.messages import decode_message, encode_message

_COLUMNS = ("flight_id", "event_id", "name", "run", "beat", "told_ns")


class LiveFlightReports:
    """Reports of live flights, one row a flight: each report replaces the one before."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, report: LiveFlightReport) -> None:
        """Write a report. Raises CatalogUnavailable, DiskFull."""
        values = asdict(replace(report, remarks=(), failure=None))
        values["remarks"] = [encode_message(one) for one in report.remarks]
        values["failure"] = report.failure and encode_message(report.failure)
        row = {name: values.pop(name) for name in _COLUMNS}
        row["report"] = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        with self._database.write() as connection:
            connection.execute(self._database.upsert(tables.airborne), row)

    def end(self, flight_id: str, told_ns: int) -> None:
        """Mark a flight whose program was killed as ended.

        Does nothing if it has no report, or has ended itself. Raises CatalogUnavailable, DiskFull.
        """
        for told in self.list_since(0):
            if told.flight_id == flight_id and told.phase is not LiveFlightPhase.ENDED:
                self.put(replace(told, phase=LiveFlightPhase.ENDED, told_ns=told_ns, beat=told.beat + 1))

    def delete_before(self, told_ns: int) -> None:
        """Delete reports older than `told_ns`, which are no longer shown."""
        with self._database.write() as connection:
            connection.execute(delete(tables.airborne).where(tables.airborne.c.told_ns < told_ns))

    def list_since(self, told_ns: int) -> list[LiveFlightReport]:
        """Return reports since `told_ns` by flight id, without withdrawn flights.

        Name and event are those that the flight has on record.
        """
        mine, flights = tables.airborne, tables.flights
        query = (
            select(
                mine.c.flight_id,
                mine.c.run,
                mine.c.beat,
                mine.c.told_ns,
                mine.c.report,
                func.coalesce(flights.c.name, mine.c.name).label("name"),
                func.coalesce(flights.c.event_id, mine.c.event_id).label("event_id"),
            )
            .outerjoin_from(mine, flights, mine.c.flight_id == flights.c.flight_id)
            .where(
                mine.c.told_ns >= told_ns,
                or_(flights.c.state.is_(None), flights.c.state != FlightState.WITHDRAWN.value),
            )
            .order_by(mine.c.flight_id)
        )
        with self._database.read() as connection:
            return [_airborne(row) for row in connection.execute(query)]


def _airborne(row: Any) -> LiveFlightReport:
    """Convert a row and its JSON to a report; lists become tuples again."""
    said: dict[str, Any] = json.loads(row.report)
    said |= {name: getattr(row, name) for name in _COLUMNS}
    said |= {name: tuple(tuple(one) for one in said[name]) for name in ("track", "footprint")}
    said["remarks"] = tuple(map(decode_message, said["remarks"]))
    said |= {name: LinkState(**said[name]) for name in ("video", "telemetry")}
    if said["aircraft"] is not None:
        aircraft: dict[str, Any] = said["aircraft"]
        said["aircraft"] = AircraftState(**{**aircraft, "lonlat_deg": tuple(aircraft["lonlat_deg"])})
    if said["failure"] is not None:
        said["failure"] = decode_message(said["failure"])
    return LiveFlightReport(**{**said, "phase": LiveFlightPhase(said["phase"])})
