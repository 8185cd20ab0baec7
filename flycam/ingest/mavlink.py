"""MAVLink telemetry logs (.tlog): a 64-bit big-endian time in microseconds before every packet.

The stamp is the receiver's clock when the packet *arrived*; inside, messages carry the autopilot's time
since boot. A link delays packets, so a position's time is its boot time plus the least delay seen within a
second of it: a packet cannot arrive before it was sent. Where the two clocks do not even run at the same
rate, packets were replayed from a buffer: their times are worthless and they are dropped.
Source: MAVLink common message definitions; the tlog layout is described in the MAVLink developer guide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pymavlink import mavutil

from flycam.errors import SourceUnreadable
from flycam.frame.telemetry import TelemetrySample, TelemetryTrack
from flycam.ingest.flight_log import FlightLog, Floats, Home, interpolate_angles, strictly_increasing

MAX_GAP_S = 2.5
_EARLIEST_US, _LATEST_US = 1_104_537_600_000_000, 4_102_444_800_000_000  # 2005 to 2100
_DAY_S = 86_400.0
_DELAY_WINDOW_S = 1.0
_REBOOT_S = 5.0
_RATE_SPAN = 15
_RATE_TOLERANCE = 2.0
_WANTED = (
    "GLOBAL_POSITION_INT",
    "ATTITUDE",
    "SYSTEM_TIME",
    "CAMERA_FEEDBACK",
    "CAMERA_IMAGE_CAPTURED",
    "HOME_POSITION",
    "MOUNT_ORIENTATION",
)


def read_tlog(path: Path) -> FlightLog:
    """Track, camera events and home of a tlog. Raises SourceUnreadable if it holds no position."""
    messages, corrupt = _messages(path)
    vehicle = _vehicle(messages, path)
    by_type: dict[str, list[tuple[float, Any]]] = {name: [] for name in _WANTED}
    for stamp, message in messages:
        if message.get_srcSystem() == vehicle:
            by_type[message.get_type()].append((stamp, message))
    positions = by_type["GLOBAL_POSITION_INT"]
    positions, remarks = _live_only(positions, path)
    clock = _boot_clock(positions)
    if corrupt:
        remarks.append(
            (
                f"{corrupt} records with an impossible time were skipped",
                f"bỏ qua {corrupt} bản ghi có thời gian vô lý",
            )
        )
    samples = _track(positions, clock, by_type, path.name)
    other = _autopilot_shift(by_type["SYSTEM_TIME"], clock)
    if other is not None and abs(other) > 5e9:
        remarks.append(
            (
                f"the autopilot's UTC lies {other / 1e9 / _DAY_S:+.2f} days from the receiver's, which is "
                "used",
                f"giờ UTC của máy bay lệch {other / 1e9 / _DAY_S:+.2f} ngày so với trạm mặt đất: dùng giờ "
                "trạm mặt đất",
            )
        )
    return FlightLog(
        name=path.name,
        track=TelemetryTrack(samples=strictly_increasing(samples), max_gap_s=MAX_GAP_S),
        clock="receiver's clock, least link delay",
        shift_other_ns=other,
        camera_events=_camera_events(by_type, clock, path.name),
        home=_home(by_type["HOME_POSITION"]),
        remarks=tuple(remarks),
    )


def _messages(path: Path) -> tuple[list[tuple[float, Any]], int]:
    """(arrival time s, message) of the wanted types; how many carried an impossible time."""
    kept: list[tuple[float, Any]] = []
    corrupt = 0
    for message in _iterate(path):
        stamp_us = message._timestamp * 1e6
        if not _EARLIEST_US < stamp_us < _LATEST_US:
            corrupt += 1
        elif message.get_type() in _WANTED:
            kept.append((message._timestamp, message))
    if kept:
        middle = float(np.median([stamp for stamp, _ in kept]))
        sound = [(stamp, message) for stamp, message in kept if abs(stamp - middle) < _DAY_S]
        corrupt += len(kept) - len(sound)
        kept = sound
    return kept, corrupt


def _iterate(path: Path) -> Iterator[Any]:
    try:
        connection = mavutil.mavlogfile(str(path), robust_parsing=True)
    except OSError as error:
        raise SourceUnreadable(f"{path}: cannot be opened ({error.strerror}): check the path") from error
    try:
        while (message := connection.recv_msg()) is not None:
            yield message
    finally:
        connection.close()


def _vehicle(messages: list[tuple[float, Any]], path: Path) -> int:
    """System id that reports positions most: ground stations and other aircraft are left out."""
    counted = Counter(m.get_srcSystem() for _, m in messages if m.get_type() == "GLOBAL_POSITION_INT")
    if not counted:
        raise SourceUnreadable(
            f"{path}: holds no GLOBAL_POSITION_INT message: give the aircraft's complete telemetry log "
            "(.tlog)"
        )
    return int(counted.most_common(1)[0][0])


@dataclass(frozen=True)
class _BootClock:
    """Time since boot (s, increasing) and what the receiver's clock showed then (UTC s)."""

    boot_s: Floats
    utc_s: Floats

    def utc(self, boot_s: Floats | float) -> Floats:
        """UTC seconds at boot times; beyond the ends the nearest offset goes on."""
        return np.asarray(boot_s) + np.interp(boot_s, self.boot_s, self.utc_s - self.boot_s)


