"""Rebuild of tiles touched by amendments, from the originals.

Amendments are withdrawn frames and replaced placements, as loaded from the catalogue. Rebuilt tiles are never
merged with their former state. The rebuild of a block appears in the log at once, with the new epoch, so a
run that was killed half-way leaves whole tiles of the old or of the new epoch, and running again finds the
tiles that are still of an old one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from flycam.catalog.frames import derive_placement_id, select_current_placement
from flycam.geometry.grid import TileId, TileRange
from flycam.model.frame import OrthoPatch
from flycam.model.layer import Layer
from flycam.model.records import FrameRecord, FrameStatus, MosaicInfo, Placement
from flycam.mosaic.tiles.codec import TileLog
from flycam.mosaic.tiles.merge import Amendments, ReplacedPlacements
from flycam.mosaic.tiles.writer import MosaicWriter

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog

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


# -- Amendments of a mosaic, from the catalogue ----------------------------------------------------


def load_amendments(catalog: Catalog, mosaic: MosaicInfo) -> Amendments:
    """Load a mosaic's amendments: frames withdrawn and placements replaced."""
    placements = catalog.placements.list_for_flight(mosaic.flight_id)
    return collect_amendments(
        mosaic.layer,
        catalog.frames.list_for_flight(mosaic.flight_id, None if placements else FrameStatus.WITHDRAWN),
        placements,
        (one.frame_id for one in catalog.frames.withdrawals(mosaic.flight_id)),
    )


def collect_amendments(
    layer: Layer,
    records: Iterable[FrameRecord],
    placements: Iterable[Placement],
    withdrawn_ids: Iterable[str],
) -> Amendments:
    """Collect the amendments of one layer's mosaic from the records of a flight.

    records  its frames, at least those that were withdrawn or have placements
    """
    by_frame: dict[str, list[Placement]] = {}
    for placement in placements:
        by_frame.setdefault(placement.frame_id, []).append(placement)
    withdrawn: dict[str, TileRange | None] = dict.fromkeys(withdrawn_ids)
    replaced: dict[str, ReplacedPlacements] = {}
    for record in records:
        if record.status is FrameStatus.WITHDRAWN:
            withdrawn[record.frame_id] = record.tiles if record.header.layer == layer else None
        frame_placements = by_frame.get(record.frame_id, [])
        if any(one.layer == layer for one in frame_placements):
            replaced[record.frame_id] = _replaced(frame_placements, layer)
    return Amendments(withdrawn=withdrawn, replaced=replaced)


def _replaced(placements: list[Placement], layer: Layer) -> ReplacedPlacements:
    """Return the current and superseded placements of a frame in one layer's mosaic.

    A frame moved to another layer has no current placement here.
    """
    best = select_current_placement(placements)
    is_in_layer = best.layer == layer and best.exterior is not None
    active = (best.version, best.dem_id) if is_in_layer and best.dem_id is not None else None
    superseded_tiles = {
        derive_placement_id(one): one.tiles for one in placements if one.layer == layer and one is not best
    }
    return ReplacedPlacements(
        current=active, superseded=superseded_tiles, placement=derive_placement_id(best) if active else None
    )
