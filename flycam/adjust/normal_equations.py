"""Normal equations of a block, accumulated over chunks of observations.

Points touch only their own observations, so their 3×3 blocks are inverted one by one and eliminated (Schur
complement, `reduced_system`). A sparse system of frames remains, bordered by the few unknowns all share.

Source: Triggs et al. 2000, section 6; Brown 1976 for the border.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from flycam.adjust.block import Floats
from flycam.adjust.height_prior import HeightPrior
from flycam.adjust.priors import PriorSigmas, compute_prior_cost, compute_prior_terms
from flycam.adjust.problem import AdjustmentProblem, Observations, split_chunks
from flycam.adjust.reprojection import Reprojection, compute_image_residuals, linearise_reprojection
from flycam.adjust.robust_loss import Loss, cauchy, huber
from flycam.adjust.unknowns import Unknowns
from flycam.geometry.projection import LENS_UNKNOWNS

# Cost of a point that does not project with the current unknowns, in squared sigmas.
_UNSEEN = 1e4
# Bend of Huber's loss of control points' positions, in sigmas.
_CONTROL_BEND = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ObservationWeighting:
    """Weighting of residuals.

    image         factor of the image sigma
    bend          of the loss, in sigmas
    redescending  Cauchy's loss, else Huber's
    """

    image: float
    bend: float
    redescending: bool

    def loss(self, residual: Floats, sigma: Floats) -> Loss:
        """Return the loss of image residuals N×2 (px).

        One number a point, so that u and v are rejected together.
        """
        squared = np.sum(residual * residual, axis=-1) / np.square(sigma * self.image)
        seen = np.isfinite(squared)
        loss = (cauchy if self.redescending else huber)(np.where(seen, squared, _UNSEEN), self.bend)
        return Loss(cost=loss.cost, weight=np.where(seen, loss.weight, 0.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class LeastSquaresModel:
    """The model to minimise: problem, used observations, their weighting, and priors."""

    problem: AdjustmentProblem
    seen: Observations
    weighing: ObservationWeighting
    sigmas: PriorSigmas
    heights: HeightPrior | None
    shares: Floats

    @property
    def starts(self) -> NDArray[np.int64]:
        """Index of each point's first observation."""
        return self.seen.starts

    def cost(self, unknowns: Unknowns) -> float:
        """Return the sum of all losses."""
        total = compute_prior_cost(self.problem, unknowns, self.sigmas)
        for part in split_chunks(self.seen):
            rows = self.seen.take(part)
            residual = compute_image_residuals(self.problem, unknowns, rows)
            total += float(self.weighing.loss(residual, rows.sigma).cost.sum())
        points = self.seen.point[self.starts]
        if self.heights is not None:
            above = self.heights.residuals(unknowns.point[points], unknowns.dem)
            total += float((self.heights.loss(above).cost * self.shares).sum())
        residual, weight = self._control(unknowns, points)
        squared = np.sum(residual * residual * weight, axis=-1)
        return total + float(huber(squared, _CONTROL_BEND).cost.sum())

    def _control(self, unknowns: Unknowns, points: NDArray[np.int32]) -> tuple[Floats, Floats]:
        """Return residuals of control points' positions and 1/sigma², P×3; zero at ties."""
        residual, weight = np.zeros((len(points), 3)), np.zeros((len(points), 3))
        rows = np.flatnonzero(points >= self.problem.tracks)
        number = points[rows] - self.problem.tracks
        residual[rows] = unknowns.point[points[rows]] - self.problem.control_m[number]
        weight[rows] = 1.0 / np.square(self.problem.control_sigma[number])
        return residual, weight


@dataclass(frozen=True, kw_only=True, slots=True)
class Normals:
    """J'WJ and J'Wr.

    For Q points, N observations, g border unknowns that points see, m in all: frame_blocks n×k×k (k 6, or
    9 with rolling shutters), frame_border n×k×m, border m×m; point_blocks Q×3×3, point_border Q×3×g;
    cross N×3×k (point, frame); gradients of each.
    """

    frame_blocks: Floats
    frame_border: Floats
    border: Floats
    point_blocks: Floats
    point_border: Floats
    cross: Floats
    frame_gradient: Floats
    border_gradient: Floats
    point_gradient: Floats


