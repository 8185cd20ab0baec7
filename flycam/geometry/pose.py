"""Exterior orientation, and conversion of rotations between notations.

flycam's rotation is world to camera, `x_camera = R @ (x_world - C)`, world axes east, north, up of the
work CRS, camera axes x right, y down, z forward. Angles are radians. Every function takes scalars or
equal-shaped arrays S of angles and returns S×3×3.

A yaw is clockwise from *true* north; `convergence`, the clockwise angle from true to grid north (positive
east of the central meridian on the northern half), is subtracted to make it a yaw of the grid.

Sources: Mikhail, Bethel and McGlone, Introduction to Modern Photogrammetry (omega-phi-kappa); Diebel,
Representing Attitude, 2006 (yaw-pitch-roll, axis-angle).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

# -- Exterior orientation: position and rotation of a camera in a work CRS -------------------------


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


# -- Conversion of rotations between flycam's notation and those of the field ----------------------


Floats = NDArray[np.float64]

_NED_FROM_ENU = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
# Gimbal body (x along the view, y right, z down in the image) to camera.
_CAMERA_FROM_GIMBAL = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
# Aircraft body (x nose, y right wing, z belly) to a camera that looks out of the belly, image up = nose.
_CAMERA_FROM_BODY = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
_FLIP_YZ = np.array([1.0, -1.0, -1.0])
# Below this cosine of pitch (0.006 degrees from the pole) yaw and roll cannot be separated.
_LOCK_COSINE = 1e-4


def rotation_from_opk(omega: ArrayLike, phi: ArrayLike, kappa: ArrayLike) -> Floats:
    """Convert photogrammetric omega, phi, kappa (radians, S) to rotations S×3×3.

    The notation's camera has x right, y up and looks along -z; M = R3(kappa) R2(phi) R1(omega).
    """
    so, co, sp, cp, sk, ck = _sines(omega, phi, kappa)
    rows = [
        [cp * ck, co * sk + so * sp * ck, so * sk - co * sp * ck],
        [-cp * sk, co * ck - so * sp * sk, so * ck + co * sp * sk],
        [sp, -so * cp, co * cp],
    ]
    rotation: Floats = _matrix(rows) * _FLIP_YZ[:, None]
    return rotation


def opk_from_rotation(rotation: ArrayLike) -> Floats:
    """Convert rotations S×3×3 to (omega, phi, kappa) S×3 in radians.

    At phi = ±90° omega is set to 0.
    """
    m = np.asarray(rotation, dtype=np.float64) * _FLIP_YZ[:, None]
    cos_phi = np.hypot(m[..., 0, 0], m[..., 1, 0])
    phi = np.arctan2(m[..., 2, 0], cos_phi)
    locked = cos_phi < _LOCK_COSINE
    omega = np.where(locked, 0.0, np.arctan2(-m[..., 2, 1], m[..., 2, 2]))
    kappa = np.where(locked, np.arctan2(m[..., 0, 1], m[..., 1, 1]), np.arctan2(-m[..., 1, 0], m[..., 0, 0]))
    return np.stack([omega, phi, kappa], axis=-1)


def rotation_from_gimbal(
    yaw: ArrayLike, pitch: ArrayLike, roll: ArrayLike, convergence: ArrayLike = 0.0
) -> Floats:
    """Convert gimbal yaw (from true north), pitch (-90° = nadir) and roll to S×3×3.

    Yaw is clockwise. North-east-down, intrinsic Rz(yaw) Ry(pitch) Rx(roll). At nadir the image's upper edge
    points to the yaw heading.
    """
    ned = _ned_from_body(yaw, pitch, roll, convergence)
    rotation: Floats = _CAMERA_FROM_GIMBAL @ np.swapaxes(ned, -1, -2) @ _NED_FROM_ENU
    return rotation


def gimbal_from_rotation(rotation: ArrayLike) -> Floats:
    """Convert rotations S×3×3 to gimbal (yaw, pitch, roll) S×3, radians.

    Yaw is in [-pi, pi). At the pole (nadir or zenith) the roll is set to 0 and the yaw takes the whole
    rotation: no gimbal lock.
    """
    gimbal_from_enu = _CAMERA_FROM_GIMBAL.T @ np.asarray(rotation, dtype=np.float64)
    ned = np.swapaxes(gimbal_from_enu @ _NED_FROM_ENU, -1, -2)
    cos_pitch = np.hypot(ned[..., 0, 0], ned[..., 1, 0])
    pitch = np.arctan2(-ned[..., 2, 0], cos_pitch)
    locked = cos_pitch < _LOCK_COSINE
    roll = np.where(locked, 0.0, np.arctan2(ned[..., 2, 1], ned[..., 2, 2]))
    yaw = np.where(
        locked, np.arctan2(-ned[..., 0, 1], ned[..., 1, 1]), np.arctan2(ned[..., 1, 0], ned[..., 0, 0])
    )
    yaw = (yaw + np.pi) % (2.0 * np.pi) - np.pi
    return np.stack([yaw, pitch, roll], axis=-1)


def rotation_from_body(
    yaw: ArrayLike, pitch: ArrayLike, roll: ArrayLike, convergence: ArrayLike = 0.0
) -> Floats:
    """Convert aircraft yaw, pitch and roll to S×3×3 for a camera fixed to the belly.

    Pitch is nose up, roll right wing down. With level wings the camera looks straight down and the image's
    upper edge points to the nose.
    """
    ned = _ned_from_body(yaw, pitch, roll, convergence)
    rotation: Floats = _CAMERA_FROM_BODY @ np.swapaxes(ned, -1, -2) @ _NED_FROM_ENU
    return rotation


def rotation_from_angle_axis(vector: ArrayLike) -> Floats:
    """Convert angle-axis vectors S×3 in radians to S×3×3.

    OpenSfM writes world to camera in flycam's camera axes.
    """
    v = np.asarray(vector, dtype=np.float64)
    angle = np.linalg.norm(v, axis=-1)[..., None, None]
    zero = np.zeros_like(v[..., 0])
    cross = _matrix(
        [[zero, -v[..., 2], v[..., 1]], [v[..., 2], zero, -v[..., 0]], [-v[..., 1], v[..., 0], zero]]
    )
    # sin(a)/a and (1 - cos(a))/a² by sinc, so that the angle 0 is no special case
    first = np.sinc(angle / np.pi)
    second = 0.5 * np.sinc(angle / (2.0 * np.pi)) ** 2
    result: Floats = np.eye(3) + first * cross + second * (cross @ cross)
    return result


def angle_axis_from_rotation(rotation: ArrayLike) -> Floats:
    """Convert rotations S×3×3 to angle-axis vectors S×3, angle in [0, pi].

    By way of the unit quaternion.
    """
    r = np.asarray(rotation, dtype=np.float64)
    xx, yy, zz = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    # Bar-Itzhack 2000: the quaternion is the dominant eigenvector; stable at every angle
    k = _matrix(
        [
            [
                xx - yy - zz,
                r[..., 0, 1] + r[..., 1, 0],
                r[..., 0, 2] + r[..., 2, 0],
                r[..., 2, 1] - r[..., 1, 2],
            ],
            [
                r[..., 0, 1] + r[..., 1, 0],
                yy - xx - zz,
                r[..., 1, 2] + r[..., 2, 1],
                r[..., 0, 2] - r[..., 2, 0],
            ],
            [
                r[..., 0, 2] + r[..., 2, 0],
                r[..., 1, 2] + r[..., 2, 1],
                zz - xx - yy,
                r[..., 1, 0] - r[..., 0, 1],
            ],
            [
                r[..., 2, 1] - r[..., 1, 2],
                r[..., 0, 2] - r[..., 2, 0],
                r[..., 1, 0] - r[..., 0, 1],
                xx + yy + zz,
            ],
        ]
    )
    q = np.linalg.eigh(k)[1][..., -1]
    q = q * np.where(q[..., 3:] < 0.0, -1.0, 1.0)
    sine = np.linalg.norm(q[..., :3], axis=-1)
    angle = 2.0 * np.arctan2(sine, q[..., 3])
    scale = np.where(sine > 1e-12, angle / np.maximum(sine, 1e-12), 2.0)
    result: Floats = q[..., :3] * scale[..., None]
    return result


def to_mat3(rotation: ArrayLike) -> Mat3:
    """Convert a 3×3 array to the nested tuple of an `ExteriorOrientation`.

    Raises ValueError unless it is a rotation.
    """
    r = np.asarray(rotation, dtype=np.float64)
    if r.shape != (3, 3) or not np.allclose(r @ r.T, np.eye(3), atol=1e-6) or np.linalg.det(r) < 0.0:
        raise ValueError("not a 3×3 rotation matrix")
    return tuple(tuple(float(x) for x in row) for row in r)  # type: ignore[return-value]


def _ned_from_body(yaw: ArrayLike, pitch: ArrayLike, roll: ArrayLike, convergence: ArrayLike) -> Floats:
    sy, cy, sp, cp, sr, cr = _sines(np.subtract(yaw, convergence), pitch, roll)
    return _matrix(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def _sines(a: ArrayLike, b: ArrayLike, c: ArrayLike) -> tuple[Floats, ...]:
    angles = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (a, b, c)))
    return tuple(np.asarray(f(x), dtype=np.float64) for x in angles for f in (np.sin, np.cos))


def _matrix(rows: list[list[Floats]]) -> Floats:
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
