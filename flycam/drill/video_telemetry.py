"""Telemetry of the synthetic video flight: DJI subtitles, and a tlog.

Both carry the same measurements, 10 a second: a GNSS bias with slow drift, slow errors of the attitude (a
filter's output drifts, it does not jump). The subtitles follow the video's clock; the tlog's stamps
differ by the clock offset and, packet by packet, by the delay of the link. Sources: MAVLink common
message definitions; DJI's per-frame subtitle dialect (docs/formats/srt.md).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flycam.drill.spatial_noise import Floats, generate_temporal_noise
from flycam.drill.valley import WORK_CRS
from flycam.drill.video_course import VideoCourse
from flycam.frame.flight import DRILL_MARK
from flycam.frame.timestamp import VIETNAM
from flycam.geodata.crs import to_lonlat

RATE_HZ = 10
_BOOT_BEFORE_S = 90.0
_LEAD_S = 4.0
_LINK_S = 0.012
_SYSTEM, _COMPONENT, _GIMBAL = 1, 1, 154
# 1-sigma at noise 1: metres and degrees; bias for the flight, drift and attitude with a correlation time
_BIAS_M = (1.0, 1.0, 1.0)
_DRIFT_M, _DRIFT_S = (0.4, 0.4, 0.4), 60.0
_ATTITUDE_DEG, _ATTITUDE_S = (0.6, 0.4, 0.4), 30.0
_FINE_DEG = 0.03


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoTelemetry:
    """Measurements at N times (video seconds).

    height_m    in the take-off's vertical datum
    gimbal_deg  yaw, pitch, roll
    """

    time_s: Floats
    lonlat_deg: Floats
    height_m: Floats
    relative_m: Floats
    gimbal_deg: Floats
    velocity_mps: Floats


def simulate_telemetry(
    course: VideoCourse, seconds: float, takeoff_height_m: float, number: int, noise: float
) -> VideoTelemetry:
    """Simulate measurements from shortly before the first frame to after the last."""
    time_s = np.arange(-_LEAD_S, seconds + _LEAD_S, 1.0 / RATE_HZ)
    exposures = course.exposures(time_s)
    random = np.random.default_rng([number, 41])
    off = noise * (
        random.normal(size=3) * _BIAS_M
        + generate_temporal_noise(time_s, _DRIFT_S, _DRIFT_M, number, "gnss drift")
    )
    turn = noise * generate_temporal_noise(time_s, _ATTITUDE_S, _ATTITUDE_DEG, number, "attitude drift")
    turn += noise * random.normal(size=turn.shape) * _FINE_DEG
    centre = np.array([e.exterior.projection_centre_m for e in exposures]) + off
    gimbal = np.degrees([e.gimbal_rad for e in exposures]) + turn
    return VideoTelemetry(
        time_s=time_s,
        lonlat_deg=to_lonlat(centre[:, :2], WORK_CRS),
        height_m=centre[:, 2],
        relative_m=centre[:, 2] - takeoff_height_m,
        gimbal_deg=gimbal,
        velocity_mps=course.velocity_mps(time_s),
    )


def write_subtitles(path: Path, telemetry: VideoTelemetry, frame_s: Floats, start: datetime) -> None:
    """Write one cue a frame, with the camera's clock.

    frame_s  times of the frames, seconds
    start    of the first frame
    """
    columns = [
        telemetry.lonlat_deg[:, 0],
        telemetry.lonlat_deg[:, 1],
        telemetry.relative_m,
        telemetry.height_m,
    ]
    columns += list(np.unwrap(telemetry.gimbal_deg, period=360.0, axis=0).T)
    at = np.stack([np.interp(frame_s, telemetry.time_s, column) for column in columns], axis=1)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for k, (seconds, row) in enumerate(zip(frame_s, at, strict=True)):
            lon, lat, relative, height, yaw, pitch, roll = row
            until = frame_s[k + 1] if k + 1 < len(frame_s) else seconds + (frame_s[1] - frame_s[0])
            clock = (start + timedelta(seconds=float(seconds))).astimezone(VIETNAM)
            file.write(
                f"{k + 1}\n{_cue_time(seconds)} --> {_cue_time(until)}\n"
                f'<font size="28">SrtCnt : {k + 1}, {DRILL_MARK}\n'
                f"{clock:%Y-%m-%d %H:%M:%S}.{clock.microsecond // 1000:03d}\n"
                f"[latitude: {lat:.7f}] [longitude: {lon:.7f}] "
                f"[rel_alt: {relative:.3f} abs_alt: {height:.3f}] "
                f"[gb_yaw: {(yaw + 180.0) % 360.0 - 180.0:.2f} gb_pitch: {pitch:.2f} gb_roll: {roll:.2f}] "
                "</font>\n\n"
            )


def write_tlog(
    path: Path,
    telemetry: VideoTelemetry,
    start: datetime,
    clock_offset_s: float,
    home_m: tuple[float, float, float],
    number: int,
) -> None:
    """Write a MAVLink 2 log whose clock is ahead of the camera's by `clock_offset_s`.

    home_m  (longitude, latitude, height) of the take-off
    """
    link = mavlink.MAVLink(None, srcSystem=_SYSTEM, srcComponent=_COMPONENT)
    late_s = np.random.default_rng([number, 43]).exponential(_LINK_S, size=len(telemetry.time_s))
    late_s[::4] = 0.0
    start_us = round(start.timestamp() * 1e6)
    with path.open("wb") as file:
        for k, seconds in enumerate(telemetry.time_s):
            stamp = start_us + round((float(seconds) + clock_offset_s + float(late_s[k])) * 1e6)
            boot_ms = round((float(seconds) + _BOOT_BEFORE_S) * 1e3)
            if k % RATE_HZ == 0:
                for message in _slow_messages(home_m):
                    file.write(struct.pack(">Q", stamp) + message.pack(link))
            for message in _fast_messages(telemetry, k, boot_ms):
                link.srcComponent = _GIMBAL if "GIMBAL" in message.get_type() else _COMPONENT
                file.write(struct.pack(">Q", stamp) + message.pack(link))
            link.srcComponent = _COMPONENT


def _slow_messages(home_m: tuple[float, float, float]) -> list[mavlink.MAVLink_message]:
    lon, lat, height = home_m
    heartbeat = mavlink.MAVLink_heartbeat_message(
        mavlink.MAV_TYPE_QUADROTOR, mavlink.MAV_AUTOPILOT_ARDUPILOTMEGA, 0, 0, mavlink.MAV_STATE_ACTIVE, 3
    )
    home = mavlink.MAVLink_home_position_message(
        *(round(lat * 1e7), round(lon * 1e7), round(height * 1e3)),
        *(0.0, 0.0, 0.0, (1.0, 0.0, 0.0, 0.0), 0.0, 0.0, 0.0),
    )
    return [heartbeat, home]


def _fast_messages(telemetry: VideoTelemetry, k: int, boot_ms: int) -> list[mavlink.MAVLink_message]:
    (lon, lat), (east, north, up) = telemetry.lonlat_deg[k], telemetry.velocity_mps[k]
    yaw, pitch, roll = np.radians(telemetry.gimbal_deg[k])
    lat_e7, lon_e7, height_mm = round(lat * 1e7), round(lon * 1e7), round(telemetry.height_m[k] * 1e3)
    heading = math.atan2(math.sin(yaw), math.cos(yaw))
    return [
        mavlink.MAVLink_global_position_int_message(
            *(boot_ms, lat_e7, lon_e7, height_mm, round(telemetry.relative_m[k] * 1e3)),
            *(round(north * 100), round(east * 100), round(-up * 100)),
            round(math.degrees(heading) % 360.0 * 100) % 36_000,
        ),
        mavlink.MAVLink_attitude_message(boot_ms, 0.0, -0.1, heading, 0.0, 0.0, 0.0),
        mavlink.MAVLink_gimbal_device_attitude_status_message(
            *(_SYSTEM, _COMPONENT, boot_ms, mavlink.GIMBAL_DEVICE_FLAGS_YAW_IN_EARTH_FRAME),
            *(_quaternion(yaw, pitch, roll), 0.0, 0.0, 0.0, 0),
        ),
        mavlink.MAVLink_gps_raw_int_message(
            *(boot_ms * 1000, mavlink.GPS_FIX_TYPE_3D_FIX, lat_e7, lon_e7, height_mm, 80, 110),
            *(round(math.hypot(east, north) * 100), 65_535, 17),
        ),
    ]


def _quaternion(yaw: float, pitch: float, roll: float) -> tuple[float, float, float, float]:
    """Return (w, x, y, z), body to north-east-down, of Rz(yaw) Ry(pitch) Rx(roll).

    Source: Diebel 2006, section 8.
    """
    (cy, sy), (cp, sp), (cr, sr) = ((math.cos(a / 2.0), math.sin(a / 2.0)) for a in (yaw, pitch, roll))
    return (
        cr * cp * cy + sr * sp * sy,
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
    )


def _cue_time(seconds: float) -> str:
    whole = round(seconds * 1000)
    hours, rest = divmod(whole, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d},{rest % 1000:03d}"
