"""Covariances of frames and points, without the block's common shift.

Relative positions in a block are far better known than absolute ones. With e_i the error of frame i and e its
mean over the block, a frame's own sigma is that of e_i - e, and the shift's that of e. For places on the
ground the mean is that of the ground (`compute_ground_derivatives`). Only the blocks of the inverse that
belong to frames and to pairs that see a common point are ever computed.

The covariance accounts for terrain errors that neighbouring squares share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from flycam.geometry.projection import compute_rotation_derivative
from flycam.mosaic.adjustment.block import POSE_UNKNOWNS, Floats, Unknowns
from flycam.mosaic.adjustment.minimisation import ReducedSystem
from flycam.mosaic.adjustment.normal_equations import HeightPrior, LeastSquaresModel

# -- Mean shift of the ground that a block shows, by small changes of its frames -------------------
#
# A block that is rotated about a horizontal axis, or whose cameras all look a little aside, shows its ground
# displaced by height times angle, everywhere alike, though its projection centres are unchanged. For places
# on the ground that is a part of the common shift. So uncertainties on the ground are relative to this mean,
# and not to the mean of the projection centres.


# Least downward component of a ray: the far ground of flatter views would dominate the mean.
_MIN_DOWN = 0.2


def compute_ground_derivatives(
    centre: Floats,
    rotation: Floats,
    point: Floats,
    frame: NDArray[np.int32],
    observed: NDArray[np.integer[Any]],
) -> Floats:
    """Return derivatives n×6×3 of the block's mean position by each frame's pose.

    The mean is (east, north of the ground at the image centres, height of the projection centres); the
    pose is centre and rotation about the camera's axes. centre n×3, rotation n×3×3, points P×3 in one
    system; observation k is of point observed[k] in frame[k], at least one in all. The ground under a
    frame is at the mean height of the points that it sees, or of all points where it sees none.
    """
    count = len(centre)
    height = point[observed, 2]
    seen = np.bincount(frame, minlength=count)
    level = np.where(
        seen > 0, np.bincount(frame, height, minlength=count) / np.maximum(seen, 1), height.mean()
    )
    # viewing axis in world axes
    ray = rotation[:, 2]
    down = np.minimum(ray[:, 2], -_MIN_DOWN)
    away = (level - centre[:, 2]) / down
    in_camera = np.zeros((count, 3))
    in_camera[:, 2] = away
    # negative as in geometry.expected_error: the image point is fixed, the camera rotates
    turned = -rotation.transpose(0, 2, 1) @ compute_rotation_derivative(in_camera)
    moved = np.concatenate([np.broadcast_to(np.eye(3), (count, 3, 3)), turned], axis=2)
    on_ground = moved[:, :2] - (ray[:, :2] / down[:, None])[:, :, None] * moved[:, 2:]
    functional = np.zeros((count, 6, 3))
    functional[:, :, :2] = on_ground.transpose(0, 2, 1)
    functional[:, 2, 2] = 1.0
    return functional / count


# -- Effect of correlated terrain errors on a block's covariance -----------------------------------
#
# Heights of the DEM are weighted as if the errors of its squares were independent, which keeps the normal
# equations sparse. But they are correlated over hundreds of metres: neighbouring squares have the same error,
# and tilt, bend and raise a block together by more than their weights imply. The estimate is left as it is;
# its covariance accounts for the effect of each square's error, and for the correlation of squares:
#
#     C = N⁻¹ + X (R - I) X',   X = N⁻¹ J'W s,   R = exp(-d² / L²)
#
# with s an error of one sigma of a whole square. The covariance of a least-squares estimate under weights
# that differ from the observations' covariance: Mikhail and Ackermann, Observations and Least Squares, 1976;
# the same as White's sandwich (Econometrica 48, 1980) with a known middle.


# In larger blocks the squares' side is doubled, so that the solutions of all fit into memory.
_MAX_SQUARES = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedTerrainErrors:
    """Effect of terrain errors that squares share.

    moved  n×6×K: change of every frame (centre, rotation about its camera's axes) by an error of one sigma in
           each of K squares
    more   K×K: correlation of the squares' errors, less what the weights include
    """

    moved: Floats
    more: Floats

    def frame_covariance(self, functional: Floats) -> Floats:
        """Return n×6×6 to add to frames whose centres are relative to a sum over frames.

        functional  n×6×3, the sum's derivatives by the frames
        """
        relative = self.moved.copy()
        relative[:, :3] -= self._of(functional)
        added: Floats = relative @ self.more @ relative.transpose(0, 2, 1)
        return added

    def mean_covariance(self, functional: Floats) -> Floats:
        """Return 3×3 to add to the covariance of such a sum."""
        moved = self._of(functional)
        added: Floats = moved @ self.more @ moved.T
        return added

    def _of(self, functional: Floats) -> Floats:
        moved: Floats = np.einsum("nij,nik->jk", functional, self.moved)
        return moved


def compute_shared_terrain_errors(
    reduction: ReducedSystem, model: LeastSquaresModel, unknowns: Unknowns
) -> SharedTerrainErrors | None:
    """Compute the effect of squares that hold tie points.

    None without a terrain model.
    """
    heights = model.heights
    if heights is None:
        return None
    points = unknowns.point[model.seen.point[model.starts]]
    pull = _pulls(heights, model, unknowns, points)
    affected = np.flatnonzero(pull.any(axis=1))
    if not affected.size:
        return None
    square, parts = _squares(heights, points[affected])
    count = len(parts)
    # rows: squares, columns: points; sums over the points of each square
    collect = csr_matrix((np.ones(affected.size), (square, affected)), shape=(count, len(points)))
    frames = np.zeros((reduction.normals.frame_gradient.size, count))
    response = np.einsum("qij,qj->qi", reduction.point_inverse, pull)
    belongs = np.full(len(points), -1)
    belongs[affected] = square
    for part in reduction.parts:
        of = np.repeat(belongs[part.points], 3)
        known = of >= 0
        values = response[part.points].reshape(-1)[known]
        right = csr_matrix((values, (np.flatnonzero(known), of[known])), shape=(len(of), count))
        frames -= (part.cross.T @ right).toarray()
    border = np.zeros((reduction.border.shape[1], count))
    border[unknowns.layout.dem] -= (collect @ pull).T
    border[reduction.seen] -= (collect @ np.einsum("qij,qi->qj", reduction.point_border, pull)).T
    solved = reduction.solve(frames, border)[0]
    moved = solved.reshape(reduction.factor.count, reduction.factor.size, count)[:, :POSE_UNKNOWNS]
    middle = (collect @ points[:, :2]) / np.asarray(collect.sum(axis=1))
    distance_sq = np.square(middle[:, None] - middle[None]).sum(axis=-1)
    correlation = np.exp(-distance_sq / heights.length_m**2)
    return SharedTerrainErrors(moved=moved, more=correlation - np.diag(1.0 / parts))


def _pulls(heights: HeightPrior, model: LeastSquaresModel, unknowns: Unknowns, points: Floats) -> Floats:
    """Return J'W of an error of one sigma of the terrain's height under each point.

    Q×3, as in the normal equations.
    """
    residual = heights.residuals(points, unknowns.dem)
    weight = heights.loss(residual).weight * model.shares
    pull: Floats = np.where(
        weight[:, None] > 0.0, heights.derivatives(points, unknowns.dem) * weight[:, None], 0.0
    )
    return pull


def _squares(heights: HeightPrior, points: Floats) -> tuple[np.ndarray, Floats]:
    """Number each point's square, and count the weight squares in each."""
    small = heights.squares(points)
    side = 1
    while True:
        _, first, number = np.unique(small // side, axis=0, return_index=True, return_inverse=True)
        if len(first) <= _MAX_SQUARES:
            break
        side *= 2
    kinds, of = np.unique(small, axis=0, return_inverse=True)
    owner = np.empty(len(kinds), dtype=np.int64)
    owner[of.reshape(-1)] = number.reshape(-1)
    return number.reshape(-1), np.bincount(owner, minlength=len(first)).astype(np.float64)


# -- Covariances relative to the block's mean ------------------------------------------------------


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

    All but points include errors that squares of the terrain share (`SharedTerrainErrors`).
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
