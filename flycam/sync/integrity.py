"""Integrity check before sending: lost and damaged objects are skipped, deferred.

A peer's cursor goes past the log line of a skipped base tile, so that everything else continues. The tile
is deferred: once its object reads again (`flycam verify`), its line is logged once more, and every peer
gets it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress

from flycam.catalog.records import MosaicInfo
from flycam.errors import ObjectMissing
from flycam.frame.terrain_codec import decode_terrain
from flycam.frame.tile import MosaicTile, TileRecord
from flycam.frame.tile_codec import decode_tile
from flycam.geometry.grid import TileId
from flycam.mosaic.tile_log import read_tile
from flycam.mosaic.tile_repair import DAMAGE, rebuild_parent
from flycam.store import keys
from flycam.sync.node import Node

_BLOCK_BYTES = 4 << 20
_LIVE = 0


class IntegrityFilter:
    """Reader of a node's objects that checks each hash before the object is offered.

    skipped  keys of those that are lost or damaged, as `flycam verify` names them, in the order met
    owed     those that were skipped before and are not whole yet
    """

    def __init__(self, house: Node, owed: Iterable[str] = ()) -> None:
        self._node = house
        self._skipped: dict[str, None] = dict.fromkeys(owed)

    @property
    def skipped(self) -> tuple[str, ...]:
        return tuple(self._skipped)

    def size(self, line: TileRecord) -> int:
        """Return the bytes of a tile's object; 0 if it is lost."""
        try:
            return self._node.store.size(line.key)
        except ObjectMissing:
            return 0

    def tile(self, line: TileRecord) -> bytes | None:
        """Return a base tile's bytes; None if it is skipped, and deferred from now on.

        Raises ObjectMissing where the log advanced meanwhile and the tile was collected: query again.
        """
        try:
            data = self._node.store.get(line.key)
            decode_tile(data, line.tile_id, line.content_hash)
        except DAMAGE as error:
            head = self._node.catalog.tiles.head(line.mosaic_id, _LIVE, line.tile_id)
            if isinstance(error, ObjectMissing) and (head is None or head.key != line.key):
                raise
            self._node.store.put(
                keys.format_deferred_tile_key(line.mosaic_id, line.tile_id), b"", durable=True
            )
            self._skipped[line.key] = None
            return None
        return data

    def parent(self, mosaic: MosaicInfo, line: TileRecord) -> MosaicTile | None:
        """Return a parent's state, rebuilt from its children if damaged; else None."""
        tiles = self._node.catalog.tiles

        def head_of(tile_id: TileId) -> TileRecord | None:
            return tiles.head(mosaic.mosaic_id, _LIVE, tile_id)

        try:
            return read_tile(self._node.store, line)
        except DAMAGE:
            self._skipped[line.key] = None
        with suppress(*DAMAGE):
            return rebuild_parent(self._node.store, head_of, line, mosaic.base_zoom)
        return None

    def terrain(self, dem_id: str) -> bytes | None:
        """Return a recorded terrain's bytes; None if it is skipped."""
        key = keys.format_terrain_key(dem_id)
        try:
            data = self._node.store.get(key)
            if decode_terrain(data).dem_id == dem_id:
                return data
        except DAMAGE:
            pass
        self._skipped[key] = None
        return None

    def has_original(self, sha256: str) -> bool:
        """Check whether a photo's bytes match its hash, read to the end; if not, skip it."""
        key, store = keys.format_original_key(sha256), self._node.store
        digest = hashlib.sha256()
        with suppress(ObjectMissing):
            for start in range(0, store.size(key), _BLOCK_BYTES):
                digest.update(store.get_range(key, start, _BLOCK_BYTES))
            if digest.hexdigest() == sha256:
                return True
        self._skipped[key] = None
        return False


def requeue_repaired_tiles(node: Node) -> list[str]:
    """Log repaired deferred base tiles again; return the keys of those still damaged.

    Interrupted in between, a line is logged twice, which changes nothing at any peer.
    """
    owed: list[str] = []
    for key in list(node.store.list(keys.format_deferred_tile_prefix())):
        mosaic_id, tile_id = keys.parse_deferred_tile_key(key)
        head = node.catalog.tiles.head(mosaic_id, _LIVE, tile_id)
        if head is not None:
            try:
                read_tile(node.store, head)
            except DAMAGE:
                owed.append(head.key)
                continue
            node.catalog.tiles.relog_heads(mosaic_id, _LIVE, [tile_id])
        node.store.delete(key)
    return owed
