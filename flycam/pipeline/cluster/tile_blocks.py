"""Tile blocks, the unit of work of a cluster: no two workers ever write the same tile.

A block is a tile some zooms above the base, with all below it. Its worker writes its base tiles and their
ancestors up to the block's root; ancestors of several blocks are made by the process that gave out the work.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from flycam.catalog.records import MosaicInfo
from flycam.geometry.grid import TileId, order_along_morton_curve
from flycam.mosaic.tile_repair import repair_parents
from flycam.pipeline.workspace import Workspace

# 8×8 base tiles: about what a photo of 20 megapixels wins
_ZOOMS_ABOVE = 3
# blocks whose common ancestors are made at once
_BATCH_BLOCKS = 16


def choose_block_zoom(mosaic: MosaicInfo) -> int:
    """Return the zoom of a mosaic's tile blocks."""
    return max(mosaic.base_zoom - _ZOOMS_ABOVE, mosaic.min_zoom)


def find_block(tile: TileId, zoom: int) -> TileId:
    """Return the block that holds a tile."""
    up = tile.z - zoom
    return TileId(z=zoom, x=tile.x >> up, y=tile.y >> up)


def sort_blocks(squares: Iterable[TileId]) -> list[TileId]:
    """Sort blocks so that neighbours come together: they need the same photos."""
    found = list(squares)
    order = order_along_morton_curve(
        np.array([one.y for one in found], dtype=np.int64), np.array([one.x for one in found], dtype=np.int64)
    )
    return [found[number] for number in order]


class BlockAncestors:
    """Updates the ancestors of written blocks, some blocks at a time."""

    def __init__(self, workspace: Workspace, mosaic: MosaicInfo) -> None:
        self._workspace = workspace
        self._mosaic = mosaic
        self._waiting: set[TileId] = set()

    def mark_written(self, square: TileId) -> None:
        """Mark a block as written; one where no frame won a pixel has no log line."""
        self._waiting.add(square)
        if len(self._waiting) >= _BATCH_BLOCKS:
            self.update()

    def update(self) -> None:
        """Update the ancestors of the marked blocks.

        Raises StoreConflict if another process writes there, and what the store raises.
        """
        mosaic, tiles = self._mosaic, self._workspace.catalog.tiles
        logged = tiles.get_heads(mosaic.mosaic_id, mosaic.revision, sorted(self._waiting))
        parents = {square.parent() for square in logged if square.z > mosaic.min_zoom}
        if parents:
            repair_parents(
                self._workspace.store,
                self._workspace.catalog.tiles,
                self._mosaic,
                parents,
                origin=self._workspace.box,
                now_ns=self._workspace.clock_ns(),
            )
        self._waiting.clear()


def update_all_ancestors(workspace: Workspace, mosaic: MosaicInfo) -> None:
    """Update the ancestors of all blocks of a mosaic.

    The previous run may have been killed before it did. Reads a 64th of the tiles.
    """
    above = BlockAncestors(workspace, mosaic)
    for head in workspace.catalog.tiles.heads(mosaic.mosaic_id, mosaic.revision, z=choose_block_zoom(mosaic)):
        above.mark_written(head.tile_id)
    above.update()
