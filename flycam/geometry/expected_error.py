"""How far a pixel of a rectified frame may be off: what is not known of pose and ground, on the ground.

A ray through the ground point P, moved by w, meets the tangent plane of the ground (unit normal n) at
P + w - d (n.w) / (n.d), d being the direction of the ray; where the ground stands dz higher than believed,
the ray meets it d (n_z dz) / (n.d) away. On level ground that is the usual dz tan(angle off nadir); a slope
that falls away from the camera makes more of it, one that faces it less. Trees and roofs that the ground
model does not hold are errors of its height, and lean by the same rule.

Error propagation after Mikhail and Ackermann, Observations and Least Squares, 1976.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import camera_coordinates
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.grid import TILE_SIZE_PX, TileId, pixel_centres, single_tile_range
from flycam.geometry.planar import PlanarMap
from flycam.geometry.terrain import TerrainGrid, normals_at, surface_heights

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

UNKNOWN_M = 65.0
"""Said of a place whose ground, or whose error, is not known: more than any error worth a map."""

NODE_STEP_PX = 32
_GRAZING = 0.1  # cosine between ray and normal; flatter views are as uncertain as this


def pose_covariance(exterior: ExteriorOrientation) -> Floats:
    """6×6 covariance of (east, north, up) in metres and of the turns about the camera's axes in radians.

    From the sigmas of a pose alone: as if its position and attitude were known independently of each other.
    """
    sigmas = np.array([*exterior.sigma_position_m, *exterior.sigma_attitude_rad])
    return np.asarray(np.diag(np.square(sigmas)), dtype=np.float64)


def expected_error(
    exterior: ExteriorOrientation,
    ground_m: Floats,
    normals: Floats,
    height_sigma_m: Floats,
    covariance: Floats | None = None,
) -> Floats:
    """Radial 1-sigma (metres, horizontal: root of the sum of both variances) at ground points N×3.

    normals         N×3, unit, upwards
    height_sigma_m  N, of the ground's height where the point lies
    covariance      6×6 as `pose_covariance` gives it, which is also the default
    NaN where a point or its normal is.
    """
    spread = pose_covariance(exterior) if covariance is None else covariance
    ray = ground_m - np.asarray(exterior.projection_centre_m)
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    towards = np.minimum(np.einsum("ni,ni->n", normals, ray), -_GRAZING)
    camera = camera_coordinates(exterior, *np.moveaxis(ground_m, -1, 0))
    moved = np.empty((len(ground_m), 3, 6))
    moved[:, :, :3] = np.eye(3)
    # of the picture's point, so against the turn: R' = exp([w]x) R takes a fixed image ray to R'^T r
    moved[:, :, 3:] = -np.einsum("ki,nkj->nij", np.asarray(exterior.rotation), _turned_by(*camera))
    along = np.einsum("ni,nij->nj", normals, moved) / towards[:, None]
    on_ground = moved[:, :2] - ray[:, :2, None] * along[:, None, :]
    variance = np.einsum("nij,jk,nik->n", on_ground, spread, on_ground)
    lean = np.square(normals[:, 2] / towards) * np.square(ray[:, :2]).sum(axis=-1)
    result: Floats = np.sqrt(np.maximum(variance, 0.0) + lean * np.square(height_sigma_m))
    return result


def tile_error(
    exterior: ExteriorOrientation,
    tile: TileId,
    to_work: PlanarMap,
    terrain: TerrainGrid,
    height_sigma: TerrainGrid,
    covariance: Floats | None = None,
) -> Singles:
    """`expected_error` of a frame over a tile, 256×256 float32 metres; UNKNOWN_M where nothing is known.

    to_work       map from EPSG:3857 metres to the work CRS, valid over the tile
    height_sigma  sigma of the terrain's height, as a grid of the same CRS (its heights are sigmas, in metres)
    Exact on a lattice of every 32nd pixel, linear between.
    """
    nodes = np.arange(0, TILE_SIZE_PX + 1, NODE_STEP_PX, dtype=np.float64)
    rows, cols = np.meshgrid(nodes, nodes, indexing="ij")
    xy = to_work(pixel_centres(single_tile_range(tile), rows, cols).reshape(-1, 2))
    ground = np.column_stack([xy, surface_heights(terrain, xy[:, 0], xy[:, 1])])
    sigma = surface_heights(height_sigma, xy[:, 0], xy[:, 1])
    error = expected_error(exterior, ground, normals_at(terrain, xy), sigma, covariance)
    error = np.where(np.isfinite(error), np.minimum(error, UNKNOWN_M), UNKNOWN_M).reshape(rows.shape)
    return np.asarray(_BETWEEN @ error @ _BETWEEN.T, dtype=np.float32)


def _turned_by(x: Floats, y: Floats, z: Floats) -> Floats:
    """N×3×3: how a point in camera axes moves with small turns about those axes."""
    none = np.zeros_like(x)
    columns = [[none, -z, y], [z, none, -x], [-y, x, none]]
    return np.stack([np.stack(column, axis=-1) for column in columns], axis=-1)


def _between() -> Floats:
    """256×9: weights of the nodes in each pixel of a row."""
    position = np.arange(TILE_SIZE_PX) / NODE_STEP_PX
    nodes = np.arange(TILE_SIZE_PX // NODE_STEP_PX + 1)
    return np.asarray(np.maximum(1.0 - np.abs(position[:, None] - nodes), 0.0), dtype=np.float64)


_BETWEEN = _between()
