"""Reductions over the cells of lattices: T tiles at once, T×rows×columns arrays."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
_Scalar = TypeVar("_Scalar", bound=np.generic)


def reduce_squares(cells: NDArray[_Scalar], count: int, extreme: np.ufunc) -> NDArray[_Scalar]:
    """Extremes of T×n×n cells over count×count squares."""
    tiles, side = cells.shape[:2]
    m = side // count
    rows = extreme.reduce(cells.reshape(tiles, count, m, side), axis=2)
    found: NDArray[_Scalar] = extreme.reduce(rows.reshape(tiles, count, count, m), axis=3)
    return found


def find_touching_cells(touches: NDArray[np.bool_]) -> Indices:
    """Smallest block of cells that touches the picture: T×4 (first row, last row, first and last column)."""
    rows, cols = (np.asarray(touches.any(axis=a), dtype=np.bool_) for a in (2, 1))
    last = touches.shape[1] - 1
    ends = [(a.argmax(axis=1), last - a[:, ::-1].argmax(axis=1)) for a in (rows, cols)]
    return np.stack([*ends[0], *ends[1]], axis=-1)


def compute_uv_bounds(u: Floats, v: Floats) -> NDArray[np.float32]:
    """Lowest and highest known u and v of T×rows×columns nodes: T×2×2, the extreme first."""
    ends = [[extreme.reduce(flatten_cells(a), axis=1) for a in (u, v)] for extreme in (np.fmin, np.fmax)]
    return np.moveaxis(np.array(ends, dtype=np.float32), 2, 0)


def reduce_any(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """T: whether any cell of a tile is true."""
    return np.asarray(flatten_cells(cells).any(axis=1), dtype=np.bool_)


def flatten_cells(cells: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """T×rows×columns to T×(rows·columns): the reductions along the last axis are the fast ones."""
    return cells.reshape(cells.shape[0], cells.shape[1] * cells.shape[2])


def interpolate_cell_centres(nodes: Floats) -> Floats:
    """What bilinear interpolation gives in the middle of each cell, T×(rows-1)×(columns-1)."""
    rows = nodes[:, :-1] + nodes[:, 1:]
    mean: Floats = 0.25 * (rows[:, :, :-1] + rows[:, :, 1:])
    return mean


def compute_corner_extremes(nodes: Floats) -> tuple[Floats, Floats]:
    """Smallest and largest known of the four nodes of each cell."""
    low, high = np.fmin(nodes[:, :-1], nodes[:, 1:]), np.fmax(nodes[:, :-1], nodes[:, 1:])
    return np.fmin(low[:, :, :-1], low[:, :, 1:]), np.fmax(high[:, :, :-1], high[:, :, 1:])
