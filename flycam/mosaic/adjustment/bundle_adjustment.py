"""Bundle adjustment of a flight, with acceptance test and untied frames.

Estimates the poses, lenses and shift that best explain the flight's tie points and priors. The result is
accepted by held-out tracks, else the priors are kept. Frames without ties keep their priors, corrected by
neighbours in time. The ties also decide whether the aircraft stopped for each of its photos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flycam.errors import InputUnusable
from flycam.geometry.camera import InteriorOrientation
from flycam.geometry.pose import ExteriorOrientation, PoseSource, rotation_from_angle_axis, to_mat3
from flycam.geometry.projection import LENS_UNKNOWNS, apply_lens_vector
from flycam.messages import Message, _
from flycam.mosaic.adjustment.block import (
    Accuracy,
    AdjustedFrame,
    Adjustment,
    AdjustmentProblem,
    AdjustOptions,
    Block,
    BlockFrame,
    Bools,
    Floats,
    FrameState,
    Observations,
    Unknowns,
    build_problem,
    make_starting_values,
)
from flycam.mosaic.adjustment.minimisation import (
    Covariance,
    ReducedSystem,
    compute_adjusted_variance,
    compute_coupling,
    compute_full_covariance,
    compute_shared_image_errors,
    minimise,
    plan_elimination,
)
from flycam.mosaic.adjustment.normal_equations import (
    LOOSE_BEND,
    NOISE_BEND,
    HeightPrior,
    LeastSquaresModel,
    ObservationWeighting,
    PriorSigmas,
    build_normal_equations,
    cauchy,
    compute_image_residuals,
    compute_noise_derivatives,
    compute_noise_residuals,
    estimate_robust_sigma,
    make_prior_sigmas,
)
from flycam.mosaic.adjustment.observations import (
    ObservationSelection,
    estimate_image_factor,
    select_held_out_tracks,
    select_observations,
    triangulate,
)

# -- Solution of a block in rounds, with estimated noise of its priors -----------------------------
#
# Each round selects observations and minimises. The loss starts wide, because poses are wrong at first by
# many pixels, and narrows to the noise of the residuals. Then the noise of positions, attitudes and the DEM
# is estimated as well.


# -- Variance components: noise of positions and attitudes, estimated from the block ---------------
#
# Metadata state ±1.5 m for every consumer receiver; a block of a hundred frames knows better. Each group's
# factor is estimated from its residuals, with the metadata's claim counted like a few more observations, so
# that three photos change nothing. Source: Förstner, Ein Verfahren zur Schätzung von Varianz- und
# Kovarianzkomponenten, AVN 1979.


# The metadata's claim counts as much as this many residuals.
_CLAIM = 6.0
_MIN_REDUNDANCY = 0.05
_MIN_FACTOR, _MAX_FACTOR = 0.02, 50.0
# Columns of (position, attitude) that share one factor.
_GROUPS = ((0, 1), (2,), (3,), (4,), (5,))


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseFactors:
    """Ratio of estimated to claimed noise.

    Horizontal, vertical, about the camera's x, y and z axes. The three axes differ: looking straight down, an
    error of a gimbal's roll is one of its yaw, and about the axis in between there is hardly any.
    """

    horizontal: float
    vertical: float
    about_x: float
    about_y: float
    about_z: float


def estimate_noise_sigmas(
    problem: AdjustmentProblem,
    unknowns: Unknowns,
    claimed: PriorSigmas,
    believed: PriorSigmas,
    variance: Floats,
    tied: Bools,
) -> tuple[PriorSigmas, NoiseFactors]:
    """Return sigmas with new noise, from the residuals of the tied frames.

    claimed   by the metadata
    believed  in the current solution
    variance  n×6 of the adjusted observations (`covariance.compute_adjusted_variance`): the part of each that
              the unknowns absorbed, the flight's bias and the strip's yaw offset among them
    """
    residual = np.concatenate(compute_noise_residuals(problem, unknowns), axis=-1)[tied]
    before = np.concatenate([claimed.position, claimed.attitude], axis=-1)
    now = np.concatenate([believed.position, believed.attitude], axis=-1)[tied]
    free = np.clip(1.0 - variance[tied] / now**2, _MIN_REDUNDANCY, 1.0)
    factors = []
    for columns in _GROUPS:
        at = list(columns)
        squared = np.square(residual[:, at] / before[tied][:, at])
        typical = np.median(squared) / 0.455 if squared.size else 1.0
        # outliers are left to the loss: they must not widen the noise
        clipped = np.minimum(squared, NOISE_BEND**2 * max(typical, 1e-12))
        freedom = float(free[:, at].sum())
        found = np.sqrt(max(float(clipped.sum()), 1e-12) / max(freedom, 1e-12))
        # shrunk towards 1 as a ratio: a claim ten times too large is as wrong as one ten times too small
        factors.append(float(np.clip(found, _MIN_FACTOR, _MAX_FACTOR) ** (freedom / (freedom + _CLAIM))))
    horizontal, vertical, x, y, z = factors
    scale = np.array([horizontal, horizontal, vertical, x, y, z])
    sigmas = replace(claimed, position=before[:, :3] * scale[:3], attitude=before[:, 3:] * scale[3:])
    return sigmas, NoiseFactors(horizontal=horizontal, vertical=vertical, about_x=x, about_y=y, about_z=z)


# -- Rounds of selection and minimisation ----------------------------------------------------------


Progress = Callable[[str, int, int], None]

# Bends of the loss in sigmas: Huber's while poses are wrong by many pixels, then Cauchy's.
_WIDE_BEND, _NARROW_BEND = 1.5, 3.0
# Residuals beyond this many sigmas are rejected, round by round; the last limit is the option's.
_FIRST_LIMITS = (8.0, 6.0)
_NOISE_ROUNDS = 2
# A round ends when the block moves by less than this in squared sigmas, all its unknowns together.
_COARSE, _FINE, _LAST = 10.0, 1.0, 0.01
# Bounds of the estimated sigma of the DEM over the stated one.
_MIN_DEM_FACTOR, _MAX_DEM_FACTOR = 0.3, 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockSolution:
    """The minimum, its observations, and its sigmas.

    claimed    prior sigmas by the metadata; those estimated in the end are the model's
    limit_px   residuals beyond this were rejected (length, for an observation of the median sigma)
    focal_variance   of each camera's focal length, by the normal equations
    shared_variance  what errors that a photo's points share add to it (`compute_shared_image_errors`)
    """

    unknowns: Unknowns
    model: LeastSquaresModel
    claimed: PriorSigmas
    covariance: Covariance
    focal_variance: Floats
    shared_variance: Floats
    limit_px: float
    iterations: int

    @property
    def sigma_focal(self) -> Floats:
        """Relative 1-sigma of each camera's focal length."""
        return np.sqrt(self.focal_variance + self.shared_variance)


