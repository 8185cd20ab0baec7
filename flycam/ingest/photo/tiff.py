"""Bounded reader of TIFF directories, the form in which EXIF is written.

Source of the format: TIFF 6.0 (Adobe 1992) section 2 and EXIF 2.32 (CIPA DC-008) section 4.6. No count or
offset is trusted: a value that does not fit is absent, never an exception. Directories are never followed in
chains, so that no file can make the reader loop.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from flycam.frame.text_normalization import is_printable, strip_unprintable

MAX_ENTRIES = 1024
MAX_VALUE_BYTES = 2 * 1024 * 1024
MAX_NUMBERS = 4096

_SIZE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_FORMAT = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I"}
_RATIONAL = {5: "I", 10: "i"}


class Directory:
    """One IFD: values by tag, decoded on access."""

    __slots__ = ("_base", "_entries", "_order", "_read_at")

    def __init__(
        self,
        read_at: Callable[[int, int], bytes],
        order: str,
        base: int,
        entries: dict[int, tuple[int, int, bytes]],
    ) -> None:
        self._read_at = read_at
        self._order = order
        self._base = base
        self._entries = entries

    def __contains__(self, tag: int) -> bool:
        return tag in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def raw(self, tag: int) -> bytes:
        """Return the bytes of a value as stored; empty if absent or cut off."""
        entry = self._entries.get(tag)
        if entry is None:
            return b""
        kind, count, inline = entry
        length = _SIZE.get(kind, 0) * count
        if length <= 0 or length > MAX_VALUE_BYTES:
            return b""
        if length <= 4:
            return inline[:length]
        offset = struct.unpack(self._order + "I", inline)[0]
        value = self._read_at(self._base + offset, length)
        return value if len(value) == length else b""

    def numbers(self, tag: int) -> tuple[float, ...]:
        """Return the finite numbers of a value.

        A rational with denominator 0 or any NaN makes the whole empty.
        """
        entry = self._entries.get(tag)
        if entry is None or entry[1] > MAX_NUMBERS:
            return ()
        kind = entry[0]
        data = self.raw(tag)
        if not data:
            return ()
        if kind in _RATIONAL:
            flat = struct.unpack(f"{self._order}{len(data) // 4}{_RATIONAL[kind]}", data)
            if any(bottom == 0 for bottom in flat[1::2]):
                return ()
            return tuple(top / bottom for top, bottom in zip(flat[::2], flat[1::2], strict=True))
        if kind not in _FORMAT:
            return ()
        values = struct.unpack(f"{self._order}{len(data) // _SIZE[kind]}{_FORMAT[kind]}", data)
        return tuple(map(float, values)) if all(map(math.isfinite, values)) else ()

    def number(self, tag: int) -> float | None:
        """Return the first number of a value, None if there is none."""
        values = self.numbers(tag)
        return values[0] if values else None

    def integer(self, tag: int) -> int | None:
        """Return the first number of a value as an integer, None if there is none."""
        value = self.number(tag)
        return None if value is None else int(value)

    def text(self, tag: int) -> str:
        """Return text up to the first NUL, stripped, without unprintable characters.

        Read as Latin-1 if it is not UTF-8.
        """
        data = self.raw(tag).split(b"\x00", 1)[0].strip()
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        return text if is_printable(text) else strip_unprintable(text)


class TiffReader:
    """Byte order and first directory of a TIFF structure, over memory or over a file."""

    __slots__ = ("_read_at", "first_directory", "order")

    def __init__(self, read_at: Callable[[int, int], bytes], order: str, first_directory: int) -> None:
        self._read_at = read_at
        self.order = order
        self.first_directory = first_directory

    @classmethod
    def from_bytes(cls, block: bytes) -> TiffReader | None:
        """Make a reader over bytes in memory; None without a TIFF header."""
        return cls.from_reader(lambda offset, length: block[offset : offset + length] if offset >= 0 else b"")

    @classmethod
    def from_reader(cls, read_at: Callable[[int, int], bytes]) -> TiffReader | None:
        """Make a reader over `read_at(offset, length) -> bytes`, or None.

        `read_at` returns fewer bytes past the end.
        """
        header = read_at(0, 8)
        if len(header) < 8 or header[:4] not in (b"II*\x00", b"MM\x00*"):
            return None
        order = "<" if header[:1] == b"I" else ">"
        return cls(read_at, order, struct.unpack(order + "I", header[4:])[0])

    def directory(self, offset: int, *, base: int = 0) -> Directory:
        """Return the IFD at `offset`; empty where the bytes do not hold one.

        Value offsets count from `base` (maker notes of some makers count from their own start).
        """
        entries: dict[int, tuple[int, int, bytes]] = {}
        head = self._read_at(offset, 2)
        count = struct.unpack(self.order + "H", head)[0] if len(head) == 2 and offset else 0
        if 0 < count <= MAX_ENTRIES:
            body = self._read_at(offset + 2, 12 * count)
            record = struct.Struct(self.order + "HHI4s")
            whole = len(body) - len(body) % 12
            for tag, kind, amount, inline in record.iter_unpack(body[:whole]):
                entries.setdefault(tag, (kind, amount, inline))
        return Directory(self._read_at, self.order, base, entries)
