"""ULog container: the wanted topics of a PX4 log as numpy records, everything else skipped.

A ULog describes itself: format strings name the fields of each topic, subscriptions give topics a number,
data messages carry packed records. Source: PX4 user guide, "ULog File Format".
"""

from __future__ import annotations

import mmap
import re
import struct
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.errors import SourceUnreadable
from flycam.frame.timestamp import LATEST_NS
from flycam.ingest.telemetry.flight_log import require_bounded_log
from flycam.messages import _
from flycam.store.regular_file import make_unopenable

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


def is_number(dtype: np.dtype[np.void], name: str, length: int = 0) -> bool:
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
        is_sound = dtype.itemsize <= _MAX_BYTES and is_number(dtype, "timestamp")
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
