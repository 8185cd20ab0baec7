"""Levenberg-Marquardt minimisation with a multifrontal Cholesky factor; covariances.

The normal equations without points have sparse frames and a dense border. Frames are eliminated by nested
dissection, front by front.

The factor is that of a block-sparse normal matrix, and yields its inverse too. Every front is a small dense
matrix, so that all arithmetic is LAPACK's; the loop is over fronts (a few for every hundred frames). The
inverse is computed on the factor's own sparsity only: the 6×6 blocks of every frame and of every pair of
frames that see a common point, at the cost of one more factorisation.

Sources: Duff and Reid, ACM TOMS 9(3), 1983 (multifrontal); Erisman and Tinney, Comm. ACM 18(3), 1975, after
Takahashi et al. 1973 (selected inverse).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.sparse import bsr_matrix, csr_matrix

from flycam.geometry.projection import LENS_UNKNOWNS, compute_rotation_derivative
from flycam.mosaic.adjustment.block import POSE_UNKNOWNS, Floats, Unknowns, split_chunks
from flycam.mosaic.adjustment.normal_equations import (
    HeightPrior,
    LeastSquaresModel,
    Normals,
    build_normal_equations,
    linearise_reprojection,
)

# -- Nested dissection: an elimination order of frames that keeps the factor sparse ----------------
#
# A set of frames is cut in two across its longer side; the frames of one half that share tie points with the
# other half are the separator and are eliminated last. A flight over an area then costs about n^1.5 instead
# of n^3, in any order and direction of its strips.
#
# Source: George, Nested Dissection of a Regular Finite Element Mesh, SIAM J. Numer. Anal. 10(2), 1973.

Indices = NDArray[np.int64]

_LEAF_FRAMES = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Front:
    """One step of the elimination.

    pivots    frames that are eliminated here
    boundary  frames eliminated later that these are connected with, directly or by fill
    parent    number of the front that receives the remainder, -1 at a root
    """

    pivots: Indices
    boundary: Indices
    parent: int


def plan_elimination(pattern: csr_matrix, positions_m: Floats) -> list[Front]:
    """Plan fronts, children before parents, that eliminate every frame once.

    pattern      n×n symmetric; a stored entry couples two frames (values are ignored)
    positions_m  n×2, only used to decide where to cut
    """
    groups = _Groups(pattern, positions_m)
    groups.cut(np.arange(pattern.shape[0]))
    return _symbolic(pattern, groups.pivots)


class _Groups:
    """Pivot sets in elimination order."""

    def __init__(self, pattern: csr_matrix, positions_m: Floats) -> None:
        self.pattern = pattern
        self.positions = positions_m
        self.side = np.zeros(pattern.shape[0], dtype=np.int8)
        self.pivots: list[Indices] = []

    def cut(self, frames: Indices) -> None:
        """Append the pivot sets of `frames`: those of both halves, then the separator."""
        if len(frames) <= _LEAF_FRAMES:
            if len(frames):
                self.pivots.append(frames)
            return
        first, second = self._halves(frames)
        separator = self._separator(first, second)
        if len(separator) > 0.5 * len(frames):
            self.pivots.append(frames)
            return
        self.cut(np.setdiff1d(first, separator))
        self.cut(np.setdiff1d(second, separator))
        if len(separator):
            self.pivots.append(separator)

    def _halves(self, frames: Indices) -> tuple[Indices, Indices]:
        """Split the set across its longer side, along its principal axes.

        Ties go by number.
        """
        offset = self.positions[frames] - self.positions[frames].mean(axis=0)
        axis = np.linalg.eigh(offset.T @ offset)[1][:, -1]
        order = np.lexsort((frames, np.round(offset @ axis, 6)))
        middle = len(frames) // 2
        return np.sort(frames[order[:middle]]), np.sort(frames[order[middle:]])

    def _separator(self, first: Indices, second: Indices) -> Indices:
        """Return the smaller of the two sets of frames that touch the other half."""
        touching = []
        for own, other in ((first, second), (second, first)):
            self.side[other] = 1
            rows = self.pattern[own]
            hit = np.add.reduceat(
                np.r_[self.side[rows.indices], 0].astype(np.int64), np.minimum(rows.indptr[:-1], rows.nnz)
            )
            hit[np.diff(rows.indptr) == 0] = 0
            touching.append(own[hit > 0])
            self.side[other] = 0
        return touching[0] if len(touching[0]) <= len(touching[1]) else touching[1]


def _symbolic(pattern: csr_matrix, pivots: list[Indices]) -> list[Front]:
    """Compute boundaries and parents of the pivot sets."""
    owner = np.empty(pattern.shape[0], dtype=np.int64)
    for number, group in enumerate(pivots):
        owner[group] = number
    inherited: list[list[Indices]] = [[] for _ in pivots]
    fronts = []
    for number, group in enumerate(pivots):
        reach = np.unique(np.concatenate([pattern[group].indices.astype(np.int64), *inherited[number]]))
        boundary = reach[owner[reach] > number]
        # pivots of one later front are a clique after this step, so the nearest receives the remainder
        parent = int(owner[boundary].min()) if len(boundary) else -1
        if parent >= 0:
            inherited[parent].append(boundary)
        fronts.append(Front(pivots=group, boundary=boundary, parent=parent))
    return fronts


# -- Multifrontal Cholesky factor of a block-sparse normal matrix, and its inverse -----------------


class NotPositiveDefinite(ArithmeticError):
    """The normal matrix has no Cholesky factor: rounding, or undetermined unknowns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _FactorPart:
    """Factor of one front: pivot triangle L, and M = F_bp L^-T on the boundary.

    L is p×p, lower.
    """

    front: Front
    pivot: Floats
    below: Floats


