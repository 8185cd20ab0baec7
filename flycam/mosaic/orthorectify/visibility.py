"""Visibility: which frame can win which blocks, solved before a pixel is read.

Quality is geometry: pose, terrain and camera bound it on every block of 32×32 pixels. The best lower bound of
all frames is a promise: a frame whose upper bound lies below it cannot win there and need not be made. With
overlaps of 75 % and 65 % a frame is so made on a fifth of its ground, and the mosaic is the same to the last
byte. A promise holds only if its frame is merged: without one that turns out unreadable, solve again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.grid import TileId, TileRange, compute_tile_range
from flycam.geometry.quality_bounds import BLOCKS, QualityBounds

Bools = NDArray[np.bool_]
QualityWords = NDArray[np.uint16]
_NOTHING = np.zeros((BLOCKS, BLOCKS), dtype=np.uint16)
_FORGET_EVERY = 32
# 260 MB of colours and qualities; a nadir photo of 24 megapixels
_MAX_TILES_AT_ONCE = 800
_PART_TILES = 24


@dataclass(frozen=True, slots=True)
class WinningBlocks:
    """Tiles on which a frame can win a pixel, each with its 8×8 winnable blocks."""

    blocks: Mapping[TileId, Bools]

    def __bool__(self) -> bool:
        return bool(self.blocks)

    def union(self, other: WinningBlocks) -> WinningBlocks:
        """Return the blocks claimed here or there."""
        both = dict(other.blocks)
        for tile, blocks in self.blocks.items():
            both[tile] = blocks | both[tile] if tile in both else blocks
        return WinningBlocks(both)

    def subtract(self, other: WinningBlocks) -> WinningBlocks:
        """Return the blocks claimed here and not there."""
        left = {
            tile: blocks & ~other.blocks[tile] if tile in other.blocks else blocks
            for tile, blocks in self.blocks.items()
        }
        return WinningBlocks({tile: blocks for tile, blocks in left.items() if blocks.any()})

    def select_central(self, tiles: TileRange, max_tiles: int) -> WinningBlocks:
        """Return the claims on the `max_tiles` tiles nearest the centre of `tiles`."""
        x, y = tiles.x_start + tiles.x_stop - 1, tiles.y_start + tiles.y_stop - 1
        near = sorted(self.blocks, key=lambda tile: (2 * tile.x - x) ** 2 + (2 * tile.y - y) ** 2)
        return WinningBlocks({tile: self.blocks[tile] for tile in near[:max_tiles]})

    def crop(self, tiles: TileRange) -> tuple[TileRange, Bools] | None:
        """Return the smallest range of claimed tiles within `tiles`, and its blocks.

        Blocks are 8·rows×8·columns; None for no tile.
        """
        here = [tile for tile in self.blocks if tile in tiles]
        if not here:
            return None
        found = compute_tile_range(here)
        rows, cols = found.shape_tiles
        wanted = np.zeros((rows, BLOCKS, cols, BLOCKS), dtype=bool)
        for tile in here:
            wanted[tile.y - found.y_start, :, tile.x - found.x_start] = self.blocks[tile]
        return found, wanted.reshape(rows * BLOCKS, cols * BLOCKS)

    def split(self) -> Iterator[tuple[TileRange, Bools]]:
        """Yield the claim in parts as of `crop`, which are orthorectified one at a time.

        So an oblique view, which may reach over a hundred times the ground of a nadir one, takes no more
        memory.
        """
        if not self.blocks:
            return
        tiles = compute_tile_range(self.blocks)
        side = max(tiles.shape_tiles) if len(tiles) <= _MAX_TILES_AT_ONCE else _PART_TILES
        for y in range(tiles.y_start, tiles.y_stop, side):
            for x in range(tiles.x_start, tiles.x_stop, side):
                stop_x, stop_y = min(x + side, tiles.x_stop), min(y + side, tiles.y_stop)
                part = self.crop(TileRange(z=tiles.z, x_start=x, y_start=y, x_stop=stop_x, y_stop=stop_y))
                if part is not None:
                    yield part


NO_BLOCKS = WinningBlocks({})


class VisibilitySolver:
    """Solver of the frames' claims, from their quality bounds.

    In memory are the promises of every tile (128 bytes) and the bounds of frames where they still can win:
    with every 32 frames bounds that were outdone are dropped, so that far ground of oblique views does not
    pile up.
    """

    def __init__(self) -> None:
        self._promised: dict[TileId, QualityWords] = {}
        self._highest: dict[str, dict[TileId, QualityWords]] = {}
        self._fresh: list[str] = []

    def add_frame(self, frame_id: str, tiles: TileRange, bounds: QualityBounds) -> None:
        """Add a frame with the bounds of its quality on `tiles`."""
        columns = tiles.shape_tiles[1]
        highest = self._highest[frame_id] = {}
        for place, low, high in zip(bounds.index.tolist(), bounds.lowest, bounds.highest, strict=True):
            row, column = divmod(place, columns)
            tile = TileId(z=tiles.z, x=tiles.x_start + column, y=tiles.y_start + row)
            highest[tile] = high
            self._promised[tile] = np.maximum(self._promised.pop(tile, _NOTHING), low)
        self._fresh.append(frame_id)
        if len(self._fresh) >= _FORGET_EVERY:
            self._forget_outdone(self._fresh)
            self._fresh = self._fresh[_FORGET_EVERY // 2 :]

    def remove_frame(self, frame_id: str) -> None:
        """Drop a frame's bounds; its promises remain."""
        self._highest.pop(frame_id, None)

    def forget_tiles(self, max_tiles: int) -> None:
        """Drop promises on all but the `max_tiles` tiles that were promised last.

        A frame that comes there later claims more than it can win.
        """
        for tile in list(islice(self._promised, max(len(self._promised) - max_tiles, 0))):
            del self._promised[tile]

    def solve(self, frame_id: str) -> WinningBlocks:
        """Return the blocks that a frame can win against the frames added so far."""
        highest = self._highest.get(frame_id, {})
        blocks = {tile: self._winnable(tile, high) for tile, high in highest.items()}
        return WinningBlocks({tile: wins for tile, wins in blocks.items() if wins.any()})

    def _winnable(self, tile: TileId, highest: QualityWords) -> Bools:
        wins: Bools = (highest > 0) & (highest >= self._promised.get(tile, _NOTHING))
        return wins

    def _forget_outdone(self, frame_ids: Iterable[str]) -> None:
        for frame_id in frame_ids:
            highest = self._highest.get(frame_id)
            if highest is None:
                continue
            self._highest[frame_id] = {
                t: high for t, high in highest.items() if self._winnable(t, high).any()
            }


class TileCountdown:
    """Count of the frames that may still come to each tile, to write finished ones.

    finished  claimed tiles to which nothing more comes
    """

    def __init__(self, frames: Iterable[TileRange]) -> None:
        self._left = Counter(tile for tiles in frames for tile in tiles)
        self._claimed: set[TileId] = set()
        self.finished: list[TileId] = []

    def settle(self, tiles: Iterable[TileId], claim: WinningBlocks) -> None:
        """Restrict a frame that may touch these tiles to those of its claim.

        Call it as soon as anything is known of a frame, and again, with the tiles of that claim, when it
        claims less.
        """
        self._claimed.update(claim.blocks)
        self._pass(tile for tile in tiles if tile not in claim.blocks)

    def mark_merged(self, claim: WinningBlocks) -> None:
        """Count a claim as merged."""
        self._pass(claim.blocks)

    def _pass(self, tiles: Iterable[TileId]) -> None:
        for tile in tiles:
            self._left[tile] -= 1
            if self._left[tile] <= 0:
                del self._left[tile]
                if tile in self._claimed:
                    self._claimed.discard(tile)
                    self.finished.append(tile)
