"""Interpolation between the posts of a regular grid: bilinear, and cubic convolution.

Positions are (row, column) with posts at integers. OpenCV's remap is not used for heights: it rounds
positions to 1/32 of a post, which on a 45° slope and 30 m posts is half a metre.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def take_at_posts(values: NDArray[np.floating], row: Floats, col: Floats) -> Floats:
    """Take values at N integer positions.

    They equal the kernels' values, at a tenth of the cost.
    """
    rows, cols = values.shape
    inside = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
    out = np.full(row.shape, np.nan)
    out[inside] = values[row[inside].astype(np.intp), col[inside].astype(np.intp)]
    return out


def interpolate_bilinear(values: NDArray[np.floating], row: Floats, col: Floats) -> Floats:
    """Interpolate bilinearly at N positions; NaN outside or where a post is NaN.

    `values` is rows×cols with at least 2 posts each way. A post whose weight is zero does not matter, so a
    position exactly on a known post has that post's value.
    """
    rows, cols = values.shape
    slack = 1e-6  # of a post: rounding of positions on the edge
    outside = ~((row >= -slack) & (row <= rows - 1 + slack) & (col >= -slack) & (col <= cols - 1 + slack))
    row, col = np.where(outside, 0.0, row), np.where(outside, 0.0, col)
    r0 = np.clip(np.floor(row).astype(np.intp), 0, rows - 2)
    c0 = np.clip(np.floor(col).astype(np.intp), 0, cols - 2)
    fr, fc = np.clip(row - r0, 0.0, 1.0), np.clip(col - c0, 0.0, 1.0)
    total = np.zeros(row.shape)
    for dr, wr in ((0, 1.0 - fr), (1, fr)):
        for dc, wc in ((0, 1.0 - fc), (1, fc)):
            weight = wr * wc
            total += np.where(weight > 0.0, weight * values[r0 + dr, c0 + dc], 0.0)
    total[outside] = np.nan
    return total


def interpolate_cubic(
    values: NDArray[np.floating], row: Floats, col: Floats, *, wraps: bool = False
) -> Floats:
    """Interpolate by cubic convolution (Keys 1981, a = -1/2) at N positions.

    Falls back to `interpolate_bilinear` near NaN. The edge posts are repeated; `wraps` joins the last column
    to the first (a whole circle of longitude, both ends included). NaN where `interpolate_bilinear` is NaN.
    """
    rows, cols = values.shape
    out = interpolate_bilinear(values, row, col)
    known = np.isfinite(out)
    r, c = row[known], col[known]
    r0, c0 = np.floor(r).astype(np.intp), np.floor(c).astype(np.intp)
    smooth = np.zeros(r.shape)
    for i, weight_r in enumerate(_keys_weights(r - r0)):
        ri = np.clip(r0 - 1 + i, 0, rows - 1)
        for j, weight_c in enumerate(_keys_weights(c - c0)):
            cj = c0 - 1 + j
            cj = cj % (cols - 1) if wraps else np.clip(cj, 0, cols - 1)
            smooth += weight_r * weight_c * values[ri, cj]
    out[known] = np.where(np.isfinite(smooth), smooth, out[known])
    return out


def _keys_weights(t: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    return (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )
