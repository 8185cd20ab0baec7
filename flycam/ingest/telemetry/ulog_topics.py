"""ULog container: the wanted topics of a PX4 log as numpy records, everything else passed over.

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
from flycam.frame.moment import LATEST_NS

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
_MOST_NESTED = 8
_LATEST_US = LATEST_NS // 1000  # simulations stamp with UTC, aircraft with time since boot

Records = NDArray[np.void]


@dataclass(frozen=True, kw_only=True, slots=True)
class ULogTopics:
    """records of each wanted topic (its first instance) in file order, and what was wrong with the file.

    faults  "truncated", "damaged" stretches skipped, records of "odd_size", of an "odd_time", "undescribed";
    dropout_ms  lost by the logger
    """

    records: dict[str, Records]
    faults: Counter[str]
    dropout_ms: int


def read_topics(path: Path, wanted: Collection[str]) -> ULogTopics:
    """The wanted topics of a ULog. Raises SourceUnreadable if the file is none or cannot be opened.

    Reads through a memory map: only records of wanted topics are held.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise SourceUnreadable(
                    f"{path}: is not a PX4 ULog: copy the .ulg from the aircraft again",
                    vi=f"{path}: không phải nhật ký PX4; hãy chép lại tệp .ulg từ máy bay",
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Scan(data, wanted).run()
    except OSError as error:
        raise SourceUnreadable(
            f"{path}: cannot be opened ({error.strerror}): check the path",
            vi=f"{path}: không mở được tệp; hãy kiểm tra đường dẫn",
        ) from error


def is_number(dtype: np.dtype[np.void], name: str, length: int = 0) -> bool:
    """Whether a record has a numeric field of that name: one number, or a row of `length`."""
    if dtype.fields is None or name not in dtype.fields:
        return False
    found = dtype.fields[name][0]
    return found.shape == ((length,) if length else ()) and found.base.kind in "iuf"


class _Scan:
    def __init__(self, data: mmap.mmap, wanted: Collection[str]) -> None:
        self._data = data
        self._wanted = wanted
        self._formats: dict[str, list[tuple[str, int, str]]] = {}
        self._topic_of: dict[int, str] = {}
        self._found: dict[str, list[bytes]] = {}
        self._appended: list[int] = []
        self._faults: Counter[str] = Counter()
        self._dropout_ms = 0

    def run(self) -> ULogTopics:
        data, at, end = self._data, 16, len(self._data)
        while at + _HEADER.size <= end:
            size, kind = _HEADER.unpack_from(data, at)
            after = at + _HEADER.size + size
            jump = next((o for o in self._appended if at < o < after), None)
            if jump is not None:  # the logger was cut off here, and wrote on further behind
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
            records={name: self._records(name, rows) for name, rows in self._found.items()},
            faults=self._faults,
            dropout_ms=self._dropout_ms,
        )

    def _next_sync(self, at: int) -> int:
        """The message behind the next sync mark; the end of the file if there is none."""
        found = self._data.find(_SYNC, at)
        return len(self._data) if found < 0 else found + len(_SYNC)

    def _take(self, kind: str, at: int, size: int) -> None:
        if kind == "D" and size > 2:
            name = self._topic_of.get(int.from_bytes(self._data[at : at + 2], "little"))
            if name is not None:
                self._found.setdefault(name, []).append(self._data[at + 2 : at + size])
        elif kind == "F":
            text = self._data[at : at + size].decode("ascii", errors="replace")
            name, _, body = text.partition(":")
            self._formats[name] = [
                (kind_of, int(count or 0), field) for kind_of, count, field in _FIELD.findall(body)
            ]
        elif kind == "A" and size > 3:
            name = self._data[at + 3 : at + size].decode("ascii", errors="replace")
            if name in self._wanted and name not in self._topic_of.values():
                self._topic_of[int.from_bytes(self._data[at + 1 : at + 3], "little")] = name
        elif kind == "O" and size >= 2:
            self._dropout_ms += int.from_bytes(self._data[at : at + 2], "little")
        elif kind == "B" and size >= 40 and self._data[at + 8] & 1:
            self._appended = [o for o in struct.unpack_from("<3Q", self._data, at + 16) if o]

    def _records(self, name: str, rows: list[bytes]) -> Records:
        """Rows as records. The file leaves out trailing padding: a row may be shorter than its format."""
        try:
            dtype = np.dtype(self._layout(name))
        except ValueError:  # a damaged description: two fields of one name
            dtype = np.dtype([])
        if not dtype.names or dtype.fields is None or not is_number(dtype, "timestamp"):
            self._faults["undescribed"] += len(rows)
            return np.zeros(0, dtype=[("timestamp", "<u8")])
        kept = [dtype.fields[n] for n in dtype.names if not n.startswith("_")]
        least = max(place[1] + place[0].itemsize for place in kept)
        sound = [row for row in rows if len(row) >= least]
        self._faults["odd_size"] += len(rows) - len(sound)
        full = b"".join(row[: dtype.itemsize].ljust(dtype.itemsize, b"\0") for row in sound)
        records = np.frombuffer(full, dtype=dtype)
        timed = records["timestamp"].astype(np.float64) < _LATEST_US
        self._faults["odd_time"] += int((~timed).sum())
        return records[timed]

    def _layout(self, name: str, depth: int = 0) -> list[tuple[str, str] | tuple[str, str, tuple[int]]]:
        """numpy fields of a format; a nested format becomes bytes of its size."""
        layout: list[tuple[str, str] | tuple[str, str, tuple[int]]] = []
        for kind, count, field in self._formats.get(name, []):
            if kind in _TYPES:
                layout.append((field, _TYPES[kind], (count,)) if count else (field, _TYPES[kind]))
            elif depth < _MOST_NESTED:
                size = np.dtype(self._layout(kind, depth + 1)).itemsize * max(count, 1)
                layout.append((field, f"V{size}"))
        return layout
