"""Residuals, priors, derivatives and normal equations of a block.

They are accumulated over chunks of observations: image residuals, heights over the DEM, and control.

Points touch only their own observations, so their 3×3 blocks are inverted one by one and eliminated (Schur
complement, `minimisation.ReducedSystem`). A sparse system of frames remains, bordered by the few unknowns all
share.

Source: Triggs et al. 2000, section 6; Brown 1976 for the border.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from flycam.geometry.camera import InteriorOrientation
from flycam.geometry.pose import angle_axis_from_rotation
from flycam.geometry.projection import (
    LENS_UNKNOWNS,
    compute_rotation_derivative,
    project_camera_points,
    project_with_camera_derivatives,
    project_with_derivatives,
    to_lens_vector,
)
from flycam.geometry.terrain import TerrainGrid, compute_normals, interpolate_heights
from flycam.mosaic.adjustment.block import (
    AdjustmentProblem,
    AdjustOptions,
    Bools,
    Floats,
    FrameArrays,
    Layout,
    Observations,
    TerrainPrior,
    Unknowns,
    split_chunks,
)

# -- Priors of a block as observations, and robust losses ------------------------------------------
#
# Priors exist for positions, attitudes, lenses and the DEM's shift:
#
#     measured position = true position + bias of the flight + noise of the frame
#     true attitude     = exp(boresight + yaw offset of the strip about the vertical + noise)
#                         measured attitude
#
# Noise of positions and attitudes has Huber's loss, so that a single wild fix or heading has little effect.
# The priors of lens and bias are logarithmic in the tails: they yield where the block (or control) is certain
# that a focal length or a vertical datum is wrong by many sigmas. Source of the exponential's derivative:
# Barfoot, State Estimation for Robotics, 2017, ch. 7.
#
# A height relative to a take-off height that was read off the terrain has the terrain's error: its bias is
# modelled as the terrain's own error and a remainder,
#
#     bias of the height = - share of the DEM's shift in height + remaining error of the take-off
#
# so that such a flight and its terrain do not count as two independent observations of one height.


# -- Robust losses rho(z²) of residuals z in sigmas, and their weights -----------------------------
#
# Minimising sum rho is done by reweighting: weight = d rho / d z². Sources: Huber 1964; Holland and Welsch,
# Robust Regression Using Iteratively Reweighted Least-Squares, 1977; Lange et al., JASA 84, 1989 (Student-t).


# Median absolute value of a Gaussian of unit sigma.
_MEDIAN_OF_GAUSS = 0.6744897501960817


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """Cost and weight, both of the squared residual's shape."""

    cost: Floats
    weight: Floats


def huber(squared: Floats, bend: float) -> Loss:
    """Return Huber's loss: quadratic up to `bend` sigmas, linear beyond."""
    size = np.sqrt(squared)
    beyond = size > bend
    return Loss(
        cost=np.where(beyond, 2.0 * bend * size - bend * bend, squared),
        weight=np.where(beyond, bend / np.maximum(size, bend), 1.0),
    )


def cauchy(squared: Floats, bend: float) -> Loss:
    """Return Cauchy's loss: logarithmic beyond `bend` sigmas.

    Outliers have almost no influence.
    """
    ratio = squared / (bend * bend)
    return Loss(cost=bend * bend * np.log1p(ratio), weight=1.0 / (1.0 + ratio))


def compute_ground_loss(residual: Floats, bend: float, covered: bool) -> Loss:
    """Return the loss of heights over a terrain model, in sigmas.

    Below the model linear, above it logarithmic if covered. A point far above is on a tree or a roof and
    carries little information; a point far below contradicts the model.
    """
    squared = residual * residual
    below, above = huber(squared, bend), cauchy(squared, bend)
    if not covered:
        return below
    high = residual > 0.0
    return Loss(
        cost=np.where(high, above.cost, below.cost), weight=np.where(high, above.weight, below.weight)
    )


