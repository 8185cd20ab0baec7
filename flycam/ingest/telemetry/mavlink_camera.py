"""Camera and gimbal state from MAVLink messages.

Four messages give the gimbal's attitude, of different age and quality; the best one present is used:
GIMBAL_DEVICE_ATTITUDE_STATUS (quaternion, frame of the yaw in its flags), MOUNT_ORIENTATION (degrees),
MOUNT_STATUS (centidegrees, yaw from the nose, no time but its arrival), CAMERA_FOV_STATUS (quaternion in the
world).

Source: MAVLink common and ardupilotmega message definitions, gimbal protocol v2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flycam.ingest.telemetry.flight_log import interpolate_angles
from flycam.ingest.telemetry.mavlink_clock import BootClock, Row, extract_boot_s
from flycam.ingest.telemetry.quaternions import (
    interpolate_quaternions,
    is_in_gap,
    to_world_gimbal_yaw,
    to_yaw_pitch_roll,
)

Floats = NDArray[np.float64]

_UNKNOWN_PLACE = 2**31 - 1
_STEP_S = 5.0
_FIXES = {
    0: "none",
    1: "none",
    2: "2d",
    3: "3d",
    4: "dgps",
    5: "rtk_float",
    6: "rtk_fixed",
}


def interpolate_body(boot_s: Floats, rows: dict[str, list[Row]], max_gap_s: float) -> Floats:
    """Return N×3 aircraft yaw, pitch, roll in degrees.

    From ATTITUDE, else ATTITUDE_QUATERNION.
    """
    euler, quaternions = rows["ATTITUDE"], rows["ATTITUDE_QUATERNION"]
    if euler:
        known = np.degrees([(m.yaw, m.pitch, m.roll) for _, m in euler])
        return interpolate_angles(boot_s, *_in_order(extract_boot_s(euler), known), max_gap_s)
    q = [(m.q1, m.q2, m.q3, m.q4) for _, m in quaternions]
    return _turned(boot_s, extract_boot_s(quaternions), q, max_gap_s)


def interpolate_gimbal(
    boot_s: Floats, clock: BootClock, rows: dict[str, list[Row]], heading_deg: Floats, max_gap_s: float
) -> Floats:
    """Return N×3 gimbal yaw, pitch, roll in the world, degrees; NaN where unknown.

    heading_deg  N, the aircraft's yaw at the same times, for yaws that count from the nose
    """
    if device := rows["GIMBAL_DEVICE_ATTITUDE_STATUS"]:
        times = extract_boot_s(device)
        angles = _turned(boot_s, times, [m.q for _, m in device], max_gap_s)
        order = np.argsort(times, kind="stable")
        last = np.clip(np.searchsorted(times[order], boot_s, side="right") - 1, 0, None)
        flags = np.array([m.flags for _, m in device])[order][last]
        return np.column_stack([to_world_gimbal_yaw(angles[:, 0], flags, heading_deg), angles[:, 1:]])
    if mount := rows["MOUNT_ORIENTATION"]:
        # MAVLink 1 and old senders leave yaw_absolute 0; an absolute yaw is never 0 all through a flight
        from_nose = not any(getattr(m, "yaw_absolute", 0.0) for _, m in mount)
        known = np.array([(m.yaw if from_nose else m.yaw_absolute, m.pitch, m.roll) for _, m in mount])
        angles = interpolate_angles(boot_s, *_in_order(extract_boot_s(mount), known), max_gap_s)
        return _from_nose(angles, heading_deg) if from_nose else angles
    if status := rows["MOUNT_STATUS"]:
        times = clock.to_boot(np.array([stamp for stamp, _ in status]))
        known = np.array([(m.pointing_c, m.pointing_a, m.pointing_b) for _, m in status]) / 100.0
        return _from_nose(interpolate_angles(boot_s, *_in_order(times, known), max_gap_s), heading_deg)
    view = rows["CAMERA_FOV_STATUS"]
    return _turned(boot_s, extract_boot_s(view), [m.q for _, m in view], max_gap_s)


def interpolate_field_of_view(boot_s: Floats, rows: dict[str, list[Row]], max_gap_s: float) -> Floats:
    """Return N×2 horizontal and vertical field of view, degrees.

    From CAMERA_FOV_STATUS, else from CAMERA_INFORMATION's focal length and sensor size.
    """
    view = rows["CAMERA_FOV_STATUS"]
    if view:
        known = np.array([(m.hfov, m.vfov) for _, m in view], dtype=np.float64)
        known[known <= 0] = np.nan
        return interpolate_angles(boot_s, *_in_order(extract_boot_s(view), known), max_gap_s)
    told = [
        (m.sensor_size_h, m.sensor_size_v, m.focal_length)
        for _, m in rows["CAMERA_INFORMATION"]
        if np.isfinite((m.sensor_size_h, m.sensor_size_v, m.focal_length)).all() and m.focal_length > 0
    ]
    if not told:
        return np.full((len(boot_s), 2), np.nan)
    wide, high, focal = told[-1]
    fov = np.degrees(2.0 * np.arctan(np.array([wide, high]) / (2.0 * focal)))
    return np.tile(np.where(fov > 0, fov, np.nan), (len(boot_s), 1))


def interpolate_centre(boot_s: Floats, rows: dict[str, list[Row]], max_gap_s: float) -> Floats:
    """Return N×3 longitude, latitude, height (EGM96) of the frame centre on ground.

    From CAMERA_FOV_STATUS.
    """
    view = [row for row in rows["CAMERA_FOV_STATUS"] if row[1].lat_image != _UNKNOWN_PLACE]
    known = [(m.lon_image / 1e7, m.lat_image / 1e7, m.alt_image / 1e3) for _, m in view]
    return _linear(boot_s, extract_boot_s(view), np.array(known, dtype=np.float64).reshape(-1, 3), max_gap_s)


def interpolate_terrain(boot_s: Floats, clock: BootClock, rows: dict[str, list[Row]]) -> Floats:
    """Return N heights of the ground below (EGM96) from TERRAIN_REPORT.

    It carries no time but its arrival.
    """
    reports = [row for row in rows["TERRAIN_REPORT"] if row[1].spacing > 0]
    times = clock.to_boot(np.array([stamp for stamp, _ in reports], dtype=np.float64))
    known = np.array([m.terrain_height for _, m in reports], dtype=np.float64).reshape(-1, 1)
    return _linear(boot_s, times, known, _STEP_S)[:, 0]


def find_fixes(boot_s: Floats, clock: BootClock, rows: dict[str, list[Row]]) -> list[str]:
    """Return the last fix of GPS_RAW_INT before each time, "unknown" after 5 s."""
    reports = rows["GPS_RAW_INT"]
    if not reports:
        return ["unknown"] * len(boot_s)
    times = np.maximum.accumulate(clock.to_boot(np.array([stamp for stamp, _ in reports])))
    last = np.searchsorted(times, boot_s, side="right") - 1
    fresh = (last >= 0) & (boot_s - times[last] <= _STEP_S)
    return [
        _FIXES.get(int(reports[i][1].fix_type), "3d") if ok else "unknown"
        for i, ok in zip(last, fresh, strict=True)
    ]


def _from_nose(angles: Floats, heading_deg: Floats) -> Floats:
    yaw = (angles[:, 0] + heading_deg + 180.0) % 360.0 - 180.0
    return np.column_stack([yaw, angles[:, 1:]])


def _turned(
    boot_s: Floats, times: Floats, quaternions: Sequence[Sequence[float]], max_gap_s: float
) -> Floats:
    known = np.array(quaternions, dtype=np.float64).reshape(-1, 4)
    return to_yaw_pitch_roll(interpolate_quaternions(boot_s, *_in_order(times, known), max_gap_s))


def _linear(boot_s: Floats, times: Floats, known: Floats, max_gap_s: float) -> Floats:
    """Interpolate columns linearly; NaN outside and in gaps."""
    if len(times) < 2:
        return np.full((len(boot_s), known.shape[1]), np.nan)
    times, known = _in_order(times, known)
    found = np.stack([np.interp(boot_s, times, c, left=np.nan, right=np.nan) for c in known.T], axis=1)
    found[is_in_gap(boot_s, times, max_gap_s)] = np.nan
    return found


def _in_order(times: Floats, known: Floats) -> tuple[Floats, Floats]:
    order = np.argsort(times, kind="stable")
    return times[order], known[order]
