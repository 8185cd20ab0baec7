"""Ground that a flight measured: one rule for the map's pixels and the posts of the exported surface."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flycam.geometry.terrain import TerrainGrid
from flycam.mosaic.finish.finished_tiles import is_dsm_ground


def support(seed: int, share: float) -> TerrainGrid:
    """13×17 posts every 0.5 m, about a share of them with a height."""
    known = np.random.default_rng(seed).random((13, 17)) < share
    return TerrainGrid(
        heights_m=np.where(known, np.float32(0.1), np.float32(np.nan)),
        origin_m=(400_000.0, 2_400_000.0),
        post_spacing_m=(0.5, 0.5),
        work_crs="EPSG:32648",
        vertical_datum="EGM96",
        dem_id="support",
    )


@given(st.integers(0, 999), st.floats(0.1, 0.9))
def test_the_share_of_the_ground_is_the_share_of_the_posts(seed: int, share: float) -> None:
    """Whatever the pixels: a surface in pieces is not less to the map than to its export."""
    grid = support(seed, share)
    own = np.isfinite(grid.heights_m)
    rows, cols = own.shape
    finer = (np.arange(4 * cols) + 0.5) / 4 - 0.5, (np.arange(4 * rows) + 0.5) / 4 - 0.5
    east, north = np.meshgrid(400_000.0 + 0.5 * finer[0], 2_400_000.0 - 0.5 * finer[1])
    found = is_dsm_ground(grid, east, north)
    np.testing.assert_array_equal(found, own.repeat(4, axis=0).repeat(4, axis=1))
