"""Communes, field marks, briefings, reported access, and specialist layers.

Every edit or report adds a version, nothing is overwritten; the last version is current. Layers are replaced
as a whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import compress
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from flycam.catalog import tables
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.tables import (
    BOX_COLUMNS,
    audit_log,
    briefings,
    is_touching,
    match_touching_boxes,
    parse_row,
    settlements,
    to_row,
)
from flycam.errors import BoundaryInvalid, NotFound, StoreConflict
from flycam.messages import _
from flycam.model.board import Access, MarkStatus, RoadStatus
from flycam.model.flight import EXERCISE_COMMUNE_CODES
from flycam.model.records import (
    AuditEntry,
    BoundsLonLat,
    CommuneRecord,
    Coverage,
    LayerFeatureRecord,
    LayerRecord,
    MarkVersion,
)
from flycam.model.text import to_canonical_name, to_search_key

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


# -- Commune boundaries by date, and the coverage of each commune by flights -----------------------


# -- Validity of commune boundaries: the day on which each ends ------------------------------------
#
# Real communes and those of exercises share the ground, and neither ends the other.


@dataclass(frozen=True)
class _Edition:
    code: str
    valid_from: date
    valid_to: date | None
    polygon: Any


def update_valid_to(connection: Connection) -> None:
    """Write the day on which each boundary ends, where it has changed.

    Needs the table alone: two at once would not see each other's boundaries.
    """
    c = tables.communes.c
    query = select(c.code, c.valid_from, c.valid_to, c.wkb)
    editions = [
        _Edition(row.code, row.valid_from, row.valid_to, shapely.from_wkb(row.wkb))
        for row in connection.execute(query)
    ]
    if not editions:
        return
    changed = [
        {"a_code": e.code, "a_date": e.valid_from, "an_end": end}
        for is_made_up in (False, True)
        for e, end in _ends([one for one in editions if (one.code in EXERCISE_COMMUNE_CODES) is is_made_up])
        if e.valid_to != end
    ]
    if changed:
        statement = update(tables.communes).where(
            c.code == bindparam("a_code"), c.valid_from == bindparam("a_date")
        )
        connection.execute(statement.values(valid_to=bindparam("an_end")), changed)


def _ends(editions: Sequence[_Edition]) -> list[tuple[_Edition, date | None]]:
    """Return each edition with the first day on which another supersedes it.

    It is one of its code, or one whose polygon holds its inner point.
    """
    polygons = np.array([e.polygon for e in editions], dtype=object)
    inner = shapely.point_on_surface(polygons)
    later: list[list[date]] = [[] for __ in editions]
    points, holders = shapely.STRtree(polygons).query(inner, predicate="within")
    for point, holder in zip(points.tolist(), holders.tolist(), strict=True):
        later[point].append(editions[holder].valid_from)
    dates_of_code: dict[str, list[date]] = {}
    for edition in editions:
        dates_of_code.setdefault(edition.code, []).append(edition.valid_from)
    return [
        (e, min((d for d in (*dates, *dates_of_code[e.code]) if d > e.valid_from), default=None))
        for e, dates in zip(editions, later, strict=True)
    ]


# -- Communes by code and date, and their coverage -------------------------------------------------


_SEARCH_LIMIT = 20
_SLIVER = 1e-4
"""Share of a commune that is no more than the precision of its boundary."""


class Boundaries:
    """Communes by code and date.

    Boundaries change, so only a record of the same code and date is overwritten.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_communes(self, communes: Sequence[CommuneRecord]) -> None:
        """Write boundaries and derive the dates until which each is valid.

        A boundary ends on the day from which a later boundary has the same code, or holds its inner point: so
        communes that were merged into another end too. An exercise's communes end no real ones, and real ones
        end none of an exercise. Clips that a redrawn boundary cut are made anew. Raises BoundaryInvalid for
        an unreadable polygon.
        """
        rows = [_row(commune) for commune in communes]
        # two concurrent imports would derive the ends without seeing each other's boundaries
        with self._database.write(alone_in=tables.communes) as connection:
            if rows:
                _drop_clips_of_redrawn(connection, communes)
                connection.execute(self._database.upsert(tables.communes), rows)
            update_valid_to(connection)

    def communes(
        self, on_date: date | None = None, bounds: BoundsLonLat | None = None
    ) -> list[CommuneRecord]:
        """Return communes valid on a date (the latest without one), by code.

        bounds  only those whose box touches it
        """
        query = select(tables.communes).where(_in_force(on_date))
        if bounds is not None:
            query = query.where(match_touching_boxes(tables.communes, bounds))
        return self._database.fetch(CommuneRecord, query.order_by(tables.communes.c.code))

    def list_countable(
        self, *, is_drill: bool, on_date: date | None = None, bounds: BoundsLonLat | None = None
    ) -> list[CommuneRecord]:
        """Return the communes in which an event's ground, marks and changes count.

        So that each counts exactly once where an exercise's communes overlap real ones. In a real event: all
        but those of exercises. In an exercise: the real ones minus the ground of the exercise's, in boundary
        and area and whatever `bounds` are, without those that lie wholly beneath them; then the exercise's
        own. Each as valid on the date, or today's if none is: a flight before the first known boundaries
        still has a commune to name.
        """
        real = self._first_known(on_date, bounds, is_synthetic=False)
        made_up = self._first_known(on_date, None, is_synthetic=True) if is_drill else []
        if not made_up:
            return real
        over = union_communes(made_up)
        beneath = self._touching(over.bounds)
        counted = []
        for one in real:
            left = _left_of(one, over) if (one.code, one.valid_from) in beneath else one
            counted += [] if left is None else [left]
        here = [bounds is None or is_touching(shapely.from_wkb(one.wkb).bounds, bounds) for one in made_up]
        return [*counted, *compress(made_up, here)]

    def extent(self, on_date: date | None = None, exclude: Collection[str] = ()) -> BoundsLonLat | None:
        """Return (west, south, east, north) in degrees of communes.

        Those valid on a date, or the latest, without those of the codes `exclude`.
        """
        c = tables.communes.c
        sides = func.min(c.west), func.min(c.south), func.max(c.east), func.max(c.north)
        query = select(*sides).where(_in_force(on_date), c.code.not_in(exclude))
        with self._database.read() as connection:
            west, south, east, north = connection.execute(query).one()
        return None if west is None else (west, south, east, north)

    def boxes(self) -> list[BoundsLonLat]:
        """Return (west, south, east, north) in degrees of the latest communes.

        Does not read the polygons.
        """
        c = tables.communes.c
        query = select(c.west, c.south, c.east, c.north).where(_in_force(None)).order_by(c.code)
        with self._database.read() as connection:
            return [(row.west, row.south, row.east, row.north) for row in connection.execute(query)]

    def codes(self) -> set[str]:
        """Return the codes of all boundaries of all dates, ended ones too."""
        with self._database.read() as connection:
            return set(connection.execute(select(tables.communes.c.code).distinct()).scalars())

    def names(self, on_date: date | None = None) -> dict[str, str]:
        """Return names by code of communes valid on a date, or the latest.

        Does not read the polygons.
        """
        c = tables.communes.c
        query = select(c.code, c.name).where(_in_force(on_date)).order_by(c.code)
        with self._database.read() as connection:
            return {row.code: row.name for row in connection.execute(query)}

    def commune(self, code: str, on_date: date | None = None) -> CommuneRecord:
        """Return the commune of this code, or raise NotFound.

        As valid on the date, its latest boundary without one.
        """
        c = tables.communes.c
        query = select(tables.communes).where(c.code == code).order_by(c.valid_from.desc()).limit(1)
        if on_date is not None:
            query = query.where(_in_force(on_date))
        found = self._database.fetch(CommuneRecord, query)
        if not found and on_date is not None:
            raise _not_then(self.commune(code), on_date)
        if not found:
            raise NotFound(
                _("{code}: no such commune; register boundaries with: flycam communes add FILE", code=code)
            )
        return found[0]

    def editions(self, code: str | None = None) -> list[CommuneRecord]:
        """Return every boundary of every date, by code and date; of one code if given."""
        c = tables.communes.c
        query = select(tables.communes).order_by(c.code, c.valid_from)
        return self._database.fetch(CommuneRecord, query if code is None else query.where(c.code == code))

    def stamp(self) -> str:
        """Return a digest that changes whenever a boundary is added or redrawn."""
        c = tables.communes.c
        query = select(c.code, c.valid_from, c.name, c.area_m2, c.wkb).order_by(c.code, c.valid_from)
        digest = hashlib.sha256()
        with self._database.read() as connection:
            for row in connection.execute(query):
                values = (row.code, row.valid_from.isoformat(), row.name, row.area_m2)
                digest.update(repr(values).encode() + hashlib.sha256(row.wkb).digest())
        return digest.hexdigest()

    def search(
        self, text: str, on_date: date | None = None, limit: int = _SEARCH_LIMIT
    ) -> list[CommuneRecord]:
        """Return communes whose name contains the text.

        Ignores accents and case; names that begin with it come first.
        """
        key = to_search_key(text)
        if not key:
            return []
        c = tables.communes.c
        query = select(tables.communes).where(
            _in_force(on_date), c.search_name.contains(key, autoescape=True)
        )
        begins = c.search_name.startswith(key, autoescape=True)
        return self._database.fetch(
            CommuneRecord, query.order_by(begins.desc(), c.search_name, c.code).limit(limit)
        )

    def find_at(self, lon_deg: float, lat_deg: float) -> CommuneRecord | None:
        """Return the commune that holds a point; None where no boundary is known."""
        candidates = self.communes(bounds=(lon_deg, lat_deg, lon_deg, lat_deg))
        point = shapely.Point(lon_deg, lat_deg)
        return next((c for c in candidates if shapely.from_wkb(c.wkb).intersects(point)), None)

    def put_coverage(self, flight_id: str, coverage: Sequence[Coverage]) -> None:
        """Replace the coverage of a flight, in one transaction.

        Raises FlightBusy if this process held the flight's lock and lost it.
        """
        if any(row.flight_id != flight_id for row in coverage):
            raise ValueError(f"coverage of another flight was given for {flight_id}")
        rows = [to_row(tables.coverage, row) for row in coverage]
        with self._database.write() as connection:
            self._database.require_held(connection, flight_id)
            connection.execute(delete(tables.coverage).where(tables.coverage.c.flight_id == flight_id))
            if rows:
                connection.execute(tables.coverage.insert(), rows)

    def put_clip(self, covered: Coverage, key: str, mosaic_id: str, seq: int) -> bool:
        """Record the clip of a commune, made from the tiles at `seq` of a tile log.

        Writes nothing and returns False if tiles or coverage have changed since: what a withdrawal removed
        must not stay.
        """
        c, log = tables.coverage.c, tables.tile_logs.c
        is_this = (c.flight_id == covered.flight_id) & (c.commune_code == covered.commune_code)
        last_seq = select(log.last_seq).where(log.mosaic_id == mosaic_id)
        as_seen = is_this & (c.covered_m2 == covered.covered_m2) & (last_seq.scalar_subquery() == seq)
        with self._database.write() as connection:
            done = connection.execute(update(tables.coverage).where(as_seen).values(clip_key=key))
            return done.rowcount == 1

    def coverage(self, flight_id: str) -> list[Coverage]:
        """Return the coverage of a flight, the most covered commune first."""
        c = tables.coverage.c
        query = select(tables.coverage).where(c.flight_id == flight_id)
        return self._database.fetch(Coverage, query.order_by(c.covered_m2.desc(), c.commune_code))

    def _first_known(
        self, on_date: date | None, bounds: BoundsLonLat | None, *, is_synthetic: bool
    ) -> list[CommuneRecord]:
        c = tables.communes.c
        is_wanted = (
            c.code.in_(EXERCISE_COMMUNE_CODES) if is_synthetic else c.code.not_in(EXERCISE_COMMUNE_CODES)
        )
        for day in dict.fromkeys((on_date, None)):
            query = select(tables.communes).where(_in_force(day), is_wanted)
            if bounds is not None:
                query = query.where(match_touching_boxes(tables.communes, bounds))
            if found := self._database.fetch(CommuneRecord, query.order_by(c.code)):
                return found
        return []

    def _touching(self, bounds: BoundsLonLat) -> set[tuple[str, date]]:
        """Return code and date of every boundary whose box touches `bounds`.

        Does not read the polygons.
        """
        c = tables.communes.c
        query = select(c.code, c.valid_from).where(match_touching_boxes(tables.communes, bounds))
        with self._database.read() as connection:
            return {(row.code, row.valid_from) for row in connection.execute(query)}


