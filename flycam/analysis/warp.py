"""Warp from the before image to the after image: an affine map, and a smooth field on it.

Positions are pixels of the common grid at its full resolution, (column, row), centres at integers. A level of
the pyramid that is reduced by `factor` has its pixel c at (c + 0.5) * factor - 0.5 of the full one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class WarpLattice:
    """Lattice of a smooth field over an image.

    Node (r, c) is at (c * step_px, r * step_px).
    """

    rows: int
    cols: int
    step_px: float

    @classmethod
    def from_shape(cls, shape: tuple[int, int], step_px: float) -> WarpLattice:
        """Build the lattice for an image of `shape` (rows, columns).

        Every pixel lies between four nodes.
        """
        rows, cols = (max(int(np.ceil((size - 1) / step_px)), 1) + 1 for size in shape)
        return cls(rows=rows, cols=cols, step_px=step_px)


@dataclass(frozen=True, kw_only=True, slots=True)
class Warp:
    """Warp that maps p in the before image to p + displacement(p) in the after image.

    affine  2×3: displacement (columns, rows) = affine @ (column, row, 1)
    nodes   rows×cols×2 on `lattice`, added to it, bilinear between; all 0 where there is only the affine map
    """

    affine: Floats
    lattice: WarpLattice
    nodes: Floats

    @classmethod
    def identity(cls, shape: tuple[int, int], step_px: float) -> Warp:
        """Build a warp that moves nothing."""
        lattice = WarpLattice.from_shape(shape, step_px)
        return cls(affine=np.zeros((2, 3)), lattice=lattice, nodes=np.zeros((lattice.rows, lattice.cols, 2)))

    def displacement(self, points_px: Floats) -> Floats:
        """Return displacements N×2 at places N×2 (column, row)."""
        points = np.asarray(points_px, dtype=np.float64)
        moved = points @ self.affine[:, :2].T + self.affine[:, 2]
        corner, weight = find_lattice_corners(self.lattice, points)
        return np.asarray(moved + np.einsum("nk,nkd->nd", weight, self.nodes.reshape(-1, 2)[corner]))

    def positions(
        self, row: int, col: int, shape: tuple[int, int], factor: int = 1
    ) -> tuple[Singles, Singles]:
        """Return columns and rows in the after image, each of `shape`, for cv2.remap.

        They are those of the window of `shape` at (row, col) of the before image; both images at the level
        `factor`.
        """
        x = (col + np.arange(shape[1], dtype=np.float64) + 0.5) * factor - 0.5
        y = (row + np.arange(shape[0], dtype=np.float64) + 0.5) * factor - 0.5
        across, along = (
            _between(x, self.lattice.cols, self.lattice.step_px),
            _between(y, self.lattice.rows, self.lattice.step_px),
        )
        found = []
        for axis, own in ((0, x[None, :]), (1, y[:, None])):
            a, b, c = self.affine[axis]
            moved = along @ self.nodes[..., axis] @ across.T + (a * x + c)[None, :] + (b * y)[:, None]
            found.append(((own + moved + 0.5) / factor - 0.5).astype(np.float32))
        return found[0], found[1]


def find_lattice_corners(lattice: WarpLattice, points_px: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Find the four nodes around N places, and their bilinear weights (N×4 each).

    Nodes are counted row by row. Places beyond the nodes take those of the rim.
    """
    u = np.clip(points_px[:, 0] / lattice.step_px, 0.0, lattice.cols - 1.0)
    v = np.clip(points_px[:, 1] / lattice.step_px, 0.0, lattice.rows - 1.0)
    c = np.minimum(u.astype(np.int64), lattice.cols - 2)
    r = np.minimum(v.astype(np.int64), lattice.rows - 2)
    u, v = u - c, v - r
    first = r * lattice.cols + c
    corner = np.stack([first, first + 1, first + lattice.cols, first + lattice.cols + 1], axis=-1)
    weight = np.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v], axis=-1)
    return corner, weight


def _between(at_px: NDArray[np.floating], count: int, step_px: float) -> Floats:
    """Return linear weights (places×nodes) of places along one axis."""
    u = np.clip(at_px / step_px, 0.0, count - 1.0)
    first = np.minimum(u.astype(np.int64), count - 2)
    weights = np.zeros((len(u), count))
    weights[np.arange(len(u)), first] = 1.0 - (u - first)
    weights[np.arange(len(u)), first + 1] = u - first
    return weights
