"""Field marks, briefings and reported access to settlements, as versions.

Every edit or report adds a version, nothing is overwritten; the last version is current.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, func, select
from sqlalchemy.exc import IntegrityError

from flycam.catalog import tables
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.tables import audit_log, briefings, match_touching_boxes, settlements, to_box_columns
from flycam.errors import NotFound, StoreConflict
from flycam.messages import _
from flycam.model.board import Access, MarkKind, MarkStatus, RoadStatus
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
        row = {
            "event_id": line.event_id,
            "version": line.version,
            "places": json.dumps(places, ensure_ascii=False),
            "author": line.author,
            "at_ns": line.at_ns,
        }
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
        return BriefingVersion(
            event_id=row.event_id,
            version=row.version,
            places=[
                BriefingPlace(name=name, view=view, bounds=(west, south, east, north))
                for name, view, (west, south, east, north) in json.loads(row.places)
            ],
            author=row.author,
            at_ns=row.at_ns,
        )


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
                connection.execute(tables.marks.insert(), _encode_mark(line))
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
            return [_decode_mark(row) for row in connection.execute(query)]


def make_mark_not_found(mark_id: str) -> NotFound:
    """Make the error of a mark that is missing, or hidden from the account."""
    return NotFound(_("{mark_id}: there is no such mark; see 'flycam marks list'", mark_id=mark_id[:40]))


def _encode_mark(line: MarkVersion) -> dict[str, Any]:
    return {
        "mark_id": line.mark_id,
        "version": line.version,
        "event_id": line.event_id,
        "kind": line.kind.value,
        "status": line.status.value,
        "note": line.note,
        "photo_sha256": line.photo_sha256,
        "author": line.author,
        "at_ns": line.at_ns,
        "wkb": line.wkb,
        **to_box_columns(line.bounds_lonlat_deg),
    }


def _decode_mark(row: Row[Any]) -> MarkVersion:
    return MarkVersion(
        mark_id=row.mark_id,
        version=row.version,
        event_id=row.event_id,
        kind=MarkKind(row.kind),
        status=MarkStatus(row.status),
        note=row.note,
        photo_sha256=row.photo_sha256,
        author=row.author,
        at_ns=row.at_ns,
        wkb=row.wkb,
        bounds_lonlat_deg=(row.west, row.south, row.east, row.north),
    )


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
                connection.execute(settlements.insert(), _encode_settlement(line))
                write_entries(connection, [audit_entry], self._database.audit_key)
        except IntegrityError as error:
            raise StoreConflict(
                _(
                    "{name}: somebody reported on this settlement a moment ago; look at it again",
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
            return [_decode_settlement(row) for row in connection.execute(query)]


_PLAIN = ("event_id", "settlement_id", "version", "name", "note", "author", "at_ns", "wkb")


def _encode_settlement(line: SettlementVersion) -> dict[str, Any]:
    return {
        **{name: getattr(line, name) for name in _PLAIN},
        "access": line.access.value,
        "roads_said": line.roads_said.value,
        **to_box_columns(line.bounds_lonlat_deg),
    }


def _decode_settlement(row: Row[Any]) -> SettlementVersion:
    return SettlementVersion(
        **{name: getattr(row, name) for name in _PLAIN},
        access=Access(row.access),
        roads_said=RoadStatus(row.roads_said),
        bounds_lonlat_deg=(row.west, row.south, row.east, row.north),
    )
