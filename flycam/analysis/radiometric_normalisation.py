"""Removal of the effects of light, haze and season on a neighbourhood: the rest belongs to the place."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

Reals = NDArray[np.float32]
Mask = NDArray[np.bool_]

_BLOCK_M = 40.0
_AROUND_BLOCKS = 7
_DARK_PERCENT = 1.0
_DARK_BLOCKS = 3
_DARK_SHARE = 0.92
_DARKEST = 0.004
_MIN_SHARE = 0.25
_FILL_BLOCKS = (1.0, 2.0, 4.0, 8.0, 16.0)


def remove_haze(linear: Reals, seen: Mask, cell_m: float) -> Reals:
    """Subtract haze from linear light H×W×3: most of the darkest within 80 m.

    Dark-object subtraction band by band (Chavez 1988, Remote Sensing of Environment 24); some shadow is near
    every place in mountains, and its own skylight is little.
    """
    out = np.empty_like(linear)
    for band in range(3):
        smooth = np.asarray(cv2.blur(linear[..., band], (3, 3)), np.float32)
        dark = _block_percentiles(smooth, seen, cell_m, _DARK_PERCENT)
        lowest = cv2.erode(dark, np.ones((_DARK_BLOCKS, _DARK_BLOCKS), np.uint8))
        level = _spread(np.asarray(cv2.GaussianBlur(lowest, (0, 0), 1.5), np.float32), linear.shape[:2])
        np.maximum(linear[..., band] - _DARK_SHARE * level, _DARKEST, out=out[..., band])
    return out


def subtract_local_percentile(values: Reals, where: Mask, cell_m: float, percent: float = 50.0) -> Reals:
    """Subtract from values H×W their robust percentile in the neighbourhood (280 m).

    The usual value there becomes 0.

    where  bool H×W: cells that define what is usual; a block with few of them uses its neighbours
    """
    usual = _block_percentiles(values, where, cell_m, percent)
    robust = np.asarray(median_filter(usual, _AROUND_BLOCKS, mode="nearest"), np.float32)
    smooth = np.asarray(cv2.GaussianBlur(robust, (0, 0), 1.0), np.float32)
    return np.asarray(values - _spread(smooth, values.shape), np.float32)


def _block_percentiles(values: Reals, where: Mask, cell_m: float, percent: float) -> Reals:
    """Return one percentile a block of 40 m; fill blocks that have little data."""
    side = max(round(_BLOCK_M / cell_m), 1)
    rows, cols = -(-values.shape[0] // side), -(-values.shape[1] // side)
    found = np.full((rows, cols), np.nan, np.float32)
    for row in range(rows):
        for col in range(cols):
            place = (slice(row * side, (row + 1) * side, 2), slice(col * side, (col + 1) * side, 2))
            known = values[place][where[place]]
            if known.size >= max(_MIN_SHARE * where[place].size, 1.0):
                found[row, col] = np.percentile(known, percent)
    # strips, specks: together they still define what is usual
    if not np.isfinite(found).any() and where.any():
        found[:] = np.percentile(values[where], percent)
    return _filled(found)


def _filled(grid: Reals) -> Reals:
    """Replace NaN by the mean of known values around, from near to far.

    Beyond 16 blocks by the nearest; 0 where nothing is known at all.
    """
    known = np.isfinite(grid)
    if not known.any():
        return np.zeros_like(grid)
    values, weight = np.where(known, grid, 0.0).astype(np.float32), known.astype(np.float32)
    out = grid.copy()
    for sigma in _FILL_BLOCKS:
        unknown = ~np.isfinite(out)
        if not unknown.any():
            return out
        sums, weights = (cv2.GaussianBlur(a, (0, 0), sigma) for a in (values, weight))
        reached = unknown & (weights > 1e-3)
        out[reached] = sums[reached] / weights[reached]
    return _nearest(out)


def _nearest(grid: Reals) -> Reals:
    """Replace NaN by the nearest known value; at least one is known."""
    unknown = ~np.isfinite(grid)
    _, labels = cv2.distanceTransformWithLabels(
        unknown.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    by_label = np.zeros(labels.max() + 1, np.float32)
    by_label[labels[~unknown]] = grid[~unknown]
    return np.asarray(by_label[labels], np.float32)


def _spread(grid: Reals, shape: tuple[int, int]) -> Reals:
    return np.asarray(cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
