"""Repair of tiles whose objects are lost or damaged.

Base tiles are rebuilt from the originals (`flycam.mosaic.rebuild`); a parent is a pure function of its
children, so it needs no originals. The result is the very state that was lost, so its object is written again
under the same key, and the log gets no line.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from flycam.catalog.records import MosaicInfo
from flycam.errors import ObjectMissing, TileCorrupt
from flycam.frame.tile import MosaicTile, TileRecord
from flycam.frame.tile_codec import compute_content_hash, encode_tile
from flycam.geometry.grid import TileId
from flycam.mosaic.pyramid import make_parent_tile
from flycam.mosaic.tile_heads import TileHeads
from flycam.mosaic.tile_log import TileLog, read_tile
from flycam.store import keys
from flycam.store.base import ObjectStore

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
        for count, (tile_id, whole) in enumerate(pool.map(lambda head: _checked(store, head), heads), 1):
            if not whole:
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