def estimate_robust_sigma(residuals: Floats, redundancy: float = 1.0) -> float:
    """Estimate the robust standard deviation of residuals about 0.

    redundancy  their share of degrees of freedom, 0…1
    """
    known = np.abs(residuals[np.isfinite(residuals)])
    if not known.size:
        return float("nan")
    return float(np.median(known)) / _MEDIAN_OF_GAUSS / float(np.sqrt(max(redundancy, 0.05)))


# -- Priors as observations ------------------------------------------------------------------------


# Bends in sigmas: Huber's for noise, Cauchy's for lenses and biases.
NOISE_BEND = 3.0
LOOSE_BEND = 2.0
_POSITION_FLOOR_M = 2e-3
_ATTITUDE_FLOOR_RAD = 2e-5
# Cover that hides the ground all over the block lifts the DEM's apparent height by a part of its own.
_CANOPY_IN_SHIFT = 0.25
# Largest noise of a height: a multiple of the horizontal one by the satellites' geometry, or a barometer's.
_HEIGHT_OVER_PLAN = 2.0
_BAROMETER_M = 2.0
# Least share of a take-off's variance that is of the flight alone: its place, and objects there.
_MIN_OWN_SHARE = 0.1
# Indices among a frame's unknowns.
_TURN = np.arange(6, 9)


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorSigmas:
    """1-sigma of everything that has a prior.

    position, attitude  n×3, of the noise of one frame
    turn                of a camera's rotation rate during readout, rad/s
    bias                sessions×3; boresight cameras×3; yaw strips; lens cameras×9; dem 3
    on_terrain          sessions: share of the DEM's shift in height that is in the bias of the height
    """

    position: Floats
    attitude: Floats
    turn: float
    bias: Floats
    boresight: Floats
    yaw: Floats
    lens: Floats
    dem: Floats
    on_terrain: Floats

    def border(self) -> Floats:
        """Return the sigmas in the order of the border.

        Without the part of a bias that it shares with the DEM.
        """
        own = self.bias.copy()
        shared = np.square(self.on_terrain * self.dem[2])
        own[:, 2] = np.sqrt(np.maximum(own[:, 2] ** 2 - shared, _MIN_OWN_SHARE * own[:, 2] ** 2))
        return np.concatenate([x.ravel() for x in (own, self.boresight, self.yaw, self.lens, self.dem)])

    def shared(self, layout: Layout) -> Floats:
        """Return the m×m map from the border's unknowns to independent priors."""
        matrix = np.eye(layout.size)
        # the shift is added to the terrain, the bias subtracted from the height: hence the sign
        matrix[layout.bias, layout.dem.stop - 1][2::3] = self.on_terrain
        return matrix


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorTerms:
    """Half the quadratic model of the priors: cost = sum rho, gradients, J'WJ blocks.

    frame_blocks n×k×k (k 6, or 9 with rolling shutters), frame_border n×k×m, border m×m, gradients n×k and m.
    """

    cost: float
    frame_blocks: Floats
    frame_border: Floats
    border: Floats
    frame_gradient: Floats
    border_gradient: Floats


