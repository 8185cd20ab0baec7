"""The terrain as an observation: where a grid of posts may be wrong, it says less."""

from __future__ import annotations

import numpy as np
import pytest

from flycam.geometry.terrain import TerrainGrid
from flycam.mosaic.adjustment.block import TerrainPrior
from flycam.mosaic.adjustment.normal_equations import HeightPrior

ROWS, COLS, STEP_M = 12, 15, 10.0


def grid(heights) -> TerrainGrid:
    return TerrainGrid(
        heights_m=np.asarray(heights, dtype=np.float32),
        origin_m=(0.0, STEP_M * (ROWS - 1)),
        post_spacing_m=(STEP_M, STEP_M),
        work_crs="EPSG:32648",
        vertical_datum="EGM96",
        dem_id="test",
    )


def prior_on(heights) -> HeightPrior:
    return HeightPrior(
        prior=TerrainPrior(terrain=grid(heights)),
        origin=np.zeros(3),
        sigma_m=1.0,
        correlation_m=1000.0,
        length_m=200.0,
    )


def inner_points(count: int = 200) -> np.ndarray:
    random = np.random.default_rng(4)
    plan = random.uniform((STEP_M, STEP_M), (STEP_M * (COLS - 2), STEP_M * (ROWS - 2)), (count, 2))
    return np.column_stack([plan, np.zeros(count)])


def test_a_steep_plane_is_as_sure_as_a_level_one():
    row, col = np.mgrid[:ROWS, :COLS]
    points = inner_points()
    shares = prior_on(20.0 * col - 7.0 * row).shares(points, np.zeros(3))
    assert shares == pytest.approx(1.0 / len(points), rel=1e-6)


def test_a_wall_says_little_and_only_where_it_stands():
    heights = np.zeros((ROWS, COLS))
    heights[:, 8:] = 6.0
    points = inner_points()
    smooth = prior_on(heights).smoothness(points, np.zeros(3))
    cell = np.floor(points[:, 0] / STEP_M)
    assert (smooth[np.abs(cell - 7) > 1] == 1.0).all()
    # both posts of the wall's cell bend by its height: along rows, not along columns
    assert smooth[cell == 7] == pytest.approx(1.0 / (1.0 + 6.0**2 / 2.0))