def _drop_clips_of_redrawn(connection: Connection, communes: Sequence[CommuneRecord]) -> None:
    c, clips = tables.communes.c, tables.coverage.c
    query = select(c.code, c.valid_from, c.wkb).where(c.code.in_({one.code for one in communes}))
    before = {(row.code, row.valid_from): row.wkb for row in connection.execute(query)}
    redrawn = {one.code for one in communes if before.get((one.code, one.valid_from), one.wkb) != one.wkb}
    connection.execute(update(tables.coverage).where(clips.commune_code.in_(redrawn)).values(clip_key=None))


def union_communes(communes: Sequence[CommuneRecord]) -> BaseGeometry:
    """Return the union of communes, WGS 84."""
    return shapely.union_all([_ground(one) for one in communes])


def _left_of(commune: CommuneRecord, over: BaseGeometry) -> CommuneRecord | None:
    """Return a commune minus the ground beneath others; None if nothing is left."""
    ground = _ground(commune)
    if not ground.intersects(over):
        return commune
    left = ground.difference(over)  # degrees suffice for a share of one commune
    if left.area <= _SLIVER * ground.area:
        return None
    parts = shapely.get_parts(left)
    areas = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    return replace(commune, wkb=shapely.to_wkb(areas), area_m2=commune.area_m2 * left.area / ground.area)


