"""Robust triangulation of points from their rays, with fixed poses.

Start: least squares of the distances from the rays (midpoint method), with Cauchy weights; then
Gauss-Newton on the image residuals. Sources: Hartley and Sturm, Triangulation, CVIU 68(2), 1997.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import Floats
from flycam.adjust.problem import AdjustmentProblem, Bools, Observations, split_chunks
from flycam.adjust.reprojection import compute_image_residuals, linearise_points
from flycam.adjust.robust_loss import cauchy, estimate_robust_sigma
from flycam.adjust.unknowns import Unknowns
from flycam.geometry.camera import compute_ray_directions
from flycam.geometry.projection import apply_lens_vector

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
        held = across * weight[:, None, None]
        right: Floats = np.add.reduceat(np.einsum("nij,nj->ni", held, local), starts)
        matrix: Floats = np.add.reduceat(held, starts)
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
