"""Flights, their events, and the lock that lets one process write a flight."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Row, Select, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from flycam.catalog import tables
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.frames import SET_ASIDE_REASON
from flycam.catalog.rows import parse_event_row, parse_flight_row, to_event_row, to_flight_row
from flycam.errors import NameTaken, NotFound, StoreConflict
from flycam.messages import _
from flycam.model.flight import Event, Flight, FlightState
from flycam.model.records import AuditEntry, FrameStatus
from flycam.model.text import to_canonical_name

_IDS_AT_ONCE = 5000


class Flights:
    """Events and flights, found by id or name; names of flights are unique."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_event(self, event: Event) -> None:
        """Write or overwrite an event. Raises NameTaken for another event's name."""
        try:
            with self._database.write() as connection:
                connection.execute(self._database.upsert(tables.events), to_event_row(event))
        except IntegrityError as error:
            raise NameTaken(
                _("{name}: another event has this name; choose another", name=event.name)
            ) from error

    def event(self, ref: str) -> Event:
        """Return the event of this id or name, or raise NotFound."""
        with self._database.read() as connection:
            found = _by_id_or_name(connection, tables.events, tables.events.c.event_id, ref)
        if found is None:
            raise NotFound(
                _("{ref}: no such event; name one that exists, or begin it with an ingest", ref=ref)
            )
        return parse_event_row(found)

    def events(self) -> list[Event]:
        """Return all events, the latest first; those without a beginning last."""
        begins = tables.events.c.starts_ns
        query = select(tables.events).order_by(begins.is_(None), begins.desc(), tables.events.c.event_id)
        return self._database.fetch(parse_event_row, query)

    def put_flight(self, flight: Flight) -> None:
        """Write or overwrite a flight.

        Raises NameTaken if its name is another flight's name or id, FlightBusy if this process held its lock
        and lost it.
        """
        try:
            with self._database.write(alone_in=tables.flights) as connection:
                self._database.require_held(connection, flight.flight_id)
                _require_no_id(connection, flight.name, flight.flight_id)
                connection.execute(self._database.upsert(tables.flights), to_flight_row(flight))
        except IntegrityError as error:
            raise _make_name_taken(flight.name) from error

    def flight(self, ref: str) -> Flight:
        """Return the flight of this id or name, or raise NotFound."""
        with self._database.read() as connection:
            found = _by_id_or_name(connection, tables.flights, tables.flights.c.flight_id, ref)
        if found is None:
            raise make_flight_not_found(ref)
        return parse_flight_row(found)

    def flights(self, event_id: str | None = None, state: FlightState | None = None) -> list[Flight]:
        """Return flights, newest capture first; of one event or state if given."""
        c = tables.flights.c
        query = select(tables.flights).order_by(c.last_ns.desc(), c.flight_id)
        if event_id is not None:
            query = query.where(c.event_id == event_id)
        if state is not None:
            query = query.where(c.state == state.value)
        return self._database.fetch(parse_flight_row, query)

    def states(self) -> list[tuple[str, str]]:
        """Return (flight_id, state) of every flight, by id: cheap enough to poll."""
        c = tables.flights.c
        with self._database.read() as connection:
            rows = connection.execute(select(c.flight_id, c.state).order_by(c.flight_id))
            return [(row.flight_id, row.state) for row in rows]

    def rename(self, flight_id: str, name: str, audit_entry: AuditEntry) -> Flight:
        """Rename a flight, with its audit entry.

        Raises NotFound, and NameTaken and FlightBusy as `put_flight`.
        """
        try:
            # lock order as in `move`, the audit log first: two transactions in opposite order would deadlock
            with self._database.write(alone_in=tables.audit_log) as connection:
                self._database.lock_table(connection, tables.flights)
                self._database.require_held(connection, flight_id)
                _require_no_id(connection, name, flight_id)
                of_flight = tables.flights.c.flight_id == flight_id
                renamed = update(tables.flights).where(of_flight).values(name=to_canonical_name(name))
                if not connection.execute(renamed).rowcount:
                    raise make_flight_not_found(flight_id)
                write_entries(connection, [audit_entry], self._database.audit_key)
        except IntegrityError as error:
            raise _make_name_taken(name) from error
        return self.flight(flight_id)

    def move(self, flight_id: str, event_id: str, audit_entry: AuditEntry) -> Flight:
        """Move a flight to another event, with its audit entry.

        Raises NotFound, FlightBusy as `put_flight`.
        """
        c = tables.flights.c
        with self._database.write(alone_in=tables.audit_log) as connection:
            self._database.require_held(connection, flight_id)
            connection.execute(
                update(tables.flights).where(c.flight_id == flight_id).values(event_id=event_id)
            )
            write_entries(connection, [audit_entry], self._database.audit_key)
        return self.flight(flight_id)

    def flight_of_frames(self, frame_ids: Sequence[str]) -> str | None:
        """Return the flight that holds most of these frames; None if none does.

        The smaller id wins a tie.
        """
        counts: dict[str, int] = {}
        c = tables.frames.c
        with self._database.read() as connection:
            for start in range(0, len(frame_ids), _IDS_AT_ONCE):
                chunk = list(frame_ids[start : start + _IDS_AT_ONCE])
                query = select(c.flight_id, func.count()).where(c.frame_id.in_(chunk)).group_by(c.flight_id)
                for flight_id, count in connection.execute(query):
                    counts[flight_id] = counts.get(flight_id, 0) + count
        return min(counts, key=lambda flight_id: (-counts[flight_id], flight_id), default=None)

    def find_by_frames(self, frame_ids: Sequence[str]) -> set[str]:
        """Return the flights with one of these frames on the map, now or before."""
        c = tables.frames.c
        was_on_the_map = or_(c.status != FrameStatus.REJECTED.value, c.reason == SET_ASIDE_REASON)
        found: set[str] = set()
        with self._database.read() as connection:
            for start in range(0, len(frame_ids), _IDS_AT_ONCE):
                chunk = list(frame_ids[start : start + _IDS_AT_ONCE])
                query = select(c.flight_id).where(c.frame_id.in_(chunk), was_on_the_map).distinct()
                found.update(row.flight_id for row in connection.execute(query))
        return found

    @contextmanager
    def lock(self, flight_id: str) -> Iterator[None]:
        """Hold a flight for writing, or by `format_finish_lock` for finishing.

        Ends with the block or with the process. Raises FlightBusy at once.
        """
        with self._database.exclusive(flight_id):
            yield


