"""Logistic regression with weights and a ridge: what the detector's coefficients come from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from flycam.change.features import Logistic


def fit(
    cues: tuple[str, ...],
    values: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    *,
    products: bool,
    ridge: float,
) -> Logistic:
    """Weighted logistic regression with a ridge on everything but the bias (L-BFGS)."""
    weights = weights / weights.sum()
    mean = weights @ values
    spread = np.sqrt(weights @ (values - mean) ** 2) + 1e-6
    plain = Logistic(
        cues=cues,
        mean=tuple(mean.tolist()),
        spread=tuple(spread.tolist()),
        bias=0.0,
        weights=(0.0,) * len(cues),
    )
    x = plain.standardise(values)
    pairs = [(i, j) for i in range(len(cues)) for j in range(i, len(cues))] if products else []
    design = np.concatenate([x, *(x[:, i : i + 1] * x[:, j : j + 1] for i, j in pairs)], axis=1)
    sign = np.where(labels, 1.0, -1.0)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = sign * (design @ w[1:] + w[0])
        p = 1.0 / (1.0 + np.exp(np.clip(z, -500, 500)))
        pull = -weights * sign * p
        gradient = np.concatenate([[pull.sum()], design.T @ pull + ridge * w[1:]])
        return float(weights @ np.logaddexp(0.0, -z) + 0.5 * ridge * (w[1:] @ w[1:])), gradient

    w = minimize(loss, np.zeros(design.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 400}).x
    rest = w[1 + len(cues) :]
    return replace(
        plain,
        bias=float(w[0]),
        weights=tuple(w[1 : 1 + len(cues)].tolist()),
        products=tuple((i, j, float(v)) for (i, j), v in zip(pairs, rest, strict=True)),
    )


def balanced(labels: np.ndarray, weights: np.ndarray, share: float) -> np.ndarray:
    """Weights under which `share` of everything is positive."""
    out = weights.astype(float).copy()
    out[labels] *= share / out[labels].sum()
    out[~labels] *= (1.0 - share) / out[~labels].sum()
    return out
