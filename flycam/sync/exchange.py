"""Bytes of an exchange, on a stick and over a line alike: `u32 length · manifest, zstd · objects`.

Little-endian. An offer is read from any offset, so that what was cut goes on there; a source is what came of
it, in one file or in the parts of a bundle.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Self

from flycam.errors import SourceUnreadable, TileCorrupt
from flycam.messages import _
from flycam.storage import keys
from flycam.storage.base import ObjectStore
from flycam.storage.files import decompress_bounded, open_regular
from flycam.sync.codec import DECODE_ERRORS, compress
from flycam.sync.manifest import (
    ExchangeManifest,
    ManifestItem,
    ObjectKind,
    decode_manifest,
    encode_manifest,
)

_LENGTH = struct.Struct("<I")
_BLOCK = 1 << 20


class ExchangeOffer:
    """A manifest and the bytes of its objects: inline ones by SHA-256, others in the store.

    skipped  keys of what is lost or damaged and therefore not in it
    """

    def __init__(
        self,
        manifest: ExchangeManifest,
        inline_bytes: Mapping[str, bytes],
        store: ObjectStore,
        skipped: tuple[str, ...] = (),
    ) -> None:
        compressed = compress(encode_manifest(manifest))
        self._head = _LENGTH.pack(len(compressed)) + compressed
        self._inline_bytes, self._store = inline_bytes, store
        self.manifest, self.skipped = manifest, skipped
        self.size_bytes = len(self._head) + manifest.size_bytes

    @cached_property
    def head_sha256(self) -> str:
        """SHA-256 of the length and the manifest, which names all that follows."""
        return hashlib.sha256(self._head).hexdigest()

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of all bytes."""
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return digest.hexdigest()

    def blocks(self, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes from `start` on.

        ObjectMissing if the store lost an object, TileCorrupt if it has another one.
        """
        if start < len(self._head):
            yield self._head[start:]
        start = max(start - len(self._head), 0)
        for item in self.manifest.items:
            if start < item.size_bytes:
                yield from self._read_blocks(item, start)
            start = max(start - item.size_bytes, 0)

    def _read_blocks(self, item: ManifestItem, start: int) -> Iterator[bytes]:
        if item.sha256 in self._inline_bytes:
            yield self._inline_bytes[item.sha256][start:]
            return
        digest, key = hashlib.sha256(), _format_object_key(item)
        for at in range(start, item.size_bytes, _BLOCK):
            data = self._store.get_range(key, at, min(_BLOCK, item.size_bytes - at))
            digest.update(data)
            yield data
        if not start and digest.hexdigest() != item.sha256:
            raise TileCorrupt(
                _(
                    "{name}: its bytes in the store do not match their hash; ingest the "
                    "flight again to repair it",
                    name=item.name or item.sha256,
                )
            )


def _format_object_key(item: ManifestItem) -> str:
    if item.tile is not None:
        return keys.format_tile_key(item.tile.mosaic_id, 0, item.tile.tile_id, item.tile.content_hash)
    is_terrain = item.kind is ObjectKind.TERRAIN
    return keys.format_terrain_key(item.name) if is_terrain else keys.format_original_key(item.name)


class ExchangeSource:
    """Bytes of an exchange by offset. Close it, or use `with`.

    path   named in errors about its contents: its file, or the node that sent it
    parts  (file, offset of its payload, bytes of that) in a row
    """

    def __init__(self, path: Path, parts: Sequence[tuple[Path, int, int]]) -> None:
        self.path = path
        self._parts = parts
        self._open: tuple[Path, BinaryIO] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file that is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    @property
    def size_bytes(self) -> int:
        """Bytes of the stream."""
        return sum(part[2] for part in self._parts)

    def blocks(self, start: int, length: int) -> Iterator[bytes]:
        """Yield bytes start..start+length of the stream; SourceUnreadable beyond its end."""
        if start + length > self.size_bytes:
            raise build_hash_mismatch_error(self.path)
        for file, offset, size in self._parts:
            while length and start < size:
                data = self._read(file, offset + start, min(length, _BLOCK, size - start))
                if not data:  # cut short while it is read
                    raise build_hash_mismatch_error(self.path)
                yield data
                start += len(data)
                length -= len(data)
            start -= size

    def read(self, start: int, length: int) -> bytes:
        """Return what `blocks` yields in one piece."""
        return b"".join(self.blocks(start, length))

    def _read(self, path: Path, at: int, size: int) -> bytes:
        if self._open is None or self._open[0] != path:
            self.close()
            self._open = (path, BufferedReader(open_regular(path)))
        self._open[1].seek(at)
        return self._open[1].read(size)


def read_manifest(source: ExchangeSource, max_bytes: int) -> tuple[ExchangeManifest, int]:
    """Return the manifest and the offset of the first object; SourceUnreadable.

    max_bytes  the largest manifest, decompressed
    """
    (length,) = _LENGTH.unpack(source.read(0, _LENGTH.size))
    if length > max_bytes:
        raise build_hash_mismatch_error(source.path)
    start = _LENGTH.size + length
    try:
        plain = decompress_bounded(source.read(_LENGTH.size, length), max_bytes)
    except DECODE_ERRORS as error:
        raise build_hash_mismatch_error(source.path) from error
    manifest = decode_manifest(plain, str(source.path))
    if start + manifest.size_bytes != source.size_bytes:
        raise build_hash_mismatch_error(source.path)
    return manifest, start


def iterate_objects(manifest: ExchangeManifest, start: int) -> Iterator[tuple[ManifestItem, int]]:
    """Yield each object of an exchange and its offset; the first is at `start`."""
    for item in manifest.items:
        yield item, start
        start += item.size_bytes


def read_object(source: ExchangeSource, item: ManifestItem, at: int, max_bytes: int) -> bytes:
    """Return an object's bytes; SourceUnreadable if wrong or more than `max_bytes`."""
    if item.size_bytes > max_bytes:
        raise build_hash_mismatch_error(source.path)
    data = source.read(at, item.size_bytes)
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise build_hash_mismatch_error(source.path)
    return data


def build_hash_mismatch_error(path: Path) -> SourceUnreadable:
    """Return the error for bytes that do not match the manifest."""
    return SourceUnreadable(
        _(
            "{path}: holds other bytes than its list of contents says; write it again on "
            "the node it comes from",
            path=path,
        )
    )