class BlockFactor:
    """Cholesky factor of a symmetric positive definite matrix of size×size blocks."""

    def __init__(self, matrix: bsr_matrix, plan: list[Front]) -> None:
        """Factorise `matrix` (both triangles stored) in the order of `plan`.

        Raises NotPositiveDefinite.
        """
        self.size = int(matrix.blocksize[0])
        self.count = matrix.shape[0] // self.size
        place = np.full(self.count, -1, dtype=np.int64)
        left: list[list[tuple[Indices, Floats]]] = [[] for _ in plan]
        self.parts: list[_FactorPart] = []
        for number, front in enumerate(plan):
            members = np.concatenate([front.pivots, front.boundary])
            place[members] = np.arange(len(members))
            dense = self._gather(matrix, front, place, len(members))
            for frames, rest in left[number]:
                at = self._expand(place[frames])
                dense[np.ix_(at, at)] += rest
            left[number].clear()
            part, rest = self._eliminate(front, dense)
            self.parts.append(part)
            if front.parent >= 0:
                left[front.parent].append((front.boundary, rest))
            place[members] = -1

    def solve(self, right: Floats) -> Floats:
        """Solve for (size·n)×k right-hand sides."""
        x = right.reshape(self.count * self.size, -1).astype(np.float64, copy=True)
        for part in self.parts:
            p, b = self._expand(part.front.pivots), self._expand(part.front.boundary)
            y = solve_triangular(part.pivot, x[p], lower=True, check_finite=False)
            x[p] = y
            x[b] -= part.below @ y
        for part in reversed(self.parts):
            p, b = self._expand(part.front.pivots), self._expand(part.front.boundary)
            x[p] = solve_triangular(
                part.pivot, x[p] - part.below.T @ x[b], lower=True, trans=1, check_finite=False
            )
        return x.reshape(right.shape)

    def inverse(self, rows: Indices, cols: Indices) -> Floats:
        """Return blocks (rows[k], cols[k]) of the inverse, K×size×size.

        The pairs must be coupled or equal. Raises KeyError for a pair outside the factor's sparsity.
        """
        blocks = _SelectedInverse(self)
        return blocks.take(rows, cols)

    def _gather(self, matrix: bsr_matrix, front: Front, place: Indices, members: int) -> Floats:
        """Assemble the matrix's blocks of pivots and members as a dense symmetric front."""
        size = self.size
        dense = np.zeros((members, size, members, size))
        starts, stops = matrix.indptr[front.pivots], matrix.indptr[front.pivots + 1]
        counts = stops - starts
        at = np.repeat(starts - np.r_[0, np.cumsum(counts)[:-1]], counts) + np.arange(counts.sum())
        row, col = np.repeat(place[front.pivots], counts), place[matrix.indices[at]]
        known = col >= 0
        row, col, blocks = row[known], col[known], matrix.data[at[known]]
        dense[row, :, col, :] = blocks
        outer = col >= len(front.pivots)
        dense[col[outer], :, row[outer], :] = blocks[outer].transpose(0, 2, 1)
        return dense.reshape(members * size, members * size)

    def _eliminate(self, front: Front, dense: Floats) -> tuple[_FactorPart, Floats]:
        k = len(front.pivots) * self.size
        try:
            pivot = cholesky(dense[:k, :k], lower=True, check_finite=False)
        except np.linalg.LinAlgError as error:
            raise NotPositiveDefinite("the normal matrix is not positive definite") from error
        below = solve_triangular(pivot, dense[k:, :k].T, lower=True, check_finite=False).T
        return _FactorPart(front=front, pivot=pivot, below=below), dense[k:, k:] - below @ below.T

    def _expand(self, frames: Indices) -> Indices:
        return (frames[:, None] * self.size + np.arange(self.size)).reshape(-1)


