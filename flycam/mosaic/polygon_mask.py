"""Rasterised polygons by the pixel-centre rule: neighbours that share an edge share no pixel.

Pixel coordinates here are (column, row) of corners: the pixel (r, c) has its centre at (c + 0.5, r + 0.5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PolygonMask:
    """Edges of a polygon, holes and parts included.

    E×4 pixels: x0, y0, x1, y1 with y0 < y1.
    """

    edges: Floats

    @classmethod
    def from_polygon(cls, polygon: BaseGeometry, to_pixels: Callable[[Floats], Floats]) -> PolygonMask:
        """Build from a shapely polygon or multipolygon.

        to_pixels  maps its N×2 vertices to pixels
        """
        segments = []
        for ring in _rings(polygon):
            at = to_pixels(ring)
            segments.append(np.hstack([at[:-1], at[1:]]))
        edges = np.concatenate(segments) if segments else np.empty((0, 4))
        upward = edges[:, 1] > edges[:, 3]
        edges[upward] = edges[upward][:, [2, 3, 0, 1]]
        return cls(edges[edges[:, 1] < edges[:, 3]])

    def mask(self, row: int, col: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return True where a pixel's centre lies inside (even-odd), in a window.

        The window has `shape` and begins at (row, col).
        """
        rows, cols = shape
        x0, y0, x1, y1 = (self.edges - np.array([col, row, col, row])).T
        # An edge to the right of the window changes nothing in it; one to the left flips whole rows.
        near = (y0 < rows) & (y1 > 0) & (np.minimum(x0, x1) < cols)
        x0, y0, x1, y1 = x0[near], y0[near], x1[near], y1[near]
        first = np.clip(np.ceil(y0 - 0.5), 0, rows).astype(np.int64)
        stop = np.clip(np.ceil(y1 - 0.5), 0, rows).astype(np.int64)
        count = stop - first
        edge = np.repeat(np.arange(count.size), count)
        at_row = np.arange(edge.size) - np.repeat(np.cumsum(count) - count, count) + first[edge]
        slope = (x1 - x0) / (y1 - y0)
        at_x = x0[edge] + (at_row + 0.5 - y0[edge]) * slope[edge]
        at_col = np.clip(np.ceil(at_x - 0.5), 0, cols).astype(np.int64)
        if not at_col.any():  # no edge inside: each row is all in or all out
            parity = np.bincount(at_row, minlength=rows) & 1
            return np.repeat(parity.astype(np.bool_)[:, None], cols, axis=1)
        flips = np.bincount(at_row * (cols + 1) + at_col, minlength=rows * (cols + 1))
        flips = flips.reshape(rows, cols + 1)[:, :cols].astype(np.uint8)
        return (np.add.accumulate(flips, axis=1, dtype=np.uint8) & 1).astype(np.bool_)


def _rings(polygon: BaseGeometry) -> Iterator[Floats]:
    for part in shapely.get_parts(polygon):
        yield shapely.get_coordinates(shapely.get_exterior_ring(part))
        for hole in range(shapely.get_num_interior_rings(part)):
            yield shapely.get_coordinates(shapely.get_interior_ring(part, hole))
