"""Verification of one object: read from the store and compared with the hash in its key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from flycam.errors import ObjectMissing, TileCorrupt
from flycam.frame.terrain_codec import decode_terrain
from flycam.frame.tile_codec import decode_tile
from flycam.mosaic.peer_tiles import verify_peer_object
from flycam.pipeline.operations.inventory import InventoryItem, InventoryKind
from flycam.pipeline.original_store import stream_blocks
from flycam.store import keys
from flycam.store.base import ObjectStore

_DECODED = frozenset({InventoryKind.TILE, InventoryKind.TERRAIN, InventoryKind.GIVEN})
"""Kinds that are decoded, because their hash is of the content and not of the bytes."""

BLOCK_BYTES = 4 << 20
"""Bytes of an original or a product in memory at once, for each worker."""


class ObjectState(StrEnum):
    """Result of a verification."""

    WHOLE = "whole"
    DAMAGED = "damaged"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class ReadResult:
    """A verified object; size: bytes that were read."""

    item: InventoryItem
    state: ObjectState
    size: int = 0


def verify_object(store: ObjectStore, item: InventoryItem) -> ReadResult:
    """Read an object to its end and verify it.

    Raises StorageFailed if the store does not answer.
    """
    size = 0
    try:
        if item.kind in _DECODED:
            data = store.get(item.key)
            size = len(data)
            whole = _decodes(data, item)
        else:
            digest = hashlib.sha256()
            for block in stream_blocks(store, item.key, BLOCK_BYTES):
                digest.update(block)
                size += len(block)
            whole = _has_hash(item, digest.hexdigest())
    except ObjectMissing:
        return ReadResult(item, ObjectState.LOST)
    return ReadResult(item, ObjectState.WHOLE if whole else ObjectState.DAMAGED, size)


def is_intact(path: Path, item: InventoryItem) -> bool:
    """Return True if a file's bytes are those of the object. Raises OSError."""
    if item.kind in _DECODED:
        return _decodes(path.read_bytes(), item)
    with path.open("rb") as file:
        return _has_hash(item, hashlib.file_digest(file, "sha256").hexdigest())


def _has_hash(item: InventoryItem, sha256: str) -> bool:
    return sha256.startswith(keys.parse_hash(item.key))


def _decodes(data: bytes, item: InventoryItem) -> bool:
    try:
        if item.tile is not None:
            decode_tile(data, item.tile.tile_id, item.tile.content_hash)
            return True
        if item.kind is InventoryKind.GIVEN:
            return verify_peer_object(item.key, data)
        return decode_terrain(data).dem_id == keys.parse_terrain_key(item.key)
    except TileCorrupt:
        return False
