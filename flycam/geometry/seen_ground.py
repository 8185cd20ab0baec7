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
from flycam.geometry.expected_error import UNKNOWN_M, expected_error
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.footprint import RANGE_PER_NEAREST, sight_range
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.terrain import TerrainGrid, cast_rays, normals_at

Floats = NDArray[np.float64]

LEAST_ERROR_M, MOST_ERROR_M = 1.0, 15.0
OBJECT_SIGMA_M = 3.0
"""What stands on the terrain (a roof, a crown) leans by its height: 1-sigma of that."""

_LEAST_DIP = 0.1  # sine of the axis below the horizon; a flatter view lies as far away as this one
_SPOTS_ACROSS = 9
_EDGE_SAMPLES = 16
_INNER = 24
_CELLS_ACROSS = 96


@dataclass(frozen=True, slots=True)
class Lattice:
    """A picture's corners of cells on the ground.

    points_m  (rows + 1) × (columns + 1) × 3 in the work CRS, NaN where a ray meets no ground
    error_m   of each, radial 1-sigma, LEAST_ERROR_M to UNKNOWN_M; NaN where the point is
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
    ground: M×3 work CRS; and how far off each may be, M metres (radial 1-sigma, LEAST_ERROR_M to
    MOST_ERROR_M). M may be 0."""
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
    return points[met], np.minimum(error[met], MOST_ERROR_M)


def lattice_of(interior: InteriorOrientation, exterior: ExteriorOrientation, terrain: TerrainGrid) -> Lattice:
    """The ground under a whole picture, in cells of a hundredth of its width."""
    width, height = interior.image_size_px
    rows = max(round(_CELLS_ACROSS * height / width), 1)
    x, y = np.meshgrid(np.linspace(0.0, width, _CELLS_ACROSS + 1), np.linspace(0.0, height, rows + 1))
    points, error = _on_ground(np.stack([x, y], axis=-1).reshape(-1, 2), interior, exterior, terrain)
    return Lattice(points.reshape(*x.shape, 3), error.reshape(x.shape))


def cell_tracks(
    interior: InteriorOrientation, exterior: ExteriorOrientation, terrain: TerrainGrid, shape: tuple[int, int]
) -> Floats:
    """Where the ray through the middle of each cell of a lattice goes, from the camera to as far as ground is
    looked for, whatever it meets: rows × columns × 2 ends × 3, work CRS; NaN beyond the lens."""
    rows, columns = shape
    width, height = interior.image_size_px
    x, y = np.meshgrid((np.arange(columns) + 0.5) / columns * width, (np.arange(rows) + 0.5) / rows * height)
    origins, rays = sight_lines(interior, exterior, np.stack([x, y], axis=-1).reshape(-1, 2) - 0.5)
    ends = origins + sight_range(exterior, terrain) * rays
    return np.stack([origins, ends], axis=1).reshape(rows, columns, 2, 3)


def picture_error_m(
    interior: InteriorOrientation, exterior: ExteriorOrientation, axis_range_m: float
) -> float:
    """How far off the ground in a picture may be at most, radial 1-sigma in metres, at most UNKNOWN_M.

    By a lattice of spots, as far as it is mapped, over ground that is taken as level where its axis meets it,
    axis_range_m away; with OBJECT_SIGMA_M. UNKNOWN_M where nothing of it looks down.
    """
    width, height = interior.image_size_px
    share = np.linspace(0.0, 1.0, _SPOTS_ACROSS)
    spots = np.stack(np.meshgrid(share * width, share * height), axis=-1).reshape(-1, 2)
    origins, rays = sight_lines(interior, exterior, spots - 0.5)
    above_m = axis_range_m * max(-exterior.rotation[2][2], _LEAST_DIP)
    down = -rays[:, 2]
    looks_down = np.isfinite(down) & (down > 0.0)
    if not looks_down.any() or not above_m > 0.0:
        return UNKNOWN_M
    far_m = np.minimum(above_m / down[looks_down], RANGE_PER_NEAREST * above_m / down[looks_down].max())
    points = origins[looks_down] + far_m[:, None] * rays[looks_down]
    upright = np.broadcast_to((0.0, 0.0, 1.0), points.shape)
    error = expected_error(exterior, points, upright, np.full(len(points), OBJECT_SIGMA_M))
    return float(np.clip(np.nan_to_num(error, nan=UNKNOWN_M).max(), LEAST_ERROR_M, UNKNOWN_M))


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
        error[met] = np.clip(np.nan_to_num(found, nan=UNKNOWN_M), LEAST_ERROR_M, UNKNOWN_M)
    return points, error
