"""Matching of one pair of frames in two passes, and relative poses.

First pass: strong features only, within the error of the priors on the ground. The consistent matches give
the relative pose. Second pass: every feature, in a narrow band along its epipolar line, as long as the
tolerance of ground heights over the terrain. Matches whose rays do not meet, or meet at an impossible height,
are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import splu

from flycam.geometry.camera import (
    compute_ray_directions,
    compute_viewing_rays,
    is_rolling,
    transform_to_camera,
)
from flycam.geometry.features import (
    Features,
    compute_search_scale,
    find_close_pairs,
    match_all_mutual_best,
    match_mutual_best,
)
from flycam.geometry.pose import ExteriorOrientation, rotation_from_angle_axis
from flycam.geometry.terrain import TerrainGrid, cast_rays, interpolate_heights_en
from flycam.messages import Message, _
from flycam.mosaic.adjustment.block import BlockFrame

# -- Relative poses from matches by the epipolar condition, with pose priors -----------------------
#
# Points are not solved for. The residual of a match is the distance by which its two rays miss each other, in
# pixels (Sampson's first-order distance, on the sphere of directions, so that it holds for every lens). It is
# minimised over the poses, each with its prior: in a flat scene or over a short base, which leave an
# essential matrix undetermined, the prior decides.
#
# World coordinates here are metric: (east, north, height · grid_scale), so that rotations act on rays
# exactly.
#
# Sources: Hartley and Zisserman, Multiple View Geometry, 2004, 11.4.3 (Sampson); Geman and McClure 1987 with
# graduated non-convexity (Blake and Zisserman 1987).


Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class PosesWithPriors:
    """Poses of F frames in metric world axes with the information of their priors.

    centre    F×3 metres
    rotation  F×3×3 world to camera
    position_information  F×3, 1/sigma² of (east, north, up)
    attitude_information  F×3×3, inverse covariance of a small rotation about world axes
    """

    centre: Floats
    rotation: Floats
    position_information: Floats
    attitude_information: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class RayMatches:
    """N matches as rays of two frames.

    a, b              frames (indices into PosesWithPriors)
    ray_a, ray_b      N×3 unit, in camera axes
    focal_a, focal_b  pixels a radian
    """

    a: Indices
    b: Indices
    ray_a: Floats
    ray_b: Floats
    focal_a: Floats
    focal_b: Floats


def rotate_rays(rotation: Floats, rays: Floats) -> Floats:
    """Rotate rays N×3 from camera axes to world axes; rotation 3×3 or N×3×3."""
    if rotation.ndim == 2:
        turned: Floats = rays @ rotation
        return turned
    each: Floats = np.einsum("nji,nj->ni", rotation, rays)
    return each


def compute_sampson_distances(
    t: Floats, a: Floats, b: Floats, focal_a: Floats, focal_b: Floats
) -> tuple[Floats, Floats]:
    """Return Sampson distances N of rays in pixels, and their divisors N.

    a, b are rays N×3 (unit, world axes) over bases t (N×3); the divisor is that of the triple product
    t·(a×b).
    """
    bt, ta = np.cross(b, t), np.cross(t, a)
    triple = np.einsum("nk,nk->n", a, bt)
    across_a = np.maximum(np.einsum("nk,nk->n", bt, bt) - triple**2, 0.0)
    across_b = np.maximum(np.einsum("nk,nk->n", ta, ta) - triple**2, 0.0)
    divisor = np.sqrt(across_a / focal_a**2 + across_b / focal_b**2) + 1e-12
    return triple / divisor, divisor


def compute_match_distances(poses: PosesWithPriors, matches: RayMatches) -> Floats:
    """Return signed Sampson distances N in pixels of all matches."""
    a = rotate_rays(poses.rotation[matches.a], matches.ray_a)
    b = rotate_rays(poses.rotation[matches.b], matches.ray_b)
    t = poses.centre[matches.b] - poses.centre[matches.a]
    return compute_sampson_distances(t, a, b, matches.focal_a, matches.focal_b)[0]


def refine_poses(
    poses: PosesWithPriors, matches: RayMatches, scales_px: tuple[float, ...]
) -> PosesWithPriors:
    """Refine poses so that the matches' rays meet, with their priors.

    One Gauss-Newton step for each robust scale; scales fall from the size of the priors' errors to that
    of the matches' (graduated non-convexity). One pass over all frames at once, so that a pair and a
    whole block are the same call.
    """
    frames = len(poses.centre)
    prior_centre, moved = poses.centre, np.zeros((frames, 6))
    centre, rotation = poses.centre.copy(), poses.rotation.copy()
    prior = _prior_information(poses)
    for scale in scales_px:
        a = rotate_rays(rotation[matches.a], matches.ray_a)
        b = rotate_rays(rotation[matches.b], matches.ray_b)
        t = centre[matches.b] - centre[matches.a]
        miss, divisor = compute_sampson_distances(t, a, b, matches.focal_a, matches.focal_b)
        # e = t · (a × b); a rotation d of frame a moves its ray by d × a, of frame b by d × b
        # the change of the base's length is removed: otherwise the base would shrink to zero
        cross, length2 = np.cross(a, b), np.einsum("nk,nk->n", t, t)
        cross = cross - t * (np.einsum("nk,nk->n", cross, t) / np.maximum(length2, _NO_BASE_M2))[:, None]
        turn_a, turn_b = np.cross(a, np.cross(b, t)), np.cross(b, np.cross(t, a))
        jacobian = np.concatenate([turn_a, -cross, turn_b, cross], axis=1) / divisor[:, None]
        weight = (scale**2 / (scale**2 + miss**2)) ** 2 / _SIGMA_PX**2
        step = _solve(frames, matches, jacobian, weight, miss, prior, moved)
        moved += step
        rotation = rotation @ np.swapaxes(rotation_from_angle_axis(step[:, :3]), -1, -2)
        centre = prior_centre + moved[:, 3:]
    return PosesWithPriors(
        centre=centre,
        rotation=rotation,
        position_information=poses.position_information,
        attitude_information=poses.attitude_information,
    )


_SIGMA_PX = 1.0
# Floor of a squared base, for two frames from one place.
_NO_BASE_M2 = 1e-12
_DENSE_FRAMES = 40


def _prior_information(poses: PosesWithPriors) -> Floats:
    frames = len(poses.centre)
    information = np.zeros((frames, 6, 6))
    information[:, :3, :3] = poses.attitude_information
    information[:, [3, 4, 5], [3, 4, 5]] = poses.position_information
    return information


def _solve(
    frames: int,
    matches: RayMatches,
    jacobian: Floats,
    weight: Floats,
    miss: Floats,
    prior: Floats,
    moved: Floats,
) -> Floats:
    """Solve the normal equations for a step F×6.

    Dense for a few frames, sparse for a block.
    """
    column = np.concatenate(
        [6 * matches.a[:, None] + np.arange(6), 6 * matches.b[:, None] + np.arange(6)], axis=1
    )
    row = np.repeat(np.arange(len(miss)), 12)
    shape = len(miss), 6 * frames
    pull = -np.einsum("fij,fj->fi", prior, moved).reshape(-1)
    if frames <= _DENSE_FRAMES:
        full = np.zeros(shape)
        full[row, column.reshape(-1)] = jacobian.reshape(-1)
        normal = (full * weight[:, None]).T @ full
        for k in range(frames):
            normal[6 * k : 6 * k + 6, 6 * k : 6 * k + 6] += prior[k]
        right = pull - full.T @ (weight * miss)
        return np.linalg.solve(normal, right).reshape(frames, 6)
    design = coo_array((jacobian.reshape(-1), (row, column.reshape(-1))), shape=shape).tocsr()
    at = 6 * np.arange(frames)[:, None, None] + np.arange(6)
    rows, cols = np.broadcast_arrays(np.swapaxes(at, -1, -2), at)
    priors = coo_array((prior.reshape(-1), (rows.reshape(-1), cols.reshape(-1))), shape=(shape[1], shape[1]))
    normal = (design.T @ diags_array(weight) @ design + priors).tocsc()
    right = pull - design.T @ (weight * miss)
    step: Floats = splu(normal).solve(right).reshape(frames, 6)
    return step


def intersect_rays(ca: Floats, a: Floats, cb: Floats, b: Floats) -> Floats:
    """Return points N×3 nearest to both of two rays; NaN if parallel.

    Centres 3 or N×3, directions N×3.
    """
    t = cb - ca
    ab = np.einsum("nk,nk->n", a, b)
    ta, tb = np.einsum("...k,nk->n", t, a), np.einsum("...k,nk->n", t, b)
    with np.errstate(divide="ignore", invalid="ignore"):
        sa = (ta - tb * ab) / (1.0 - ab * ab)
        sb = (ta * ab - tb) / (1.0 - ab * ab)
    points = 0.5 * (ca + a * sa[:, None] + cb + b * sb[:, None])
    return np.where(((sa > 0.0) & (sb > 0.0) & (ab < 1.0 - 1e-9))[:, None], points, np.nan)


# -- Matching input: a frame's features, their rays, and their ground by the prior pose ------------


# With a larger sigma of yaw, descriptors are not taken upright.
_UNSURE_YAW_RAD = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchView:
    """One frame prepared for matching.

    Metric axes as in `PosesWithPriors` (heights times grid_scale).

    centre      3
    rotation    3×3 world to camera
    rays        N×3 unit, camera axes; of a rolling shutter those at the middle row's time
    ground      N×3 metric, NaN where the terrain is not known
    focal_px    pixels a radian near the axis
    unit_px     size of a searched pixel in full-size pixels: the unit of localisation errors
    ground_sigma_m  1-sigma error of a ground point by the prior
    """

    frame: BlockFrame
    features: Features
    centre: Floats
    rotation: Floats
    rays: Floats
    ground: Floats
    focal_px: float
    unit_px: float
    ground_sigma_m: float
    height_m: float


def make_match_view(frame: BlockFrame, features: Features, terrain: TerrainGrid) -> MatchView:
    """Compute rays and ground points of a frame's features."""
    exterior = frame.exterior
    scale = exterior.grid_scale
    rotation = np.asarray(exterior.rotation)
    rays = compute_unit_rays(frame, features.uv_px)
    origins, along = compute_viewing_rays(frame.interior, exterior, features.uv_px)
    sighted = np.flatnonzero(np.isfinite(along).all(axis=1))
    ground = np.full((len(rays), 3), np.nan)
    if sighted.size:
        ground[sighted] = cast_rays(terrain, origins[sighted], along[sighted])
    if is_rolling(frame.interior, exterior):
        rays = _at_once(exterior, ground, rays)
    ground[:, 2] *= scale
    centre = np.array(exterior.projection_centre_m) * [1.0, 1.0, scale]
    seen = np.isfinite(ground[:, 2])
    height = float(centre[2] - np.median(ground[seen, 2])) if seen.any() else float("nan")
    tilt, turn = max(exterior.sigma_attitude_rad[:2]), exterior.sigma_attitude_rad[2]
    reach = np.hypot(*frame.interior.image_size_px) / 2.0 / _focal(frame) * height
    sigma = float(np.hypot(max(exterior.sigma_position_m[:2]), np.hypot(tilt * height, turn * reach / 2.0)))
    return MatchView(
        frame=frame,
        features=features,
        centre=centre,
        rotation=rotation,
        rays=rays,
        ground=ground,
        focal_px=_focal(frame),
        unit_px=compute_unit_px(frame),
        ground_sigma_m=sigma,
        height_m=height,
    )


