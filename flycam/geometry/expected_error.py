"""Expected error of a pixel of an orthorectified frame, from pose and height.

A ray through the ground point P, moved by w, meets the tangent plane of the ground (unit normal n) at
P + w - d (n.w) / (n.d), d being the direction of the ray; where the ground is dz higher than modelled,
the ray meets it d (n_z dz) / (n.d) away. On level ground that is the usual dz tan(angle off nadir); a slope
that falls away from the camera increases it, one that faces the camera reduces it. Trees and roofs that the
terrain does not contain are errors of its height, and are displaced by the same rule.

Pose uncertainty and ray direction change slowly over a tile; height uncertainty changes from post to post,
at every crown. So the first two are computed on a lattice, over the smoothed slope of the terrain, and the
height's sigma is taken at each pixel.

Error propagation after Mikhail and Ackermann, Observations and Least Squares, 1976.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import transform_to_camera
from flycam.geometry.grid import TILE_SIZE_PX, PlanarMap, TileId, compute_pixel_centres, make_tile_range
from flycam.geometry.pose import ExteriorOrientation
from flycam.geometry.terrain import TerrainGrid, compute_normals, interpolate_heights_en

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

UNKNOWN_ERROR_M = 65.0
"""Error of a pixel whose ground or error is not known: above any error that is worth mapping."""

NODE_STEP_PX = 32
_NODES = TILE_SIZE_PX // NODE_STEP_PX + 1
_NODE_PX = np.arange(0, TILE_SIZE_PX + 1, NODE_STEP_PX, dtype=np.float64)
# About the width of a crown: its sides are no slope of the ground.
_SMOOTHING_M = 10.0
# Least cosine between ray and normal: flatter views get the error of this one.
_MIN_INCIDENCE_COSINE = 0.1


def compute_pose_covariance(exterior: ExteriorOrientation) -> Floats:
    """Return the 6×6 covariance of a pose from its sigmas, taken as independent.

    (east, north, up) in metres, then rotations about the camera's axes in radians.
    """
    sigmas = np.array([*exterior.sigma_position_m, *exterior.sigma_attitude_rad])
    return np.asarray(np.diag(np.square(sigmas)), dtype=np.float64)


def compute_expected_error(
    exterior: ExteriorOrientation,
    ground_m: Floats,
    normals: Floats,
    height_sigma_m: Floats,
    covariance: Floats | None = None,
) -> Floats:
    """Return the radial 1-sigma at ground points N×3, metres.

    Horizontal: root of the sum of both variances. NaN where a point or its normal is.

    normals         N×3, unit, upwards
    height_sigma_m  N, of the ground's height at the point
    covariance      6×6 as from `compute_pose_covariance`, which is the default
    """
    variance, lean = _along_rays(exterior, ground_m, normals, covariance)
    result: Floats = np.sqrt(variance + lean * np.square(height_sigma_m))
    return result


def _along_rays(
    exterior: ExteriorOrientation, ground_m: Floats, normals: Floats, covariance: Floats | None
) -> tuple[Floats, Floats]:
    """Return the variance from the pose (m²) and the factor on the height's, N each."""
    spread = compute_pose_covariance(exterior) if covariance is None else covariance
    ray = ground_m - np.asarray(exterior.projection_centre_m)
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    towards = np.minimum(np.einsum("ni,ni->n", normals, ray), -_MIN_INCIDENCE_COSINE)
    camera = transform_to_camera(exterior, *np.moveaxis(ground_m, -1, 0))
    moved = np.empty((len(ground_m), 3, 6))
    moved[:, :, :3] = np.eye(3)
    # negative because the image point is fixed: R' = exp([w]x) R takes its ray r to R'^T r
    moved[:, :, 3:] = -np.einsum(
        "ki,nkj->nij", np.asarray(exterior.rotation), _compute_rotation_derivative(*camera)
    )
    along = np.einsum("ni,nij->nj", normals, moved) / towards[:, None]
    on_ground = moved[:, :2] - ray[:, :2, None] * along[:, None, :]
    variance = np.einsum("nij,jk,nik->n", on_ground, spread, on_ground)
    lean = np.square(normals[:, 2] / towards) * np.square(ray[:, :2]).sum(axis=-1)
    return np.maximum(variance, 0.0), lean


