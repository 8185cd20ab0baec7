"""Multifrontal Cholesky factor of a block-sparse normal matrix, and its inverse.

Every front is a small dense matrix, so that all arithmetic is LAPACK's; the loop is over fronts (a few for
every hundred frames). The inverse is computed on the factor's own sparsity only: the 6×6 blocks of every
frame and of every pair of frames that see a common point, at the cost of one more factorisation.

Sources: Duff and Reid, ACM TOMS 9(3), 1983 (multifrontal); Erisman and Tinney, Comm. ACM 18(3), 1975, after
Takahashi et al. 1973 (selected inverse).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.sparse import bsr_matrix

from flycam.adjust.nested_dissection import Front

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


class NotPositiveDefinite(ArithmeticError):
    """The normal matrix has no Cholesky factor: rounding, or undetermined unknowns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
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
        self.parts: list[_Part] = []
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

    def _eliminate(self, front: Front, dense: Floats) -> tuple[_Part, Floats]:
        k = len(front.pivots) * self.size
        try:
            pivot = cholesky(dense[:k, :k], lower=True, check_finite=False)
        except np.linalg.LinAlgError as error:
            raise NotPositiveDefinite("the normal matrix is not positive definite") from error
        below = solve_triangular(pivot, dense[k:, :k].T, lower=True, check_finite=False).T
        return _Part(front=front, pivot=pivot, below=below), dense[k:, k:] - below @ below.T

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
            mine = np.flatnonzero(owners == number)
            later = np.flatnonzero(owners >= number)
            order = np.argsort(members, kind="stable")
            rows = order[np.searchsorted(members, frames[later], sorter=order)]
            cols = order[np.searchsorted(members, frames[mine], sorter=order)]
            stored = self.columns[number].reshape(len(members), size, -1, size)
            block = stored[rows][:, :, cols]
            square[np.ix_(later, np.arange(size), mine, np.arange(size))] = block
            square[np.ix_(mine, np.arange(size), later, np.arange(size))] = block.transpose(2, 3, 0, 1)
