"""Robust losses rho(z²) of residuals z in sigmas, and their weights.

Minimising sum rho is done by reweighting: weight = d rho / d z². Sources: Huber 1964; Holland and Welsch,
Robust Regression Using Iteratively Reweighted Least-Squares, 1977; Lange et al., JASA 84, 1989 (Student-t).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flycam.adjust.block import Floats

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
