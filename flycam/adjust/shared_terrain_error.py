"""Effect of correlated terrain errors on a block's covariance.

Heights of the DEM are weighted as if the errors of its squares were independent, which keeps the normal
equations sparse. But they are correlated over hundreds of metres: neighbouring squares have the same error,
and tilt, bend and raise a block together by more than their weights imply. The estimate is left as it is;
its covariance accounts for the effect of each square's error, and for the correlation of squares:

    C = N⁻¹ + X (R - I) X',   X = N⁻¹ J'W s,   R = exp(-d² / L²)

with s an error of one sigma of a whole square. The covariance of a least-squares estimate under weights
that differ from the observations' covariance: Mikhail and Ackermann, Observations and Least Squares, 1976;
the same as White's sandwich (Econometrica 48, 1980) with a known middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from flycam.adjust.block import Floats
from flycam.adjust.height_prior import HeightPrior
from flycam.adjust.normal_equations import LeastSquaresModel
from flycam.adjust.reduced_system import ReducedSystem
from flycam.adjust.unknowns import POSE_UNKNOWNS, Unknowns

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
    heard = np.flatnonzero(pull.any(axis=1))
    if not heard.size:
        return None
    square, parts = _squares(heights, points[heard])
    count = len(parts)
    # rows: squares, columns: points; sums over the points of each square
    collect = csr_matrix((np.ones(heard.size), (square, heard)), shape=(count, len(points)))
    frames = np.zeros((reduction.normals.frame_gradient.size, count))
    held = np.einsum("qij,qj->qi", reduction.point_inverse, pull)
    belongs = np.full(len(points), -1)
    belongs[heard] = square
    for part in reduction.parts:
        of = np.repeat(belongs[part.points], 3)
        known = of >= 0
        values = held[part.points].reshape(-1)[known]
        right = csr_matrix((values, (np.flatnonzero(known), of[known])), shape=(len(of), count))
        frames -= (part.cross.T @ right).toarray()
    border = np.zeros((reduction.border.shape[1], count))
    border[unknowns.layout.dem] -= (collect @ pull).T
    border[reduction.seen] -= (collect @ np.einsum("qij,qi->qj", reduction.point_border, pull)).T
    solved = reduction.solve(frames, border)[0]
    moved = solved.reshape(reduction.factor.count, reduction.factor.size, count)[:, :POSE_UNKNOWNS]
    middle = (collect @ points[:, :2]) / np.asarray(collect.sum(axis=1))
    apart = np.square(middle[:, None] - middle[None]).sum(axis=-1)
    alike = np.exp(-apart / heights.length_m**2)
    return SharedTerrainErrors(moved=moved, more=alike - np.diag(1.0 / parts))


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
