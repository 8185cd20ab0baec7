"""What the mosaic needs of the catalogue, and reading a tile that a log line names."""

from __future__ import annotations

from typing import Protocol

from flycam.frame.tile import MosaicTile, TileRecord
from flycam.frame.tile_codec import decode_tile
from flycam.geometry.grid import TileId, TileRange
from flycam.store.base import ObjectStore


class TileLog(Protocol):
    """Heads and log of tiles; the catalogue's `tiles` is the real one."""

    def append(self, records: list[TileRecord], expected: dict[TileId, str | None]) -> list[TileRecord]:
        """Make `records` the heads of their tiles, all or none, and return them with their `seq`.

        `expected` is the content hash each tile's head must have now (None: no head yet). StoreConflict
        if one differs.
        """

    def heads(
        self, mosaic_id: str, revision: int, z: int | None = None, tiles: TileRange | None = None
    ) -> list[TileRecord]:
        """Heads of a mosaic revision, of one zoom or of a rectangle of tiles."""


def read_tile(store: ObjectStore, record: TileRecord) -> MosaicTile:
    """The tile state that a log line names, checked against its content hash.

    Raises ObjectMissing, TileCorrupt, or what the store raises.
    """
    return decode_tile(store.get(record.key), record.tile_id, record.content_hash)
