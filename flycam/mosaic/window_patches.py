"""Patches of frames in a window of base pixels: made block by block where needed, no block twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.frame.tile import OrthoPatch
from flycam.geometry.grid import TILE_SIZE_PX, TileId, TileRange
from flycam.geometry.quality_bounds import BLOCK_PX
from flycam.mosaic.blending import REACH_PX, Mask
from flycam.mosaic.frame_overview import Bytes, PixelBox

PatchOf = Callable[[str, TileRange, NDArray[np.bool_]], OrthoPatch | None]
"""See `finished_tiles.finish_tiles`."""


@dataclass(frozen=True, slots=True)
class WindowPatch:
    """A frame's pixels over a box; blocks: those of the whole window that were made."""

    box: PixelBox
    rgb: Bytes
    seen: Mask
    blocks: Mask


class WindowPatches:
    """Patches of frames in a window, made block by block on request, no block twice."""

    def __init__(self, window: PixelBox, base_zoom: int, patch_of: PatchOf, frames: tuple[str, ...]) -> None:
        self.window = window
        self._zoom = base_zoom
        self._patch_of = patch_of
        self._frames = frames
        self._kept: dict[int, WindowPatch] = {}

    def patch(self, label: int, where: Mask) -> WindowPatch:
        """Return the frame over a box with everything within REACH_PX of `where`.

        `where` is H×W of the window; pixels farther off may be missing.
        """
        needed = _blocks_around(where)
        kept = self._kept.get(label)
        if kept is None or (needed & ~kept.blocks).any():
            kept = self._kept[label] = self._made(label, needed, kept)
        return kept

    def _made(self, label: int, needed: Mask, kept: WindowPatch | None) -> WindowPatch:
        blocks = needed if kept is None else needed | kept.blocks
        box = self._box_of(blocks)
        rgb = np.zeros((*box.shape, 3), dtype=np.uint8)
        seen = np.zeros(box.shape, dtype=np.bool_)
        if kept is not None:
            needed = needed & ~kept.blocks
            rgb[kept.box.slices_in(box)] = kept.rgb
            seen[kept.box.slices_in(box)] = kept.seen
        asked = self._box_of(needed)
        tiles = find_box_tiles(asked, self._zoom)
        around = to_range_box(tiles)
        wanted = np.zeros(tuple(n // BLOCK_PX for n in around.shape), dtype=np.bool_)
        wanted[_in_blocks(asked.slices_in(around))] = needed[_in_blocks(asked.slices_in(self.window))]
        patch = self._patch_of(self._frames[label - 1], tiles, wanted)
        if patch is not None and not patch.tiles.is_empty:
            there = to_range_box(patch.tiles)
            both = there.intersection(asked)
            if not both.is_empty:
                # pixels already there stay: a patch may or may not have more than the requested blocks
                new = _pixels_of(needed[_in_blocks(both.slices_in(self.window))])
                at, part = both.slices_in(box), both.slices_in(there)
                cv2.copyTo(patch.rgb[part], new, rgb[at])
                seen[at] |= (patch.quality[part] > 0) & (new > 0)
        return WindowPatch(box, rgb, seen, blocks)

    def _box_of(self, blocks: Mask) -> PixelBox:
        left, top, width, height = cv2.boundingRect(blocks.view(np.uint8))
        row, col = self.window.row + top * BLOCK_PX, self.window.col + left * BLOCK_PX
        return PixelBox(row=row, col=col, row_stop=row + height * BLOCK_PX, col_stop=col + width * BLOCK_PX)


def _blocks_around(where: Mask) -> Mask:
    """Return blocks of a window with pixels of `where`, and all within REACH_PX."""
    height, width = where.shape
    eights = where.view(np.uint64).reshape(height // BLOCK_PX, BLOCK_PX, width // 8)
    rows = np.bitwise_or.reduce(eights, axis=1)
    held = rows.reshape(-1, width // BLOCK_PX, BLOCK_PX // 8).any(axis=2).astype(np.uint8)
    reach = REACH_PX // BLOCK_PX
    around = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return np.asarray(cv2.dilate(held, around)) > 0


def _in_blocks(window: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, cols = (slice(part.start // BLOCK_PX, part.stop // BLOCK_PX) for part in window)
    return rows, cols


def _pixels_of(blocks: Mask) -> Bytes:
    """Expand blocks to pixels: 1 where a block is set."""
    return np.repeat(np.repeat(blocks.view(np.uint8), BLOCK_PX, axis=0), BLOCK_PX, axis=1)


def find_box_tiles(box: PixelBox, zoom: int) -> TileRange:
    """Return the tiles that a box of their zoom's pixels touches."""
    tiles = box.aligned(TILE_SIZE_PX)
    return TileRange(
        z=zoom,
        x_start=tiles.col // TILE_SIZE_PX,
        y_start=tiles.row // TILE_SIZE_PX,
        x_stop=tiles.col_stop // TILE_SIZE_PX,
        y_stop=tiles.row_stop // TILE_SIZE_PX,
    )


def to_range_box(tiles: TileRange) -> PixelBox:
    """Convert a range of tiles to its global pixels."""
    return PixelBox(
        row=tiles.y_start * TILE_SIZE_PX,
        col=tiles.x_start * TILE_SIZE_PX,
        row_stop=tiles.y_stop * TILE_SIZE_PX,
        col_stop=tiles.x_stop * TILE_SIZE_PX,
    )


def to_tile_box(tile: TileId) -> PixelBox:
    """Convert a tile to its global pixels."""
    return PixelBox(
        row=tile.y * TILE_SIZE_PX,
        col=tile.x * TILE_SIZE_PX,
        row_stop=(tile.y + 1) * TILE_SIZE_PX,
        col_stop=(tile.x + 1) * TILE_SIZE_PX,
    )
