"""Volume that a slide removed and deposited: the difference of two surfaces, once they are coregistered.

Surfaces of two flights lie off each other by metres where nothing ties them down. The later one is first
shifted onto the earlier one by the ground around that did not change (Nuth and Kääb 2011, The Cryosphere 5,
equation 3, in its linear form: dh = up - east · dz/de - north · dz/dn). The remaining difference is the
change.

Errors of heights are of two kinds. Each post's own error averages out, though only from one matching window
to the next. The error that neighbours share does not, and no single height reveals it: it is estimated from
how far the means of unchanged pieces as large as the ground in question lie off zero (Rolstad, Haug and Denby
2009, Journal of Glaciology 55, argue the same from variograms). Where ground did not move it also makes up
loss and gain, as much as unchanged ground comes to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

WINDOW_M = 5.0
"""Heights of posts closer than this come from much the same pixels: their errors are shared."""

_MIN_KNOWN = 0.5
_MIN_BLOCKS = 8
_MIN_BLOCK_M, _MAX_BLOCK_M = 5.0, 25.0
_SIGN_M, _RISE_M = 5.0, 4.0
_SURE_SIGMAS, _MIN_REPORTED_M3 = 2.0, 0.5
# 4.685: Beaton and Tukey 1974, 95 % efficient for normal errors
_ROUNDS, _TUKEY, _MIN_SCALE_M = 12, 4.685, 0.02
# 1-sigma of normal errors from their median absolute deviation
_SIGMA_PER_MAD = 1.4826


class VolumeUnavailable(StrEnum):
    """Reason why two surfaces give no volume."""

    LITTLE_KNOWN = "little_known"
    """the heights of less than half of the scar are known on both dates"""
    LITTLE_STABLE = "little_stable"
    """too little unchanged ground with heights around, by which to coregister one surface on the other"""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeightPair:
    """Two dates' heights on one north-up grid of posts, metres above any datums.

    before_m, after_m  float64 rows×cols
    known              bool rows×cols: measured on both dates; a height elsewhere is only good for a slope
    sigma_m            1-sigma of each post's own difference, where known
    spacing_m          between posts
    """

    before_m: Floats
    after_m: Floats
    known: Mask
    sigma_m: Floats
    spacing_m: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Volume:
    """Volume lost and gained, cubic metres of surface, including what stood on it.

    lost_m3, gained_m3, each with its 1-sigma; their difference has `net_sigma_m3`. Where errors may have
                   moved ground that did not move, that is in both sigmas: both volumes are biased outwards by
                   no more
    measured_m2    ground of the scar whose heights are known on both dates: nothing is claimed about the rest
    shift_m        (east, north, up) by which the later surface lay off the earlier one; on ground that slopes
                   one way, only a step down it and one up together are determined
    level_sigma_m  1-sigma of the mean difference of a piece as large as the scar: the part that does not
                   average out
    """

    lost_m3: float
    lost_sigma_m3: float
    gained_m3: float
    gained_sigma_m3: float
    net_sigma_m3: float
    measured_m2: float
    shift_m: tuple[float, float, float]
    level_sigma_m: float

    @property
    def is_nothing(self) -> bool:
        """True if neither is beyond two sigma: errors alone may come to as much."""
        return (
            self.lost_m3 <= _SURE_SIGMAS * self.lost_sigma_m3
            and self.gained_m3 <= _SURE_SIGMAS * self.gained_sigma_m3
        )

    @property
    def has_gained(self) -> bool:
        """True if any ground rose that makes a cubic metre, or may have."""
        return self.gained_m3 + self.gained_sigma_m3 >= _MIN_REPORTED_M3


def compute_volume(heights: HeightPair, scar: Mask, stable: Mask) -> Volume | VolumeUnavailable:
    """Compute the volume of a scar.

    scar, stable  bool rows×cols; the second is unchanged ground around the first
    """
    inside, around = scar & heights.known, stable & heights.known
    if not scar.any() or inside.sum() < _MIN_KNOWN * scar.sum():
        return VolumeUnavailable.LITTLE_KNOWN
    side_m = _side_m(scar, heights.spacing_m)
    rises = _rises(heights.before_m, heights.spacing_m)
    difference = heights.after_m - heights.before_m
    usable = around & np.isfinite(rises).all(axis=0)
    if _block_means(difference, usable, side_m / heights.spacing_m).size < _MIN_BLOCKS:
        return VolumeUnavailable.LITTLE_STABLE
    shift = _fitted_shift(difference[usable], rises[:, usable])
    change = difference - _explained(shift, np.nan_to_num(rises))
    return _classified_volume(heights, change, inside, usable, shift)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Split:
    """Loss and gain of unchanged ground when it is split as a scar is.

    mean_sigma_m  1-sigma of means over a few metres
    each_m        mean height that is taken for lost, and as much for gained, over all of the ground
    """

    mean_sigma_m: float
    each_m: float


def _split_of_nothing(change: Floats, usable: Mask, side_m: float, spacing_m: float) -> _Split:
    """Split the median piece of unchanged ground as large as the scar."""
    means = _mean_around(change, usable, _SIGN_M / spacing_m)
    fell = _fell(change, usable, spacing_m)
    halves = [
        _block_means(np.where(fell == is_lost, change, 0.0), usable, side_m / spacing_m)
        * (-1.0 if is_lost else 1.0)
        for is_lost in (True, False)
    ]
    return _Split(
        mean_sigma_m=_SIGMA_PER_MAD * float(np.median(np.abs(means[usable]))),
        each_m=max(float(np.median(np.concatenate(halves))), 0.0),
    )


def _classified_volume(
    heights: HeightPair, change: Floats, inside: Mask, usable: Mask, shift: Floats
) -> Volume | VolumeUnavailable:
    """Compute lost and gained volume by the sign of most posts within a few metres.

    So the noise of posts, which has both signs, counts as neither. What neighbours share over those metres
    still counts as both where the ground did not move. Where means are not beyond such errors, as much as
    unchanged ground comes to may be made up: that is in both sigmas, and not in that of the difference, where
    it cancels.
    """
    spacing_m, post_m2 = heights.spacing_m, heights.spacing_m**2
    means = _mean_around(change, inside, _SIGN_M / spacing_m)
    fell = _fell(change, inside, spacing_m)
    rose = inside & ~fell
    sides = [_side_m(where, spacing_m) / spacing_m for where in (fell, rose, inside)]
    if any(_block_means(change, usable, side).size < _MIN_BLOCKS for side in sides):
        return VolumeUnavailable.LITTLE_STABLE
    nothing = _split_of_nothing(change, usable, _side_m(inside, spacing_m), spacing_m)
    unsure = inside & (np.abs(means) <= _SURE_SIGMAS * nothing.mean_sigma_m)
    made_up = nothing.each_m * float(unsure.sum()) * post_m2

    def sigma(where: Mask) -> float:
        own = float((heights.sigma_m[where] ** 2).sum()) * post_m2 * max(WINDOW_M**2, post_m2)
        level = _level_sigma(change, usable, _side_m(where, spacing_m) / spacing_m)
        return math.hypot(level * float(where.sum()) * post_m2, math.sqrt(own))

    return Volume(
        lost_m3=-float(change[fell].sum()) * post_m2,
        lost_sigma_m3=math.hypot(sigma(fell), made_up),
        gained_m3=float(change[rose].sum()) * post_m2,
        gained_sigma_m3=math.hypot(sigma(rose), made_up),
        net_sigma_m3=sigma(inside),
        measured_m2=float(inside.sum()) * post_m2,
        shift_m=(float(shift[0]), float(shift[1]), float(shift[2])),
        level_sigma_m=_level_sigma(change, usable, _side_m(inside, spacing_m) / spacing_m),
    )


def _fell(change: Floats, where: Mask, spacing_m: float) -> Mask:
    """Return ground around which most posts fell.

    Unlike with a mean, no deep scar swallows the deposit's edge.
    """
    return where & (_mean_around(np.sign(change), where, _SIGN_M / spacing_m) < 0.0)


def _side_m(where: Mask, spacing_m: float) -> float:
    """Return the side of pieces of unchanged ground as large as `where`."""
    return float(np.clip(math.sqrt(where.sum()) * spacing_m, _MIN_BLOCK_M, _MAX_BLOCK_M))


def _level_sigma(change: Floats, usable: Mask, side: float) -> float:
    """Return how far the means of unchanged pieces of `side` posts lie off zero."""
    blocks = _block_means(change, usable, side)
    return _SIGMA_PER_MAD * float(np.median(np.abs(blocks))) * math.sqrt(1.0 + 1.0 / blocks.size)


def _rises(heights_m: Floats, spacing_m: float) -> Floats:
    """Return rise per metre to the east and north, 2×rows×cols, of smoothed heights.

    The heights are smoothed over a few metres.
    """
    smooth = cv2.GaussianBlur(heights_m, (0, 0), max(_RISE_M / spacing_m, 0.5))
    south, east = np.gradient(smooth, spacing_m)
    return np.stack([east, -south])


def _fitted_shift(difference: Floats, rises: Floats) -> Floats:
    """Fit (east, north, up) to N differences over ground with rises 2×N.

    Fitted by Tukey's biweight, starting from the median.
    """
    design = np.concatenate([-rises, np.ones((1, difference.size))]).T
    shift = np.array([0.0, 0.0, float(np.median(difference))])
    for _ in range(_ROUNDS):
        left = difference - design @ shift
        scale = max(_SIGMA_PER_MAD * float(np.median(np.abs(left))), _MIN_SCALE_M)
        # the root of Tukey's weights, for lstsq squares them
        weights = np.clip(1.0 - (left / (_TUKEY * scale)) ** 2, 0.0, None)
        shift = np.linalg.lstsq(design * weights[:, None], difference * weights, rcond=None)[0]
    return shift


def _explained(shift: Floats, rises: Floats) -> Floats:
    return np.asarray(shift[2] - shift[0] * rises[0] - shift[1] * rises[1], np.float64)


def _block_means(values: Floats, where: Mask, side: float) -> Floats:
    """Return means of the blocks of `side` posts at least half in `where`."""
    step = max(round(side), 1)
    rows, cols = (-(-n // step) * step for n in values.shape)
    padded = np.zeros((2, rows, cols))
    padded[0, : values.shape[0], : values.shape[1]] = where
    padded[1, : values.shape[0], : values.shape[1]] = np.where(where, values, 0.0)
    counts, sums = padded.reshape(2, rows // step, step, cols // step, step).sum(axis=(2, 4))
    enough = counts >= _MIN_KNOWN * step**2
    return np.asarray(sums[enough] / counts[enough], np.float64)


def _mean_around(values: Floats, where: Mask, side: float) -> Floats:
    """Return the mean over squares of about `side` posts of the values in `where`."""
    width = max(round(side) | 1, 1)
    weights = where.astype(np.float64)
    sums = cv2.blur(np.where(where, values, 0.0), (width, width))
    return np.asarray(sums / np.maximum(cv2.blur(weights, (width, width)), 1e-9), np.float64)
