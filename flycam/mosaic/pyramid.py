"""Parents: a pure function of four children, in integer arithmetic.

A parent pixel covers a 2×2 block of child pixels. Of those that have data:
    rgb      (sum + n // 2) // n for each band, n = 1..4 pixels with data
    quality  the largest, and its source the frame of that pixel (ties: the larger frame id)
No data where none of the four has any. Each child determines one quadrant of its parent by itself, so a
parent is brought up to date by replacing the quadrants of the children that changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.frame.tile import MosaicTile
from flycam.geometry.grid import TILE_SIZE_PX, TileId
from flycam.mosaic.merge import PARENT_EPOCH, sorted_sources

_HALF = TILE_SIZE_PX // 2
_SHAPE = (TILE_SIZE_PX, TILE_SIZE_PX)


@dataclass(frozen=True, kw_only=True, slots=True)
class Quadrant:
    """A child at half its resolution: what it contributes to its parent (planes 128×128)."""

    tile_id: TileId
    rgb: NDArray[np.uint8]
    quality: NDArray[np.uint16]
    source: NDArray[np.uint16]
    frames: tuple[str, ...]


def quadrant_of(child: MosaicTile) -> Quadrant:
    """Reduce a tile by two in each direction, by the rule at the head of this module."""
    key = (child.quality.astype(np.uint32) << 16) | child.source
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
    """`parent` (None: nothing there yet) with the quadrants of the given children replaced.

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
    source, frames = sorted_sources(source, names)
    return MosaicTile(
        tile_id=parent_id, rgb=rgb, quality=quality, source=source, frames=frames, epoch=PARENT_EPOCH
    )


def parent_of(parent_id: TileId, children: Iterable[MosaicTile]) -> MosaicTile:
    """The parent of up to four children (an absent child has no data); their order does not matter."""
    return with_quadrants(None, parent_id, (quadrant_of(child) for child in children))


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
    total = _block_sums(np.stack(cv2.split(rgb)).astype(np.uint8, copy=False))
    count = _block_sums((quality > 0).view(np.uint8)[None])[0]
    mean = ((total + 2) >> 2).astype(np.uint8)  # no data is rgb 0, so it adds nothing to the sum
    rows, cols = np.nonzero((count > 0) & (count < 4))
    if rows.size:
        n = count[rows, cols]
        mean[:, rows, cols] = (total[:, rows, cols] + n // 2) // n
    return np.asarray(cv2.merge(list(mean)), dtype=np.uint8)


def _block_sums(planes: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Sums over 2×2 blocks of B×256×256, as B×128×128."""
    pairs = planes.view(np.uint16)  # two neighbours in one word: added without a strided loop
    columns = (pairs & 0xFF) + (pairs >> 8)
    return np.asarray(columns[:, 0::2] + columns[:, 1::2], dtype=np.uint16)
