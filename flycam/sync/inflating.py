"""What another box compressed, inflated, and its JSON read: a bomb is refused before a byte of it is."""

from __future__ import annotations

import json
from typing import Any

import zstandard

from flycam.frame.unpacking import unpacked

_LEAST_BYTES, _FEW = 6, 10_000
"""Of JSON that a box writes, for each value; what tells boxes of each other takes more than twice as much."""


def inflated_bytes(data: bytes) -> int:
    """How large it is before compression, by what it says itself; 0 if it does not."""
    try:
        return max(0, zstandard.frame_content_size(data))
    except zstandard.ZstdError:
        return 0


def inflated(data: bytes, most_bytes: int) -> bytes:
    """The bytes before compression. ValueError where they would be more than `most_bytes`, or it does not say
    how many; ZstdError for what is damaged."""
    size = inflated_bytes(data)
    if not 0 < size <= most_bytes:
        raise ValueError(f"{size} bytes")
    return unpacked(data)


def json_in(data: bytes, most_values: int) -> Any:
    """JSON read. Each of its values takes some 100 bytes of memory, however few it takes here: ValueError,
    before it is read, where there may be more than `most_values`, or more than a box writes in so many bytes;
    also where it is nested too deep.
    """
    values = data.count(b",") + data.count(b"[") + data.count(b"{")
    if values > most_values or values * _LEAST_BYTES > len(data) + _FEW * _LEAST_BYTES:
        raise ValueError(f"{values} values in {len(data)} bytes")
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