def format_finish_lock(flight_id: str) -> str:
    """Return the name of the lock for finishing a flight.

    Others may write its live revision meanwhile.
    """
    return f"finish-{flight_id}"


def require_in_event(connection: Connection, flight_ids: Collection[str], event_id: str) -> None:
    """Require that these flights stay in an event until the transaction ends.

    The transaction has the audit log alone, as that of `Flights.move`. Raises StoreConflict.
    """
    c = tables.flights.c
    query = select(c.name).where(c.flight_id.in_(flight_ids), c.event_id != event_id).order_by(c.name)
    moved = connection.execute(query).scalars().first() if flight_ids else None
    if moved is not None:
        raise StoreConflict(
            _(
                "{moved}: was moved to another event while it was compared, so that nothing "
                "of it was put up for review; run the comparison again",
                moved=moved,
            )
        )


def make_flight_not_found(ref: str) -> NotFound:
    """Make the error of a flight that is missing, or hidden from the account."""
    return NotFound(_("{ref}: no such flight; give the id or the name that ingest printed", ref=ref))


def _make_name_taken(name: str) -> NameTaken:
    return NameTaken(
        _("{name}: another flight has this name; use its id, or choose another name with --name", name=name)
    )


def _require_no_id(connection: Connection, name: str, flight_id: str) -> None:
    """Raise NameTaken if a flight's name is another flight's id.

    The caller is the only writer of flights.
    """
    ids = tables.flights.c.flight_id
    if connection.execute(select(ids).where(ids == name, ids != flight_id)).first() is not None:
        raise _make_name_taken(name)


def _by_id_or_name(connection: Connection, table: Any, ids: Any, ref: str) -> Row[Any] | None:
    query: Select[Any] = select(table).where(or_(ids == ref, table.c.name == to_canonical_name(ref)))
    return connection.execute(query.order_by((ids == ref).desc())).first()
