"""Monoplotting: ground shown by part of an image, and the reverse.

Both by rays from the image to the terrain, so that hidden ground and sky are excluded. Areas of an image
are computed on a lattice: coarse, and never too small by more than its cell.
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
"""Ground whose expected error (radial 1-sigma) is larger counts as not known."""
OBJECT_SIGMA_M = 3.0
"""1-sigma of the height of objects on the terrain (roofs, crowns), which displaces them in the image."""

_EDGE_SAMPLES = 16
_INNER = 24
_GRID_COLUMNS = 96


def project_polygon_to_ground(
    polygon_px: Floats, interior: InteriorOrientation, exterior: ExteriorOrientation, terrain: TerrainGrid
) -> tuple[Floats, Floats]:
    """Project a polygon's edges and inside to the ground.

    polygon_px is N×2, corners of pixels at integers. Returns M×3 ground points (work CRS) and their expected
    errors, M metres (radial 1-sigma, with OBJECT_SIGMA_M; at most UNKNOWN_ERROR_M). M may be 0.
    """
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
    """Project a whole image to the ground in cells of about a hundredth of its width.

    Returns the cells' corners, (rows + 1) × (columns + 1) × 3 in the work CRS; NaN where a ray meets no
    ground.
    """
    width, height = interior.image_size_px
    rows = max(round(_GRID_COLUMNS * height / width), 1)
    x, y = np.meshgrid(np.linspace(0.0, width, _GRID_COLUMNS + 1), np.linspace(0.0, height, rows + 1))
    points = _on_ground(np.stack([x, y], axis=-1).reshape(-1, 2), interior, exterior, terrain)
    return points.reshape(*x.shape, 3)


def trace_cell_rays(
    interior: InteriorOrientation, exterior: ExteriorOrientation, terrain: TerrainGrid, shape: tuple[int, int]
) -> Floats:
    """Trace the ray through the centre of each lattice cell to the search range.

    Rays start at the camera, and nothing stops them. Returns rows × columns × 2 ends × 3, work CRS; NaN
    beyond the lens.
    """
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
