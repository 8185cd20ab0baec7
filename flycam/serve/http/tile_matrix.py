"""WebMercatorQuad as the standards print it, and a mosaic's limits in it.

Sources: OGC 17-083r4 (Two Dimensional Tile Matrix Set 2.0), annex D.1; OGC 07-057r7 (WMTS), 6.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flycam.catalog.records import BoundsLonLat, MosaicInfo
from flycam.geometry.grid import TileRange, compute_grid_pixel_m, find_range_for_bounds, lonlat_to_mercator

TILE_MATRIX_SET = "WebMercatorQuad"
_OGC_PIXEL_M = 0.00028
"""Size of a screen's pixel in the scale denominators, metres."""


@dataclass(frozen=True, slots=True)
class TileMatrix:
    """One zoom of the grid: cell size in metres of EPSG:3857, and tiles a side."""

    zoom: int

    @property
    def cell_m(self) -> float:
        return compute_grid_pixel_m(self.zoom)

    @property
    def scale_denominator(self) -> float:
        return self.cell_m / _OGC_PIXEL_M

    @property
    def tiles(self) -> int:
        return 1 << self.zoom


def iterate_tile_limits(mosaic: MosaicInfo, bounds: BoundsLonLat) -> Iterator[TileRange]:
    """Yield, by zoom, the range of tiles that touch the mosaic's bounds (degrees).

    There are no tiles of it elsewhere.
    """
    west, south, east, north = bounds
    (x0, y0), (x1, y1) = lonlat_to_mercator(np.array([[west, south], [east, north]])).tolist()
    for z in range(mosaic.min_zoom, mosaic.base_zoom + 1):
        yield find_range_for_bounds(z, (x0, y0, x1, y1))
