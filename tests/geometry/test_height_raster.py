"""Heights on a picture's pixels are those at its pixels' middles."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flycam.geometry.terrain import TerrainGrid, interpolate_heights, interpolate_heights_on_grid


def _terrain(seed: int, holes: int) -> TerrainGrid:
    chance = np.random.default_rng(seed)
    heights = chance.normal(400.0, 60.0, (9, 13)).astype(np.float32)
    heights.flat[chance.integers(0, heights.size, holes)] = np.nan
    return TerrainGrid(
        heights_m=heights,
        origin_m=(500_000.0, 2_400_000.0),
        post_spacing_m=(10.0, 7.0),
        work_crs="EPSG:32648",
        vertical_datum="EGM96",
        dem_id="made",
    )


@given(st.integers(0, 1000), st.integers(0, 6), st.floats(0.3, 9.0))
def test_as_asked_point_by_point(seed, holes, step):
    terrain = _terrain(seed, holes)
    east = np.arange(499_985.0 + 0.123, 500_140.0, step)
    north = np.arange(2_400_010.0 - 0.321, 2_399_930.0, -step)
    x, y = np.meshgrid(east, north)
    expected = interpolate_heights(terrain, np.stack([x.ravel(), y.ravel()], -1)).reshape(x.shape)
    found = interpolate_heights_on_grid(terrain, east, north)
    assert found.dtype == np.float32
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    assert np.allclose(found, expected, atol=0.01, equal_nan=True)
