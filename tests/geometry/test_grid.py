"""The tile grid: addresses, half pixels, and the one place that knows the scale of the ground."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.geometry import grid

zooms = st.integers(1, 24)


@given(st.floats(-179.9, 179.9), st.floats(-85, 85))
def test_mercator_there_and_back(lon, lat):
    lonlat = np.array([[lon, lat]])
    np.testing.assert_allclose(grid.mercator_to_lonlat(grid.lonlat_to_mercator(lonlat)), lonlat, atol=1e-9)


@given(zooms, st.floats(0, 0.999), st.floats(0, 0.999))
def test_the_pixel_that_holds_a_pixel_s_centre_is_that_pixel(z, fx, fy):
    tile = grid.TileId(z=z, x=int(fx * 2**z), y=int(fy * 2**z))
    centre = grid.compute_pixel_centres(grid.make_tile_range(tile), np.array([200.0]), np.array([17.0]))[0]
    assert grid.find_tile_at(z, (centre[0], centre[1])) == (tile, 200, 17)


def test_tiles_inside_are_selected_whichever_there_are_fewer_of():
    few = grid.TileRange(z=5, x_start=2, y_start=2, x_stop=4, y_stop=4)
    world = grid.TileRange(z=26, x_start=0, y_start=0, x_stop=1 << 26, y_stop=1 << 26)
    inside, outside = grid.TileId(z=5, x=3, y=3), grid.TileId(z=5, x=4, y=3)
    assert few.select([inside, outside]) == {inside}
    assert few.select([outside, *few, outside]) == {*few}
    assert world.select([grid.TileId(z=26, x=7, y=9), outside]) == {grid.TileId(z=26, x=7, y=9)}


@given(zooms, st.floats(0, 0.99), st.floats(0, 0.99))
def test_children_cover_their_parent(z, fx, fy):
    tile = grid.TileId(z=z, x=int(fx * 2**z), y=int(fy * 2**z))
    bounds = np.array([grid.get_tile_bounds(c) for c in tile.children()])
    west, south, east, north = grid.get_tile_bounds(tile)
    np.testing.assert_allclose(
        [bounds[:, 0].min(), bounds[:, 1].min(), bounds[:, 2].max(), bounds[:, 3].max()],
        [west, south, east, north],
        atol=1e-6,
    )
    assert all(c.parent() == tile for c in tile.children())


@given(st.floats(0.01, 100.0), st.floats(-60, 60))
def test_zoom_for_gsd_is_the_nearest_in_ratio(gsd, lat):
    z = grid.choose_zoom(gsd, lat)
    assert abs(math.log2(grid.compute_ground_pixel_m(z, lat) / gsd)) <= 0.5 + 1e-9


def test_ranges():
    tiles = grid.find_range_for_bounds(10, grid.get_tile_bounds(grid.TileId(z=10, x=5, y=6)))
    assert grid.TileId(z=10, x=5, y=6) in tiles
    a = grid.TileRange(z=5, x_start=2, y_start=2, x_stop=6, y_stop=4)
    b = grid.TileRange(z=5, x_start=4, y_start=3, x_stop=9, y_stop=9)
    both = a.intersection(b)
    assert set(both) == set(a) & set(b)
    assert len(both) == 2
    assert {t.parent() for t in a} == set(grid.get_parent_range(a))
    assert grid.TileRange(z=5, x_start=4, y_start=3, x_stop=4, y_stop=9).is_empty
    with pytest.raises(ValueError, match="zooms"):
        a.intersection(grid.get_parent_range(a))
    with pytest.raises(ValueError, match="positive"):
        grid.choose_zoom(0.0, 20.0)
