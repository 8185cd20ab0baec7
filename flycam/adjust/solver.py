"""Solution of a block in rounds: select observations, minimise, select again.

The loss starts wide, because poses are wrong at first by many pixels, and narrows to the noise of the
residuals. Then the noise of positions, attitudes and the DEM is estimated as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from flycam.adjust.block import Block
from flycam.adjust.covariance import Covariance, compute_adjusted_variance, compute_full_covariance
from flycam.adjust.height_prior import HeightPrior
from flycam.adjust.levenberg_marquardt import minimise
from flycam.adjust.nested_dissection import plan_elimination
from flycam.adjust.normal_equations import LeastSquaresModel, ObservationWeighting, build_normal_equations
from flycam.adjust.observation_selection import (
    ObservationSelection,
    estimate_image_factor,
    select_observations,
)
from flycam.adjust.options import AdjustOptions
from flycam.adjust.priors import PriorSigmas, compute_noise_derivatives, make_prior_sigmas
from flycam.adjust.problem import AdjustmentProblem, Observations
from flycam.adjust.reduced_system import ReducedSystem, compute_coupling
from flycam.adjust.robust_loss import estimate_robust_sigma
from flycam.adjust.unknowns import Unknowns
from flycam.adjust.variance_components import estimate_noise_sigmas

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
