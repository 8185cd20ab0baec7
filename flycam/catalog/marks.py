"""Field marks: every edit adds a version, nothing is overwritten; the last version is current."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Select, func, select
from sqlalchemy.exc import IntegrityError

from flycam.catalog import board_tables as tables
from flycam.catalog.audit import write_entries
from flycam.catalog.bounding_boxes import match_touching_boxes, to_box_columns
from flycam.catalog.database import Database
from flycam.catalog.records import AuditEntry, BoundsLonLat, MarkVersion
from flycam.catalog.tables import audit_log
from flycam.errors import NotFound, StoreConflict
from flycam.frame.mark import MarkKind, MarkStatus
from flycam.messages import _


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
                connection.execute(tables.marks.insert(), _row(line))
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
            return [_line(row) for row in connection.execute(query)]


def make_mark_not_found(mark_id: str) -> NotFound:
    """Make the error of a mark that is missing, or hidden from the account."""
    return NotFound(_("{mark_id}: there is no such mark; see 'flycam marks list'", mark_id=mark_id[:40]))


def _row(line: MarkVersion) -> dict[str, Any]:
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


def _line(row: Row[Any]) -> MarkVersion:
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
