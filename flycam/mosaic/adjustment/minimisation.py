"""Levenberg-Marquardt minimisation with a multifrontal Cholesky factor.

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

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.sparse import bsr_matrix, csr_matrix

from flycam.mosaic.adjustment.block import Floats, Unknowns, split_chunks
from flycam.mosaic.adjustment.normal_equations import LeastSquaresModel, Normals, build_normal_equations

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
