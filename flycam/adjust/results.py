"""Results of an adjustment: unknowns as frames, cameras and report figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from flycam.adjust.block import Accuracy, AdjustedFrame, Adjustment, Block, Floats, FrameState
from flycam.adjust.observation_selection import select_observations
from flycam.adjust.options import AdjustOptions
from flycam.adjust.prior_interpolation import interpolate_noise
from flycam.adjust.priors import LOOSE_BEND
from flycam.adjust.problem import AdjustmentProblem, Bools, Observations
from flycam.adjust.reprojection import compute_image_residuals
from flycam.adjust.robust_loss import cauchy
from flycam.adjust.solver import BlockSolution
from flycam.geometry.exterior import ExteriorOrientation, PoseSource
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.projection import apply_lens_vector
from flycam.geometry.rotation import rotation_from_angle_axis, to_mat3
from flycam.messages import Message, _

_CELLS = 8
_NAN3 = (float("nan"),) * 3
# Differences from the metadata by this many sigmas get a note.
_NOTEWORTHY_SIGMAS = 3.0
# Relative to the prior's information: less is rounding.
_MIN_INFORMATION = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockResiduals:
    """Residuals N×2 of all ties, with flags of those used and held out.

    NaN where rejected or not triangulated.
    """

    residual: Floats
    used: Bools
    held_out: Bools


def compute_block_residuals(
    problem: AdjustmentProblem,
    settled: BlockSolution,
    held_out: Observations,
    options: AdjustOptions,
    ties: int,
) -> tuple[BlockResiduals, Floats]:
    """Return residuals of used and held-out observations, and all points P×3.

    Points of held-out ones are triangulated here with the final poses and pass the same limit. Points are in
    local coordinates.
    """
    residual = np.full((ties, 2), np.nan)
    used, held = np.zeros(ties, dtype=bool), np.zeros(ties, dtype=bool)
    unknowns, seen = settled.unknowns, settled.model.seen
    own = seen.tie >= 0
    residual[seen.tie[own]] = compute_image_residuals(problem, unknowns, seen)[own]
    used[seen.tie[own]] = True
    point = unknowns.point.copy()
    if len(held_out):
        chosen = select_observations(
            problem, unknowns, held_out, settled.model.heights, options, settled.limit_px
        )
        rows = chosen.seen
        residual[rows.tie] = compute_image_residuals(problem, chosen.unknowns, rows)
        held[rows.tie] = True
        placed = np.unique(rows.point)
        point[placed] = chosen.unknowns.point[placed]
    return BlockResiduals(residual=residual, used=used, held_out=held), point


def make_adjustment(
    block: Block,
    problem: AdjustmentProblem,
    settled: BlockSolution,
    fit: BlockResiduals,
    point: Floats,
    options: AdjustOptions,
) -> Adjustment:
    """Make the accepted result."""
    frames = _frames(block, problem, settled, fit, options)
    sigma = np.full((problem.tracks, 3), np.nan)
    ids = settled.model.seen.point[settled.model.starts]
    tie = ids < problem.tracks
    sigma[ids[tie]] = np.sqrt(settled.covariance.points[tie])
    return Adjustment(
        accepted=True,
        reason=None,
        frames=frames,
        interiors=_interiors(problem, settled, options),
        accuracy=_accuracy(problem, settled, fit),
        points_m=point[: problem.tracks] + problem.origin,
        point_sigma_m=sigma,
        residual_px=fit.residual,
        used=fit.used,
        notes=_notes(problem, settled),
        frame_covariance=_covariances(settled, frames),
    )


def _covariances(settled: BlockSolution, frames: Sequence[AdjustedFrame]) -> Floats:
    """Return the 6×6 covariance of each frame for places on the ground.

    Plus the excess of the frames' own sigmas over the solution's (carried frames).
    """
    said = np.array([(*f.exterior.sigma_position_m, *f.exterior.sigma_attitude_rad) for f in frames])
    solved = np.einsum("nii->ni", settled.covariance.frames)
    more = np.maximum(said**2 - solved, 0.0)
    return np.asarray(settled.covariance.on_ground + more[:, :, None] * np.eye(6), dtype=np.float64)


def make_rejected_adjustment(
    block: Block,
    problem: AdjustmentProblem,
    why: Message,
    settled: BlockSolution | None,
    fit: BlockResiduals | None,
) -> Adjustment:
    """Return the unchanged priors, with the reason and the residuals of the attempt."""
    count = len(block.ties.frame)
    return Adjustment(
        accepted=False,
        reason=why,
        frames=[
            AdjustedFrame(
                frame_id=f.frame_id,
                state=FrameState.CARRIED,
                exterior=f.exterior,
                ties=0,
                rms_px=float("nan"),
                cells_pct=0.0,
            )
            for f in block.frames
        ],
        interiors=dict(zip(problem.keys, problem.cameras, strict=True)),
        accuracy=_of_tried(_accuracy(problem, settled, fit)) if settled and fit else _NO_ACCURACY,
        points_m=np.full((problem.tracks, 3), np.nan),
        point_sigma_m=np.full((problem.tracks, 3), np.nan),
        residual_px=fit.residual if fit else np.full((count, 2), np.nan),
        used=np.zeros(count, dtype=bool),
    )


def _of_tried(accuracy: Accuracy) -> Accuracy:
    return replace(accuracy, shift_m=_NAN3, shift_sigma_m=_NAN3, check_m=_NAN3)


def _frames(
    block: Block,
    problem: AdjustmentProblem,
    settled: BlockSolution,
    fit: BlockResiduals,
    options: AdjustOptions,
) -> list[AdjustedFrame]:
    ties = block.ties
    frame, residual = ties.frame[fit.used], fit.residual[fit.used]
    count = np.bincount(frame, minlength=len(block.frames))
    squared = np.bincount(frame, np.sum(residual**2, axis=-1), minlength=len(block.frames))
    cells = _cells(problem, frame, ties.uv_px[fit.used])
    carried = interpolate_noise(problem, settled.unknowns, count > 0)
    sigmas = settled.model.sigmas
    centre = settled.unknowns.centre - carried.noise[:, :3] + problem.origin
    rotation = rotation_from_angle_axis(carried.noise[:, 3:]) @ settled.unknowns.rotation
    variance = np.einsum("nii->ni", settled.covariance.frames).copy()
    variance[:, :3] -= (1.0 - carried.variance_left[:, :1]) * sigmas.position**2
    variance[:, 3:] -= (1.0 - carried.variance_left[:, 1:]) * sigmas.attitude**2
    sigma = np.sqrt(np.maximum(variance, 1e-16))
    result = []
    for i, before in enumerate(block.frames):
        strong = count[i] >= options.min_ties_tied and cells[i] >= options.min_cells
        state = FrameState.TIED if strong else FrameState.WEAK if count[i] else FrameState.CARRIED
        result.append(
            AdjustedFrame(
                frame_id=before.frame_id,
                state=state,
                exterior=_exterior(
                    before.exterior, centre[i], rotation[i], settled.unknowns.turn[i], sigma[i]
                ),
                ties=int(count[i]),
                rms_px=float(np.sqrt(squared[i] / (2 * count[i]))) if count[i] else float("nan"),
                cells_pct=float(100.0 * cells[i] / _CELLS**2),
            )
        )
    return result


def _exterior(
    before: ExteriorOrientation, centre: Floats, rotation: Floats, turn: Floats, sigma: Floats
) -> ExteriorOrientation:
    """Return the next version of a pose, its rotation orthogonalised to the last bit."""
    motion = before.motion
    if motion is not None:
        wx, wy, wz = (float(w) for w in turn)
        motion = replace(motion, turn_radps=(wx, wy, wz))
    left, __, right = np.linalg.svd(rotation)
    east, north, up, about_x, about_y, about_z = (float(s) for s in sigma)
    return replace(
        before,
        projection_centre_m=(float(centre[0]), float(centre[1]), float(centre[2])),
        rotation=to_mat3(left @ right),
        sigma_position_m=(east, north, up),
        sigma_attitude_rad=(about_x, about_y, about_z),
        source=PoseSource.ADJUSTED,
        version=before.version + 1,
        motion=motion,
    )


def _cells(problem: AdjustmentProblem, frame: np.ndarray, uv: Floats) -> Floats:
    """Count the cells of each frame's 8×8 grid that hold an observation."""
    size = np.array([c.image_size_px for c in problem.cameras])[problem.frames.camera[frame]]
    cell = np.clip(np.floor((uv + 0.5) / size * _CELLS), 0, _CELLS - 1).astype(np.int64)
    hit = np.zeros((len(problem.frames), _CELLS * _CELLS), dtype=bool)
    hit[frame, cell[:, 1] * _CELLS + cell[:, 0]] = True
    return np.asarray(hit.sum(axis=1))


