"""Acceptance test of an adjusted block, by held-out tracks.

The adjustment did not fit them. If the test fails, the priors are kept: an adjustment must never make
the mosaic worse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flycam.adjust.block import Floats
from flycam.adjust.priors import PriorSigmas, compute_noise_residuals
from flycam.adjust.problem import AdjustmentProblem, Observations
from flycam.adjust.reprojection import compute_image_residuals
from flycam.adjust.triangulation import triangulate
from flycam.adjust.unknowns import Unknowns
from flycam.messages import Message, _

_MIN_OBSERVATIONS = 12
# Least share of the tie observations that fit one block.
_MIN_KEPT = 0.25
# Largest ratio of the held-out median residual to that of the priors.
_NO_WORSE = 1.02
# Largest typical correction, in sigmas as claimed.
_MAX_SIGMAS = 6.0


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutEvidence:
    """Residuals at held-out tracks before and after the adjustment.

    Median image residuals (px, length) with the priors and with the adjusted poses, the share of observations
    that fit, and the typical corrections in sigmas as claimed.
    """

    before_px: float
    after_px: float
    kept: float
    position_sigmas: float
    attitude_sigmas: float
    observations: int


def compare_held_out(
    problem: AdjustmentProblem,
    before: Unknowns,
    after: Unknowns,
    held_out: Observations,
    used: int,
    offered: int,
    claimed: PriorSigmas,
    tied: np.ndarray,
) -> HeldOutEvidence:
    """Compare the block before and after at held-out observations.

    Where there are too few, at those used.
    """
    frames = problem.frames
    bias = np.linalg.norm(after.bias / claimed.bias, axis=-1) / np.sqrt(3.0)
    noise, __ = compute_noise_residuals(problem, after)
    moved = np.linalg.norm(noise[tied] / np.maximum(frames.sigma_position[tied], 1e-3), axis=-1)
    turn = np.einsum("nij,nkj->nik", after.rotation, frames.rotation)[tied]
    angle = np.arccos(np.clip((np.trace(turn, axis1=1, axis2=2) - 1.0) / 2.0, -1.0, 1.0))
    widest = np.linalg.norm(frames.sigma_attitude[tied], axis=-1)
    position = float(np.median(moved)) / np.sqrt(3.0) if moved.size else 0.0
    if all(point.check for point in problem.control):
        # only without ground control: control is there to correct a bias such as a wrong datum
        position = max(position, float(bias.max()))
    return HeldOutEvidence(
        before_px=_median_px(problem, before, held_out),
        after_px=_median_px(problem, after, held_out),
        kept=used / max(offered, 1),
        position_sigmas=position,
        attitude_sigmas=float(np.median(angle / np.maximum(widest, 1e-9))) if angle.size else 0.0,
        observations=used,
    )


def find_objection(evidence: HeldOutEvidence) -> Message | None:
    """Return the reason to keep the priors, if there is one."""
    e = evidence
    if e.observations < _MIN_OBSERVATIONS:
        return _("too few tie point observations could be used ({count}).", count=e.observations)
    if e.kept < _MIN_KEPT:
        return _(
            "only {share:.0%} of the tie point observations fit one block; the others contradict them.",
            share=e.kept,
        )
    if not e.after_px <= _NO_WORSE * e.before_px:
        return _(
            "tie points held out of the adjustment fit no better after it ({after_px:.2f} px) than before "
            "({before_px:.2f} px).",
            after_px=e.after_px,
            before_px=e.before_px,
        )
    if e.position_sigmas > _MAX_SIGMAS or e.attitude_sigmas > _MAX_SIGMAS:
        return _(
            "the adjustment would move photos by {position:.0f} (position) and {attitude:.0f} (attitude) "
            "times their stated accuracy; check their height datum and heading.",
            position=e.position_sigmas,
            attitude=e.attitude_sigmas,
        )
    return None


def _median_px(problem: AdjustmentProblem, unknowns: Unknowns, seen: Observations) -> float:
    if not len(seen):
        return float("nan")
    placed = triangulate(problem, unknowns, seen, refine=True)
    residual = compute_image_residuals(problem, replace(unknowns, point=placed.point), seen)
    length: Floats = np.linalg.norm(residual, axis=-1)
    # a point that cannot be projected counts as the worst residual
    return float(np.median(np.where(np.isfinite(length), length, 1e6)))
