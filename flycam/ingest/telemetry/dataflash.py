"""ArduPilot DataFlash logs (.bin, .log), recorded on board.

TimeUS counts microseconds since boot; a GPS record ties it to GPS week and milliseconds, and the leap seconds
of the day make that UTC. Source: ArduPilot's log message documentation (GPS, POS, ATT, CAM, ORGN, MNT);
TimeMS, in logs of 2014 to 2016, is milliseconds since boot, and in GPS records of the week.
"""

from __future__ import annotations

import mmap
import struct
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.errors import SourceUnreadable
from flycam.ingest.telemetry import flight_log
from flycam.ingest.telemetry.flight_log import (
    FlightLog,
    Home,
    interpolate_angles,
    require_bounded_log,
    sort_samples,
)
from flycam.messages import _
from flycam.model.telemetry import TelemetrySample, TelemetryTrack
from flycam.storage.files import make_unopenable

Table = dict[str, NDArray[np.float64]]
"""Values by column name."""

MAX_GAP_S = 1.0
# Columns without which a message is useless.
_NEEDED = {
    "GPS": ("TimeUS", "Status", "GMS", "GWk", "Lat", "Lng", "Alt"),
    "POS": ("TimeUS", "Lat", "Lng", "Alt"),
    "ATT": ("TimeUS", "Yaw", "Pitch", "Roll"),
    "CAM": ("GPSTime", "GPSWeek", "Lat", "Lng", "Alt"),
    "ORGN": ("Type", "Lat", "Lng", "Alt"),
}
_OPTIONAL = {"GPS": ("RelHomeAlt",), "POS": ("RelHomeAlt",), "CAM": ("RelAlt", "Yaw", "Pitch", "Roll")}
# Older names of a column, first choice first, with the factor to its present unit.
_OLD_NAMES = {
    "Yaw": {"Y": 1.0},
    "Pitch": {"P": 1.0},
    "Roll": {"R": 1.0},
    "TimeUS": {"T": 1e3, "TimeMS": 1e3},
    "GMS": {"TimeMS": 1.0},
    "GWk": {"Week": 1.0},
    "RelHomeAlt": {"RelAlt": 1.0},
}
_MAX_NUMBER = 1e15  # 30 years in microseconds
_MAX_UTC_S = 4e9  # UTC of a fix: the year 2096
_HOME_TYPES = (1, 2)
_HEAD = b"\xa3\x95"
_FMT_TYPE = 0x80
_FMT = struct.Struct("<BB4s16s64s")  # type, length, name, format, columns
# Format letter: struct's code, and the divisor of the binary value; 0: text.
_LETTERS = {
    **{letter: (letter, 1.0) for letter in "bBhHiIfdqQ"},
    **{"g": ("e", 1.0), "M": ("B", 1.0), "L": ("i", 1 / 1e-7)},
    **{"c": ("h", 100.0), "C": ("H", 100.0), "e": ("i", 100.0), "E": ("I", 100.0)},
    **{"a": ("64s", 0.0), "n": ("4s", 0.0), "N": ("16s", 0.0), "Z": ("64s", 0.0)},
}
_MAX_LINE_BYTES = 4096


def read_dataflash(path: Path) -> FlightLog:
    """Read track, CAM events and home of a DataFlash log.

    Raises SourceUnreadable without positions or GPS time, or with more messages than any flight.
    """
    by_type = _read(path)
    offset_s = _utc_offset(by_type["GPS"], path)
    samples = _track(by_type, offset_s, path.name)
    if not samples:
        raise SourceUnreadable(
            _("{path}: holds no POS or GPS position: give the log of the flight itself", path=path)
        )
    return FlightLog(
        name=path.name,
        track=TelemetryTrack(samples=sort_samples(samples), max_gap_s=MAX_GAP_S),
        clock="GPS time of the autopilot, 18 leap seconds taken off",
        camera_events=tuple(_events(by_type["CAM"], path.name)),
        home=_home(by_type["ORGN"]),
    )


