"""Noise of positions and attitudes, estimated from the block itself: variance components.

Metadata say ±1.5 m of every consumer receiver; a block of a hundred frames knows better. Each group's factor
is what its residuals say, with the metadata's own claim counted like a few more observations, so that three
photos change nothing. Source: Förstner, Ein Verfahren zur Schätzung von Varianz- und Kovarianzkomponenten,
AVN 1979.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flycam.adjust.block import Floats
from flycam.adjust.priors import NOISE_BEND, PriorSigmas, noise_residuals
from flycam.adjust.problem import Bools, Problem
from flycam.adjust.unknowns import Unknowns

# the metadata's claim counts as much as this many residuals
_CLAIM = 6.0
_LEAST_REDUNDANCY = 0.05
_LEAST, _MOST = 0.02, 50.0
# columns of (position, attitude) that share one factor
_GROUPS = ((0, 1), (2,), (3, 4), (5,))


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseFactors:
    """How the noise differs from what was claimed: horizontal, vertical, tilt (x, y), turn (z)."""

    horizontal: float
    vertical: float
    tilt: float
    turn: float


def reestimated(
    problem: Problem,
    unknowns: Unknowns,
    claimed: PriorSigmas,
    believed: PriorSigmas,
    variance: Floats,
    tied: Bools,
) -> tuple[PriorSigmas, NoiseFactors]:
    """Sigmas with new noise, from the residuals of the tied frames.

    claimed   by the metadata; believed in the solution at hand
    variance  n×6 of the adjusted (centre, turn) relative to the block: what of each observation went into it
    """
    residual = np.concatenate(noise_residuals(problem, unknowns), axis=-1)[tied]
    before = np.concatenate([claimed.position, claimed.attitude], axis=-1)
    now = np.concatenate([believed.position, believed.attitude], axis=-1)[tied]
    free = np.clip(1.0 - variance[tied] / now**2, _LEAST_REDUNDANCY, 1.0)
    factors = []
    for columns in _GROUPS:
        at = list(columns)
        squared = np.square(residual[:, at] / before[tied][:, at])
        typical = np.median(squared) / 0.455 if squared.size else 1.0
        # a wild fix is the loss's business, not the noise's
        kept = np.minimum(squared, NOISE_BEND**2 * max(typical, 1e-12))
        factor = (_CLAIM + kept.sum()) / (_CLAIM + free[:, at].sum())
        factors.append(float(np.clip(np.sqrt(factor), _LEAST, _MOST)))
    horizontal, vertical, tilt, turn = factors
    scale = np.array([horizontal, horizontal, vertical, tilt, tilt, turn])
    sigmas = replace(claimed, position=before[:, :3] * scale[:3], attitude=before[:, 3:] * scale[3:])
    return sigmas, NoiseFactors(horizontal=horizontal, vertical=vertical, tilt=tilt, turn=turn)
