"""Bounds of a frame's quality on blocks of its tiles, from its lattices alone.

They need no pixels. A block is 32×32 pixels, 8×8 of them a tile. Pixels are bilinear between lattice nodes,
and blocks are whole cells, so over a block pixels lie between the extremes of its nodes: the bounds are
proved, not guessed, and tight, because quality changes slowly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import InteriorOrientation
from flycam.geometry.frame_view import MAX_QUALITY, FrameView, group_compatible_views
from flycam.geometry.grid import TILE_SIZE_PX, TileRange
from flycam.geometry.lattice import (
    MAX_LATTICE_ERROR_PX,
    QUARTERS,
    FrameLattices,
    TileLattices,
    build_joint_lattices,
)
from flycam.geometry.posts import PostView, has_fine_posts

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Words = NDArray[np.uint16]
_Scalar = TypeVar("_Scalar", bound=np.generic)

BLOCK_PX = 32
BLOCKS = TILE_SIZE_PX // BLOCK_PX
_PER_QUARTER = BLOCKS // QUARTERS
# Above the rounding of enlarged coordinates (pixels) and of visibility margins (metres), both float32.
_SURELY = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityBounds:
    """Bounds of one frame's qualities on the K tiles of a range that it sees.

    index    K, numbers of the range's tiles, row by row
    lowest   K×8×8 uint16: every pixel of the block is at least as good; 0 where one may have no data
    highest  K×8×8 uint16: no pixel of the block is better; 0 where none can have data
    """

    index: Indices
    lowest: Words
    highest: Words


def compute_quality_bounds(
    views: Sequence[FrameView], tiles: Sequence[TileRange]
) -> list[tuple[QualityBounds, FrameLattices | None]]:
    """Bound the qualities that `orthorectify` gives several frames on their tiles (all of one zoom).

    Also returns the lattices that they come from (None over fine posts), so that `orthorectify`
    need not make them again. To the same bits for each frame as alone; much faster for compatible
    frames (`frame_view.group_compatible_views`), whose lattices share their memory until they are copied.
    """
    found: list[tuple[QualityBounds, FrameLattices | None]] = []
    for run in group_compatible_views(views):
        ranges = tiles[len(found) : len(found) + len(run)]
        fine = [has_fine_posts(view) for view in run]
        coarse = [number for number, is_fine in enumerate(fine) if not is_fine]
        on_lattices = _on_lattices([run[n] for n in coarse], [ranges[n] for n in coarse])
        for view, one, is_fine in zip(run, ranges, fine, strict=True):
            found.append((_over_posts(view, one), None) if is_fine else next(on_lattices))
    return found


def _over_posts(view: FrameView, tiles: TileRange) -> QualityBounds:
    lowest, highest = _nothing_seen(len(tiles))
    for tile in PostView(view).tiles(tiles):
        pixels = tile.quality.reshape(BLOCKS, BLOCK_PX, BLOCKS, BLOCK_PX)
        lowest[tile.index], highest[tile.index] = pixels.min(axis=(1, 3)), pixels.max(axis=(1, 3))
    return _seen(lowest, highest)


def _on_lattices(
    views: Sequence[FrameView], tiles: Sequence[TileRange]
) -> Iterator[tuple[QualityBounds, FrameLattices]]:
    """Yield bounds and lattices of compatible frames."""
    counts = [len(one) for one in tiles]
    lowest, highest = _nothing_seen(sum(counts))
    lattices = build_joint_lattices(views, tiles, MAX_LATTICE_ERROR_PX)
    for one in lattices.tiles:
        lowest[one.index], highest[one.index] = _bounds_of(views[0].interior, one)
    for one in lattices.quarters:
        place = np.unravel_index(one.index, (sum(counts), QUARTERS, QUARTERS))
        for bound, found in zip((lowest, highest), _bounds_of(views[0].interior, one), strict=True):
            per_quarter = bound.reshape(-1, QUARTERS, _PER_QUARTER, QUARTERS, _PER_QUARTER).swapaxes(2, 3)
            per_quarter[place] = found
    first = 0
    for count, own in zip(counts, lattices.split(counts), strict=True):
        yield _seen(lowest[first : first + count], highest[first : first + count]), own
        first += count


def _nothing_seen(count: int) -> tuple[Words, Words]:
    shape = (count, BLOCKS, BLOCKS)
    return np.zeros(shape, dtype=np.uint16), np.zeros(shape, dtype=np.uint16)


def _seen(lowest: Words, highest: Words) -> QualityBounds:
    index = np.flatnonzero(highest.reshape(highest.shape[0], BLOCKS * BLOCKS).any(axis=1))
    return QualityBounds(index=index, lowest=lowest[index], highest=highest[index])


def get_full_extents(tiles: TileRange) -> Indices:
    """Return the extents of all tiles of a range, each full, T×4.

    First and stop row, first and stop column, in the tile's own pixels.
    """
    return np.tile(np.array([0, TILE_SIZE_PX, 0, TILE_SIZE_PX]), (len(tiles), 1))


def compute_wanted_extents(tiles: TileRange, wanted: NDArray[np.bool_]) -> Indices:
    """Return the smallest rectangle of each tile that holds its wanted blocks.

    wanted  8·rows×8·columns of tiles.shape_tiles

    As `get_full_extents`; zeros where no block is wanted.
    """
    blocks = _per_tile(tiles, wanted)
    ends = []
    for across in (2, 1):
        along = np.asarray(blocks.any(axis=across), dtype=np.bool_)
        ends += [along.argmax(axis=1), BLOCKS - along[:, ::-1].argmax(axis=1)]
    extents: Indices = np.stack(ends, axis=-1).astype(np.int64) * BLOCK_PX
    extents[~blocks.any(axis=(1, 2))] = 0
    return extents


def crop_blocks(tiles: TileRange, wanted: NDArray[np.bool_], part: TileRange) -> NDArray[np.bool_]:
    """Return the wanted blocks of a range that lie in `part`, as blocks of it."""
    top, left = BLOCKS * (part.y_start - tiles.y_start), BLOCKS * (part.x_start - tiles.x_start)
    rows, cols = part.shape_tiles
    return wanted[top : top + BLOCKS * rows, left : left + BLOCKS * cols]


def find_wanted_tiles(tiles: TileRange, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return T flags, row by row: True for tiles with a wanted block."""
    return np.asarray(_per_tile(tiles, wanted).any(axis=(1, 2)), dtype=np.bool_)


