"""Selection of observations, triangulation, and resection of photos.

Observations are selected by triangulation, parallax, heights and residuals. Everything is decided anew each
round from all observations, so that those rejected under poor poses return under good ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import compute_ray_directions
from flycam.geometry.features import Features, find_features, match_all_mutual_best, rotate_descriptors
from flycam.geometry.pose import ExteriorOrientation, to_mat3
from flycam.geometry.projection import apply_lens_vector
from flycam.geometry.terrain import TerrainGrid
from flycam.mosaic.adjustment.block import (
    AdjustmentProblem,
    AdjustOptions,
    Bools,
    Floats,
    Observations,
    Unknowns,
    split_chunks,
)
from flycam.mosaic.adjustment.matching import MatchView, compute_north_deg, compute_unit_rays, make_match_view
from flycam.mosaic.adjustment.normal_equations import (
    HeightPrior,
    cauchy,
    compute_image_residuals,
    estimate_robust_sigma,
    linearise_points,
)

# -- Resection of photos without ties at their recorded pose, on neighbours' ground ----------------
#
# A wrong heading in a table, a jump of the receiver's position, a stuck gimbal: the image shows the same as
# its neighbours, only elsewhere than matching searches. Its strongest features are compared at all rotations
# with those of every photo that may be a neighbour; all of its features then with those that show most of it.
# Common features are on ground that the neighbours' poses give, and that gives the photo's own pose. Pair
# matching then verifies it, as any other photo.
#
# Sources: Gao et al., PAMI 25(8), 2003 (pose from three points, in RANSAC); Kraus, Photogrammetry, 2007, 4.2
# (resection).


Bytes = NDArray[np.uint8]

_FIRST_LOOK, _SEARCHED = 500, 2000
"""Strongest features compared: with all that may be neighbours, and with those that show most of it."""
_AROUND = 6
_WITHIN_QUARTER = 4
"""Rotations tried within a quarter turn: upright descriptors tolerate half such a step, 11°."""
_MIN_POINTS = 20
_MIN_SHARE = 0.25
_REACH_SIGMAS, _MIN_REACH = 3.0, 0.02
"""Tolerance of the neighbours' ground: sigmas of their poses, and at least this share of flying height."""
_ROUNDS = 2000


def resect_view(
    view: MatchView, candidates: Sequence[MatchView], pixels: Bytes, terrain: TerrainGrid
) -> tuple[MatchView, list[MatchView]] | None:
    """Return the view with the pose that surrounding photos give, and these; None where they give none.

    candidates  photos that may show the same ground; the six that have most in common with it are used
    pixels      the photo, H×W×3 uint8 RGB
    """
    turned = _at_turns(view, pixels)
    # rotations × candidates
    common = np.array([[len(_match(one, other, _FIRST_LOOK)[0]) for other in candidates] for one in turned])
    most = np.argsort(-common, axis=1, kind="stable")[:, :_AROUND]
    best = int(np.take_along_axis(common, most, axis=1).sum(axis=1).argmax())
    around = [candidates[k] for k in most[best]]
    exterior = _resection(view, around, *_common(turned[best], around))
    if exterior is None:
        return None
    frame = replace(view.frame, exterior=exterior)
    features = find_features(pixels, max_features=len(view.features), up_deg=compute_north_deg(frame))
    return make_match_view(frame, features, terrain), around


def compute_corrections(recorded: ExteriorOrientation, found: ExteriorOrientation) -> tuple[float, float]:
    """Return the distance (metres) and rotation (radians) between two poses."""
    moved = np.subtract(found.projection_centre_m, recorded.projection_centre_m)
    turn = np.asarray(found.rotation) @ np.asarray(recorded.rotation).T
    return float(np.linalg.norm(moved)), float(np.arccos(np.clip((np.trace(turn) - 1.0) / 2.0, -1.0, 1.0)))


