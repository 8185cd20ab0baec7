"""Levenberg-Marquardt on a model that stays as it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flycam.adjust.dissection import Front
from flycam.adjust.factor import NotPositiveDefinite
from flycam.adjust.normals import Model, normal_equations
from flycam.adjust.reduction import Reduction, Step
from flycam.adjust.unknowns import Unknowns

_FIRST_DAMPING = 1e-4
_MOST_DAMPING = 1e6
_LEAST_DAMPING = 1e-10


@dataclass(frozen=True, kw_only=True, slots=True)
class Solution:
    """Unknowns at the minimum, the cost there, and how many linearisations it took."""

    unknowns: Unknowns
    cost: float
    iterations: int
    converged: bool


def minimise(
    model: Model, unknowns: Unknowns, plan: list[Front], *, iterations: int, tolerance: float
) -> Solution:
    """Minimise `model.cost` from `unknowns`; done when the cost falls by less than `tolerance` of itself.

    A step that does not lower the cost is never taken, so the result is not worse than the start.
    """
    cost, damping = model.cost(unknowns), _FIRST_DAMPING
    for done in range(1, iterations + 1):
        normals = normal_equations(model, unknowns)
        while True:
            try:
                step = Reduction(model, unknowns, normals, plan, damping).step()
                moved = _moved(model, unknowns, step)
                new_cost = model.cost(moved)
            except NotPositiveDefinite:
                new_cost = np.inf
            if new_cost <= cost:
                break
            damping = max(damping * 10.0, _FIRST_DAMPING)
            if damping > _MOST_DAMPING:
                return Solution(unknowns=unknowns, cost=cost, iterations=done, converged=True)
        fall, cost, unknowns = cost - new_cost, new_cost, moved
        damping = max(damping * 0.1, _LEAST_DAMPING)
        if fall <= tolerance * cost:
            return Solution(unknowns=unknowns, cost=cost, iterations=done, converged=True)
    return Solution(unknowns=unknowns, cost=cost, iterations=iterations, converged=False)


def _moved(model: Model, unknowns: Unknowns, step: Step) -> Unknowns:
    points = np.zeros_like(unknowns.point)
    points[model.seen.point[model.starts]] = step.points
    return unknowns.moved(step.frames, step.border, points)
