"""Flight log of one aircraft from its MAVLink messages, fed one by one from a file or a link.

A live link keeps the last seconds only (`forget_before`) and may call `flight_log` at any time; a file feeds
everything and calls it once. Both get the same samples from the same messages.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from flycam.errors import SourceUnreadable, TelemetryGap
from flycam.frame.telemetry import TelemetrySample, TelemetryTrack
from flycam.frame.timestamp import EARLIEST_NS, LATEST_NS
from flycam.ingest.telemetry.flight_log import FlightLog, Home, sort_samples
from flycam.ingest.telemetry.mavlink_camera import (
    find_fixes,
    interpolate_body,
    interpolate_centre,
    interpolate_field_of_view,
    interpolate_gimbal,
    interpolate_terrain,
)
from flycam.ingest.telemetry.mavlink_clock import (
    BootClock,
    Row,
    estimate_boot_clock,
    filter_sender,
    select_busiest_sender,
    select_last_boot,
    select_live_rows,
)
from flycam.ingest.telemetry.quaternions import to_yaw_pitch_roll
from flycam.messages import Message, _

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
    "TERRAIN_REPORT": ("spacing", "terrain_height"),
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
            kept = _KEPT[kind]()
            for name in WANTED[kind]:
                setattr(kept, name, getattr(message, name))
            rows.append((arrival_s, kept))

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
        mine, voice_s = select_busiest_sender(self.rows["GLOBAL_POSITION_INT"])
        if voice_s is not None:
            remarks.append(_duplicate_system_remark(self.system, self.positions - len(mine)))
        rows = {kind: filter_sender(found, voice_s) for kind, found in self.rows.items()}
        positions, replayed = select_live_rows(select_last_boot(mine))
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
    fov = interpolate_field_of_view(t, rows, MAX_GAP_S)
    centre = interpolate_centre(t, rows, MAX_GAP_S)
    ground, fix = interpolate_terrain(t, clock, rows), find_fixes(t, clock, rows)
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
            hfov_deg=float(fov[i, 0]),
            vfov_deg=float(fov[i, 1]),
            centre_lon_deg=float(centre[i, 0]),
            centre_lat_deg=float(centre[i, 1]),
            centre_height_m=float(centre[i, 2]),
            terrain_height_m=float(ground[i]),
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
    return _(
        "two aircraft answer as system {system}: {count} positions of the one that sends less are not used; "
        "give each aircraft a number of its own (SYSID_THISMAV, MAV_SYS_ID)",
        system=system,
        count=dropped,
    )


def _other_clock(other_ns: int) -> Message:
    seconds = other_ns / 1e9
    if abs(seconds) > _HOUR_S:
        return _(
            "the autopilot's UTC lies {days:+.2f} days from the receiver's, which is used",
            days=seconds / _DAY_S,
        )
    return _("the autopilot's UTC lies {seconds:+.1f} s from the receiver's, which is used", seconds=seconds)
