"""Robust losses rho(z²) of residuals z in sigmas, and the weights that make least squares minimise them.

Minimising sum rho is done by reweighting: weight = d rho / d z². Sources: Huber 1964; Holland and Welsch,
Robust Regression Using Iteratively Reweighted Least-Squares, 1977; Lange et al., JASA 84, 1989 (Student-t).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flycam.adjust.block import Floats

# a Gaussian's median absolute value
_MEDIAN_OF_GAUSS = 0.6744897501960817


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """cost and weight, both of the squared residual's shape."""

    cost: Floats
    weight: Floats


def huber(squared: Floats, bend: float) -> Loss:
    """Quadratic up to `bend` sigmas, linear beyond."""
    size = np.sqrt(squared)
    beyond = size > bend
    return Loss(
        cost=np.where(beyond, 2.0 * bend * size - bend * bend, squared),
        weight=np.where(beyond, bend / np.maximum(size, bend), 1.0),
    )


def cauchy(squared: Floats, bend: float) -> Loss:
    """Logarithmic beyond `bend` sigmas: what is far off hardly pulls."""
    ratio = squared / (bend * bend)
    return Loss(cost=bend * bend * np.log1p(ratio), weight=1.0 / (1.0 + ratio))


def compute_ground_loss(residual: Floats, bend: float, covered: bool) -> Loss:
    """Heights over a terrain model, in sigmas: below it linear, above it logarithmic where cover may stand.

    A point far above stands on a tree or a roof and says little; a point far below contradicts the model.
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
    """Robust standard deviation of residuals about 0; redundancy: share of freedom left to them, 0…1."""
    known = np.abs(residuals[np.isfinite(residuals)])
    if not known.size:
        return float("nan")
    return float(np.median(known)) / _MEDIAN_OF_GAUSS / float(np.sqrt(max(redundancy, 0.05)))
