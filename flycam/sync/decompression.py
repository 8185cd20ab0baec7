"""Bounded decompression of other nodes' data: a zip bomb is not expanded."""

from __future__ import annotations

import zstandard

from flycam.frame.payload_decoding import decompress_zstd


def read_decompressed_size(data: bytes) -> int:
    """Return the decompressed size that the frame header states; 0 if it states none."""
    try:
        return max(0, zstandard.frame_content_size(data))
    except zstandard.ZstdError:
        return 0


def decompress_bounded(data: bytes, max_bytes: int) -> bytes:
    """Decompress `data`.

    ValueError if the result would be larger than `max_bytes` or its size is not stated; ZstdError for
    damage.
    """
    size = read_decompressed_size(data)
    if not 0 < size <= max_bytes:
        raise ValueError(f"{size} bytes")
    return decompress_zstd(data)
