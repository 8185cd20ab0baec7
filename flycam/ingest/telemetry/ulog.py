"""PX4 logs (.ulg), recorded by the autopilot on its clock since boot.

GPS messages carry UTC beside the time since boot; the median of their difference over all fixes converts the
whole log to UTC. Older and newer PX4 name and scale the same fields differently: both are read.

Source: PX4 uORB message definitions (vehicle_global_position, sensor_gps, vehicle_attitude, camera_capture,
camera_trigger, gimbal_device_attitude_status, mount_orientation, home_position).
"""

from __future__ import annotations

import mmap
import re
import struct
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.errors import SourceUnreadable, TelemetryGap
from flycam.ingest.telemetry.flight_log import (
    FlightLog,
    Home,
    interpolate_angles,
    interpolate_quaternions,
    require_bounded_log,
    sort_samples,
    to_world_gimbal_yaw,
    to_yaw_pitch_roll,
)
from flycam.messages import Message, _, ngettext
from flycam.model.telemetry import TelemetrySample, TelemetryTrack
from flycam.model.time import EARLIEST_NS, LATEST_NS
from flycam.storage.files import make_unopenable

# -- ULog container: wanted topics as numpy records ------------------------------------------------
#
# A ULog describes itself: format strings name the fields of each topic, subscriptions give topics a number,
# data messages carry packed records. Source: PX4 user guide, "ULog File Format".


MAGIC = b"ULog\x01\x12\x35"
_SYNC = bytes.fromhex("2f731320250cbb12")
_HEADER = struct.Struct("<HB")
_KNOWN = frozenset(b"BFIMPQADRLCSO")
_TYPES = {
    "int8_t": "i1",
    "uint8_t": "u1",
    "int16_t": "<i2",
    "uint16_t": "<u2",
    "int32_t": "<i4",
    "uint32_t": "<u4",
    "int64_t": "<i8",
    "uint64_t": "<u8",
    "float": "<f4",
    "double": "<f8",
    "bool": "u1",
    "char": "S1",
}
_FIELD = re.compile(r"([A-Za-z_]\w*)(?:\[(\d+)\])?\s+(\w+)")
_MAX_NESTED = 8
# A message's size has 16 bits: no record is longer, whatever its description states.
_MAX_BYTES = 0xFFFF
_MAX_FORMATS = 4096  # PX4 writes some 300
# Simulations stamp with UTC, aircraft with time since boot.
_LATEST_US = LATEST_NS // 1000

Records = NDArray[np.void]
_UNDESCRIBED = np.dtype([])


@dataclass(frozen=True, kw_only=True, slots=True)
class ULogTopics:
    """Records of each wanted topic (its first instance) in file order, and faults.

    faults      "truncated", "damaged" stretches skipped, records of "odd_size", of an "odd_time",
                "undescribed"
    dropout_ms  lost by the logger
    """

    records: dict[str, Records]
    faults: Counter[str]
    dropout_ms: int