def _at_once(exterior: ExteriorOrientation, ground: Floats, rays: Floats) -> Floats:
    """Return rays as if every row had been read with the middle one.

    Unchanged where no ground is known.
    """
    place = np.stack(transform_to_camera(exterior, *ground.T), axis=-1)
    unit = place / np.linalg.norm(place, axis=1, keepdims=True)
    return np.where(np.isfinite(unit), unit, rays)


def drop_descriptors(view: MatchView) -> MatchView:
    """Return the view without descriptors, once matched: they are most of its memory."""
    return replace(view, features=replace(view.features, descriptor=view.features.descriptor[:0].copy()))


def compute_unit_rays(frame: BlockFrame, uv: Floats) -> Floats:
    """Return unit directions N×3 in camera axes of image points N×2.

    NaN where the lens cannot produce them.
    """
    rays = np.stack(compute_ray_directions(frame.interior, uv[:, 0], uv[:, 1]), axis=-1)
    unit: Floats = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    return unit


def compute_unit_px(frame: BlockFrame) -> float:
    """Return the size of a searched pixel in full-size pixels, 1 at least.

    SIFT doubles the reduced image.
    """
    return max(1.0, 0.5 / compute_search_scale(frame.interior.image_size_px))


def compute_north_deg(frame: BlockFrame) -> float | None:
    """Return the direction of grid north at the image centre, degrees.

    Clockwise from the right; None if yaw is not known.
    """
    if frame.exterior.sigma_attitude_rad[2] > _UNSURE_YAW_RAD:
        return None
    x, y, __ = (row[1] for row in frame.exterior.rotation)
    return float(np.degrees(np.arctan2(y, x)))


