"""Parents: a pure function of four children, in integer arithmetic.

A parent pixel covers a 2×2 block of child pixels. Of those that have data:
    rgb      (sum + n // 2) // n for each band, n = 1..4 pixels with data
    quality  the largest, and its source the frame of that pixel (ties: the larger frame id)
No data where none of the four has any. Each child determines one quadrant of its parent by itself, so a
parent is updated by replacing the quadrants of the children that changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.frame.tile import MosaicTile
from flycam.geometry.grid import TILE_SIZE_PX, TileId
from flycam.mosaic.merge import PARENT_EPOCH, sort_sources

_HALF = TILE_SIZE_PX // 2
_SHAPE = (TILE_SIZE_PX, TILE_SIZE_PX)
_BLOCK_STEPS = (0, 1, TILE_SIZE_PX, TILE_SIZE_PX + 1)  # a 2×2 block in a flattened tile


@dataclass(frozen=True, kw_only=True, slots=True)
class Quadrant:
    """A child at half its resolution: its part of the parent (planes 128×128)."""

    tile_id: TileId
    rgb: NDArray[np.uint8]
    quality: NDArray[np.uint16]
    source: NDArray[np.uint16]
    frames: tuple[str, ...]


def reduce_to_quadrant(child: MosaicTile) -> Quadrant:
    """Reduce a tile by two in each direction, by this module's rule."""
    key = cv2.merge([child.source, child.quality]).view("<u4")[..., 0]  # (quality << 16) | source
    rows = np.maximum(key[0::2], key[1::2])
    best = np.maximum(rows[:, 0::2], rows[:, 1::2])
    return Quadrant(
        tile_id=child.tile_id,
        rgb=_mean_rgb(child.rgb, child.quality),
        quality=(best >> 16).astype(np.uint16),
        source=(best & 0xFFFF).astype(np.uint16),
        frames=child.frames,
    )


def with_quadrants(parent: MosaicTile | None, parent_id: TileId, children: Iterable[Quadrant]) -> MosaicTile:
    """Return `parent` (None: nothing there yet) with the given children's quadrants.

    Raises ValueError if a child does not belong to `parent_id`.
    """
    quadrants = list(children)
    old_frames = parent.frames if parent else ()
    names = sorted({*old_frames, *(f for q in quadrants for f in q.frames)})
    place = {name: i for i, name in enumerate(names, start=1)}
    rgb = parent.rgb.copy() if parent else np.zeros((*_SHAPE, 3), dtype=np.uint8)
    quality = parent.quality.copy() if parent else np.zeros(_SHAPE, dtype=np.uint16)
    source = _renumbered(parent.source, old_frames, place) if parent else np.zeros(_SHAPE, dtype=np.uint16)
    for quadrant in quadrants:
        at = _window(quadrant.tile_id, parent_id)
        rgb[at], quality[at] = quadrant.rgb, quadrant.quality
        source[at] = _renumbered(quadrant.source, quadrant.frames, place)
    source, frames = sort_sources(source, names)
    return MosaicTile(
        tile_id=parent_id, rgb=rgb, quality=quality, source=source, frames=frames, epoch=PARENT_EPOCH
    )


def make_parent_tile(parent_id: TileId, children: Iterable[MosaicTile]) -> MosaicTile:
    """Make the parent of up to four children; an absent one has no data.

    Their order does not matter.
    """
    return with_quadrants(None, parent_id, (reduce_to_quadrant(child) for child in children))


def _window(child_id: TileId, parent_id: TileId) -> tuple[slice, slice]:
    if child_id.parent() != parent_id:
        raise ValueError(f"tile {child_id} is not a child of {parent_id}")
    row, col = (child_id.y & 1) * _HALF, (child_id.x & 1) * _HALF
    return slice(row, row + _HALF), slice(col, col + _HALF)


def _renumbered(
    source: NDArray[np.uint16], frames: tuple[str, ...], place: Mapping[str, int]
) -> NDArray[np.uint16]:
    return np.take(np.array([0, *(place[f] for f in frames)], dtype=np.uint16), source)


def _mean_rgb(rgb: NDArray[np.uint8], quality: NDArray[np.uint16]) -> NDArray[np.uint8]:
    # of four bytes OpenCV's area mean is (sum + 2) >> 2, in integers
    mean = np.asarray(cv2.resize(rgb, (_HALF, _HALF), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if cv2.countNonZero(quality) == quality.size:
        return mean
    count = _block_counts(quality > 0)
    rows, cols = np.nonzero((count > 0) & (count < 4))
    if rows.size:
        n = count[rows, cols].astype(np.uint16)[:, None]
        first = 2 * (rows * TILE_SIZE_PX + cols)
        pixels = rgb.reshape(-1, 3)
        # no data is rgb 0, so it adds nothing to the sum
        total = sum(pixels.take(first + step, axis=0).astype(np.uint16) for step in _BLOCK_STEPS)
        mean[rows, cols] = (total + n // 2) // n
    return mean


def _block_counts(held: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Count the marked pixels in each 2×2 block of 256×256: 128×128."""
    # two neighbours in one word are added without a strided loop
    pairs = held.view(np.uint16)
    both = pairs[0::2] + pairs[1::2]
    return ((both & 0xFF) + (both >> 8)).astype(np.uint8)