def _at_turns(view: MatchView, pixels: Bytes) -> list[Features]:
    """Return the strongest features with descriptors at every rotation.

    First as they are.
    """
    up_deg = compute_north_deg(view.frame) or 0.0
    steps = [up_deg + 90.0 * k / _WITHIN_QUARTER for k in range(1, _WITHIN_QUARTER)]
    found = [view.features, *(find_features(pixels, max_features=_SEARCHED, up_deg=at) for at in steps)]
    return [
        Features(
            uv_px=one.uv_px[:_SEARCHED],
            size_px=one.size_px[:_SEARCHED],
            descriptor=rotate_descriptors(one.descriptor[:_SEARCHED], quarters),
        )
        for quarters in range(4)
        for one in found
    ]


def _match(features: Features, other: MatchView, strongest: int) -> tuple[NDArray[np.int64], ...]:
    """Return features (i, j) that are alike, among so many of either."""
    return match_all_mutual_best(
        features.descriptor[:strongest], other.features.descriptor[:strongest], ratio=0.8
    )


def _common(features: Features, around: Sequence[MatchView]) -> tuple[Floats, Floats]:
    """Return pixels N×2 that surrounding photos show too, and their ground N×3.

    The ground is metric.
    """
    uv, ground = [np.empty((0, 2))], [np.empty((0, 3))]
    for other in around:
        i, j = _match(features, other, _SEARCHED)
        known = np.isfinite(other.ground[j]).all(axis=1)
        uv.append(features.uv_px[i[known]])
        ground.append(other.ground[j[known]])
    return np.concatenate(uv), np.concatenate(ground)


def _resection(
    view: MatchView, around: Sequence[MatchView], uv: Floats, ground: Floats
) -> ExteriorOrientation | None:
    """Estimate the pose that shows ground N×3 (metric) at pixels N×2.

    Its sigmas are from the neighbours' poses and the misfit; None where fewer than 20 and a quarter of the
    points agree on a pose above the ground.
    """
    rays = compute_unit_rays(view.frame, uv)
    ahead = rays[:, 2] > 0.1
    rays, ground = rays[ahead], ground[ahead]
    if len(rays) < _MIN_POINTS:
        return None
    height_m = float(np.median([one.height_m for one in around]))
    sigma_m = float(np.median([one.ground_sigma_m for one in around]))
    reach = max(_REACH_SIGMAS * sigma_m / height_m, _MIN_REACH)
    origin, seen = ground.mean(axis=0), rays[:, :2] / rays[:, 2:]
    found, turn, shift, agree = cv2.solvePnPRansac(
        ground - origin, seen, np.eye(3), None, iterationsCount=_ROUNDS, reprojectionError=reach,
        confidence=0.999, flags=cv2.SOLVEPNP_AP3P,
    )  # fmt: skip
    if not found or agree is None or len(agree) < max(_MIN_POINTS, _MIN_SHARE * len(rays)):
        return None
    rows = agree.reshape(-1)
    turn, shift = cv2.solvePnPRefineLM((ground - origin)[rows], seen[rows], np.eye(3), None, turn, shift)
    rotation = cv2.Rodrigues(turn)[0]
    centre = origin - rotation.T @ shift.reshape(3)
    if centre[2] <= np.median(ground[rows, 2]):
        return None
    shown = cv2.projectPoints((ground - origin)[rows], turn, shift, np.eye(3), None)[0].reshape(-1, 2)
    misfit = float(np.sqrt(np.square(shown - seen[rows]).sum(axis=1).mean()))
    before = view.frame.exterior
    position = np.median([one.frame.exterior.sigma_position_m for one in around], axis=0)
    east, north, up = (float(one) for one in np.hypot(position, misfit * height_m))
    x, y, z = (float(one) for one in np.hypot(before.sigma_attitude_rad, misfit))
    return replace(
        before,
        projection_centre_m=(float(centre[0]), float(centre[1]), float(centre[2]) / before.grid_scale),
        rotation=to_mat3(rotation),
        sigma_position_m=(east, north, up),
        sigma_attitude_rad=(x, y, z),
    )


