"""Interface of the tile log that the mosaic needs, and reading of a tile that a log line names."""

from __future__ import annotations

from typing import Protocol

from flycam.frame.tile import MosaicTile, TileRecord
from flycam.frame.tile_codec import decode_tile
from flycam.geometry.grid import TileId, TileRange
from flycam.store.base import ObjectStore


class TileLog(Protocol):
    """Heads and log of tiles; implemented by the catalogue's `tiles`."""

    def append(self, records: list[TileRecord], expected: dict[TileId, str | None]) -> list[TileRecord]:
        """Make `records` the heads of their tiles, all or none; return them with `seq`.

        `expected` is the content hash each tile's head must have now (None: no head yet). StoreConflict if
        one differs.
        """

    def heads(
        self, mosaic_id: str, revision: int, z: int | None = None, tiles: TileRange | None = None
    ) -> list[TileRecord]:
        """Return heads of a mosaic revision, of one zoom or of a rectangle of tiles."""


def read_tile(store: ObjectStore, record: TileRecord) -> MosaicTile:
    """Read the tile state that a log line names and check its content hash.

    Raises ObjectMissing, TileCorrupt, or the errors of the store.
    """
    return decode_tile(store.get(record.key), record.tile_id, record.content_hash)
