"""Retention: terms, holds, and purged originals.

Records are kept, none is overwritten. A hold is in force until a record releases it, an original is purged
until a record lifts that: a grow-only set, which means the same in whatever order the records come and from
whichever node.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, delete, select

from flycam.catalog import tables
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.tables import parse_row, to_row
from flycam.errors import DueListChanged, NotFound, OriginalPurged
from flycam.messages import _
from flycam.model.access import HoldStep, PurgeStep, RetainedKind
from flycam.model.records import AuditEntry
from flycam.model.time import format_day
from flycam.storage import keys

# -- Records of retention, as frozen values --------------------------------------------------------


DEFAULT_SUBJECT = ""
"""Subject of a term that applies to events without one of their own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetentionTerm:
    """Term for which originals of a kind are kept.

    subject  an event's id, or DEFAULT_SUBJECT
    days     after the end of the flight (of a mark's photo: after its version; of an upload's file: after it
             came); None: for ever
    """

    subject: str
    kind: RetainedKind
    days: int | None
    author: str
    at_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldRecord:
    """One record of a hold's history.

    subject  id of the flight or event of which nothing may be purged
    """

    hold_id: str
    step: HoldStep
    subject: str
    reason: str
    author: str
    at_ns: int

    @property
    def line_id(self) -> str:
        """24 hex digits from its content, but for the subject.

        A flight's id differs by node.
        """
        return _id(self.hold_id, self.step, self.reason, self.author, str(self.at_ns))


@dataclass(frozen=True, kw_only=True, slots=True)
class PurgeRecord:
    """One original purged under a term, or the lifting of that.

    act_id       of the confirmation that it was part of; a LIFTED record names the one that it revokes
    flight_id    its flight here; "" for a mark's photo and an upload's file
    name         as people know it
    list_digest  of the list that was confirmed
    reason       why it was lifted; "" for a purge
    author, box  who confirmed it, and on which node; UTC `at_ns`
    """

    act_id: str
    step: PurgeStep
    kind: RetainedKind
    sha256: str
    flight_id: str
    name: str
    list_digest: str
    reason: str = ""
    author: str
    box: str
    at_ns: int

    @property
    def line_id(self) -> str:
        """24 hex digits from its content, but for the flight.

        A flight's id differs by node.
        """
        parts = (self.act_id, self.step, self.kind, self.sha256, self.name, self.list_digest, self.reason)
        return _id(*parts, self.author, self.box, str(self.at_ns))


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadedFile:
    """A photo or a video that an upload brought into the object store.

    event_id  "" if none was named
    """

    sha256: str
    name: str
    event_id: str
    came_ns: int


def get_original_key(kind: RetainedKind, sha256: str) -> str:
    """Return the key of an original in the store."""
    return (
        keys.format_recording_key(sha256) if kind is RetainedKind.VIDEO else keys.format_original_key(sha256)
    )


def select_active_holds(lines: Iterable[HoldRecord]) -> list[HoldRecord]:
    """Return the holds that nobody released."""
    every = list(lines)
    released = {(one.hold_id, one.subject) for one in every if one.step is HoldStep.RELEASED}
    held = (one for one in every if one.step is HoldStep.HELD)
    return [one for one in held if (one.hold_id, one.subject) not in released]


def select_active_purges(lines: Iterable[PurgeRecord]) -> dict[str, list[PurgeRecord]]:
    """Return the purges that nobody lifted, by the original's SHA-256."""
    every = list(lines)
    lifted = {(one.act_id, one.sha256) for one in every if one.step is PurgeStep.LIFTED}
    found: dict[str, list[PurgeRecord]] = {}
    for one in every:
        if one.step is PurgeStep.PURGED and (one.act_id, one.sha256) not in lifted:
            found.setdefault(one.sha256, []).append(one)
    return found


def make_original_purged(line: PurgeRecord, what: str = "") -> OriginalPurged:
    """Make the error of a purged original.

    what  named instead of the original
    """
    name, who = what or line.name or line.sha256, f"{line.author} ({line.box})"
    return OriginalPurged(
        _(
            "{name}: the original was deleted under the retention term on {day} by {who}; "
            "its record and the map stay. Anyone who still has the file asks an "
            "administrator: 'flycam retention lift', then 'flycam verify --from CARD'",
            name=name,
            day=format_day(line.at_ns),
            who=who,
        )
    )


