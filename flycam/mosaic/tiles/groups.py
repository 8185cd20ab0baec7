"""Atomic writes of tile groups with their ancestors, and repair of tiles.

All of a group is written to the store and the log, or none: encode, `store.put`, `store.flush`, and last one
`append` that carries the base tiles *and all their ancestors*. So at every moment, a power cut included, each
parent named in the log is the function of the children named in the log.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from flycam.errors import ObjectMissing, StoreConflict, TileCorrupt
from flycam.geometry.grid import TileId
from flycam.messages import _
from flycam.model.frame import MosaicTile, TileRecord
from flycam.model.records import MosaicInfo
from flycam.mosaic.tiles.codec import TileHeads, TileLog, compute_content_hash, encode_tile, read_tile
from flycam.mosaic.tiles.merge import (
    Quadrant,
    TileCanvas,
    make_parent_tile,
    reduce_to_quadrant,
    with_quadrants,
)
from flycam.storage import keys
from flycam.storage.base import ObjectStore

# -- Repair of tiles whose objects are lost or damaged ---------------------------------------------
#
# Base tiles are rebuilt from the originals (`flycam.mosaic.tiles.rebuild`); a parent is a pure function of
# its children, so it needs no originals. The result is the very state that was lost, so its object is written
# again under the same key, and the log gets no line.


DAMAGE = (ObjectMissing, TileCorrupt)
"""Errors from reading a tile whose object is lost or damaged."""

HeadOf = Callable[[TileId], TileRecord | None]


def find_damaged_tiles(
    store: ObjectStore, heads: Iterable[TileRecord], progress: Callable[[int], None], workers: int = 2
) -> list[TileId]:
    """Find tiles whose object is missing, undecodable, or differs from the log.

    Reads and decodes every object: 3 to 5 ms a tile. `progress` gets the number read.
    """
    found: list[TileId] = []
    with ThreadPoolExecutor(workers, thread_name_prefix="check") as pool:
        for count, (tile_id, intact) in enumerate(pool.map(lambda head: _checked(store, head), heads), 1):
            if not intact:
                found.append(tile_id)
            progress(count)
    return found


def rebuild_parent(
    store: ObjectStore, head_of: HeadOf, head: TileRecord, base_zoom: int, absent: Collection[TileId] = ()
) -> MosaicTile:
    """Read a parent's state, or rebuild it from its children if lost or damaged.

    `absent` names damaged base tiles that are about to be rebuilt: they count as holding nothing.
    Raises ObjectMissing or TileCorrupt where a base tile below is damaged too.
    """
    try:
        return read_tile(store, head)
    except DAMAGE:
        if head.tile_id.z >= base_zoom:
            raise
    children = [head_of(child) for child in head.tile_id.children() if child not in absent]
    return make_parent_tile(
        head.tile_id,
        [rebuild_parent(store, head_of, child, base_zoom, absent) for child in children if child is not None],
    )


def repair_parents(
    store: ObjectStore,
    log: TileLog,
    mosaic: MosaicInfo,
    damaged: Iterable[TileId],
    *,
    origin: str,
    now_ns: int,
) -> int:
    """Rebuild parents, and those that depend on a changed one; return tiles written.

    Their base tiles must be undamaged. Written under the same keys where the state is the one in the log;
    else the log gets a line for each, all in one append.
    """
    todo = {tile_id for tile_id in damaged if tile_id.z < mosaic.base_zoom}
    heads = TileHeads(log, mosaic.mosaic_id, mosaic.revision)
    made: dict[TileId, MosaicTile] = {}
    fresh: list[TileRecord] = []
    expected: dict[TileId, str | None] = {}
    for zoom in range(mosaic.base_zoom - 1, mosaic.min_zoom - 1, -1):
        for parent_id in sorted(tile_id for tile_id in todo if tile_id.z == zoom):
            state = make_parent_tile(parent_id, _children(store, heads.head, made, parent_id))
            record = put_tile_state(store, mosaic, state, origin, now_ns)
            made[parent_id] = state
            before = heads.hash_of(parent_id)
            if before != record.content_hash:
                fresh.append(record)
                expected[parent_id] = before
                if zoom > mosaic.min_zoom:
                    todo.add(parent_id.parent())
    # objects are durable before the log names them
    store.flush()
    log.append(fresh, expected)
    return len(made)


def _children(
    store: ObjectStore, head_of: HeadOf, made: Mapping[TileId, MosaicTile], parent_id: TileId
) -> Iterator[MosaicTile]:
    for child_id in parent_id.children():
        head = head_of(child_id)
        if child_id in made:
            yield made[child_id]
        elif head is not None:
            yield read_tile(store, head)


def put_tile_state(
    store: ObjectStore, mosaic: MosaicInfo, state: MosaicTile, origin: str, now_ns: int
) -> TileRecord:
    """Put a state's object and return its log line.

    The caller must call `flush` before it appends the line.
    """
    digest = compute_content_hash(state)
    record = TileRecord(
        seq=0,
        origin=origin,
        mosaic_id=mosaic.mosaic_id,
        revision=mosaic.revision,
        epoch=state.epoch,
        tile_id=state.tile_id,
        key=keys.format_tile_key(mosaic.mosaic_id, mosaic.revision, state.tile_id, digest),
        content_hash=digest,
        written_ns=now_ns,
    )
    store.put(record.key, encode_tile(state))
    return record


def _checked(store: ObjectStore, head: TileRecord) -> tuple[TileId, bool]:
    try:
        read_tile(store, head)
    except DAMAGE:
        return head.tile_id, False
    return head.tile_id, True


# -- Atomic writes of groups of tiles with their ancestors -----------------------------------------


_MAX_ATTEMPTS = 25
_PARENT_CACHE_TILES = 128


@dataclass(frozen=True, slots=True)
class TileUpdate:
    """A tile state to be written, and the head (content hash) the append expects."""

    tile: MosaicTile
    content_hash: str
    made_from: str | None


@dataclass(slots=True)
class PublishedCanvases:
    """Copies of tiles being written while merging goes on in the tiles themselves.

    made_from  the heads they were made from, updated as they are written
    others     states of other writers that were merged into the copies, and must be merged into the tiles
    """

    canvases: dict[TileId, TileCanvas]
    made_from: dict[TileId, str | None]
    others: list[MosaicTile] = field(default_factory=list)


class GroupWriter:
    """Writer of groups of base tiles of one mosaic revision, one group at a time.

    pool         threads that hash, encode and put
    cache_tiles  ancestors kept in memory
    before_group, before_append  as for `MosaicWriter`
    """

    def __init__(
        self,
        store: ObjectStore,
        tile_log: TileLog,
        mosaic: MosaicInfo,
        pool: ThreadPoolExecutor,
        *,
        origin: str,
        clock_ns: Callable[[], int],
        damaged: Collection[TileId],
        before_append: Callable[[], None],
        before_group: Callable[[], None] = lambda: None,
        cache_tiles: int = _PARENT_CACHE_TILES,
    ) -> None:
        self._store = store
        self._log = tile_log
        self._mosaic = mosaic
        self._pool = pool
        self._origin = origin
        self._clock_ns = clock_ns
        self._damaged = damaged
        self._before_append = before_append
        self._before_group = before_group
        self._cache_tiles = cache_tiles
        self._parents: OrderedDict[str, MosaicTile] = OrderedDict()
        self.heads = TileHeads(tile_log, mosaic.mosaic_id, mosaic.revision)

    def commit(
        self, group_now: Callable[[], list[TileUpdate]], look_again: Callable[[], None]
    ) -> list[TileUpdate]:
        """Commit a group and return what was written.

        group_now is called again after `look_again` whenever another process moved a head.
        """
        for __ in range(_MAX_ATTEMPTS):
            group = group_now()
            try:
                self._commit(group)
            except StoreConflict:
                look_again()
                continue
            return group
        raise StoreConflict(
            _(
                "mosaic {mosaic_id}: others changed its tiles {max_attempts} times in a row "
                "while they were being written; run again",
                mosaic_id=self._mosaic.mosaic_id,
                max_attempts=_MAX_ATTEMPTS,
            )
        )

    def with_parents(self, tiles: Sequence[MosaicTile], made_from: Sequence[str | None]) -> list[TileUpdate]:
        """Return base tiles that differ from the given heads, and their ancestors.

        The finest zoom comes first.
        """
        group: list[TileUpdate] = []
        for zoom in range(self._mosaic.base_zoom, self._mosaic.min_zoom - 1, -1):
            changes = map(TileUpdate, tiles, self._pool.map(compute_content_hash, tiles), made_from)
            fresh = [change for change in changes if change.content_hash != change.made_from]
            group.extend(fresh)
            if zoom > self._mosaic.min_zoom:
                tiles, made_from = self._parents_of([change.tile for change in fresh])
        return group

    def _parents_of(self, children: list[MosaicTile]) -> tuple[list[MosaicTile], list[str | None]]:
        """Return parents with changed children's quadrants, and the heads they replace."""
        by_parent: dict[TileId, list[Future[Quadrant]]] = {}
        for child in children:
            by_parent.setdefault(child.tile_id.parent(), []).append(
                self._pool.submit(reduce_to_quadrant, child)
            )
        parents: list[MosaicTile] = []
        made_from: list[str | None] = []
        for parent_id, quadrants in by_parent.items():
            head = self.heads.head(parent_id)
            old = self._stored_parent(head) if head else None
            parents.append(with_quadrants(old, parent_id, (q.result() for q in quadrants)))
            made_from.append(head.content_hash if head else None)
        return parents, made_from

    def _stored_parent(self, head: TileRecord) -> MosaicTile:
        # The cache is by content hash, so it never serves a stale state for a head that moved.
        if head.content_hash not in self._parents:
            return rebuild_parent(self._store, self.heads.head, head, self._mosaic.base_zoom, self._damaged)
        self._parents.move_to_end(head.content_hash)
        return self._parents[head.content_hash]

    def _commit(self, group: list[TileUpdate]) -> None:
        if not group:
            return
        self._before_group()
        # objects are durable before the log names them, and ancestors go in the same append (decision 0001)
        records = list(self._pool.map(self.put, group))
        self._store.flush()
        self._before_append()
        expected = {change.tile.tile_id: change.made_from for change in group}
        self.heads.learn(self._log.append(records, expected))
        for change in group:
            if change.tile.tile_id.z != self._mosaic.base_zoom:
                self._parents[change.content_hash] = change.tile
        while len(self._parents) > self._cache_tiles:
            self._parents.popitem(last=False)

    def restore(self, tiles: Iterable[MosaicTile]) -> None:
        """Put the objects of tiles whose state equals the log's; that needs no log line."""
        changes = [TileUpdate(tile, digest := compute_content_hash(tile), digest) for tile in tiles]
        same = [one for one in changes if one.content_hash == self.heads.hash_of(one.tile.tile_id)]
        for change in sorted(same, key=lambda one: one.tile.tile_id):
            self.put(change)
        if same:
            self._store.flush()

    def put(self, change: TileUpdate) -> TileRecord:
        mosaic, tile = self._mosaic, change.tile
        key = keys.format_tile_key(mosaic.mosaic_id, mosaic.revision, tile.tile_id, change.content_hash)
        self._store.put(key, encode_tile(tile))
        return TileRecord(
            seq=0,
            origin=self._origin,
            mosaic_id=mosaic.mosaic_id,
            revision=mosaic.revision,
            epoch=tile.epoch,
            tile_id=tile.tile_id,
            key=key,
            content_hash=change.content_hash,
            written_ns=self._clock_ns(),
        )