def solve_block(
    block: Block,
    problem: AdjustmentProblem,
    start: Unknowns,
    candidates: Observations,
    options: AdjustOptions,
    progress: Progress,
) -> BlockSolution | None:
    """Adjust from `start` with `candidates`; None where no two frames can be tied."""
    claimed = make_prior_sigmas(problem, start.layout, block.terrain, options)
    work = _Work(problem, candidates, claimed, _heights(block, problem, options), options, progress)
    if not work.select(start, np.inf):
        return None
    work.weigh(_WIDE_BEND, redescending=False)
    if not work.select(start, _FIRST_LIMITS[0] * work.factor * work.typical, by_frame=True):
        return None
    work.minimise(_COARSE)
    for limit in (*_FIRST_LIMITS, options.outlier_sigmas):
        work.weigh(_NARROW_BEND, redescending=True)
        early = limit != options.outlier_sigmas
        if not work.select(work.unknowns, limit * work.factor * work.typical, by_frame=early):
            return None
        work.minimise(_FINE)
    for __ in range(_NOISE_ROUNDS if options.estimate_noise else 0):
        work.estimate_noise()
        work.minimise(_FINE)
    limit_px = options.outlier_sigmas * work.weigh(_NARROW_BEND, redescending=True) * work.typical
    if not work.select(work.unknowns, limit_px):
        return None
    work.minimise(_LAST)
    reduction = work.reduction()
    layout = work.unknowns.layout
    focal = np.arange(layout.lens.start, layout.lens.stop, LENS_UNKNOWNS)
    return BlockSolution(
        unknowns=work.unknowns,
        model=work.model,
        claimed=claimed,
        covariance=compute_full_covariance(reduction, work.model, work.unknowns),
        focal_variance=reduction.core.solve(np.eye(layout.size))[focal, focal],
        shared_variance=compute_shared_image_errors(reduction, work.model, work.unknowns),
        limit_px=limit_px,
        iterations=work.iterations,
    )