# -- Robust triangulation of points from their rays, with fixed poses ------------------------------
#
# Start: least squares of the distances from the rays (midpoint method), with Cauchy weights; then
# Gauss-Newton on the image residuals. Sources: Hartley and Sturm, Triangulation, CVIU 68(2), 1997.


_MIDPOINT_ROUNDS = 5
_NEWTON_ROUNDS = 6
_BEND = 2.0
# Share of the distance to the camera.
_MAX_STEP = 0.3
_STILL = 1e-7


@dataclass(frozen=True, kw_only=True, slots=True)
class TriangulatedPoints:
    """Triangulated points and their parallax.

    point     P×3, NaN where no two rays meet in front of their cameras
    parallax  P, the widest angle between a ray and the mean of its track's rays, doubled, in radians
    """

    point: Floats
    parallax: Floats


def triangulate(
    problem: AdjustmentProblem, unknowns: Unknowns, seen: Observations, *, refine: bool
) -> TriangulatedPoints:
    """Triangulate the points of `seen`; others are NaN.

    refine: minimise image residuals, not only distances.
    """
    result = TriangulatedPoints(point=np.full((problem.points, 3), np.nan), parallax=np.zeros(problem.points))
    for part in split_chunks(seen):
        _place(problem, unknowns, seen.take(part), refine, result)
    return result


def _place(
    problem: AdjustmentProblem,
    unknowns: Unknowns,
    seen: Observations,
    refine: bool,
    result: TriangulatedPoints,
) -> None:
    """Triangulate the points of one chunk."""
    starts = seen.starts
    ids = seen.point[starts]
    owner = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(seen)]))
    ray = compute_world_rays(problem, unknowns, seen)
    centre = unknowns.centre[seen.frame]
    if problem.frames.rolling:
        centre = centre + problem.frames.velocity[seen.frame] * seen.after[:, None]
    # an observation that the lens cannot produce neither determines a point nor rejects it
    known = find_finite_rows(ray)
    mean: Floats = np.add.reduceat(np.where(known[:, None], ray, 0.0), starts)
    mean /= np.maximum(np.linalg.norm(mean, axis=-1, keepdims=True), 1e-12)
    cosine = np.where(known, np.einsum("ni,ni->n", ray, mean[owner]), 1.0)
    result.parallax[ids] = 2.0 * np.maximum.reduceat(np.arccos(np.clip(cosine, -1.0, 1.0)), starts)
    result.point[ids] = _midpoints(ray, centre, starts, owner)
    if refine:
        result.point[ids] = _refined(problem, unknowns, seen, result.point, starts)
    before = np.einsum("ni,ni->n", result.point[seen.point] - centre, ray) > 0.0
    lost = np.add.reduceat((known & ~before).astype(np.int64), starts) > 0
    result.point[ids[lost]] = np.nan


def compute_world_rays(problem: AdjustmentProblem, unknowns: Unknowns, seen: Observations) -> Floats:
    """Return unit directions N×3 of the observations in world axes.

    NaN outside what the lens can produce.
    """
    camera = problem.frames.camera[seen.frame]
    direction = np.empty((len(seen), 3))
    for number, interior in enumerate(problem.cameras):
        rows = camera == number
        lens = apply_lens_vector(interior, unknowns.lens[number])
        direction[rows] = np.stack(compute_ray_directions(lens, seen.uv[rows, 0], seen.uv[rows, 1]), axis=-1)
    if problem.frames.rolling:
        direction -= np.cross(unknowns.turn[seen.frame] * seen.after[:, None], direction)
    world = np.einsum("nji,nj->ni", unknowns.rotation[seen.frame], direction)
    world[:, 2] /= problem.frames.scale[seen.frame]
    unit: Floats = world / np.linalg.norm(world, axis=-1, keepdims=True)
    return unit