class _SelectedInverse:
    """Inverse on the factor's sparsity, from the root down.

    Each front keeps its pivots' columns.
    """

    def __init__(self, factor: BlockFactor) -> None:
        self.factor = factor
        count, size = factor.count, factor.size
        self.owner = np.empty(count, dtype=np.int64)
        for number, part in enumerate(factor.parts):
            self.owner[part.front.pivots] = number
        self.columns: list[Floats] = [np.empty(0)] * len(factor.parts)
        self.members: list[Indices] = [np.empty(0, np.int64)] * len(factor.parts)
        for number in range(len(factor.parts) - 1, -1, -1):
            part = factor.parts[number]
            p, b = len(part.front.pivots) * size, len(part.front.boundary) * size
            outer = np.empty((b, b))
            if b:
                self._fill(part.front.boundary, outer)
            half = solve_triangular(part.pivot, np.eye(p), lower=True, check_finite=False)
            fill = part.below @ half  # M L^-1 = F_bp F_pp^-1
            lower = -outer @ fill
            self.columns[number] = np.vstack([half.T @ half - fill.T @ lower, lower])
            self.members[number] = np.concatenate([part.front.pivots, part.front.boundary])

    def take(self, rows: Indices, cols: Indices) -> Floats:
        """Return blocks of the inverse, K×size×size."""
        rows, cols = np.asarray(rows, np.int64), np.asarray(cols, np.int64)
        # the block is stored with the one of the two that is eliminated first
        swap = self.owner[rows] < self.owner[cols]
        row, col = np.where(swap, cols, rows), np.where(swap, rows, cols)
        size = self.factor.size
        result = np.empty((len(rows), size, size))
        place = np.full(self.factor.count, -1, dtype=np.int64)
        order = np.argsort(self.owner[col], kind="stable")
        bounds = np.searchsorted(self.owner[col][order], np.arange(len(self.columns) + 1))
        for number, members in enumerate(self.members):
            wanted = order[bounds[number] : bounds[number + 1]]
            if not len(wanted):
                continue
            place[members] = np.arange(len(members))
            if (place[row[wanted]] < 0).any():
                raise KeyError("two frames that share no point have no block in the selected inverse")
            stored = self.columns[number].reshape(len(members), size, -1, size)
            result[wanted] = stored[place[row[wanted]], :, place[col[wanted]], :]
            place[members] = -1
        result[swap] = result[swap].transpose(0, 2, 1)
        return result

    def _fill(self, frames: Indices, out: Floats) -> None:
        """Fill in the inverse between the frames of one boundary.

        They are a clique, held by the fronts that own them.
        """
        size = self.factor.size
        square = out.reshape(len(frames), size, len(frames), size)
        owners = self.owner[frames]
        for number in np.unique(owners):
            members = self.members[number]
            own = np.flatnonzero(owners == number)
            later = np.flatnonzero(owners >= number)
            order = np.argsort(members, kind="stable")
            rows = order[np.searchsorted(members, frames[later], sorter=order)]
            cols = order[np.searchsorted(members, frames[own], sorter=order)]
            stored = self.columns[number].reshape(len(members), size, -1, size)
            block = stored[rows][:, :, cols]
            square[np.ix_(later, np.arange(size), own, np.arange(size))] = block
            square[np.ix_(own, np.arange(size), later, np.arange(size))] = block.transpose(2, 3, 0, 1)


