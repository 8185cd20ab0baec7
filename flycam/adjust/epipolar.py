"""Relative poses from matches by the epipolar condition, with pose priors.

Points are not solved for. The residual of a match is the distance by which its two rays miss each other, in
pixels (Sampson's first-order distance, on the sphere of directions, so that it holds for every lens). It is
minimised over the poses, each with its prior: in a flat scene or over a short base, which leave an essential
matrix undetermined, the prior decides.

World coordinates here are metric: (east, north, height · grid_scale), so that rotations act on rays exactly.

Sources: Hartley and Zisserman, Multiple View Geometry, 2004, 11.4.3 (Sampson); Geman and McClure 1987 with
graduated non-convexity (Blake and Zisserman 1987).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import splu

from flycam.geometry.rotation import rotation_from_angle_axis

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
    held = coo_array((prior.reshape(-1), (rows.reshape(-1), cols.reshape(-1))), shape=(shape[1], shape[1]))
    normal = (design.T @ diags_array(weight) @ design + held).tocsc()
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
