"""Selection of observations, by triangulation, parallax, heights and residuals.

Everything is decided anew each round from all observations, so that those rejected under poor poses return
under good ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flycam.adjust.block import Floats
from flycam.adjust.height_prior import HeightPrior
from flycam.adjust.options import AdjustOptions
from flycam.adjust.problem import AdjustmentProblem, Bools, Observations
from flycam.adjust.reprojection import compute_image_residuals
from flycam.adjust.robust_loss import estimate_robust_sigma
from flycam.adjust.triangulation import TriangulatedPoints, compute_residuals_at, triangulate
from flycam.adjust.unknowns import Unknowns

# Lower bound: a matcher's sigma may be somewhat too cautious, but not by more than this.
MIN_IMAGE_FACTOR = 0.2
# A Gaussian point of unit sigma is farther out than this once in 3,000.
_INNER_SIGMAS = 4.0
# Heights over the terrain are possible within these sigmas of it, at least these metres, and above it plus
# this many times the canopy's sigma.
_HEIGHT_SIGMAS = 10.0
_MIN_HEIGHT_M = 30.0
_CANOPY_TIMES = 6.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ObservationSelection:
    """Observations that take part, and unknowns with their points triangulated.

    Other points are NaN.
    """

    seen: Observations
    unknowns: Unknowns


def select_held_out_tracks(tracks: int, share: float) -> Bools:
    """Return flags of the held-out tracks, by a hash of their number.

    The same in every run. The mixer is Knuth's multiplicative hash with two xor-shifts, enough to break any
    pattern of numbering.
    """
    x = np.arange(tracks, dtype=np.uint64) + np.uint64(0x9E3779B9)
    for _ in range(2):
        x = ((x ^ (x >> np.uint64(16))) * np.uint64(0x45D9F3B)) & np.uint64(0xFFFFFFFF)
    return np.asarray((x ^ (x >> np.uint64(16))).astype(np.float64) < share * 2.0**32)


def select_observations(
    problem: AdjustmentProblem,
    unknowns: Unknowns,
    candidates: Observations,
    heights: HeightPrior | None,
    options: AdjustOptions,
    limit_px: float,
    *,
    by_frame: bool = False,
) -> ObservationSelection:
    """Select observations within limit_px of triangulated points.

    The limit is in units of their sigma relative to the median one. The worst observation of a track goes
    first and its point is triangulated again, twice; then all beyond the limit go. limit_px may be inf:
    only geometry decides. by_frame: a frame all of whose residuals are large (its pose is wrong, not its
    ties) has a limit as much wider.
    """
    seen, bounded = candidates, bool(np.isfinite(limit_px))
    typical = float(np.median(candidates.sigma)) if len(candidates) else 1.0
    placed = triangulate(problem, unknowns, seen, refine=bounded)
    for attempt in range(3 if bounded else 1):
        good = _placeable(problem, unknowns, placed.point, placed.parallax, heights, options)
        keep = good[seen.point]
        if bounded:
            residual = compute_residuals_at(problem, unknowns, placed.point, seen)
            off = np.linalg.norm(residual, axis=-1) * typical / seen.sigma
            off = np.where(np.isfinite(off), off, np.inf)
            wild = off > limit_px * (_widening(seen, off) if by_frame else 1.0)
            if attempt < 2:
                wild &= off >= _worst(seen, off, problem.points)[seen.point]
                # a track that cannot be triangulated with its outlier may be without it
                keep |= np.bincount(seen.point[wild], minlength=problem.points)[seen.point] > 0
            keep &= ~wild
        keep &= np.bincount(seen.point[keep], minlength=problem.points)[seen.point] >= 2
        if keep.all():
            break
        less = np.bincount(seen.point[~keep], minlength=problem.points) > 0
        seen = seen.take(keep)
        _place_again(problem, unknowns, seen.take(less[seen.point]), placed, refine=bounded)
    good = _placeable(problem, unknowns, placed.point, placed.parallax, heights, options)
    seen = seen.take(good[seen.point])
    point = np.full_like(placed.point, np.nan)
    ids = np.unique(seen.point)
    point[ids] = placed.point[ids]
    return ObservationSelection(seen=seen, unknowns=replace(unknowns, point=point))


def _place_again(
    problem: AdjustmentProblem,
    unknowns: Unknowns,
    seen: Observations,
    placed: TriangulatedPoints,
    *,
    refine: bool,
) -> None:
    """Triangulate again the points that lost an observation, in `placed`."""
    again, ids = triangulate(problem, unknowns, seen, refine=refine), np.unique(seen.point)
    placed.point[ids], placed.parallax[ids] = again.point[ids], again.parallax[ids]


def estimate_image_factor(
    problem: AdjustmentProblem, unknowns: Unknowns, seen: Observations, frames: int
) -> float:
    """Estimate the robust factor of image residuals over their sigmas.

    Degrees of freedom are accounted for.
    """
    residual = compute_image_residuals(problem, unknowns, seen) / seen.sigma[:, None]
    observations = 2 * len(seen)
    unknown = 3 * len(np.unique(seen.point)) + problem.frames.unknowns * frames
    # pose priors determine part of the frames' unknowns; counting all would be too pessimistic with few ties
    redundancy = max((observations - unknown) / max(observations, 1), 0.15)
    # the median of residuals is too small where short tracks leave some coordinates without any freedom, so
    # it only separates blunders; the squares of the other residuals are counted
    length = np.linalg.norm(residual, axis=-1)
    inner = residual[
        length <= _INNER_SIGMAS * max(estimate_robust_sigma(residual, redundancy), MIN_IMAGE_FACTOR)
    ]
    square = float(np.mean(inner**2)) if inner.size else 1.0
    return max(float(np.sqrt(square / redundancy)), MIN_IMAGE_FACTOR)


def _placeable(
    problem: AdjustmentProblem,
    unknowns: Unknowns,
    point: Floats,
    parallax: Floats,
    heights: HeightPrior | None,
    options: AdjustOptions,
) -> Bools:
    good = np.isfinite(point).all(axis=-1) & (parallax >= np.radians(options.min_parallax_deg))
    good[problem.tracks :] |= np.isfinite(point[problem.tracks :]).all(axis=-1)
    if heights is None:
        return np.asarray(good)
    with np.errstate(invalid="ignore"):
        above = heights.residuals(point, unknowns.dem) * heights.sigma_m
    reach = max(_HEIGHT_SIGMAS * heights.prior.sigma_height_m, _MIN_HEIGHT_M)
    possible = (above > -reach) & (above < reach + _CANOPY_TIMES * heights.prior.canopy_m)
    tie = np.arange(len(point)) < problem.tracks
    return np.asarray(good & (possible | ~np.isfinite(above) | ~tie))


def _widening(seen: Observations, off: Floats) -> Floats:
    """Return the ratio of each observation's frame residuals to typical ones.

    N, at least 1.
    """
    # more than half may not project: then no frame is better than another
    known = off[np.isfinite(off)]
    typical = float(np.median(known)) if known.size else 1.0
    order = np.lexsort((off, seen.frame))
    count = np.bincount(seen.frame)
    last = np.cumsum(count)
    middle = np.minimum(last - count + count // 2, len(seen) - 1)
    median = off[order][middle]
    ratio = np.where(np.isfinite(median), median, typical) / max(typical, 1e-9)
    return np.asarray(np.maximum(ratio, 1.0)[seen.frame])


def _worst(seen: Observations, off: Floats, points: int) -> Floats:
    worst = np.zeros(points)
    np.maximum.at(worst, seen.point, off)
    return worst