def _interiors(
    problem: AdjustmentProblem, settled: BlockSolution, options: AdjustOptions
) -> Mapping[str, InteriorOrientation]:
    if not options.self_calibration:
        return dict(zip(problem.keys, problem.cameras, strict=True))
    width = settled.unknowns.lens.shape[1]
    result = {}
    for number, (key, interior) in enumerate(zip(problem.keys, problem.cameras, strict=True)):
        sigma = float(np.sqrt(settled.lens[number * width, number * width]))
        result[key] = replace(
            apply_lens_vector(interior, settled.unknowns.lens[number]),
            calibration_id=f"{interior.calibration_id} (adjusted)",
            sigma_focal_rel=sigma,
        )
    return result


def _accuracy(problem: AdjustmentProblem, settled: BlockSolution, fit: BlockResiduals) -> Accuracy:
    moved = (settled.unknowns.centre - problem.frames.centre).mean(axis=0)
    sigma = np.sqrt(np.diag(settled.covariance.shift))
    return Accuracy(
        reprojection_px=_rms(fit.residual[fit.used]),
        held_out_px=_rms(fit.residual[fit.held_out]),
        tracks=int(np.count_nonzero(settled.model.seen.point[settled.model.starts] < problem.tracks)),
        observations=int(fit.used.sum()),
        shift_m=(float(moved[0]), float(moved[1]), float(moved[2])),
        shift_sigma_m=(float(sigma[0]), float(sigma[1]), float(sigma[2])),
        check_m=_NAN3,
        sigma0=settled.model.weighing.image,
        iterations=settled.iterations,
    )


