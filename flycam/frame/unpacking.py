"""Bytes out of one Zstandard frame."""

from __future__ import annotations

import zstandard


def unpacked(data: bytes) -> bytes:
    """What the only one in `data` holds. Who asks has looked at the size that it declares. ZstdError."""
    return zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)
