from __future__ import annotations

import cv2
import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from flycam.drill.land import CellWindow
from flycam.drill.rendering import build_height_field, cast_image_rays

CENTRE = (0.0, 0.0, 60.0)


def window(cells: int, cell_m: float) -> CellWindow:
    half = cells // 2
    return CellWindow(cell_m=cell_m, west_cell=-half, north_cell=half, shape=(2 * half + 1, 2 * half + 1))


def pinhole_rays(width: int, height: int, focal: float, tilt: float = 0.0) -> np.ndarray:
    u, v = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
    rays = np.stack([u, -v, np.full(u.shape, -focal)], -1)
    c, s = np.cos(tilt), np.sin(tilt)
    return rays @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T


def height_at(surface, east: np.ndarray, north: np.ndarray) -> np.ndarray:
    """Bilinear heights; NaN outside."""
    col, row = surface.window.to_cells(east, north)
    return map_coordinates(surface.height_m.astype(float), [row, col], order=1, cval=np.nan)


def first_below(surface, rays: np.ndarray, step: float) -> np.ndarray:
    """Brute force: heights in tiny steps, the first at which a ray is below the surface."""
    z = np.arange(CENTRE[2], surface.bottom_m - 3 * step, -step)
    slope = rays[..., :2] / -rays[..., 2:]
    drop = (CENTRE[2] - z)[:, None, None]
    ground = height_at(surface, slope[None, ..., 0] * drop, slope[None, ..., 1] * drop)
    below = ground >= z[:, None, None]
    return np.where(below.any(0), z[below.argmax(0)], np.nan)


@settings(max_examples=12, deadline=None, phases=[Phase.generate])
@given(st.integers(0, 10_000), st.floats(0.0, 0.5))
def test_the_first_hit_is_found(seed: int, tilt: float) -> None:
    grid = window(240, 0.5)
    random = np.random.default_rng(seed)
    heights = np.zeros(grid.shape, np.float32)
    for _ in range(25):  # blocks with vertical walls
        row, col = random.integers(0, 200, 2)
        rows, cols = random.integers(4, 40, 2)
        heights[row : row + rows, col : col + cols] = random.uniform(0, 20)
    surface = build_height_field(grid, heights)
    rays = pinhole_rays(20, 15, 22.0, tilt)
    points = cast_image_rays(surface, CENTRE, rays)
    expected = first_below(surface, rays, 0.02)
    both = np.isfinite(points[..., 2]) & np.isfinite(expected)
    assert (np.isfinite(points[..., 2]) == np.isfinite(expected)).mean() > 0.95
    # a ray may pass what it grazes, never what it would hit with every edge shaved off by a cell
    shaved = build_height_field(grid, cv2.erode(heights, np.ones((3, 3), np.uint8)))
    deepest = first_below(shaved, rays, 0.02)
    assert not (points[..., 2] < deepest - 0.05)[both].any()
    # and what it says it hit before the brute force did, it did hit: the brute force samples too
    early = both & (points[..., 2] > expected + 0.05)
    gap = np.abs(points[..., 2] - height_at(surface, points[..., 0], points[..., 1]))
    assert (gap[early] < 0.1).all()
    assert (np.abs(points[..., 2] - expected) > 0.05)[both].mean() < 0.05
    slope = rays[..., :2] / -rays[..., 2:]
    drop = CENTRE[2] - points[..., 2:]
    np.testing.assert_allclose(points[..., :2], slope * drop, atol=1e-9)  # a hit lies on its ray
