"""MAVLink telemetry: logs (.tlog), and the flight log of each aircraft.

A tlog has a 64-bit big-endian time in microseconds before every packet. `AircraftRegistry` sorts messages by
aircraft, from a file here or from a live link; `MavlinkAircraft` makes a flight log of one aircraft's;
`BootClock` dates messages.

Source: MAVLink common message definitions; the tlog layout is described in the MAVLink developer guide.
"""

from __future__ import annotations

import mmap
import re
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flycam.errors import SourceUnreadable, TelemetryGap
from flycam.ingest.telemetry.flight_log import (
    FlightLog,
    Home,
    interpolate_angles,
    interpolate_quaternions,
    is_in_gap,
    require_bounded_log,
    sort_samples,
    to_world_gimbal_yaw,
    to_yaw_pitch_roll,
)
from flycam.messages import Message, _, join, ngettext
from flycam.model.telemetry import TelemetrySample, TelemetryTrack
from flycam.model.time import EARLIEST_NS, LATEST_NS
from flycam.storage.files import make_unopenable

# -- Clock conversion between packet arrival and time since boot -----------------------------------
#
# A link delays packets, so a message's time is its boot time plus the least delay within a second of it: a
# packet cannot arrive before it was sent. Where the two do not run at the same rate, packets were replayed
# from a buffer: their times are useless.


Floats = NDArray[np.float64]
Row = tuple[float, Any]  # arrival UTC in seconds, message

_DELAY_WINDOW_S = 1.0
_REBOOT_S = 5.0
# Packets are replayed if arrival and boot time differ by this factor over 15 messages either way.
_RATE_SPAN = 15
_RATE_TOLERANCE = 2.0
# A radio, or a busy receiver, holds packets up for so long and then delivers them at once.
_HELD_UP_S = 1.0
_MAX_SENDERS = 3


@dataclass(frozen=True, slots=True)
class BootClock:
    """Times since boot (s, increasing) and the receiver's clock at them (UTC s)."""

    boot_s: Floats
    utc_s: Floats

    def to_utc(self, boot_s: Floats | float) -> Floats:
        """Convert boot times to UTC seconds.

        Beyond the ends the nearest offset holds.
        """
        return np.asarray(boot_s) + np.interp(boot_s, self.boot_s, self.utc_s - self.boot_s)

    def to_boot(self, utc_s: Floats | float) -> Floats:
        """Convert UTC seconds to boot times, the inverse of `to_utc`."""
        return np.asarray(utc_s) - np.interp(utc_s, self.utc_s, self.utc_s - self.boot_s)


def extract_boot_s(rows: list[Row]) -> Floats:
    """Return the messages' seconds since boot."""
    return np.array([m.time_boot_ms for __, m in rows], dtype=np.float64) / 1e3


def estimate_boot_clock(positions: list[Row]) -> BootClock:
    """Estimate the clock as boot time plus the least delay within a second.

    So jitter is removed and slow drift kept.

    positions  in order of time since boot
    """
    boot = extract_boot_s(positions)
    delay = np.array([stamp for stamp, __ in positions]) - boot
    low = np.searchsorted(boot, boot - _DELAY_WINDOW_S)
    high = np.searchsorted(boot, boot + _DELAY_WINDOW_S, side="right")
    least = np.array([delay[a:b].min() for a, b in zip(low, high, strict=True)])
    return BootClock(boot, boot + least)


def select_busiest_sender(positions: list[Row]) -> tuple[list[Row], float | None]:
    """Return the positions of the busiest sender, where several share a system id.

    Time since boot that goes back once is a reboot; back and forth it is two autopilots. Each position goes
    to the sender whose time since boot advanced as the receiver's clock did. The second value is that
    sender's arrival minus boot time (s), None if there is only one.
    """
    if (np.diff(extract_boot_s(positions)) < -_REBOOT_S).sum() < _MAX_SENDERS:
        return positions, None
    voices: list[list[Row]] = []
    for row in positions:
        nearest = min(voices, key=lambda v: _strays(v[-1], row), default=None)
        if nearest is None or _strays(nearest[-1], row) > _REBOOT_S:
            voices.append([row])
        else:
            nearest.append(row)
    most = max(voices, key=len)
    return most, float(np.median(np.array([stamp for stamp, __ in most]) - extract_boot_s(most)))