def _focal(frame: BlockFrame) -> float:
    return float(np.mean(frame.interior.focal_length_px))


# -- Matching of a pair, in two passes -------------------------------------------------------------

Bools = NDArray[np.bool_]

# Strongest features of each frame in the first pass.
_FIRST = 1200
# With fewer matches near their predicted place, the whole image is searched.
_PLENTY = 40
# Reach of matches kept by an affine map, in units of the priors' reach.
_WIDER = 2.0
_MIN_MATCHES = 12
# Information of the pose that is held fixed.
_FIXED = 1e12
# Matches with a larger spread, in searched pixels, have no common geometry.
_BLURRED = 1.2
# Least share of the first matches at a possible height.
_MIN_PLAUSIBLE_SHARE = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class HeightTolerance:
    """Tolerance of ground heights over the terrain model, metres.

    A scar below; canopy, houses, masts above.
    """

    below_m: float = 15.0
    above_m: float = 45.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PairMatches:
    """Verified matches of a pair: feature i of one frame is feature j of the other.

    miss_px   signed epipolar distances
    sigma_px  their robust spread
    reason    why there are none
    """

    i: Indices
    j: Indices
    cosine: Floats
    miss_px: Floats
    sigma_px: float
    reason: Message | None = None


def _none(reason: Message) -> PairMatches:
    nothing = np.empty(0, dtype=np.int64)
    return PairMatches(
        i=nothing,
        j=nothing,
        cosine=np.empty(0),
        miss_px=np.empty(0),
        sigma_px=float("nan"),
        reason=reason,
    )


