"""Bounded decoding of data from others: one Zstandard frame, JSON."""

from __future__ import annotations

import json
from typing import Any

import zstandard

_MIN_BYTES_PER_VALUE, _FEW = 6, 10_000
"""Bytes a value of JSON that a program writes: messages between nodes take more than twice as much."""


def decompress_zstd(data: bytes) -> bytes:
    """Decompress the only Zstandard frame in `data`; raise ZstdError.

    The caller has checked the size that it declares.
    """
    return zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)


def parse_bounded_json(data: bytes, max_values: int) -> Any:
    """Parse JSON of at most `max_values` values.

    Each value takes some 100 bytes of memory, however few it takes in the text. Raises ValueError, before
    parsing, where there may be more values than that, or more than a program writes in so many bytes; also
    where it is nested too deep.
    """
    values = data.count(b",") + data.count(b"[") + data.count(b"{")
    if values > max_values or values * _MIN_BYTES_PER_VALUE > len(data) + _FEW * _MIN_BYTES_PER_VALUE:
        raise ValueError(f"{values} values in {len(data)} bytes")
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
