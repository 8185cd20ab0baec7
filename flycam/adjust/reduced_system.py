"""Solution of the normal equations without points: sparse frames, dense border.

    [ A  B ] [frames]     A: frames, sparse, factorised by fronts
    [ B' D ] [border]     D - B' A^-1 B: small and dense

Source: Triggs et al. 2000, sections 6.1 and 6.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import bsr_matrix, csr_matrix

from flycam.adjust.block import Floats
from flycam.adjust.cholesky import BlockFactor, NotPositiveDefinite
from flycam.adjust.nested_dissection import Front
from flycam.adjust.normal_equations import LeastSquaresModel, Normals
from flycam.adjust.problem import split_chunks
from flycam.adjust.unknowns import Unknowns

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