def _read(path: Path) -> dict[str, Table]:
    """Return the usable messages of each kind in file order.

    Their needed columns are present and numeric.
    """
    columns = {kind: (*needed, *_OPTIONAL.get(kind, ())) for kind, needed in _NEEDED.items()}
    found = {kind: array("d") for kind in _NEEDED}

    def take(kind: str, values: Sequence[float]) -> None:
        needed = values[: len(_NEEDED[kind])]
        if all(abs(value) < _MAX_NUMBER for value in needed):
            found[kind].extend(value if abs(value) < _MAX_NUMBER else np.nan for value in values)
            rows = len(found[kind]) // len(values)
            require_bounded_log(path, samples=0 if kind == "ATT" else rows, rows=rows)

    try:
        with path.open("rb") as file:
            if file.read(len(_HEAD)) == _HEAD:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    _read_binary(data, columns, take)
            else:
                file.seek(0)
                _read_text(iter(lambda: file.readline(_MAX_LINE_BYTES), b""), columns, take)
    except OSError as error:
        raise make_unopenable(path, error) from error
    rows = {kind: np.array(found[kind]).reshape(-1, len(names)) for kind, names in columns.items()}
    return {kind: dict(zip(names, rows[kind].T, strict=True)) for kind, names in columns.items()}


def _read_binary(
    data: mmap.mmap, columns: dict[str, tuple[str, ...]], take: Callable[[str, list[float]], None]
) -> None:
    """Read messages one after another, each as long as the log states for its type.

    Bytes that are no message are skipped up to the next possible one.
    """
    lengths, readers = {_FMT_TYPE: 3 + _FMT.size}, dict[int, Callable[[int], None]]()

    def describe(at: int) -> None:
        number, length, *texts = _FMT.unpack_from(data, at)
        name, letters, labels = (text.split(b"\0")[0].decode("latin-1") for text in texts)
        if number == _FMT_TYPE or length < 3:
            return
        lengths[number] = length
        readers.pop(number, None)
        codes = [_LETTERS.get(letter, ("", 0.0)) for letter in letters]
        layout = struct.Struct("<" + "".join(code for code, _ in codes))
        if name not in columns or 3 + layout.size != length or not all(code for code, _ in codes):
            return
        places = _places(labels.split(",")[: len(codes)], columns[name])

        def read(at: int) -> None:
            values = layout.unpack_from(data, at)
            take(name, [values[i] * by / codes[i][1] if codes[i][1] else np.nan for i, by in places])

        readers[number] = read

    readers[_FMT_TYPE] = describe
    at = data.find(_HEAD)
    while at >= 0 and at + 3 <= len(data):
        number = data[at + 2]
        length = lengths.get(number, 0)
        if at + length > len(data):
            return
        if number in readers:
            readers[number](at + 3)
        at = data.find(_HEAD, at + max(length, 1))


def _read_text(
    lines: Iterator[bytes], columns: dict[str, tuple[str, ...]], take: Callable[[str, list[float]], None]
) -> None:
    """Read messages as `_read_binary` does, from comma-separated lines.

    Values are in the units that their column names state.
    """
    described: dict[str, tuple[int, list[tuple[int, float]]]] = {}
    for line in lines:
        kind, *words = (word.strip() for word in line.decode("utf-8", "replace").split(","))
        if kind == "FMT" and len(words) > 4 and words[2] in columns:
            described[words[2]] = len(words[3]), _places(words[4:], columns[words[2]])
        elif kind in described and len(words) >= described[kind][0]:
            take(kind, [_number(words[i]) * by if i < len(words) else np.nan for i, by in described[kind][1]])


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return np.nan


def _places(columns: Sequence[str], wanted: Sequence[str]) -> list[tuple[int, float]]:
    """Return index and factor of each wanted column, under its name or an old one.

    The factor is NaN where the column is absent.
    """
    where = {name: place for place, name in enumerate(columns)}
    names = [{name: 1.0, **_OLD_NAMES.get(name, {})} for name in wanted]
    return [next(((where[n], by) for n, by in one.items() if n in where), (0, np.nan)) for one in names]