def filter_sender(rows: list[Row], offset_s: float | None) -> list[Row]:
    """Return the rows of one sender, identified by arrival minus boot time.

    All rows where there is only one sender.
    """
    if offset_s is None or not rows or not hasattr(rows[0][1], "time_boot_ms"):
        return rows
    return [row for row in rows if abs(row[0] - row[1].time_boot_ms / 1e3 - offset_s) <= _REBOOT_S]


def _strays(last: Row, row: Row) -> float:
    """Return by how much boot time and arrival advanced differently between rows, s."""
    return float(abs((row[1].time_boot_ms - last[1].time_boot_ms) / 1e3 - (row[0] - last[0])))


def select_last_boot(positions: list[Row]) -> list[Row]:
    """Return the positions since the last reboot, in order of time since boot."""
    back = np.flatnonzero(np.diff(extract_boot_s(positions)) < -_REBOOT_S)
    rows = positions[int(back[-1]) + 1 if back.size else 0 :]
    return sorted(rows, key=lambda row: row[1].time_boot_ms)


def select_live_rows(rows: list[Row]) -> tuple[list[Row], list[Message]]:
    """Return the positions that arrived as fast as they were made; empty if none did.

    rows  in order of time since boot
    """
    arrival, boot = np.array([stamp for stamp, __ in rows]), extract_boot_s(rows)
    k = min(_RATE_SPAN, max(len(rows) - 1, 1) // 2)
    if k < 1:
        return rows, []
    ends = np.clip(np.arange(len(rows)) + k, 0, len(rows) - 1)
    begins = np.clip(np.arange(len(rows)) - k, 0, len(rows) - 1)
    took_s, made_s = arrival[ends] - arrival[begins], boot[ends] - boot[begins]
    rate = took_s / np.maximum(made_s, 1e-3)
    live = (rate > 1.0 / _RATE_TOLERANCE) & (rate < _RATE_TOLERANCE) | (np.abs(took_s - made_s) < _HELD_UP_S)
    if live.all():
        return rows, []
    seconds = float(boot[~live].max() - boot[~live].min())
    elapsed = float(arrival[~live].max() - arrival[~live].min())
    dropped = int((~live).sum())
    return [row for row, ok in zip(rows, live, strict=True) if ok], [
        _(
            "{count} positions that span {flown_s:.0f} s of flight arrived within {took_s:.0f} s: replayed "
            "from a buffer, they are not used",
            count=dropped,
            flown_s=seconds,
            took_s=elapsed,
        )
    ]


# -- Camera and gimbal state from MAVLink messages -------------------------------------------------
#
# Four messages give the gimbal's attitude, of different age and quality; the best one present is used:
# GIMBAL_DEVICE_ATTITUDE_STATUS (quaternion, frame of the yaw in its flags), MOUNT_ORIENTATION (degrees),
# MOUNT_STATUS (centidegrees, yaw from the nose, no time but its arrival), CAMERA_FOV_STATUS (quaternion in
# the world).
#
# Source: MAVLink common and ardupilotmega message definitions, gimbal protocol v2.


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
        known = np.degrees([(m.yaw, m.pitch, m.roll) for __, m in euler])
        return interpolate_angles(boot_s, *_in_order(extract_boot_s(euler), known), max_gap_s)
    q = [(m.q1, m.q2, m.q3, m.q4) for __, m in quaternions]
    return _turned(boot_s, extract_boot_s(quaternions), q, max_gap_s)


def interpolate_gimbal(
    boot_s: Floats, clock: BootClock, rows: dict[str, list[Row]], heading_deg: Floats, max_gap_s: float
) -> Floats:
    """Return N×3 gimbal yaw, pitch, roll in the world, degrees; NaN where unknown.

    heading_deg  N, the aircraft's yaw at the same times, for yaws that count from the nose
    """
    if device := rows["GIMBAL_DEVICE_ATTITUDE_STATUS"]:
        times = extract_boot_s(device)
        angles = _turned(boot_s, times, [m.q for __, m in device], max_gap_s)
        order = np.argsort(times, kind="stable")
        last = np.clip(np.searchsorted(times[order], boot_s, side="right") - 1, 0, None)
        flags = np.array([m.flags for __, m in device])[order][last]
        return np.column_stack([to_world_gimbal_yaw(angles[:, 0], flags, heading_deg), angles[:, 1:]])
    if mount := rows["MOUNT_ORIENTATION"]:
        # MAVLink 1 and old senders leave yaw_absolute 0; an absolute yaw is never 0 all through a flight
        from_nose = not any(getattr(m, "yaw_absolute", 0.0) for __, m in mount)
        known = np.array([(m.yaw if from_nose else m.yaw_absolute, m.pitch, m.roll) for __, m in mount])
        angles = interpolate_angles(boot_s, *_in_order(extract_boot_s(mount), known), max_gap_s)
        return _from_nose(angles, heading_deg) if from_nose else angles
    if status := rows["MOUNT_STATUS"]:
        times = clock.to_boot(np.array([stamp for stamp, __ in status]))
        known = np.array([(m.pointing_c, m.pointing_a, m.pointing_b) for __, m in status]) / 100.0
        return _from_nose(interpolate_angles(boot_s, *_in_order(times, known), max_gap_s), heading_deg)
    view = rows["CAMERA_FOV_STATUS"]
    return _turned(boot_s, extract_boot_s(view), [m.q for __, m in view], max_gap_s)


def interpolate_field_of_view(boot_s: Floats, rows: dict[str, list[Row]], max_gap_s: float) -> Floats:
    """Return N horizontal fields of view, degrees.

    From CAMERA_FOV_STATUS, else from CAMERA_INFORMATION's focal length and sensor size.
    """
    view = rows["CAMERA_FOV_STATUS"]
    if view:
        known = np.array([[m.hfov] for __, m in view], dtype=np.float64)
        known[known <= 0] = np.nan
        return interpolate_angles(boot_s, *_in_order(extract_boot_s(view), known), max_gap_s)[:, 0]
    stated = [
        (m.sensor_size_h, m.focal_length)
        for __, m in rows["CAMERA_INFORMATION"]
        if np.isfinite((m.sensor_size_h, m.focal_length)).all() and m.focal_length > 0
    ]
    if not stated:
        return np.full(len(boot_s), np.nan)
    wide, focal = stated[-1]
    fov = np.degrees(2.0 * np.arctan(wide / (2.0 * focal)))
    return np.full(len(boot_s), fov if fov > 0 else np.nan)


def interpolate_centre_height(boot_s: Floats, rows: dict[str, list[Row]], max_gap_s: float) -> Floats:
    """Return N heights (EGM96) of the ground in the middle of the image, from CAMERA_FOV_STATUS."""
    view = [row for row in rows["CAMERA_FOV_STATUS"] if row[1].lat_image != _UNKNOWN_PLACE]
    known = np.array([[m.alt_image / 1e3] for __, m in view], dtype=np.float64).reshape(-1, 1)
    return _linear(boot_s, extract_boot_s(view), known, max_gap_s)[:, 0]


def find_fixes(boot_s: Floats, clock: BootClock, rows: dict[str, list[Row]]) -> list[str]:
    """Return the last fix of GPS_RAW_INT before each time, "unknown" after 5 s."""
    reports = rows["GPS_RAW_INT"]
    if not reports:
        return ["unknown"] * len(boot_s)
    times = np.maximum.accumulate(clock.to_boot(np.array([stamp for stamp, __ in reports])))
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


# -- Flight log of one aircraft from its MAVLink messages ------------------------------------------
#
# A live link keeps the last seconds only (`forget_before`) and may call `flight_log` at any time; a file
# feeds everything and calls it once. Both get the same samples from the same messages.


# Nothing is interpolated across more: a gimbal that falls silent is unknown, not frozen.
MAX_GAP_S = 2.5
EARLIEST_US, LATEST_US = EARLIEST_NS // 1000, LATEST_NS // 1000
_DAY_S, _HOUR_S = 86_400.0, 3_600.0
WANTED: dict[str, tuple[str, ...]] = {
    "GLOBAL_POSITION_INT": ("time_boot_ms", "lon", "lat", "alt", "relative_alt", "vx", "vy"),
    "GPS_RAW_INT": ("fix_type",),
    "ATTITUDE": ("time_boot_ms", "yaw", "pitch", "roll"),
    "ATTITUDE_QUATERNION": ("time_boot_ms", "q1", "q2", "q3", "q4"),
    "SYSTEM_TIME": ("time_boot_ms", "time_unix_usec"),
    "CAMERA_FEEDBACK": (
        *("time_usec", "img_idx", "lng", "lat", "alt_msl", "alt_rel"),
        *("yaw", "pitch", "roll"),
    ),
    "CAMERA_IMAGE_CAPTURED": (
        *("time_boot_ms", "time_utc", "image_index", "capture_result"),
        *("lon", "lat", "alt", "relative_alt", "q"),
    ),
    "CAMERA_TRIGGER": ("time_usec", "seq"),
    "CAMERA_FOV_STATUS": ("time_boot_ms", "hfov", "vfov", "lon_image", "lat_image", "alt_image", "q"),
    "CAMERA_INFORMATION": ("time_boot_ms", "sensor_size_h", "sensor_size_v", "focal_length"),
    "GIMBAL_DEVICE_ATTITUDE_STATUS": ("time_boot_ms", "q", "flags"),
    "MOUNT_ORIENTATION": ("time_boot_ms", "yaw", "yaw_absolute", "pitch", "roll"),
    "MOUNT_STATUS": ("pointing_a", "pointing_b", "pointing_c"),
    "HOME_POSITION": ("longitude", "latitude", "altitude"),
}
"""Fields kept of each message: a tenth of what the library holds."""
_KEPT = {kind: type(kind, (), {"__slots__": names}) for kind, names in WANTED.items()}
# sent once or seldom, so a live link must not forget them
_LASTING = ("HOME_POSITION", "CAMERA_INFORMATION", "SYSTEM_TIME")
_LASTING_KEPT = 64


@dataclass(slots=True)
class MavlinkAircraft:
    """Messages of one system id, by type, with the receiver's UTC (s) of arrival."""

    system: int
    rows: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in WANTED})

    def add(self, arrival_s: float, message: Any) -> None:
        """Keep a message if its type is used."""
        rows = self.rows.get(kind := message.get_type())
        if rows is not None:
            record = _KEPT[kind]()
            for name in WANTED[kind]:
                setattr(record, name, getattr(message, name))
            rows.append((arrival_s, record))

    def forget_before(self, arrival_s: float) -> None:
        """Drop what arrived earlier, except the last few of home, camera and clock."""
        for name, rows in self.rows.items():
            self.rows[name] = (
                rows[-_LASTING_KEPT:] if name in _LASTING else [r for r in rows if r[0] >= arrival_s]
            )

    def copy_since(self, arrival_s: float) -> MavlinkAircraft:
        """Return a copy of what arrived from then on, with all of home, camera and clock."""
        rows = {
            name: rows[0 if name in _LASTING else bisect_left(rows, arrival_s, key=_arrival_s) :]
            for name, rows in self.rows.items()
        }
        return MavlinkAircraft(self.system, rows)

    @property
    def positions(self) -> int:
        """Number of positions sent."""
        return len(self.rows["GLOBAL_POSITION_INT"])

    def flight_log(self, name: str) -> FlightLog:
        """Return track, camera events and home.

        Raises SourceUnreadable if no position was sent live.
        """
        remarks: list[Message] = []
        own, voice_s = select_busiest_sender(self.rows["GLOBAL_POSITION_INT"])
        if voice_s is not None:
            remarks.append(_duplicate_system_remark(self.system, self.positions - len(own)))
        rows = {kind: filter_sender(found, voice_s) for kind, found in self.rows.items()}
        positions, replayed = select_live_rows(select_last_boot(own))
        remarks += replayed
        if not positions:
            raise SourceUnreadable(
                _(
                    "{name}: all packets were replayed from a buffer, so their times are not "
                    "those of the flight: give the log written during the flight",
                    name=name,
                )
            )
        clock = estimate_boot_clock(positions)
        track = TelemetryTrack(
            samples=sort_samples(_samples(positions, clock, rows, name)), max_gap_s=MAX_GAP_S
        )
        other_ns = _autopilot_shift(rows["SYSTEM_TIME"], clock)
        if other_ns is not None and abs(other_ns) > 5e9:
            remarks.append(_other_clock(other_ns))
        return FlightLog(
            name=name,
            track=track,
            clock="receiver's clock, least link delay",
            shift_other_ns=other_ns,
            camera_events=_camera_events(rows, clock, track, name),
            home=_home(rows["HOME_POSITION"]),
            remarks=tuple(remarks),
        )


