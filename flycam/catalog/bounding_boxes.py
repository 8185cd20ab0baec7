"""Bounding boxes as four columns, and the test whether two boxes touch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, and_

from flycam.catalog.records import BoundsLonLat


def to_box_columns(bounds: BoundsLonLat | None) -> dict[str, float | None]:
    """Return the columns of (west, south, east, north); all None without a box."""
    west, south, east, north = bounds if bounds is not None else (None,) * 4
    sides = {"west": west, "south": south, "east": east, "north": north}
    return {name: None if side is None else float(side) for name, side in sides.items()}


def parse_box(row: Row[Any]) -> BoundsLonLat | None:
    """Convert a row to a box; inverse of `to_box_columns`."""
    if row.west is None:
        return None
    return (row.west, row.south, row.east, row.north)


def intersect_boxes(one: BoundsLonLat | None, other: BoundsLonLat | None) -> BoundsLonLat | None:
    """Return bounds that match the boxes that touch both of these (None: all boxes).

    If these share nothing, west exceeds east or south north, and only boxes that span both touch.
    """
    if one is None or other is None:
        return other if one is None else one
    return max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])


def union_boxes(boxes: Iterable[BoundsLonLat]) -> BoundsLonLat | None:
    """Return the smallest box that holds all of these; None without any."""
    sides = list(zip(*boxes, strict=True))
    return (min(sides[0]), min(sides[1]), max(sides[2]), max(sides[3])) if sides else None


def is_touching(one: BoundsLonLat, other: BoundsLonLat) -> bool:
    """Return True if two boxes share at least a point."""
    return one[0] <= other[2] and one[2] >= other[0] and one[1] <= other[3] and one[3] >= other[1]


def match_touching_boxes(table: Table, bounds: BoundsLonLat) -> ColumnElement[bool]:
    """Return the condition for rows whose box shares a point with `bounds`."""
    west, south, east, north = bounds
    c = table.c
    return and_(c.west <= east, c.east >= west, c.south <= north, c.north >= south)
