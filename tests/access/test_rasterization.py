"""Every pixel that shares ground with a polygon is found, and none far from it."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.access.policy import MAX_OVERHANG_PX, rasterize_polygons

SIDE = 24
_PLACES = st.tuples(*[st.floats(-SIDE, 2 * SIDE, allow_nan=False, width=32)] * 2)


def _rings(shape: shapely.Geometry) -> list[list[np.ndarray]]:
    return [
        [shapely.get_coordinates(ring) for ring in (one.exterior, *one.interiors)]
        for one in shapely.get_parts(shape)
        if one.geom_type == "Polygon" and not one.is_empty
    ]


def _squares() -> np.ndarray:
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    return shapely.box(columns, rows, columns + 1, rows + 1)


@settings(max_examples=100, deadline=None)
@given(corners=st.lists(_PLACES, min_size=3, max_size=9), hole=st.floats(0.0, 6.0))
def test_no_pixel_that_touches_is_left_out_and_none_is_taken_from_afar(
    corners: list[tuple[float, float]], hole: float
) -> None:
    shape = shapely.make_valid(shapely.Polygon(corners)).buffer(0)
    shape = shape.difference(shapely.Point(SIDE / 2, SIDE / 2).buffer(hole)) if hole else shape
    cut = shapely.box(-MAX_OVERHANG_PX, -MAX_OVERHANG_PX, SIDE + MAX_OVERHANG_PX, SIDE + MAX_OVERHANG_PX)
    found = rasterize_polygons(_rings(shape.intersection(cut)), (SIDE, SIDE))
    squares = _squares()
    inside = shape.buffer(-1e-6)  # what only a rounded corner of it grazes is no ground
    assert not (shapely.intersects(squares, inside) & ~found).any()
    far = shapely.distance(squares, shape) > 2.5
    assert not (found & far).any() or shape.is_empty


def test_a_speck_smaller_than_a_pixel_is_found() -> None:
    speck = shapely.box(10.2, 3.4, 10.3, 3.5)
    found = rasterize_polygons(_rings(speck), (SIDE, SIDE))
    assert found[3, 10]
    assert found.sum() == 9
