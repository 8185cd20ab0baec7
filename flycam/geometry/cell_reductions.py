"""Reductions over lattice cells of T tiles at once, in T×rows×columns arrays."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
_Scalar = TypeVar("_Scalar", bound=np.generic)


def reduce_squares(cells: NDArray[_Scalar], count: int, extreme: np.ufunc) -> NDArray[_Scalar]:
    """Return the extremes of T×n×n cells over count×count squares."""
    tiles, side = cells.shape[:2]
    m = side // count
    rows = extreme.reduce(cells.reshape(tiles, count, m, side), axis=2)
    found: NDArray[_Scalar] = extreme.reduce(rows.reshape(tiles, count, count, m), axis=3)
    return found


def find_touching_cells(touches: NDArray[np.bool_]) -> Indices:
    """Return the smallest block of cells that touches the image.

    T×4: first row, last row, first and last column.
    """
    rows, cols = (np.asarray(touches.any(axis=a), dtype=np.bool_) for a in (2, 1))
    last = touches.shape[1] - 1
    ends = [(a.argmax(axis=1), last - a[:, ::-1].argmax(axis=1)) for a in (rows, cols)]
    return np.stack([*ends[0], *ends[1]], axis=-1)


def compute_uv_bounds(u: Floats, v: Floats) -> NDArray[np.float32]:
    """Return the lowest and highest known u and v of T×rows×columns nodes.

    T×2×2, the extreme first.
    """
    ends = [[extreme.reduce(flatten_cells(a), axis=1) for a in (u, v)] for extreme in (np.fmin, np.fmax)]
    return np.moveaxis(np.array(ends, dtype=np.float32), 2, 0)


def reduce_any(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return T flags, True where any cell of a tile is True."""
    return np.asarray(flatten_cells(cells).any(axis=1), dtype=np.bool_)


def flatten_cells(cells: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Reshape T×rows×columns to T×(rows·columns).

    Reductions along the last axis are the fast ones.
    """
    return cells.reshape(cells.shape[0], cells.shape[1] * cells.shape[2])


def interpolate_cell_centres(nodes: Floats) -> Floats:
    """Interpolate bilinearly at the centre of each cell, T×(rows-1)×(columns-1)."""
    rows = nodes[:, :-1] + nodes[:, 1:]
    mean: Floats = 0.25 * (rows[:, :, :-1] + rows[:, :, 1:])
    return mean


def compute_corner_extremes(nodes: Floats) -> tuple[Floats, Floats]:
    """Return the smallest and largest known value of the four nodes of each cell."""
    low, high = np.fmin(nodes[:, :-1], nodes[:, 1:]), np.fmax(nodes[:, :-1], nodes[:, 1:])
    return np.fmin(low[:, :, :-1], low[:, :, 1:]), np.fmax(high[:, :, :-1], high[:, :, 1:])