def match_pair(a: MatchView, b: MatchView, terrain: TerrainGrid, plausible: HeightTolerance) -> PairMatches:
    """Return verified matches of two views.

    Empty, with the reason, where there are too few to trust.
    """
    if min(len(a.features), len(b.features)) < _MIN_MATCHES:
        return _none(_("too little texture"))
    i, j = _first_matches(a, b, plausible)
    if i.size < _MIN_MATCHES:
        return _none(_("nothing looks alike where its telemetry puts it"))
    unit = max(a.unit_px, b.unit_px)
    poses = refine_poses(_relative(a, b), _matches(a, b, i, j), tuple(unit * s for s in (24, 12, 6, 3, 2, 2)))
    miss = compute_match_distances(poses, _matches(a, b, i, j))
    sigma = _spread(miss, unit)
    near = np.abs(miss) < 3.0 * sigma
    if near.sum() < _MIN_MATCHES:
        return _none(_("no geometry in common with another photo"))
    level = _level(a, b, poses, i[near], j[near], terrain)
    # with the base reversed the same planes meet, but behind the cameras: an image rotated by 180°
    is_plausible = _stands(a, b, poses, i[near], j[near], terrain, level, plausible)
    if is_plausible.mean() < _MIN_PLAUSIBLE_SHARE:
        return _none(_("the matches are where no ground can be"))
    i, j, cosine = _guided_matches(a, b, poses, level, sigma, plausible)
    if i.size < _MIN_MATCHES:
        return _none(_("too few matches"))
    poses = refine_poses(poses, _matches(a, b, i, j), tuple(unit * s for s in (3, 2, 1.5, 1.5)))
    miss = compute_match_distances(poses, _matches(a, b, i, j))
    sigma = _spread(miss, unit)
    if sigma > _BLURRED * unit:
        return _none(_("its matches contradict each other"))
    good = (np.abs(miss) < 3.0 * sigma) & _stands(a, b, poses, i, j, terrain, level, plausible)
    if good.sum() < _MIN_MATCHES:
        return _none(_("too few of its matches meet"))
    return PairMatches(i=i[good], j=j[good], cosine=cosine[good], miss_px=miss[good], sigma_px=sigma)