def _boot_clock(positions: list[tuple[float, Any]]) -> _BootClock:
    """Boot time plus the least delay within a second, so that jitter goes and slow drift stays."""
    boot = np.array([m.time_boot_ms for _, m in positions]) / 1e3
    delay = np.array([stamp for stamp, _ in positions]) - boot
    low = np.searchsorted(boot, boot - _DELAY_WINDOW_S)
    high = np.searchsorted(boot, boot + _DELAY_WINDOW_S, side="right")
    least = np.array([delay[a:b].min() for a, b in zip(low, high, strict=True)])
    return _BootClock(boot, boot + least)


def _live_only(
    positions: list[tuple[float, Any]], path: Path
) -> tuple[list[tuple[float, Any]], list[tuple[str, str]]]:
    """Positions of the last boot that arrived at the rate at which they were made."""
    boot = np.array([m.time_boot_ms for _, m in positions]) / 1e3
    start = (
        int(np.flatnonzero(np.diff(boot) < -_REBOOT_S)[-1]) + 1 if (np.diff(boot) < -_REBOOT_S).any() else 0
    )
    rows = positions[start:]
    rows.sort(key=lambda row: row[1].time_boot_ms)
    arrival = np.array([stamp for stamp, _ in rows])
    boot = np.array([m.time_boot_ms for _, m in rows]) / 1e3
    k = min(_RATE_SPAN, max(len(rows) - 1, 1) // 2)
    if k < 1:
        return rows, []
    ends = np.clip(np.arange(len(rows)) + k, 0, len(rows) - 1)
    begins = np.clip(np.arange(len(rows)) - k, 0, len(rows) - 1)
    rate = (arrival[ends] - arrival[begins]) / np.maximum(boot[ends] - boot[begins], 1e-3)
    live = (rate > 1.0 / _RATE_TOLERANCE) & (rate < _RATE_TOLERANCE)
    dropped = int((~live).sum())
    if not live.any():
        raise SourceUnreadable(
            f"{path}: all packets were replayed from a buffer, so their times are not those of the flight: "
            "give the log written during the flight"
        )
    if not dropped:
        return rows, []
    seconds = float(boot[~live].max() - boot[~live].min())
    took = float(arrival[~live].max() - arrival[~live].min())
    return [row for row, ok in zip(rows, live, strict=True) if ok], [
        (
            f"{dropped} positions that span {seconds:.0f} s of flight arrived within {took:.0f} s: "
            "replayed from a buffer, they are not used",
            f"{dropped} vị trí của {seconds:.0f} giây bay đến dồn trong {took:.0f} giây (phát lại từ bộ "
            "đệm): không dùng",
        )
    ]


def _track(
    positions: list[tuple[float, Any]],
    clock: _BootClock,
    by_type: dict[str, list[tuple[float, Any]]],
    origin: str,
) -> list[TelemetrySample]:
    attitudes = [(m.time_boot_ms, np.degrees((m.yaw, m.pitch, m.roll))) for _, m in by_type["ATTITUDE"]]
    mounts = [(m.time_boot_ms, (m.yaw_absolute, m.pitch, m.roll)) for _, m in by_type["MOUNT_ORIENTATION"]]
    body, gimbal = _angles_at(clock.boot_s, attitudes), _angles_at(clock.boot_s, mounts)
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
            origin=origin,
        )
        for i, (_, m) in enumerate(positions)
        if m.lat or m.lon
    ]