def _ground(commune: CommuneRecord) -> BaseGeometry:
    return shapely.make_valid(shapely.from_wkb(commune.wkb))


def _not_then(commune: CommuneRecord, on_date: date) -> NotFound:
    name, since = f"{commune.code}: {commune.name}", commune.valid_from
    return NotFound(
        _(
            "{name} is recorded from {since} on and not for {on_date}; take a code of that "
            "day, or add that day's boundaries with: flycam communes add FILE --valid-from "
            "DATE",
            name=name,
            since=since,
            on_date=on_date,
        )
    )


def _in_force(on_date: date | None) -> Any:
    c = tables.communes.c
    if on_date is None:
        return c.valid_to.is_(None)
    return (c.valid_from <= on_date) & (c.valid_to.is_(None) | (c.valid_to > on_date))


def _row(commune: CommuneRecord) -> dict[str, Any]:
    try:
        polygon = shapely.from_wkb(commune.wkb)
    except shapely.errors.ShapelyError as error:
        raise _no_polygon(commune) from error
    if polygon.is_empty or polygon.geom_type not in ("Polygon", "MultiPolygon"):
        raise _no_polygon(commune)
    name = to_canonical_name(commune.name)
    box = dict(zip(BOX_COLUMNS, polygon.bounds, strict=True))
    known = {"name": name, "search_name": to_search_key(name), "valid_to": None}
    return to_row(tables.communes, commune, **known, **box)


def _no_polygon(commune: CommuneRecord) -> BoundaryInvalid:
    return BoundaryInvalid(
        _(
            "{name} ({code}): its boundary is not a polygon; repair it and add it again",
            name=commune.name,
            code=commune.code,
        )
    )
