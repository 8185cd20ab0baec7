"""What another box compressed, inflated: a bomb is refused before a byte of it is."""

from __future__ import annotations

import zstandard

from flycam.frame.payload_decoding import decompress_zstd


def read_decompressed_size(data: bytes) -> int:
    """How large it is before compression, by what it says itself; 0 if it does not."""
    try:
        return max(0, zstandard.frame_content_size(data))
    except zstandard.ZstdError:
        return 0


def decompress_bounded(data: bytes, max_bytes: int) -> bytes:
    """The bytes before compression. ValueError where they would be more than `max_bytes`, or it does not say
    how many; ZstdError for what is damaged."""
    size = read_decompressed_size(data)
    if not 0 < size <= max_bytes:
        raise ValueError(f"{size} bytes")
    return decompress_zstd(data)
