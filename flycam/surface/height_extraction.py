"""Height of each post from a volume of agreements, with its reliability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.surface.semi_global import aggregate_costs

Singles = NDArray[np.float32]

# Penalties of the aggregation, in units of agreement (a correlation): a change by one step, and by more.
STEP_PENALTY, JUMP_PENALTY = 0.05, 0.4
# Labels this near to the winner belong to its own peak.
_PEAK_LABELS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class BestHeights:
    """Heights of posts (rows×cols).

    dz_m       over the base
    agreement  at that height
    margin     agreement above the best one elsewhere (negative: another height is better)
    curvature  of the agreement at its peak, per square metre, >= 0
    """

    dz_m: Singles
    agreement: Singles
    margin: Singles
    curvature: Singles


def select_best_heights(volume: Singles, heights_m: Singles) -> BestHeights:
    """Aggregate an agreement volume (heights×rows×cols) and select the best heights.

    To a fraction of a step.
    """
    total = aggregate_costs(np.float32(1.0) - volume, STEP_PENALTY, JUMP_PENALTY)
    best = total.argmin(axis=0)
    last = heights_m.size - 1
    inner = np.clip(best, 1, last - 1)
    step = np.float32(heights_m[1] - heights_m[0])

    def take(cube: Singles, label: NDArray[np.intp]) -> Singles:
        return np.asarray(np.take_along_axis(cube, label[None], axis=0)[0], np.float32)

    below, here, above = (take(total, inner + k) for k in (-1, 0, 1))
    bend = below - 2.0 * here + above
    part = np.where(bend > 1e-6, 0.5 * (below - above) / np.maximum(bend, 1e-6), 0.0)
    part = np.where(best == inner, np.clip(part, -0.5, 0.5), 0.0)
    low, mid, high = (take(volume, inner + k) for k in (-1, 0, 1))
    curvature = np.maximum(2.0 * mid - low - high, 0.0) / (step * step)
    elsewhere = np.full_like(mid, -1.0)
    for label in range(heights_m.size):
        away = np.abs(best - label) > _PEAK_LABELS
        np.maximum(elsewhere, volume[label], out=elsewhere, where=away)
    agreement = take(volume, best)
    return BestHeights(
        dz_m=(heights_m[best] + part * step).astype(np.float32),
        agreement=agreement,
        margin=agreement - elsewhere,
        curvature=curvature.astype(np.float32),
    )
