"""Attitude quaternions as autopilots send them, and the reference of a gimbal's yaw."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# MAVLink GIMBAL_DEVICE_FLAGS
_YAW_LOCK, _YAW_IN_VEHICLE_FRAME, _YAW_IN_EARTH_FRAME = 16, 32, 64


def to_yaw_pitch_roll(quaternions: ArrayLike) -> Floats:
    """Convert quaternions N×4 to N×3 yaw, pitch, roll in degrees.

    Quaternions are (w, x, y, z), body to north-east-down. NaN where a quaternion is zero or not finite, by
    which autopilots mark it unknown. At the pole the yaw carries the whole turn. Formula: Diebel,
    Representing Attitude, 2006, section 8.
    """
    q = np.asarray(quaternions, dtype=np.float64).reshape(-1, 4)
    norm = np.linalg.norm(q, axis=1)
    known = np.isfinite(norm) & (norm > 0.5)
    w, x, y, z = np.where(known[:, None], q / np.where(known, norm, 1.0)[:, None], [1.0, 0.0, 0.0, 0.0]).T
    sine = np.clip(2.0 * (w * y - x * z), -1.0, 1.0)
    pole = np.abs(sine) > 1.0 - 1e-9
    yaw = np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    roll = np.arctan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    yaw = np.where(pole, np.arctan2(2.0 * (w * z - x * y), 1.0 - 2.0 * (x * x + z * z)), yaw)
    roll = np.where(pole, 0.0, roll)
    angles = np.degrees(np.stack([yaw, np.arcsin(sine), roll], axis=1))
    return np.where(known[:, None], angles, np.nan)


def to_world_gimbal_yaw(yaw_deg: ArrayLike, flags: ArrayLike, heading_deg: ArrayLike) -> Floats:
    """Convert a gimbal device's yaw to clockwise from north, degrees.

    Its flags name the frame; a device that names none measures from north exactly when its yaw is locked
    (MAVLink gimbal protocol v2).
    """
    bits = np.asarray(flags).astype(np.int64)
    named = (bits & (_YAW_IN_VEHICLE_FRAME | _YAW_IN_EARTH_FRAME)) != 0
    earth = np.where(named, (bits & _YAW_IN_EARTH_FRAME) != 0, (bits & _YAW_LOCK) != 0)
    yaw = np.asarray(yaw_deg, dtype=np.float64)
    turned: Floats = np.where(earth, yaw, yaw + np.asarray(heading_deg, dtype=np.float64))
    return (turned + 180.0) % 360.0 - 180.0


def interpolate_quaternions(t: Floats, known_t: Floats, quaternions: ArrayLike, max_gap: float) -> Floats:
    """Interpolate quaternions (M×4 at increasing M times) at N times.

    By normalised chords; NaN outside and in gaps. Attitudes are interpolated as rotations, not as angles:
    near nadir yaw and roll jump together. Unknown quaternions (zero, not finite) are dropped first.

    max_gap  in the unit of the times
    """
    q = np.asarray(quaternions, dtype=np.float64).reshape(-1, 4)
    norm = np.linalg.norm(q, axis=1)
    known = np.isfinite(norm) & (norm > 0.5)
    q, known_t = q[known] / norm[known, None], np.asarray(known_t, dtype=np.float64)[known]
    if len(q) < 2:
        return np.full((len(t), 4), np.nan)
    same_side = np.where((q[1:] * q[:-1]).sum(axis=1) < 0, -1.0, 1.0)
    q = q * np.concatenate([[1.0], np.cumprod(same_side)])[:, None]
    found = np.stack([np.interp(t, known_t, column, left=np.nan, right=np.nan) for column in q.T], axis=1)
    found[is_in_gap(t, known_t, max_gap)] = np.nan
    return found


def is_in_gap(t: Floats, known_t: Floats, max_gap: float) -> NDArray[np.bool_]:
    """Return which of N times lie between known times further apart than max_gap."""
    right = np.clip(np.searchsorted(known_t, t), 1, len(known_t) - 1)
    exact = known_t[np.clip(np.searchsorted(known_t, t), 0, len(known_t) - 1)] == t
    wide: NDArray[np.bool_] = (known_t[right] - known_t[right - 1] > max_gap) & ~exact
    return wide