def _rms(residual: Floats) -> float:
    return float(np.sqrt(np.mean(residual**2))) if residual.size else float("nan")


def _notes(problem: AdjustmentProblem, settled: BlockSolution) -> tuple[Message, ...]:
    """Return the notes on differences from the metadata."""
    notes = []
    for number, key in enumerate(problem.keys):
        change, claimed = settled.unknowns.lens[number, 0], settled.claimed.lens[number, 0]
        if abs(change) > _NOTEWORTHY_SIGMAS * claimed:
            notes.append(
                _(
                    "{camera}: the focal length differs from its calibration by {change:+.2%}, {times:.0f} "
                    "times the stated accuracy; the value found by the adjustment is used.",
                    camera=key,
                    change=change,
                    times=abs(change) / claimed,
                )
            )
        elif sentence := _focal_contradiction(settled, number, key):
            notes.append(sentence)
    plan, __, height = (settled.model.sigmas.position / settled.claimed.position).max(axis=0)
    if plan > _NOTEWORTHY_SIGMAS:
        notes.append(
            _("Horizontal positions scatter {times:.1f} times as much as their stated accuracy.", times=plan)
        )
    if height > _NOTEWORTHY_SIGMAS:
        notes.append(_("Heights scatter {times:.1f} times as much as their stated accuracy.", times=height))
    return tuple(notes)


def _focal_contradiction(settled: BlockSolution, number: int, key: str) -> Message | None:
    """Return a note if ties and terrain contradict the calibrated focal length.

    The block's own estimate is the remainder after removing the prior's information w from the solution's:
    at the minimum the data pull with w (solution - prior).
    """
    width = settled.unknowns.lens.shape[1]
    change, claimed = settled.unknowns.lens[number, 0], settled.claimed.lens[number, 0]
    weight = float(cauchy(np.square(change / claimed), LOOSE_BEND).weight) / claimed**2
    information = 1.0 / settled.lens[number * width, number * width] - weight
    if information <= _MIN_INFORMATION * weight:
        return None
    own = change + weight * change / information
    sigma = float(np.sqrt(1.0 / information))
    if abs(own) <= _NOTEWORTHY_SIGMAS * np.hypot(sigma, claimed):
        return None
    return _(
        "{camera}: ties and terrain put the focal length {off:+.1%} (±{sigma:.1%}) off its calibration, "
        "which claims ±{claimed:.1%} and was kept: heights may be wrong in that proportion; give the "
        "camera's calibration with --camera.",
        camera=key,
        off=own,
        sigma=sigma,
        claimed=claimed,
    )


def with_control_residuals(result: Adjustment, problem: AdjustmentProblem, placed: Floats) -> Adjustment:
    """Return the result with residuals of control and check points, and check RMS.

    `placed` are control points × 3, triangulated from their marks (NaN where that fails). The rays alone
    determine them: in the adjustment a point is also drawn towards its given position.
    """
    off = placed - problem.control_m
    check = np.array([p.check for p in problem.control], dtype=bool)
    error = np.where(np.isfinite(problem.control_sigma), off, np.nan)[check]
    known = np.isfinite(error)
    squared = np.where(known, error, 0.0) ** 2
    rms = [
        float(np.sqrt(squared[:, a].sum() / known[:, a].sum())) if known[:, a].any() else float("nan")
        for a in range(3)
    ]
    accuracy = replace(result.accuracy, check_m=(rms[0], rms[1], rms[2]))
    return replace(result, accuracy=accuracy, control_residual_m=off)


_NO_ACCURACY = Accuracy(
    reprojection_px=float("nan"),
    held_out_px=float("nan"),
    tracks=0,
    observations=0,
    shift_m=_NAN3,
    shift_sigma_m=_NAN3,
    check_m=_NAN3,
    sigma0=float("nan"),
    iterations=0,
)
