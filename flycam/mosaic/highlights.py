"""Highlight compression: keeps light that a correction raised above 255 within the range of an image.

Corrected light may pass 255. Above a knee it is compressed, never clipped: a hyperbola of slope 1 at the knee
maps the brightest possible light to 255, so brighter stays brighter and light below the knee does not change.
The knee of a block is the highest with which no more of it saturates than the camera saturated; the middle
tones keep their brightness. Only where the lowest knee is not enough does one factor darken all of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]

KNEE = 225.0
"""The highest knee, grey levels."""
_LOWEST_KNEE, _KNEE_STEP = 165.0, 5.0
# grey level of an overview, whose means fall short of the pixels' own 250
_NEARLY_SATURATED = 247
# share of a block that a sample cannot tell from none
_MORE_SATURATED = 0.001
_MIN_PERCENT = 50  # darkest factor of a block


def compress_highlights(light: Singles, peak: float, knee: float) -> Singles:
    """Compress light of any shape from 0..`peak` to 0..255, in place.

    With a peak of 255 nothing changes.
    """
    room = 255.0 - knee
    bend = 1.0 / room - 1.0 / (max(peak, 255.0) - knee)
    if bend > 0.0:
        bright = light > np.float32(knee)
        over = light[bright] - np.float32(knee)
        light[bright] = np.float32(knee) + over / (1.0 + np.float32(bend) * over)
    return np.clip(light, 0.0, 255.0, out=light)


def find_headroom(before: NDArray[np.uint8], after: Singles, peak: float) -> tuple[float, float]:
    """Return the highest (knee, factor) at which no more pixels saturate than before.

    before, after  N, the brightest band of pixels spread over the block, as the camera gave it and corrected
    """
    share = float(np.mean(before >= _NEARLY_SATURATED)) + _MORE_SATURATED
    # the pixel that may just not saturate
    limit = float(np.quantile(after, max(1.0 - share, 0.0)))
    for knee in np.arange(KNEE, _LOWEST_KNEE - 1.0, -_KNEE_STEP):
        if _toned_value(limit, peak, float(knee)) < _NEARLY_SATURATED:
            return float(knee), 1.0
    for percent in range(99, _MIN_PERCENT, -1):
        factor = percent / 100.0
        if _toned_value(limit * factor, peak * factor, _LOWEST_KNEE) < _NEARLY_SATURATED:
            break
    return _LOWEST_KNEE, factor


def _toned_value(light: float, peak: float, knee: float) -> float:
    return float(compress_highlights(np.full(1, light, np.float32), peak, knee)[0])
