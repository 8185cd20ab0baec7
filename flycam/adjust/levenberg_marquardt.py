"""Levenberg-Marquardt minimisation of a fixed model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flycam.adjust.cholesky import NotPositiveDefinite
from flycam.adjust.nested_dissection import Front
from flycam.adjust.normal_equations import LeastSquaresModel, build_normal_equations
from flycam.adjust.reduced_system import ReducedSystem, SolverStep
from flycam.adjust.unknowns import Unknowns

# The images dominate the diagonal, a million times what determines the block's tilt and scale: the least
# damping would freeze those. So the first steps are Gauss-Newton, damped only where they fail.
_FIRST_DAMPING = 1e-6
_MAX_DAMPING = 1e6
_MIN_DAMPING = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Solution:
    """Unknowns at the minimum, the cost there, and the number of linearisations."""

    unknowns: Unknowns
    cost: float
    iterations: int
    converged: bool


def minimise(
    model: LeastSquaresModel, unknowns: Unknowns, plan: list[Front], *, iterations: int, tolerance: float
) -> Solution:
    """Minimise `model.cost` from `unknowns`.

    Converged when frames, lenses and shifts together move by less than `tolerance` squared sigmas: single bad
    points may still be moving. A step that does not lower the cost is never taken, so the result is not worse
    than the start.
    """
    cost, damping = model.cost(unknowns), 0.0
    for done in range(1, iterations + 1):
        normals = build_normal_equations(model, unknowns)
        while True:
            try:
                step = ReducedSystem(model, unknowns, normals, plan, damping).step()
                moved = _moved(model, unknowns, step)
                new_cost = model.cost(moved)
            except NotPositiveDefinite:
                new_cost = np.inf
            if new_cost <= cost:
                break
            damping = max(damping * 10.0, _FIRST_DAMPING)
            if damping > _MAX_DAMPING:
                return Solution(unknowns=unknowns, cost=cost, iterations=done, converged=True)
        cost, unknowns = new_cost, moved
        damping = damping * 0.01 if damping > _MIN_DAMPING else 0.0
        if step.decrement <= tolerance:
            return Solution(unknowns=unknowns, cost=cost, iterations=done, converged=True)
    return Solution(unknowns=unknowns, cost=cost, iterations=iterations, converged=False)


def _moved(model: LeastSquaresModel, unknowns: Unknowns, step: SolverStep) -> Unknowns:
    points = np.zeros_like(unknowns.point)
    points[model.seen.point[model.starts]] = step.points
    return unknowns.stepped(step.frames, step.border, points)