# -- Solution of the normal equations without points: sparse frames, dense border ------------------
#
#     [ A  B ] [frames]     A: frames, sparse, factorised by fronts
#     [ B' D ] [border]     D - B' A^-1 B: small and dense
#
# Source: Triggs et al. 2000, sections 6.1 and 6.3.


_LOOSE = 1e-13
"""Determinant of a point's normal matrix over the product of its diagonal, below which it is singular."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SolverStep:
    """Change of the unknowns.

    frames n×6 or n×9, border m, points Q×3 in the order of the model's points.
    decrement  squared change of frames and border, in their sigmas (Newton's decrement after the points'
               elimination)
    """

    frames: Floats
    border: Floats
    points: Floats
    decrement: float


class _Part:
    """Coupling of one chunk of points with the frames.

    A sparse matrix over the chunk's own blocks.
    """

    def __init__(
        self, normals: Normals, model: LeastSquaresModel, starts: NDArray[np.int64], rows: slice
    ) -> None:
        low, high = np.searchsorted(starts, (rows.start, rows.stop)).tolist()
        self.points = slice(low, high)
        self.begin = (starts[low : high + 1] - rows.start).astype(np.int32)
        self.frame = model.seen.frame[rows]
        self.shape = (3 * (high - low), normals.frame_gradient.size)
        self.blocks = normals.cross[rows]
        self.cross = bsr_matrix((self.blocks, self.frame, self.begin), shape=self.shape)

    def times(self, matrices: Floats) -> bsr_matrix:
        """Multiply each point's blocks by its 3×3 matrix."""
        own = np.repeat(matrices[self.points], np.diff(self.begin), axis=0)
        return bsr_matrix((own @ self.blocks, self.frame, self.begin), shape=self.shape)

    def flat(self, rows: Floats) -> Floats:
        """Return the chunk's part of Q×3×k as a matrix of 3 rows a point."""
        return rows[self.points].reshape(self.shape[0], -1)


class ReducedSystem:
    """Factorised system of one linearisation."""

    def __init__(
        self,
        model: LeastSquaresModel,
        unknowns: Unknowns,
        normals: Normals,
        plan: list[Front],
        damping: float = 0.0,
    ) -> None:
        """Eliminate the points.

        `damping` is Levenberg-Marquardt's, relative to each diagonal. Raises NotPositiveDefinite where an
        unknown is undetermined.
        """
        self.normals = normals
        self.seen = unknowns.layout.seen
        frames, own = normals.frame_gradient.shape
        self.point_inverse = _inverse(_damped(normals.point_blocks, damping))
        starts = np.r_[model.starts, len(model.seen)]
        self.owner = np.repeat(np.arange(len(model.starts)), np.diff(starts))
        self.parts = [_Part(normals, model, starts, part) for part in split_chunks(model.seen)]
        reduced = bsr_matrix(
            (_damped(normals.frame_blocks, damping), np.arange(frames), np.arange(frames + 1)),
            shape=(own * frames, own * frames),
        )
        border = normals.frame_border.reshape(own * frames, -1).copy()
        self.point_border = self.point_inverse @ normals.point_border
        for part in self.parts:
            across = part.cross.T
            reduced = reduced - across @ part.times(self.point_inverse)
            border[:, self.seen] -= across @ part.flat(self.point_border)
        self.factor = BlockFactor(reduced.tobsr((own, own)), plan)
        core = _damped(normals.border[None], damping)[0]
        width = core[self.seen, self.seen].shape[0]
        core[self.seen, self.seen] -= normals.point_border.reshape(-1, width).T @ self.point_border.reshape(
            -1, width
        )
        self.border = border
        self.solved_border = self.factor.solve(border)
        self.core = _Core(core - border.T @ self.solved_border)

    def step(self) -> SolverStep:
        """Return the change that solves the normal equations."""
        normals = self.normals
        point = np.einsum("qij,qj->qi", self.point_inverse, normals.point_gradient)
        frame = normals.frame_gradient.reshape(-1).copy()
        for part in self.parts:
            frame -= part.cross.T @ point[part.points].reshape(-1)
        border = normals.border_gradient.copy()
        border[self.seen] -= np.einsum("qij,qi->j", self.point_border, normals.point_gradient)
        gradient = frame, border
        frame, border = self.solve(frame, border)
        decrement = float(gradient[0] @ frame + gradient[1] @ border)
        pulled = np.concatenate([part.cross @ frame for part in self.parts]).reshape(-1, 3)
        moved = np.einsum("qij,qj->qi", self.point_inverse, pulled)
        moved += self.point_border @ border[self.seen]
        frames = -frame.reshape(normals.frame_gradient.shape)
        return SolverStep(frames=frames, border=-border, points=moved - point, decrement=decrement)

    def solve(self, frames: Floats, border: Floats) -> tuple[Floats, Floats]:
        """Solve the reduced system for right-hand sides of n frames' unknowns and m (×k)."""
        y = self.factor.solve(frames)
        low = self.core.solve(border - self.border.T @ y)
        return y - self.solved_border @ low, low


