"""Which pixels of a raster share ground with polygons: every one that does, and a rim of one pixel around."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.float64]

MAX_OVERHANG_PX = 3
"""So far beyond the raster a ring may reach. OpenCV fills wrongly what begins at negative places."""

_BITS = 8
_RIM = np.ones((3, 3), dtype=np.uint8)


def rasterize_polygons(polygons: Iterable[Sequence[Ring]], shape_px: tuple[int, int]) -> NDArray[np.bool_]:
    """True where a pixel touches a polygon, rows × columns; its neighbours are True too.

    polygons  of each the outer ring and then its holes, N×2 (column, row) with corners of pixels at integers;
              cut to the raster and at most BEYOND_PX around it
    shape_px  rows and columns

    Filled by centres of pixels and along the edges (Bresenham), which leaves out what an edge only grazes:
    never farther than a pixel from what is drawn, hence the rim.
    """
    rim = MAX_OVERHANG_PX + 1
    drawn = np.zeros((shape_px[0] + 2 * rim, shape_px[1] + 2 * rim), dtype=np.uint8)
    for rings in polygons:
        fixed = [np.rint((ring + (rim - 0.5)) * (1 << _BITS)).astype(np.int32) for ring in rings]
        one = np.zeros_like(drawn)  # even-odd is a matter of one polygon and its own holes
        cv2.fillPoly(one, fixed, 1, lineType=cv2.LINE_8, shift=_BITS)
        drawn |= one
    touched = cv2.dilate(drawn, _RIM)[rim:-rim, rim:-rim]
    return np.ascontiguousarray(touched.astype(np.bool_))
