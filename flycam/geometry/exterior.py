"""Exterior orientation: position and rotation of a camera in a work CRS."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Vec3 = tuple[float, float, float]
Mat3 = tuple[Vec3, Vec3, Vec3]


class PoseSource(StrEnum):
    """Origin of a pose, best last."""

    GNSS = "gnss"
    RTK = "rtk"
    REGISTERED = "registered"
    ADJUSTED = "adjusted"


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraMotion:
    """Motion of a camera while the rows of its image are read.

    velocity_mps  (east, north, up) of the projection centre, in the metres of the work CRS
    turn_radps    about the camera's (x, y, z) axes, with the sign of the adjustment's rotations: t seconds
                  later the rotation is exp([turn · t]x) · rotation (points rotate so, the camera inversely)
    """

    velocity_mps: Vec3
    turn_radps: Vec3 = (0.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExteriorOrientation:
    """Frozen pose of a frame; refinement makes a new value with a higher version.

    projection_centre_m  (east, north, height) in work_crs and vertical_datum
    rotation             3×3 rows; x_camera = rotation @ (x_world - centre); world axes are the work
                         CRS's east, north, up (grid north, so convergence is already applied)
    work_crs             e.g. "EPSG:32648"
    vertical_datum       "EGM96", "EGM2008", "ELLIPSOID", "LOCAL"; always that of the terrain it is used on
    grid_scale           point scale factor of the work CRS here: vertical differences are multiplied by
                         it, so that rays are straight in grid units
    sigma_position_m     1-sigma (east, north, up)
    sigma_attitude_rad   1-sigma about the camera's (x, y, z) axes
    version              0 for the prior
    height_on_terrain    the height was derived from the terrain's ground height: where the terrain is too
                         high, so is the camera
    motion               during readout; the pose is then that of the middle row. None: not known, or too
                         small to matter, and all rows count as taken at one time
    """

    projection_centre_m: Vec3
    rotation: Mat3
    work_crs: str
    vertical_datum: str
    grid_scale: float = 1.0
    sigma_position_m: Vec3
    sigma_attitude_rad: Vec3
    source: PoseSource
    version: int = 0
    height_on_terrain: bool = False
    motion: CameraMotion | None = None
