"""Bundle adjustment of a flight's newest frames, held by earlier results.

Frames of the window are linked by the model of the log's errors (`log_drift`), tied by landmarks that
several of them see, and constrained to the terrain by the landmarks' heights. Earlier frames, and those of
earlier strips that see the same ground, are held at their adjusted poses, with a sigma. Landmarks are
eliminated one by one (Schur complement); a dense system of a few dozen frames remains.

Sources: Triggs et al., Bundle Adjustment - A Modern Synthesis, 2000; Sibley, Matthies and Sukhatme,
Sliding window filter with application to planetary landing, 2010 (with held frames in place of a marginal).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from flycam.adjust.block import Floats, Indices
from flycam.adjust.log_drift import LogDrift, LoggedTrajectory, compute_pose_errors, compute_transitions
from flycam.adjust.robust_loss import cauchy, compute_ground_loss
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.projection import (
    compute_rotation_derivative,
    project_with_camera_derivatives,
    to_lens_vector,
)
from flycam.geometry.rotation import rotation_from_angle_axis
from flycam.geometry.terrain import TerrainGrid, compute_normals, interpolate_heights

_IMAGE_BEND, _HEIGHT_BEND = 3.0, 1.5
# Weight, 1/m², that keeps an otherwise undetermined landmark in place.
_LOOSE = 1e-6
_MAX_STEP_M = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowOptions:
    """Sigmas of a window adjustment.

    held_m, held_rad  sigma of frames that were adjusted before
    image_px          sigma of an observation
    height_m          sigma of the terrain, common within squares of square_m: all landmarks in one count once
    plane_m           the same of a plane that was assumed for lack of terrain
    rounds            linearisations
    """

    held_m: float = 0.3
    held_rad: float = 0.0018
    image_px: float = 0.5
    height_m: float = 2.0
    plane_m: float = 15.0
    square_m: float = 50.0
    rounds: int = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class AdjustmentWindow:
    """Input of a window adjustment.

    n frames in order of time, Q landmarks, N observations sorted by landmark.

    logged           the log's poses
    centre, rotation  n×3 and n×3×3, current estimates
    held             n bool, adjusted before
    frame, landmark  N indices
    uv_px            N×2 in images of the interior's size
    point            Q×3
    """

    interior: InteriorOrientation
    scale: float
    terrain: TerrainGrid
    logged: LoggedTrajectory
    centre: Floats
    rotation: Floats
    held: NDArray[np.bool_]
    frame: Indices
    landmark: Indices
    uv_px: Floats
    point: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowSolution:
    """Adjusted poses and landmarks.

    centre n×3, rotation n×3×3, point Q×3; miss_px N, residual of each observation (inf where the landmark
    is not in front of the camera).
    """

    centre: Floats
    rotation: Floats
    point: Floats
    miss_px: Floats


def solve_window(window: AdjustmentWindow, drift: LogDrift, options: WindowOptions) -> WindowSolution:
    """Estimate poses and landmarks from links, ties and heights.

    Starts from the current estimates.
    """
    centre, rotation, point = window.centre.copy(), window.rotation.copy(), window.point.copy()
    transition, variance = compute_transitions(window.logged, drift)
    for _ in range(options.rounds):
        matrix, right = _believed(window, centre, rotation, transition, variance, options)
        sighted = _sighted(window, centre, rotation, point)
        moved, steps = _step(window, matrix, right, sighted, point, options)
        centre += moved[:, :3]
        rotation = rotation_from_angle_axis(moved[:, 3:]) @ rotation
        point += np.clip(steps, -_MAX_STEP_M, _MAX_STEP_M)
    miss = _sighted(window, centre, rotation, point).residual
    away = np.where(np.isfinite(miss).all(axis=1), np.hypot(*miss.T), np.inf)
    return WindowSolution(centre=centre, rotation=rotation, point=point, miss_px=away)


def _believed(
    window: AdjustmentWindow,
    centre: Floats,
    rotation: Floats,
    transition: Floats,
    variance: Floats,
    options: WindowOptions,
) -> tuple[Floats, Floats]:
    """Return normal matrix n×6×n×6 and gradient n×6 of the priors.

    Of links, the log's sigmas and held frames.
    """
    count = len(window.logged)
    matrix, gradient = np.zeros((count, 6, count, 6)), np.zeros((count, 6))
    error = compute_pose_errors(window.logged, centre, rotation)
    rows = np.flatnonzero(~window.held)
    before = rows - 1
    first = rows[before < 0]
    weight = 1.0 / np.square(window.logged.sigma[first])
    axes = np.arange(6)
    matrix[first[:, None], axes, first[:, None], axes] += weight
    gradient[first] += weight * error[first]
    rows, before = rows[before >= 0], before[before >= 0]
    move, weight = transition[before], 1.0 / variance[before]
    off = error[rows] - np.einsum("nij,nj->ni", move, error[before])
    weighted = weight[:, :, None] * move
    matrix[rows[:, None], axes, rows[:, None], axes] += weight
    # a loop is fast enough for a dozen links
    for k, row in enumerate(rows):
        matrix[row, :, row - 1] -= weighted[k]
        matrix[row - 1, :, row] -= weighted[k].T
        matrix[row - 1, :, row - 1] += move[k].T @ weighted[k]
    gradient[rows] += weight * off
    np.add.at(gradient, before, -np.einsum("nij,ni->nj", move, weight * off))
    held = np.flatnonzero(window.held)
    strength = 1.0 / np.square(np.repeat([options.held_m, options.held_rad], 3))
    matrix[held[:, None], axes, held[:, None], axes] += strength
    away = compute_pose_errors(
        LoggedTrajectory(
            seconds=window.logged.seconds[held],
            centre=window.centre[held],
            rotation=window.rotation[held],
            sigma=window.logged.sigma[held],
        ),
        centre[held],
        rotation[held],
    )
    gradient[held] += strength * away
    return matrix, gradient


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sighted:
    """Residuals N×2 px, and derivatives by frame N×2×6 and by landmark N×2×3.

    NaN where the landmark is not in front of the camera.
    """

    residual: Floats
    by_frame: Floats
    by_point: Floats


def _sighted(window: AdjustmentWindow, centre: Floats, rotation: Floats, point: Floats) -> _Sighted:
    offset = point[window.landmark] - centre[window.frame]
    offset[:, 2] *= window.scale
    place = np.einsum("nij,nj->ni", rotation[window.frame], offset)
    uv, by_camera = project_with_camera_derivatives(window.interior, to_lens_vector(window.interior), place)
    stretched = rotation.copy()
    stretched[:, :, 2] *= window.scale
    by_point = by_camera @ stretched[window.frame]
    by_frame = np.concatenate([-by_point, by_camera @ compute_rotation_derivative(place)], axis=-1)
    return _Sighted(residual=uv - window.uv_px, by_frame=by_frame, by_point=by_point)


def _step(
    window: AdjustmentWindow,
    matrix: Floats,
    gradient: Floats,
    sighted: _Sighted,
    point: Floats,
    options: WindowOptions,
) -> tuple[Floats, Floats]:
    """Return the changes of frames n×6 and landmarks Q×3."""
    count, points = len(window.logged), len(point)
    seen = np.asarray(np.isfinite(sighted.residual).all(axis=1), dtype=bool)
    residual = np.where(seen[:, None], sighted.residual, 0.0)
    squared = np.square(residual).sum(axis=1) / options.image_px**2
    weight = np.where(seen, cauchy(squared, _IMAGE_BEND).weight, 0.0) / options.image_px**2
    by_frame = np.where(seen[:, None, None], sighted.by_frame, 0.0)
    by_point = np.where(seen[:, None, None], sighted.by_point, 0.0)
    turned, across = (
        by_frame.transpose(0, 2, 1) * weight[:, None, None],
        by_point.transpose(0, 2, 1) * weight[:, None, None],
    )
    of_frame, of_point = _collect(window.frame, count), _collect(window.landmark, points)
    own = (of_frame @ (turned @ by_frame).reshape(-1, 36)).reshape(-1, 6, 6)
    each = np.arange(count)
    matrix[each, :, each] += own
    gradient = gradient + of_frame @ np.einsum("nij,nj->ni", turned, residual)
    blocks = (of_point @ (across @ by_point).reshape(-1, 9)).reshape(-1, 3, 3)
    pull = of_point @ np.einsum("nij,nj->ni", across, residual)
    _add_heights(window, point, blocks, pull, options)
    inverse = np.linalg.inv(blocks)
    # a frame sees a landmark at most once, so the blocks need no sum
    blockwise = np.zeros((points, count, 6, 3))
    blockwise[window.landmark, window.frame] = turned @ by_point
    cross = blockwise.reshape(points, 6 * count, 3)
    flat = np.ascontiguousarray(cross.transpose(1, 0, 2)).reshape(6 * count, -1)
    reduced = np.ascontiguousarray((cross @ inverse).transpose(1, 0, 2)).reshape(6 * count, -1)
    system = matrix.reshape(6 * count, 6 * count) - reduced @ flat.T
    right = gradient.reshape(-1) - reduced @ pull.reshape(-1)
    frames = -np.linalg.solve(system, right)
    landmarks = -np.einsum("qij,qj->qi", inverse, pull + (frames @ flat).reshape(-1, 3))
    return frames.reshape(-1, 6), landmarks


def _add_heights(
    window: AdjustmentWindow, point: Floats, blocks: Floats, pull: Floats, options: WindowOptions
) -> None:
    """Add the terrain under every landmark.

    Landmarks high above it may be trees and get little weight.
    """
    sigma_m = options.plane_m if window.terrain.dem_id.startswith("flat:") else options.height_m
    above = point[:, 2] - interpolate_heights(window.terrain, point[:, :2])
    normal = compute_normals(window.terrain, point[:, :2])
    known = np.isfinite(above) & np.isfinite(normal).all(axis=1)
    above = np.where(known, above, 0.0)
    slope = np.where(known[:, None], normal / np.where(known, normal[:, 2], 1.0)[:, None], 0.0)
    square = np.floor(point[:, :2] / options.square_m).astype(np.int64)
    _, number, among = np.unique(square, axis=0, return_inverse=True, return_counts=True)
    weight = compute_ground_loss(above / sigma_m, _HEIGHT_BEND, covered=True).weight
    weight = np.where(known, weight / sigma_m**2 / among[number.reshape(-1)], 0.0)
    blocks += weight[:, None, None] * slope[:, :, None] * slope[:, None, :] + _LOOSE * np.eye(3)
    pull += slope * (weight * above)[:, None]


def _collect(group: Indices, groups: int) -> csr_matrix:
    """Return the groups×N matrix that sums rows of one group."""
    each = np.arange(len(group))
    return csr_matrix((np.ones(len(group)), (group, each)), shape=(groups, len(group)))
