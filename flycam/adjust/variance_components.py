"""Variance components: noise of positions and attitudes from the block itself.

Metadata state ±1.5 m for every consumer receiver; a block of a hundred frames knows better. Each group's
factor is estimated from its residuals, with the metadata's claim counted like a few more observations, so
that three photos change nothing. Source: Förstner, Ein Verfahren zur Schätzung von Varianz- und
Kovarianzkomponenten, AVN 1979.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flycam.adjust.block import Floats
from flycam.adjust.priors import NOISE_BEND, PriorSigmas, compute_noise_residuals
from flycam.adjust.problem import AdjustmentProblem, Bools
from flycam.adjust.unknowns import Unknowns

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
        kept = np.minimum(squared, NOISE_BEND**2 * max(typical, 1e-12))
        freedom = float(free[:, at].sum())
        found = np.sqrt(max(float(kept.sum()), 1e-12) / max(freedom, 1e-12))
        # shrunk towards 1 as a ratio: a claim ten times too large is as wrong as one ten times too small
        factors.append(float(np.clip(found, _MIN_FACTOR, _MAX_FACTOR) ** (freedom / (freedom + _CLAIM))))
    horizontal, vertical, x, y, z = factors
    scale = np.array([horizontal, horizontal, vertical, x, y, z])
    sigmas = replace(claimed, position=before[:, :3] * scale[:3], attitude=before[:, 3:] * scale[3:])
    return sigmas, NoiseFactors(horizontal=horizontal, vertical=vertical, about_x=x, about_y=y, about_z=z)
