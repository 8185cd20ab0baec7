"""How far a height may be off: from how many views were compared, over what base and texture, how well they
agree, how clearly, and how much the heights around it differ.

    match   precision · sqrt((1 - agreement) / pairs): the width of the agreement's peak, which base over
            height and texture make narrow, times what does not correlate. The agreement is a mean over
            n (n - 1) / 2 pairs of views, so its noise falls with their root
    around  the scatter of the heights within a few metres: noise shows there, and where the ground bends or
            steps a window holds both sides and the step may lie aside
    wrong   another height would have agreed nearly as well (a small margin): then the height may be that of
            something else nearby, and is off by what heights differ by over a crown's width

Where views were compared and did not agree, something stands that they see differently, mostly leaves: the
height that is used there is off by about as much as heights scatter over a crown's width.

Factors were derived on two drills (relief 180 and 400 m, 21 photos) from the places of pixels, and held
against a third (`bench/finish_pixels.py`).
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
_NEAR_M, _CROWN_M = 5.5, 9.5  # sides of the squares that heights are compared in
_CLEAR_MARGIN, _MIN_MARGIN = 0.25, 0.05
_MIN_NOISE, _MAX_PRECISION_M = 0.05, 10.0


class SweepAgreement(Protocol):
    """What a sweep found (see `refine.Sweep`)."""

    @property
    def agreement(self) -> Singles: ...
    @property
    def margin(self) -> Singles: ...
    @property
    def precision_m(self) -> Singles: ...
    @property
    def views(self) -> NDArray[np.uint8]: ...


def estimate_agreed_sigma(found: SweepAgreement, dz_m: Singles, spacing_m: float) -> Singles:
    """1-sigma (rows×cols, metres) of heights dz_m that views agree on; see the module for its parts."""
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
    """1-sigma (rows×cols, metres) that what stands there adds to the ground's, where two views or more were
    compared without agreeing; NaN where fewer were."""
    sigma = _UNAGREED_SHARE * measure_scatter(dz_m, _CROWN_M, spacing_m)
    return np.where(found.views >= 2, sigma, np.float32(np.nan)).astype(np.float32)


def measure_scatter(heights_m: Singles, side_m: float, spacing_m: float, min_posts: int = 5) -> Singles:
    """Standard deviation of the heights in a square around each post, `min_posts` a side at least."""
    side = count_odd_posts(side_m, spacing_m, min_posts)
    mean = cv2.blur(heights_m, (side, side))
    squares = cv2.blur(heights_m * heights_m, (side, side))
    return np.sqrt(np.maximum(squares - mean * mean, np.float32(0.0))).astype(np.float32)
