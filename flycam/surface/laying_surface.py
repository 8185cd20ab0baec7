"""Laying surface: heights to orthorectify on, exact where images support them.

Stereo on leaves is rough, and an image that is orthorectified on rough heights is torn: a metre of height
moves it by tan(off nadir) metres, and where neighbouring posts move it differently crowns are smeared. A DSM
may be rough; the heights under an orthophoto must not be rougher than its images bear, which can be
measured: orthorectified on correct heights they are alike in every leaf, and on guesses they are not
(`plane_sweep.compute_likeness`: houses, roads, fields 0.5 … 0.9; forest 0 … 0.3). So each height is weighted
by how far its surroundings bend the image against what the likeness there allows, and a smooth surface is
fitted to the heights by their weights: exact on houses, slides and open ground, a gentle hull over crowns.

Then the resulting orthophoto is evaluated, window by window (`relief_displacement`). Where it would be bent,
heights yield: noise of firm ground is smoothed between its steps, heights that images do not support are
dropped, until the window is intact; where it stays bent all the same (a wall, a bank) they are kept.

Factors were chosen on Toledo and Brighton Beach (shared data) and two synthetic flights (seeds 21, 22);
those of yielding on Toledo.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.relief_displacement import MAX_BEND_PX
from flycam.surface.nadir_views import NadirViews
from flycam.surface.post_grid import count_odd_posts

Bools = NDArray[np.bool_]
Singles = NDArray[np.float32]

# Sides of the squares in which heights are compared with a plane, and that a piece of firm ground must hold.
_PLANE_M, _PIECE_M = 4.5, 6.0
# Bend of the image (px, RMS) allowed per unit of likeness above the least, and the sharpness of that bound.
_MIN_LIKENESS, _PX_PER_LIKENESS, _STEEPNESS = 0.35, 48.0, 6
# Two views agree on any height.
_MIN_VIEWS = 3
_MIN_FIRM_WEIGHT = 0.5
# Weights of heights that are not firm, over their variance in the image (px²), and of the terrain's.
_LOOSE, _BARE = 1e-4, 1e-8
_MIN_BEND = np.float32(0.5)
# A larger difference in height is another object, and is not smoothed.
_STEP_M, _EVENINGS = 0.7, 3
# A height that bends the image is kept where the images orthorectified on it are at least this alike.
_SURE_LIKENESS = 0.55
# A mountainside moves images as a whole: heights over this many windows are a trend, not a bend.
_TREND_WINDOWS = 8
_ROUNDS = 6
# Lens and tilt bend a window too: half of the bound is left to them.
_MAX_BEND_PX = 0.5 * MAX_BEND_PX
# Largest share of a bend that remains where yielding was of use.
_MAX_BEND_RATIO = 0.8


class SweepLikeness(Protocol):
    """Result of a sweep (see `refinement.Sweep`)."""

    @property
    def likeness(self) -> Singles: ...
    @property
    def views(self) -> NDArray[np.uint8]: ...


def fit_laying_surface(
    found: SweepLikeness, dz_m: Singles, sigma_m: Singles, ground_m: Singles, straight: NadirViews
) -> Singles:
    """Return heights to orthorectify on, over the ground (rows×cols, metres).

    dz_m      the flight's heights over ground_m
    sigma_m   of dz_m, NaN where the terrain is used
    straight  the nadir views of the posts

    NaN where dz_m is.
    """
    known = np.isfinite(dz_m)
    dz = np.where(known, dz_m, np.float32(0.0))
    weight = _weigh(found, dz + np.nan_to_num(ground_m), straight.px_per_m, straight.posts.spacing_m)
    sigma_px = sigma_m * np.maximum(straight.px_per_m, _MIN_BEND)
    own = np.isfinite(sigma_px)
    loose = np.minimum(_LOOSE / np.square(sigma_px, where=own, out=np.ones_like(sigma_px)), 1.0)
    weights = np.where(own, np.maximum(weight, loose), np.float32(_BARE))
    # only the terrain is known there
    weights[found.views < 2] = 1.0
    weights[~known] = 0.0
    firm = weight >= _MIN_FIRM_WEIGHT
    sure = (np.nan_to_num(found.likeness) >= _SURE_LIKENESS) & (found.views >= _MIN_VIEWS)
    # no image was compared: only the terrain is known
    sure |= found.views == 0
    laid = _flatten_bends(dz, weights.astype(np.float32), firm, sure, ground_m, straight)
    return np.where(known, laid, np.float32(np.nan))


def _flatten_bends(
    dz: Singles, weights: Singles, firm: Bools, sure: Bools, ground_m: Singles, straight: NadirViews
) -> Singles:
    """Fit a smooth surface to dz by weights, without bends that serve no purpose."""
    gone = np.minimum(weights, np.float32(_BARE))
    trend_weights = np.sign(weights) * np.float32((_TREND_WINDOWS * straight.side) ** -2.0)

    def bends(laid: Singles) -> Singles:
        trend = extend_smoothly(laid, trend_weights)
        return straight.bends_px(
            np.where(weights > 0.0, ground_m + laid, np.float32(np.nan)), ground_m + trend
        )

    before = bends(extend_smoothly(dz, weights))
    even = _evened(dz, straight.side)
    noisy = (before > _MAX_BEND_PX) & (bends(extend_smoothly(even, weights)) <= _MAX_BEND_RATIO * before)
    share = (straight.spread_to_posts(noisy) & firm).astype(np.float32)
    share = np.minimum(2.0 * cv2.GaussianBlur(share, (0, 0), straight.side / 4.0), 1.0)
    dz = np.asarray(dz + (even - dz) * share, np.float32)
    given = weights
    laid = extend_smoothly(dz, given)
    for _ in range(_ROUNDS):
        bent = bends(laid)
        torn = bent > _MAX_BEND_PX
        around = cv2.dilate(torn.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        goes = (straight.spread_to_posts(torn) | (straight.spread_to_posts(around) & ~firm)) & ~sure
        less = np.where(goes, gone, given)
        if np.array_equal(less, given):
            break
        given, laid = less, extend_smoothly(dz, less)
    else:
        bent = bends(laid)
    in_vain = straight.spread_to_posts((bent > _MAX_BEND_PX) & (bent > _MAX_BEND_RATIO * before))
    return extend_smoothly(dz, np.where(in_vain, weights, given))


def _evened(dz: Singles, side: int) -> Singles:
    """Remove noise from heights and keep steps.

    Bilateral filter of Tomasi and Manduchi, ICCV 1998.
    """
    for _ in range(_EVENINGS):
        dz = np.asarray(cv2.bilateralFilter(dz, 2 * (side // 2) + 1, _STEP_M, side / 3.0), np.float32)
    return dz


def _weigh(found: SweepLikeness, height_m: Singles, bend_px_per_m: Singles, spacing_m: float) -> Singles:
    """Return the firmness of each height, 0 … 1 (rows×cols)."""
    bent_px = compute_plane_residuals(height_m, count_odd_posts(_PLANE_M, spacing_m)) * bend_px_per_m
    above = np.maximum(np.nan_to_num(found.likeness) - np.float32(_MIN_LIKENESS), np.float32(1e-4))
    firm = 1.0 / (1.0 + (bent_px / (_PX_PER_LIKENESS * above)) ** _STEEPNESS)
    firm = np.where(found.views >= _MIN_VIEWS, firm, 0.0).astype(np.float32)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (count_odd_posts(_PIECE_M, spacing_m),) * 2)
    return np.asarray(cv2.morphologyEx(firm, cv2.MORPH_OPEN, disc), np.float32)


def compute_plane_residuals(height_m: Singles, side: int) -> Singles:
    """Return the RMS of the heights from their best-fitting plane.

    rows×cols, metres. In the square of `side` posts around each: the variance less its linear parts to
    east and north.
    """
    step = np.arange(side, dtype=np.float32) - np.float32(side // 2)
    flat, slope = np.full(side, 1.0 / side, np.float32), step / np.float32(side)
    heights = height_m - np.float32(np.mean(height_m))

    def over(grid: Singles, across: Singles, down: Singles) -> Singles:
        return np.asarray(cv2.sepFilter2D(grid, cv2.CV_32F, across, down, borderType=cv2.BORDER_REFLECT_101))

    mean, squares = over(heights, flat, flat), over(heights * heights, flat, flat)
    east, north = over(heights, slope, flat), over(heights, flat, slope)
    left = squares - mean * mean - (east * east + north * north) / np.mean(step * step)
    return np.asarray(np.sqrt(np.maximum(left, 0.0)), np.float32)


def extend_smoothly(values: Singles, weights: Singles) -> Singles:
    """Extend values of weight 1 smoothly to where the weight is less.

    Weights of a neighbourhood add up, level by level, until they are 1 (pull-push of Gortler et al., The
    Lumigraph, SIGGRAPH 1996).
    """
    sums, shares = [values * weights], [weights]
    while min(shares[-1].shape) > 1:
        total, share = (4.0 * cv2.pyrDown(grid[-1]) for grid in (sums, shares))
        full = np.maximum(share, np.float32(1.0))
        sums.append(total / full)
        shares.append(share / full)
    filled = sums[-1] / np.maximum(shares[-1], 1e-12)
    for total, share in zip(reversed(sums[:-1]), reversed(shares[:-1]), strict=True):
        filled = total + (1.0 - share) * cv2.resize(filled, total.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(filled, np.float32)