def make_prior_sigmas(
    problem: AdjustmentProblem, layout: Layout, terrain: TerrainPrior | None, options: AdjustOptions
) -> PriorSigmas:
    """Make sigmas from the frames, the cameras and the options.

    See AdjustOptions.noise_share for the split.
    """
    frames = problem.frames
    common = float(np.sqrt(1.0 - options.noise_share**2))
    noise, bias = _noise_and_bias(frames.sigma_position, options.noise_share)
    up = np.abs(frames.rotation[:, :, 2])
    yaw = np.sqrt(np.sum((up * frames.sigma_attitude) ** 2, axis=-1))
    shift = np.array(terrain.sigma_shift_m if terrain else (1.0, 1.0, 1.0), dtype=np.float64)
    on_terrain = np.zeros(layout.sessions)
    if terrain:
        bare = shift[2]
        shift[2] = np.hypot(bare, _CANOPY_IN_SHIFT * terrain.canopy_m)
        # ground cover lifts the block's terrain, but not the take-off height read off the DEM
        share = bare**2 / max(shift[2] ** 2, _POSITION_FLOOR_M**2)
        counted = frames.on_terrain[:, None].astype(np.float64)
        on_terrain = share * _medians(counted, frames.session, layout.sessions)[:, 0]
    lens = np.stack([_lens_sigmas(c, options) for c in problem.cameras])
    return PriorSigmas(
        position=np.maximum(noise, _POSITION_FLOOR_M),
        attitude=np.maximum(options.noise_share * frames.sigma_attitude, _ATTITUDE_FLOOR_RAD),
        turn=options.turn_sigma_radps,
        bias=np.maximum(_medians(bias, frames.session, layout.sessions), _POSITION_FLOOR_M),
        boresight=np.full((layout.cameras, 3), options.boresight_sigma_rad),
        yaw=np.maximum(
            common * _medians(yaw[:, None], frames.strip, layout.strips)[:, 0], _ATTITUDE_FLOOR_RAD
        ),
        lens=lens if options.self_calibration else lens * 1e-5,
        dem=np.maximum(shift, _POSITION_FLOOR_M),
        on_terrain=on_terrain,
    )


def compute_noise_residuals(problem: AdjustmentProblem, unknowns: Unknowns) -> tuple[Floats, Floats]:
    """Return the noise of measured positions (m) and attitudes (rad, camera axes).

    Each n×3.
    """
    frames = problem.frames
    position = frames.centre - unknowns.centre - unknowns.bias[frames.session]
    return position, _turn(frames, unknowns) - _expected_turn(frames, unknowns)


def compute_noise_derivatives(problem: AdjustmentProblem, unknowns: Unknowns) -> tuple[Floats, Floats]:
    """Return derivatives of the noise by the frame, n×6×k, and by the border, n×6×m.

    Of (minus the position's noise, the attitude's noise).
    """
    frames, layout = problem.frames, unknowns.layout
    count, rows = len(frames), np.arange(len(frames))
    by_frame = np.zeros((count, 6, frames.unknowns))
    by_frame[:, :3, :3] = np.eye(3)
    by_frame[:, 3:, 3:6] = _turn_slope(_turn(frames, unknowns))
    by_border = np.zeros((count, 6, layout.size))
    for axis in range(3):
        by_border[rows, axis, layout.bias.start + 3 * frames.session + axis] = 1.0
        by_border[rows, 3 + axis, layout.boresight.start + 3 * frames.camera + axis] = -1.0
    own = frames.strip >= 0
    by_border[rows[own], 3:, layout.yaw.start + frames.strip[own]] = -frames.rotation[own][:, :, 2]
    return by_frame, by_border


def compute_prior_cost(problem: AdjustmentProblem, unknowns: Unknowns, sigmas: PriorSigmas) -> float:
    """Return the sum of rho over all priors."""
    position, attitude = compute_noise_residuals(problem, unknowns)
    noise = huber(_squared(position, sigmas.position), NOISE_BEND).cost.sum()
    noise += huber(_squared(attitude, sigmas.attitude), NOISE_BEND).cost.sum()
    noise += np.sum(_turn_residuals(problem, unknowns, sigmas) ** 2)
    z = sigmas.shared(unknowns.layout) @ _border_residuals(problem, unknowns) / sigmas.border()
    loose = _may_be_wrong(unknowns.layout)
    return float(noise + np.sum(z[~loose] ** 2) + cauchy(z[loose] ** 2, LOOSE_BEND).cost.sum())


