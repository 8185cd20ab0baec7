"""Which things areas touch: as shapely says pair by pair, whatever the order, and where on the ground."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from flycam.change.impact import find_proximity_pairs

SQUARE = shapely.box(0, 0, 100, 100)
_PLACE = st.tuples(st.integers(-300, 300), st.integers(-300, 300))
_BOX = st.builds(
    lambda at, size: shapely.box(at[0], at[1], at[0] + size[0], at[1] + size[1]),
    _PLACE,
    st.tuples(st.integers(1, 150), st.integers(1, 150)),
)
_LINE = st.lists(_PLACE, min_size=2, max_size=5, unique=True).map(shapely.LineString)
_THING = st.one_of(_BOX, _LINE, _PLACE.map(shapely.Point))


def _array(shapes: list[shapely.Geometry]) -> np.ndarray:
    made = np.empty(len(shapes), dtype=object)
    made[:] = shapes
    return made


@given(st.lists(_BOX, max_size=5), st.lists(st.tuples(_THING, st.integers(0, 80)), max_size=8))
def test_every_pair_within_reach_and_no_other(
    areas: list[shapely.Geometry], things: list[tuple[shapely.Geometry, int]]
) -> None:
    shapes, reach = [shape for shape, _ in things], np.array([metres for _, metres in things], float)
    found = find_proximity_pairs(_array(areas), _array(shapes), reach)
    wanted = {
        (a, t)
        for a, area in enumerate(areas)
        for t, one in enumerate(shapes)
        if area.distance(one) <= reach[t]
    }
    assert set(zip(found.areas.tolist(), found.features.tolist(), strict=True)) == wanted
    for a, t, distance, under, place in zip(
        found.areas, found.features, found.distance_m, found.under_m, found.place_m, strict=True
    ):
        assert distance == areas[a].distance(shapes[t])
        assert shapes[t].distance(shapely.Point(place)) < 1e-6, "the place is on the thing"
        assert areas[a].distance(shapely.Point(place)) == pytest.approx(distance, abs=1e-6)
        if isinstance(shapes[t], shapely.LineString):
            assert under == pytest.approx(areas[a].intersection(shapes[t]).length)
        else:
            assert np.isnan(under)


def test_a_road_across_is_told_by_its_length_under_the_area_and_the_middle_of_that() -> None:
    road = shapely.LineString([(-50, 20), (150, 20)])
    found = find_proximity_pairs(_array([SQUARE]), _array([road]), np.array([0.0]))
    assert found.under_m.tolist() == [100.0]
    assert found.place_m.tolist() == [[50.0, 20.0]]
