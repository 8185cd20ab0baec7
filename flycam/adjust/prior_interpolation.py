"""Poses of frames without ties: priors, corrected by neighbours in time.

Bias, boresight and yaw offset of the strip reach them through the adjustment itself. Where the noise of
neighbours is correlated as well (a receiver's error drifts over seconds), the noise of the frames before and
after on the same strip is carried over by its own measured correlation, and only by that.

Source: the bridge of an Ornstein-Uhlenbeck process between two known values (kriging in one dimension).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import Floats
from flycam.adjust.priors import compute_noise_residuals
from flycam.adjust.problem import AdjustmentProblem, Bools
from flycam.adjust.unknowns import Unknowns

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
            for (neighbour, _), weight in zip((before[frame], after[frame]), weights, strict=True):
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