def _arrival_s(row: Row) -> float:
    return row[0]


def _samples(
    positions: list[Row], clock: BootClock, rows: dict[str, list[Row]], origin: str
) -> list[TelemetrySample]:
    t = clock.boot_s
    body = interpolate_body(t, rows, MAX_GAP_S)
    gimbal = interpolate_gimbal(t, clock, rows, body[:, 0], MAX_GAP_S)
    hfov = interpolate_field_of_view(t, rows, MAX_GAP_S)
    centre_height, fix = interpolate_centre_height(t, rows, MAX_GAP_S), find_fixes(t, clock, rows)
    return [
        TelemetrySample(
            t_utc_ns=round(clock.utc_s[i] * 1e9),
            lon_deg=m.lon / 1e7,
            lat_deg=m.lat / 1e7,
            height_m=m.alt / 1e3,
            height_datum="EGM96",
            relative_height_m=m.relative_alt / 1e3,
            yaw_deg=float(body[i, 0]),
            pitch_deg=float(body[i, 1]),
            roll_deg=float(body[i, 2]),
            gimbal_yaw_deg=float(gimbal[i, 0]),
            gimbal_pitch_deg=float(gimbal[i, 1]),
            gimbal_roll_deg=float(gimbal[i, 2]),
            speed_mps=float(np.hypot(m.vx, m.vy)) / 100.0,
            hfov_deg=float(hfov[i]),
            centre_height_m=float(centre_height[i]),
            fix=fix[i],
            origin=origin,
        )
        for i, (__, m) in enumerate(positions)
        if m.lat or m.lon
    ]


