"""Where an MP4 (ISO base media file) says when it was made: the `mvhd` box inside `moov`.

Source: ISO/IEC 14496-12, 8.2.2 movie header box; times count seconds since 1904-01-01 UTC.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

ReadAt = Callable[[int, int], bytes]
"""Bytes of a file from an offset on, at most so many."""

EPOCH_1904_S = 2_082_844_800
"""Seconds from 1904-01-01 to 1970-01-01, UTC."""

_HEAD = 8
_LONG_HEAD = 16
_MOST_BOXES = 10_000  # fragmented files have two for each fragment


def find_box(read_at: ReadAt, start: int, end: int, kind: bytes) -> tuple[int, int] | None:
    """(start, end) of the content of the first box of a kind among those from `start` to `end`; None if there
    is none or a box does not fit into its place."""
    return next((place for name, place in _boxes(read_at, start, end) if name == kind), None)


def is_whole(read_at: ReadAt, size: int) -> bool:
    """Whether a file of so many bytes holds a movie's header, and boxes up to its end: a recording that was
    cut off, or copied in part, does not."""
    kinds, reached = set(), 0
    for name, (_, end) in _boxes(read_at, 0, size):
        kinds.add(name)
        reached = end
    return b"moov" in kinds and size - reached < _HEAD


def _boxes(read_at: ReadAt, start: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Kind and (start, end) of the content of boxes, up to the first that does not fit into its place."""
    at = start
    for _ in range(_MOST_BOXES):
        if at + _HEAD > end:
            return
        head = read_at(at, _LONG_HEAD)
        if len(head) < _HEAD:
            return
        size, name = struct.unpack_from(">I4s", head)
        length = _HEAD
        if size == 1 and len(head) == _LONG_HEAD:
            size, length = struct.unpack_from(">Q", head, _HEAD)[0], _LONG_HEAD
        elif size == 0:
            size = end - at
        if size < length or at + size > end:
            return
        yield name, (at + length, at + size)
        at += size


def creation_s(moov: bytes) -> float | None:
    """When the movie was made, seconds since 1970 UTC, from the content of its `moov` box; None: not said."""
    box = _header(moov)
    if box is None or box[1] - box[0] < 12:
        return None
    is_long = moov[box[0]] == 1
    (stamp,) = struct.unpack_from(">Q" if is_long else ">I", moov, box[0] + 4)
    return float(stamp) - EPOCH_1904_S if stamp > EPOCH_1904_S else None


def with_creation_s(moov: bytes, utc_s: int) -> bytes:
    """The content of a `moov` box with its movie header dated anew; ValueError if it has none."""
    box = _header(moov)
    if box is None:
        raise ValueError("no movie header")
    dated = bytearray(moov)
    is_long = moov[box[0]] == 1
    stamp = utc_s + EPOCH_1904_S
    struct.pack_into(">QQ" if is_long else ">II", dated, box[0] + 4, stamp, stamp)
    return bytes(dated)


def _header(moov: bytes) -> tuple[int, int] | None:
    return find_box(lambda at, count: moov[at : at + count], 0, len(moov), b"mvhd")