def compute_prior_terms(problem: AdjustmentProblem, unknowns: Unknowns, sigmas: PriorSigmas) -> PriorTerms:
    """Compute the priors' part of the normal equations."""
    layout = unknowns.layout
    position, attitude = compute_noise_residuals(problem, unknowns)
    residual = np.concatenate([-position, attitude], axis=-1)
    weight = np.concatenate(
        [
            huber(_squared(position, sigmas.position), NOISE_BEND).weight[:, None] / sigmas.position**2,
            huber(_squared(attitude, sigmas.attitude), NOISE_BEND).weight[:, None] / sigmas.attitude**2,
        ],
        axis=-1,
    )
    by_frame, by_border = compute_noise_derivatives(problem, unknowns)
    weighted = by_frame.transpose(0, 2, 1) * weight[:, None, :]
    flat = by_border.reshape(-1, layout.size)
    shared = flat.T @ (flat * weight.reshape(-1, 1))
    gradient = flat.T @ (weight * residual).reshape(-1)
    together = sigmas.shared(layout)
    z = together @ _border_residuals(problem, unknowns)
    own_weight = 1.0 / sigmas.border() ** 2
    loose = _may_be_wrong(layout)
    own_weight[loose] *= cauchy(np.square(z[loose] / sigmas.border()[loose]), LOOSE_BEND).weight
    shared += together.T @ (own_weight[:, None] * together)
    frame_blocks = weighted @ by_frame
    frame_gradient = np.einsum("nij,nj->ni", weighted, residual)
    if problem.frames.rolling:
        frame_blocks[:, _TURN, _TURN] += 1.0 / sigmas.turn**2
        frame_gradient[:, _TURN] += _turn_residuals(problem, unknowns, sigmas) / sigmas.turn
    return PriorTerms(
        cost=compute_prior_cost(problem, unknowns, sigmas),
        frame_blocks=frame_blocks,
        frame_border=weighted @ by_border,
        border=shared,
        frame_gradient=frame_gradient,
        border_gradient=gradient + together.T @ (own_weight * z),
    )


def _noise_and_bias(sigma: Floats, share: float) -> tuple[Floats, Floats]:
    """Split positions' sigmas n×3 into noise and bias, both n×3.

    Together they are the sigma. A height's error of many metres is of its zero (take-off, datum), not its
    scatter from frame to frame: that is taken as no more than twice the horizontal one, after the satellites'
    geometry, or a barometer's.
    """
    scatter = sigma.copy()
    plan = np.hypot(sigma[:, 0], sigma[:, 1]) / np.sqrt(2.0)
    scatter[:, 2] = np.minimum(sigma[:, 2], np.maximum(_HEIGHT_OVER_PLAN * plan, _BAROMETER_M))
    noise = share * scatter
    return noise, np.sqrt(sigma**2 - noise**2)


def _may_be_wrong(layout: Layout) -> Bools:
    """Return True for border unknowns whose metadata are sometimes wrong.

    Lenses, and biases (a wrong vertical datum).
    """
    loose = np.zeros(layout.size, dtype=bool)
    loose[layout.bias] = loose[layout.lens] = True
    return loose


def _lens_sigmas(interior: InteriorOrientation, options: AdjustOptions) -> Floats:
    """Return lens sigmas from the focal length's.

    The better it is known, the better are principal point and distortion.
    """
    focal = max(interior.sigma_focal_rel, options.focal_floor_rel)
    width = max(interior.image_size_px)
    centre = (0.001 + 0.1 * focal) * width
    radial = 0.005 + focal
    tangential = 0.0005 + 0.02 * focal
    distortion = [radial, radial, tangential, tangential, radial]
    if interior.model.value == "fisheye":
        distortion = [radial, radial, radial, radial, 1e-6]
    return np.array([focal, 0.0005, centre, centre, *distortion])


def _turn_residuals(problem: AdjustmentProblem, unknowns: Unknowns, sigmas: PriorSigmas) -> Floats:
    """Return residuals of rotation rates against the neighbours' estimate, n×3.

    In sigmas.
    """
    return (unknowns.turn - problem.frames.turn) / sigmas.turn


