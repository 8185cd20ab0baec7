"""Commune boundaries by date, and the coverage of each commune by flights."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import compress
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy import Connection, bindparam, delete, func, select, update

from flycam.catalog import tables
from flycam.catalog.database import Database
from flycam.catalog.rows import BOX_COLUMNS, to_row
from flycam.catalog.tables import is_touching, match_touching_boxes
from flycam.errors import BoundaryInvalid, NotFound
from flycam.messages import _
from flycam.model.flight import EXERCISE_COMMUNE_CODES
from flycam.model.records import BoundsLonLat, CommuneRecord, Coverage
from flycam.model.text import to_canonical_name, to_search_key

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
        end none of an exercise. Raises BoundaryInvalid for an unreadable polygon.
        """
        rows = [_row(commune) for commune in communes]
        # two concurrent imports would derive the ends without seeing each other's boundaries
        with self._database.write(alone_in=tables.communes) as connection:
            if rows:
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

    def editions(self) -> list[CommuneRecord]:
        """Return every boundary of every date, by code and date."""
        c = tables.communes.c
        return self._database.fetch(CommuneRecord, select(tables.communes).order_by(c.code, c.valid_from))

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

    def find_at(self, lon_deg: float, lat_deg: float, on_date: date | None = None) -> CommuneRecord | None:
        """Return the commune that holds a point; None where no boundary is known."""
        candidates = self.communes(on_date, (lon_deg, lat_deg, lon_deg, lat_deg))
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
