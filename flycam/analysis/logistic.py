"""Logistic model small enough to read: named features, weights, and weights of their products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float32]
Doubles = NDArray[np.float64]

_CHUNK_ROWS = 64
# nothing was fitted farther out, and squares would run away
_MAX_STANDARD = 1.6


@dataclass(frozen=True, kw_only=True)
class Logistic:
    """Logistic model with products of features.

    p = 1 / (1 + exp(-z)), z = bias + Σ w_i x_i + Σ_{i≤j} v_ij x_i x_j, x = (cue - mean) / spread, held within
    ±1.6: nothing was fitted farther out, and squares would run away.

    cues      names, in the order of the weights
    weights   one for each cue
    products  (i, j, v) for pairs of cues, by number; none in a plain model
    """

    cues: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    bias: float
    weights: tuple[float, ...]
    products: tuple[tuple[int, int, float], ...] = ()

    def logits(self, values: Doubles) -> Doubles:
        """Return z of N×len(cues) values."""
        x = self.standardise(values)
        z = self.bias + x @ np.array(self.weights)
        if self.products:
            z = z + np.einsum("ni,ij,nj->n", x, self._matrix(), x)
        return np.asarray(z, np.float64)

    def standardise(self, values: Doubles) -> Doubles:
        """Return x of N×len(cues) values."""
        x = (values - np.array(self.mean)) / np.array(self.spread)
        return np.asarray(np.clip(x, -_MAX_STANDARD, _MAX_STANDARD), np.float64)

    def logit_planes(self, planes: Reals) -> Reals:
        """Return z of each cell of len(cues)×H×W planes, a few rows at a time."""
        count, height, width = planes.shape
        mean = np.array(self.mean, np.float32)[:, None]
        spread = np.array(self.spread, np.float32)[:, None]
        weights, matrix = np.array(self.weights, np.float32), self._matrix().astype(np.float32)
        out = np.empty((height, width), np.float32)
        for row in range(0, height, _CHUNK_ROWS):
            part = planes[:, row : row + _CHUNK_ROWS].reshape(count, -1)
            x = np.clip((part - mean) / spread, -_MAX_STANDARD, _MAX_STANDARD)
            z = weights @ x + np.float32(self.bias)
            if self.products:
                z += ((matrix @ x) * x).sum(axis=0)
            out[row : row + _CHUNK_ROWS] = z.reshape(-1, width)
        return out

    def _matrix(self) -> Doubles:
        matrix = np.zeros((len(self.cues), len(self.cues)))
        for i, j, value in self.products:
            matrix[i, j] += value
        return matrix


def to_probability(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Convert logits to probabilities: 1 / (1 + exp(-z))."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0))))
