"""Bundle adjustment of a flight.

Poses, lenses and shift that best explain its tie points and priors.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flycam.adjust.acceptance import compare_held_out, find_objection
from flycam.adjust.block import Adjustment, Block
from flycam.adjust.observation_selection import select_held_out_tracks
from flycam.adjust.options import AdjustOptions
from flycam.adjust.problem import AdjustmentProblem, Observations, build_problem, make_starting_values
from flycam.adjust.results import (
    compute_block_residuals,
    make_adjustment,
    make_rejected_adjustment,
    with_control_residuals,
)
from flycam.adjust.solver import Progress, solve_block
from flycam.adjust.stationary_check import STATIONARY_NOTE, is_stationary, remove_velocities
from flycam.adjust.triangulation import triangulate
from flycam.errors import InputUnusable
from flycam.messages import _

__all__ = ["MIN_HELD_OUT", "AdjustOptions", "adjust_block"]

MIN_HELD_OUT = 0.02
DEFAULTS = AdjustOptions()
NO_TIES = _("no tie points hold the photos together (water, cloud, no overlap, or all from one place).")
# Relative; a larger change is implausible, and lenses are held.
_MAX_FOCAL_CHANGE = 0.15


def _ignore_progress(_stage: str, _done: int, _total: int) -> None:
    """Ignore progress."""


def adjust_block(
    block: Block, options: AdjustOptions = DEFAULTS, progress: Progress = _ignore_progress
) -> Adjustment:
    """Adjust a block, or return its priors with the reason where that is no better.

    Where its ties show that the aircraft stopped for its photos, frames with a motion keep only their
    rotation rate; where a focal length would change implausibly, lenses are held at their calibrations.
    progress is called as (stage, done, total). Raises InputUnusable for a block without frames.
    """
    if not block.frames:
        raise InputUnusable(_("block: there is no frame to adjust: ingest the flight first"))
    problem = build_problem(block, options)
    start = make_starting_values(problem)
    held_out, candidates, marks = _parts(problem, options)
    settled = solve_block(block, problem, start, candidates, options, progress)
    if settled is None:
        return make_rejected_adjustment(block, problem, NO_TIES, None, None)
    focal_change = float(np.abs(settled.unknowns.lens[:, 0]).max())
    if focal_change > _MAX_FOCAL_CHANGE:
        # so large a change absorbs other errors: nothing else of this solution is reliable either
        held = adjust_block(block, replace(options, self_calibration=False), progress)
        note = _(
            "The focal length would have to change by {change:.0%} and was held at its calibration; give the "
            "camera's calibration with --camera.",
            change=focal_change,
        )
        return replace(held, notes=(*held.notes, note))
    # only with self-calibration: errors that a held lens cannot absorb would bias the test either way
    if options.self_calibration and is_stationary(settled):
        still = adjust_block(remove_velocities(block), options, progress)
        return replace(still, notes=(*still.notes, STATIONARY_NOTE)) if still.accepted else still
    fit, point = compute_block_residuals(problem, settled, held_out, options, len(block.ties.frame))
    enough = len(held_out) >= 0.01 * len(candidates) and len(held_out) >= 50
    tied = np.bincount(settled.model.seen.frame, minlength=len(problem.frames)) > 0
    evidence = compare_held_out(
        problem,
        start,
        settled.unknowns,
        held_out if enough else settled.model.seen,
        len(settled.model.seen),
        len(candidates),
        settled.claimed,
        tied,
    )
    if why := find_objection(evidence):
        return make_rejected_adjustment(block, problem, why, settled, fit)
    result = make_adjustment(block, problem, settled, fit, point, options)
    if len(marks):
        placed = triangulate(problem, settled.unknowns, marks, refine=True)
        result = with_control_residuals(result, problem, placed.point[problem.tracks :])
    return result


def _parts(
    problem: AdjustmentProblem, options: AdjustOptions
) -> tuple[Observations, Observations, Observations]:
    """Split the observations into held-out ties, candidates and marks.

    Candidates may take part (ties and control); marks are all of control and check points.
    """
    seen = problem.observations
    held = select_held_out_tracks(problem.tracks, max(options.held_out_share, MIN_HELD_OUT))
    check = np.array([p.check for p in problem.control], dtype=bool)
    outside = np.concatenate([held, check])[seen.point]
    tie = seen.point < problem.tracks
    return seen.take(outside & tie), seen.take(~outside), seen.take(~tie)
