"""Rasterization of polygons: every pixel that touches one, and a one-pixel rim."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.float64]

MAX_OVERHANG_PX = 3
"""Pixels that a ring may extend beyond the raster. OpenCV fills rings at negative coordinates wrongly."""

# Fractional bits of the vertices that OpenCV draws.
_BITS = 8
_RIM = np.ones((3, 3), dtype=np.uint8)


def rasterize_polygons(polygons: Iterable[Sequence[Ring]], shape_px: tuple[int, int]) -> NDArray[np.bool_]:
    """Return True where a pixel or its neighbour touches a polygon, rows × columns.

    polygons  of each the outer ring and then its holes, N×2 (column, row) with corners of pixels at integers;
              cut to the raster and at most MAX_OVERHANG_PX around it
    shape_px  rows and columns

    Filled by pixel centres and along the edges (Bresenham), which leaves out pixels that an edge only grazes:
    these are never farther than a pixel from filled ones, hence the rim.
    """
    rim = MAX_OVERHANG_PX + 1
    drawn = np.zeros((shape_px[0] + 2 * rim, shape_px[1] + 2 * rim), dtype=np.uint8)
    for rings in polygons:
        fixed = [np.rint((ring + (rim - 0.5)) * (1 << _BITS)).astype(np.int32) for ring in rings]
        # one polygon at a time: fillPoly's even-odd rule would cancel overlaps of several
        one = np.zeros_like(drawn)
        cv2.fillPoly(one, fixed, 1, lineType=cv2.LINE_8, shift=_BITS)
        drawn |= one
    touched = cv2.dilate(drawn, _RIM)[rim:-rim, rim:-rim]
    return np.ascontiguousarray(touched.astype(np.bool_))