class _Work:
    """State of the rounds."""

    def __init__(
        self,
        problem: AdjustmentProblem,
        candidates: Observations,
        claimed: PriorSigmas,
        heights: HeightPrior | None,
        options: AdjustOptions,
        progress: Progress,
    ) -> None:
        self.problem, self.candidates, self.options = problem, candidates, options
        self.claimed, self.sigmas, self.heights = claimed, claimed, heights
        self.typical = float(np.median(candidates.sigma)) if len(candidates) else 1.0
        self.progress = progress
        self.weighing = ObservationWeighting(image=1.0, bend=_WIDE_BEND, redescending=False)
        self.factor, self.iterations = 1.0, 0

    def select(self, unknowns: Unknowns, limit_px: float, *, by_frame: bool = False) -> bool:
        """Select observations and triangulate their points; False if nothing is left."""
        chosen: ObservationSelection = select_observations(
            self.problem,
            unknowns,
            self.candidates,
            self.heights,
            self.options,
            limit_px,
            by_frame=by_frame,
        )
        self.unknowns, self.seen = chosen.unknowns, chosen.seen
        if not len(self.seen):
            return False
        centres = self.problem.frames.centre[:, :2]
        self.plan = plan_elimination(compute_coupling(self.model, len(centres)), centres)
        return True

    def weigh(self, bend: float, *, redescending: bool) -> float:
        """Fit the loss to the current residuals; return the image sigma's factor."""
        frames = len(np.unique(self.seen.frame))
        self.factor = estimate_image_factor(self.problem, self.unknowns, self.seen, frames)
        self.weighing = ObservationWeighting(image=self.factor, bend=bend, redescending=redescending)
        return self.factor

    @property
    def model(self) -> LeastSquaresModel:
        model = LeastSquaresModel(
            problem=self.problem,
            seen=self.seen,
            weighing=self.weighing,
            sigmas=self.sigmas,
            heights=self.heights,
            shares=np.empty(0),
        )
        if self.heights is None:
            return model
        points = self.seen.point[model.starts]
        tie = points < self.problem.tracks
        return replace(
            model, shares=self.heights.shares(self.unknowns.point[points], self.unknowns.dem) * tie
        )

    def minimise(self, tolerance: float) -> None:
        left = max(self.options.max_iterations - self.iterations, 2)
        solution = minimise(
            self.model,
            self.unknowns,
            self.plan,
            iterations=min(left, 20),
            tolerance=tolerance,
        )
        self.unknowns, self.iterations = solution.unknowns, self.iterations + solution.iterations
        self.progress(
            "adjust", min(self.iterations, self.options.max_iterations), self.options.max_iterations
        )

    def reduction(self) -> ReducedSystem:
        """Return the undamped system at the current unknowns."""
        model = self.model
        return ReducedSystem(model, self.unknowns, build_normal_equations(model, self.unknowns), self.plan)

    def estimate_noise(self) -> None:
        """Estimate new sigmas of positions, attitudes, image points and the DEM."""
        self.weigh(_NARROW_BEND, redescending=True)
        variance = compute_adjusted_variance(
            self.reduction(), *compute_noise_derivatives(self.problem, self.unknowns)
        )
        tied = np.bincount(self.seen.frame, minlength=len(self.problem.frames)) >= self.options.min_ties_tied
        if tied.any():
            self.sigmas, _ = estimate_noise_sigmas(
                self.problem, self.unknowns, self.claimed, self.sigmas, variance, tied
            )
        if self.heights is not None:
            points = self.unknowns.point[np.unique(self.seen.point)]
            residual = self.heights.residuals(points, self.unknowns.dem)
            smooth = self.heights.smoothness(points, self.unknowns.dem)
            sigma = self.heights.sigma_m * estimate_robust_sigma(residual * np.sqrt(smooth))
            claim = self.heights.prior.sigma_height_m
            if np.isfinite(sigma):
                sigma = float(np.clip(sigma, _MIN_DEM_FACTOR * claim, _MAX_DEM_FACTOR * claim))
                self.heights = replace(self.heights, sigma_m=sigma)


def _heights(block: Block, problem: AdjustmentProblem, options: AdjustOptions) -> HeightPrior | None:
    """Return the DEM as a prior, unless it is only an assumed plane."""
    if block.terrain is None or block.terrain.terrain.dem_id.startswith("flat:"):
        return None
    return HeightPrior(
        prior=block.terrain,
        origin=problem.origin,
        sigma_m=block.terrain.sigma_height_m,
        correlation_m=options.dem_correlation_m,
        length_m=options.dem_length_m,
    )


# -- Bundle adjustment of a flight, with acceptance test and untied frames -------------------------


# -- Acceptance test of an adjusted block, by held-out tracks --------------------------------------
#
# The adjustment did not fit them. If the test fails, the priors are kept: an adjustment must never make the
# mosaic worse.


_MIN_OBSERVATIONS = 12
# Least share of the tie observations that fit one block.
_MIN_KEPT = 0.25
# Largest ratio of the held-out median residual to that of the priors.
_NO_WORSE = 1.02
# Largest typical correction, in sigmas as claimed.
_MAX_SIGMAS = 6.0


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutEvidence:
    """Residuals at held-out tracks before and after the adjustment.

    Median image residuals (px, length) with the priors and with the adjusted poses, the share of observations
    that fit, and the typical corrections in sigmas as claimed.
    """

    before_px: float
    after_px: float
    kept: float
    position_sigmas: float
    attitude_sigmas: float
    observations: int


def compare_held_out(
    problem: AdjustmentProblem,
    before: Unknowns,
    after: Unknowns,
    held_out: Observations,
    used: int,
    offered: int,
    claimed: PriorSigmas,
    tied: np.ndarray,
) -> HeldOutEvidence:
    """Compare the block before and after at held-out observations.

    Where there are too few, at those used.
    """
    frames = problem.frames
    bias = np.linalg.norm(after.bias / claimed.bias, axis=-1) / np.sqrt(3.0)
    noise, __ = compute_noise_residuals(problem, after)
    moved = np.linalg.norm(noise[tied] / np.maximum(frames.sigma_position[tied], 1e-3), axis=-1)
    turn = np.einsum("nij,nkj->nik", after.rotation, frames.rotation)[tied]
    angle = np.arccos(np.clip((np.trace(turn, axis1=1, axis2=2) - 1.0) / 2.0, -1.0, 1.0))
    widest = np.linalg.norm(frames.sigma_attitude[tied], axis=-1)
    position = float(np.median(moved)) / np.sqrt(3.0) if moved.size else 0.0
    if all(point.check for point in problem.control):
        # only without ground control: control is there to correct a bias such as a wrong datum
        position = max(position, float(bias.max()))
    return HeldOutEvidence(
        before_px=_median_px(problem, before, held_out),
        after_px=_median_px(problem, after, held_out),
        kept=used / max(offered, 1),
        position_sigmas=position,
        attitude_sigmas=float(np.median(angle / np.maximum(widest, 1e-9))) if angle.size else 0.0,
        observations=used,
    )