def _autopilot_shift(times: list[Row], clock: BootClock) -> int | None:
    """Return the autopilot's own UTC minus the clock used, ns; None if it never knew."""
    known = [
        m.time_unix_usec / 1e6 - float(clock.to_utc(m.time_boot_ms / 1e3))
        for __, m in times
        if m.time_unix_usec > EARLIEST_US and clock.boot_s[0] <= m.time_boot_ms / 1e3 <= clock.boot_s[-1]
    ]
    return round(float(np.median(known)) * 1e9) if known else None


def _camera_events(
    rows: dict[str, list[Row]], clock: BootClock, track: TelemetryTrack, origin: str
) -> tuple[TelemetrySample, ...]:
    """Return one camera event per image number.

    From CAMERA_FEEDBACK (ArduPilot), else CAMERA_IMAGE_CAPTURED, else CAMERA_TRIGGER.
    """
    events: dict[int, TelemetrySample] = {}
    for __, m in rows["CAMERA_FEEDBACK"]:
        events.setdefault(int(m.img_idx), _with_gimbal(_feedback(m, clock, origin), track))
    if events:
        return tuple(events[i] for i in sorted(events))
    for __, m in rows["CAMERA_IMAGE_CAPTURED"]:
        if m.capture_result == 1:
            events.setdefault(int(m.image_index), _captured(m, clock, track, origin))
    if events:
        return tuple(events[i] for i in sorted(events))
    for __, m in rows["CAMERA_TRIGGER"]:
        t_ns = _event_ns(m.time_usec, m.time_usec / 1e6, clock)
        try:
            events.setdefault(int(m.seq), replace(track.pose_at(t_ns), origin=f"{origin} CAMERA_TRIGGER"))
        except TelemetryGap:
            continue
    return tuple(events[i] for i in sorted(events))