def make_due_list_changed() -> DueListChanged:
    """Make the error of a confirmed list that is not the current one."""
    return DueListChanged(
        _(
            "the list of originals that are due is not the one that was shown, and nothing "
            "was deleted; look at it again ('flycam retention due') and confirm that"
        )
    )


def make_hold_not_found(hold_id: str) -> NotFound:
    """Make the error of a hold that does not exist, or was released."""
    return NotFound(
        _("{hold_id}: no such hold is in force; see 'flycam retention list'", hold_id=hold_id[:80])
    )


def _id(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


# -- Terms, holds and purges in the database ------------------------------------------------------


_ROWS_AT_ONCE = 2000


class Retention:
    """Terms by subject and kind, holds by subject, purges by the original's SHA-256.

    A write is on disk on return, together with its audit entries.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- terms ----------------------------------------------------------------------------------

    def put_term(self, term: RetentionTerm, entry: AuditEntry) -> None:
        """Set a term in place of the one of that subject and kind."""
        row = to_row(tables.retention_terms, term)
        with self._database.write(alone_in=tables.audit_log) as connection:
            connection.execute(self._database.upsert(tables.retention_terms), row)
            write_entries(connection, [entry], self._database.audit_key)

    def remove_term(self, subject: str, kind: RetainedKind, entry: AuditEntry) -> None:
        """Remove a term: the node's default applies again, or none."""
        c = tables.retention_terms.c
        with self._database.write(alone_in=tables.audit_log) as connection:
            deletion = delete(tables.retention_terms).where(c.subject == subject, c.kind == kind.value)
            connection.execute(deletion)
            write_entries(connection, [entry], self._database.audit_key)

    def terms(self) -> list[RetentionTerm]:
        """Return every term, the node's default first."""
        c = tables.retention_terms.c
        return self._database.fetch(RetentionTerm, select(tables.retention_terms).order_by(c.subject, c.kind))

    # -- holds ----------------------------------------------------------------------------------

    def add_holds(self, lines: Sequence[HoldRecord], entries: Sequence[AuditEntry] = ()) -> list[HoldRecord]:
        """Add records; return those that were new.

        `entries` are written only if one is new.
        """
        rows = {(one.line_id, one.subject): to_row(tables.retention_holds, one) for one in lines}
        if not rows:
            return []
        c = tables.retention_holds.c
        insert = self._database.insert(tables.retention_holds)
        insert = insert.on_conflict_do_nothing(index_elements=["line_id", "subject"])
        with self._database.write(alone_in=tables.audit_log) as connection:
            query = select(c.line_id, c.subject).where(c.line_id.in_([name for name, _ in rows]))
            here = {tuple(row) for row in connection.execute(query)}
            connection.execute(insert, list(rows.values()))
            new = [one for one in lines if (one.line_id, one.subject) not in here]
            if new:
                write_entries(connection, list(entries), self._database.audit_key)
        return new

    def holds(self, subjects: Iterable[str] | None = None) -> list[HoldRecord]:
        """Return every record, or those of these flights and events, oldest first."""
        c = tables.retention_holds.c
        query = select(tables.retention_holds).order_by(c.at_ns, c.line_id, c.subject)
        if subjects is not None:
            query = query.where(c.subject.in_(list(subjects)))
        return self._database.fetch(HoldRecord, query)

    def held_flights(self) -> frozenset[str]:
        """Return the flights of which nothing is purged: they or their events are held."""
        subjects = [one.subject for one in select_active_holds(self.holds())]
        of_events = select(tables.flights.c.flight_id).where(tables.flights.c.event_id.in_(subjects))
        with self._database.read() as connection:
            return frozenset((*subjects, *connection.execute(of_events).scalars()))

    # -- purges ---------------------------------------------------------------------------------

    def record_purges(
        self, lines: Sequence[PurgeRecord], subjects: Iterable[str], entries: Sequence[AuditEntry]
    ) -> None:
        """Record that originals are to be purged, all or none, with audit entries.

        subjects  flights and events that they belong to. Raises DueListChanged if one of them is held by now
        """
        c = tables.retention_holds.c
        of_them = select(tables.retention_holds).where(c.subject.in_(list(subjects)))
        with self._database.write(alone_in=tables.audit_log) as connection:
            if select_active_holds(parse_row(HoldRecord, row) for row in connection.execute(of_them)):
                raise make_due_list_changed()
            self._insert(connection, lines)
            write_entries(connection, entries, self._database.audit_key)

    def learn(self, lines: Sequence[PurgeRecord], entries: Sequence[AuditEntry] = ()) -> list[PurgeRecord]:
        """Add purges or liftings from another node; return those that were new.

        `entries` are written only if one is new.
        """
        if not lines:
            return []
        with self._database.write(alone_in=tables.audit_log) as connection:
            new = self._insert(connection, lines)
            if new:
                write_entries(connection, entries, self._database.audit_key)
        return new

    def lines(self) -> list[PurgeRecord]:
        """Return every purge record, oldest first."""
        return self._fetch(select(tables.purges))

    def list_for_originals(self, hashes: Iterable[str]) -> list[PurgeRecord]:
        """Return purge records of the originals of these SHA-256.

        Oldest first within each batch of about a thousand hashes.
        """
        unique = sorted(set(hashes))
        chunks = (unique[start : start + _ROWS_AT_ONCE] for start in range(0, len(unique), _ROWS_AT_ONCE))
        every = select(tables.purges)
        return [one for some in chunks for one in self._fetch(every.where(tables.purges.c.sha256.in_(some)))]

    def list_for_flight(self, flight_id: str) -> list[PurgeRecord]:
        """Return purge records of a flight's originals, oldest first."""
        return self._fetch(select(tables.purges).where(tables.purges.c.flight_id == flight_id))

    # -- originals ------------------------------------------------------------------------------

    def photos(self) -> Iterator[tuple[str, str, str]]:
        """Yield (flight_id, SHA-256, name) of every recorded frame's original.

        Whatever the frame's status.
        """
        query = select(tables.frames.c.flight_id, tables.frames.c.provenance)
        with self._database.read() as connection:
            for row in connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(query):
                values = json.loads(row.provenance)
                if values["source_sha256"]:
                    yield row.flight_id, values["source_sha256"], values["source_name"]

    def has_original(self, sha256: str) -> bool:
        """Check whether a recorded frame is of this original (hex)."""
        c = tables.frames.c
        query = select(c.frame_id).where(c.provenance.contains(sha256, autoescape=True)).limit(1)
        with self._database.read() as connection:
            return connection.execute(query).first() is not None

    def note_uploaded(self, file: UploadedFile) -> None:
        """Record a file that an upload brought; the first time counts."""
        insert = self._database.insert(tables.upload_files).on_conflict_do_nothing(index_elements=["sha256"])
        with self._database.write() as connection:
            connection.execute(insert, to_row(tables.upload_files, file))

    def list_uploaded(self) -> list[UploadedFile]:
        """Return all files that uploads brought, oldest first."""
        c = tables.upload_files.c
        return self._database.fetch(UploadedFile, select(tables.upload_files).order_by(c.came_ns, c.sha256))

    def _insert(self, connection: Any, lines: Sequence[PurgeRecord]) -> list[PurgeRecord]:
        named = {(one.line_id, one.flight_id): one for one in lines}
        insert = self._database.insert(tables.purges)
        insert = insert.on_conflict_do_nothing(index_elements=["line_id", "flight_id"])
        new: list[PurgeRecord] = []
        ids = list(named)
        for start in range(0, len(ids), _ROWS_AT_ONCE):
            chunk = ids[start : start + _ROWS_AT_ONCE]
            query = select(tables.purges.c.line_id, tables.purges.c.flight_id)
            query = query.where(tables.purges.c.line_id.in_([name for name, _ in chunk]))
            here = {tuple(row) for row in connection.execute(query)}
            connection.execute(insert, [to_row(tables.purges, named[one]) for one in chunk])
            new += [named[one] for one in chunk if one not in here]
        return new

    def _fetch(self, query: Select[Any]) -> list[PurgeRecord]:
        ordered = query.order_by(tables.purges.c.at_ns, tables.purges.c.line_id, tables.purges.c.flight_id)
        return self._database.fetch(PurgeRecord, ordered)