def _angles_at(boot_s: Floats, rows: list[tuple[float, Any]]) -> Floats:
    if not rows:
        return np.full((len(boot_s), 3), np.nan)
    known = np.array([t for t, _ in rows], dtype=np.float64) / 1e3
    order = np.argsort(known, kind="stable")
    return interpolate_angles(boot_s, known[order], np.array([a for _, a in rows])[order])


def _autopilot_shift(times: list[tuple[float, Any]], clock: _BootClock) -> int | None:
    """The autopilot's own UTC minus the clock used, ns; None if it never knew."""
    known = [
        m.time_unix_usec / 1e6 - float(clock.utc(m.time_boot_ms / 1e3))
        for _, m in times
        if m.time_unix_usec > _EARLIEST_US and clock.boot_s[0] <= m.time_boot_ms / 1e3 <= clock.boot_s[-1]
    ]
    return round(float(np.median(known)) * 1e9) if known else None


def _camera_events(
    by_type: dict[str, list[tuple[float, Any]]], clock: _BootClock, origin: str
) -> tuple[TelemetrySample, ...]:
    """CAMERA_FEEDBACK (ArduPilot) or else CAMERA_IMAGE_CAPTURED (PX4), one per image index."""
    events: dict[int, TelemetrySample] = {}
    for _, m in by_type["CAMERA_FEEDBACK"]:
        # ArduPilot stamps with GPS UTC where it has it, else with time since boot
        t = m.time_usec / 1e6 if m.time_usec > _EARLIEST_US else float(clock.utc(m.time_usec / 1e6))
        events.setdefault(
            int(m.img_idx),
            TelemetrySample(
                t_utc_ns=round(t * 1e9),
                lon_deg=m.lng / 1e7,
                lat_deg=m.lat / 1e7,
                height_m=m.alt_msl,
                height_datum="EGM96",
                relative_height_m=m.alt_rel,
                yaw_deg=m.yaw,
                pitch_deg=m.pitch,
                roll_deg=m.roll,
                origin=f"{origin} CAMERA_FEEDBACK",
            ),
        )
    if events:
        return tuple(events[i] for i in sorted(events))
    for _, m in by_type["CAMERA_IMAGE_CAPTURED"]:
        if m.capture_result != 1:
            continue
        t_ns = (
            m.time_utc * 1000
            if m.time_utc > _EARLIEST_US
            else round(float(clock.utc(m.time_boot_ms / 1e3)) * 1e9)
        )
        events.setdefault(
            int(m.image_index),
            TelemetrySample(
                t_utc_ns=int(t_ns),
                lon_deg=m.lon / 1e7,
                lat_deg=m.lat / 1e7,
                height_m=m.alt / 1e3,
                height_datum="EGM96",
                relative_height_m=m.relative_alt / 1e3,
                origin=f"{origin} CAMERA_IMAGE_CAPTURED",
            ),
        )
    return tuple(events[i] for i in sorted(events))


def _home(messages: list[tuple[float, Any]]) -> Home | None:
    """The last HOME_POSITION that names a place."""
    for _, m in reversed(messages):
        if m.latitude or m.longitude:
            return Home(lon_deg=m.longitude / 1e7, lat_deg=m.latitude / 1e7, height_m=m.altitude / 1e3)
    return None
