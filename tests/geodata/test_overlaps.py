"""Contested ground: one owner, whatever the order, and nothing lost."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.geodata.communes import resolve_overlaps, sum_pairwise_overlap_m2


def boxes(*bounds: tuple[float, float, float, float]) -> np.ndarray:
    return np.array([shapely.box(*b) for b in bounds], dtype=object)


area = shapely.area
squares = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(5, 40), st.integers(5, 40)),
    min_size=2,
    max_size=7,
    unique=True,
).map(lambda items: boxes(*[(x, y, x + w, y + h) for x, y, w, h in items]))


@settings(max_examples=120, deadline=None)
@given(squares, st.data())
def test_no_ground_is_claimed_twice_and_none_is_lost(polygons: np.ndarray, data: st.DataObject) -> None:
    stated = data.draw(
        st.lists(st.one_of(st.none(), st.floats(10, 1600)), min_size=len(polygons), max_size=len(polygons))
    )
    resolved, overlaps = resolve_overlaps(polygons, stated, area)
    assert sum_pairwise_overlap_m2(resolved, area) == 0.0
    union = shapely.union_all(polygons)
    assert abs(shapely.union_all(resolved).area - union.area) < 1e-6 * union.area
    assert abs(area(resolved).sum() - union.area) < 1e-6 * union.area + len(polygons)
    assert shapely.is_valid(resolved).all()
    again, more = resolve_overlaps(resolved, stated, area)
    assert not more
    assert all(a.equals(b) for a, b in zip(again, resolved, strict=True))
    assert all(o.owner in o.claimants and len(o.claimants) > 1 for o in overlaps)


def test_stated_areas_decide() -> None:
    """Both claim 10×10; the first says it has 900, so the piece is the second's."""
    polygons = boxes((0, 0, 100, 10), (90, 0, 150, 10))
    resolved, overlaps = resolve_overlaps(polygons, [900.0, 600.0], area)
    assert area(resolved).tolist() == [900.0, 600.0]
    assert (overlaps[0].owner, overlaps[0].rule, overlaps[0].area_m2) == (1, "declared areas", 100.0)
    resolved, _ = resolve_overlaps(polygons, [1000.0, 500.0], area)
    assert area(resolved).tolist() == [1000.0, 500.0]


def test_ground_that_three_claim_gets_one_owner() -> None:
    """As around Lao Cai: three outlines hold the same piece; two state their area without it."""
    polygons = boxes((0, 0, 30, 10), (20, 0, 60, 10), (20, 0, 30, 40))
    resolved, overlaps = resolve_overlaps(polygons, [200.0, 300.0, 400.0], area)
    assert area(resolved).tolist() == [200.0, 300.0, 400.0]
    assert [(o.claimants, o.owner) for o in overlaps] == [((0, 1, 2), 2)]
    assert sum_pairwise_overlap_m2(polygons, area) == 300.0
