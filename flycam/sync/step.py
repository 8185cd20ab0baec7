"""One step as sent: `u32 length · manifest, compressed · objects`, little-endian.

It is named by the SHA-256 of these bytes (docs/formats/sync.md).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

import zstandard

from flycam.errors import SourceUnreadable
from flycam.messages import _
from flycam.sync.decompression import decompress_bounded
from flycam.sync.manifest import ExchangeManifest, decode_manifest, encode_manifest
from flycam.sync.offer import ExchangeOffer

_LENGTH = struct.Struct("<I")
_LEVEL = 9
_MAX_MANIFEST_BYTES = 16 << 20


class SyncStep:
    """One step, built when it is due. Its bytes can be read again from any offset."""

    def __init__(self, offered: ExchangeOffer) -> None:
        said = zstandard.ZstdCompressor(level=_LEVEL).compress(encode_manifest(offered.manifest))
        self._head = _LENGTH.pack(len(said)) + said
        self._offered = offered
        self.size_bytes = len(self._head) + offered.manifest.size_bytes
        digest = hashlib.sha256()
        for block in self.blocks(0):
            digest.update(block)
        self.sha256 = digest.hexdigest()

    @property
    def manifest(self) -> ExchangeManifest:
        return self._offered.manifest

    def blocks(self, start: int) -> Iterator[bytes]:
        """Yield its bytes from `start` on; ObjectMissing if the store lost an object."""
        for block in self._all():
            if start < len(block):
                yield block[start:] if start else block
            start = max(start - len(block), 0)

    def _all(self) -> Iterator[bytes]:
        yield self._head
        for item in self._offered.manifest.items:
            yield from self._offered.blocks(item)


def read_step_manifest(path: Path, place: str) -> tuple[ExchangeManifest, int]:
    """Return the manifest of a step in a file and the first object's offset.

    Raises SourceUnreadable.
    """
    try:
        with path.open("rb") as file:
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            said = file.read(min(length, _MAX_MANIFEST_BYTES))
        plain = decompress_bounded(said, _MAX_MANIFEST_BYTES)
    except (struct.error, ValueError, zstandard.ZstdError) as error:
        raise SourceUnreadable(
            _(
                "{place}: what came over the line is no step ({error}); bring both boxes to the same version",
                place=place,
                error=error,
            )
        ) from error
    return decode_manifest(plain, place), _LENGTH.size + length
