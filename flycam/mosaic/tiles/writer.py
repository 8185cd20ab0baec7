"""Writer of tiles: patches are merged, then tiles and their ancestors written.

This is the only write path; every tile gets one line in the log.

Tiles are merged in memory and written in groups with all their ancestors (`GroupWriter`); a patch that never
reached the log is merged again when the flight is ingested again.

If another process moved a head meanwhile, the whole append is refused; the other's tiles are read, merged
with ours (the merge rule does not care who was first) and the group is written again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import Self

import cv2

from flycam.errors import ObjectMissing, StoreConflict, TileCorrupt
from flycam.geometry.grid import TileId
from flycam.messages import _
from flycam.model.frame import MosaicTile, OrthoPatch, TileRecord
from flycam.model.records import MosaicInfo
from flycam.mosaic.tiles.codec import (
    TileHeads,
    TileLog,
    compute_content_hash,
    encode_tile,
    read_tile,
    with_ancestors,
)
from flycam.mosaic.tiles.merge import (
    NO_AMENDMENTS,
    Amendments,
    Quadrant,
    TileCanvas,
    make_parent_tile,
    reduce_to_quadrant,
    require_zoom,
    with_quadrants,
)
from flycam.storage import keys
from flycam.storage.keys import ObjectStore

# -- Repair of tiles whose objects are lost or damaged ---------------------------------------------
#
# Base tiles are rebuilt from the originals (`flycam.mosaic.orthorectify.rebuild`); a parent is a pure
# function of its children, so it needs no originals. The result is the very state that was lost, so its
# object is written again under the same key, and the log gets no line.


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
    store: ObjectStore,
    mosaic: MosaicInfo,
    state: MosaicTile,
    origin: str,
    now_ns: int,
    content_hash: str | None = None,
) -> TileRecord:
    """Put a state's object and return its log line.

    The caller must call `flush` before it appends the line.

    content_hash  of the state, if it is known
    """
    digest = content_hash or compute_content_hash(state)
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
#
# All of a group is written to the store and the log, or none: encode, `store.put`, `store.flush`, and last
# one `append` that carries the base tiles *and all their ancestors*. So at every moment, a power cut
# included, each parent named in the log is the function of the children named in the log.


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
        self._refused = 0
        self.heads = TileHeads(tile_log, mosaic.mosaic_id, mosaic.revision)

    def commit(self, group: list[TileUpdate]) -> bool:
        """Commit a group; False where another process moved a head: look again, and make it anew.

        Raises StoreConflict where others keep changing the same tiles.
        """
        try:
            self._commit(group)
        except StoreConflict:
            self._refused += 1
        else:
            self._refused = 0
            return True
        if self._refused < _MAX_ATTEMPTS:
            return False
        self._refused = 0
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
        return put_tile_state(
            self._store, self._mosaic, change.tile, self._origin, self._clock_ns(), change.content_hash
        )


# -- Merge of patches in memory, written in groups -------------------------------------------------


_CANVAS_CACHE_TILES = 256  # 0.46 MB each: 120 MB
# finished tiles in one group: 30 MB, and ancestors are shared
_PLACED_AT_ONCE = 64
# ancestors of one group, down to the coarsest zoom, and their former states
_MIN_PARENTS = 64
# a quarter of the cache is written at once, so that ancestors are shared
_EVICTED_PART = 4


class MosaicWriter:
    """Thread-safe writer of one mosaic revision; concurrent calls take turns.

    amendments     withdrawn frames and superseded placements: they never enter, and decide each tile's epoch
    damaged        base tiles whose objects are lost or damaged, to be rebuilt by this writer
    before_append  called before the log names tiles, after the store was flushed: what the tiles refer to
                   (records of frames) is written here, once for many patches
    before_group   called before objects of tiles are put: an error raised here keeps them out, and no other
                   group is written meanwhile
    cache_tiles    base tiles kept in memory; when full, the least recently used quarter is written. Half as
                   many of their ancestors are kept, at least 64
    workers        threads that encode and put; OpenCV, zstd, SHA-256 and the store release the GIL
    """

    def __init__(
        self,
        store: ObjectStore,
        tile_log: TileLog,
        mosaic: MosaicInfo,
        *,
        origin: str,
        clock_ns: Callable[[], int],
        amendments: Amendments = NO_AMENDMENTS,
        damaged: Collection[TileId] = (),
        before_append: Callable[[], None] = lambda: None,
        before_group: Callable[[], None] = lambda: None,
        cache_tiles: int = _CANVAS_CACHE_TILES,
        workers: int = 2,
    ) -> None:
        self._store = store
        self._mosaic = mosaic
        self._amendments = amendments
        self._damaged = frozenset(damaged)
        self._cache_tiles = max(cache_tiles, 1)
        self._canvases: OrderedDict[TileId, TileCanvas] = OrderedDict()
        # the head of each canvas: the head last seen may be another after a conflict (decision 0001)
        self._made_from: dict[TileId, str | None] = {}
        self._dirty: set[TileId] = set()
        self._lock = threading.RLock()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="tiles")
        self._groups = GroupWriter(
            store,
            tile_log,
            mosaic,
            self._pool,
            origin=origin,
            clock_ns=clock_ns,
            damaged=self._damaged,
            before_append=before_append,
            before_group=before_group,
            cache_tiles=max(self._cache_tiles // 2, _MIN_PARENTS),
        )
        # one thread: groups are written one at a time
        self._behind = ThreadPoolExecutor(1, thread_name_prefix="group")
        self._leaving: dict[TileId, TileCanvas] = {}
        self._under_way: Future[int] | None = None
        self._published: PublishedCanvases | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Flush what is merged, unless an error is on its way; then stop the threads."""
        try:
            if kind is None:
                self.flush()
        finally:
            self._behind.shutdown()
            self._pool.shutdown()

    def add(self, patch: OrthoPatch) -> int:
        """Merge a patch and return the number of tiles it changed.

        0 for a patch that is forbidden or merged already. Raises StoreConflict if the patch has another zoom
        than the mosaic, or a stored tile another epoch than the amendments known here give it; and the errors
        of store and catalogue.
        """
        require_zoom(patch, self._mosaic.base_zoom)
        if self._amendments.forbids(patch):
            return 0
        changed = 0
        with self._lock:
            for tile_id in patch.tiles:
                rows, cols = patch.tiles.window_px(tile_id)
                quality = patch.quality[rows, cols]
                if cv2.countNonZero(quality) == 0:
                    continue
                if self._canvas(tile_id).merge(patch.rgb[rows, cols], quality, patch.frame_id):
                    self._dirty.add(tile_id)
                    changed += 1
                self._evict()
        return changed

    def write(self, tile_ids: Iterable[TileId]) -> None:
        """Write tiles that are not expected to change again, and drop them from memory.

        Tiles that are not in memory are skipped. Merging goes on while they are written, one group at a time:
        an error is raised by the next call that needs the group to be done.
        """
        with self._lock:
            self._wait()
            here = [tile_id for tile_id in tile_ids if tile_id in self._canvases]
            self._leaving = {t: self._canvases[t] for t in sorted(here) if t in self._dirty}
            made_from = {tile_id: self._made_from[tile_id] for tile_id in self._leaving}
            self._forget(here)
            self._under_way = self._behind.submit(self._write_states, self._leaving, made_from)

    def publish(self) -> int:
        """Write every merged tile not yet in the log while other threads go on merging.

        A copy of the tiles is written, and readers see them when this returns. Returns the number of log
        lines appended. An error is raised here, and by any call that needs the group to be done before.
        """
        with self._lock:
            self._wait()
            if not self._dirty:
                return 0
            published = PublishedCanvases(
                {tile_id: self._canvases[tile_id].copy() for tile_id in sorted(self._dirty)},
                {tile_id: self._made_from[tile_id] for tile_id in self._dirty},
            )
            # before the group is written: tiles merged into from here on are dirty again
            self._dirty.clear()
            self._published = published
            under_way = self._under_way = Future[int]()
        try:
            written = self._write_states(published.canvases, published.made_from, also=published.others)
            under_way.set_result(written)
        except BaseException as error:  # noqa: BLE001  raised again by `_wait`, here or in another thread
            under_way.set_exception(error)
        with self._lock:
            if self._under_way is under_way:
                self._wait()
        return under_way.result()

    def _wait(self) -> None:
        """Wait until the submitted group is in the log; raise the error that kept it out."""
        under_way, self._under_way = self._under_way, None
        published, self._published = self._published, None
        try:
            if under_way is not None:
                under_way.result()
        except BaseException:
            # what did not reach the log must be written by a later group
            if published is not None:
                self._dirty.update(published.canvases)
            raise
        else:
            if published is not None:
                self._take_over(published)
        finally:
            self._leaving = {}

    def _take_over(self, published: PublishedCanvases) -> None:
        """Adopt a published group's heads and what other writers merged into its tiles."""
        self._made_from.update(published.made_from)
        for tile in published.others:
            if self._canvases[tile.tile_id].merge_tile(tile):
                self._dirty.add(tile.tile_id)

    def flush(self) -> int:
        """Write every merged tile not yet in the log and return the log lines appended."""
        with self._lock:
            return self._write(sorted(self._dirty))

    def rebuild(self, tile_ids: Iterable[TileId], patches: Iterable[OrthoPatch]) -> int:
        """Rebuild base tiles from `patches` alone, whatever they held, for a new epoch.

        All of them appear in the log together or not at all. `patches` may reach beyond the tiles (only these
        tiles are touched) and may hold what the amendments forbid (it is left out). A tile that never existed
        and that no patch reaches is not written; a damaged one gets its object back even where its state is
        the one in the log. All tiles are in memory at once, so the caller chooses blocks (see
        `flycam.mosaic.orthorectify.rebuild`). Returns the number of log lines appended.
        """
        with self._lock:
            self.flush()
            wanted = set(tile_ids)
            self._groups.heads.forget(with_ancestors(wanted, self._mosaic.min_zoom))
            self._forget(wanted)
            folded = {tile_id: TileCanvas(tile_id, self._amendments.epoch(tile_id)) for tile_id in wanted}
            self._made_from.update((tile_id, self._groups.heads.hash_of(tile_id)) for tile_id in wanted)
            for patch in patches:
                self._merge_into(folded, patch)
            never = {t for t, canvas in folded.items() if canvas.is_empty and self._made_from[t] is None}
            self._forget(never)
            wanted -= never
            self._canvases.update((tile_id, folded[tile_id]) for tile_id in wanted)
            try:
                self._groups.restore(self._canvases[tile_id].borrow() for tile_id in wanted & self._damaged)
                lines = self._write(sorted(wanted), replacing=True)
            except BaseException:
                # memory must not hold as published what the log does not name
                self._forget(wanted)
                raise
            self._evict()
            return lines

    def _merge_into(self, canvases: Mapping[TileId, TileCanvas], patch: OrthoPatch) -> None:
        require_zoom(patch, self._mosaic.base_zoom)
        if self._amendments.forbids(patch):
            return
        for tile_id in canvases.keys() & set(patch.tiles):
            rows, cols = patch.tiles.window_px(tile_id)
            canvases[tile_id].merge(patch.rgb[rows, cols], patch.quality[rows, cols], patch.frame_id)

    def place(self, tiles: Iterable[MosaicTile]) -> int:
        """Make finished base tiles the heads of this revision; return log lines appended.

        Tiles are written with their ancestors in groups as they come, so a killed run keeps the groups it
        logged; a tile whose head is already this state costs only its hash, and gets its object back if it is
        damaged. Nothing is merged: a tile placed later replaces it.

        Raises StoreConflict for the live revision, which is only ever merged, for a tile of another zoom, and
        for one that shows a withdrawn frame.
        """
        if self._mosaic.revision == 0:
            raise StoreConflict(
                f"mosaic {self._mosaic.mosaic_id}: revision 0 is only merged into;"
                " place finished tiles in a revision of their own"
            )
        lines = 0
        waiting = iter(tiles)
        while group := list(islice(waiting, _PLACED_AT_ONCE)):
            for tile in group:
                self._require_placeable(tile)
            with self._lock:
                lines += self._place(group)
        return lines

    def _place(self, tiles: list[MosaicTile]) -> int:
        by_id = {tile.tile_id: tile for tile in tiles}  # the later of a tile placed twice
        self._wait()
        self._forget(by_id)

        heads = self._groups.heads
        while not self._groups.commit(
            written := self._groups.with_parents(list(by_id.values()), list(map(heads.hash_of, by_id)))
        ):
            heads.forget(with_ancestors(by_id, self._mosaic.min_zoom))
        self._forget(by_id)
        self._groups.restore(by_id[tile_id] for tile_id in by_id.keys() & self._damaged)
        return len(written)

    def _require_placeable(self, tile: MosaicTile) -> None:
        if tile.tile_id.z != self._mosaic.base_zoom:
            raise StoreConflict(
                _(
                    "tile {tile_id}: mosaic {mosaic_id} has the base zoom {base_zoom}; finish "
                    "the flight again",
                    tile_id=tile.tile_id,
                    mosaic_id=self._mosaic.mosaic_id,
                    base_zoom=self._mosaic.base_zoom,
                )
            )
        withdrawn = [frame_id for frame_id in tile.frames if frame_id in self._amendments.withdrawn]
        if withdrawn:
            raise StoreConflict(
                _(
                    "tile {tile_id}: shows frame {withdrawn}, which was withdrawn meanwhile; "
                    "finish the flight again without it",
                    tile_id=tile.tile_id,
                    withdrawn=withdrawn[0],
                )
            )

    # -- Tiles in memory ---------------------------------------------------------------------------

    def _canvas(self, tile_id: TileId) -> TileCanvas:
        canvas = self._canvases.get(tile_id)
        if canvas is None:
            # its head is not in the log until its group is written
            if tile_id in self._leaving:
                self._wait()
            epoch = self._amendments.epoch(tile_id)
            head = self._groups.heads.head(tile_id)
            if head is None:
                canvas = TileCanvas(tile_id, epoch)
            else:
                canvas = TileCanvas.from_tile(read_tile(self._store, head), epoch)
            self._canvases[tile_id] = canvas
            self._made_from[tile_id] = head.content_hash if head else None
        self._canvases.move_to_end(tile_id)
        return canvas

    def _evict(self) -> None:
        surplus = len(self._canvases) - self._cache_tiles
        if surplus <= 0:
            return
        oldest = list(self._canvases)[: max(surplus, self._cache_tiles // _EVICTED_PART)]
        self._write([tile_id for tile_id in oldest if tile_id in self._dirty])
        self._forget(oldest)

    def _forget(self, tile_ids: Iterable[TileId]) -> None:
        for tile_id in tile_ids:
            self._canvases.pop(tile_id, None)
            self._made_from.pop(tile_id, None)
            self._dirty.discard(tile_id)

    # -- Writing of groups -------------------------------------------------------------------------

    def _write(self, tile_ids: list[TileId], *, replacing: bool = False) -> int:
        """Write base tiles and their ancestors as one group; return the log lines."""
        self._wait()
        canvases = {tile_id: self._canvases[tile_id] for tile_id in tile_ids}
        lines = self._write_states(canvases, self._made_from, replacing=replacing)
        self._dirty.difference_update(tile_ids)
        return lines

    def _write_states(
        self,
        canvases: Mapping[TileId, TileCanvas],
        made_from: dict[TileId, str | None],
        *,
        replacing: bool = False,
        also: list[MosaicTile] | None = None,
    ) -> int:
        """Write as `_write` does and update `made_from`; no other group may be under way.

        also  collects the states of other writers that were merged in on the way
        """
        while not self._groups.commit(written := self._group(canvases, made_from)):
            self._reconcile(canvases, made_from, replacing, [] if also is None else also)
        base = (change for change in written if change.tile.tile_id.z == self._mosaic.base_zoom)
        made_from.update((change.tile.tile_id, change.content_hash) for change in base)
        return len(written)

    def _group(
        self, canvases: Mapping[TileId, TileCanvas], made_from: Mapping[TileId, str | None]
    ) -> list[TileUpdate]:
        """Return the base tiles and ancestors that differ from their heads, finest first."""
        tiles = list(self._pool.map(TileCanvas.borrow, canvases.values()))
        return self._groups.with_parents(tiles, [made_from[tile_id] for tile_id in canvases])

    def _reconcile(
        self,
        canvases: Mapping[TileId, TileCanvas],
        made_from: dict[TileId, str | None],
        replacing: bool,
        also: list[MosaicTile],
    ) -> None:
        """Reread the heads after a refused append and merge what others wrote."""
        self._groups.heads.forget(with_ancestors(canvases, self._mosaic.min_zoom))
        for tile_id, canvas in canvases.items():
            head = self._groups.heads.head(tile_id)
            if head is None or head.content_hash == made_from[tile_id]:
                continue
            if replacing and head.epoch != canvas.epoch:
                raise StoreConflict(
                    _(
                        "tile {tile_id}: frames were added to its old epoch while it was refolded; run again",
                        tile_id=tile_id,
                    )
                )
            stored = read_tile(self._store, head)
            canvas.merge_tile(stored)
            also.append(stored)
            made_from[tile_id] = head.content_hash
