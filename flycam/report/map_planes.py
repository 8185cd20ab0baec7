"""Maps behind a report as planes on one small grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class MapPlanes:
    """Planes rows×cols, row 0 northernmost.

    Pixel (r, c) has its corner at (west + c*pixel, north - r*pixel).

    west, north, pixel_m  metres of the work CRS
    rgb, shown            colours of the mosaic, and where it has data
    error_m               expected error, NaN where nothing is shown
    overlap               number of frames that see the ground
    own                   the ground is the flight's own DSM
    bend_px               bend of the map's window of 64 pixels (`relief_displacement`), NaN unknown
    smooth                smooth heights stand in for measured ones
    relief                shading of the ground from 0 (dark) to 1; NaN unknown
    gaps, gaps_m2         outlines of enclosed gaps, K×2 (column, row), the largest first, and their areas
    """

    west: float
    north: float
    pixel_m: float
    rgb: NDArray[np.uint8]
    shown: Mask
    error_m: NDArray[np.float32]
    overlap: NDArray[np.int32]
    own: Mask
    bend_px: NDArray[np.float32]
    smooth: Mask
    relief: Floats
    gaps: tuple[Floats, ...]
    gaps_m2: tuple[float, ...]

    @property
    def size_px(self) -> tuple[int, int]:
        """Size as (columns, rows)."""
        rows, cols = self.shown.shape
        return cols, rows

    def to_pixels(self, xy_m: Floats) -> Floats:
        """Convert points N×2 of the work CRS to (column, row), pixel corners at integers."""
        return np.stack([xy_m[:, 0] - self.west, self.north - xy_m[:, 1]], axis=-1) / self.pixel_m