def _spread(miss: Floats, unit: float) -> float:
    """Return the robust sigma of the misses, without gross outliers."""
    small = np.abs(miss)[np.abs(miss) < 6.0 * unit]
    return float(np.clip(1.4826 * np.median(small), 0.3 * unit, 1.5 * unit)) if small.size else unit


def _along(a: MatchView, b: MatchView) -> tuple[Floats, float]:
    """Return the base's horizontal unit vector, and the base-to-height ratio.

    The ratio is the horizontal shift, in metres, of a metre of height.
    """
    base = (b.centre - a.centre)[:2]
    length = float(np.linalg.norm(base))
    direction = base / length if length > 1e-6 else np.array([1.0, 0.0])
    return direction, length / max(min(a.height_m, b.height_m), 1.0)


def _first_matches(a: MatchView, b: MatchView, plausible: HeightTolerance) -> tuple[Indices, Indices]:
    pa, pb = normalise_ground_points(a, b, plausible)
    i, j = find_close_pairs(pa[:_FIRST], pb[:_FIRST], 1.0)
    i, j, __ = match_mutual_best(
        a.features.descriptor, b.features.descriptor, i, j, ratio=0.8, min_similarity=0.8
    )
    i, j = filter_affine_matches(pa, pb, i, j)
    if i.size >= _PLENTY:
        return i, j
    # grass and leaves repeat within any radius: only features unique in the whole image are reliable
    i, j = match_all_mutual_best(a.features.descriptor, b.features.descriptor, ratio=0.8)
    return filter_affine_matches(pa, pb, i, j)


def normalise_ground_points(a: MatchView, b: MatchView, plausible: HeightTolerance) -> tuple[Floats, Floats]:
    """Return ground points of both views, scaled so that candidates are within 1.

    Across the base the reach is 2.5 sigma of the priors; along it heights over the terrain add parallax.
    """
    direction, slope = _along(a, b)
    across_m = 2.5 * float(np.hypot(a.ground_sigma_m, b.ground_sigma_m))
    up = b.frame.exterior.sigma_position_m[2] + plausible.above_m / 2.0
    along_m = across_m + slope * up
    frame = np.stack([direction / along_m, np.array([-direction[1], direction[0]]) / across_m], axis=1)
    origin = 0.5 * (a.centre + b.centre)[:2]
    return (a.ground[:, :2] - origin) @ frame, (b.ground[:, :2] - origin) @ frame


