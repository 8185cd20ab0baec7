"""Check that an image has the colours that reveal change: grey, infrared and night images have none.

Vegetation and debris differ in the ratios of their bands. Where an image has no such ratios, or those of a
light other than the sun's, everything seems to have changed, with high scores: no change is detected there.
"""

from __future__ import annotations

from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_CELL_M = 2.0
_WHOLLY = 250  # of 255
_MIN_CELLS = 50
_DARK_LIGHT = 40.0
_MIN_LIGHT = 20.0
_MIN_SPREAD = 0.02
# in colour images under 0.5 % is pink, in an infrared camera's flight some 40 % (6 to 75 %)
_PINK, _MAX_PINK = 0.10, 0.25
_BLUE = 0.12


class ColourFault(StrEnum):
    """Reason why an image's colours cannot reveal change.

    GREY    panchromatic, thermal, or one tint all over
    UNREAL  vegetation is pink, or most ground blue, as where a band is infrared
    DARK    night
    """

    GREY = "grey"
    UNREAL = "unreal"
    DARK = "dark"


def find_colour_fault(rgb: Picture, seen: Mask, gsd_m: float) -> ColourFault | None:
    """Find the fault of an image's colours (H×W×3) where `seen` (H×W), or None.

    None also for too little ground. Judged on cells of 2 m, so that pixel noise is no colour, and by
    percentiles, so that a caption or a roof is none either. Shares of red less green and of blue less green
    are independent of a place's brightness: their spread is 0 in a grey image whatever its tint.
    """
    cells = _cells(rgb, seen, gsd_m)
    if len(cells) < _MIN_CELLS:
        return None
    light = cells.mean(axis=1)
    if np.percentile(light, 95) < _DARK_LIGHT:
        return ColourFault.DARK
    lit = cells[light >= _MIN_LIGHT]
    red, green, blue = (lit / lit.sum(axis=1, keepdims=True)).T
    shares = np.stack([red - green, blue - green])
    low, high = np.percentile(shares, (5, 95), axis=1)
    if (high - low).max() < _MIN_SPREAD:
        return ColourFault.GREY
    redder, bluer = shares
    # red earth lies above green in red too, but never in blue
    pink = (redder > _PINK) & (bluer > 0.0)
    if pink.mean() > _MAX_PINK or np.median(bluer) > _BLUE:
        return ColourFault.UNREAL
    return None


def _cells(rgb: Picture, seen: Mask, gsd_m: float) -> NDArray[np.float64]:
    """Return the mean (red, green, blue) of each cell that is wholly seen, N×3."""
    rows, cols = seen.shape
    cell = max(_CELL_M / gsd_m, 1.0)
    size = max(round(cols / cell), 1), max(round(rows / cell), 1)
    means = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    whole = cv2.resize(seen.astype(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA) > _WHOLLY
    return np.asarray(means[whole], np.float64)
