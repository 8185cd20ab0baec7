"""Covariances of frames and points, with the block's common shift removed.

Relative positions in a block are far better known than absolute ones. With e_i the error of frame i and e
its mean over the block, a frame's own sigma is that of e_i - e, and the shift's that of e. For places on the
ground the mean is that of the ground (`ground_shift`). Only the blocks of the inverse that belong to frames
and to pairs that see a common point are ever computed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import Floats
from flycam.adjust.ground_shift import compute_ground_derivatives
from flycam.adjust.normal_equations import LeastSquaresModel
from flycam.adjust.reduced_system import ReducedSystem
from flycam.adjust.shared_terrain_error import compute_shared_terrain_errors
from flycam.adjust.unknowns import POSE_UNKNOWNS, Unknowns

_CHUNK_PAIRS = 200_000
# Observations at a time: each takes up a row for every border unknown.
_CHUNK_ROWS = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Covariance:
    """Covariances relative to the block's mean.

    frames     n×6×6 of (centre, rotation about the camera's axes), centres relative to the block's mean
    points     Q×3 variances relative to it
    on_ground  n×6×6 as frames, but east and north relative to the mean of the ground shown
    shift      3×3 of that mean, and of the centres' mean height

    All but points include errors that squares of the terrain share (`shared_terrain_error`).
    """

    frames: Floats
    shift: Floats
    points: Floats
    on_ground: Floats


def _relative(frames: Floats, with_mean: Floats, mean: Floats) -> Floats:
    """Subtract a mean from the frames' centres in their covariance n×6×6.

    with_mean  n×6×3, covariance of each frame with the mean
    mean       3×3
    """
    relative = frames.copy()
    relative[:, :, :3] -= with_mean
    relative[:, :3, :] -= with_mean.transpose(0, 2, 1)
    relative[:, :3, :3] += mean
    return relative


def compute_adjusted_variance(reduction: ReducedSystem, by_frame: Floats, by_border: Floats) -> Floats:
    """Return variances n×6 of the adjusted values of each frame's six observations.

    by_frame n×6×k, by_border n×6×m: the observations' derivatives. Frame and border count together: the part
    of a position's noise that a bias absorbs is as little a residual as the projection centre's part.
    """
    count = reduction.factor.count
    each = np.arange(count)
    lean = reduction.solved_border.reshape(count, reduction.factor.size, -1)
    own = by_border - by_frame @ lean
    core = reduction.core.solve(np.eye(lean.shape[-1]))
    inside = by_frame @ reduction.factor.inverse(each, each)
    known: Floats = np.sum(inside * by_frame, axis=-1) + np.sum((own @ core) * own, axis=-1)
    return known


def compute_full_covariance(
    reduction: ReducedSystem, model: LeastSquaresModel, unknowns: Unknowns
) -> Covariance:
    """Compute the covariances of frames, shift and points at these unknowns."""
    frames = _frames(reduction)
    with_mean = _of_poses(reduction, _mean_columns(reduction)[0])
    of_mean = with_mean[:, :3].mean(axis=0)
    ground = compute_ground_derivatives(
        unknowns.centre, unknowns.rotation, unknowns.point, model.seen.frame, model.seen.point
    )
    with_ground = _of_poses(reduction, _columns(reduction, ground)[0])
    of_ground = np.einsum("nij,nik->jk", ground, with_ground)
    found = Covariance(
        frames=_relative(frames, with_mean, of_mean),
        shift=of_ground,
        points=_points(reduction, model, of_mean),
        on_ground=_relative(frames, with_ground, of_ground),
    )
    shared = compute_shared_terrain_errors(reduction, model, unknowns)
    if shared is None:
        return found
    mean = _mean_centre(reduction)
    return replace(
        found,
        frames=found.frames + shared.frame_covariance(mean),
        shift=found.shift + shared.mean_covariance(ground),
        on_ground=found.on_ground + shared.frame_covariance(ground),
    )


def _frames(reduction: ReducedSystem) -> Floats:
    """Return the covariance of every frame, n×6×6."""
    count = reduction.factor.count
    each = np.arange(count)
    blocks = reduction.factor.inverse(each, each)
    lean = reduction.solved_border.reshape(count, reduction.factor.size, -1)
    core = reduction.core.solve(np.eye(lean.shape[-1]))
    blocks = blocks + lean @ core @ lean.transpose(0, 2, 1)
    return np.asarray(blocks[:, :POSE_UNKNOWNS, :POSE_UNKNOWNS], dtype=np.float64)


def _mean_columns(reduction: ReducedSystem) -> tuple[Floats, Floats]:
    """Return the covariance of all unknowns with the mean centre.

    Frame unknowns n·k×3, border unknowns m×3.
    """
    return _columns(reduction, _mean_centre(reduction))


def _mean_centre(reduction: ReducedSystem) -> Floats:
    """Return derivatives n×6×3 of the mean centre by the poses."""
    count = reduction.factor.count
    mean = np.zeros((count, POSE_UNKNOWNS, 3))
    mean[:, :3] = np.eye(3) / count
    return mean


def _columns(reduction: ReducedSystem, by_pose: Floats) -> tuple[Floats, Floats]:
    """Return the covariance of all unknowns with three sums over frames.

    Of frame unknowns n·k×3 and border unknowns m×3; by_pose n×6×3 are the sums' derivatives by the poses.
    """
    right = np.zeros((reduction.factor.count, reduction.factor.size, 3))
    right[:, :POSE_UNKNOWNS] = by_pose
    return reduction.solve(right.reshape(-1, 3), np.zeros((reduction.border.shape[1], 3)))


def _of_poses(reduction: ReducedSystem, columns: Floats) -> Floats:
    """Select the poses, n×6×3, from columns n·k×3 of all frame unknowns."""
    return columns.reshape(reduction.factor.count, reduction.factor.size, 3)[:, :POSE_UNKNOWNS]


def _points(reduction: ReducedSystem, model: LeastSquaresModel, shift: Floats) -> Floats:
    """Return variances Q×3 of points relative to the mean centre.

    A point follows the frames and the border by dp = -V^-1 (E' df + G' db) and has V^-1 of its own.
    """
    starts = np.r_[model.starts, len(model.seen)]
    owner, frame = reduction.owner, model.seen.frame
    follow = reduction.point_inverse[owner] @ reduction.normals.cross
    variance = np.einsum("qii->qi", reduction.point_inverse).copy()

    size = reduction.factor.size
    lean = reduction.solved_border.reshape(reduction.factor.count, size, -1)
    border = np.zeros((len(model.starts), 3, lean.shape[-1]))
    border[:, :, reduction.seen] = reduction.point_border
    with_mean, border_mean = _mean_columns(reduction)
    with_mean = with_mean.reshape(-1, size, 3)
    towards = np.zeros((len(model.starts), 3, 3))
    for low in range(0, len(frame), _CHUNK_ROWS):
        part = slice(low, low + _CHUNK_ROWS)
        # a track may span two chunks: sums are added, not set
        first, last = owner[part][0], owner[part][-1]
        begin = np.flatnonzero(np.r_[True, np.diff(owner[part]) != 0])
        border[first : last + 1] -= np.add.reduceat(follow[part] @ lean[frame[part]], begin)
        towards[first : last + 1] -= np.add.reduceat(follow[part] @ with_mean[frame[part]], begin)
    towards -= reduction.point_border @ border_mean[reduction.seen]
    core = reduction.core.solve(np.eye(lean.shape[-1]))
    variance += np.sum((border @ core) * border, axis=-1)
    variance += _through_frames(reduction, follow, frame, starts)
    variance += np.diag(shift) - 2.0 * np.einsum("qii->qi", towards)
    known: Floats = np.maximum(variance, 0.0)
    return known


def _through_frames(
    reduction: ReducedSystem, follow: Floats, frame: NDArray[np.int32], starts: NDArray[np.int64]
) -> Floats:
    """Sum K_i A^-1_ij K_j' over all pairs of a track's observations.

    Its diagonal, Q×3.
    """
    total = np.zeros((len(starts) - 1, 3))
    ends = np.repeat(starts[1:], np.diff(starts))
    # partners of each observation from itself on
    later = ends - np.arange(len(frame))
    bounds = np.r_[0, np.cumsum(later)]
    cuts = np.searchsorted(bounds, np.arange(_CHUNK_PAIRS, bounds[-1], _CHUNK_PAIRS))
    edges = np.unique(np.r_[0, cuts, len(frame)])
    keys, blocks = _pair_blocks(reduction, frame, later, edges)
    for low, high in pairwise(edges.tolist()):
        one, two = _pairs(later, low, high)
        block = blocks[np.searchsorted(keys, _key(reduction, frame[one], frame[two]))]
        product = np.sum((follow[one] @ block) * follow[two], axis=-1)
        product *= np.where(one == two, 1.0, 2.0)[:, None]
        number = reduction.owner[one]
        begin = np.flatnonzero(np.r_[True, np.diff(number) != 0])
        total[number[begin]] += np.add.reduceat(product, begin)
    return total


def _pair_blocks(
    reduction: ReducedSystem, frame: NDArray[np.int32], later: NDArray[np.int64], edges: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Floats]:
    """Return the pairs of frames that occur, as sorted keys, and their A^-1 blocks."""
    found = [
        np.unique(_key(reduction, frame[one], frame[two]))
        for one, two in (_pairs(later, a, b) for a, b in pairwise(edges.tolist()))
    ]
    keys = np.unique(np.concatenate(found))
    count = reduction.factor.count
    return keys, reduction.factor.inverse(keys // count, keys % count)


def _pairs(later: NDArray[np.int64], low: int, high: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair observations low … high-1 with their later partners in the same track.

    Each is its own first partner.
    """
    one = np.repeat(np.arange(low, high), later[low:high])
    begin = np.repeat(np.cumsum(later[low:high]) - later[low:high], later[low:high])
    return one, one + np.arange(len(one)) - begin


def _key(reduction: ReducedSystem, one: NDArray[np.int32], two: NDArray[np.int32]) -> NDArray[np.int64]:
    key: NDArray[np.int64] = one.astype(np.int64) * reduction.factor.count + two
    return key