def find_objection(evidence: HeldOutEvidence) -> Message | None:
    """Return the reason to keep the priors, if there is one."""
    e = evidence
    if e.observations < _MIN_OBSERVATIONS:
        return _("too few tie point observations could be used ({count}).", count=e.observations)
    if e.kept < _MIN_KEPT:
        return _(
            "only {share:.0%} of the tie point observations fit one block; the others contradict them.",
            share=e.kept,
        )
    if not e.after_px <= _NO_WORSE * e.before_px:
        return _(
            "tie points held out of the adjustment fit no better after it ({after_px:.2f} px) than before "
            "({before_px:.2f} px).",
            after_px=e.after_px,
            before_px=e.before_px,
        )
    if e.position_sigmas > _MAX_SIGMAS or e.attitude_sigmas > _MAX_SIGMAS:
        return _(
            "the adjustment would move photos by {position:.0f} (position) and {attitude:.0f} (attitude) "
            "times their stated accuracy; check their height datum and heading.",
            position=e.position_sigmas,
            attitude=e.attitude_sigmas,
        )
    return None


def _median_px(problem: AdjustmentProblem, unknowns: Unknowns, seen: Observations) -> float:
    if not len(seen):
        return float("nan")
    placed = triangulate(problem, unknowns, seen, refine=True)
    residual = compute_image_residuals(problem, replace(unknowns, point=placed.point), seen)
    length: Floats = np.linalg.norm(residual, axis=-1)
    # a point that cannot be projected counts as the worst residual
    return float(np.median(np.where(np.isfinite(length), length, 1e6)))


# -- Poses of frames without ties: priors, corrected by neighbours in time -------------------------
#
# Bias, boresight and yaw offset of the strip reach them through the adjustment itself. Where the noise of
# neighbours is correlated as well (a receiver's error drifts over seconds), the noise of the frames before
# and after on the same strip is carried over by its own measured correlation, and only by that.
#
# Source: the bridge of an Ornstein-Uhlenbeck process between two known values (kriging in one dimension).


_MIN_PAIRS = 10
# A smaller correlation is not used.
_MIN_CORRELATION = 0.3
_MAX_CORRELATION = 0.98


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectedNoise:
    """Expected noise of carried frames.

    noise          n×6 of (position, attitude), zero for the others
    variance_left  n×2, unexplained share of the noise's variance, 1 where nothing is explained
    """

    noise: Floats
    variance_left: Floats


def interpolate_noise(problem: AdjustmentProblem, unknowns: Unknowns, tied: Bools) -> ExpectedNoise:
    """Interpolate the noise of the frames that are not tied."""
    noise = np.concatenate(compute_noise_residuals(problem, unknowns), axis=-1)
    count = len(noise)
    expected, left = np.zeros((count, 6)), np.ones((count, 2))
    before, after = _neighbours(problem, tied)
    for part, columns in enumerate((slice(0, 3), slice(3, 6))):
        correlation = _correlation(noise[:, columns], _pairs(problem, tied))
        if correlation < _MIN_CORRELATION:
            continue
        for frame in np.flatnonzero(~tied):
            weights, left[frame, part] = _bridge(correlation, before[frame], after[frame])
            for (neighbour, __), weight in zip((before[frame], after[frame]), weights, strict=True):
                if neighbour >= 0:
                    expected[frame, columns] += weight * noise[neighbour, columns]
    return ExpectedNoise(noise=expected, variance_left=left)


def _pairs(problem: AdjustmentProblem, tied: Bools) -> NDArray[np.int64]:
    """Return consecutive tied frames of a strip, K×2."""
    order = _in_time(problem)
    pair = np.column_stack([order[:-1], order[1:]])
    strip, session = problem.frames.strip, problem.frames.session
    same = (strip[pair[:, 0]] == strip[pair[:, 1]]) & (session[pair[:, 0]] == session[pair[:, 1]])
    chosen: NDArray[np.int64] = pair[same & tied[pair].all(axis=1)]
    return chosen


def _correlation(noise: Floats, pairs: NDArray[np.int64]) -> float:
    """Return the correlation of the noise of consecutive frames."""
    if len(pairs) < _MIN_PAIRS:
        return 0.0
    one, two = noise[pairs[:, 0]], noise[pairs[:, 1]]
    power = np.sqrt(np.sum(one * one) * np.sum(two * two))
    return float(np.clip(np.sum(one * two) / max(power, 1e-30), 0.0, _MAX_CORRELATION))