def _border_residuals(problem: AdjustmentProblem, unknowns: Unknowns) -> Floats:
    start = np.stack([to_lens_vector(c) for c in problem.cameras])
    parts = (unknowns.bias, unknowns.boresight, unknowns.yaw, unknowns.lens - start, unknowns.dem)
    return np.concatenate([x.ravel() for x in parts])


def _turn(frames: FrameArrays, unknowns: Unknowns) -> Floats:
    """Return the angle-axis n×3 from the measured to the current attitude."""
    return angle_axis_from_rotation(unknowns.rotation @ frames.rotation.transpose(0, 2, 1))


def _expected_turn(frames: FrameArrays, unknowns: Unknowns) -> Floats:
    yaw = np.where(frames.strip >= 0, np.r_[unknowns.yaw, 0.0][frames.strip], 0.0)
    return unknowns.boresight[frames.camera] + yaw[:, None] * frames.rotation[:, :, 2]


def _turn_slope(turn: Floats) -> Floats:
    """Return the derivative of log(exp([w]x) exp([t]x)) by w at 0.

    The inverse left Jacobian, to fourth order in t.
    """
    cross = -compute_rotation_derivative(turn)
    slope: Floats = np.eye(3) - 0.5 * cross + cross @ cross / 12.0
    return slope


def _squared(residual: Floats, sigma: Floats) -> Floats:
    # sum over three axes, against the bend of one axis
    squared: Floats = np.sum((residual / sigma) ** 2, axis=-1)
    return squared


def _medians(values: Floats, group: np.ndarray, groups: int) -> Floats:
    return np.array([np.median(values[group == g], axis=0) for g in range(groups)]).reshape(
        groups, values.shape[1]
    )


# -- Residuals, derivatives and normal equations of a block ----------------------------------------


# -- DEM as an observation of every tie point's height, with a shift of its own --------------------
#
#     height of the point = DEM(east - shift_e, north - shift_n) + shift_h + error
#
# On slopes, a horizontal shift shows in heights: the DEM's slope is in the derivatives. Errors of a DEM are
# correlated over a distance, so a thousand points in one square are one observation of it; the correlation
# between squares is left to the covariance (`SharedTerrainErrors`).
#
# Where the DEM bends from post to post (house walls, crowns, cliffs, a coarse grid over rough ground) its
# error is about as large as the bend: there a few posts that are a metre off would pull the block sideways,
# and with it the flight's scale. This is Koppe's rule, that a height's error grows with the slope, for a grid
# of posts: on a plane, however steep, a grid loses nothing; its errors are those of linear interpolation.
#
# Heights above the DEM may be trees and roofs and get little weight (`compute_ground_loss`).


# Bend of the robust loss of heights, in sigmas.
HEIGHT_BEND = 1.5


@dataclass(frozen=True, kw_only=True, slots=True)
class HeightPrior:
    """Terrain with the origin of the local coordinates and its current sigma.

    correlation_m  side of the squares that count as one observation
    length_m       distance at which the correlation of the terrain's errors has fallen to 1/e
    """

    prior: TerrainPrior
    origin: Floats
    sigma_m: float
    correlation_m: float
    length_m: float

    def residuals(self, point: Floats, shift: Floats) -> Floats:
        """Return heights above the shifted DEM in sigmas, N; NaN where it is not known."""
        place = point + self.origin - shift
        above: Floats = place[:, 2] - interpolate_heights(self.prior.terrain, place[:, :2])
        return above / self.sigma_m

    def derivatives(self, point: Floats, shift: Floats) -> Floats:
        """Return derivatives of the residuals by the point, N×3.

        Those by the shift are the negative.
        """
        normal = compute_normals(self.prior.terrain, (point + self.origin - shift)[:, :2])
        slope: Floats = normal / (normal[:, 2:] * self.sigma_m)
        return slope

    def smoothness(self, point: Floats, shift: Floats) -> Floats:
        """Return the share of a height's variance that is not bend, N, 0…1.

        s² / (s² + bend²), with the bend between its posts.
        """
        bend = compute_terrain_bend(self.prior.terrain, (point + self.origin - shift)[:, :2])
        share: Floats = self.sigma_m**2 / (self.sigma_m**2 + bend * bend)
        return share

    def squares(self, point: Floats) -> NDArray[np.int64]:
        """Return numbers (east, north) of the square that holds each point, N×2."""
        cell: NDArray[np.int64] = np.floor(point[:, :2] / self.correlation_m).astype(np.int64)
        return cell

    def shares(self, point: Floats, shift: Floats) -> Floats:
        """Return each point's share of one observation of the DEM, N.

        Smoothness / (points in its square).
        """
        _, number, count = np.unique(self.squares(point), axis=0, return_inverse=True, return_counts=True)
        share: Floats = self.smoothness(point, shift) / count[number.reshape(-1)]
        return share

    def loss(self, residual: Floats) -> Loss:
        """Return the robust loss; zero weight where the DEM is not known."""
        known = np.isfinite(residual)
        loss = compute_ground_loss(np.where(known, residual, 0.0), HEIGHT_BEND, self.prior.canopy_m > 0.0)
        return Loss(cost=loss.cost, weight=np.where(known, loss.weight, 0.0))


