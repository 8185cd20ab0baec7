from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Polygon

from flycam.mosaic.raster import PolygonMask


def outline(polygon: shapely.Geometry) -> PolygonMask:
    return PolygonMask.from_polygon(polygon, lambda xy: xy)


def centres_inside(polygon: shapely.Geometry, row: int, col: int, shape: tuple[int, int]) -> np.ndarray:
    x, y = np.meshgrid(col + np.arange(shape[1]) + 0.5, row + np.arange(shape[0]) + 0.5)
    return shapely.contains_xy(polygon, x, y)


def star(seed: int, corners: int = 9) -> Polygon:
    """A star-shaped polygon with a hole, at awkward coordinates; no pixel centre lies on an edge."""
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radius = rng.uniform(15, 40, corners)
    ring = np.stack([50 + radius * np.cos(angle), 45 + radius * np.sin(angle)], -1)
    return Polygon(ring).difference(shapely.Point(50, 45).buffer(6))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), row=st.integers(-20, 60), col=st.integers(-20, 80))
def test_a_window_holds_the_pixels_whose_centres_lie_inside(seed: int, row: int, col: int) -> None:
    polygon = star(seed)
    found = outline(polygon).mask(row, col, (40, 50))
    assert np.array_equal(found, centres_inside(polygon, row, col, (40, 50)))


def test_parts_and_holes() -> None:
    ring = Polygon([(2, 2), (18, 2), (18, 18), (2, 18)], [[(5, 5), (5, 9), (9, 9), (9, 5)]])
    both = MultiPolygon([ring, Polygon([(6, 6), (8, 6), (8, 8), (6, 8)])])
    assert outline(both).mask(0, 0, (20, 20)).sum() == 16 * 16 - 4 * 4 + 2 * 2


@settings(max_examples=30, deadline=None)
@given(
    a=st.tuples(st.floats(0, 60), st.floats(-10, 0)),
    b=st.tuples(st.floats(0, 60), st.floats(50, 60)),
    snapped=st.booleans(),
)
def test_neighbours_share_no_pixel_and_leave_none(
    a: tuple[float, float], b: tuple[float, float], snapped: bool
) -> None:
    """Also when the shared edge runs through pixel centres, and is written in opposite directions."""
    if snapped:
        a, b = (round(a[0]) + 0.5, a[1]), (round(a[0]) + 0.5, b[1])
    left = Polygon([(-99, -10), a, b, (-99, 60)])
    right = Polygon([(99, 60), b, a, (99, -10)])
    masks = [outline(side).mask(0, 0, (50, 60)) for side in (left, right)]
    assert np.array_equal(masks[0], ~masks[1])
