"""Validity of commune boundaries: the day on which each ends.

Real communes and those of exercises share the ground, and neither ends the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import shapely
from sqlalchemy import Connection, bindparam, select, update

from flycam.catalog import tables
from flycam.frame.exercise_communes import EXERCISE_COMMUNE_CODES


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
    later: list[list[date]] = [[] for _ in editions]
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
