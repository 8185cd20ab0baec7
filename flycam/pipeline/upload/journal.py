"""Journal of an upload's acknowledgements: appended lines, each synced before it counts.

A line is `CRC WORD NUMBER VALUE`, the CRC-32 of the rest in hex. What a power cut leaves behind the last
complete line (half a line, zeros) is truncated before the next append, so that no later line joins it.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

JournalLine = tuple[str, int, str]
"""(word, number of the file, value)"""


class Journal:
    """Journal of one upload. Not thread-safe: callers hold the upload's lock."""

    def __init__(self, path: Path) -> None:
        """Read the complete lines. Raises OSError."""
        self._path = path
        self.lines: list[JournalLine] = []
        self._end = 0
        if path.exists():
            data = path.read_bytes()
            for line, end in _read_complete_lines(data):
                self.lines.append(line)
                self._end = end

    def append(self, lines: Iterable[JournalLine]) -> None:
        """Append lines durably. Raises OSError: then none of them counts."""
        data = b"".join(_encoded(line) for line in lines)
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            os.ftruncate(fd, self._end)  # left by a failed or torn write
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
    """Yield every line before the first incomplete one, with its end offset."""
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        check, _, body = data[start:end].partition(b" ")
        parts = body.split(b" ")
        if check != b"%08x" % zlib.crc32(body) or len(parts) != 3:
            return
        start = end + 1
        yield (parts[0].decode(), int(parts[1]), parts[2].decode()), start
