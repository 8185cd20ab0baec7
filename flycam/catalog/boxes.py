"""Bounding boxes as four columns, and the test whether two boxes touch."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row, Table, and_

from flycam.catalog.records import BoundsLonLat


def box_values(bounds: BoundsLonLat | None) -> dict[str, float | None]:
    """Columns of (west, south, east, north); all None if there is none."""
    west, south, east, north = bounds if bounds is not None else (None,) * 4
    sides = {"west": west, "south": south, "east": east, "north": north}
    return {name: None if side is None else float(side) for name, side in sides.items()}


def box_of(row: Row[Any]) -> BoundsLonLat | None:
    """Inverse of `box_values`."""
    if row.west is None:
        return None
    return (row.west, row.south, row.east, row.north)


def touches(table: Table, bounds: BoundsLonLat) -> ColumnElement[bool]:
    """Rows whose box shares at least a point with (west, south, east, north)."""
    west, south, east, north = bounds
    c = table.c
    return and_(c.west <= east, c.east >= west, c.south <= north, c.north >= south)
