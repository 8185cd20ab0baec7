"""The DEM as an observation of every tie point's height, with a shift of its own.

    height of the point = DEM(east - shift_e, north - shift_n) + shift_h + error

Where the ground rises, a horizontal shift shows in heights: the DEM's slope is in the derivatives. Errors of
a DEM are alike over a distance, so a thousand points in one square of that size are one observation of it.
Heights above the DEM may be trees and roofs and pull little (robust.above_ground).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flycam.adjust.block import Floats, TerrainPrior
from flycam.adjust.robust import Loss, above_ground
from flycam.geometry.terrain import heights_at, normals_at

HEIGHT_BEND = 1.5


@dataclass(frozen=True, kw_only=True, slots=True)
class HeightPrior:
    """The terrain with the origin of the local coordinates and the sigma that is believed now."""

    prior: TerrainPrior
    origin: Floats
    sigma_m: float
    correlation_m: float

    def residuals(self, point: Floats, shift: Floats) -> Floats:
        """Heights above the shifted DEM in sigmas, N; NaN where the DEM is not known."""
        place = point + self.origin - shift
        above: Floats = place[:, 2] - heights_at(self.prior.terrain, place[:, :2])
        return above / self.sigma_m

    def slopes(self, point: Floats, shift: Floats) -> Floats:
        """Derivatives of the residuals by the point, N×3; by the shift they are the same with minus."""
        normal = normals_at(self.prior.terrain, (point + self.origin - shift)[:, :2])
        slope: Floats = normal / (normal[:, 2:] * self.sigma_m)
        return slope

    def shares(self, point: Floats) -> Floats:
        """1 / (number of points in the same square), N."""
        cell = np.floor(point[:, :2] / self.correlation_m).astype(np.int64)
        _, number, count = np.unique(cell, axis=0, return_inverse=True, return_counts=True)
        share: Floats = 1.0 / count[number.reshape(-1)]
        return share

    def loss(self, residual: Floats) -> Loss:
        """Robust loss; where the DEM is not known, none."""
        known = np.isfinite(residual)
        loss = above_ground(np.where(known, residual, 0.0), HEIGHT_BEND, self.prior.canopy_m > 0.0)
        return Loss(cost=loss.cost, weight=np.where(known, loss.weight, 0.0))