def read_topics(path: Path, wanted: Collection[str]) -> ULogTopics:
    """Read the wanted topics of a ULog.

    Reads through a memory map: only records of wanted topics are held, in no more bytes than in the file.
    Raises SourceUnreadable if the file is none, cannot be opened or holds more records of a topic than any
    flight.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise SourceUnreadable(
                    _("{path}: is not a PX4 ULog: copy the .ulg from the aircraft again", path=path)
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Scan(path, data, wanted).run()
    except OSError as error:
        raise make_unopenable(path, error) from error


def _has_numbers(dtype: np.dtype[np.void], name: str, length: int = 0) -> bool:
    """Return True if a record has a numeric field of that name.

    One number, or a row of `length`.
    """
    if dtype.fields is None or name not in dtype.fields:
        return False
    found = dtype.fields[name][0]
    return found.shape == ((length,) if length else ()) and found.base.kind in "iuf"


class _Scan:
    def __init__(self, path: Path, data: mmap.mmap, wanted: Collection[str]) -> None:
        self._data = data
        self._wanted = wanted
        self._path = path
        self._formats: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        self._topic_of: dict[int, str] = {}
        self._dtypes: dict[str, np.dtype[np.void]] = {}
        self._found: dict[str, bytearray] = {}
        self._appended: list[int] = []
        self._faults: Counter[str] = Counter()
        self._dropout_ms = 0

    def run(self) -> ULogTopics:
        data, at, end = self._data, 16, len(self._data)
        while at + _HEADER.size <= end:
            size, kind = _HEADER.unpack_from(data, at)
            after = at + _HEADER.size + size
            jump = next((o for o in self._appended if at < o < after), None)
            # the logger was cut off here and resumed further on
            if jump is not None:
                self._faults["truncated"] += 1
                at = jump
                continue
            if kind not in _KNOWN or size == 0:
                self._faults["damaged"] += 1
                at = self._next_sync(at)
                continue
            if after > end:
                self._faults["truncated"] += 1
                break
            self._take(chr(kind), at + _HEADER.size, size)
            at = after
        if at < end < at + _HEADER.size:
            self._faults["truncated"] += 1
        return ULogTopics(
            records={name: self._records(name, packed) for name, packed in self._found.items()},
            faults=self._faults,
            dropout_ms=self._dropout_ms,
        )

    def _next_sync(self, at: int) -> int:
        """Return the offset behind the next sync mark, or the end of the file."""
        found = self._data.find(_SYNC, at)
        return len(self._data) if found < 0 else found + len(_SYNC)

    def _take(self, kind: str, at: int, size: int) -> None:
        if kind == "D" and size > 2:
            name = self._topic_of.get(int.from_bytes(self._data[at : at + 2], "little"))
            if name is not None:
                self._take_row(name, self._data[at + 2 : at + size])
        elif kind == "F":
            text = self._data[at : at + size].decode("ascii", errors="replace")
            name, _, body = text.partition(":")
            if len(self._formats) < _MAX_FORMATS:
                self._formats[name] = body
        elif kind == "A" and size > 3:
            name = self._data[at + 3 : at + size].decode("ascii", errors="replace")
            if name in self._wanted and name not in self._topic_of.values():
                self._topic_of[int.from_bytes(self._data[at + 1 : at + 3], "little")] = name
        elif kind == "O" and size >= 2:
            self._dropout_ms += int.from_bytes(self._data[at : at + 2], "little")
        elif kind == "B" and size >= 40 and self._data[at + 8] & 1:
            self._appended = [o for o in struct.unpack_from("<3Q", self._data, at + 16) if o]

    def _take_row(self, name: str, row: bytes) -> None:
        packed, dtype = self._found.get(name), self._dtypes.get(name)
        if packed is None or dtype is None:
            packed, dtype = self._found.setdefault(name, bytearray()), self._dtype(name)
            self._dtypes[name] = dtype
        if not dtype.itemsize:
            self._faults["undescribed"] += 1
        elif len(row) < dtype.itemsize:
            self._faults["odd_size"] += 1
        else:
            packed += row[: dtype.itemsize]
            require_bounded_log(self._path, samples=0, rows=len(packed) // dtype.itemsize)

    def _records(self, name: str, packed: bytearray) -> Records:
        dtype = self._dtypes[name]
        if not dtype.itemsize:
            return np.zeros(0, dtype=[("timestamp", "<u8")])
        records = np.frombuffer(packed, dtype=dtype)
        timed = records["timestamp"].astype(np.float64) < _LATEST_US
        self._faults["odd_time"] += int((~timed).sum())
        return records[timed]

    def _dtype(self, name: str) -> np.dtype[np.void]:
        """Return the record type of a topic without its trailing padding.

        The file leaves padding out. Empty where the description is damaged, or larger than a message can be.
        """
        layout: list[tuple[str, str] | tuple[str, str, tuple[int]]] = []
        for kind, count, field in self._fields(name):
            size = self._size(kind)
            if size * max(count, 1) > _MAX_BYTES:
                return _UNDESCRIBED
            if kind not in _TYPES:
                layout.append((field, f"V{size * max(count, 1)}"))
            else:
                layout.append((field, _TYPES[kind], (count,)) if count else (field, _TYPES[kind]))
        while layout and layout[-1][0].startswith("_"):
            layout.pop()
        try:
            dtype = np.dtype(layout)
        except ValueError:  # two fields of one name
            return _UNDESCRIBED
        is_sound = dtype.itemsize <= _MAX_BYTES and _has_numbers(dtype, "timestamp")
        return dtype if is_sound else _UNDESCRIBED

    def _size(self, kind: str, depth: int = 1) -> int:
        """Return the bytes of a field's type, computed once.

        More than `_MAX_BYTES` for a type that contains itself, or that is nested deeper than any log's.
        """
        if kind in _TYPES:
            return np.dtype(_TYPES[kind]).itemsize
        if depth > _MAX_NESTED:
            return _MAX_BYTES + 1
        if kind not in self._sizes:
            self._sizes[kind] = _MAX_BYTES + 1  # for a type that contains itself
            sizes = (self._size(inner, depth + 1) * max(count, 1) for inner, count, _ in self._fields(kind))
            self._sizes[kind] = min(sum(sizes), _MAX_BYTES + 1)
        return self._sizes[kind]

    def _fields(self, name: str) -> list[tuple[str, int, str]]:
        """Return type, count (0: scalar) and name of each field."""
        found = _FIELD.findall(self._formats.get(name, ""))
        return [
            (kind, int(count[:9] or 0), field) for kind, count, field in found
        ]  # of more digits: too many


# -- Track, camera events and home of a PX4 log ----------------------------------------------------


Floats = NDArray[np.float64]

MAX_GAP_S = 1.0
_EARLIEST_US = EARLIEST_NS // 1000
_FIX_3D = 3
_FIXES = {0: "none", 1: "none", 2: "2d", 3: "3d", 4: "dgps", 5: "rtk_float", 6: "rtk_fixed"}
_OLD_PLACE = ("lat", "lon", "alt")
_NEW_PLACE = ("latitude_deg", "longitude_deg", "altitude_msl_m")
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
    return all(_has_numbers(records.dtype, field, _LENGTHS.get(field, 0)) for field in fields)


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
    place, sea = _places(rows)
    sound = (np.abs(place) > 0).any(axis=1) & np.isfinite(place).all(axis=1) & _valid(rows)
    rows, place, sea = rows[sound], place[sound], sea[sound]
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
            fix=fix[i],
            origin=origin,
        )
        for i in range(len(rows))
    ]


def _places(rows: Records) -> tuple[Floats, Floats]:
    """Return N×2 degrees and height above sea, in any PX4 dialect."""
    if _has(rows, _NEW_PLACE):
        found = [rows[n] for n in ("longitude_deg", "latitude_deg", "altitude_msl_m")]
    else:
        degrees, metres = (1e-7, 1e-3) if np.issubdtype(rows["lat"].dtype, np.integer) else (1.0, 1.0)
        found = [rows["lon"] * degrees, rows["lat"] * degrees, rows["alt"] * metres]
    lon, lat, sea = (np.asarray(v, dtype=np.float64) for v in found)
    return np.stack([lon, lat], axis=1), sea


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
        remarks = [
            ngettext(
                "{count} capture failed in the camera",
                "{count} captures failed in the camera",
                failed,
            )
        ]
        return _unique_sequences(
            good, [_captured(m, offset_us, track, origin) for m in good]
        ), remarks if failed else []
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
    remarks = [
        ngettext(
            "{count} trigger at a time without a position in the log",
            "{count} triggers at times without a position in the log",
            lost,
        )
    ]
    return _unique_sequences(triggers[rows], placed), remarks if lost else []


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
    remarks = []
    if n := topics.faults["damaged"]:
        remarks.append(
            ngettext(
                "{count} damaged stretch was skipped",
                "{count} damaged stretches were skipped",
                n,
            )
        )
    if topics.faults["truncated"]:
        remarks.append(_("the log breaks off in the middle of a message"))
    if n := sum(topics.faults[why] for why in ("odd_size", "odd_time", "undescribed")):
        remarks.append(
            ngettext(
                "{count} record is too short, stamped impossibly or not described, and was skipped",
                "{count} records are too short, stamped impossibly or not described, and were skipped",
                n,
            )
        )
    if topics.dropout_ms:
        remarks.append(_("the logger lost {seconds:.2f} s in all", seconds=topics.dropout_ms / 1e3))
    if "vehicle_global_position" not in topics.records:
        remarks.append(_("no estimated position is logged: the GPS receiver's own fixes are used"))
    return remarks