class _Core:
    """Cholesky factor of the border's dense system, scaled to a unit diagonal.

    Its unknowns differ much in size.
    """

    def __init__(self, matrix: Floats) -> None:
        diagonal = np.diag(matrix)
        if not (diagonal > 0.0).all():
            raise NotPositiveDefinite("the border's normal matrix is not positive definite")
        self.scale = 1.0 / np.sqrt(diagonal)
        try:
            self.factor = cho_factor(matrix * self.scale * self.scale[:, None], check_finite=False)
        except np.linalg.LinAlgError as error:
            raise NotPositiveDefinite("the border's normal matrix is not positive definite") from error

    def solve(self, right: Floats) -> Floats:
        scale = self.scale.reshape(-1, *([1] * (right.ndim - 1)))
        result: Floats = scale * cho_solve(self.factor, right * scale, check_finite=False)
        return result


def compute_coupling(model: LeastSquaresModel, frames: int) -> csr_matrix:
    """Return the n×n pattern of frames that see a common point, diagonal included."""
    starts = np.r_[model.starts, len(model.seen)]
    ones = np.ones(len(model.seen), dtype=np.float32)
    policy = csr_matrix((ones, model.seen.frame, starts), shape=(len(model.starts), frames))
    pattern = (policy.T @ policy + csr_matrix((np.ones(frames), (np.arange(frames),) * 2))).tocsr()
    pattern.sort_indices()
    return pattern


def _damped(blocks: Floats, damping: float) -> Floats:
    result = blocks.copy()
    size = np.arange(blocks.shape[-1])
    result[:, size, size] *= 1.0 + damping
    return result


def _inverse(blocks: Floats) -> Floats:
    """Invert each 3×3 block of Q×3×3, with the pseudo-inverse of singular ones.

    That is exact: a direction in which observations do not determine a point couples it to no frame
    either, so it is not moved in that direction and the frames are independent of it. Raises
    NotPositiveDefinite for values that are not finite.
    """
    if not np.isfinite(blocks).all():
        raise NotPositiveDefinite("a point's normal matrix holds no numbers")
    loose = np.linalg.det(blocks) <= _LOOSE * np.prod(np.diagonal(blocks, axis1=1, axis2=2), axis=1)
    result = np.empty_like(blocks)
    result[~loose] = np.linalg.inv(blocks[~loose])
    result[loose] = np.linalg.pinv(blocks[loose], rcond=_LOOSE, hermitian=True)
    return result


# -- Levenberg-Marquardt minimisation of a fixed model ---------------------------------------------


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


