"""The ground that a part of a picture shows, and the part of a picture that shows some ground.

Both by rays from the picture to the terrain, so that what stands behind a ridge, or is sky, counts for
nothing. Areas of a picture are worked out on a lattice: coarse, and never too small by more than its cell.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import compute_viewing_rays
from flycam.geometry.expected_error import UNKNOWN_ERROR_M, compute_expected_error
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.footprint import compute_search_range_m
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.terrain import TerrainGrid, cast_rays, compute_normals

Floats = NDArray[np.float64]

MAX_ERROR_M = 15.0
"""Ground in a picture whose place is known no better (radial 1-sigma) is taken as not known."""
OBJECT_SIGMA_M = 3.0
"""What stands on the terrain (a roof, a crown) leans by its height: 1-sigma of that."""

_EDGE_SAMPLES = 16
_INNER = 24
_GRID_COLUMNS = 96


def project_polygon_to_ground(
    polygon_px: Floats, interior: InteriorOrientation, exterior: ExteriorOrientation, terrain: TerrainGrid
) -> tuple[Floats, Floats]:
    """Where the rays of a polygon (N×2, corners of pixels at integers), its edges and its inside, meet the
    ground: M×3 work CRS; and how far off each may be, M metres (radial 1-sigma, with OBJECT_SIGMA_M; at most
    UNKNOWN_M). M may be 0."""
    closed = np.concatenate([polygon_px, polygon_px[:1]])
    share = np.arange(_EDGE_SAMPLES)[:, None] / _EDGE_SAMPLES
    edges = [start + share * (stop - start) for start, stop in pairwise(closed)]
    low, high = polygon_px.min(axis=0), polygon_px.max(axis=0)
    step = (np.arange(_INNER) + 0.5) / _INNER
    within = np.stack(np.meshgrid(*(low + step[:, None] * (high - low)).T), axis=-1).reshape(-1, 2)
    outline = polygon_px.astype(np.float32)
    inside = np.array([cv2.pointPolygonTest(outline, (float(x), float(y)), False) > 0 for x, y in within])
    points = _on_ground(np.concatenate([*edges, within[inside]]), interior, exterior, terrain)
    points = points[np.isfinite(points[:, 0])]
    normals = compute_normals(terrain, points[:, :2])
    error = compute_expected_error(exterior, points, normals, np.full(len(points), OBJECT_SIGMA_M))
    return points, np.minimum(np.nan_to_num(error, nan=UNKNOWN_ERROR_M), UNKNOWN_ERROR_M)


def project_image_grid(
    interior: InteriorOrientation, exterior: ExteriorOrientation, terrain: TerrainGrid
) -> Floats:
    """The ground under a whole picture, in cells of a hundredth of its width: where their corners lie,
    (rows + 1) × (columns + 1) × 3 in the work CRS, NaN where a ray meets no ground."""
    width, height = interior.image_size_px
    rows = max(round(_GRID_COLUMNS * height / width), 1)
    x, y = np.meshgrid(np.linspace(0.0, width, _GRID_COLUMNS + 1), np.linspace(0.0, height, rows + 1))
    points = _on_ground(np.stack([x, y], axis=-1).reshape(-1, 2), interior, exterior, terrain)
    return points.reshape(*x.shape, 3)


def trace_cell_rays(
    interior: InteriorOrientation, exterior: ExteriorOrientation, terrain: TerrainGrid, shape: tuple[int, int]
) -> Floats:
    """Where the ray through the middle of each cell of a lattice goes, from the camera to as far as ground is
    looked for, whatever it meets: rows × columns × 2 ends × 3, work CRS; NaN beyond the lens."""
    rows, columns = shape
    width, height = interior.image_size_px
    x, y = np.meshgrid((np.arange(columns) + 0.5) / columns * width, (np.arange(rows) + 0.5) / rows * height)
    origins, rays = compute_viewing_rays(interior, exterior, np.stack([x, y], axis=-1).reshape(-1, 2) - 0.5)
    ends = origins + compute_search_range_m(exterior, terrain) * rays
    return np.stack([origins, ends], axis=1).reshape(rows, columns, 2, 3)


def _on_ground(
    px: Floats, interior: InteriorOrientation, exterior: ExteriorOrientation, terrain: TerrainGrid
) -> Floats:
    origins, rays = compute_viewing_rays(interior, exterior, px - 0.5)
    points = np.full_like(rays, np.nan)
    known = np.isfinite(rays).all(axis=1)
    if known.any():
        points[known] = cast_rays(
            terrain, origins[known], rays[known], compute_search_range_m(exterior, terrain)
        )
    return points
