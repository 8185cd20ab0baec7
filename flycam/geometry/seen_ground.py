"""The ground that a part of a picture shows, and the part of a picture that shows some ground.

Both by rays from the picture to the terrain, so that what stands behind a ridge, or is sky, counts for
nothing. Areas of a picture are worked out on a lattice: coarse, and never too small by more than its cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import sight_lines
from flycam.geometry.expected_error import expected_error
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.footprint import sight_range
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.terrain import TerrainGrid, cast_rays, normals_at

Floats = NDArray[np.float64]

LEAST_ERROR_M, MOST_ERROR_M = 1.0, 15.0
OBJECT_SIGMA_M = 3.0
"""What stands on the terrain (a roof, a crown) leans by its height: 1-sigma of that."""

_EDGE_SAMPLES = 16
_INNER = 24
_CELLS_ACROSS = 96


@dataclass(frozen=True, slots=True)
class Lattice:
    """A picture's corners of cells on the ground.

    points_m  (rows + 1) × (columns + 1) × 3 in the work CRS, NaN where a ray meets no ground
    error_m   of each, radial 1-sigma, LEAST_ERROR_M to MOST_ERROR_M; NaN where the point is
    """

    points_m: Floats
    error_m: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        rows, columns = self.points_m.shape[:2]
        return rows - 1, columns - 1


def ground_points(
    polygon_px: Floats, interior: InteriorOrientation, exterior: ExteriorOrientation, terrain: TerrainGrid
) -> tuple[Floats, Floats]:
    """Where the rays of a polygon (N×2, corners of pixels at integers), its edges and its inside, meet the
    ground: M×3 work CRS; and how far off each may be, M metres (radial 1-sigma). M may be 0."""
    closed = np.concatenate([polygon_px, polygon_px[:1]])
    share = np.arange(_EDGE_SAMPLES)[:, None] / _EDGE_SAMPLES
    edges = [start + share * (stop - start) for start, stop in pairwise(closed)]
    low, high = polygon_px.min(axis=0), polygon_px.max(axis=0)
    step = (np.arange(_INNER) + 0.5) / _INNER
    within = np.stack(np.meshgrid(*(low + step[:, None] * (high - low)).T), axis=-1).reshape(-1, 2)
    outline = polygon_px.astype(np.float32)
    inside = np.array([cv2.pointPolygonTest(outline, (float(x), float(y)), False) > 0 for x, y in within])
    points, error = _on_ground(np.concatenate([*edges, within[inside]]), interior, exterior, terrain)
    met = np.isfinite(points[:, 0])
    return points[met], error[met]


def lattice_of(interior: InteriorOrientation, exterior: ExteriorOrientation, terrain: TerrainGrid) -> Lattice:
    """The ground under a whole picture, in cells of a hundredth of its width."""
    width, height = interior.image_size_px
    rows = max(round(_CELLS_ACROSS * height / width), 1)
    x, y = np.meshgrid(np.linspace(0.0, width, _CELLS_ACROSS + 1), np.linspace(0.0, height, rows + 1))
    points, error = _on_ground(np.stack([x, y], axis=-1).reshape(-1, 2), interior, exterior, terrain)
    return Lattice(points.reshape(*x.shape, 3), error.reshape(x.shape))


def _on_ground(
    px: Floats, interior: InteriorOrientation, exterior: ExteriorOrientation, terrain: TerrainGrid
) -> tuple[Floats, Floats]:
    origins, rays = sight_lines(interior, exterior, px - 0.5)
    points = np.full_like(rays, np.nan)
    known = np.isfinite(rays).all(axis=1)
    if known.any():
        points[known] = cast_rays(terrain, origins[known], rays[known], sight_range(exterior, terrain))
    error = np.full(len(points), np.nan)
    met = np.isfinite(points[:, 0])
    if met.any():
        normals = normals_at(terrain, points[met, :2])
        found = expected_error(exterior, points[met], normals, np.full(int(met.sum()), OBJECT_SIGMA_M))
        error[met] = np.clip(np.nan_to_num(found, nan=MOST_ERROR_M), LEAST_ERROR_M, MOST_ERROR_M)
    return points, error