def _event_ns(utc_us: int, boot_s: float, clock: BootClock) -> int:
    """Return a camera's stamp, ns: UTC where the autopilot knew it.

    Else converted from time since boot.
    """
    return int(utc_us) * 1000 if utc_us > EARLIEST_US else round(float(clock.to_utc(boot_s)) * 1e9)


def _feedback(m: Any, clock: BootClock, origin: str) -> TelemetrySample:
    # ArduPilot stamps with GPS UTC where it has it, else with time since boot
    return TelemetrySample(
        t_utc_ns=_event_ns(m.time_usec, m.time_usec / 1e6, clock),
        lon_deg=m.lng / 1e7,
        lat_deg=m.lat / 1e7,
        height_m=m.alt_msl,
        height_datum="EGM96",
        relative_height_m=m.alt_rel,
        yaw_deg=m.yaw,
        pitch_deg=m.pitch,
        roll_deg=m.roll,
        origin=f"{origin} CAMERA_FEEDBACK",
    )


def _with_gimbal(event: TelemetrySample, track: TelemetryTrack) -> TelemetrySample:
    """Return the event with the track's gimbal angles, where it has them."""
    try:
        around = track.pose_at(event.t_utc_ns)
    except TelemetryGap:
        return event
    return replace(
        event,
        gimbal_yaw_deg=around.gimbal_yaw_deg,
        gimbal_pitch_deg=around.gimbal_pitch_deg,
        gimbal_roll_deg=around.gimbal_roll_deg,
    )


