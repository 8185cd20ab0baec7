"""Field marks, briefings and reported access to settlements, as versions.

Every edit or report adds a version, nothing is overwritten; the last version is current.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.exc import IntegrityError

from flycam.catalog import tables
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.rows import parse_row, to_row
from flycam.catalog.tables import audit_log, briefings, match_touching_boxes, settlements
from flycam.errors import NotFound, StoreConflict
from flycam.messages import _
from flycam.model.board import Access, MarkStatus, RoadStatus
from flycam.model.records import AuditEntry, BoundsLonLat, MarkVersion

# -- Briefings: lists of places to present, by event and version -----------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class BriefingPlace:
    """A named view of the map.

    view    query of the page's address, by which any page shows it
    bounds  visible ground: west, south, east, north in degrees
    """

    name: str
    view: Mapping[str, str]
    bounds: BoundsLonLat


@dataclass(frozen=True, kw_only=True, slots=True)
class BriefingVersion:
    """The whole list as `author` left it at `at_ns`; the last version is current."""

    event_id: str
    version: int
    places: Sequence[BriefingPlace]
    author: str
    at_ns: int


class Briefings:
    """Lists by event and version. A version is on disk when `append` returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, line: BriefingVersion, audit_entry: AuditEntry) -> None:
        """Add a list with its entry for the audit log; an event's first version is 1.

        Raises StoreConflict if somebody else has added that version.
        """
        places = [[one.name, dict(one.view), list(one.bounds)] for one in line.places]
        row = to_row(briefings, line, places=json.dumps(places, ensure_ascii=False))
        try:
            with self._database.write(alone_in=audit_log) as connection:
                connection.execute(briefings.insert(), row)
                write_entries(connection, [audit_entry], self._database.audit_key)
        except IntegrityError as error:
            raise StoreConflict(
                _(
                    "{event_id}: somebody changed these places a moment ago; look at them again",
                    event_id=line.event_id,
                )
            ) from error

    def last(self, event_id: str) -> BriefingVersion | None:
        """Return the list of an event; None if there is none."""
        c = briefings.c
        query = select(briefings).where(c.event_id == event_id).order_by(c.version.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        places = [
            BriefingPlace(name=name, view=view, bounds=(west, south, east, north))
            for name, view, (west, south, east, north) in json.loads(row.places)
        ]
        return parse_row(BriefingVersion, row, places=places)


# -- Versions of field marks -----------------------------------------------------------------------


class Marks:
    """Versions of marks, on disk when `append` returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, line: MarkVersion, audit_entry: AuditEntry) -> None:
        """Add a version and its audit entry, both or neither; the first is version 1.

        Raises StoreConflict if somebody else has added that one.
        """
        try:
            with self._database.write(alone_in=audit_log) as connection:
                connection.execute(tables.marks.insert(), to_row(tables.marks, line))
                write_entries(connection, [audit_entry], self._database.audit_key)
        except IntegrityError as error:
            raise StoreConflict(
                _(
                    "{mark_id}: somebody changed this mark a moment ago; look at it again",
                    mark_id=line.mark_id,
                )
            ) from error

    def current(
        self,
        event_id: str | None = None,
        bounds: BoundsLonLat | None = None,
        *,
        with_removed: bool = False,
        until_ns: int | None = None,
    ) -> list[MarkVersion]:
        """Return the last version of every mark, newest first.

        with_removed  removed ones too
        until_ns      as of then (UTC): later versions are ignored
        """
        c = tables.marks.c
        lines = select(c.mark_id, func.max(c.version).label("last")).group_by(c.mark_id)
        if until_ns is not None:
            lines = lines.where(c.at_ns <= until_ns)
        last = lines.subquery()
        query = select(tables.marks).join(last, (c.mark_id == last.c.mark_id) & (c.version == last.c.last))
        if event_id is not None:
            query = query.where(c.event_id == event_id)
        if bounds is not None:
            query = query.where(match_touching_boxes(tables.marks, bounds))
        if not with_removed:
            query = query.where(c.status != MarkStatus.REMOVED.value)
        return self._fetch(query.order_by(c.at_ns.desc(), c.mark_id))

    def history(self, mark_id: str) -> list[MarkVersion]:
        """Return all versions of a mark, oldest first. Raises NotFound."""
        c = tables.marks.c
        found = self._fetch(select(tables.marks).where(c.mark_id == mark_id).order_by(c.version))
        if not found:
            raise make_mark_not_found(mark_id)
        return found

    def stamp(self) -> int:
        """Return a number that grows with every version."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(tables.marks)).scalar_one())

    def _fetch(self, query: Select[Any]) -> list[MarkVersion]:
        with self._database.read() as connection:
            return [parse_row(MarkVersion, row) for row in connection.execute(query)]


def make_mark_not_found(mark_id: str) -> NotFound:
    """Make the error of a mark that is missing, or hidden from the account."""
    return NotFound(_("{mark_id}: there is no such mark; see 'flycam marks list'", mark_id=mark_id[:40]))


# -- Reported access to settlements, by event and version ------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class SettlementVersion:
    """One report on a settlement's access; the last version of an event is current.

    version     1, 2, … : a report names the version that it was based on
    author      of the report, at `at_ns`
    roads_said  access by the roads at that time
    wkb         a point, WGS 84, as in the layer then, so that it is found again without the layer
    """

    event_id: str
    settlement_id: str
    version: int
    name: str
    access: Access
    roads_said: RoadStatus
    note: str
    author: str
    at_ns: int
    wkb: bytes
    bounds_lonlat_deg: BoundsLonLat


class Settlements:
    """Versions by event and settlement, on disk when `append` returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, line: SettlementVersion, audit_entry: AuditEntry) -> None:
        """Add a version with its audit entry; the first is version 1.

        Raises StoreConflict if somebody else has added that version.
        """
        try:
            with self._database.write(alone_in=audit_log) as connection:
                connection.execute(settlements.insert(), to_row(settlements, line))
                write_entries(connection, [audit_entry], self._database.audit_key)
        except IntegrityError as error:
            raise StoreConflict(
                _(
                    "{name}: somebody said something of this settlement a moment ago; look at it again",
                    name=line.name,
                )
            ) from error

    def current(self, event_id: str, until_ns: int | None = None) -> list[SettlementVersion]:
        """Return the last version of every settlement of an event, by id.

        until_ns  as of then (UTC)
        """
        c = settlements.c
        lines = select(c.settlement_id, func.max(c.version).label("last")).where(c.event_id == event_id)
        if until_ns is not None:
            lines = lines.where(c.at_ns <= until_ns)
        last = lines.group_by(c.settlement_id).subquery()
        query = select(settlements).join(
            last, (c.settlement_id == last.c.settlement_id) & (c.version == last.c.last)
        )
        return self._fetch(query.where(c.event_id == event_id).order_by(c.settlement_id))

    def history(self, event_id: str, settlement_id: str) -> list[SettlementVersion]:
        """Return all versions of a settlement in an event, oldest first."""
        c = settlements.c
        query = select(settlements).where(c.event_id == event_id, c.settlement_id == settlement_id)
        return self._fetch(query.order_by(c.version))

    def stamp(self) -> int:
        """Return a number that grows with every version."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(settlements)).scalar_one())

    def _fetch(self, query: Select[Any]) -> list[SettlementVersion]:
        with self._database.read() as connection:
            return [parse_row(SettlementVersion, row) for row in connection.execute(query)]
