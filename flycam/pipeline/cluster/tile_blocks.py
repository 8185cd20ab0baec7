"""Squares of ground, the unit that a cluster shares out: no two workers ever write the same tile.

A square is a tile some zooms above the base, with all below it. Its worker writes its base tiles and their
ancestors up to the square itself; what lies above several squares is made by who gave the work out.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from flycam.catalog.records import MosaicInfo
from flycam.geometry.grid import TileId, order_along_morton_curve
from flycam.mosaic.tile_repair import repair_parents
from flycam.pipeline.workspace import Workspace

_ZOOMS_ABOVE = 3  # 8×8 base tiles: a photo of 20 megapixels wins about as much
_BATCH_BLOCKS = 16  # squares whose common ancestors are made at once


def choose_block_zoom(mosaic: MosaicInfo) -> int:
    """The zoom of a mosaic's squares."""
    return max(mosaic.base_zoom - _ZOOMS_ABOVE, mosaic.min_zoom)


def find_block(tile: TileId, zoom: int) -> TileId:
    """The square that holds a tile."""
    up = tile.z - zoom
    return TileId(z=zoom, x=tile.x >> up, y=tile.y >> up)


def sort_blocks(squares: Iterable[TileId]) -> list[TileId]:
    """Squares in an order in which neighbours come together: they ask for the same photos."""
    found = list(squares)
    order = order_along_morton_curve(
        np.array([one.y for one in found], dtype=np.int64), np.array([one.x for one in found], dtype=np.int64)
    )
    return [found[number] for number in order]


class BlockAncestors:
    """Makes the ancestors of squares that are written, some squares at a time."""

    def __init__(self, workspace: Workspace, mosaic: MosaicInfo) -> None:
        self._workspace = workspace
        self._mosaic = mosaic
        self._waiting: set[TileId] = set()

    def mark_written(self, square: TileId) -> None:
        """A square is done; of one on whose ground nothing could be won there is no line in the log."""
        self._waiting.add(square)
        if len(self._waiting) >= _BATCH_BLOCKS:
            self.update()

    def update(self) -> None:
        """Bring what lies above the squares up to date. Raises StoreConflict if another process writes there,
        and what the store raises."""
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
    """Bring up to date what lies above all squares of a mosaic: whoever gave them out may have been killed
    before he did. A 64th of the tiles is read."""
    above = BlockAncestors(workspace, mosaic)
    for head in workspace.catalog.tiles.heads(mosaic.mosaic_id, mosaic.revision, z=choose_block_zoom(mosaic)):
        above.mark_written(head.tile_id)
    above.update()