def filter_affine_matches(
    pa: Floats, pb: Floats, i: Indices, j: Indices, reach: float = _WIDER
) -> tuple[Indices, Indices]:
    """Return matches within reach that one affine map of the ground explains.

    Up to parallax of heights.
    """
    near = np.linalg.norm(pa[i] - pb[j], axis=1) < reach
    i, j = i[near], j[near]
    if i.size < _MIN_MATCHES:
        return i[:0], j[:0]
    __, agreed = cv2.estimateAffine2D(
        pa[i], pb[j], method=cv2.RANSAC, ransacReprojThreshold=0.15, maxIters=1000, confidence=0.999
    )
    if agreed is None:
        return i[:0], j[:0]
    kept = agreed.reshape(-1) != 0
    return i[kept], j[kept]


def _relative(a: MatchView, b: MatchView) -> PosesWithPriors:
    """Return both poses: the first fixed, the second with the errors of both."""
    position = [1.0 / (np.square(a_) + np.square(b_)) for a_, b_ in zip(_sigma(a), _sigma(b), strict=True)]
    attitude = np.linalg.inv(_attitude_covariance(a) + _attitude_covariance(b))
    return PosesWithPriors(
        centre=np.stack([a.centre, b.centre]),
        rotation=np.stack([a.rotation, b.rotation]),
        position_information=np.stack([np.full(3, _FIXED), np.array(position)]),
        attitude_information=np.stack([_FIXED * np.eye(3), attitude]),
    )


def _sigma(view: MatchView) -> Floats:
    sigma: Floats = np.maximum(np.asarray(view.frame.exterior.sigma_position_m), 0.02)
    return sigma


def _attitude_covariance(view: MatchView) -> Floats:
    variance = np.square(np.maximum(view.frame.exterior.sigma_attitude_rad, 1e-4))
    covariance: Floats = view.rotation.T @ (variance[:, None] * view.rotation)
    return covariance


def _matches(a: MatchView, b: MatchView, i: Indices, j: Indices) -> RayMatches:
    return RayMatches(
        a=np.zeros(i.size, dtype=np.int64),
        b=np.ones(i.size, dtype=np.int64),
        ray_a=a.rays[i],
        ray_b=b.rays[j],
        focal_a=np.full(i.size, a.focal_px),
        focal_b=np.full(i.size, b.focal_px),
    )


def _heights(
    a: MatchView, b: MatchView, poses: PosesWithPriors, i: Indices, j: Indices, terrain: TerrainGrid
) -> tuple[Floats, Floats, Bools]:
    """Return heights of matches over the terrain, their sigmas, and meeting flags.

    Heights are NaN where not known; sigmas are for one unit of error; flags are True where the rays meet in
    front of the cameras.
    """
    ra, rb = rotate_rays(poses.rotation[0], a.rays[i]), rotate_rays(poses.rotation[1], b.rays[j])
    points = intersect_rays(poses.centre[0], ra, poses.centre[1], rb)
    scale = a.frame.exterior.grid_scale
    over = points[:, 2] / scale - interpolate_heights_en(terrain, points[:, 0], points[:, 1])
    distance = np.linalg.norm(points - poses.centre[0], axis=1)
    angle = np.linalg.norm(np.cross(ra, rb), axis=1)
    sigma = distance * max(a.unit_px, b.unit_px) / a.focal_px / np.maximum(angle, 1e-6)
    return over, sigma, np.isfinite(points[:, 0])


def _level(
    a: MatchView, b: MatchView, poses: PosesWithPriors, i: Indices, j: Indices, terrain: TerrainGrid
) -> float:
    """Estimate the height of the pair's ground over the terrain.

    It is the sum of the height errors of priors and model.
    """
    over, sigma, __ = _heights(a, b, poses, i, j, terrain)
    known = np.isfinite(over)
    if not known.any():
        return 0.0
    prior = max(a.frame.exterior.sigma_position_m[2], 3.0)
    trust = prior**2 / (prior**2 + np.median(sigma[known]) ** 2)
    return float(trust * np.median(over[known]))


