"""Terrain raised to the heights of landmarks on it, against relief displacement.

Crowns and roofs are displaced less in images that are orthorectified on it. For images that are
orthorectified as they arrive, when there is no time for the flight's own DSM: some hundred heights, smoothed
over the posts by their sigmas, and from far away where there are none near.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.terrain import TerrainGrid, interpolate_heights

Floats = NDArray[np.float64]
Bounds = tuple[float, float, float, float]

MIN_POST_SPACING_M = 4.0
"""Finer terrain is better than such sparse heights: it is not raised."""

_MAX_POST_SPACING_M = 10.0
_MARGIN_POSTS = 2
# A larger offset is no crown or roof; a larger sigma says nothing.
_MAX_OFFSET_M, _MAX_SIGMA_M = 60.0, 4.0
# Neighbours differ by this much even if each is well known.
_UNEVEN_M = 1.0
_REACH_M = 5.0
# Multiples of that reach, and their weights.
_SCALES = ((1.0, 1.0), (2.0, 0.1), (4.0, 0.01), (8.0, 0.001))
# Weight, 1/m², of the unchanged terrain against the heights in reach.
_GROUND = 0.005
# Heights are rounded to this fraction of a metre: that halves their compressed size.
_STEPS_PER_M = 64.0


def raise_terrain(terrain: TerrainGrid, point_m: Floats, sigma_m: Floats, bounds_m: Bounds) -> TerrainGrid:
    """Return part of the terrain, raised to the heights of points on it.

    point_m   N×3 (east, north, height) in the terrain's work CRS and vertical datum
    sigma_m   N, of their heights
    bounds_m  (west, south, east, north) of the part, which is extended by some posts

    Posts are at most 10 m apart; its id is that of the terrain. Returns the terrain itself where it is too
    fine, where no height is useful or where the part is outside it.
    """
    if min(terrain.post_spacing_m) < MIN_POST_SPACING_M:
        return terrain
    offset = point_m[:, 2] - interpolate_heights(terrain, point_m[:, :2])
    with np.errstate(invalid="ignore"):
        useful = (np.abs(offset) <= _MAX_OFFSET_M) & (sigma_m <= _MAX_SIGMA_M)
    part = _part(terrain, bounds_m)
    if part is None or not useful.any():
        return terrain
    weight = 1.0 / (np.square(sigma_m[useful]) + _UNEVEN_M**2)
    lift = _smoothed(part, point_m[useful, :2], offset[useful], weight)
    heights = np.round((part.heights_m + lift) * _STEPS_PER_M) / _STEPS_PER_M
    return replace(part, heights_m=heights.astype(np.float32))


def _part(terrain: TerrainGrid, bounds_m: Bounds) -> TerrainGrid | None:
    """Return the terrain's posts over a rectangle, densified where far apart.

    The surface is the same. None: it holds no cell of it.
    """
    west, south, east, north = bounds_m
    rows, cols = terrain.heights_m.shape
    (first_e, first_n), (step_e, step_s) = terrain.origin_m, terrain.post_spacing_m
    x, spacing_e = _posts(west - first_e, east - first_e, step_e, cols)
    y, spacing_s = _posts(first_n - north, first_n - south, step_s, rows)
    if x.size < 2 or y.size < 2:
        return None
    heights = _between(_between(terrain.heights_m, y).T, x).T
    return replace(
        terrain,
        heights_m=heights.astype(np.float32),
        origin_m=(first_e + x[0] * step_e, first_n - y[0] * step_s),
        post_spacing_m=(spacing_e, spacing_s),
    )


def _posts(begin_m: float, end_m: float, step_m: float, count: int) -> tuple[Floats, float]:
    """Return posts of one direction from before `begin_m` to after `end_m`.

    In steps of the terrain's, and their spacing in metres.
    """
    between = max(1, int(np.ceil(step_m / _MAX_POST_SPACING_M)))
    spacing = step_m / between
    first = max(int(np.floor(begin_m / spacing)) - _MARGIN_POSTS, 0)
    last = min(int(np.ceil(end_m / spacing)) + _MARGIN_POSTS, (count - 1) * between)
    return np.arange(first, last + 1) / between, spacing


def _between(heights: NDArray[np.floating], at: Floats) -> Floats:
    """Interpolate rows of posts linearly at places counted in rows.

    On a row nothing but that row counts.
    """
    row = np.floor(at).astype(np.int64)
    share = (at - row)[:, None]
    here, after = heights[row].astype(np.float64), heights[np.minimum(row + 1, len(heights) - 1)]
    return np.where(share == 0.0, here, here + share * (after - here))


def _smoothed(part: TerrainGrid, place_m: Floats, offset_m: Floats, weight: Floats) -> Floats:
    """Return offsets at places N×2 as a field over the posts.

    Their mean by weight and nearness, 0 where the terrain has more weight (normalised convolution: Knutsson
    and Westin, CVPR 1993).
    """
    total, weighed = _spread(part, place_m, weight), _spread(part, place_m, weight * offset_m)
    spacing = np.array(part.post_spacing_m)
    above, below = np.zeros(total.shape), np.full(total.shape, _GROUND)
    for reach, share in _SCALES:
        sigma_x, sigma_y = (reach * _REACH_M / spacing).tolist()
        gain = share * 2.0 * np.pi * sigma_x * sigma_y
        above += gain * _blurred(weighed, sigma_x, sigma_y)
        below += gain * _blurred(total, sigma_x, sigma_y)
    field: Floats = above / below
    return field


def _blurred(values: Floats, sigma_x: float, sigma_y: float) -> Floats:
    blurred = cv2.GaussianBlur(values, (0, 0), sigma_x, sigmaY=sigma_y, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(blurred, dtype=np.float64)


def _spread(part: TerrainGrid, place_m: Floats, amount: Floats) -> Floats:
    """Share amounts at places N×2 out to the four posts around each.

    Places outside are ignored.
    """
    rows, cols = part.heights_m.shape
    col = (place_m[:, 0] - part.origin_m[0]) / part.post_spacing_m[0]
    row = (part.origin_m[1] - place_m[:, 1]) / part.post_spacing_m[1]
    inside = (col >= 0.0) & (col < cols - 1.0) & (row >= 0.0) & (row < rows - 1.0)
    col, row, amount = col[inside], row[inside], amount[inside]
    c, r = np.floor(col), np.floor(row)
    s, q = col - c, row - r
    first = (r * cols + c).astype(np.int64)
    spread = np.zeros(rows * cols)
    for step, share in ((0, (1 - s) * (1 - q)), (1, s * (1 - q)), (cols, (1 - s) * q), (cols + 1, s * q)):
        spread += np.bincount(first + step, weights=amount * share, minlength=rows * cols)
    return spread.reshape(rows, cols)
