"""GPMF telemetry in videos of GoPro cameras, and of the drone that carried them.

It is a track of the MP4 whose samples ("payloads", about one a second) hold nested key, length, value
triples. Read are the camera's GPS (GPS5, GPS9) and the drone's own state (Karma: position, attitude, system
time). The drone's attitude is not the camera's: the camera hangs level in a gimbal, heads as the drone does,
and its tilt follows from its accelerometer once the drone's own acceleration is subtracted.

Source: GoPro, "GPMF Introduction" (gpmf-parser, README; Apache-2.0 or MIT).
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.errors import SourceUnreadable
from flycam.ingest.telemetry.flight_log import FlightLog, require_bounded_log, sort_samples
from flycam.media.mp4 import TrackSamples, find_box, parse_creation_s, parse_track_samples
from flycam.messages import Message, _
from flycam.model.telemetry import TelemetrySample, TelemetryTrack
from flycam.model.time import EARLIEST_NS, LATEST_NS
from flycam.storage.files import make_unopenable

Floats = NDArray[np.float64]

MAX_GAP_S = 2.5
_MAX_MOOV_BYTES, _MAX_PAYLOAD_BYTES = 64 << 20, 4 << 20
_MAX_DEPTH = 6
_NUMBERS = {
    "b": "i1", "B": "u1", "d": ">f8", "f": ">f4", "j": ">i8", "J": ">u8", "l": ">i4", "L": ">u4", "s": ">i2",
    "S": ">u2",
}  # fmt: skip
_COMPLEX = "?"
_TRACKS = ("GPS5", "GPS9", "GLPI", "ATTD", "SYST", "ACCL")
_PLACES = ("GPS5", "GPS9", "GLPI")
_ROWS_AS_ONE = 10
_ABOUT = ("GPSU", "GPSF", "GPSA", "STNM")
_UP_RIGHT_FORWARD = b"(up/down, right/left, forward/back)"
_GRAVITY = 9.80665
# Latency of a GPS receiver, and of the drone's link to the camera.
_GPS_SIGMA_S, _DRONE_SIGMA_S = 0.3, 0.15
_SMOOTHED_S, _STEADY_S = 1.0, 4.0
# For an accelerometer in a drone, and for a gimbal that follows its heading.
_SIGMA_CAMERA_DEG = 2.5
_YEAR_2000 = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
_FIXES = {0: "no_fix", 2: "2d", 3: "3d"}


@dataclass(slots=True)
class GpmfStream:
    """Rows of one key, payload by payload.

    rows      of each payload N×C in the stated units, `count` in all
    payloads  number of each payload
    about     of each payload the metadata beside its rows, by key
    """

    rows: list[Floats] = field(default_factory=list)
    count: int = 0
    payloads: list[int] = field(default_factory=list)
    about: list[dict[str, bytes]] = field(default_factory=list)

    @property
    def all_rows(self) -> Floats:
        """Rows of all payloads, concatenated."""
        return np.concatenate(self.rows)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Payload number of each row."""
        return np.repeat(self.payloads, [len(one) for one in self.rows])


def read_gpmf(path: Path) -> FlightLog:
    """Read the flight log in a video's GPMF telemetry.

    Raises SourceUnreadable where it holds none.
    """
    streams: dict[str, GpmfStream] = {}
    try:
        with path.open("rb") as file:
            created_s, track = _track(path, file.fileno())
            for number in range(len(track.size)):
                size = int(track.size[number])
                if size > _MAX_PAYLOAD_BYTES:
                    continue
                file.seek(int(track.offset[number]))
                gather_payload(file.read(size), number, streams)
                require_bounded_log(path, *_counts(streams))
    except OSError as error:
        raise make_unopenable(path, error) from error
    found = _of_drone(path.name, streams, track) or _of_camera(path.name, streams, track, created_s)
    if found is None:
        raise SourceUnreadable(
            _(
                "{path}: its GoPro telemetry has no position with a time (GPS was off, or had "
                "no fix): give the flight's log or subtitles",
                path=path,
            )
        )
    return found


def gather_payload(payload: bytes, number: int, streams: dict[str, GpmfStream]) -> None:
    """Add a payload's contents to the used streams, skipping malformed parts."""
    _walk(payload, number, streams, _MAX_DEPTH)


