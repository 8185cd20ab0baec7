"""ArduPilot DataFlash logs (.bin, .log): what the aircraft itself recorded.

TimeUS counts microseconds since boot; a GPS record ties it to GPS week and milliseconds, and 18 leap seconds
make that UTC. Source: ArduPilot's log message documentation (GPS, POS, ATT, CAM, ORGN, MNT).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from pymavlink import DFReader

from flycam.errors import SourceUnreadable
from flycam.frame.telemetry import TelemetrySample, TelemetryTrack
from flycam.ingest.telemetry import gps_time
from flycam.ingest.telemetry.flight_log import FlightLog, Home, interpolate_angles, strictly_increasing

MAX_GAP_S = 1.0
_NEEDED = {
    "GPS": ("TimeUS", "Status", "GMS", "GWk", "Lat", "Lng", "Alt"),
    "POS": ("TimeUS", "Lat", "Lng", "Alt"),
    "ATT": ("TimeUS", "Yaw", "Pitch", "Roll"),
    "CAM": ("GPSTime", "GPSWeek", "Lat", "Lng", "Alt"),
    "ORGN": ("Type", "Lat", "Lng", "Alt"),
}
_LARGEST = 1e15  # of any number: 30 years of microseconds
_LATEST_S = 4e9  # UTC of a fix: the year 2096
_HOME_TYPES = (1, 2)
_BINARY_HEAD = b"\xa3\x95"


def read_dataflash(path: Path) -> FlightLog:
    """Track, CAM events and home of a DataFlash log. SourceUnreadable without positions or GPS time."""
    by_type: dict[str, list[Any]] = {name: [] for name in _NEEDED}
    for message in _iterate(path):
        if _is_usable(message):
            by_type[message.get_type()].append(message)
    offset_s = _utc_offset(by_type["GPS"], path)
    samples = _track(by_type, offset_s, path.name)
    if not samples:
        raise SourceUnreadable(
            f"{path}: holds no POS or GPS position: give the log of the flight itself",
            vi=f"{path}: không có vị trí nào; hãy đưa nhật ký của chính chuyến bay",
        )
    return FlightLog(
        name=path.name,
        track=TelemetryTrack(samples=strictly_increasing(samples), max_gap_s=MAX_GAP_S),
        clock="GPS time of the autopilot, 18 leap seconds taken off",
        camera_events=tuple(_event(m, path.name) for m in by_type["CAM"] if m.Lat or m.Lng),
        home=_home(by_type["ORGN"]),
    )


def _iterate(path: Path) -> Iterator[Any]:
    try:
        with path.open("rb") as file:
            binary = file.read(2) == _BINARY_HEAD
        reader = DFReader.DFReader_binary(str(path)) if binary else DFReader.DFReader_text(str(path))
    except Exception as error:
        raise SourceUnreadable(
            f"{path}: is not a DataFlash log: copy it from the aircraft again",
            vi=f"{path}: không phải nhật ký DataFlash; hãy chép lại từ máy bay",
        ) from error
    with suppress(Exception):  # what came before the damage is kept
        while (message := reader.recv_match(type=[*_NEEDED])) is not None:
            yield message


def _is_usable(message: Any) -> bool:
    """Whether what is needed of a message is there, as numbers: a log says itself what its columns are."""
    return all(math.isfinite(_number(message, name)) for name in _NEEDED[message.get_type()])


def _number(message: Any, *names: str) -> float:
    """The first of these columns that a message has; NaN where it is no number."""
    for name in names:
        try:
            value = getattr(message, name)
        except AttributeError:
            continue
        except (ArithmeticError, LookupError, TypeError, ValueError):
            break
        if isinstance(value, int | float) and abs(value) < _LARGEST:
            return float(value)
        break
    return math.nan


def _utc_offset(fixes: list[Any], path: Path) -> float:
    """UTC minus time since boot, seconds: the median over fixes (a fix is stamped late, never early)."""
    found = (gps_time.utc_s(m.GWk, m.GMS) - m.TimeUS / 1e6 for m in fixes if m.Status >= 3 and m.GWk > 1000)
    offsets = [one for one in found if abs(one) < _LATEST_S]
    if not offsets:
        raise SourceUnreadable(
            f"{path}: the aircraft never had a GPS fix, so its log has no time of day",
            vi=f"{path}: máy bay chưa từng bắt được GPS nên nhật ký không có giờ; hãy đưa nhật ký khác",
        )
    return float(np.median(offsets))


def _track(by_type: dict[str, list[Any]], offset_s: float, origin: str) -> list[TelemetrySample]:
    """POS (fused position) where it is logged, else GPS; attitude interpolated at its times."""
    fused = [m for m in by_type["POS"] if m.Lat or m.Lng]
    rows = fused or [m for m in by_type["GPS"] if m.Status >= 3]
    t = np.array([m.TimeUS for m in rows], dtype=np.float64)
    attitudes = by_type["ATT"]
    known = np.array([m.TimeUS for m in attitudes], dtype=np.float64)
    angles = np.array([(m.Yaw, m.Pitch, m.Roll) for m in attitudes], dtype=np.float64).reshape(-1, 3)
    body = interpolate_angles(t, known, angles)
    return [
        TelemetrySample(
            t_utc_ns=round((t[i] / 1e6 + offset_s) * 1e9),
            lon_deg=m.Lng,
            lat_deg=m.Lat,
            height_m=m.Alt,
            height_datum="EGM96",
            relative_height_m=_number(m, "RelHomeAlt"),
            yaw_deg=float(body[i, 0]),
            pitch_deg=float(body[i, 1]),
            roll_deg=float(body[i, 2]),
            origin=origin,
        )
        for i, m in enumerate(rows)
    ]


def _event(m: Any, origin: str) -> TelemetrySample:
    t = gps_time.utc_s(m.GPSWeek, m.GPSTime)
    return TelemetrySample(
        t_utc_ns=round(t * 1e9),
        lon_deg=m.Lng,
        lat_deg=m.Lat,
        height_m=m.Alt,
        height_datum="EGM96",
        relative_height_m=_number(m, "RelAlt"),
        yaw_deg=_number(m, "Yaw", "Y"),
        pitch_deg=_number(m, "Pitch", "P"),
        roll_deg=_number(m, "Roll", "R"),
        origin=f"{origin} CAM",
    )


def _home(origins: list[Any]) -> Home | None:
    """The last home; the EKF's origin (type 0) is where it started to estimate, not where it took off."""
    homes = [m for m in origins if m.Type in _HOME_TYPES]
    if not homes:
        return None
    return Home(lon_deg=homes[-1].Lng, lat_deg=homes[-1].Lat, height_m=homes[-1].Alt)