def _per_tile(tiles: TileRange, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows, cols = tiles.shape_tiles
    return wanted.reshape(rows, BLOCKS, cols, BLOCKS).swapaxes(1, 2).reshape(-1, BLOCKS, BLOCKS)


def _bounds_of(interior: InteriorOrientation, lattices: TileLattices) -> tuple[Words, Words]:
    width, height = interior.image_size_px
    count = lattices.side_px // BLOCK_PX
    nodes = np.empty((3, *lattices.quality.shape), dtype=np.float32)
    nodes[0], nodes[1], nodes[2] = lattices.quality, lattices.map_uv[..., 0], lattices.map_uv[..., 1]
    low, high = _extremes(nodes.reshape(-1, *nodes.shape[2:]), count)
    low_q, low_u, low_v = low.reshape(3, -1, count, count)
    high_q, high_u, high_v = high.reshape(3, -1, count, count)
    # a comparison with NaN (a node is not known) is False: neither bound is then certain
    inside = (low_u >= _SURELY) & (high_u <= width - 1.0 - _SURELY)
    inside &= (low_v >= _SURELY) & (high_v <= height - 1.0 - _SURELY)
    outside = (high_u < -_SURELY) | (low_u > width - 1.0 + _SURELY)
    outside |= (high_v < -_SURELY) | (low_v > height - 1.0 + _SURELY)
    if lattices.hidden.any():
        low_margin, high_margin = _extremes(lattices.margin, count)
        # a mean of such numbers is >= 0 under any rounding
        inside &= low_margin >= 0.0
        outside |= high_margin < -_SURELY
    lowest = np.where(inside, np.maximum(np.floor(low_q) - 1.0, 0.0), 0.0)
    highest = np.where(outside, 0.0, np.minimum(np.ceil(high_q) + 1.0, MAX_QUALITY))
    return lowest.astype(np.uint16), highest.astype(np.uint16)


def _extremes(nodes: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the smallest and largest node of count×count blocks.

    nodes S×(n+1)×(n+1); blocks of m×m cells, m = n / count. NaN where a node is.
    """
    m = (nodes.shape[-1] - 1) // count
    found = []
    for extreme in (np.minimum, np.maximum):
        rows = nodes[:, :-1:m].copy()
        # a few strided passes: a reduction along so short an axis is slow
        for node in range(1, m + 1):
            extreme(rows, nodes[:, node::m][:, :count], out=rows)
        both = rows[:, :, :-1:m].copy()
        for node in range(1, m + 1):
            extreme(both, rows[:, :, node::m][:, :, :count], out=both)
        found.append(both)
    return found[0], found[1]
