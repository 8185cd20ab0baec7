"""Rebuild of tiles that a withdrawn frame or a replaced placement touched, from the originals.

They are never merged with their former state. The rebuild of a block appears in the log at once, with the new
epoch, so a run that was killed half-way leaves whole tiles of the old or of the new epoch, and running again
finds the tiles that are still of an old one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from flycam.catalog.records import MosaicInfo
from flycam.frame.tile import OrthoPatch
from flycam.geometry.grid import TileId, TileRange
from flycam.mosaic.amendments import Amendments
from flycam.mosaic.tile_log import TileLog
from flycam.mosaic.writer import MosaicWriter

# 8×8 tiles: 30 MB of canvases, and about the tiles of one frame
_BLOCK_BITS = 3


def find_stale_tiles(tile_log: TileLog, mosaic: MosaicInfo, amendments: Amendments) -> list[TileId]:
    """Find base tiles in the log whose epoch differs from what the amendments give."""
    heads = tile_log.heads(mosaic.mosaic_id, mosaic.revision, z=mosaic.base_zoom)
    return [head.tile_id for head in heads if head.epoch != amendments.epoch(head.tile_id)]


def rebuild_stale_tiles(
    writer: MosaicWriter,
    tile_ids: Iterable[TileId],
    patches_of: Callable[[TileRange], Iterable[OrthoPatch]],
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Rebuild base tiles in place of their former state; return log lines appended.

    patches_of(tiles)  makes again, from the recorded poses and terrain, the patch of every frame that touches
        the given rectangle; a patch may be cut to it. Called once for a block of at most 8×8 tiles
    progress           gets the number of tiles done

    The writer leaves out what is forbidden and gives each tile its epoch. Raises StoreConflict if another
    process adds frames to the same tiles meanwhile; running again completes.
    """
    blocks: dict[tuple[int, int], list[TileId]] = {}
    for tile_id in tile_ids:
        blocks.setdefault((tile_id.y >> _BLOCK_BITS, tile_id.x >> _BLOCK_BITS), []).append(tile_id)
    lines = done = 0
    for _, members in sorted(blocks.items()):
        lines += writer.rebuild(members, patches_of(_around(members)))
        done += len(members)
        progress(done)
    return lines


def _around(tile_ids: list[TileId]) -> TileRange:
    return TileRange(
        z=tile_ids[0].z,
        x_start=min(t.x for t in tile_ids),
        y_start=min(t.y for t in tile_ids),
        x_stop=max(t.x for t in tile_ids) + 1,
        y_stop=max(t.y for t in tile_ids) + 1,
    )
