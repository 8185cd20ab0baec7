"""The water of before: how far each place is from it and how high above, and whether it has become muddy.

A flood is near and low, and its water is brown with what the rain washed down. In a quiet season the river
keeps its colour, and what looks wet beside it is a paddy, a shadow or the bank itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float32]
Mask = NDArray[np.bool_]

FAR_M = 150.0
_HIGH_M, _LOW_M = 12.0, -6.0
_STEP_M = 2.0
_REACH_M = 30.0
_HALF, _LITTLE = 0.5, 1e-4


@dataclass(frozen=True, kw_only=True, slots=True)
class OldWater:
    """On the work grid H×W.

    there   bool: was water before
    away_m  float32: metres to the nearest of it, 150 at the most
    over_m  float32: height above the nearest of it, -6 to 12 m; 12 where none is within 150 m
    redder  float32: how much redder the nearest of it (some 30 m of it) became; 0 where none is within 150 m
    """

    there: Mask
    away_m: Reals
    over_m: Reals
    redder: Reals


def old_water_of(there: Mask, heights_m: Reals, redder: Reals, cell_m: float) -> OldWater:
    """Distance to and height over water, on cells of 2 m.

    heights_m  H×W, smoothed and without gaps
    redder     H×W: the cue of that name
    """
    shape = there.shape
    if not there.any():
        return _none(there)
    step = max(_STEP_M, cell_m)
    size = (max(round(shape[1] * cell_m / step), 1), max(round(shape[0] * cell_m / step), 1))
    share = cv2.resize(there.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    # a brook narrower than the cells is still water
    wet = share > min(_HALF, float(share.max()) - _LITTLE)
    away, nearest = cv2.distanceTransformWithLabels(
        (~wet).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )

    def at_nearest(values: Reals) -> Reals:
        known = np.zeros(int(nearest.max()) + 1, np.float32)
        known[nearest[wet]] = values[wet]
        return np.asarray(known[nearest], np.float32)

    heights = np.asarray(cv2.resize(heights_m, size, interpolation=cv2.INTER_NEAREST), np.float32)
    side = round(_REACH_M / step) | 1
    reddened = cv2.resize(redder * there, size, interpolation=cv2.INTER_AREA)
    around = np.maximum(cv2.blur(share, (side, side)), np.float32(_LITTLE))
    tint = np.asarray(cv2.blur(reddened, (side, side)) / around, np.float32)
    away_m = np.minimum(away * np.float32(step), np.float32(FAR_M))
    is_far = away_m >= FAR_M
    over = np.clip(heights - at_nearest(heights), _LOW_M, _HIGH_M)
    return OldWater(
        there=there,
        away_m=_spread(away_m, shape),
        over_m=_spread(np.where(is_far, np.float32(_HIGH_M), over), shape),
        redder=_spread(np.where(is_far, np.float32(0.0), at_nearest(tint)), shape),
    )


def _none(there: Mask) -> OldWater:
    away, over = (np.full(there.shape, value, np.float32) for value in (FAR_M, _HIGH_M))
    return OldWater(there=there, away_m=away, over_m=over, redder=np.zeros(there.shape, np.float32))


def _spread(values: Reals, shape: tuple[int, ...]) -> Reals:
    return np.asarray(cv2.resize(values, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
