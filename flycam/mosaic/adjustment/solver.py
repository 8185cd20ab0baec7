"""Solution of a block in rounds, with estimated noise of its priors.

Each round selects observations and minimises. The loss starts wide, because poses are wrong at first by many
pixels, and narrows to the noise of the residuals. Then the noise of positions, attitudes and the DEM is
estimated as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from flycam.mosaic.adjustment.block import (
    AdjustmentProblem,
    AdjustOptions,
    Block,
    Bools,
    Floats,
    Observations,
    Unknowns,
)
from flycam.mosaic.adjustment.covariance import Covariance, compute_adjusted_variance, compute_full_covariance
from flycam.mosaic.adjustment.minimisation import ReducedSystem, compute_coupling, minimise, plan_elimination
from flycam.mosaic.adjustment.normal_equations import (
    HeightPrior,
    LeastSquaresModel,
    ObservationWeighting,
    build_normal_equations,
)
from flycam.mosaic.adjustment.observations import (
    ObservationSelection,
    estimate_image_factor,
    select_observations,
)
from flycam.mosaic.adjustment.priors import (
    NOISE_BEND,
    PriorSigmas,
    compute_noise_derivatives,
    compute_noise_residuals,
    estimate_robust_sigma,
    make_prior_sigmas,
)

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
    lens       covariance of the lens vectors, (9·cameras)²
    """

    unknowns: Unknowns
    model: LeastSquaresModel
    claimed: PriorSigmas
    covariance: Covariance
    lens: np.ndarray
    limit_px: float
    iterations: int


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
    for _ in range(_NOISE_ROUNDS if options.estimate_noise else 0):
        work.estimate_noise()
        work.minimise(_FINE)
    limit_px = options.outlier_sigmas * work.weigh(_NARROW_BEND, redescending=True) * work.typical
    if not work.select(work.unknowns, limit_px):
        return None
    work.minimise(_LAST)
    reduction = work.reduction()
    lens = work.unknowns.layout.lens
    return BlockSolution(
        unknowns=work.unknowns,
        model=work.model,
        claimed=claimed,
        covariance=compute_full_covariance(reduction, work.model, work.unknowns),
        lens=reduction.core.solve(np.eye(work.unknowns.layout.size))[lens, lens],
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
