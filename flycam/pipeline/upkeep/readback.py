"""One object read back from a store and held against the hash that its key carries."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from flycam.errors import ObjectMissing, TileCorrupt
from flycam.frame.terraincodec import decode_terrain
from flycam.frame.tilecodec import decode
from flycam.mosaic.given import check_given
from flycam.pipeline.evidence import blocks
from flycam.pipeline.upkeep.held import Held, Kind
from flycam.store import keys
from flycam.store.base import ObjectStore

_DECODED = frozenset({Kind.TILE, Kind.TERRAIN, Kind.GIVEN})
"""What is read whole, for its hash is of what it holds and not of its bytes."""

BLOCK_BYTES = 4 << 20
"""How much of an original or a product is in memory at once, for each worker."""


class State(StrEnum):
    """How an object was found."""

    WHOLE = "whole"
    DAMAGED = "damaged"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Read:
    """One object as it was found; size in bytes, as far as it was read."""

    held: Held
    state: State
    size: int = 0


def read_back(store: ObjectStore, held: Held) -> Read:
    """Read an object to its end. Raises StorageTrouble where the store does not answer."""
    size = 0
    try:
        if held.kind in _DECODED:
            data = store.get(held.key)
            size = len(data)
            whole = _decodes(data, held)
        else:
            digest = hashlib.sha256()
            for block in blocks(store, held.key, BLOCK_BYTES):
                digest.update(block)
                size += len(block)
            whole = _is_its(held, digest.hexdigest())
    except ObjectMissing:
        return Read(held, State.LOST)
    return Read(held, State.WHOLE if whole else State.DAMAGED, size)


def is_whole(path: Path, held: Held) -> bool:
    """Whether a file's bytes are those of the object. Raises OSError."""
    if held.kind in _DECODED:
        return _decodes(path.read_bytes(), held)
    with path.open("rb") as file:
        return _is_its(held, hashlib.file_digest(file, "sha256").hexdigest())


def _is_its(held: Held, sha256: str) -> bool:
    return sha256.startswith(keys.hash_in(held.key))


def _decodes(data: bytes, held: Held) -> bool:
    try:
        if held.tile is not None:
            decode(data, held.tile.tile_id, held.tile.content_hash)
            return True
        if held.kind is Kind.GIVEN:
            return check_given(held.key, data)
        return decode_terrain(data).dem_id == keys.terrain_id(held.key)
    except TileCorrupt:
        return False