def _neighbours(
    problem: AdjustmentProblem, tied: Bools
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the nearest tied frame before and after each frame on its strip.

    With its distance in frames; -1 if none.
    """
    order = _in_time(problem)
    found: list[list[tuple[int, int]]] = []
    for direction in (order, order[::-1]):
        near: list[tuple[int, int]] = [(-1, 0)] * len(order)
        last, away, strip = -1, 0, (-2, -2)
        for frame in direction.tolist():
            here = (int(problem.frames.strip[frame]), int(problem.frames.session[frame]))
            if here != strip:
                last, away, strip = -1, 0, here
            away += 1
            near[frame] = (last, away)
            if tied[frame]:
                last, away = frame, 0
        found.append(near)
    return found[0], found[1]


def _bridge(correlation: float, before: tuple[int, int], after: tuple[int, int]) -> tuple[list[float], float]:
    """Return the weights of the two neighbours and the share of variance left."""
    a = correlation ** before[1] if before[0] >= 0 else 0.0
    b = correlation ** after[1] if after[0] >= 0 else 0.0
    together = 1.0 - a * a * b * b
    weights = [a * (1.0 - b * b) / together, b * (1.0 - a * a) / together]
    return weights, (1.0 - a * a) * (1.0 - b * b) / together


def _in_time(problem: AdjustmentProblem) -> NDArray[np.int64]:
    return np.lexsort((np.arange(len(problem.frames)), problem.frames.seconds))


# -- Results of an adjustment: frames, cameras and report figures ----------------------------------


_CELLS = 8
_NAN3 = (float("nan"),) * 3
# Differences from the metadata by this many sigmas get a note.
_NOTEWORTHY_SIGMAS = 3.0
# Relative to the prior's information: less is rounding.
_MIN_INFORMATION = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockResiduals:
    """Residuals N×2 of all ties, with flags of those used and held out.

    NaN where rejected or not triangulated.
    """

    residual: Floats
    used: Bools
    held_out: Bools


def compute_block_residuals(
    problem: AdjustmentProblem,
    settled: BlockSolution,
    held_out: Observations,
    options: AdjustOptions,
    ties: int,
) -> tuple[BlockResiduals, Floats]:
    """Return residuals of used and held-out observations, and all points P×3.

    Points of held-out ones are triangulated here with the final poses and pass the same limit. Points are in
    local coordinates.
    """
    residual = np.full((ties, 2), np.nan)
    used, held = np.zeros(ties, dtype=bool), np.zeros(ties, dtype=bool)
    unknowns, seen = settled.unknowns, settled.model.seen
    own = seen.tie >= 0
    residual[seen.tie[own]] = compute_image_residuals(problem, unknowns, seen)[own]
    used[seen.tie[own]] = True
    point = unknowns.point.copy()
    if len(held_out):
        chosen = select_observations(
            problem, unknowns, held_out, settled.model.heights, options, settled.limit_px
        )
        rows = chosen.seen
        residual[rows.tie] = compute_image_residuals(problem, chosen.unknowns, rows)
        held[rows.tie] = True
        placed = np.unique(rows.point)
        point[placed] = chosen.unknowns.point[placed]
    return BlockResiduals(residual=residual, used=used, held_out=held), point


def make_adjustment(
    block: Block,
    problem: AdjustmentProblem,
    settled: BlockSolution,
    fit: BlockResiduals,
    point: Floats,
    options: AdjustOptions,
) -> Adjustment:
    """Make the accepted result."""
    frames = _frames(block, problem, settled, fit, options)
    sigma = np.full((problem.tracks, 3), np.nan)
    ids = settled.model.seen.point[settled.model.starts]
    tie = ids < problem.tracks
    sigma[ids[tie]] = np.sqrt(settled.covariance.points[tie])
    return Adjustment(
        accepted=True,
        reason=None,
        frames=frames,
        interiors=_interiors(problem, settled, options),
        accuracy=_accuracy(problem, settled, fit),
        points_m=point[: problem.tracks] + problem.origin,
        point_sigma_m=sigma,
        residual_px=fit.residual,
        used=fit.used,
        notes=_notes(problem, settled),
        frame_covariance=_covariances(settled, frames),
    )


def _covariances(settled: BlockSolution, frames: Sequence[AdjustedFrame]) -> Floats:
    """Return the 6×6 covariance of each frame for places on the ground.

    Plus the excess of the frames' own sigmas over the solution's (carried frames).
    """
    stated_sigmas = np.array([(*f.exterior.sigma_position_m, *f.exterior.sigma_attitude_rad) for f in frames])
    solved = np.einsum("nii->ni", settled.covariance.frames)
    more = np.maximum(stated_sigmas**2 - solved, 0.0)
    return np.asarray(settled.covariance.on_ground + more[:, :, None] * np.eye(6), dtype=np.float64)


def make_rejected_adjustment(
    block: Block,
    problem: AdjustmentProblem,
    why: Message,
    settled: BlockSolution | None,
    fit: BlockResiduals | None,
) -> Adjustment:
    """Return the unchanged priors, with the reason and the residuals of the attempt."""
    count = len(block.ties.frame)
    return Adjustment(
        accepted=False,
        reason=why,
        frames=[
            AdjustedFrame(
                frame_id=f.frame_id,
                state=FrameState.CARRIED,
                exterior=f.exterior,
                ties=0,
                rms_px=float("nan"),
                cells_pct=0.0,
            )
            for f in block.frames
        ],
        interiors=dict(zip(problem.keys, problem.cameras, strict=True)),
        accuracy=_of_tried(_accuracy(problem, settled, fit)) if settled and fit else _NO_ACCURACY,
        points_m=np.full((problem.tracks, 3), np.nan),
        point_sigma_m=np.full((problem.tracks, 3), np.nan),
        residual_px=fit.residual if fit else np.full((count, 2), np.nan),
        used=np.zeros(count, dtype=bool),
    )


def _of_tried(accuracy: Accuracy) -> Accuracy:
    return replace(accuracy, shift_m=_NAN3, shift_sigma_m=_NAN3, check_m=_NAN3)


def _frames(
    block: Block,
    problem: AdjustmentProblem,
    settled: BlockSolution,
    fit: BlockResiduals,
    options: AdjustOptions,
) -> list[AdjustedFrame]:
    ties = block.ties
    frame, residual = ties.frame[fit.used], fit.residual[fit.used]
    count = np.bincount(frame, minlength=len(block.frames))
    squared = np.bincount(frame, np.sum(residual**2, axis=-1), minlength=len(block.frames))
    cells = _cells(problem, frame, ties.uv_px[fit.used])
    carried = interpolate_noise(problem, settled.unknowns, count > 0)
    sigmas = settled.model.sigmas
    centre = settled.unknowns.centre - carried.noise[:, :3] + problem.origin
    rotation = rotation_from_angle_axis(carried.noise[:, 3:]) @ settled.unknowns.rotation
    variance = np.einsum("nii->ni", settled.covariance.frames).copy()
    variance[:, :3] -= (1.0 - carried.variance_left[:, :1]) * sigmas.position**2
    variance[:, 3:] -= (1.0 - carried.variance_left[:, 1:]) * sigmas.attitude**2
    sigma = np.sqrt(np.maximum(variance, 1e-16))
    result = []
    for i, before in enumerate(block.frames):
        strong = count[i] >= options.min_ties_tied and cells[i] >= options.min_cells
        state = FrameState.TIED if strong else FrameState.WEAK if count[i] else FrameState.CARRIED
        result.append(
            AdjustedFrame(
                frame_id=before.frame_id,
                state=state,
                exterior=_exterior(
                    before.exterior, centre[i], rotation[i], settled.unknowns.turn[i], sigma[i]
                ),
                ties=int(count[i]),
                rms_px=float(np.sqrt(squared[i] / (2 * count[i]))) if count[i] else float("nan"),
                cells_pct=float(100.0 * cells[i] / _CELLS**2),
            )
        )
    return result


def _exterior(
    before: ExteriorOrientation, centre: Floats, rotation: Floats, turn: Floats, sigma: Floats
) -> ExteriorOrientation:
    """Return the next version of a pose, its rotation orthogonalised to the last bit."""
    motion = before.motion
    if motion is not None:
        wx, wy, wz = (float(w) for w in turn)
        motion = replace(motion, turn_radps=(wx, wy, wz))
    left, __, right = np.linalg.svd(rotation)
    east, north, up, about_x, about_y, about_z = (float(s) for s in sigma)
    return replace(
        before,
        projection_centre_m=(float(centre[0]), float(centre[1]), float(centre[2])),
        rotation=to_mat3(left @ right),
        sigma_position_m=(east, north, up),
        sigma_attitude_rad=(about_x, about_y, about_z),
        source=PoseSource.ADJUSTED,
        version=before.version + 1,
        motion=motion,
    )


def _cells(problem: AdjustmentProblem, frame: np.ndarray, uv: Floats) -> Floats:
    """Count the cells of each frame's 8×8 grid that hold an observation."""
    size = np.array([c.image_size_px for c in problem.cameras])[problem.frames.camera[frame]]
    cell = np.clip(np.floor((uv + 0.5) / size * _CELLS), 0, _CELLS - 1).astype(np.int64)
    hit = np.zeros((len(problem.frames), _CELLS * _CELLS), dtype=bool)
    hit[frame, cell[:, 1] * _CELLS + cell[:, 0]] = True
    return np.asarray(hit.sum(axis=1))


def _interiors(
    problem: AdjustmentProblem, settled: BlockSolution, options: AdjustOptions
) -> Mapping[str, InteriorOrientation]:
    if not options.self_calibration:
        return dict(zip(problem.keys, problem.cameras, strict=True))
    result = {}
    for number, (key, interior) in enumerate(zip(problem.keys, problem.cameras, strict=True)):
        result[key] = replace(
            apply_lens_vector(interior, settled.unknowns.lens[number]),
            calibration_id=f"{interior.calibration_id} (adjusted)",
            sigma_focal_rel=float(settled.sigma_focal[number]),
        )
    return result


def _accuracy(problem: AdjustmentProblem, settled: BlockSolution, fit: BlockResiduals) -> Accuracy:
    moved = (settled.unknowns.centre - problem.frames.centre).mean(axis=0)
    sigma = np.sqrt(np.diag(settled.covariance.shift))
    return Accuracy(
        reprojection_px=_rms(fit.residual[fit.used]),
        held_out_px=_rms(fit.residual[fit.held_out]),
        tracks=int(np.count_nonzero(settled.model.seen.point[settled.model.starts] < problem.tracks)),
        observations=int(fit.used.sum()),
        shift_m=(float(moved[0]), float(moved[1]), float(moved[2])),
        shift_sigma_m=(float(sigma[0]), float(sigma[1]), float(sigma[2])),
        check_m=_NAN3,
        sigma0=settled.model.weighing.image,
        iterations=settled.iterations,
    )


def _rms(residual: Floats) -> float:
    return float(np.sqrt(np.mean(residual**2))) if residual.size else float("nan")


def _notes(problem: AdjustmentProblem, settled: BlockSolution) -> tuple[Message, ...]:
    """Return the notes on differences from the metadata."""
    notes = []
    for number, key in enumerate(problem.keys):
        change, claimed = settled.unknowns.lens[number, 0], settled.claimed.lens[number, 0]
        if abs(change) > _NOTEWORTHY_SIGMAS * claimed:
            notes.append(
                _(
                    "{camera}: the focal length differs from its calibration by {change:+.2%} "
                    "(±{sigma:.2%}), {times:.0f} times the calibration's accuracy; the value found by the "
                    "adjustment is used.",
                    camera=key,
                    change=change,
                    sigma=float(settled.sigma_focal[number]),
                    times=abs(change) / claimed,
                )
            )
        elif sentence := _focal_contradiction(settled, number, key):
            notes.append(sentence)
    plan, __, height = (settled.model.sigmas.position / settled.claimed.position).max(axis=0)
    if plan > _NOTEWORTHY_SIGMAS:
        notes.append(
            _("Horizontal positions scatter {times:.1f} times as much as their stated accuracy.", times=plan)
        )
    if height > _NOTEWORTHY_SIGMAS:
        notes.append(_("Heights scatter {times:.1f} times as much as their stated accuracy.", times=height))
    return tuple(notes)


def _focal_contradiction(settled: BlockSolution, number: int, key: str) -> Message | None:
    """Return a note if ties and terrain contradict the calibrated focal length.

    The block's own estimate is the remainder after removing the prior's information w from the solution's:
    at the minimum the data pull with w (solution - prior).
    """
    change, claimed = settled.unknowns.lens[number, 0], settled.claimed.lens[number, 0]
    weight = float(cauchy(np.square(change / claimed), LOOSE_BEND).weight) / claimed**2
    information = 1.0 / float(settled.focal_variance[number]) - weight
    if information <= _MIN_INFORMATION * weight:
        return None
    share = 1.0 + weight / information
    own = change * share
    sigma = float(np.sqrt(1.0 / information + settled.shared_variance[number] * share**2))
    if abs(own) <= _NOTEWORTHY_SIGMAS * np.hypot(sigma, claimed):
        return None
    return _(
        "{camera}: ties and terrain put the focal length {off:+.1%} (±{sigma:.1%}) off its calibration, "
        "which claims ±{claimed:.1%} and was kept: heights may be wrong in that proportion; give the "
        "camera's calibration with --camera.",
        camera=key,
        off=own,
        sigma=sigma,
        claimed=claimed,
    )


def with_control_residuals(result: Adjustment, problem: AdjustmentProblem, placed: Floats) -> Adjustment:
    """Return the result with residuals of control and check points, and check RMS.

    `placed` are control points × 3, triangulated from their marks (NaN where that fails). The rays alone
    determine them: in the adjustment a point is also drawn towards its given position.
    """
    off = placed - problem.control_m
    check = np.array([p.check for p in problem.control], dtype=bool)
    error = np.where(np.isfinite(problem.control_sigma), off, np.nan)[check]
    known = np.isfinite(error)
    squared = np.where(known, error, 0.0) ** 2
    rms = [
        float(np.sqrt(squared[:, a].sum() / known[:, a].sum())) if known[:, a].any() else float("nan")
        for a in range(3)
    ]
    accuracy = replace(result.accuracy, check_m=(rms[0], rms[1], rms[2]))
    return replace(result, accuracy=accuracy, control_residual_m=off)


_NO_ACCURACY = Accuracy(
    reprojection_px=float("nan"),
    held_out_px=float("nan"),
    tracks=0,
    observations=0,
    shift_m=_NAN3,
    shift_sigma_m=_NAN3,
    check_m=_NAN3,
    sigma0=float("nan"),
    iterations=0,
)


# -- Test by ties whether the aircraft stopped for its photos --------------------------------------
#
# Positions and times give the speed from one photo to the next, not whether it stopped in between. Both are
# tried on the same observations with the same weights and the same freedom to rotate; the hypothesis with the
# smaller sum of squared sigmas, priors included, is accepted. Stopping must be the better by a clear step,
# because most flights fly on. Over level ground both give nearly the same mosaic, and cannot be
# distinguished: the flight is then taken to fly on.


STATIONARY_NOTE = _(
    "The aircraft stood still while its photos were read: its speed from one to the next was left out of the "
    "rolling shutter's correction."
)

_ITERATIONS = 15
_TOLERANCE = 0.1
# Difference of squared sigmas: five sigmas. Over a mountain trials gave 40 to 50 (decision 0017).
_CLEARLY = 25.0


def is_stationary(settled: BlockSolution) -> bool:
    """Return True if an adjusted block fits better without its frames' velocities."""
    frames = settled.model.problem.frames
    if not frames.velocity.any():
        return False
    still = replace(settled.model.problem, frames=replace(frames, velocity=np.zeros_like(frames.velocity)))
    resting = replace(settled.model, problem=still)
    return _least_cost(resting, settled) < _least_cost(settled.model, settled) - _CLEARLY


def _least_cost(model: LeastSquaresModel, settled: BlockSolution) -> float:
    centres = model.problem.frames.centre[:, :2]
    plan = plan_elimination(compute_coupling(model, len(centres)), centres)
    return minimise(model, settled.unknowns, plan, iterations=_ITERATIONS, tolerance=_TOLERANCE).cost


def remove_velocities(block: Block) -> Block:
    """Return the block with frames that do not move during readout; they may rotate."""
    return replace(block, frames=tuple(_resting(frame) for frame in block.frames))


def _resting(frame: BlockFrame) -> BlockFrame:
    if frame.exterior.motion is None:
        return frame
    motion = replace(frame.exterior.motion, velocity_mps=(0.0, 0.0, 0.0))
    return replace(frame, exterior=replace(frame.exterior, motion=motion))


# -- Adjustment of a block, or its priors where that is no better ----------------------------------


MIN_HELD_OUT = 0.02
DEFAULTS = AdjustOptions()
NO_TIES = _("no tie points hold the photos together (water, cloud, no overlap, or all from one place).")
# Relative; a larger change is implausible, and lenses are held.
_MAX_FOCAL_CHANGE = 0.15


def _ignore_progress(_stage: str, _done: int, _total: int) -> None:
    """Ignore progress."""


def adjust_block(
    block: Block, options: AdjustOptions = DEFAULTS, progress: Progress = _ignore_progress
) -> Adjustment:
    """Adjust a block, or return its priors with the reason where that is no better.

    Where its ties show that the aircraft stopped for its photos, frames with a motion keep only their
    rotation rate; where a focal length would change implausibly, lenses are held at their calibrations.
    progress is called as (stage, done, total). Raises InputUnusable for a block without frames.
    """
    if not block.frames:
        raise InputUnusable(_("block: there is no frame to adjust: ingest the flight first"))
    problem = build_problem(block, options)
    start = make_starting_values(problem)
    held_out, candidates, marks = _parts(problem, options)
    settled = solve_block(block, problem, start, candidates, options, progress)
    if settled is None:
        return make_rejected_adjustment(block, problem, NO_TIES, None, None)
    focal_change = float(np.abs(settled.unknowns.lens[:, 0]).max())
    if focal_change > _MAX_FOCAL_CHANGE:
        # so large a change absorbs other errors: nothing else of this solution is reliable either
        with_fixed_lens = adjust_block(block, replace(options, self_calibration=False), progress)
        note = _(
            "The focal length would have to change by {change:.0%} and was held at its calibration; give the "
            "camera's calibration with --camera.",
            change=focal_change,
        )
        return replace(with_fixed_lens, notes=(*with_fixed_lens.notes, note))
    # only with self-calibration: errors that a held lens cannot absorb would bias the test either way
    if options.self_calibration and is_stationary(settled):
        still = adjust_block(remove_velocities(block), options, progress)
        return replace(still, notes=(*still.notes, STATIONARY_NOTE)) if still.accepted else still
    fit, point = compute_block_residuals(problem, settled, held_out, options, len(block.ties.frame))
    enough = len(held_out) >= 0.01 * len(candidates) and len(held_out) >= 50
    tied = np.bincount(settled.model.seen.frame, minlength=len(problem.frames)) > 0
    evidence = compare_held_out(
        problem,
        start,
        settled.unknowns,
        held_out if enough else settled.model.seen,
        len(settled.model.seen),
        len(candidates),
        settled.claimed,
        tied,
    )
    if why := find_objection(evidence):
        return make_rejected_adjustment(block, problem, why, settled, fit)
    result = make_adjustment(block, problem, settled, fit, point, options)
    if len(marks):
        placed = triangulate(problem, settled.unknowns, marks, refine=True)
        result = with_control_residuals(result, problem, placed.point[problem.tracks :])
    return result


def _parts(
    problem: AdjustmentProblem, options: AdjustOptions
) -> tuple[Observations, Observations, Observations]:
    """Split the observations into held-out ties, candidates and marks.

    Candidates may take part (ties and control); marks are all of control and check points.
    """
    seen = problem.observations
    held = select_held_out_tracks(problem.tracks, max(options.held_out_share, MIN_HELD_OUT))
    check = np.array([p.check for p in problem.control], dtype=bool)
    outside = np.concatenate([held, check])[seen.point]
    tie = seen.point < problem.tracks
    return seen.take(outside & tie), seen.take(~outside), seen.take(~tie)