def _captured(m: Any, clock: BootClock, track: TelemetryTrack, origin: str) -> TelemetrySample:
    """Return a capture with its own position and the track's angles.

    Its quaternion is the gimbal's or the aircraft's, whichever the sender had: it is used, as the aircraft's,
    only where the track has no angles.
    """
    event = TelemetrySample(
        t_utc_ns=_event_ns(m.time_utc, m.time_boot_ms / 1e3, clock),
        lon_deg=m.lon / 1e7,
        lat_deg=m.lat / 1e7,
        height_m=m.alt / 1e3,
        height_datum="EGM96",
        relative_height_m=m.relative_alt / 1e3,
        origin=f"{origin} CAMERA_IMAGE_CAPTURED",
    )
    try:
        around = track.pose_at(event.t_utc_ns)
    except TelemetryGap:
        yaw, pitch, roll = (float(a) for a in to_yaw_pitch_roll(m.q)[0])
        return replace(event, yaw_deg=yaw, pitch_deg=pitch, roll_deg=roll)
    return replace(
        _with_gimbal(event, track),
        yaw_deg=around.yaw_deg,
        pitch_deg=around.pitch_deg,
        roll_deg=around.roll_deg,
    )


def _home(messages: list[Row]) -> Home | None:
    """Return the last HOME_POSITION with a position."""
    for __, m in reversed(messages):
        if m.latitude or m.longitude:
            return Home(lon_deg=m.longitude / 1e7, lat_deg=m.latitude / 1e7, height_m=m.altitude / 1e3)
    return None


