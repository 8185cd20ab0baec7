"""Redaction of pixels, irreversible."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

FILL_GREY = 128
"""One value for every redacted pixel: nothing of the original is left in it."""

_RIM_PX = 2


def redact_pixels(
    pixels: NDArray[np.uint8],
    polygons: Iterable[NDArray[np.float64]],
    cells: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Return a copy of an image (H×W×3, or H×W) with polygons and cells grey.

    polygons  each N×2 (x, y) as shares of width and height, 0 to 1; with a rim around
    cells     rows × columns spread evenly over the image; True: redacted, with the cells around
    """
    height, width = pixels.shape[:2]
    painted: NDArray[Any] = np.zeros((height, width), np.uint8)
    for shares in polygons:
        corners = np.rint(shares * (width, height) - 0.5).astype(np.int32)
        cv2.fillPoly(painted, [corners], 1, lineType=cv2.LINE_8)
    if painted.any():
        painted = cv2.dilate(painted, np.ones((2 * _RIM_PX + 1, 2 * _RIM_PX + 1), np.uint8))
    if cells is not None and cells.any():
        wider = cv2.dilate(cells.astype(np.uint8), np.ones((3, 3), np.uint8))
        painted = painted | cv2.resize(wider, (width, height), interpolation=cv2.INTER_NEAREST)
    burnt = pixels.copy()
    burnt[painted.astype(np.bool_)] = FILL_GREY
    return burnt
