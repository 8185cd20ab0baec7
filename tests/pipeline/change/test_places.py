"""What lies on each other is one place of one kind, and ground counts once whatever lies on it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.frame.change import ChangeKind
from flycam.pipeline.change.places import own_ground, place_numbers, places_of, together
from tests.pipeline.impacted import changed, square

SLIDE = changed("change-00000001", square(0, 0, 100))


def test_places_are_of_one_kind_and_reach_through_others() -> None:
    lines = [
        SLIDE,
        changed("change-00000002", square(80, 0, 100)),
        changed("change-00000003", square(160, 0, 100)),
        changed("change-00000004", square(99, 0, 100), kind=ChangeKind.FLOOD),
        changed("change-00000005", square(259, 0, 100)),
    ]
    assert [[one.change_id[-1] for one in some] for some in places_of(lines)] == [
        ["1", "2", "3"],
        ["4"],
        ["5"],
    ]
    assert place_numbers([]) == [] and own_ground([]) == []


def test_ground_under_a_slide_and_a_flood_counts_once() -> None:
    flood = replace(changed("change-00000002", square(50, 0, 50), kind=ChangeKind.FLOOD), area_m2=2500.0)
    found = together([SLIDE, flood])
    assert found.places == {ChangeKind.LANDSLIDE: 1, ChangeKind.FLOOD: 1}
    assert found.area_m2 == pytest.approx(10_000.0)
    nothing = together([])
    assert (nothing.places, nothing.area_m2) == ({}, 0.0)


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
    assert together(lines).area_m2 == pytest.approx(100.0 * len(cells), rel=1e-6, abs=1e-6)
