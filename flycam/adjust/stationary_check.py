"""Test by the ties whether the aircraft stopped for each of its photos.

Positions and times give the speed from one photo to the next, not whether it stopped in between. Both are
tried on the same observations with the same weights and the same freedom to rotate; the hypothesis with the
smaller sum of squared sigmas, priors included, is accepted. Stopping must be the better by a clear step,
because most flights fly on. Over level ground both give nearly the same mosaic, and cannot be distinguished:
the flight is then taken to fly on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flycam.adjust.block import Block, BlockFrame
from flycam.adjust.levenberg_marquardt import minimise
from flycam.adjust.nested_dissection import plan_elimination
from flycam.adjust.normal_equations import LeastSquaresModel
from flycam.adjust.reduced_system import compute_coupling
from flycam.adjust.solver import BlockSolution
from flycam.messages import _

STATIONARY_NOTE = _(
    "The aircraft stood still while its photos were read: its speed from one to the next was left out of the "
    "rolling shutter's correction."
)

_ITERATIONS = 15
_TOLERANCE = 0.1
# Difference of squared sigmas: five sigmas. Over a mountain trials gave 40 to 50 (decision 0017).
_CLEARLY = 25.0


def is_stationary(settled: BlockSolution) -> bool:
    """Return True if an adjusted block fits better without its frames' velocities."""
    frames = settled.model.problem.frames
    if not frames.velocity.any():
        return False
    still = replace(settled.model.problem, frames=replace(frames, velocity=np.zeros_like(frames.velocity)))
    resting = replace(settled.model, problem=still)
    return _least_cost(resting, settled) < _least_cost(settled.model, settled) - _CLEARLY


def _least_cost(model: LeastSquaresModel, settled: BlockSolution) -> float:
    centres = model.problem.frames.centre[:, :2]
    plan = plan_elimination(compute_coupling(model, len(centres)), centres)
    return minimise(model, settled.unknowns, plan, iterations=_ITERATIONS, tolerance=_TOLERANCE).cost


def remove_velocities(block: Block) -> Block:
    """Return the block with frames that do not move during readout; they may rotate."""
    return replace(block, frames=tuple(_resting(frame) for frame in block.frames))


def _resting(frame: BlockFrame) -> BlockFrame:
    if frame.exterior.motion is None:
        return frame
    motion = replace(frame.exterior.motion, velocity_mps=(0.0, 0.0, 0.0))
    return replace(frame, exterior=replace(frame.exterior, motion=motion))
