"""Expected error of a live tile's pixels: every frame by its recorded pose, over level ground."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flycam.catalog.records import FrameRecord
from flycam.frame.flight import is_flat_datum
from flycam.geodata.crs import fit_mercator_to_work
from flycam.geometry.expected_error import compute_tile_error
from flycam.geometry.grid import TILE_SIZE_PX, TileId, get_tile_bounds
from flycam.geometry.terrain import make_flat_terrain

# sine of the axis below the horizon; a flatter view is taken to lie as far away as this one
_MIN_DIP = 0.1


def estimate_live_error_m(frame: FrameRecord, tile: TileId) -> NDArray[np.float32] | None:
    """Estimate the radial 1-sigma of a frame's pixels over a tile, in metres.

    256×256 float32.

    Position, height and attitude by the pose's sigmas (`geometry.compute_expected_error`): a height that is
    off by dz moves a pixel by dz tan(angle off nadir). The ground is taken as level at the height where the
    frame's axis meets it, and as known: a lower bound on slopes. None for a frame without a pose, and where
    the ground was taken as a plane: its true distance from that plane is unknown.
    """
    pose = frame.exterior
    if pose is None or is_flat_datum(pose.vertical_datum):
        return None
    range_m = (frame.gsd_m or 0.0) * frame.header.interior.focal_length_px[0]
    ground_m = pose.projection_centre_m[2] - range_m * max(-pose.rotation[2][2], _MIN_DIP)
    bounds = get_tile_bounds(tile)
    to_work = fit_mercator_to_work(pose.work_crs, bounds)
    corners = to_work(np.array([[bounds[i], bounds[j]] for i in (0, 2) for j in (1, 3)]))
    (west, south), (east, north) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    level = make_flat_terrain(ground_m, pose.work_crs, pose.vertical_datum, (west, south, east, north))
    sigma_m = np.zeros((TILE_SIZE_PX, TILE_SIZE_PX), dtype=np.float32)
    return compute_tile_error(pose, tile, to_work, level, sigma_m)
