"""Forward ray casting on the synthetic surface, independent of what it verifies.

The surface is a height field, bilinear between cell centres. Rays are followed downwards by height: at a
height z all rays of a block of pixels are close together, so a block is first lowered against a dilated
maximum of the surface (nothing can be hit on the way), then every ray is followed in steps of a third of
a cell until it is below the surface, and the crossing is found by bisection with secants.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.drill.cell_window import CellWindow
from flycam.drill.spatial_noise import Floats, Singles

_BLOCK_PX = 8
_COARSE_M = 1.0
_REACHES_M = (24.0, 6.0, 2.5)
_WALK_CELLS = 0.3
_WALK_DOWN_M = 0.5
_MAX_WALKS = 4000
_REFINEMENTS = 5
_MIN_FALL = 0.05
_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class HeightField:
    """A height field with dilated maxima.

    envelopes  (reach in metres, coarse maxima) each
    """

    window: CellWindow
    height_m: Singles
    coarse_cells: int
    envelopes: tuple[tuple[float, Singles], ...]
    top_m: float
    bottom_m: float


def build_height_field(window: CellWindow, height_m: Singles) -> HeightField:
    """Build a height field with its maxima, once per world."""
    k = max(round(_COARSE_M / window.cell_m), 1)
    rows, cols = -(-window.shape[0] // k) * k, -(-window.shape[1] // k) * k
    padded = np.pad(height_m, ((0, rows - window.shape[0]), (0, cols - window.shape[1])), mode="edge")
    coarse = np.ascontiguousarray(padded.reshape(rows // k, k, cols // k, k).max((1, 3)))
    envelopes = []
    for reach in _REACHES_M:
        radius = int(np.ceil(reach / (k * window.cell_m))) + 1
        kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
        envelopes.append((reach, np.asarray(cv2.dilate(coarse, kernel), np.float32)))
    return HeightField(
        window=window,
        height_m=height_m,
        coarse_cells=k,
        envelopes=tuple(envelopes),
        top_m=float(height_m.max()),
        bottom_m=float(height_m.min()),
    )


def cast_image_rays(
    surface: HeightField,
    centre_m: tuple[float, float, float],
    directions: Floats,
    moved_m: Floats | None = None,
) -> Floats:
    """Return the first intersections of an image's rays with the surface.

    H×W×3 (east, north, height), NaN where none.

    directions  H×W×3 in work-CRS axes, any length
    moved_m     H×3: offset of each row's rays from the centre

    A ray that grazes less than a third of a cell of something may pass it; a hit is on the surface to a
    few millimetres along its ray.
    """
    height, width = directions.shape[:2]
    fall = -directions[..., 2]
    steep = fall > _MIN_FALL * np.linalg.norm(directions, axis=-1)
    safe = np.where(steep, fall, 1.0)
    slope_e, slope_n = directions[..., 0] / safe, directions[..., 1] / safe
    from_e: Floats | float = centre_m[0]
    from_n: Floats | float = centre_m[1]
    # where the rays pass the height of the centre
    if moved_m is not None:
        from_e = centre_m[0] + moved_m[:, None, 0] + slope_e * moved_m[:, None, 2]
        from_n = centre_m[1] + moved_m[:, None, 1] + slope_n * moved_m[:, None, 2]
    start = _lower_blocks(surface, centre_m, slope_e, slope_n, from_e - centre_m[0], from_n - centre_m[1])
    origin = surface.window.to_cells(np.asarray(from_e), np.asarray(from_n))
    z = _walk_down(
        surface, centre_m[2], origin, *(np.ascontiguousarray(a.ravel()) for a in (slope_e, slope_n, start))
    ).reshape(height, width)
    z[~steep] = np.nan
    drop = centre_m[2] - z
    return np.stack([from_e + slope_e * drop, from_n + slope_n * drop, z], -1)


def interpolate_height(surface: HeightField, east: Floats, north: Floats) -> Floats:
    """Return the bilinear surface height at points of any equal shape; NaN outside."""
    col, row = surface.window.to_cells(east, north)
    rows, cols = surface.window.shape
    inside = (col >= 0) & (row >= 0) & (col <= cols - 1) & (row <= rows - 1)
    return np.where(
        inside, _bilinear(surface.height_m, np.where(inside, col, 0), np.where(inside, row, 0)), np.nan
    )


def _lower_blocks(
    surface: HeightField,
    centre: tuple[float, float, float],
    slope_e: Floats,
    slope_n: Floats,
    moved_e: Floats | float,
    moved_n: Floats | float,
) -> Floats:
    """Return a height per pixel above which no ray of its block has met the surface.

    moved_e, moved_n  from the centre to where the rays pass its height
    """
    height, width = slope_e.shape
    rows, cols = -(-height // _BLOCK_PX), -(-width // _BLOCK_PX)
    pad = ((0, rows * _BLOCK_PX - height), (0, cols * _BLOCK_PX - width))
    blocks = [
        np.pad(s, pad, mode="edge").reshape(rows, _BLOCK_PX, cols, _BLOCK_PX) for s in (slope_e, slope_n)
    ]
    middle_e, middle_n = (0.5 * (b.min((1, 3)) + b.max((1, 3))) for b in blocks)
    spread = np.maximum(*(0.5 * (b.max((1, 3)) - b.min((1, 3))) for b in blocks))
    steepness = np.maximum(np.maximum(np.abs(middle_e), np.abs(middle_n)), 1e-3)
    farthest = float(np.max(np.hypot(moved_e, moved_n)))
    z = np.full((rows, cols), min(centre[2], surface.top_m + 1.0))
    for reach, envelope in surface.envelopes:
        for _ in range(400):
            drop = centre[2] - z
            col, row = surface.window.to_cells(centre[0] + middle_e * drop, centre[1] + middle_n * drop)
            high = envelope[
                np.clip((row / surface.coarse_cells).astype(int), 0, envelope.shape[0] - 1),
                np.clip((col / surface.coarse_cells).astype(int), 0, envelope.shape[1] - 1),
            ]
            room = (reach - farthest - drop * spread) / (steepness + spread)
            lower = np.maximum(np.maximum(high, z - np.maximum(room, 0.0)), surface.bottom_m)
            moving = lower < z - 0.05
            if not moving.any():
                break
            z = np.where(moving, lower, z)
    return np.repeat(np.repeat(z, _BLOCK_PX, 0), _BLOCK_PX, 1)[:height, :width]


def _walk_down(
    surface: HeightField,
    centre_z: float,
    origin: tuple[Floats, Floats],
    slope_e: Floats,
    slope_n: Floats,
    start: Floats,
) -> Floats:
    """Return heights N at which rays meet the surface, followed down from `start`.

    NaN where they leave it.

    origin  (column, row) where the rays pass the height centre_z: of all, or of each
    """
    window = surface.window
    col_0, row_0 = (one.ravel() for one in origin)
    moving = col_0.size > 1
    first_col, first_row = (one.astype(np.float32) for one in (col_0, row_0))
    col_per_m, row_per_m = slope_e / window.cell_m, -slope_n / window.cell_m
    step = np.minimum(_WALK_DOWN_M, _WALK_CELLS / np.maximum(np.hypot(col_per_m, row_per_m), 1e-6))
    above, below = start.copy(), np.full(len(start), np.nan)
    active = np.arange(len(start))
    # single precision detects crossings; the crossing itself is computed in double precision
    cols, rows, steps = (a.astype(np.float32) for a in (col_per_m, row_per_m, step))
    drop, deepest = (centre_z - start).astype(np.float32), np.float32(centre_z - surface.bottom_m + 1.0)
    for _ in range(_MAX_WALKS):
        drop += steps
        ground = _quick_bilinear(surface.height_m, first_col + cols * drop, first_row + rows * drop)
        hit = ground >= centre_z - drop
        if hit.any():
            found = active[hit]
            below[found] = centre_z - drop[hit].astype(np.float64)
            above[found] = below[found] + step[found]
        going = ~hit & (drop < deepest)
        active, drop = active[going], drop[going]
        cols, rows, steps = cols[going], rows[going], steps[going]
        if moving:
            first_col, first_row = first_col[going], first_row[going]
        if not len(active):
            break
    return _refine(surface, centre_z, (col_0, row_0), col_per_m, row_per_m, above, below)


def _refine(
    surface: HeightField,
    centre_z: float,
    origin: tuple[Floats, Floats],
    col_per_m: Floats,
    row_per_m: Floats,
    above: Floats,
    below: Floats,
) -> Floats:
    """Refine crossings between a height above the surface and one below it."""
    found = np.flatnonzero(np.isfinite(below))
    out = np.full(len(above), np.nan)
    high, low = above[found], below[found]
    cols, rows = col_per_m[found], row_per_m[found]
    col_0, row_0 = (one[found] if one.size > 1 else one for one in origin)

    def gap(z: Floats) -> Floats:
        drop = centre_z - z
        return z - _bilinear(surface.height_m, col_0 + cols * drop, row_0 + rows * drop)

    gap_high, gap_low = gap(high), gap(low)
    for turn in range(_REFINEMENTS):
        share = np.clip(gap_high / np.maximum(gap_high - gap_low, 1e-12), 0.02, 0.98)
        middle = high + (low - high) * (share if turn % 2 == 0 else 0.5)
        at = gap(middle)
        over = at > 0.0
        high, gap_high = np.where(over, middle, high), np.where(over, at, gap_high)
        low, gap_low = np.where(over, low, middle), np.where(over, gap_low, at)
    share = np.clip(gap_high / np.maximum(gap_high - gap_low, 1e-12), 0.0, 1.0)
    z = high + (low - high) * share
    drop = centre_z - z
    col, row = col_0 + cols * drop, row_0 + rows * drop
    shape = surface.window.shape
    inside = (col >= 0) & (row >= 0) & (col <= shape[1] - 1) & (row <= shape[0] - 1)
    out[found] = np.where(inside, z, np.nan)
    return out


def _bilinear(heights: Singles, col: Floats, row: Floats) -> Floats:
    rows, cols = heights.shape
    i = np.clip(np.floor(row).astype(np.int32), 0, rows - 2)
    j = np.clip(np.floor(col).astype(np.int32), 0, cols - 2)
    t, s = np.clip(row - i, 0.0, 1.0), np.clip(col - j, 0.0, 1.0)
    flat = heights.ravel()
    at = i.astype(np.int64) * cols + j
    a, b = flat[at], flat[at + 1]
    c, d = flat[at + cols], flat[at + cols + 1]
    return np.asarray((a + (b - a) * s) * (1 - t) + (c + (d - c) * s) * t)


def _quick_bilinear(heights: Singles, col: Floats, row: Floats) -> NDArray[np.float32]:
    """Interpolate bilinearly to 1/32 cell, enough to detect a crossing."""
    count = len(col)
    padded = -(-count // _CHUNK) * _CHUNK
    maps = np.zeros((2, padded), np.float32)
    maps[0, :count], maps[1, :count] = col, row
    out = cv2.remap(
        heights,
        maps[0].reshape(-1, _CHUNK),
        maps[1].reshape(-1, _CHUNK),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(out.ravel()[:count])
