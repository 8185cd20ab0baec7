"""Boxes of an MP4 (ISO base media file): creation time (`mvhd`), and positions of a track's samples.

Source: ISO/IEC 14496-12, 8.2.2 movie header box, 8.4.2 media header box, 8.6.1.2, 8.7.3 to 8.7.5 sample
tables; times of creation count seconds since 1904-01-01 UTC.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ReadAt = Callable[[int, int], bytes]
"""Reader of a file's bytes: (offset, maximum count)."""

EPOCH_1904_S = 2_082_844_800
"""Seconds from 1904-01-01 to 1970-01-01, UTC."""

_HEAD = 8
_LONG_HEAD = 16
_MAX_BOXES = 10_000  # fragmented files have two a fragment
_MAX_SAMPLES = 1_000_000


def find_box(read_at: ReadAt, start: int, end: int, kind: bytes) -> tuple[int, int] | None:
    """Return (start, end) of the content of the first box of a kind; else None.

    It looks at boxes from `start` to `end`, up to one that does not fit into its place.
    """
    return next(((at, to) for name, at, to in iterate_boxes(read_at, start, end) if name == kind), None)


def is_complete_movie(read_at: ReadAt, size: int) -> bool:
    """Return True if a file has a movie header, and boxes up to its end.

    A truncated recording or partial copy does not.

    size  of the file, bytes
    """
    kinds, reached = set(), 0
    for name, _, end in iterate_boxes(read_at, 0, size):
        kinds.add(name)
        reached = end
    return b"moov" in kinds and size - reached < _HEAD


def iterate_boxes(read_at: ReadAt, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start, end of the content) of the boxes from `start` to `end`.

    It stops at a box that does not fit into its place.
    """
    at = start
    for _ in range(_MAX_BOXES):
        if at + _HEAD > end:
            return
        head = read_at(at, _LONG_HEAD)
        if len(head) < _HEAD:
            return
        size, name = struct.unpack_from(">I4s", head)
        length = _HEAD
        # ISO/IEC 14496-12, 4.2: size 1 is followed by one of 64 bits, size 0 reaches to the end
        if size == 1 and len(head) == _LONG_HEAD:
            size, length = struct.unpack_from(">Q", head, _HEAD)[0], _LONG_HEAD
        elif size == 0:
            size = end - at
        if size < length or at + size > end:
            return
        yield name, at + length, at + size
        at += size


@dataclass(frozen=True, slots=True)
class TrackSamples:
    """N samples of a track: offset in the file, size in bytes, begin and end.

    The times are seconds of the track's time.
    """

    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    begin_s: NDArray[np.float64]
    end_s: NDArray[np.float64]


def parse_track_samples(moov: bytes, sample_format: bytes) -> TrackSamples | None:
    """Parse the samples of the first track of a format ("gpmd") from a `moov` box.

    None if there is no such track, or its tables are inconsistent.
    """

    def read_at(at: int, count: int) -> bytes:
        return moov[at : at + count]

    for kind, start, end in iterate_boxes(read_at, 0, len(moov)):
        media = find_box(read_at, start, end, b"mdia") if kind == b"trak" else None
        header = find_box(read_at, *media, b"mdhd") if media else None
        place = media
        for inner in (b"minf", b"stbl"):
            place = find_box(read_at, *place, inner) if place else None
        if place is None or header is None:
            continue
        tables = {name: moov[at:to] for name, at, to in iterate_boxes(read_at, *place)}
        if tables.get(b"stsd", b"")[12:16] == sample_format:
            return _samples(tables, moov[header[0] : header[1]])
    return None


def _samples(tables: dict[bytes, bytes], header: bytes) -> TrackSamples | None:
    scale = int.from_bytes(header[20:24] if header[:1] == b"\1" else header[12:16], "big")
    sizes = tables.get(b"stsz", b"")
    count = int.from_bytes(sizes[8:12], "big")
    same = int.from_bytes(sizes[4:8], "big")
    size = np.full(min(count, _MAX_SAMPLES), same) if same else _numbers(sizes[12:], ">u4")[:_MAX_SAMPLES]
    wide = b"co64" in tables
    chunks = _numbers(tables.get(b"co64" if wide else b"stco", b"")[8:], ">u8" if wide else ">u4")
    chunks = chunks[:_MAX_SAMPLES]
    runs = _rows(tables.get(b"stsc", b"")[8:], 3)
    times = _rows(tables.get(b"stts", b"")[8:], 2)
    if not scale or not count or len(size) != count or not len(chunks) or not len(runs):
        return None
    if runs[0, 0] != 1 or (np.diff(runs[:, 0]) <= 0).any() or not 0 <= chunks.min() <= chunks.max() < 1 << 62:
        return None
    per_chunk = runs[np.searchsorted(runs[:, 0], np.arange(1, len(chunks) + 1), side="right") - 1, 1]
    # before any of them is expanded in memory
    if max(per_chunk.sum(), times[:, 0].sum()) > _MAX_SAMPLES:
        return None
    chunk = np.repeat(np.arange(len(chunks)), per_chunk)[:count]
    duration = np.repeat(times[:, 1], times[:, 0])[:count] / scale
    if len(chunk) != count or len(duration) != count:
        return None
    before = np.concatenate([[0], np.cumsum(size)])
    first = np.searchsorted(chunk, chunk)  # first sample of each sample's chunk
    end_s = np.cumsum(duration)
    offset = chunks[chunk] + before[np.arange(count)] - before[first]
    return TrackSamples(offset=offset, size=size, begin_s=end_s - duration, end_s=end_s)


def _numbers(data: bytes, kind: str) -> NDArray[np.int64]:
    width = int(kind[-1])
    return np.frombuffer(data[: len(data) // width * width], kind).astype(np.int64)


def _rows(data: bytes, width: int) -> NDArray[np.int64]:
    return _numbers(data[: len(data) // (4 * width) * 4 * width], ">u4").reshape(-1, width)


def parse_creation_s(moov: bytes) -> float | None:
    """Parse the creation time from a `moov` box's content, seconds since 1970 UTC.

    None where it is not stated.
    """
    box = _header(moov)
    if box is None or box[1] - box[0] < 12:
        return None
    is_long = moov[box[0]] == 1
    (stamp,) = struct.unpack_from(">Q" if is_long else ">I", moov, box[0] + 4)
    return float(stamp) - EPOCH_1904_S if stamp > EPOCH_1904_S else None


def set_creation_s(moov: bytes, utc_s: int) -> bytes:
    """Return a `moov` content with a new creation time; ValueError without a header."""
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
