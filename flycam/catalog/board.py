"""Field marks, briefings and reported access to settlements, as versions; specialist layers.

Every edit or report adds a version, nothing is overwritten; the last version is current. Layers are replaced
as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, func, or_, select
from sqlalchemy.exc import IntegrityError

from flycam.catalog import tables
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.rows import parse_row, to_row
from flycam.catalog.tables import audit_log, briefings, match_touching_boxes, settlements
from flycam.errors import NotFound, StoreConflict
from flycam.messages import _
from flycam.model.board import Access, MarkStatus, RoadStatus
from flycam.model.records import AuditEntry, BoundsLonLat, LayerFeatureRecord, LayerRecord, MarkVersion
from flycam.model.text import to_canonical_name

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
        return self._database.fetch(MarkVersion, query.order_by(c.at_ns.desc(), c.mark_id))

    def history(self, mark_id: str) -> list[MarkVersion]:
        """Return all versions of a mark, oldest first. Raises NotFound."""
        c = tables.marks.c
        found = self._database.fetch(
            MarkVersion, select(tables.marks).where(c.mark_id == mark_id).order_by(c.version)
        )
        if not found:
            raise make_mark_not_found(mark_id)
        return found

    def stamp(self) -> int:
        """Return a number that grows with every version."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(tables.marks)).scalar_one())


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
        return self._database.fetch(
            SettlementVersion, query.where(c.event_id == event_id).order_by(c.settlement_id)
        )

    def history(self, event_id: str, settlement_id: str) -> list[SettlementVersion]:
        """Return all versions of a settlement in an event, oldest first."""
        c = settlements.c
        query = select(settlements).where(c.event_id == event_id, c.settlement_id == settlement_id)
        return self._database.fetch(SettlementVersion, query.order_by(c.version))

    def stamp(self) -> int:
        """Return a number that grows with every version."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(settlements)).scalar_one())


# -- Specialist layers, replaced as a whole and queried by rectangle -------------------------------


_ROWS_AT_ONCE = 5000


class SpecialistLayers:
    """Layers by id or name.

    Readers see a layer before or after a write, never between.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self,
        layer: LayerRecord,
        features: Sequence[LayerFeatureRecord],
        audit_entry: AuditEntry | None = None,
    ) -> None:
        """Write a layer in place of the one with its id, atomically, with its audit entry."""
        with self._database.write() as connection:
            # its row first: a concurrent put of the same layer waits here, then sees what this one wrote
            connection.execute(self._database.upsert(tables.layers), _layer_row(layer))
            _drop_features(connection, layer.layer_id)
            for start in range(0, len(features), _ROWS_AT_ONCE):
                some = features[start : start + _ROWS_AT_ONCE]
                rows = [_feature_row(layer.layer_id, feature) for feature in some]
                connection.execute(tables.layer_features.insert(), rows)
            self._write_audit_entry(connection, audit_entry)

    def all(self) -> list[LayerRecord]:
        """Return every layer, by kind and name."""
        c = tables.layers.c
        return self._database.fetch(LayerRecord, select(tables.layers).order_by(c.kind, c.name))

    def get(self, ref: str) -> LayerRecord:
        """Return the layer of this id or name. Raises NotFound."""
        c = tables.layers.c
        query = select(tables.layers).where(or_(c.layer_id == ref, c.name == ref))
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise make_layer_not_found(ref)
        return parse_row(LayerRecord, row)

    def remove(self, layer_id: str, audit_entry: AuditEntry | None = None) -> None:
        """Remove a layer, with its audit entry.

        The file that it was read from stays as an original.
        """
        with self._database.write() as connection:
            connection.execute(delete(tables.layers).where(tables.layers.c.layer_id == layer_id))
            _drop_features(connection, layer_id)
            self._write_audit_entry(connection, audit_entry)

    def _write_audit_entry(self, connection: Connection, audit_entry: AuditEntry | None) -> None:
        """Write the audit entry, last in the transaction.

        Other writers of the log wait from here on, not while features are written.
        """
        if audit_entry is not None:
            self._database.lock_table(connection, audit_log)
            write_entries(connection, [audit_entry], self._database.audit_key)

    def features(
        self, layer_id: str, bounds: BoundsLonLat | None, limit: int, offset: int = 0
    ) -> tuple[list[LayerFeatureRecord], int]:
        """Return features whose box touches `bounds`, and how many there are in all.

        At most `limit` from `offset` on, trouble first.
        """
        c = tables.layer_features.c
        wanted = c.layer_id == layer_id
        if bounds is not None:
            wanted = and_(wanted, match_touching_boxes(tables.layer_features, bounds))
        query = select(tables.layer_features).where(wanted).order_by(c.is_trouble.desc(), c.number.desc())
        with self._database.read() as connection:
            matched = connection.execute(
                select(func.count()).select_from(tables.layer_features).where(wanted)
            )
            rows = connection.execute(query.limit(limit).offset(offset))
            return [parse_row(LayerFeatureRecord, row) for row in rows], int(matched.scalar_one())

    def names(self) -> list[tuple[str, int, str, BoundsLonLat]]:
        """Return (layer, number, name, box) of every named feature."""
        c = tables.layer_features.c
        query = select(c.layer_id, c.number, c.name, c.west, c.south, c.east, c.north).where(c.name != "")
        with self._database.read() as connection:
            return [
                (row.layer_id, row.number, row.name, (row.west, row.south, row.east, row.north))
                for row in connection.execute(query)
            ]

    def get_many(self, wanted: Collection[tuple[str, int]]) -> dict[tuple[str, int], LayerFeatureRecord]:
        """Return features by layer and number, without those that do not exist."""
        c = tables.layer_features.c
        found: dict[tuple[str, int], LayerFeatureRecord] = {}
        with self._database.read() as connection:
            for layer_id in sorted({layer_id for layer_id, _ in wanted}):
                numbers = [number for one, number in wanted if one == layer_id]
                query = select(tables.layer_features).where(c.layer_id == layer_id, c.number.in_(numbers))
                rows = connection.execute(query)
                found |= {(layer_id, row.number): parse_row(LayerFeatureRecord, row) for row in rows}
        return found

    def feature(self, layer_id: str, number: int) -> LayerFeatureRecord:
        """Return one feature of a layer. Raises NotFound."""
        c = tables.layer_features.c
        query = select(tables.layer_features).where(c.layer_id == layer_id, c.number == number)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFound(
                _("{number}: the layer has no such feature; it may have been read again since", number=number)
            )
        return parse_row(LayerFeatureRecord, row)

    def stamp(self) -> tuple[tuple[str, int], ...]:
        """Return a value that changes when a layer is added, removed or read again."""
        c = tables.layers.c
        with self._database.read() as connection:
            rows = connection.execute(select(c.layer_id, c.refreshed_ns).order_by(c.layer_id))
            return tuple((row.layer_id, row.refreshed_ns) for row in rows)


def make_layer_not_found(ref: str) -> NotFound:
    """Make the error of a layer that is missing, or hidden from the account."""
    return NotFound(_("{ref}: there is no such layer; see 'flycam layers list'", ref=ref))


def _drop_features(connection: Connection, layer_id: str) -> None:
    connection.execute(delete(tables.layer_features).where(tables.layer_features.c.layer_id == layer_id))


def _layer_row(layer: LayerRecord) -> dict[str, Any]:
    names = {"name": to_canonical_name(layer.name), "owner": to_canonical_name(layer.owner)}
    return to_row(tables.layers, layer, **names)


def _feature_row(layer_id: str, feature: LayerFeatureRecord) -> dict[str, Any]:
    name = to_canonical_name(feature.name)
    return to_row(tables.layer_features, feature, feature.condition, layer_id=layer_id, name=name)
