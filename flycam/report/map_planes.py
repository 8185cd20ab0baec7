"""The maps behind a report as planes on one small grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class MapPlanes:
    """Planes rows×cols, row 0 northernmost; pixel (r, c) has its corner at (west + c*pixel, north - r*pixel).

    west, north, pixel_m  metres of the work CRS
    rgb, shown            what the map shows, and where
    error_m               expected error, NaN where nothing is shown
    overlap               how many frames see the ground
    own                   the ground is the flight's own surface
    bend_px               how far the map's window of 64 pixels is bent (`relief_displacement`), NaN unknown
    smooth                smooth heights stand there instead of measured ones
    relief                shading of the ground from 0 (dark) to 1; NaN unknown
    gaps, gaps_m2         outlines of enclosed holes, K×2 (column, row), the largest first, and their areas
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
        """(columns, rows)."""
        rows, cols = self.shown.shape
        return cols, rows

    def to_pixels(self, xy_m: Floats) -> Floats:
        """Points N×2 of the work CRS to (column, row), corners of pixels at integers."""
        return np.stack([xy_m[:, 0] - self.west, self.north - xy_m[:, 1]], axis=-1) / self.pixel_m
