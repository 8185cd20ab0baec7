"""Squares of ground, the unit that a cluster shares out: no two workers ever write the same tile.

A square is a tile some zooms above the base, with all below it. Its worker writes its base tiles and their
ancestors up to the square itself; what lies above several squares is made by who gave the work out.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from flycam.catalog.records import MosaicInfo
from flycam.geometry.grid import TileId, along_the_ground
from flycam.mosaic.mending import mend_parents
from flycam.pipeline.workspace import Workspace

_ZOOMS_ABOVE = 3  # 8×8 base tiles: a photo of 20 megapixels wins about as much
_JOINED_TOGETHER = 16  # squares whose common ancestors are made at once


def square_zoom(mosaic: MosaicInfo) -> int:
    """The zoom of a mosaic's squares."""
    return max(mosaic.base_zoom - _ZOOMS_ABOVE, mosaic.min_zoom)


def square_of(tile: TileId, zoom: int) -> TileId:
    """The square that holds a tile."""
    up = tile.z - zoom
    return TileId(z=zoom, x=tile.x >> up, y=tile.y >> up)


def along(squares: Iterable[TileId]) -> list[TileId]:
    """Squares in an order in which neighbours come together: they ask for the same photos."""
    found = list(squares)
    order = along_the_ground(
        np.array([one.y for one in found], dtype=np.int64), np.array([one.x for one in found], dtype=np.int64)
    )
    return [found[number] for number in order]


class AboveSquares:
    """Makes the ancestors of squares that are written, some squares at a time."""

    def __init__(self, workspace: Workspace, mosaic: MosaicInfo) -> None:
        self._workspace = workspace
        self._mosaic = mosaic
        self._waiting: set[TileId] = set()

    def written(self, square: TileId) -> None:
        """A square is done; of one on whose ground nothing could be won there is no line in the log."""
        self._waiting.add(square)
        if len(self._waiting) >= _JOINED_TOGETHER:
            self.join()

    def join(self) -> None:
        """Bring what lies above the squares up to date. Raises StoreConflict if another process writes there,
        and what the store raises."""
        mosaic, tiles = self._mosaic, self._workspace.catalog.tiles
        logged = tiles.heads_of(mosaic.mosaic_id, mosaic.revision, sorted(self._waiting))
        parents = {square.parent() for square in logged if square.z > mosaic.min_zoom}
        if parents:
            mend_parents(
                self._workspace.store,
                self._workspace.catalog.tiles,
                self._mosaic,
                parents,
                origin=self._workspace.box,
                now_ns=self._workspace.clock_ns(),
            )
        self._waiting.clear()


def join_all(workspace: Workspace, mosaic: MosaicInfo) -> None:
    """Bring up to date what lies above all squares of a mosaic: whoever gave them out may have been killed
    before he did. A 64th of the tiles is read."""
    above = AboveSquares(workspace, mosaic)
    for head in workspace.catalog.tiles.heads(mosaic.mosaic_id, mosaic.revision, z=square_zoom(mosaic)):
        above.written(head.tile_id)
    above.join()