def _stands(
    a: MatchView,
    b: MatchView,
    poses: PosesWithPriors,
    i: Indices,
    j: Indices,
    terrain: TerrainGrid,
    level: float,
    plausible: HeightTolerance,
) -> Bools:
    over, sigma, met = _heights(a, b, poses, i, j, terrain)
    room = 3.0 * sigma
    inside = (over - level > -plausible.below_m - room) & (over - level < plausible.above_m + room)
    is_plausible: Bools = met & (inside | ~np.isfinite(over))
    return is_plausible


def _guided_matches(
    a: MatchView, b: MatchView, poses: PosesWithPriors, level: float, sigma: float, plausible: HeightTolerance
) -> tuple[Indices, Indices, Floats]:
    """Match all features of a, each in its epipolar band of b.

    The band is as long as the height tolerance. A direction is written as (turn, reach): the angle of its
    plane around the base, and its angle from the base. A match has the same turn in both frames, at any
    position of the epipoles and with any lens.
    """
    base = poses.centre[1] - poses.centre[0]
    turn_a, __ = _around(base, a.rays @ a.rotation)
    turn_b, reach_b = _around(base, b.rays @ poses.rotation[1])
    above = min(plausible.above_m, 0.6 * (a.height_m - level))
    rays = a.rays @ a.rotation
    with np.errstate(divide="ignore", invalid="ignore"):
        climb = rays / rays[:, 2:]
    to_low = a.ground + climb * (level - plausible.below_m) - poses.centre[1]
    to_high = a.ground + climb * (level + above) - poses.centre[1]
    __, low = _around(base, to_low)
    __, high = _around(base, to_high)
    middle, half = 0.5 * (low + high), 0.5 * np.abs(high - low)
    gate = 3.0 * sigma / b.focal_px
    room = float(np.nanpercentile(half, 98.0)) + gate if np.isfinite(half).any() else gate
    inside = (middle > np.nanmin(reach_b) - room) & (middle < np.nanmax(reach_b) + room)
    here = np.flatnonzero(inside & np.isfinite(turn_a))
    scale = 1.0 / np.array([gate / _side(reach_b), room])
    i, j = find_close_pairs(
        np.stack([turn_a[here], middle[here]], axis=1) * scale,
        np.stack([turn_b, reach_b], axis=1) * scale,
        1.0,
    )
    i = here[i]
    near = np.abs(reach_b[j] - middle[i]) <= half[i] + gate
    near &= np.abs(turn_a[i] - turn_b[j]) * np.sin(reach_b[j]) <= gate
    return match_mutual_best(
        a.features.descriptor, b.features.descriptor, i[near], j[near], ratio=0.85, min_similarity=0.88
    )


def _around(base: Floats, to: Floats) -> tuple[Floats, Floats]:
    """Return the angle around the base (0 straight down) and from it, radians.

    Of directions N×3.
    """
    length = float(np.linalg.norm(base))
    axis = base / length if length > 1e-3 else np.array([1.0, 0.0, 0.0])
    plumb = np.array([1.0, 0.0, 0.0] if abs(axis[2]) > 0.99 else [0.0, 0.0, -1.0])
    down = plumb - axis * (axis @ plumb)
    down /= np.linalg.norm(down)
    side = np.cross(axis, down)
    x, y, z = to @ down, to @ side, to @ axis
    return np.arctan2(y, x), np.arctan2(np.hypot(x, y), z)


def _side(reach: Floats) -> float:
    """Return the smallest sine of an angle from the base in a frame, at least 0.2.

    Zero would be the epipole itself.
    """
    return max(float(np.nanpercentile(np.sin(reach), 2.0)), 0.2)
