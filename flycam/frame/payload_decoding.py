"""What is packed or written by others: bytes out of one Zstandard frame, values out of JSON."""

from __future__ import annotations

import json
from typing import Any

import zstandard

_MIN_BYTES_PER_VALUE, _FEW = 6, 10_000
"""Of JSON that a program writes, for each value: what boxes tell each other takes more than twice as much."""


def decompress_zstd(data: bytes) -> bytes:
    """What the only one in `data` holds. Who asks has looked at the size that it declares. ZstdError."""
    return zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)


def parse_bounded_json(data: bytes, max_values: int) -> Any:
    """JSON read. Each of its values takes some 100 bytes of memory, however few it takes here: ValueError,
    before it is read, where there may be more than `max_values`, or more than a program writes in so many
    bytes; also where it is nested too deep."""
    values = data.count(b",") + data.count(b"[") + data.count(b"{")
    if values > max_values or values * _MIN_BYTES_PER_VALUE > len(data) + _FEW * _MIN_BYTES_PER_VALUE:
        raise ValueError(f"{values} values in {len(data)} bytes")
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
