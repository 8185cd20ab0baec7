"""Merge of tile states that other nodes made with those here: the receiving side of the merge rule.

A state made under other amendments is reduced by the amendments known by now. The remainder is right: where
the greatest key of a set belongs to a frame that stays, it is the greatest without the removed frames too. So
the head is the maximum of reduced states, whichever came first (docs/decisions/0021-sync.md).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from types import MappingProxyType

import numpy as np

from flycam.catalog.records import MosaicInfo
from flycam.frame.tile import NO_DATA_QUALITY, NO_SOURCE, MosaicTile
from flycam.geometry.grid import TileId
from flycam.mosaic.amendments import Amendments
from flycam.mosaic.merge import TileCanvas, sort_sources
from flycam.mosaic.tile_groups import GroupWriter, TileUpdate
from flycam.mosaic.tile_heads import with_ancestors
from flycam.mosaic.tile_log import TileLog, read_tile
from flycam.store.base import ObjectStore

# tiles in one group: 30 MB of canvases, and ancestors are shared
_JOINED_AT_ONCE = 64

UNKNOWN_PLACEMENTS: Mapping[str, str] = MappingProxyType({})
"""Placements by frame: none is known."""

StatesOf = Callable[[TileId], Iterable[MosaicTile]]
"""States to be merged into a base tile."""


def apply_amendments(
    tile: MosaicTile, amendments: Amendments, placements: Mapping[str, str] = UNKNOWN_PLACEMENTS
) -> MosaicTile:
    """Remove what the amendments forbid from a base tile; give it their epoch.

    placements  the id of the placement that a frame's pixels were made with, by frame, as far as it is known

    Pixels of withdrawn frames become no data, whatever the epoch: a node that never saw a frame's placement
    gives its tiles no epoch of their own. Where the epoch differs, so do pixels of reprocessed frames, unless
    they are known to be of the placement in force. A state that loses nothing is returned as it is.
    """
    epoch = amendments.epoch(tile.tile_id)
    is_fresh = tile.epoch == epoch
    gone = [
        number
        for number, frame_id in enumerate(tile.frames, start=1)
        if frame_id in amendments.withdrawn
        or (not is_fresh and _is_reprocessed(frame_id, amendments, placements))
    ]
    if not gone:
        return tile if is_fresh else replace(tile, epoch=epoch)
    emptied = np.isin(tile.source, np.array(gone, dtype=np.uint16))
    rgb, quality, source = tile.rgb.copy(), tile.quality.copy(), tile.source.copy()
    rgb[emptied] = 0
    quality[emptied] = NO_DATA_QUALITY
    source[emptied] = NO_SOURCE
    source, frames = sort_sources(source, tile.frames)
    return MosaicTile(
        tile_id=tile.tile_id, rgb=rgb, quality=quality, source=source, frames=frames, epoch=epoch
    )


def _is_reprocessed(frame_id: str, amendments: Amendments, placements: Mapping[str, str]) -> bool:
    replaced = amendments.replaced.get(frame_id)
    if replaced is None:
        return False
    return replaced.placement is None or placements.get(frame_id) != replaced.placement


def merge_states(tile_id: TileId, states: Iterable[MosaicTile], amendments: Amendments) -> MosaicTile:
    """Merge the amended states of one base tile; empty if nothing remains.

    Raises StoreConflict if one is of another address.
    """
    canvas = TileCanvas(tile_id, amendments.epoch(tile_id))
    for state in states:
        canvas.merge_tile(apply_amendments(state, amendments))
    return canvas.freeze()


def merge_peer_tiles(
    store: ObjectStore,
    tile_log: TileLog,
    mosaic: MosaicInfo,
    tile_ids: Iterable[TileId],
    states_of: StatesOf,
    *,
    amendments: Amendments,
    origin: str,
    clock_ns: Callable[[], int],
    damaged: Collection[TileId] = (),
    workers: int = 2,
) -> int:
    """Merge states into the heads of live base tiles; return the log lines appended.

    damaged  base tiles among them whose object is lost: only the states are merged, and the object is put
             again even where the result is the very state in the log

    Written in groups with all ancestors, each group all or nothing; merging again changes nothing. Raises
    TileCorrupt, StoreConflict (others keep changing the same tiles), and the errors of store and catalogue.
    """
    lines = 0
    waiting = iter(sorted(set(tile_ids)))
    with ThreadPoolExecutor(workers, thread_name_prefix="join") as pool:
        groups = GroupWriter(
            store,
            tile_log,
            mosaic,
            pool,
            origin=origin,
            clock_ns=clock_ns,
            damaged=damaged,
            before_append=lambda: None,
        )
        while some := list(islice(waiting, _JOINED_AT_ONCE)):
            lines += len(_join(store, groups, mosaic, some, states_of, amendments, damaged))
    return lines


def _join(
    store: ObjectStore,
    groups: GroupWriter,
    mosaic: MosaicInfo,
    tile_ids: Sequence[TileId],
    states_of: StatesOf,
    amendments: Amendments,
    damaged: Collection[TileId],
) -> list[TileUpdate]:
    def group() -> list[TileUpdate]:
        tiles: list[MosaicTile] = []
        made_from: list[str | None] = []
        for tile_id in tile_ids:
            head = groups.heads.head(tile_id)
            here = [] if head is None or tile_id in damaged else [read_tile(store, head)]
            states = [*here, *states_of(tile_id)]
            if not states:
                continue
            # an emptied state is written too: the other nodes' logs end with it
            tiles.append(merge_states(tile_id, states, amendments))
            made_from.append(None if head is None else head.content_hash)
        groups.restore(tile for tile in tiles if tile.tile_id in damaged)
        return groups.with_parents(tiles, made_from)

    return groups.commit(group, lambda: groups.heads.forget(with_ancestors(tile_ids, mosaic.min_zoom)))
