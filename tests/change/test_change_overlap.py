"""What lies on each other is one place of one kind, and ground counts once whatever lies on it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from flycam.change.outlines import (
    compute_own_ground,
    divide_by_commune,
    is_sliver,
    label_places,
    sum_changes,
    sum_changes_by_commune,
)
from flycam.model.board import ChangeKind
from tests.change.impacted import changed, square

SLIDE = changed("change-00000001", square(0, 0, 100))


def test_places_are_of_one_kind_and_reach_through_others() -> None:
    lines = [
        SLIDE,
        changed("change-00000002", square(80, 0, 100)),
        changed("change-00000003", square(160, 0, 100)),
        changed("change-00000004", square(99, 0, 100), kind=ChangeKind.FLOOD),
        changed("change-00000005", square(259, 0, 100)),
    ]
    first, second, third, flood, apart = label_places(lines)
    assert first == second == third and len({first, flood, apart}) == 3
    assert label_places([]) == [] and compute_own_ground([]) == []


def test_slivers_lie_in_their_communes_not_beyond_all() -> None:
    """1000 by 10: 985 in one commune, 8 and 7 in two others."""
    shape = shapely.box(0, 0, 1000, 10)
    communes = [shapely.box(west, -9, east, 99) for west, east in ((-9, 985), (985, 993), (993, 2000))]
    ((number, part),), outside = divide_by_commune(shape, communes, shape.area, shape.area)
    assert (number, part.area, outside) == (0, 9850.0, None)
    held, outside = divide_by_commune(shape, communes[1:2], shape.area, shape.area)
    assert held == [] and outside is not None and outside.area == pytest.approx(9920.0)
    held, outside = divide_by_commune(shape, [], shape.area, shape.area)
    assert held == [] and outside is not None and outside.area == shape.area
    held, outside = divide_by_commune(shape, [shapely.box(1000, 0, 1001, 10)], shape.area, shape.area)
    assert held == [] and outside is not None, "it only touches that one"


def test_of_a_large_flood_less_than_a_hundredth_is_no_sliver() -> None:
    """3 km by 1 km: 2.1 ha of it lie in the second commune, 2.9 ha in none."""
    shape = shapely.box(0, 0, 3000, 1000)
    communes = [shapely.box(0, 0, 2950, 1000), shapely.box(2950, 0, 2971, 1000)]
    held, outside = divide_by_commune(shape, communes, shape.area, shape.area)
    assert [number for number, _ in held] == [0, 1]
    assert outside is not None and outside.area == pytest.approx(29_000.0)
    assert is_sliver([0.009, 0.009, 0.011], [11_000.0, 12_000.0, 100.0]).tolist() == [True, False, False]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 20)), max_size=6), st.randoms()
)
def test_ground_is_that_of_the_union_in_whatever_order(squares, random) -> None:
    cells = {
        (west + east, south + north)
        for west, south, size in squares
        for east in range(size)
        for north in range(size)
    }
    lines = [
        replace(changed(f"change-{n:08}", square(10 * west, 10 * south, 10 * size)), area_m2=100.0 * size**2)
        for n, (west, south, size) in enumerate(squares)
    ]
    random.shuffle(lines)
    assert sum_changes(lines).area_m2 == pytest.approx(100.0 * len(cells), rel=1e-6, abs=1e-6)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(2, 20)), max_size=6),
    st.integers(1, 59),
)
def test_communes_together_hold_what_is_held_in_all(squares, border) -> None:
    lines = [
        replace(changed(f"change-{number:08}", square(west, south, size)), area_m2=float(size * size))
        for number, (west, south, size) in enumerate(squares)
    ]
    west, south, east, north = square(-99, -99, 999).bounds
    middle = square(0, 0, border).bounds[2]
    tree = shapely.STRtree([shapely.box(west, south, middle, north), shapely.box(middle, south, east, north)])
    held, whole = [one for one in sum_changes_by_commune(lines, tree) if one is not None], sum_changes(lines)
    least = 2 * len(lines) * 0.01 * 400.0  # slivers count in the commune that holds the rest
    assert sum(one.area_m2 for one in held) == pytest.approx(whole.area_m2, rel=1e-6, abs=least)
    assert max((one.count for one in held), default=0) <= whole.count <= sum(one.count for one in held)
