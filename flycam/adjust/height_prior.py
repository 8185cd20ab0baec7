"""DEM as an observation of every tie point's height, with a shift of its own.

    height of the point = DEM(east - shift_e, north - shift_n) + shift_h + error

On slopes, a horizontal shift shows in heights: the DEM's slope is in the derivatives. Errors of a DEM are
correlated over a distance, so a thousand points in one square are one observation of it; the correlation
between squares is left to the covariance (`shared_terrain_error`).

Where the DEM bends from post to post (house walls, crowns, cliffs, a coarse grid over rough ground) its
error is about as large as the bend: there a few posts that are a metre off would pull the block sideways,
and with it the flight's scale. This is Koppe's rule, that a height's error grows with the slope, for a grid
of posts: on a plane, however steep, a grid loses nothing; its errors are those of linear interpolation.

Heights above the DEM may be trees and roofs and get little weight (`robust_loss.compute_ground_loss`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import Floats, TerrainPrior
from flycam.adjust.robust_loss import Loss, compute_ground_loss
from flycam.geometry.terrain import TerrainGrid, compute_normals, interpolate_heights

# Bend of the robust loss of heights, in sigmas.
HEIGHT_BEND = 1.5


@dataclass(frozen=True, kw_only=True, slots=True)
class HeightPrior:
    """Terrain with the origin of the local coordinates and its current sigma.

    correlation_m  side of the squares that count as one observation
    length_m       distance at which the correlation of the terrain's errors has fallen to 1/e
    """

    prior: TerrainPrior
    origin: Floats
    sigma_m: float
    correlation_m: float
    length_m: float

    def residuals(self, point: Floats, shift: Floats) -> Floats:
        """Return heights above the shifted DEM in sigmas, N; NaN where it is not known."""
        place = point + self.origin - shift
        above: Floats = place[:, 2] - interpolate_heights(self.prior.terrain, place[:, :2])
        return above / self.sigma_m

    def derivatives(self, point: Floats, shift: Floats) -> Floats:
        """Return derivatives of the residuals by the point, N×3.

        Those by the shift are the negative.
        """
        normal = compute_normals(self.prior.terrain, (point + self.origin - shift)[:, :2])
        slope: Floats = normal / (normal[:, 2:] * self.sigma_m)
        return slope

    def smoothness(self, point: Floats, shift: Floats) -> Floats:
        """Return the share of a height's variance that is not bend, N, 0…1.

        s² / (s² + bend²), with the bend between its posts.
        """
        bend = compute_terrain_bend(self.prior.terrain, (point + self.origin - shift)[:, :2])
        share: Floats = self.sigma_m**2 / (self.sigma_m**2 + bend * bend)
        return share

    def squares(self, point: Floats) -> NDArray[np.int64]:
        """Return numbers (east, north) of the square that holds each point, N×2."""
        cell: NDArray[np.int64] = np.floor(point[:, :2] / self.correlation_m).astype(np.int64)
        return cell

    def shares(self, point: Floats, shift: Floats) -> Floats:
        """Return each point's share of one observation of the DEM, N.

        Smoothness / (points in its square).
        """
        _, number, count = np.unique(self.squares(point), axis=0, return_inverse=True, return_counts=True)
        share: Floats = self.smoothness(point, shift) / count[number.reshape(-1)]
        return share

    def loss(self, residual: Floats) -> Loss:
        """Return the robust loss; zero weight where the DEM is not known."""
        known = np.isfinite(residual)
        loss = compute_ground_loss(np.where(known, residual, 0.0), HEIGHT_BEND, self.prior.canopy_m > 0.0)
        return Loss(cost=loss.cost, weight=np.where(known, loss.weight, 0.0))


def compute_terrain_bend(terrain: TerrainGrid, xy_m: Floats) -> Floats:
    """Return the bend of the terrain around points N×2, metres.

    RMS second difference of the posts at the corners of the point's cell, along rows and columns. 0
    where posts are not known.
    """
    heights = terrain.heights_m
    rows, cols = heights.shape
    place = np.nan_to_num(np.asarray(xy_m, dtype=np.float64))
    col = np.floor((place[:, 0] - terrain.origin_m[0]) / terrain.post_spacing_m[0]).astype(np.int64)
    row = np.floor((terrain.origin_m[1] - place[:, 1]) / terrain.post_spacing_m[1]).astype(np.int64)
    around = np.arange(-1, 3)
    # beyond the rim the last post is repeated: the bend of the outermost cells is then their slope
    r = np.clip(row[:, None] + around, 0, rows - 1)
    c = np.clip(col[:, None] + around, 0, cols - 1)
    near = heights[r[:, :, None], c[:, None, :]].astype(np.float64)
    along = np.diff(near[:, 1:3], n=2, axis=2).reshape(len(near), -1)
    down = np.diff(near[:, :, 1:3], n=2, axis=1).reshape(len(near), -1)
    bend: Floats = np.sqrt(np.mean(np.concatenate([along, down], axis=1) ** 2, axis=1))
    return np.nan_to_num(bend)
