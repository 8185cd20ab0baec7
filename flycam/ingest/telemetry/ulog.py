"""PX4 logs (.ulg), recorded by the autopilot on its clock since boot.

GPS messages carry UTC beside the time since boot; the median of their difference over all fixes converts the
whole log to UTC. Older and newer PX4 name and scale the same fields differently: both are read.

Source: PX4 uORB message definitions (vehicle_global_position, sensor_gps, vehicle_attitude, camera_capture,
camera_trigger, gimbal_device_attitude_status, mount_orientation, home_position).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.errors import SourceUnreadable, TelemetryGap
from flycam.frame.telemetry import TelemetrySample, TelemetryTrack
from flycam.frame.timestamp import EARLIEST_NS, LATEST_NS
from flycam.ingest.telemetry.flight_log import (
    FlightLog,
    Home,
    interpolate_angles,
    require_bounded_log,
    sort_samples,
)
from flycam.ingest.telemetry.quaternions import (
    interpolate_quaternions,
    to_world_gimbal_yaw,
    to_yaw_pitch_roll,
)
from flycam.ingest.telemetry.ulog_topics import Records, ULogTopics, is_number, read_topics
from flycam.messages import Message, _

Floats = NDArray[np.float64]

MAX_GAP_S = 1.0
_EARLIEST_US, _LATEST_US = EARLIEST_NS // 1000, LATEST_NS // 1000
_FIX_3D = 3
_FIXES = {0: "none", 1: "none", 2: "2d", 3: "3d", 4: "dgps", 5: "rtk_float", 6: "rtk_fixed"}
_OLD_PLACE = ("lat", "lon", "alt")
_NEW_PLACE = ("latitude_deg", "longitude_deg", "altitude_msl_m", "altitude_ellipsoid_m")
_FIX = ("time_utc_usec", "fix_type", "vel_m_s")
# Fields without which a topic is useless, in each PX4 dialect.
_NEEDED: dict[str, tuple[tuple[str, ...], ...]] = {
    "vehicle_global_position": (_OLD_PLACE,),
    "vehicle_gps_position": ((*_OLD_PLACE, *_FIX), (*_NEW_PLACE, *_FIX)),
    "sensor_gps": ((*_OLD_PLACE, *_FIX), (*_NEW_PLACE, *_FIX)),
    "vehicle_attitude": (("q",),),
    "camera_capture": (("seq", "result", "q", *_OLD_PLACE),),
    "camera_trigger": (("seq",),),
    "gimbal_device_attitude_status": (("q", "device_flags"),),
    "mount_orientation": (("attitude_euler_angle",),),
    "home_position": (_OLD_PLACE,),
}
_LENGTHS = {"q": 4, "attitude_euler_angle": 3}
_NONE = np.zeros(0, dtype=[("timestamp", "<u8")])


def read_ulog(path: Path) -> FlightLog:
    """Read track, camera events and home of a PX4 log.

    Raises SourceUnreadable without positions or a time of day.
    """
    topics = read_topics(path, _NEEDED)
    gps = _first(topics, "vehicle_gps_position", "sensor_gps")
    offset_us = _utc_offset_us(gps, path)
    home = _home(_first(topics, "home_position"))
    fused, captures = _first(topics, "vehicle_global_position"), _first(topics, "camera_capture")
    triggers = _first(topics, "camera_trigger")
    require_bounded_log(path, max(map(len, (fused if len(fused) else gps, captures, triggers))))
    samples = sort_samples(_track(topics, gps, offset_us, home, path.name))
    if not samples:
        raise SourceUnreadable(_("{path}: holds no position: give the log of the flight itself", path=path))
    track = TelemetryTrack(samples=samples, max_gap_s=MAX_GAP_S)
    events, event_remarks = _events(topics, offset_us, track, path.name)
    return FlightLog(
        name=path.name,
        track=track,
        clock="GPS time of the autopilot",
        camera_events=events,
        home=home,
        remarks=(*_remarks(topics), *event_remarks),
    )


def _first(topics: ULogTopics, *names: str) -> Records:
    """Return the first of the topics with records that have its needed fields."""
    for name in names:
        records = topics.records.get(name, _NONE)
        if len(records) and any(_has(records, fields) for fields in _NEEDED[name]):
            return records
    return _NONE


def _has(records: Records, fields: tuple[str, ...]) -> bool:
    return all(is_number(records.dtype, field, _LENGTHS.get(field, 0)) for field in fields)


def _utc_offset_us(gps: Records, path: Path) -> int:
    """Return UTC minus time since boot, microseconds: the median over fixes."""
    if len(gps):
        utc = np.minimum(gps["time_utc_usec"].astype(np.float64), _LATEST_US).astype(np.int64)
        known = (gps["fix_type"] >= _FIX_3D) & (utc > _EARLIEST_US) & (utc < _LATEST_US)
        if known.any():
            return round(float(np.median((utc - gps["timestamp"].astype(np.int64))[known])))
    raise SourceUnreadable(
        _("{path}: the aircraft never had a GPS fix, so its log has no time of day", path=path)
    )


def _track(
    topics: ULogTopics, gps: Records, offset_us: int, home: Home | None, origin: str
) -> list[TelemetrySample]:
    """Return samples at the estimator's positions, else the receiver's.

    Angles are interpolated there.
    """
    fused = _first(topics, "vehicle_global_position")
    rows = fused if len(fused) else gps[gps["fix_type"] >= _FIX_3D]
    place, sea, ellipsoid = _places(rows)
    sound = (np.abs(place) > 0).any(axis=1) & np.isfinite(place).all(axis=1) & _valid(rows)
    rows, place, sea, ellipsoid = rows[sound], place[sound], sea[sound], ellipsoid[sound]
    t = rows["timestamp"].astype(np.float64)
    body = _attitude_at(t, _first(topics, "vehicle_attitude"))
    gimbal = _gimbal_at(t, topics, body[:, 0])
    speed, fix = _speed_at(t, gps), _fix_at(t, gps)
    ground = home.height_m if home else float("nan")
    return [
        TelemetrySample(
            t_utc_ns=(int(rows["timestamp"][i]) + offset_us) * 1000,
            lon_deg=float(place[i, 0]),
            lat_deg=float(place[i, 1]),
            height_m=float(sea[i]),
            height_datum="EGM96",
            relative_height_m=float(sea[i] - ground),
            yaw_deg=float(body[i, 0]),
            pitch_deg=float(body[i, 1]),
            roll_deg=float(body[i, 2]),
            gimbal_yaw_deg=float(gimbal[i, 0]),
            gimbal_pitch_deg=float(gimbal[i, 1]),
            gimbal_roll_deg=float(gimbal[i, 2]),
            speed_mps=float(speed[i]),
            ellipsoid_height_m=float(ellipsoid[i]),
            fix=fix[i],
            origin=origin,
        )
        for i in range(len(rows))
    ]


def _places(rows: Records) -> tuple[Floats, Floats, Floats]:
    """Return N×2 degrees, height above sea and above the ellipsoid.

    In any PX4 dialect.
    """
    if _has(rows, _NEW_PLACE):
        found = [rows[n] for n in ("longitude_deg", "latitude_deg", "altitude_msl_m", "altitude_ellipsoid_m")]
    else:
        degrees, metres = (1e-7, 1e-3) if np.issubdtype(rows["lat"].dtype, np.integer) else (1.0, 1.0)
        high = rows["alt_ellipsoid"] if _has(rows, ("alt_ellipsoid",)) else np.full(len(rows), np.nan)
        found = [rows["lon"] * degrees, rows["lat"] * degrees, rows["alt"] * metres, high * metres]
    lon, lat, sea, ellipsoid = (np.asarray(v, dtype=np.float64) for v in found)
    return np.stack([lon, lat], axis=1), sea, ellipsoid


def _valid(rows: Records) -> NDArray[np.bool_]:
    """Return which estimates are marked as valid, by newer PX4; else all."""
    flags = [rows[n] != 0 for n in ("lat_lon_valid", "alt_valid") if _has(rows, (n,))]
    return np.logical_and.reduce(flags) if flags else np.ones(len(rows), dtype=bool)


def _attitude_at(t: Floats, rows: Records) -> Floats:
    if not len(rows):
        return np.full((len(t), 3), np.nan)
    known_t = rows["timestamp"].astype(np.float64)
    return to_yaw_pitch_roll(interpolate_quaternions(t, known_t, rows["q"], MAX_GAP_S * 1e6))


def _gimbal_at(t: Floats, topics: ULogTopics, heading_deg: Floats) -> Floats:
    """Return gimbal yaw, pitch, roll in the world at times t.

    NaN where no gimbal reports.
    """
    device = _first(topics, "gimbal_device_attitude_status")
    if len(device):
        known_t = device["timestamp"].astype(np.float64)
        angles = to_yaw_pitch_roll(interpolate_quaternions(t, known_t, device["q"], MAX_GAP_S * 1e6))
        which = np.clip(np.searchsorted(device["timestamp"], t), 0, len(device) - 1)
        yaw = to_world_gimbal_yaw(angles[:, 0], device["device_flags"][which], heading_deg)
        return np.column_stack([yaw, angles[:, 1:]])
    mount = _first(topics, "mount_orientation")
    if len(mount):
        # roll, pitch, yaw in radians; the yaw counts from the nose
        known = np.degrees(mount["attitude_euler_angle"].astype(np.float64))[:, ::-1]
        angles = interpolate_angles(t, mount["timestamp"].astype(np.float64), known, MAX_GAP_S * 1e6)
        yaw = (angles[:, 0] + heading_deg + 180.0) % 360.0 - 180.0
        return np.column_stack([yaw, angles[:, 1:]])
    return np.full((len(t), 3), np.nan)


def _speed_at(t: Floats, gps: Records) -> Floats:
    if not len(gps):
        return np.full(len(t), np.nan)
    known_t = gps["timestamp"].astype(np.float64)
    return np.asarray(np.interp(t, known_t, gps["vel_m_s"], left=np.nan, right=np.nan))


def _fix_at(t: Floats, gps: Records) -> list[str]:
    """Return the last fix reported before each time."""
    which = np.searchsorted(gps["timestamp"], t, side="right") - 1
    return [_FIXES.get(int(gps["fix_type"][i]), "3d") if i >= 0 else "unknown" for i in which]


def _events(
    topics: ULogTopics, offset_us: int, track: TelemetryTrack, origin: str
) -> tuple[tuple[TelemetrySample, ...], list[Message]]:
    """Return one camera event per sequence number, and remarks.

    From camera_capture (with its own position), else camera_trigger (position from the track).
    """
    captures = _first(topics, "camera_capture")
    if len(captures):
        good = captures[captures["result"] == 1]
        failed = len(captures) - len(good)
        told = [_("{count} captures failed in the camera", count=failed)]
        return _unique_sequences(
            good, [_captured(m, offset_us, track, origin) for m in good]
        ), told if failed else []
    triggers = _first(topics, "camera_trigger")
    if _has(triggers, ("feedback",)) and (triggers["feedback"] != 0).any():
        # the shutter's own signal, not the command to it
        triggers = triggers[triggers["feedback"] != 0]
    placed, rows = [], []
    for row, m in enumerate(triggers):
        try:
            placed.append(track.pose_at((int(m["timestamp"]) + offset_us) * 1000))
            rows.append(row)
        except TelemetryGap:
            continue
    lost = len(triggers) - len(placed)
    told = [_("{count} triggers lie where the log has no position", count=lost)]
    return _unique_sequences(triggers[rows], placed), told if lost else []


def _captured(m: np.void, offset_us: int, track: TelemetryTrack, origin: str) -> TelemetrySample:
    """Return a capture with its own position and the track's angles.

    The capture's quaternion is the gimbal's or the aircraft's, whichever PX4 had, without stating which: it
    is used, as the aircraft's, only where the track has no angles.
    """
    t_ns = (int(m["timestamp"]) + offset_us) * 1000
    bare = TelemetrySample(
        t_utc_ns=t_ns,
        lon_deg=float(m["lon"]),
        lat_deg=float(m["lat"]),
        height_m=float(m["alt"]),
        height_datum="EGM96",
        origin=f"{origin} camera_capture",
    )
    try:
        around = track.pose_at(t_ns)
    except TelemetryGap:
        yaw, pitch, roll = (float(a) for a in to_yaw_pitch_roll(m["q"])[0])
        return replace(bare, yaw_deg=yaw, pitch_deg=pitch, roll_deg=roll)
    return replace(
        around,
        lon_deg=bare.lon_deg,
        lat_deg=bare.lat_deg,
        height_m=bare.height_m,
        relative_height_m=around.relative_height_m + bare.height_m - around.height_m,
        origin=bare.origin,
    )


def _unique_sequences(rows: Records, samples: list[TelemetrySample]) -> tuple[TelemetrySample, ...]:
    """Return the first sample of each sequence number, in order of the numbers."""
    if not len(rows):
        return ()
    __, first = np.unique(rows["seq"], return_index=True)
    return tuple(samples[i] for i in first)


def _home(rows: Records) -> Home | None:
    """Return the last home that PX4 marks as valid."""
    if not len(rows):
        return None
    sound = rows[(rows["valid_hpos"] != 0)] if _has(rows, ("valid_hpos",)) else rows
    if not len(sound):
        return None
    last = sound[-1]
    height = float(last["alt"]) if not _has(rows, ("valid_alt",)) or last["valid_alt"] else float("nan")
    return Home(lon_deg=float(last["lon"]), lat_deg=float(last["lat"]), height_m=height)


def _remarks(topics: ULogTopics) -> list[Message]:
    told = []
    if n := topics.faults["damaged"]:
        told.append(_("{count} damaged stretches were skipped", count=n))
    if topics.faults["truncated"]:
        told.append(_("the log breaks off in the middle of a message"))
    if n := sum(topics.faults[why] for why in ("odd_size", "odd_time", "undescribed")):
        told.append(
            _(
                "{count} records are too short, stamped impossibly or not described, and were skipped",
                count=n,
            )
        )
    if topics.dropout_ms:
        told.append(_("the logger lost {seconds:.2f} s in all", seconds=topics.dropout_ms / 1e3))
    if "vehicle_global_position" not in topics.records:
        told.append(_("no estimated position is logged: the GPS receiver's own fixes are used"))
    return told
