"""Terrain lifted to what single places on it were seen to stand at: crowns and roofs lean less in pictures
that are laid on it.

For pictures that are laid while they come, when there is no time for a surface of the flight's own: some
hundred heights, smoothed over the posts by their sigmas, and from far off where there are none near.
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
"""Finer terrain knows more of the ground than such heights tell: it is not lifted."""

_MAX_POST_SPACING_M = 10.0
_MARGIN_POSTS = 2
_MAX_OFFSET_M, _MAX_SIGMA_M = 60.0, 4.0  # what claims more is no crown and no roof, or nobody knows it
_UNEVEN_M = 1.0  # neighbours differ by as much, however well each is known
_REACH_M = 5.0
_SCALES = ((1.0, 1.0), (2.0, 0.1), (4.0, 0.01), (8.0, 0.001))  # times that reach, and what each counts
_GROUND = 0.005  # 1/m²: weight of the terrain as it is, beside that of the heights in reach
_STEPS_PER_M = 64.0  # heights are rounded to that: they pack to half


def raise_terrain(terrain: TerrainGrid, point_m: Floats, sigma_m: Floats, bounds_m: Bounds) -> TerrainGrid:
    """A part of the terrain, lifted to the heights of places on it.

    point_m   N×3 (east, north, height) in the terrain's work CRS and datum; sigma_m N, of their heights
    bounds_m  (west, south, east, north) of the part, which gets some posts more

    Posts stand at most 10 m apart; its id is that of the terrain. The terrain itself where it is too fine,
    where no height is of use or where the part lies beside it.
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
    """The terrain's posts over a rectangle, with some of the same surface between where they stand far apart;
    None: it holds no cell of it."""
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
    """Posts of one direction from before `begin_m` to after `end_m`, in steps of the terrain's, and how far
    apart they stand in metres."""
    between = max(1, int(np.ceil(step_m / _MAX_POST_SPACING_M)))
    spacing = step_m / between
    first = max(int(np.floor(begin_m / spacing)) - _MARGIN_POSTS, 0)
    last = min(int(np.ceil(end_m / spacing)) + _MARGIN_POSTS, (count - 1) * between)
    return np.arange(first, last + 1) / between, spacing


def _between(heights: NDArray[np.floating], at: Floats) -> Floats:
    """Rows of posts at places counted in rows, linear between two; on a row nothing but that row counts."""
    row = np.floor(at).astype(np.int64)
    share = (at - row)[:, None]
    here, after = heights[row].astype(np.float64), heights[np.minimum(row + 1, len(heights) - 1)]
    return np.where(share == 0.0, here, here + share * (after - here))


def _smoothed(part: TerrainGrid, place_m: Floats, offset_m: Floats, weight: Floats) -> Floats:
    """Offsets at places N×2 as a field over the posts: their mean by weight and nearness, 0 where the terrain
    weighs more (normalised convolution: Knutsson and Westin, CVPR 1993)."""
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
    """Amounts at places N×2, each shared out to the four posts around it; what lies beside counts nowhere."""
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
