"""Image residuals of a block and their derivatives, as arrays of observations.

A rolling shutter is part of the projection, by the model of `geometry.rolling_shutter`: each point is
projected at the read-out time of the row it was observed on. Its rotation in that time, thousandths of a
radian, is left out of the derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flycam.adjust.block import Floats
from flycam.adjust.problem import AdjustmentProblem, Observations
from flycam.adjust.unknowns import Unknowns
from flycam.geometry.projection import (
    LENS_UNKNOWNS,
    compute_rotation_derivative,
    project_camera_points,
    project_with_camera_derivatives,
    project_with_derivatives,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reprojection:
    """Image residuals and their derivatives.

    residual  N×2 (projected minus observed, px)
    by_frame  N×2×6 (centre, rotation), or N×2×9 (and rotation rate) where shutters roll
    by_lens   N×2×9
    by_point  N×2×3
    """

    residual: Floats
    by_frame: Floats
    by_lens: Floats
    by_point: Floats


def to_camera_points(problem: AdjustmentProblem, unknowns: Unknowns, seen: Observations) -> Floats:
    """Transform the observed points to the axes of their cameras, N×3."""
    frames = problem.frames
    offset = unknowns.point[seen.point] - unknowns.centre[seen.frame]
    if frames.rolling:
        offset -= frames.velocity[seen.frame] * seen.after[:, None]
    offset[:, 2] *= frames.scale[seen.frame]
    place: Floats = np.einsum("nij,nj->ni", unknowns.rotation[seen.frame], offset)
    if frames.rolling:
        place += np.cross(unknowns.turn[seen.frame] * seen.after[:, None], place)
    return place


def compute_image_residuals(problem: AdjustmentProblem, unknowns: Unknowns, seen: Observations) -> Floats:
    """Return projected minus observed points, N×2 px.

    NaN where a point is not in front of its camera, or not triangulated.
    """
    place = to_camera_points(problem, unknowns, seen)
    uv = np.empty((len(seen), 2))
    for number, interior in enumerate(problem.cameras):
        rows = problem.frames.camera[seen.frame] == number
        uv[rows] = project_camera_points(interior, unknowns.lens[number], place[rows])
    return uv - seen.uv


def linearise_points(
    problem: AdjustmentProblem, unknowns: Unknowns, seen: Observations
) -> tuple[Floats, Floats]:
    """Return residuals N×2 and their derivatives by the point alone, N×2×3.

    Cheaper than `linearise_reprojection`.
    """
    place = to_camera_points(problem, unknowns, seen)
    uv, by_camera = np.empty((len(seen), 2)), np.empty((len(seen), 2, 3))
    for number, interior in enumerate(problem.cameras):
        rows = problem.frames.camera[seen.frame] == number
        if rows.any():
            uv[rows], by_camera[rows] = project_with_camera_derivatives(
                interior, unknowns.lens[number], place[rows]
            )
    return uv - seen.uv, by_camera @ _stretched(problem, unknowns)[seen.frame]


def _stretched(problem: AdjustmentProblem, unknowns: Unknowns) -> Floats:
    """Return rotations with the grid scale applied to the vertical, n×3×3."""
    stretched = unknowns.rotation.copy()
    stretched[:, :, 2] *= problem.frames.scale[:, None]
    return stretched


def linearise_reprojection(
    problem: AdjustmentProblem, unknowns: Unknowns, seen: Observations
) -> Reprojection:
    """Return residuals with all derivatives."""
    place = to_camera_points(problem, unknowns, seen)
    uv, by_camera = np.empty((len(seen), 2)), np.empty((len(seen), 2, 3))
    by_lens = np.empty((len(seen), 2, LENS_UNKNOWNS))
    for number, interior in enumerate(problem.cameras):
        rows = problem.frames.camera[seen.frame] == number
        if rows.any():
            part = project_with_derivatives(interior, unknowns.lens[number], place[rows])
            uv[rows], by_camera[rows], by_lens[rows] = part.uv, part.by_camera, part.by_lens
    by_point = by_camera @ _stretched(problem, unknowns)[seen.frame]
    turned = by_camera @ compute_rotation_derivative(place)
    by_frame = [-by_point, turned]
    if problem.frames.rolling:
        by_frame.append(turned * seen.after[:, None, None])
    return Reprojection(
        residual=uv - seen.uv,
        by_frame=np.concatenate(by_frame, axis=-1),
        by_lens=by_lens,
        by_point=by_point,
    )