def compute_terrain_bend(terrain: TerrainGrid, xy_m: Floats) -> Floats:
    """Return the bend of the terrain around points N×2, metres.

    RMS second difference of the posts at the corners of the point's cell, along rows and columns. 0
    where posts are not known.
    """
    heights = terrain.heights_m
    rows, cols = heights.shape
    place = np.nan_to_num(np.asarray(xy_m, dtype=np.float64))
    col = np.floor((place[:, 0] - terrain.origin_m[0]) / terrain.post_spacing_m[0]).astype(np.int64)
    row = np.floor((terrain.origin_m[1] - place[:, 1]) / terrain.post_spacing_m[1]).astype(np.int64)
    around = np.arange(-1, 3)
    # beyond the rim the last post is repeated: the bend of the outermost cells is then their slope
    r = np.clip(row[:, None] + around, 0, rows - 1)
    c = np.clip(col[:, None] + around, 0, cols - 1)
    near = heights[r[:, :, None], c[:, None, :]].astype(np.float64)
    along = np.diff(near[:, 1:3], n=2, axis=2).reshape(len(near), -1)
    down = np.diff(near[:, :, 1:3], n=2, axis=1).reshape(len(near), -1)
    bend: Floats = np.sqrt(np.mean(np.concatenate([along, down], axis=1) ** 2, axis=1))
    return np.nan_to_num(bend)


# -- Image residuals of a block and their derivatives, as arrays of observations -------------------
#
# A rolling shutter is part of the projection, by the model of `geometry.camera`: each point is projected at
# the readout time of the row it was observed on. Its rotation in that time, thousandths of a radian, is left
# out of the derivatives.


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


# -- Normal equations, accumulated over chunks of observations -------------------------------------


