"""What other boxes gave: the latest state of each tile by each box, and how far each box's log was taken in.

Both are registers that only grow, kept in the store under keys that carry their order, so that they are
atomic on every store and need no table. A state beyond its box's cursor is not there yet: an exchange
that was cut short left it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flycam.frame.tile import MosaicTile
from flycam.frame.tilecodec import decode
from flycam.geometry.grid import TileId
from flycam.store import keys
from flycam.store.base import ObjectStore
from flycam.sync.manifest import TileLine


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """A log was taken in up to `seq`, where its digest is `digest`."""

    seq: int
    digest: str


def taken_of(store: ObjectStore, origin: str) -> dict[str, Taken]:
    """How far each mosaic's log of this box was taken in, by mosaic."""
    found: dict[str, Taken] = {}
    for key in store.list(keys.taken_prefix(origin)):
        mosaic_id, seq, digest = keys.cursor_of_taken(key)
        if mosaic_id not in found or found[mosaic_id].seq < seq:
            found[mosaic_id] = Taken(seq=seq, digest=digest)
    return found


def take(store: ObjectStore, origin: str, mosaic_id: str, taken: Taken) -> None:
    """Move a cursor on; everything put before survives a power cut then. Going back changes nothing."""
    store.flush()
    store.put(keys.taken(origin, mosaic_id, taken.seq, taken.digest), b"", durable=True)


def give(store: ObjectStore, origin: str, line: TileLine, data: bytes) -> None:
    """Put a state that a box gave beside those before it; the caller owes `store.flush`."""
    key = keys.given_tile(origin, line.seq, line.mosaic_id, 0, line.tile_id, line.content_hash)
    if not store.exists(key):
        store.put(key, data)


class Given:
    """States given of one mosaic, up to a cursor for each box (by `keys.box_id`)."""

    def __init__(self, store: ObjectStore, mosaic_id: str, cursors: Mapping[str, int]) -> None:
        self._store = store
        self._mosaic_id = mosaic_id
        self._cursors = cursors

    def states(self, tile_id: TileId, boxes: Iterable[str] | None = None) -> list[MosaicTile]:
        """The latest state of a base tile by each of these boxes (None: by all). TileCorrupt."""
        wanted = None if boxes is None else set(boxes)
        return [
            decode(self._store.get(key), tile_id, digest)
            for box, (key, digest) in sorted(self._latest(tile_id).items())
            if wanted is None or box in wanted
        ]

    def let_go_older(self, tile_id: TileId, box: str) -> None:
        """Delete what a box gave of a tile before the state that is in force."""
        latest = self._latest(tile_id).get(box)
        if latest is None:
            return
        _, in_force, _ = keys.giver_of_tile(latest[0])
        for key in list(self._store.list(keys.given_tile_prefix(self._mosaic_id, 0, tile_id))):
            giver, seq, _ = keys.giver_of_tile(key)
            if giver == box and seq < in_force:
                self._store.delete(key)

    def _latest(self, tile_id: TileId) -> dict[str, tuple[str, str]]:
        """(key, content hash) by box; keys of one box come sorted by seq, so the last one stands."""
        found: dict[str, tuple[str, str]] = {}
        for key in self._store.list(keys.given_tile_prefix(self._mosaic_id, 0, tile_id)):
            box, seq, digest = keys.giver_of_tile(key)
            if seq <= self._cursors.get(box, 0):
                found[box] = (key, digest)
        return found


def cursors_of(store: ObjectStore, mosaic_id: str) -> dict[str, int]:
    """How far each box's log of a mosaic was taken in, by `keys.box_id`."""
    found: dict[str, int] = {}
    for key in store.list(keys.taken_prefix()):
        of_mosaic, seq, _ = keys.cursor_of_taken(key)
        if of_mosaic == mosaic_id:
            box = keys.box_of_taken(key)
            found[box] = max(found.get(box, 0), seq)
    return found