def _duplicate_system_remark(system: int, dropped: int) -> Message:
    return ngettext(
        "two aircraft answer as system {system}: {count} position of the one that sends less is not "
        "used; give each aircraft a number of its own (SYSID_THISMAV, MAV_SYS_ID)",
        "two aircraft answer as system {system}: {count} positions of the one that sends less are not "
        "used; give each aircraft a number of its own (SYSID_THISMAV, MAV_SYS_ID)",
        dropped,
        system=system,
    )


def _other_clock(other_ns: int) -> Message:
    seconds = other_ns / 1e9
    if abs(seconds) > _HOUR_S:
        return _(
            "the autopilot's UTC lies {days:+.2f} days from the receiver's, which is used",
            days=seconds / _DAY_S,
        )
    return _("the autopilot's UTC lies {seconds:+.1f} s from the receiver's, which is used", seconds=seconds)


# -- Aircraft by system id, and reading of telemetry logs (.tlog) ----------------------------------


_STAMP = struct.Struct(">Q")
_MARK = re.compile(b"[\xfd\xfe]")  # MAVLink 2 and 1
_HEAD_BYTES = 10
_NUMBERS = frozenset(number for number, kind in mavlink.mavlink_map.items() if kind.msgname in WANTED)


@dataclass(slots=True)
class AircraftRegistry:
    """All aircraft heard on one link, by system id."""

    aircraft: dict[int, MavlinkAircraft] = field(default_factory=dict)

    def add(self, arrival_s: float, message: Any) -> None:
        """Pass a message to its aircraft. arrival_s: the receiver's UTC."""
        if message.get_type() in WANTED:
            system = int(message.get_srcSystem())
            self.aircraft.setdefault(system, MavlinkAircraft(system)).add(arrival_s, message)

    def active_aircraft(self) -> list[MavlinkAircraft]:
        """Return the aircraft that send positions, the busiest first.

        Ground stations send none.
        """
        placed = [a for a in self.aircraft.values() if a.positions]
        return sorted(placed, key=lambda a: (-a.positions, a.system))


def read_tlog(path: Path) -> FlightLog:
    """Read the log of the aircraft that reports most in a tlog.

    Raises SourceUnreadable if none reports a position.
    """
    return next(iter(read_tlog_aircraft(path, max_count=1).values()))


def read_tlog_aircraft(path: Path, max_count: int | None = None) -> dict[int, FlightLog]:
    """Read the logs of a tlog's aircraft by system id, or of the `max_count` busiest.

    Each log's remarks state skipped records and which other aircraft the file holds. Raises SourceUnreadable
    if there is none.
    """
    link, corrupt = _collect_aircraft(path)
    flying = link.active_aircraft()
    if not flying and corrupt:
        raise SourceUnreadable(
            ngettext(
                "{path}: none of its positions has a possible time ({count} record lies before 2005 or "
                "after 2100): set the ground station's clock and give the log of another receiver of "
                "this flight",
                "{path}: none of its positions has a possible time ({count} records lie before 2005 or "
                "after 2100): set the ground station's clock and give the log of another receiver of "
                "this flight",
                corrupt,
                path=path,
            )
        )
    if not flying:
        raise SourceUnreadable(
            _(
                "{path}: holds no GLOBAL_POSITION_INT message: give the aircraft's complete "
                "telemetry log (.tlog)",
                path=path,
            )
        )
    logs: dict[int, FlightLog] = {}
    for aircraft in flying[:max_count]:
        log = aircraft.flight_log(path.name)
        notes = list(log.remarks)
        others = [a for a in flying if a is not aircraft]
        if others:
            notes.append(_others(aircraft, others))
        if corrupt:
            notes.append(
                ngettext(
                    "{count} record with an impossible time was skipped",
                    "{count} records with an impossible time were skipped",
                    corrupt,
                )
            )
        logs[aircraft.system] = FlightLog(
            name=log.name,
            track=log.track,
            clock=log.clock,
            shift_other_ns=log.shift_other_ns,
            camera_events=log.camera_events,
            home=log.home,
            remarks=tuple(notes),
        )
    return logs


