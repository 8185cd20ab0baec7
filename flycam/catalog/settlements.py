"""Access to settlements as people report it: every report adds a version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, func, select
from sqlalchemy.exc import IntegrityError

from flycam.catalog.audit import write_entries
from flycam.catalog.board_tables import settlements
from flycam.catalog.bounding_boxes import to_box_columns
from flycam.catalog.database import Database
from flycam.catalog.records import AuditEntry, BoundsLonLat
from flycam.catalog.tables import audit_log
from flycam.errors import StoreConflict
from flycam.frame.settlement import Access, RoadStatus
from flycam.messages import _


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
                connection.execute(settlements.insert(), _row(line))
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
            return [_line(row) for row in connection.execute(query)]


_PLAIN = ("event_id", "settlement_id", "version", "name", "note", "author", "at_ns", "wkb")


def _row(line: SettlementVersion) -> dict[str, Any]:
    return {
        **{name: getattr(line, name) for name in _PLAIN},
        "access": line.access.value,
        "roads_said": line.roads_said.value,
        **to_box_columns(line.bounds_lonlat_deg),
    }


def _line(row: Row[Any]) -> SettlementVersion:
    return SettlementVersion(
        **{name: getattr(row, name) for name in _PLAIN},
        access=Access(row.access),
        roads_said=RoadStatus(row.roads_said),
        bounds_lonlat_deg=(row.west, row.south, row.east, row.north),
    )
