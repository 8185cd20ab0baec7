"""Cache of the heads in the tile log for a writer.

It may be stale: the compare-and-swap of `append` finds out. So heads are read by blocks of tiles, once, and
read again only after a conflict. As a block is read again for the sake of one tile, code that made a state
from a head must remember which one: it may have changed since.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

from flycam.frame.tile import TileRecord
from flycam.geometry.grid import TileId, TileRange
from flycam.mosaic.tile_log import TileLog

# 16×16 tiles: the surroundings of a frame in one query
_BLOCK_BITS = 4
_MAX_BLOCKS = 256

_Block = tuple[int, int, int]


class TileHeads:
    """Thread-safe cache of one mosaic revision's heads, LRU by block."""

    def __init__(self, tile_log: TileLog, mosaic_id: str, revision: int) -> None:
        self._log = tile_log
        self._mosaic_id = mosaic_id
        self._revision = revision
        self._lock = threading.Lock()
        self._blocks: OrderedDict[_Block, dict[TileId, TileRecord]] = OrderedDict()

    def head(self, tile_id: TileId) -> TileRecord | None:
        """Return the head of a tile as last seen, None if it had none."""
        with self._lock:
            return self._block(tile_id).get(tile_id)

    def hash_of(self, tile_id: TileId) -> str | None:
        """Return the content hash of the head as last seen, None if there was none."""
        head = self.head(tile_id)
        return head.content_hash if head else None

    def learn(self, records: Iterable[TileRecord]) -> None:
        """Remember lines that were just appended."""
        with self._lock:
            for record in records:
                self._block(record.tile_id)[record.tile_id] = record

    def forget(self, tile_ids: Iterable[TileId]) -> None:
        """Read these tiles (and their neighbours) again when next needed."""
        with self._lock:
            for tile_id in tile_ids:
                self._blocks.pop(_block_of(tile_id), None)

    def _block(self, tile_id: TileId) -> dict[TileId, TileRecord]:
        block = _block_of(tile_id)
        if block not in self._blocks:
            z, x, y = block
            around = TileRange(
                z=z,
                x_start=x << _BLOCK_BITS,
                y_start=y << _BLOCK_BITS,
                x_stop=(x + 1) << _BLOCK_BITS,
                y_stop=(y + 1) << _BLOCK_BITS,
            )
            found = self._log.heads(self._mosaic_id, self._revision, z=z, tiles=around)
            self._blocks[block] = {record.tile_id: record for record in found}
            if len(self._blocks) > _MAX_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(block)
        return self._blocks[block]


def _block_of(tile_id: TileId) -> _Block:
    return tile_id.z, tile_id.x >> _BLOCK_BITS, tile_id.y >> _BLOCK_BITS


def with_ancestors(tile_ids: Iterable[TileId], min_zoom: int) -> set[TileId]:
    """Return these tiles and every tile above them, up to `min_zoom`."""
    level = set(tile_ids)
    found = set(level)
    while level := {tile_id.parent() for tile_id in level if tile_id.z > min_zoom}:
        found |= level
    return found
