"""AirData CSV logs, as pilots of DJI, Autel and others download them.

There is a row every tenth of a second. Columns name their unit in brackets, feet or metres by the account's
settings. `datetime(utc)` counts whole seconds and `time(millisecond)` from the start: the greatest difference
of the two dates the start, because fractions of a second are cut off. `isPhoto` is 1 while a photo is taken.
Source: the header of such tables.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from flycam.errors import SourceUnreadable
from flycam.ingest.telemetry.flight_log import FlightLog, require_bounded_log, sort_samples
from flycam.messages import _
from flycam.model.telemetry import TelemetrySample, TelemetryTrack

_MAX_BYTES = 512 << 20
_FIRST_COLUMN = "time(millisecond)"
_UNITS = {
    "feet": 0.3048,
    "ft": 0.3048,
    "mph": 0.44704,
    "km/h": 1 / 3.6,
    "millisecond": 1e-3,
}  # metres, seconds
_GAP_S, _GAP_STEPS = 1.0, 2.5
_MAX_FLIGHT_S, _LATEST_S = 1e6, 4e9  # duration; UTC, the year 2096
_WANTED = (
    "time",
    "datetime",
    "latitude",
    "longitude",
    "height_above_takeoff",
    "altitude_above_sealevel",
    "speed",
    "compass_heading",
    "pitch",
    "roll",
    "gimbal_heading",
    "gimbal_pitch",
    "gimbal_roll",
    "isphoto",
)
_NEEDED = 4  # of those above


def is_airdata(head: str) -> bool:
    """Return True if text begins as AirData's table does."""
    return head.removeprefix("\ufeff").lstrip().lower().startswith(_FIRST_COLUMN)


def read_airdata(path: Path) -> FlightLog:
    """Read track and exposures of an AirData CSV.

    Raises SourceUnreadable where no row has both time and position.
    """
    rows = _rows(path)
    t, utc, lat, lon = rows[:, :_NEEDED].T
    dated = (t >= 0) & (t < _MAX_FLIGHT_S) & ~((utc < 0) | (utc > _LATEST_S))
    rows = rows[dated & ((lat != 0) | (lon != 0)) & (np.abs(lat) <= 90.0) & (np.abs(lon) <= 180.0)]
    offsets = rows[:, 1] - rows[:, 0]
    if not np.isfinite(offsets).any():
        raise SourceUnreadable(
            _(
                "{path}: no row has both a place and a time in its column datetime(utc): "
                "download the CSV again",
                path=path,
            )
        )
    rows[:, 0] += np.nanmax(offsets)
    steps = np.diff(rows[:, 0])
    gap_s = max(_GAP_S, _GAP_STEPS * float(np.median(steps))) if steps.size else _GAP_S
    taken = rows[:, 13] == 1
    taken[1:] &= rows[:-1, 13] != 1
    return FlightLog(
        name=path.name,
        track=TelemetryTrack(
            samples=sort_samples([_sample(row, path.name) for row in rows.tolist()]), max_gap_s=gap_s
        ),
        clock="UTC by AirData",
        camera_events=tuple(_sample(row, f"{path.name} isPhoto") for row in rows[taken].tolist()),
    )


def _rows(path: Path) -> np.ndarray:
    """Return N×14 float64 of `_WANTED` in seconds, metres and degrees.

    datetime in seconds UTC; NaN where absent.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise SourceUnreadable(
            _("{path}: is larger than any flight's table: cut it to this flight", path=path)
        )
    found: list[list[float]] = []
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as text:
            table = csv.reader(text)
            columns = _columns(next(table, []))
            if any(at < 0 for at, _ in columns[:_NEEDED]):
                raise SourceUnreadable(
                    _(
                        "{path}: lacks a column that AirData writes (time, datetime, "
                        "latitude, longitude): download the CSV again",
                        path=path,
                    )
                )
            for row in table:
                found.append([_value(row, at, by) for at, by in columns])
                require_bounded_log(path, len(found))
    except (OSError, csv.Error) as error:
        raise SourceUnreadable(
            _("{path}: is damaged ({error}): download the CSV again", path=path, error=error)
        ) from error
    return np.array(found, dtype=np.float64).reshape(-1, len(_WANTED))


def _columns(header: Sequence[str]) -> list[tuple[int, float]]:
    """Return index (-1: absent) and factor to s or m of each wanted column.

    The factor 0 marks a date.
    """
    named = [name.strip().lower().partition("(") for name in header]
    where = {name: at for at, (name, _, _) in reversed(list(enumerate(named)))}
    return [
        (at, 0.0 if name == "datetime" else _UNITS.get(named[at][2].rstrip(")"), 1.0))
        for name in _WANTED
        for at in (where.get(name, -1),)
    ]


def _value(row: Sequence[str], at: int, by: float) -> float:
    text = row[at] if 0 <= at < len(row) else ""
    try:
        if not by:
            return datetime.fromisoformat(text.strip()).replace(tzinfo=UTC).timestamp()
        value = float(text)
    except (ValueError, OverflowError):
        return math.nan
    return value * by if abs(value) < 1e12 else math.nan


def _sample(row: Sequence[float], origin: str) -> TelemetrySample:
    t, _, lat, lon, relative, above_sea, speed, yaw, pitch, roll, g_yaw, g_pitch, g_roll, _ = row
    known = math.isfinite(above_sea)
    return TelemetrySample(
        t_utc_ns=round(t * 1e9),
        lon_deg=lon,
        lat_deg=lat,
        height_m=above_sea if known else relative,
        height_datum="EGM96" if known else "TAKEOFF",
        relative_height_m=relative,
        yaw_deg=yaw,
        pitch_deg=pitch,
        roll_deg=roll,
        gimbal_yaw_deg=g_yaw,
        gimbal_pitch_deg=g_pitch,
        gimbal_roll_deg=g_roll,
        speed_mps=speed,
        origin=origin,
    )
