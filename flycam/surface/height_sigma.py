"""Sigma of a height from views, base, texture, agreement, margin and scatter.

    match   precision · sqrt((1 - agreement) / pairs): the width of the agreement's peak, which the
            base-to-height ratio and texture make narrow, times the uncorrelated share. The agreement is a
            mean over n (n - 1) / 2 pairs of views, so its noise falls with their root
    around  the scatter of the heights within a few metres: it contains noise, and where the ground bends or
            steps a window holds both sides and the step may be displaced
    wrong   another height would have agreed nearly as well (a small margin): then the height may be that of
            something else nearby, and is off by the scatter of heights over a crown's width

Where views were compared and did not agree, there are objects that they see differently, mostly leaves: the
error of the height used there is about the scatter of heights over a crown's width.

Factors were derived on two synthetic flights (relief 180 and 400 m, 21 photos) from the positions of pixels,
and verified on a third (`bench/finish_pixels.py`).
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.surface.post_grid import count_odd_posts

Singles = NDArray[np.float32]
Bools = NDArray[np.bool_]

_MATCH_SHARE, _AROUND_SHARE, _WRONG_SHARE, _UNAGREED_SHARE = 0.4, 0.7, 0.6, 1.3
# Sides of the squares in which heights are compared.
_NEAR_M, _CROWN_M = 5.5, 9.5
_CLEAR_MARGIN, _MIN_MARGIN = 0.25, 0.05
_MIN_NOISE, _MAX_PRECISION_M = 0.05, 10.0


class SweepAgreement(Protocol):
    """Result of a sweep (see `refinement.Sweep`)."""

    @property
    def agreement(self) -> Singles: ...
    @property
    def margin(self) -> Singles: ...
    @property
    def precision_m(self) -> Singles: ...
    @property
    def views(self) -> NDArray[np.uint8]: ...


def estimate_agreed_sigma(found: SweepAgreement, dz_m: Singles, spacing_m: float) -> Singles:
    """Estimate the 1-sigma (rows×cols, metres) of heights dz_m that views agree on.

    See the module for its parts.
    """
    views = found.views.astype(np.float32)
    pairs = np.maximum(views * (views - 1.0) / 2.0, 1.0)
    noise = np.maximum(1.0 - np.nan_to_num(found.agreement), _MIN_NOISE)
    precision = np.minimum(np.nan_to_num(found.precision_m, nan=_MAX_PRECISION_M), _MAX_PRECISION_M)
    match = _MATCH_SHARE * precision * np.sqrt(noise / pairs)
    unclear = np.minimum(_CLEAR_MARGIN / np.maximum(np.nan_to_num(found.margin), _MIN_MARGIN), 1.0)
    wrong = _WRONG_SHARE * unclear * measure_scatter(dz_m, _CROWN_M, spacing_m)
    around = _AROUND_SHARE * measure_scatter(dz_m, _NEAR_M, spacing_m)
    return np.asarray(np.sqrt(match * match + around * around + wrong * wrong), np.float32)


def estimate_unagreed_sigma(found: SweepAgreement, dz_m: Singles, spacing_m: float) -> Singles:
    """Estimate the 1-sigma (rows×cols, metres) that objects add to the ground's.

    Where two views or more were compared without agreeing; NaN where fewer were.
    """
    sigma = _UNAGREED_SHARE * measure_scatter(dz_m, _CROWN_M, spacing_m)
    return np.where(found.views >= 2, sigma, np.float32(np.nan)).astype(np.float32)


def measure_scatter(heights_m: Singles, side_m: float, spacing_m: float, min_posts: int = 5) -> Singles:
    """Return the standard deviation of the heights in a square around each post.

    `min_posts` a side at least.
    """
    side = count_odd_posts(side_m, spacing_m, min_posts)
    mean = cv2.blur(heights_m, (side, side))
    squares = cv2.blur(heights_m * heights_m, (side, side))
    return np.sqrt(np.maximum(squares - mean * mean, np.float32(0.0))).astype(np.float32)
