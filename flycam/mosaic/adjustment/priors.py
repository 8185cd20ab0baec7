"""Priors of a block as observations, and robust losses.

Priors exist for positions, attitudes, lenses and the DEM's shift:

    measured position = true position + bias of the flight + noise of the frame
    true attitude     = exp(boresight + yaw offset of the strip about the vertical + noise) measured attitude

Noise of positions and attitudes has Huber's loss, so that a single wild fix or heading has little effect. The
priors of lens and bias are logarithmic in the tails: they yield where the block (or control) is certain that
a focal length or a vertical datum is wrong by many sigmas. Source of the exponential's derivative: Barfoot,
State Estimation for Robotics, 2017, ch. 7.

A height relative to a take-off height that was read off the terrain has the terrain's error: its bias is
modelled as the terrain's own error and a remainder,

    bias of the height = - share of the DEM's shift in height + remaining error of the take-off

so that such a flight and its terrain do not count as two independent observations of one height.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flycam.geometry.camera import InteriorOrientation
from flycam.geometry.pose import angle_axis_from_rotation
from flycam.geometry.projection import compute_rotation_derivative, to_lens_vector
from flycam.mosaic.adjustment.block import (
    AdjustmentProblem,
    AdjustOptions,
    Bools,
    Floats,
    FrameArrays,
    Layout,
    TerrainPrior,
    Unknowns,
)

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