def build_normal_equations(model: LeastSquaresModel, unknowns: Unknowns) -> Normals:
    """Linearise everything at `unknowns`."""
    prior = compute_prior_terms(model.problem, unknowns, model.sigmas)
    seen, starts = model.seen, model.starts
    points, first = len(starts), unknowns.layout.seen.start
    normals = Normals(
        frame_blocks=prior.frame_blocks,
        frame_border=prior.frame_border,
        border=prior.border,
        frame_gradient=prior.frame_gradient,
        border_gradient=prior.border_gradient,
        point_blocks=np.zeros((points, 3, 3)),
        point_border=np.zeros((points, 3, unknowns.layout.size - first)),
        point_gradient=np.zeros((points, 3)),
        cross=np.empty((len(seen), 3, model.problem.frames.unknowns)),
    )
    for part in split_chunks(seen):
        rows = seen.take(part)
        sighted = linearise_reprojection(model.problem, unknowns, rows)
        weight = model.weighing.loss(sighted.residual, rows.sigma).weight
        weight /= np.square(rows.sigma * model.weighing.image)
        _add_sightings(normals, model, unknowns, part, sighted, weight)
    if model.heights is not None:
        _add_heights(normals, model, model.heights, unknowns)
    _add_control(normals, model, unknowns)
    return normals


def _add_sightings(
    normals: Normals,
    model: LeastSquaresModel,
    unknowns: Unknowns,
    part: slice,
    sighted: Reprojection,
    weight: Floats,
) -> None:
    """Add one chunk of image observations.

    Unseen ones have weight 0 and must not spread their NaN.
    """
    layout, starts = unknowns.layout, model.starts
    frame = model.seen.frame[part]
    unseen = weight == 0.0
    for array in (sighted.residual, sighted.by_frame, sighted.by_lens, sighted.by_point):
        array[unseen] = 0.0
    by_frame, by_lens, by_point = sighted.by_frame, sighted.by_lens, sighted.by_point
    root = np.sqrt(weight)[:, None]
    residual = sighted.residual * root
    for jacobian in (by_frame, by_lens, by_point):
        np.multiply(jacobian, root[:, :, None], out=jacobian)
    collect = csr_matrix(
        (np.ones(len(frame)), (frame, np.arange(len(frame)))), shape=(len(normals.frame_blocks), len(frame))
    )
    turned, own = by_frame.transpose(0, 2, 1), by_frame.shape[-1]
    normals.frame_blocks[:] += (collect @ (turned @ by_frame).reshape(-1, own * own)).reshape(-1, own, own)
    normals.frame_gradient[:] += collect @ np.einsum("nri,nr->ni", by_frame, residual)
    direct = collect @ (turned @ by_lens).reshape(-1, own * LENS_UNKNOWNS)
    direct = direct.reshape(-1, own, LENS_UNKNOWNS)

    across = by_point.transpose(0, 2, 1)
    normals.cross[part] = across @ by_frame
    low, high = np.searchsorted(starts, (part.start, part.stop))
    begin = starts[low:high] - part.start
    normals.point_blocks[low:high] += np.add.reduceat(across @ by_point, begin)
    normals.point_gradient[low:high] += np.add.reduceat(np.einsum("nri,nr->ni", by_point, residual), begin)
    points_lens = across @ by_lens
    camera = model.problem.frames.camera
    for number in range(layout.cameras):
        mine = camera[frame] == number
        at = slice(
            layout.lens.start + LENS_UNKNOWNS * number, layout.lens.start + LENS_UNKNOWNS * (number + 1)
        )
        normals.frame_border[camera == number, :, at] += direct[camera == number]
        lens = by_lens[mine].reshape(-1, LENS_UNKNOWNS)
        normals.border[at, at] += lens.T @ lens
        normals.border_gradient[at] += lens.T @ residual[mine].reshape(-1)
        behind = slice(at.start - layout.seen.start, at.stop - layout.seen.start)
        if mine.any():
            normals.point_border[low:high, :, behind] += np.add.reduceat(
                points_lens * mine[:, None, None], begin
            )


def _add_heights(
    normals: Normals, model: LeastSquaresModel, heights: HeightPrior, unknowns: Unknowns
) -> None:
    """Add the DEM under every tie point."""
    at = unknowns.layout.dem
    points = unknowns.point[model.seen.point[model.starts]]
    residual = heights.residuals(points, unknowns.dem)
    weight = heights.loss(residual).weight * model.shares
    residual = np.where(weight > 0.0, residual, 0.0)
    slope = np.where(weight[:, None] > 0.0, heights.derivatives(points, unknowns.dem), 0.0)
    weighted = slope * weight[:, None]
    block = weighted[:, :, None] * slope[:, None, :]
    normals.point_blocks[:] += block
    normals.point_gradient[:] += weighted * residual[:, None]
    normals.point_border[:, :, -3:] -= block
    normals.border[at, at] += block.sum(axis=0)
    normals.border_gradient[at] -= (weighted * residual[:, None]).sum(axis=0)


def _add_control(normals: Normals, model: LeastSquaresModel, unknowns: Unknowns) -> None:
    """Add the given positions of control points."""
    residual, weight = model._control(unknowns, model.seen.point[model.starts])
    squared = np.sum(residual * residual * weight, axis=-1)
    weight = weight * huber(squared, _CONTROL_BEND).weight[:, None]
    normals.point_blocks[:, np.arange(3), np.arange(3)] += weight
    normals.point_gradient[:] += weight * residual