def minimise(
    model: LeastSquaresModel, unknowns: Unknowns, plan: list[Front], *, iterations: int, tolerance: float
) -> Solution:
    """Minimise the model's cost from `unknowns`.

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
                return Solution(unknowns=unknowns, cost=cost, iterations=done)
        cost, unknowns = new_cost, moved
        damping = damping * 0.01 if damping > _MIN_DAMPING else 0.0
        if step.decrement <= tolerance:
            return Solution(unknowns=unknowns, cost=cost, iterations=done)
    return Solution(unknowns=unknowns, cost=cost, iterations=iterations)


def _moved(model: LeastSquaresModel, unknowns: Unknowns, step: SolverStep) -> Unknowns:
    points = np.zeros_like(unknowns.point)
    points[model.seen.point[model.starts]] = step.points
    return unknowns.stepped(step.frames, step.border, points)


# -- Covariances of frames and points, without the block's common shift ----------------------------
#
# Relative positions in a block are far better known than absolute ones. With e_i the error of frame i and e
# its mean over the block, a frame's own sigma is that of e_i - e, and the shift's that of e. For places on
# the ground the mean is that of the ground (`compute_ground_derivatives`). Only the blocks of the inverse
# that belong to frames and to pairs that see a common point are ever computed.
#
# The covariance accounts for terrain errors that neighbouring squares share.


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


# -- Errors of image points that a photo's points share --------------------------------------------
#
# Image points are weighted as if their errors were independent. But vibration while the rows are read, a
# shutter's readout that is not quite known, or a bent model of the lens moves neighbouring points of a photo
# alike, and a hundred of them are then no more than a few: poses and points absorb most of that, but what
# looks like another focal length ends up in it. The sum over each photo of what its residuals contribute to
# an unknown shows how far they agree; independent errors would cancel there. Residuals are smaller than
# errors by the redundancy. Source: Liang and Zeger, Biometrika 73, 1986 (clusters in White's sandwich).


_MIN_REDUNDANCY = 0.1


def compute_shared_image_errors(
    reduction: ReducedSystem, model: LeastSquaresModel, unknowns: Unknowns
) -> Floats:
    """Return the variance of each camera's focal length that errors within photos add; 0 at least."""
    layout, seen = unknowns.layout, model.seen
    count, own = reduction.normals.frame_gradient.shape
    cameras = np.arange(layout.cameras)
    chosen = np.zeros((layout.size, layout.cameras))
    chosen[layout.lens.start + LENS_UNKNOWNS * cameras, cameras] = 1.0
    frames, border = reduction.solve(np.zeros((count * own, layout.cameras)), chosen)
    pulled = np.concatenate([part.cross @ frames for part in reduction.parts])
    points = -(reduction.point_inverse @ pulled.reshape(-1, 3, layout.cameras))
    points -= reduction.point_border @ border[reduction.seen]
    frames = frames.reshape(count, own, -1)
    lenses = border[layout.lens].reshape(layout.cameras, LENS_UNKNOWNS, -1)
    by_photo, independent, squares = np.zeros((count, layout.cameras)), np.zeros(layout.cameras), 0.0
    for part in split_chunks(seen):
        rows = seen.take(part)
        sighted = linearise_reprojection(model.problem, unknowns, rows)
        weight = model.weighing.loss(sighted.residual, rows.sigma).weight
        weight /= np.square(rows.sigma * model.weighing.image)
        used = weight > 0.0
        frame, weight, residual = rows.frame[used], weight[used], sighted.residual[used]
        moved = sighted.by_frame[used] @ frames[frame]
        moved += sighted.by_lens[used] @ lenses[model.problem.frames.camera[frame]]
        moved += sighted.by_point[used] @ points[reduction.owner[part][used]]
        np.add.at(by_photo, frame, np.einsum("k,kri,kr->ki", weight, moved, residual))
        independent += np.einsum("k,kri->i", weight, np.square(moved))
        squares += float(weight @ np.square(residual).sum(axis=1))
    redundancy = min(max(squares / (2.0 * len(seen)), _MIN_REDUNDANCY), 1.0)
    clustered = np.square(by_photo).sum(axis=0) * count / max(count - 1, 1) / redundancy
    added: Floats = np.maximum(clustered - independent, 0.0)
    return added


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