def _utc_offset(gps: Table, path: Path) -> float:
    """Return UTC minus time since boot, seconds.

    The median over fixes: a fix is stamped late, never early.
    """
    found = flight_log.to_utc_s(gps["GWk"], gps["GMS"]) - gps["TimeUS"] / 1e6
    offsets = found[(gps["Status"] >= 3) & (gps["GWk"] > 1000) & (np.abs(found) < _MAX_UTC_S)]
    if not offsets.size:
        raise SourceUnreadable(
            _(
                "{path}: {gps}, so its log has no time of day: give another log of the flight",
                path=path,
                gps=_no_fix(gps),
            )
        )
    return float(np.median(offsets))


def _no_fix(gps: Table) -> str:
    """Describe what is wrong with GPS records of which none gives a time."""
    fixes = int((gps["Status"] >= 3).sum())
    if fixes:
        return f"none of its {fixes} GPS fixes bears a time that can be right"
    return (
        "the aircraft never had a GPS fix"
        if gps["Status"].size
        else "it holds no GPS record that is understood"
    )


def _track(by_type: dict[str, Table], offset_s: float, origin: str) -> list[TelemetrySample]:
    """Return samples of POS (fused position), else GPS, with interpolated attitude."""
    fused = _placed(by_type["POS"])
    rows = fused if len(fused["TimeUS"]) else _only(by_type["GPS"], by_type["GPS"]["Status"] >= 3)
    t, attitudes = rows["TimeUS"], by_type["ATT"]
    angles = np.stack([attitudes["Yaw"], attitudes["Pitch"], attitudes["Roll"]], axis=1)
    body = interpolate_angles(t, attitudes["TimeUS"], angles)
    above_home = rows["RelHomeAlt"]
    return [
        TelemetrySample(
            t_utc_ns=round((t[i] / 1e6 + offset_s) * 1e9),
            lon_deg=float(rows["Lng"][i]),
            lat_deg=float(rows["Lat"][i]),
            height_m=float(rows["Alt"][i]),
            height_datum="EGM96",
            relative_height_m=float(above_home[i]),
            yaw_deg=float(body[i, 0]),
            pitch_deg=float(body[i, 1]),
            roll_deg=float(body[i, 2]),
            origin=origin,
        )
        for i in range(len(t))
    ]


def _events(cameras: Table, origin: str) -> Iterator[TelemetrySample]:
    """Yield every exposure with a position."""
    placed = _placed(cameras)
    for i, t in enumerate(flight_log.to_utc_s(placed["GPSWeek"], placed["GPSTime"])):
        yield TelemetrySample(
            t_utc_ns=round(t * 1e9),
            lon_deg=float(placed["Lng"][i]),
            lat_deg=float(placed["Lat"][i]),
            height_m=float(placed["Alt"][i]),
            height_datum="EGM96",
            relative_height_m=float(placed["RelAlt"][i]),
            yaw_deg=float(placed["Yaw"][i]),
            pitch_deg=float(placed["Pitch"][i]),
            roll_deg=float(placed["Roll"][i]),
            origin=f"{origin} CAM",
        )


def _placed(table: Table) -> Table:
    return _only(table, (table["Lat"] != 0) | (table["Lng"] != 0))


def _only(table: Table, rows: NDArray[np.bool_]) -> Table:
    return {name: column[rows] for name, column in table.items()}


def _home(origins: Table) -> Home | None:
    """Return the last home.

    The EKF's origin (type 0) is where it started to estimate, not the take-off point.
    """
    homes = _only(origins, np.isin(origins["Type"], _HOME_TYPES))
    if not len(homes["Type"]):
        return None
    lon, lat, height = (float(homes[name][-1]) for name in ("Lng", "Lat", "Alt"))
    return Home(lon_deg=lon, lat_deg=lat, height_m=height)
