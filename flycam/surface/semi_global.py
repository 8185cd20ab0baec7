"""Semi-global aggregation of an agreement volume.

Smooth where the images have no texture, with steps where they show them. Hirschmüller, Stereo processing by
semi-global matching and mutual information, PAMI 30(2), 2008; here over heights above ground posts instead
of disparities, a whole scan line of posts at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]


def aggregate_costs(cost: Singles, small: float, large: float) -> Singles:
    """Return the mean of the path costs over four directions.

    cost   heights×rows×cols, lower is better
    small  penalty for a change by one step of height between neighbours
    large  penalty for a larger one

    Returns the shape of cost.
    """
    total = _both_ways(cost, small, large)
    turned = np.ascontiguousarray(cost.transpose(0, 2, 1))
    total += _both_ways(turned, small, large).transpose(0, 2, 1)
    total *= np.float32(0.25)
    return total


def _both_ways(cost: Singles, small: float, large: float) -> Singles:
    """Sum the path costs down and up the rows."""
    total = np.zeros_like(cost)
    rows = cost.shape[1]
    for order in (range(rows), range(rows - 1, -1, -1)):
        path: Singles | None = None
        for row in order:
            path = _step(path, cost[:, row], np.float32(small), np.float32(large))
            total[:, row] += path
    return total


def _step(before: Singles | None, cost: Singles, small: np.float32, large: np.float32) -> Singles:
    if before is None:
        return cost.copy()
    lowest = before.min(axis=0)
    best = np.minimum(before, lowest + large)
    raised = before + small
    np.minimum(best[1:], raised[:-1], out=best[1:])
    np.minimum(best[:-1], raised[1:], out=best[:-1])
    best += cost
    best -= lowest
    result: Singles = best
    return result
