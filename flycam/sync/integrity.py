"""What of this box may be handed on: what reads whole. The rest is passed over, named, and owed.

A peer's cursor goes past the log line of a base tile that was passed over, so that all else goes on. It is
owed: once its object reads again (`flycam verify`), the log says its line once more, and every peer gets it.
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
    """Objects of a house, each read and held against its hash before it is offered.

    passed  keys of those that are lost or damaged, as `flycam verify` names them, in the order met
    owed    those that were passed over before, and are not whole yet
    """

    def __init__(self, house: Node, owed: Iterable[str] = ()) -> None:
        self._node = house
        self._skipped: dict[str, None] = dict.fromkeys(owed)

    @property
    def skipped(self) -> tuple[str, ...]:
        return tuple(self._skipped)

    def size(self, line: TileRecord) -> int:
        """Bytes of a tile's object; 0 where it is lost."""
        try:
            return self._node.store.size(line.key)
        except ObjectMissing:
            return 0

    def tile(self, line: TileRecord) -> bytes | None:
        """A base tile's bytes; None where it is passed over, and owed from now on.

        Raises ObjectMissing where the log has moved on meanwhile and the tile was collected: ask anew.
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
        """A parent's state, made of its children where its object is not whole; None where they are not."""
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
        """A recorded terrain's bytes; None where it is passed over."""
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
        """Whether a photo's bytes are those of its name, read to the end; if not, it is passed over."""
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
    """Base tiles that were passed over and read by now: the log says their lines once more. The keys of those
    that are owed still.

    Stopped in between, a line is said twice, which changes nothing at any peer.
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
