"""Rectangles of the synthetic world's cells, addressed by absolute cell numbers.

Cell (i, j) has its centre at east = i * cell_m, north = j * cell_m of the work CRS in every window: two
windows that overlap show the same ground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class CellWindow:
    """A window of cells; rows run south, columns run east.

    cell_m      side of a cell, metres
    west_cell   absolute number of column 0
    north_cell  absolute number of row 0
    shape       (rows, columns)
    """

    cell_m: float
    west_cell: int
    north_cell: int
    shape: tuple[int, int]

    @property
    def eastings(self) -> Floats:
        """Eastings of the columns' centres, shape (columns,)."""
        return (self.west_cell + np.arange(self.shape[1])) * self.cell_m

    @property
    def northings(self) -> Floats:
        """Northings of the rows' centres, descending, shape (rows,)."""
        return (self.north_cell - np.arange(self.shape[0])) * self.cell_m

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """GDAL affine (a, b, c, d, e, f): pixel corner (column, row) to (east, north)."""
        west = (self.west_cell - 0.5) * self.cell_m
        north = (self.north_cell + 0.5) * self.cell_m
        return (self.cell_m, 0.0, west, 0.0, -self.cell_m, north)

    @property
    def bounds(self) -> Bounds:
        """(west, south, east, north) of the outermost centres."""
        return (
            self.west_cell * self.cell_m,
            (self.north_cell - self.shape[0] + 1) * self.cell_m,
            (self.west_cell + self.shape[1] - 1) * self.cell_m,
            self.north_cell * self.cell_m,
        )

    def to_cells(self, east: Floats, north: Floats) -> tuple[Floats, Floats]:
        """Return (column, row) positions, centres at integers, of points of any shape."""
        return east / self.cell_m - self.west_cell, self.north_cell - north / self.cell_m

    def band(self, start: int, stop: int) -> CellWindow:
        """Return rows start to stop (exclusive) of this window."""
        rows = min(stop, self.shape[0]) - start
        return CellWindow(
            cell_m=self.cell_m,
            west_cell=self.west_cell,
            north_cell=self.north_cell - start,
            shape=(rows, self.shape[1]),
        )


def make_cell_window(bounds: Bounds, cell_m: float) -> CellWindow:
    """Return the smallest window whose outermost centres enclose `bounds`.

    bounds  (west, south, east, north)
    """
    west, south, east, north = bounds
    first, last = math.floor(west / cell_m), math.ceil(east / cell_m)
    top, bottom = math.ceil(north / cell_m), math.floor(south / cell_m)
    return CellWindow(
        cell_m=cell_m, west_cell=first, north_cell=top, shape=(top - bottom + 1, last - first + 1)
    )
