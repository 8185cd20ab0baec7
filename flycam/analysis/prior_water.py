"""Prior water: distance and height of each place above it, and likeness to its colour now.

A flood is near and low, and its water is the river's, of whatever colour that has become: a wet-looking place
beside it of another colour is a paddy, a shadow or the bank itself. Where no water was within 150 m, the
lowest ground there takes its place: that fills first.
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
COARSE_M = 2.0
_REACH_M = 30.0
_HALF, _LITTLE = 0.5, 1e-4
_MIN_UNLIKE = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorWater:
    """Prior water on the work grid H×W.

    mask        bool: was water before
    distance_m  float32: metres to the nearest of it or of the lowest ground, 150 at the most
    height_m    float32: height above the nearest, -6 to 12 m; 12 where none is within 150 m
    unlike      float32: ln of the distance of a place's colour on the after-date from that of the nearest
                (some 30 m of it) then; 0 where none is within 150 m
    """

    mask: Mask
    distance_m: Reals
    height_m: Reals
    unlike: Reals


def compute_coarse_size(shape: tuple[int, ...], cell_m: float) -> tuple[int, int]:
    """Return (columns, rows) of the cells, 2 m or larger, on which water is searched."""
    step = max(COARSE_M, cell_m)
    return max(round(shape[1] * cell_m / step), 1), max(round(shape[0] * cell_m / step), 1)


def compute_prior_water(
    there: Mask, low: Mask, heights_m: Reals, colours: Reals, cell_m: float
) -> PriorWater:
    """Compute distance to and height over water, and likeness to it.

    low        H×W: the lowest ground, where water would gather
    heights_m  H×W, smoothed and without gaps
    colours    3×h×w of the after-date on cells of `compute_coarse_size`
    """
    shape = there.shape
    step = max(COARSE_M, cell_m)
    size = compute_coarse_size(shape, cell_m)
    wet = _thinned(there, size)
    is_dry = cv2.distanceTransform((~wet).astype(np.uint8), cv2.DIST_L2, 5) >= FAR_M / step
    wet |= _thinned(low, size) & (is_dry | ~wet.any())
    if not wet.any():
        return _none(there)
    away, nearest = cv2.distanceTransformWithLabels(
        (~wet).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )

    def at_nearest(values: Reals) -> Reals:
        known = np.zeros(int(nearest.max()) + 1, np.float32)
        known[nearest[wet]] = values[wet]
        return np.asarray(known[nearest], np.float32)

    heights = np.asarray(cv2.resize(heights_m, size, interpolation=cv2.INTER_NEAREST), np.float32)
    side = round(_REACH_M / step) | 1
    share = wet.astype(np.float32)
    around = np.maximum(cv2.blur(share, (side, side)), np.float32(_LITTLE))
    off = np.zeros(share.shape, np.float32)
    for band in colours:
        mean = np.asarray(cv2.blur(band * share, (side, side)) / around, np.float32)
        off += (band - at_nearest(mean)) ** 2
    unlike = np.minimum(np.log(np.sqrt(off) + np.float32(_MIN_UNLIKE)), np.float32(0.0))
    away_m = np.minimum(away * np.float32(step), np.float32(FAR_M))
    is_far = away_m >= FAR_M
    over = np.clip(heights - at_nearest(heights), _LOW_M, _HIGH_M)
    return PriorWater(
        mask=there,
        distance_m=_spread(away_m, shape),
        height_m=_spread(np.where(is_far, np.float32(_HIGH_M), over), shape),
        unlike=_spread(np.where(is_far, np.float32(0.0), unlike), shape),
    )


def _thinned(mask: Mask, size: tuple[int, int]) -> Mask:
    """Reduce a mask to coarse cells; a brook narrower than they are is still water."""
    share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray((share > 0.0) & (share > min(_HALF, float(share.max()) - _LITTLE)), np.bool_)


def _none(there: Mask) -> PriorWater:
    away, over = (np.full(there.shape, value, np.float32) for value in (FAR_M, _HIGH_M))
    return PriorWater(mask=there, distance_m=away, height_m=over, unlike=np.zeros(there.shape, np.float32))


def _spread(values: Reals, shape: tuple[int, ...]) -> Reals:
    return np.asarray(cv2.resize(values, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
