"""What was acknowledged of an upload: a file to which lines are added, each synced before it is believed.

A line is `CRC WORD NUMBER VALUE`, the CRC-32 of the rest in hex. What a power cut leaves behind the last
whole line (half a line, zeros) is cut off when the journal is opened, so that no later line joins it.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

JournalLine = tuple[str, int, str]
"""(word, number of the file, value)"""


class Journal:
    """Lines of one upload. Not safe between threads: the upload's lock is held around it."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._path = path
        self.lines: list[JournalLine] = []
        self._end = 0
        if path.exists():
            data = path.read_bytes()
            for line, end in _read_complete_lines(data):
                self.lines.append(line)
                self._end = end

    def append(self, lines: Iterable[JournalLine]) -> None:
        """Add lines; returns when they survive a power cut. Raises OSError: then none of them stands."""
        data = b"".join(_encoded(line) for line in lines)
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            os.ftruncate(fd, self._end)  # what a failed or torn write left
            written = 0
            while written < len(data):
                written += os.pwrite(fd, data[written:], self._end + written)
            os.fsync(fd)
        finally:
            os.close(fd)
        self._end += len(data)


def _encoded(line: JournalLine) -> bytes:
    body = f"{line[0]} {line[1]} {line[2]}".encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _read_complete_lines(data: bytes) -> Iterator[tuple[JournalLine, int]]:
    """Every line up to the first that is not whole, with where it ends."""
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        check, _, body = data[start:end].partition(b" ")
        parts = body.split(b" ")
        if check != b"%08x" % zlib.crc32(body) or len(parts) != 3:
            return
        start = end + 1
        yield (parts[0].decode(), int(parts[1]), parts[2].decode()), start