def _midpoints(ray: Floats, centre: Floats, starts: NDArray[np.int64], owner: NDArray[np.int64]) -> Floats:
    """Return points with the least reweighted squared distances from their rays."""
    good = find_finite_rows(ray)
    across: Floats = np.eye(3) - ray[:, :, None] * ray[:, None, :]
    across[~good] = 0.0
    # slight regularisation, so that parallel rays give a far point and not an error
    hair = 1e-9 * np.eye(3)
    local: Floats = centre - centre[starts][owner]
    weight = good.astype(np.float64)
    place: Floats = np.zeros((len(starts), 3))
    for _ in range(_MIDPOINT_ROUNDS):
        weighted = across * weight[:, None, None]
        right: Floats = np.add.reduceat(np.einsum("nij,nj->ni", weighted, local), starts)
        matrix: Floats = np.add.reduceat(weighted, starts)
        place = np.asarray(np.linalg.solve(matrix + hair, right[..., None])[..., 0])
        gap = np.einsum("nij,nj->ni", across, place[owner] - local)
        reach = np.maximum(np.einsum("ni,ni->n", ray, place[owner] - local), 1e-3)
        angle = np.where(good, np.linalg.norm(gap, axis=-1) / np.where(good, reach, 1.0), 0.0)
        bend = _BEND * max(estimate_robust_sigma(angle[good]), 1e-6)
        weight = np.where(good, cauchy(angle * angle, bend).weight, 0.0)
    return place + centre[starts]


def _refined(
    problem: AdjustmentProblem,
    unknowns: Unknowns,
    seen: Observations,
    point: Floats,
    starts: NDArray[np.int64],
) -> Floats:
    """Refine the points of `starts` by robust Gauss-Newton steps on image residuals.

    A few steps, for every point by itself.
    """
    ids = seen.point[starts]
    moved = point.copy()
    reach = np.linalg.norm(point[ids] - unknowns.centre[seen.frame[starts]], axis=-1)
    for _ in range(_NEWTON_ROUNDS):
        residual, jacobian = linearise_points(problem, replace(unknowns, point=moved), seen)
        scaled = np.sum(np.square(residual), axis=-1) / np.square(seen.sigma)
        known = np.isfinite(scaled)
        weight = np.where(known, cauchy(np.where(known, scaled, 0.0), 3.0).weight, 0.0) / np.square(
            seen.sigma
        )
        jacobian[~known] = 0.0
        residual[~known] = 0.0
        turned = jacobian.transpose(0, 2, 1) * weight[:, None, None]
        matrix: Floats = np.add.reduceat(turned @ jacobian, starts)
        diagonal = np.trace(matrix, axis1=1, axis2=2) * 1e-9 + 1e-12
        matrix[:, range(3), range(3)] += diagonal[:, None]
        right: Floats = np.add.reduceat(np.einsum("nij,nj->ni", turned, residual), starts)
        step = -np.linalg.solve(matrix, right[..., None])[..., 0]
        length = np.linalg.norm(step, axis=-1)
        step *= np.minimum(1.0, _MAX_STEP * reach / np.maximum(length, 1e-12))[:, None]
        moved[ids] += step
        if not (length > _STILL * reach).any():
            break
    refined: Floats = moved[ids]
    return refined


def compute_residuals_at(
    problem: AdjustmentProblem, unknowns: Unknowns, point: Floats, seen: Observations
) -> Floats:
    """Return image residuals N×2 of other points than the unknowns' own."""
    return compute_image_residuals(problem, replace(unknowns, point=point), seen)


def find_finite_rows(array: Floats) -> Bools:
    """Return True for rows of N×k without NaN or infinity, N."""
    return np.asarray(np.isfinite(array).all(axis=-1))


# -- Selection of observations ---------------------------------------------------------------------


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