# Cost of a point that does not project with the current unknowns, in squared sigmas.
_UNSEEN = 1e4
# Bend of Huber's loss of control points' positions, in sigmas.
_CONTROL_BEND = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ObservationWeighting:
    """Weighting of residuals.

    image         factor of the image sigma
    bend          of the loss, in sigmas
    redescending  Cauchy's loss, else Huber's
    """

    image: float
    bend: float
    redescending: bool

    def loss(self, residual: Floats, sigma: Floats) -> Loss:
        """Return the loss of image residuals N×2 (px).

        One number a point, so that u and v are rejected together.
        """
        squared = np.sum(residual * residual, axis=-1) / np.square(sigma * self.image)
        seen = np.isfinite(squared)
        loss = (cauchy if self.redescending else huber)(np.where(seen, squared, _UNSEEN), self.bend)
        return Loss(cost=loss.cost, weight=np.where(seen, loss.weight, 0.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class LeastSquaresModel:
    """The model to minimise: problem, used observations, their weighting, and priors."""

    problem: AdjustmentProblem
    seen: Observations
    weighing: ObservationWeighting
    sigmas: PriorSigmas
    heights: HeightPrior | None
    shares: Floats

    @property
    def starts(self) -> NDArray[np.int64]:
        """Index of each point's first observation."""
        return self.seen.starts

    def cost(self, unknowns: Unknowns) -> float:
        """Return the sum of all losses."""
        total = compute_prior_cost(self.problem, unknowns, self.sigmas)
        for part in split_chunks(self.seen):
            rows = self.seen.take(part)
            residual = compute_image_residuals(self.problem, unknowns, rows)
            total += float(self.weighing.loss(residual, rows.sigma).cost.sum())
        points = self.seen.point[self.starts]
        if self.heights is not None:
            above = self.heights.residuals(unknowns.point[points], unknowns.dem)
            total += float((self.heights.loss(above).cost * self.shares).sum())
        residual, weight = self._control(unknowns, points)
        squared = np.sum(residual * residual * weight, axis=-1)
        return total + float(huber(squared, _CONTROL_BEND).cost.sum())

    def _control(self, unknowns: Unknowns, points: NDArray[np.int32]) -> tuple[Floats, Floats]:
        """Return residuals of control points' positions and 1/sigma², P×3; zero at ties."""
        residual, weight = np.zeros((len(points), 3)), np.zeros((len(points), 3))
        rows = np.flatnonzero(points >= self.problem.tracks)
        number = points[rows] - self.problem.tracks
        residual[rows] = unknowns.point[points[rows]] - self.problem.control_m[number]
        weight[rows] = 1.0 / np.square(self.problem.control_sigma[number])
        return residual, weight


@dataclass(frozen=True, kw_only=True, slots=True)
class Normals:
    """J'WJ and J'Wr.

    For Q points, N observations, g border unknowns that points see, m in all: frame_blocks n×k×k (k 6, or
    9 with rolling shutters), frame_border n×k×m, border m×m; point_blocks Q×3×3, point_border Q×3×g;
    cross N×3×k (point, frame); gradients of each.
    """

    frame_blocks: Floats
    frame_border: Floats
    border: Floats
    point_blocks: Floats
    point_border: Floats
    cross: Floats
    frame_gradient: Floats
    border_gradient: Floats
    point_gradient: Floats


def build_normal_equations(model: LeastSquaresModel, unknowns: Unknowns) -> Normals:
    """Linearise everything at `unknowns`."""
    prior = compute_prior_terms(model.problem, unknowns, model.sigmas)
    seen, starts = model.seen, model.starts
    points, first = len(starts), unknowns.layout.seen.start
    normals = Normals(
        frame_blocks=prior.frame_blocks,
        frame_border=prior.frame_border,
        border=prior.border,
        frame_gradient=prior.frame_gradient,
        border_gradient=prior.border_gradient,
        point_blocks=np.zeros((points, 3, 3)),
        point_border=np.zeros((points, 3, unknowns.layout.size - first)),
        point_gradient=np.zeros((points, 3)),
        cross=np.empty((len(seen), 3, model.problem.frames.unknowns)),
    )
    for part in split_chunks(seen):
        rows = seen.take(part)
        sighted = linearise_reprojection(model.problem, unknowns, rows)
        weight = model.weighing.loss(sighted.residual, rows.sigma).weight
        weight /= np.square(rows.sigma * model.weighing.image)
        _add_sightings(normals, model, unknowns, part, sighted, weight)
    if model.heights is not None:
        _add_heights(normals, model, model.heights, unknowns)
    _add_control(normals, model, unknowns)
    return normals


def _add_sightings(
    normals: Normals,
    model: LeastSquaresModel,
    unknowns: Unknowns,
    part: slice,
    sighted: Reprojection,
    weight: Floats,
) -> None:
    """Add one chunk of image observations.

    Unseen ones have weight 0 and must not spread their NaN.
    """
    layout, starts = unknowns.layout, model.starts
    frame = model.seen.frame[part]
    unseen = weight == 0.0
    for array in (sighted.residual, sighted.by_frame, sighted.by_lens, sighted.by_point):
        array[unseen] = 0.0
    by_frame, by_lens, by_point = sighted.by_frame, sighted.by_lens, sighted.by_point
    root = np.sqrt(weight)[:, None]
    residual = sighted.residual * root
    for jacobian in (by_frame, by_lens, by_point):
        np.multiply(jacobian, root[:, :, None], out=jacobian)
    collect = csr_matrix(
        (np.ones(len(frame)), (frame, np.arange(len(frame)))), shape=(len(normals.frame_blocks), len(frame))
    )
    turned, own = by_frame.transpose(0, 2, 1), by_frame.shape[-1]
    normals.frame_blocks[:] += (collect @ (turned @ by_frame).reshape(-1, own * own)).reshape(-1, own, own)
    normals.frame_gradient[:] += collect @ np.einsum("nri,nr->ni", by_frame, residual)
    direct = collect @ (turned @ by_lens).reshape(-1, own * LENS_UNKNOWNS)
    direct = direct.reshape(-1, own, LENS_UNKNOWNS)

    across = by_point.transpose(0, 2, 1)
    normals.cross[part] = across @ by_frame
    low, high = np.searchsorted(starts, (part.start, part.stop))
    begin = starts[low:high] - part.start
    normals.point_blocks[low:high] += np.add.reduceat(across @ by_point, begin)
    normals.point_gradient[low:high] += np.add.reduceat(np.einsum("nri,nr->ni", by_point, residual), begin)
    points_lens = across @ by_lens
    camera = model.problem.frames.camera
    for number in range(layout.cameras):
        of_camera = camera[frame] == number
        at = slice(
            layout.lens.start + LENS_UNKNOWNS * number, layout.lens.start + LENS_UNKNOWNS * (number + 1)
        )
        normals.frame_border[camera == number, :, at] += direct[camera == number]
        lens = by_lens[of_camera].reshape(-1, LENS_UNKNOWNS)
        normals.border[at, at] += lens.T @ lens
        normals.border_gradient[at] += lens.T @ residual[of_camera].reshape(-1)
        behind = slice(at.start - layout.seen.start, at.stop - layout.seen.start)
        if of_camera.any():
            normals.point_border[low:high, :, behind] += np.add.reduceat(
                points_lens * of_camera[:, None, None], begin
            )


def _add_heights(
    normals: Normals, model: LeastSquaresModel, heights: HeightPrior, unknowns: Unknowns
) -> None:
    """Add the DEM under every tie point."""
    at = unknowns.layout.dem
    points = unknowns.point[model.seen.point[model.starts]]
    residual = heights.residuals(points, unknowns.dem)
    weight = heights.loss(residual).weight * model.shares
    residual = np.where(weight > 0.0, residual, 0.0)
    slope = np.where(weight[:, None] > 0.0, heights.derivatives(points, unknowns.dem), 0.0)
    weighted = slope * weight[:, None]
    block = weighted[:, :, None] * slope[:, None, :]
    normals.point_blocks[:] += block
    normals.point_gradient[:] += weighted * residual[:, None]
    normals.point_border[:, :, -3:] -= block
    normals.border[at, at] += block.sum(axis=0)
    normals.border_gradient[at] -= (weighted * residual[:, None]).sum(axis=0)


def _add_control(normals: Normals, model: LeastSquaresModel, unknowns: Unknowns) -> None:
    """Add the given positions of control points."""
    residual, weight = model._control(unknowns, model.seen.point[model.starts])
    squared = np.sum(residual * residual * weight, axis=-1)
    weight = weight * huber(squared, _CONTROL_BEND).weight[:, None]
    normals.point_blocks[:, np.arange(3), np.arange(3)] += weight
    normals.point_gradient[:] += weight * residual
