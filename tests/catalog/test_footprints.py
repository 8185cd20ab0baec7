"""Footprints of photos, read off their records."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import shapely

from flycam.catalog.frames import compute_footprint_bounds, parse_footprints


def frame(shape: shapely.Geometry | None) -> Any:
    return SimpleNamespace(footprint_wkb=None if shape is None else shapely.to_wkb(shape))


BOW_TIE = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])


def test_footprints_are_valid_and_what_has_none_is_left_out() -> None:
    found = parse_footprints([frame(shapely.box(5, 5, 6, 6)), frame(None), frame(BOW_TIE)])
    assert len(found) == 2 and shapely.is_valid(found).all()
    assert shapely.union_all(found).area == pytest.approx(1.0 + 2.0)


def test_bounds_are_around_all_of_them() -> None:
    assert compute_footprint_bounds([frame(shapely.box(5, -1, 6, 6)), frame(None), frame(BOW_TIE)]) == (
        0.0,
        -1.0,
        6.0,
        6.0,
    )


def test_of_no_footprint_there_is_nothing() -> None:
    assert compute_footprint_bounds([frame(None)]) is None and compute_footprint_bounds([]) is None
    assert len(parse_footprints([frame(None)])) == 0
