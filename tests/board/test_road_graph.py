"""Places that roads join to the main net, before and after a cut."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st

from flycam.board.settlements import build_road_net, find_road_access

MAIN = shapely.LineString([(0, 0), (10_000, 0)])
SIDE = shapely.LineString([(3000, 0), (3000, 800)])
RING = shapely.LineString([(2000, 0), (2000, 2000), (4000, 2000), (4000, 0)])
CUT = shapely.box(2950, 300, 3050, 400)
VALLEY = shapely.Point(3000, 790)


def shapes(*some: shapely.Geometry) -> np.ndarray:
    made = np.empty(len(some), dtype=object)
    made[:] = some
    return made


def of(roads: list[shapely.Geometry], cuts: list[shapely.Geometry], place: shapely.Point) -> tuple[bool, ...]:
    found = find_road_access(build_road_net(shapes(*roads)), shapes(*cuts), shapes(place), 200.0)
    return bool(found.has_road[0]), bool(found.before[0]), bool(found.after[0])


def test_a_valley_is_cut_off_where_its_only_road_is_cut() -> None:
    assert of([MAIN, SIDE], [], VALLEY) == (True, True, True)
    assert of([MAIN, SIDE], [CUT], VALLEY) == (True, True, False)
    assert of([MAIN, SIDE], [CUT], shapely.Point(3000, 100)) == (True, True, True)


def test_another_way_round_keeps_it_joined() -> None:
    assert of([MAIN, SIDE, RING], [CUT], VALLEY) == (True, True, False), "the ring does not reach it"
    longer = shapely.LineString([(3000, 0), (3000, 2000)])
    assert of([MAIN, longer, RING], [CUT], VALLEY) == (True, True, True)


def test_a_crossing_without_a_common_corner_joins() -> None:
    across = shapely.LineString([(5000, -700), (5000, 700)])
    assert of([MAIN, across], [], shapely.Point(5000, 690)) == (True, True, True)


def test_a_road_that_ends_just_beside_another_is_joined() -> None:
    beside = shapely.LineString([(3000.3, 0.4), (3000, 800)])
    assert of([MAIN, beside], [], VALLEY) == (True, True, True)


def test_a_place_without_a_road_and_one_whose_road_was_never_joined() -> None:
    assert of([MAIN], [], shapely.Point(0, 5000)) == (False, False, False)
    island = shapely.LineString([(0, 5000), (500, 5000)])
    assert of([MAIN, island], [CUT], shapely.Point(100, 5000)) == (True, False, False)


def test_a_place_whose_whole_road_lies_under_the_cut_is_cut_off() -> None:
    flood = shapely.box(2500, 500, 3500, 1500)
    assert of([MAIN, SIDE], [flood], shapely.Point(3000, 1000)) == (True, True, False)


def test_a_net_cut_in_two_leaves_the_smaller_part_cut_off() -> None:
    through = shapely.box(2000, -10, 2100, 10)
    assert of([MAIN], [through], shapely.Point(0, 0)) == (True, True, False)
    assert of([MAIN], [through], shapely.Point(9000, 0)) == (True, True, True)


def test_no_roads_and_no_places() -> None:
    assert of([], [CUT], VALLEY) == (False, False, False)
    assert len(find_road_access(build_road_net(shapes(MAIN)), shapes(), shapes(), 200.0).after) == 0


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
