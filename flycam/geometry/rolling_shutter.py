"""A rolling shutter: every row of a picture is read at its own moment of a moving, turning camera.

Row v of h is read t(v) = readout · ((v + ½) / h - ½) seconds after the middle, when the pose counts. A
point p in the camera's axes at the middle row then lies, to first order in t, at

    p(t) = p + t · (w × p - R V)

with the camera's velocity V (world), its rotation R and its turn w (camera axes). What is left out is of the
order (|w| t)²: 1e-6 of the focal length for a gimbal that turns by 5° a second. Which row a point falls on
depends on t itself: `camera.as_read` solves that.

Source: Vautherin et al., Photogrammetric Accuracy and Modeling of Rolling Shutter Cameras, ISPRS Annals
III-3, 2016.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.interior import InteriorOrientation

Floats = NDArray[np.float64]


def is_rolling(interior: InteriorOrientation, exterior: ExteriorOrientation) -> bool:
    """Whether rows are projected at their own moments: readout and motion are both known and not nothing."""
    return bool(interior.readout_s) and exterior.motion is not None


def compute_row_times(interior: InteriorOrientation, v: Floats) -> Floats:
    """Seconds after the middle row at which rows v (any shape, pixel centres at integers) were read.

    Rows beside the picture count on. Zero everywhere without a known readout.
    """
    seconds: Floats = (interior.readout_s or 0.0) * ((v + 0.5) / interior.image_size_px[1] - 0.5)
    return seconds


def compute_point_velocities(
    exterior: ExteriorOrientation, x: Floats, y: Floats, z: Floats
) -> tuple[Floats, Floats, Floats]:
    """Metres a second by which points (any equal shape, camera axes) move past a camera with a motion.

    Element by element, as `camera.transform_to_camera`. Raises ValueError for a camera whose motion is None.
    """
    motion = exterior.motion
    if motion is None:
        raise ValueError("the pose has no motion; ask is_rolling first")
    east, north, up = motion.velocity_mps
    forward = [r[0] * east + r[1] * north + r[2] * (up * exterior.grid_scale) for r in exterior.rotation]
    wx, wy, wz = motion.turn_radps
    return (
        wy * z - wz * y - forward[0],
        wz * x - wx * z - forward[1],
        wx * y - wy * x - forward[2],
    )


def estimate_motion_px(interior: InteriorOrientation, exterior: ExteriorOrientation, range_m: float) -> float:
    """By how many pixels the first or last row would be off at most, were the picture taken at one moment.

    range_m  distance of the ground. An upper bound for nadir views: translation across the line of sight, and
             turns at the picture's corner. 0 without motion or readout.
    """
    if exterior.motion is None or not interior.readout_s or not range_m > 0.0:
        return 0.0
    focal = 0.5 * sum(interior.focal_length_px)
    corner = 0.5 * float(np.hypot(*interior.image_size_px)) / focal
    wx, wy, wz = exterior.motion.turn_radps
    speed = float(np.linalg.norm(exterior.motion.velocity_mps)) / range_m
    turn = float(np.hypot(wx, wy)) * (1.0 + corner * corner) + abs(wz) * corner
    return 0.5 * abs(interior.readout_s) * focal * (speed + turn)
