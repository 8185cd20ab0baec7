"""Rolling shutter: each row of an image is read at its own time.

Row v of h is read t(v) = readout · ((v + ½) / h - ½) seconds after the middle row, to which the pose
refers. A point p in the camera's axes at the middle row then is, to first order in t, at

    p(t) = p + t · (w × p - R V)

with the camera's velocity V (world), its rotation R and its rate of rotation w (camera axes). The omitted
terms are of the order (|w| t)²: 1e-6 of the focal length for a gimbal that turns by 5° a second. The row
that a point falls on depends on t itself: `camera.correct_rolling_shutter` solves that.

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
    """Return True if readout and motion are known and not zero.

    Then rows are projected at their own times.
    """
    return bool(interior.readout_s) and exterior.motion is not None


def compute_row_times(interior: InteriorOrientation, v: Floats) -> Floats:
    """Return the read-out times of rows v, seconds after the middle row.

    v is of any shape, pixel centres at integers; rows outside the image are extrapolated. Zero everywhere
    without a known readout.
    """
    seconds: Floats = (interior.readout_s or 0.0) * ((v + 0.5) / interior.image_size_px[1] - 0.5)
    return seconds


def compute_point_velocities(
    exterior: ExteriorOrientation, x: Floats, y: Floats, z: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return the velocities of points relative to a moving camera, metres a second.

    Points of any equal shape in camera axes. Element by element, as `camera.transform_to_camera`. Raises
    ValueError for a camera whose motion is None.
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
    """Estimate the largest displacement by the rolling shutter, pixels.

    The displacement is that of the first or last row, were the image taken at one time. An upper bound for
    nadir views: translation across the line of sight, and rotation at the image's corner. 0 without motion or
    readout.

    range_m  distance of the ground
    """
    if exterior.motion is None or not interior.readout_s or not range_m > 0.0:
        return 0.0
    focal = 0.5 * sum(interior.focal_length_px)
    corner = 0.5 * float(np.hypot(*interior.image_size_px)) / focal
    wx, wy, wz = exterior.motion.turn_radps
    speed = float(np.linalg.norm(exterior.motion.velocity_mps)) / range_m
    turn = float(np.hypot(wx, wy)) * (1.0 + corner * corner) + abs(wz) * corner
    return 0.5 * abs(interior.readout_s) * focal * (speed + turn)