def _collect_aircraft(path: Path) -> tuple[AircraftRegistry, int]:
    """Return the file's messages by aircraft, and how many had an impossible time.

    A time is impossible also a day or more from the median.
    """
    link, stamps, corrupt = AircraftRegistry(), array("d"), 0
    for stamp_s, message in _messages(path):
        if not EARLIEST_US < stamp_s * 1e6 < LATEST_US:
            corrupt += 1
            continue
        if message is None:
            continue
        stamps.append(stamp_s)
        link.add(stamp_s, message)
        positions = link.aircraft[message.get_srcSystem()].positions
        require_bounded_log(path, samples=positions, rows=len(stamps))
    middle = float(np.median(stamps)) if stamps else 0.0
    for aircraft in link.aircraft.values():
        for rows in aircraft.rows.values():
            near = [row for row in rows if abs(row[0] - middle) < _DAY_S]
            corrupt += len(rows) - len(near)
            rows[:] = near
    return link, corrupt


def _messages(path: Path) -> Iterator[tuple[float, Any]]:
    """Yield every packet's stamp and its message.

    The stamp is the receiver's UTC (s), however impossible; the message None if unused or damaged.
    """
    decoder = mavlink.MAVLink(None)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            due = at = 0
            while (found := _MARK.search(data, at + _STAMP.size)) is not None:
                at, begin = found.start() - _STAMP.size, found.start()
                end, message = _packet(data, begin, decoder, is_due=at == due)
                if end is None:
                    at += 1
                    continue
                if at > due:
                    yield _stamp_s(data, due), None
                yield _stamp_s(data, at), message
                due = at = end
    except OSError as error:
        raise make_unopenable(path, error) from error


def _stamp_s(data: mmap.mmap, at: int) -> float:
    return float(_STAMP.unpack_from(data, at)[0] * 1e-6)


def _packet(data: mmap.mmap, begin: int, decoder: mavlink.MAVLink, *, is_due: bool) -> tuple[int | None, Any]:
    """Return the end of the packet at a mark and its message.

    The end is None without a packet, the message None if unused.

    is_due  a packet must begin here: one of an unknown type is then accepted if another follows it
    """
    size, number = _size_and_number(data, begin)
    end = begin + size
    if size == 0 or end > len(data):
        return None, None
    if number not in mavlink.mavlink_map:
        follows = data[end + _STAMP.size : end + _STAMP.size + 1]
        return (end if is_due and (not follows or _MARK.match(follows)) else None), None
    try:
        message = decoder.decode(bytearray(data[begin:end]))
    except mavlink.MAVError:  # wrong checksum: perhaps no packet begins here
        return None, None
    return end, message if number in _NUMBERS else None


def _size_and_number(data: mmap.mmap, at: int) -> tuple[int, int]:
    """Return packet size in bytes and message number at a mark; size 0: no packet."""
    head = data[at : at + _HEAD_BYTES]
    if len(head) < _HEAD_BYTES:
        return 0, 0
    if head[0] == mavlink.PROTOCOL_MARKER_V1:
        return 6 + head[1] + 2, head[5]
    if head[2] & ~mavlink.MAVLINK_IFLAG_SIGNED:
        # MAVLink: packets with unknown flags must not be read
        return 0, 0
    signature = mavlink.MAVLINK_SIGNATURE_BLOCK_LEN if head[2] else 0
    return _HEAD_BYTES + head[1] + 2 + signature, int.from_bytes(head[7:], "little")


def _others(used: MavlinkAircraft, others: list[MavlinkAircraft]) -> Message:
    unused = [
        ngettext("{system} ({count} position)", "{system} ({count} positions)", a.positions, system=a.system)
        for a in others
    ]
    return _(
        "{count} aircraft fly on this link: system {system} is used, not {unused}",
        count=len(others) + 1,
        system=used.system,
        unused=join(unused, ", "),
    )
