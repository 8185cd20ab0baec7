"""Places that roads join to the main net, before and after a cut."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from flycam.board.marks import build_road_net, find_road_access

MAIN = shapely.LineString([(0, 0), (10_000, 0)])
SIDE = shapely.LineString([(3000, 0), (3000, 800)])
RING = shapely.LineString([(2000, 0), (2000, 2000), (4000, 2000), (4000, 0)])
CUT = shapely.box(2950, 300, 3050, 400)
VALLEY = shapely.Point(3000, 790)


def shapes(*some: shapely.Geometry) -> np.ndarray:
    made = np.empty(len(some), dtype=object)
    made[:] = some
    return made


BESIDE = shapely.LineString([(3000.3, 0.4), (3000, 800)])  # ends just beside the main road
ACROSS = shapely.LineString([(5000, -700), (5000, 700)])  # has no corner in common with it
LONG_SIDE = shapely.LineString([(3000, 0), (3000, 2000)])  # reaches the ring
ISLAND = shapely.LineString([(0, 5000), (500, 5000)])
FLOOD = shapely.box(2500, 500, 3500, 1500)
THROUGH = shapely.box(2000, -10, 2100, 10)


@pytest.mark.parametrize(
    ("roads", "cuts", "place", "access"),
    [
        ([MAIN, SIDE], [], VALLEY, (True, True, True)),
        ([MAIN, SIDE], [CUT], VALLEY, (True, True, False)),
        ([MAIN, SIDE], [CUT], shapely.Point(3000, 100), (True, True, True)),
        ([MAIN, SIDE, RING], [CUT], VALLEY, (True, True, False)),
        ([MAIN, LONG_SIDE, RING], [CUT], VALLEY, (True, True, True)),
        ([MAIN, ACROSS], [], shapely.Point(5000, 690), (True, True, True)),
        ([MAIN, BESIDE], [], VALLEY, (True, True, True)),
        ([MAIN], [], shapely.Point(0, 5000), (False, False, False)),
        ([MAIN, ISLAND], [CUT], shapely.Point(100, 5000), (True, False, False)),
        ([MAIN, SIDE], [FLOOD], shapely.Point(3000, 1000), (True, True, False)),
        ([MAIN], [THROUGH], shapely.Point(0, 0), (True, True, False)),
        ([MAIN], [THROUGH], shapely.Point(9000, 0), (True, True, True)),
        ([], [CUT], VALLEY, (False, False, False)),
    ],
)
def test_a_place_is_joined_to_the_main_net_before_and_after_a_cut(
    roads: list[shapely.Geometry],
    cuts: list[shapely.Geometry],
    place: shapely.Point,
    access: tuple[bool, bool, bool],
) -> None:
    found = find_road_access(build_road_net(shapes(*roads)), shapes(*cuts), shapes(place), 200.0)
    assert (bool(found.has_road[0]), bool(found.before[0]), bool(found.after[0])) == access


_COORD = st.integers(-50, 50).map(lambda n: 100.0 * n)
_ROAD = st.tuples(st.tuples(_COORD, _COORD), st.tuples(_COORD, _COORD)).filter(lambda ab: ab[0] != ab[1])
_BOX = st.tuples(_COORD, _COORD, st.integers(1, 10)).map(
    lambda box: shapely.box(box[0], box[1], box[0] + 100.0 * box[2], box[1] + 100.0 * box[2])
)


@given(
    st.lists(_ROAD.map(shapely.LineString), min_size=1, max_size=8),
    st.lists(_BOX, max_size=4),
    st.lists(st.tuples(_COORD, _COORD).map(shapely.Point), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_cuts_only_take_away_and_order_does_not_matter(
    roads: list[shapely.Geometry],
    cuts: list[shapely.Geometry],
    places: list[shapely.Geometry],
    random: object,
) -> None:
    found = find_road_access(build_road_net(shapes(*roads)), shapes(*cuts), shapes(*places), 200.0)
    assert not (found.after & ~found.before).any()
    assert not (found.before & ~found.has_road).any()
    uncut = find_road_access(build_road_net(shapes(*roads)), shapes(), shapes(*places), 200.0)
    assert (uncut.after == uncut.before).all()
    assert (uncut.before == found.before).all()
    random.shuffle(roads)  # type: ignore[attr-defined]
    again = find_road_access(build_road_net(shapes(*roads)), shapes(*cuts), shapes(*places), 200.0)
    assert (again.has_road == found.has_road).all()
