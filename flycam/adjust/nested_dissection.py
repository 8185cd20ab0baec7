"""Nested dissection: an elimination order of frames that keeps the factor sparse.

A set of frames is cut in two across its longer side; the frames of one half that share tie points with the
other half are the separator and are eliminated last. A flight over an area then costs about n^1.5 instead of
n^3, in any order and direction of its strips.

Source: George, Nested Dissection of a Regular Finite Element Mesh, SIAM J. Numer. Anal. 10(2), 1973.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]
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
        for mine, other in ((first, second), (second, first)):
            self.side[other] = 1
            rows = self.pattern[mine]
            hit = np.add.reduceat(
                np.r_[self.side[rows.indices], 0].astype(np.int64), np.minimum(rows.indptr[:-1], rows.nnz)
            )
            hit[np.diff(rows.indptr) == 0] = 0
            touching.append(mine[hit > 0])
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