def _track(path: Path, descriptor: int) -> tuple[float | None, TrackSamples]:
    """Return the video's time of creation and where its payloads lie."""

    def read_at(at: int, count: int) -> bytes:
        return os.pread(descriptor, count, at)

    box = find_box(read_at, 0, path.stat().st_size, b"moov")
    moov = read_at(box[0], box[1] - box[0]) if box and box[1] - box[0] <= _MAX_MOOV_BYTES else b""
    track = parse_track_samples(moov, b"gpmd")
    if track is None:
        raise SourceUnreadable(
            _(
                "{path}: is a video without telemetry that flycam reads in it (GoPro's "
                "GPMF): give the flight's log or subtitles",
                path=path,
            )
        )
    return parse_creation_s(moov), track


def _counts(streams: dict[str, GpmfStream]) -> tuple[int, int]:
    """Return counts of positions and of all rows.

    Rows are counted by tens, because an accelerometer's are many, and small.
    """
    places = max((streams[key].count for key in _PLACES if key in streams), default=0)
    return places, sum(one.count for one in streams.values()) // _ROWS_AS_ONE


def _triples(data: bytes) -> Iterator[tuple[str, str, int, int, bytes]]:
    """Yield (key, type, bytes per value, count, value bytes) of one level."""
    at = 0
    while at + 8 <= len(data):
        key, kind, size = data[at : at + 4], chr(data[at + 4]), data[at + 5]
        count = int.from_bytes(data[at + 6 : at + 8], "big")
        length = size * count
        if at + 8 + length > len(data):
            return
        yield key.decode("latin-1"), kind, size, count, data[at + 8 : at + 8 + length]
        at += 8 + -(-length // 4) * 4


def _walk(data: bytes, number: int, streams: dict[str, GpmfStream], deepest: int) -> None:
    about: dict[str, bytes] = {}
    scale, shape = np.ones(1), ""
    for key, kind, size, count, value in _triples(data):
        if kind == "\0":
            if deepest:
                _walk(value, number, streams, deepest - 1)
        elif key == "SCAL" and kind in _NUMBERS:
            scale = _rows(value, kind, "", size, count).ravel()
        elif key == "TYPE":
            shape = value.decode("latin-1").rstrip("\0")
        elif key in _ABOUT:
            about[key] = value
        elif key in _TRACKS and count and (kind in _NUMBERS or kind == _COMPLEX):
            rows = _rows(value, kind, shape, size, count)
            if rows.size and len(scale) in (1, rows.shape[1]) and scale.all():
                stream = streams.setdefault(key, GpmfStream())
                if not stream.rows or stream.rows[0].shape[1] == rows.shape[1]:
                    stream.rows.append(rows / scale)
                    stream.count += len(rows)
                    stream.payloads.append(number)
                    stream.about.append(about)


def _rows(value: bytes, kind: str, shape: str, size: int, count: int) -> Floats:
    """Return values as rows of numbers; empty where their type and size do not agree."""
    kinds = shape if kind == _COMPLEX else kind * (size // np.dtype(_NUMBERS[kind]).itemsize)
    if not kinds or not all(one in _NUMBERS for one in kinds):
        return np.empty((0, 0))
    layout = np.dtype([(str(k), _NUMBERS[one]) for k, one in enumerate(kinds)])
    if layout.itemsize != size:
        return np.empty((0, 0))
    packed = np.frombuffer(value, layout, count)
    return np.stack([packed[name].astype(np.float64) for name in layout.names or ()], axis=1)


def _film_s(stream: GpmfStream, track: TrackSamples) -> Floats:
    """Return the video time of each row, seconds.

    A payload's rows lie evenly in its time, of which the last payload fills a part.
    """
    usual = float(np.median([len(rows) for rows in stream.rows]))
    times = []
    for number, rows in zip(stream.payloads, stream.rows, strict=True):
        step = (track.end_s[number] - track.begin_s[number]) / max(len(rows), usual)
        times.append(track.begin_s[number] + (np.arange(len(rows)) + 0.5) * step)
    return np.concatenate(times)


def _of_drone(name: str, streams: dict[str, GpmfStream], track: TrackSamples) -> FlightLog | None:
    """Return the log of the drone's own position and system time; None without them.

    The offset of its clock from the video's: each row came within its payload's time, and all of them
    together leave little room.
    """
    if not {"GLPI", "SYST"} <= streams.keys():
        return None
    places, clock = streams["GLPI"].all_rows, streams["SYST"].all_rows
    if places.shape[1] != 9 or clock.shape[1] != 2 or len(places) < 2:
        return None
    boot_s = places[:, 0]
    utc_s = float(np.median(clock[:, 1] - clock[:, 0]))
    earliest_s = float((boot_s - track.end_s[streams["GLPI"].numbers]).max())
    latest_s = float((boot_s - track.begin_s[streams["GLPI"].numbers]).min())
    zero_s, apart_s = (earliest_s + latest_s) / 2.0, abs(latest_s - earliest_s) / 2.0
    if not _can_be(zero_s + utc_s) or not _can_be(float(boot_s.max()) + utc_s):
        return None
    velocity = np.hypot(places[:, 5], places[:, 6])
    body, camera = _drone_angles(streams, boot_s, zero_s, track)
    samples = [
        TelemetrySample(
            t_utc_ns=round((boot_s[i] + utc_s) * 1e9),
            lon_deg=float(places[i, 2]),
            lat_deg=float(places[i, 1]),
            height_m=float(places[i, 3]),
            height_datum="EGM96",
            relative_height_m=float(places[i, 4]),
            yaw_deg=float(body[i, 0]),
            pitch_deg=float(body[i, 1]),
            roll_deg=float(body[i, 2]),
            gimbal_yaw_deg=float(camera[i, 0]),
            gimbal_pitch_deg=float(camera[i, 1]),
            gimbal_roll_deg=float(camera[i, 2]),
            sigma_gimbal_deg=_SIGMA_CAMERA_DEG,
            speed_mps=float(velocity[i]),
            origin=name,
        )
        for i in range(len(places))
        if _is_place(places[i, 2], places[i, 1])
    ]
    remarks: tuple[Message, ...] = ()
    if np.isfinite(camera).any():
        remarks = (
            _(
                "{name}: the camera's tilt comes from its accelerometer and its direction from "
                "the drone's heading, each to about {sigma_deg:g}°",
                name=name,
                sigma_deg=_SIGMA_CAMERA_DEG,
            ),
        )
    sigma_s = math.hypot(_DRONE_SIGMA_S, apart_s)
    return _log(name, samples, "UTC of the drone (GPMF SYST)", zero_s + utc_s, sigma_s, remarks)


def _drone_angles(
    streams: dict[str, GpmfStream], boot_s: Floats, zero_s: float, track: TrackSamples
) -> tuple[Floats, Floats]:
    """Return yaw, pitch, roll (degrees) of drone and camera at N times, N×3 each.

    Times on the drone's clock; NaN where unknown.
    """
    unknown = np.full((len(boot_s), 3), np.nan)
    if "ATTD" not in streams or streams["ATTD"].all_rows.shape[1] < 4:
        return unknown, unknown
    attitude = streams["ATTD"].all_rows
    order = np.argsort(attitude[:, 0], kind="stable")
    angles = np.unwrap(attitude[order][:, 3:0:-1], axis=0)
    body = np.stack([np.interp(boot_s, attitude[order, 0], column) for column in angles.T], axis=1)
    body = np.degrees((body + np.pi) % (2.0 * np.pi) - np.pi)
    force = streams.get("ACCL")
    if force is None or not all(_UP_RIGHT_FORWARD in one.get("STNM", b"") for one in force.about):
        return body, unknown
    film_s = boot_s - zero_s
    seen = np.stack([_smoothed(_film_s(force, track), axis, film_s) for axis in force.all_rows.T], axis=1)
    places = streams["GLPI"].all_rows
    east, north = (_slope(boot_s, places[:, k]) for k in (6, 5))
    yaw = np.radians(body[:, 0])
    forward, right = north * np.cos(yaw) + east * np.sin(yaw), east * np.cos(yaw) - north * np.sin(yaw)
    # the third axis points backwards: as a drone speeds up, its reading falls
    pitch = np.degrees(np.arcsin(np.clip((-seen[:, 2] - forward) / _GRAVITY, -1.0, 1.0)))
    roll = np.degrees(np.arctan2(seen[:, 1] + right, seen[:, 0]))
    # a gimbal tilts slowly, and the accelerometer feels a turn before the positions show it
    pitch, roll = _steadied(boot_s, pitch), _steadied(boot_s, roll)
    return body, np.stack([body[:, 0], pitch, roll], axis=1)


def _of_camera(
    name: str, streams: dict[str, GpmfStream], track: TrackSamples, created_s: float | None
) -> FlightLog | None:
    """Return the log of the camera's GPS; None if it has none, or no time."""
    stream = streams.get("GPS9") or streams.get("GPS5")
    if stream is None:
        return None
    rows, film_s = stream.all_rows, _film_s(stream, track)
    if "GPS9" in streams and rows.shape[1] == 9:
        fixed, utc_s = rows[:, 8], _YEAR_2000 + rows[:, 5] * 86_400.0 + rows[:, 6]
        known = (fixed >= 2) & np.array([_can_be(one) for one in utc_s])
    elif rows.shape[1] == 5:
        lengths = [len(one) for one in stream.rows]
        fixed = np.repeat([_fix(one.get("GPSF", b"")) for one in stream.about], lengths)
        stamps = np.array([_utc_s(one.get("GPSU", b"")) for one in stream.about])
        # the stamp is of a payload's first row
        utc_s = np.repeat(stamps - track.begin_s[stream.payloads], lengths) + film_s
        known = (fixed >= 2) & np.isfinite(utc_s)
    else:
        return None
    if known.any():
        zero_s, sigma_s = float(np.median((utc_s - film_s)[known])), _GPS_SIGMA_S
    elif created_s is not None and _can_be(created_s):
        # the camera's clock, whose time zone is unknown
        zero_s, sigma_s = created_s, _GPS_SIGMA_S
    else:
        return None
    is_above_sea = any(one.get("GPSA", b"").startswith(b"MSL") for one in stream.about)
    samples = [
        TelemetrySample(
            t_utc_ns=round((zero_s + film_s[i]) * 1e9),
            lon_deg=float(rows[i, 1]),
            lat_deg=float(rows[i, 0]),
            height_m=float(rows[i, 2]),
            height_datum="EGM96" if is_above_sea else "ELLIPSOID",
            speed_mps=float(rows[i, 3]),
            fix=_FIXES.get(int(fixed[i]), "unknown"),
            origin=name,
        )
        for i in range(len(rows))
        if _is_place(rows[i, 1], rows[i, 0])
    ]
    return _log(name, samples, "UTC of the camera's GPS (GPMF)", zero_s, sigma_s, ())


def _log(
    name: str,
    samples: list[TelemetrySample],
    clock: str,
    zero_s: float,
    sigma_s: float,
    remarks: tuple[Message, ...],
) -> FlightLog | None:
    if not samples:
        return None
    return FlightLog(
        name=name,
        track=TelemetryTrack(samples=sort_samples(samples), max_gap_s=MAX_GAP_S),
        clock=clock,
        remarks=remarks,
        video_zero_ns=round(zero_s * 1e9),
        video_zero_sigma_s=sigma_s,
    )


def _smoothed(times: Floats, values: Floats, at: Floats) -> Floats:
    """Return the mean of values (at rising times) around each time `at`.

    Within half of _SMOOTHED_S; NaN where there are none.
    """
    total = np.concatenate([[0.0], np.cumsum(values)])
    first, last = (np.searchsorted(times, at + half) for half in (-_SMOOTHED_S / 2.0, _SMOOTHED_S / 2.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = (total[last] - total[first]) / (last - first)
    return mean


def _steadied(times: Floats, values: Floats) -> Floats:
    """Return the median of the values within half of _STEADY_S of each."""
    first, last = (np.searchsorted(times, times + half) for half in (-_STEADY_S / 2.0, _STEADY_S / 2.0))
    return np.array([np.nanmedian(values[i:j]) for i, j in zip(first, last, strict=True)])


def _slope(times: Floats, values: Floats) -> Floats:
    """Return the rate of change of values at their times, over _SMOOTHED_S."""
    half = _SMOOTHED_S / 2.0
    early, late = np.clip(times - half, times[0], None), np.clip(times + half, None, times[-1])
    change = np.interp(late, times, values) - np.interp(early, times, values)
    slope: Floats = change / np.maximum(late - early, 1e-3)
    return slope


def _is_place(lon: float, lat: float) -> bool:
    return bool(abs(lat) <= 90.0 and abs(lon) <= 180.0 and (lat or lon))


def _can_be(utc_s: float) -> bool:
    return bool(EARLIEST_NS < utc_s * 1e9 < LATEST_NS)


def _fix(value: bytes) -> int:
    return struct.unpack(">I", value)[0] if len(value) == 4 else 0


def _utc_s(text: bytes) -> float:
    """Parse "yymmddhhmmss.sss"; NaN if malformed or before any camera."""
    try:
        stamp = datetime.strptime(text.decode("ascii").strip("\0"), "%y%m%d%H%M%S.%f").replace(tzinfo=UTC)
    except ValueError:
        return math.nan
    return stamp.timestamp() if _can_be(stamp.timestamp()) else math.nan