def compute_tile_height_sigma(tile: TileId, to_work: PlanarMap, height_sigma: TerrainGrid) -> Singles:
    """Return the ground height's sigma at the pixels of a tile.

    to_work       map from EPSG:3857 metres to the work CRS, valid over the tile
    height_sigma  a grid in the work CRS whose heights are sigmas

    256×256 float32 metres, NaN where not known.
    """
    east, north = (_BETWEEN @ axis.reshape(_NODES, _NODES) @ _BETWEEN.T for axis in _nodes(tile, to_work).T)
    return np.asarray(interpolate_heights_en(height_sigma, east, north), dtype=np.float32)


def compute_tile_error(
    exterior: ExteriorOrientation,
    tile: TileId,
    to_work: PlanarMap,
    terrain: TerrainGrid,
    height_sigma_m: Singles,
    covariance: Floats | None = None,
) -> Singles:
    """Return the expected error of a frame over a tile, 256×256 float32 metres.

    to_work         map from EPSG:3857 metres to the work CRS, valid over the tile
    terrain         smoothed height and slope: sides of trees and roofs are no slope that rays meet
    height_sigma_m  256×256, from `compute_tile_height_sigma`

    UNKNOWN_ERROR_M where not known. Exact (`compute_expected_error`) on a lattice of every 32nd pixel,
    variances linear between.
    """
    xy = _nodes(tile, to_work)
    west, south, east, north = terrain.bounds_m
    # a node beyond the terrain's rim serves pixels inside it, with the height next to it
    inside = np.clip(xy, (west, south), (east, north))
    places = np.column_stack([xy, interpolate_heights_en(terrain, inside[:, 0], inside[:, 1])])
    parts = _along_rays(exterior, places, compute_normals(terrain, inside), covariance)
    known = np.isfinite(parts[0]) & np.isfinite(parts[1])
    variance, lean = (
        _BETWEEN @ np.where(known, part, unknown).reshape(_NODES, _NODES) @ _BETWEEN.T
        for part, unknown in zip(parts, (UNKNOWN_ERROR_M**2, 0.0), strict=True)
    )
    lean *= np.square(height_sigma_m)
    lean += variance
    error = np.sqrt(lean, out=lean)
    # fmin, not minimum: NaN becomes UNKNOWN_ERROR_M
    return np.fmin(error, UNKNOWN_ERROR_M, out=error).astype(np.float32)


def smooth_terrain(terrain: TerrainGrid) -> TerrainGrid:
    """Average the terrain over about ten metres, on posts as far apart.

    Returns the terrain itself where its posts already are that far apart.
    """
    step = int(_SMOOTHING_M / max(terrain.post_spacing_m))
    if step < 2 or min(terrain.heights_m.shape) < 2 * step:
        return terrain
    known = np.isfinite(terrain.heights_m)
    some = float(np.median(terrain.heights_m[known])) if known.any() else 0.0
    # relative to the median height: float32 sums of thousands of metres would lose millimetres
    above = np.where(known, terrain.heights_m - np.float32(some), np.float32(0.0))
    size = (step, step)
    total, share = cv2.blur(above, size), cv2.blur(known.astype(np.float32), size)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(share > 0.0, total / share + some, np.nan)[step // 2 :: step, step // 2 :: step]
    (east, north), (step_e, step_s) = terrain.origin_m, terrain.post_spacing_m
    first = step // 2
    return replace(
        terrain,
        heights_m=np.ascontiguousarray(mean, dtype=np.float32),
        origin_m=(east + first * step_e, north - first * step_s),
        post_spacing_m=(step * step_e, step * step_s),
    )


def _nodes(tile: TileId, to_work: PlanarMap) -> Floats:
    """Return the work CRS coordinates of a tile's nodes, row by row, N×2."""
    rows, cols = np.meshgrid(_NODE_PX, _NODE_PX, indexing="ij")
    return to_work(compute_pixel_centres(make_tile_range(tile), rows, cols).reshape(-1, 2))


def _compute_rotation_derivative(x: Floats, y: Floats, z: Floats) -> Floats:
    """Return N×3×3 derivatives of points by small rotations about the camera's axes."""
    none = np.zeros_like(x)
    columns = [[none, -z, y], [z, none, -x], [-y, x, none]]
    return np.stack([np.stack(column, axis=-1) for column in columns], axis=-1)


def _between() -> Floats:
    """Return the 256×9 weights of the nodes in each pixel of a row."""
    position = np.arange(TILE_SIZE_PX) / NODE_STEP_PX
    nodes = np.arange(TILE_SIZE_PX // NODE_STEP_PX + 1)
    return np.asarray(np.maximum(1.0 - np.abs(position[:, None] - nodes), 0.0), dtype=np.float64)


_BETWEEN = _between()
