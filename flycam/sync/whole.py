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
from flycam.frame.terraincodec import decode_terrain
from flycam.frame.tile import MosaicTile, TileRecord
from flycam.frame.tilecodec import decode
from flycam.geometry.grid import TileId
from flycam.mosaic.mending import DAMAGE, parent_state
from flycam.mosaic.tilelog import read_tile
from flycam.store import keys
from flycam.sync.house import House

_BLOCK_BYTES = 4 << 20
_LIVE = 0


class Readable:
    """Objects of a house, each read and held against its hash before it is offered.

    passed  keys of those that are lost or damaged, as `flycam verify` names them, in the order met
    owed    those that were passed over before, and are not whole yet
    """

    def __init__(self, house: House, owed: Iterable[str] = ()) -> None:
        self._house = house
        self._passed: dict[str, None] = dict.fromkeys(owed)

    @property
    def passed(self) -> tuple[str, ...]:
        return tuple(self._passed)

    def size(self, line: TileRecord) -> int:
        """Bytes of a tile's object; 0 where it is lost."""
        try:
            return self._house.store.size(line.key)
        except ObjectMissing:
            return 0

    def tile(self, line: TileRecord) -> bytes | None:
        """A base tile's bytes; None where it is passed over, and owed from now on.

        Raises ObjectMissing where the log has moved on meanwhile and the tile was collected: ask anew.
        """
        try:
            data = self._house.store.get(line.key)
            decode(data, line.tile_id, line.content_hash)
        except DAMAGE as error:
            head = self._house.catalog.tiles.head(line.mosaic_id, _LIVE, line.tile_id)
            if isinstance(error, ObjectMissing) and (head is None or head.key != line.key):
                raise
            self._house.store.put(keys.owed(line.mosaic_id, line.tile_id), b"", durable=True)
            self._passed[line.key] = None
            return None
        return data

    def parent(self, mosaic: MosaicInfo, line: TileRecord) -> MosaicTile | None:
        """A parent's state, made of its children where its object is not whole; None where they are not."""
        tiles = self._house.catalog.tiles

        def head_of(tile_id: TileId) -> TileRecord | None:
            return tiles.head(mosaic.mosaic_id, _LIVE, tile_id)

        try:
            return read_tile(self._house.store, line)
        except DAMAGE:
            self._passed[line.key] = None
        with suppress(*DAMAGE):
            return parent_state(self._house.store, head_of, line, mosaic.base_zoom)
        return None

    def terrain(self, dem_id: str) -> bytes | None:
        """A recorded terrain's bytes; None where it is passed over."""
        key = keys.terrain(dem_id)
        try:
            data = self._house.store.get(key)
            if decode_terrain(data).dem_id == dem_id:
                return data
        except DAMAGE:
            pass
        self._passed[key] = None
        return None

    def has_original(self, sha256: str) -> bool:
        """Whether a photo's bytes are those of its name, read to the end; if not, it is passed over."""
        key, store = keys.evidence(sha256), self._house.store
        digest = hashlib.sha256()
        with suppress(ObjectMissing):
            for start in range(0, store.size(key), _BLOCK_BYTES):
                digest.update(store.get_range(key, start, _BLOCK_BYTES))
            if digest.hexdigest() == sha256:
                return True
        self._passed[key] = None
        return False


def say_what_was_owed(house: House) -> list[str]:
    """Base tiles that were passed over and read by now: the log says their lines once more. The keys of those
    that are owed still.

    Stopped in between, a line is said twice, which changes nothing at any peer.
    """
    owed: list[str] = []
    for key in list(house.store.list(keys.owed_prefix())):
        mosaic_id, tile_id = keys.of_owed(key)
        head = house.catalog.tiles.head(mosaic_id, _LIVE, tile_id)
        if head is not None:
            try:
                read_tile(house.store, head)
            except DAMAGE:
                owed.append(head.key)
                continue
            house.catalog.tiles.say_again(mosaic_id, _LIVE, [tile_id])
        house.store.delete(key)
    return owed
