"""The polynomial map against the projection it stands for."""

from __future__ import annotations

import numpy as np

from flycam.geometry.grid import mercator_to_lonlat
from tests.geometry.scenes import mercator_map, utm48


def test_it_is_the_projection_to_a_tenth_of_a_millimetre():
    to_work = mercator_map()
    rng = np.random.default_rng(1)
    xmin, ymin, xmax, ymax = to_work.bounds
    points = rng.uniform((xmin, ymin), (xmax, ymax), (500, 2))
    np.testing.assert_allclose(to_work(points), utm48(mercator_to_lonlat(points)), atol=1e-4)
    assert to_work.residual_m <= 1e-4


def test_grid_is_the_map_point_by_point_and_bit_by_bit_the_same_in_any_part():
    to_work = mercator_map()
    x = np.linspace(to_work.bounds[0], to_work.bounds[2], 37)
    y = np.linspace(to_work.bounds[1], to_work.bounds[3], 23)
    grid = to_work.grid(x, y)
    assert grid.shape == (23, 37, 2)
    np.testing.assert_allclose(grid, to_work(np.stack(np.meshgrid(x, y), -1)), atol=1e-7)
    np.testing.assert_array_equal(to_work.grid(x[5:9], y[7:8]), grid[7:8, 5:9])
    first, second = to_work.mesh(x[None, None, :3], y[None, :2, None])
    np.testing.assert_array_equal(np.stack([first, second], -1)[0], grid[:2, :3])
