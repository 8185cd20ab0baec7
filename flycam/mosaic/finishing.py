"""Finished tiles: the plan's owners at full size, blended, with the expected error of every pixel.

Tiles are made block by block; a block reaches beyond its tiles by as much as blending looks around, so a tile
has the same bytes in whatever block it is made. Only the frames that own ground near a block are rectified,
and only there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.frame.tile import FIRST_EPOCH, NO_SOURCE, MosaicTile
from flycam.geometry.blocks import BLOCK_PX
from flycam.geometry.grid import TILE_SIZE_PX, TileId, TileRange, along_the_ground
from flycam.mosaic.blend import REACH_PX, Blender, Mask
from flycam.mosaic.hidden import ErrorOf, Hidden, PatchOf, owners_within
from flycam.mosaic.merge import sorted_sources
from flycam.mosaic.overview import Box, Bytes, Words
from flycam.mosaic.seamline import SeamPlan

BLOCK_TILES = 4
_BEST_QUALITY = 65535
_NEARBY_PX = 12  # label pixels around a tile whose owners may fill its last holes
_SMOOTH_PX = 5  # label pixels over which a seam's corners are rounded


def quality_of_error(error_m: NDArray[np.float32]) -> Words:
    """Quality of a finished pixel from its expected error in metres: 65535 less millimetres, at least 1."""
    millimetres = np.rint(np.nan_to_num(error_m, nan=np.inf).clip(0.0, 100.0) * 1000.0)
    return np.asarray(np.clip(_BEST_QUALITY - millimetres, 1, _BEST_QUALITY), dtype=np.uint16)


def error_of_quality(quality: Words) -> NDArray[np.float32]:
    """The expected error in metres that a finished tile's quality says; NaN where there is no data."""
    error = (_BEST_QUALITY - quality.astype(np.float32)) / np.float32(1000.0)
    return np.where(quality > 0, error, np.float32(np.nan)).astype(np.float32)


def planned_tiles(plan: SeamPlan, base_zoom: int) -> list[TileId]:
    """The base tiles that hold planned ground, row by row."""
    side = TILE_SIZE_PX >> (base_zoom - plan.z)
    around = plan.box.aligned(side)
    covered = np.zeros(around.shape, dtype=np.bool_)
    covered[plan.box.within(around)] = plan.owner > 0
    rows, cols = (n // side for n in around.shape)
    held = covered.reshape(rows, side, cols, side).any(axis=(1, 3))
    top, left = around.row // side, around.col // side
    return [TileId(z=base_zoom, x=left + int(c), y=top + int(r)) for r, c in np.argwhere(held)]


def finish_tiles(
    plan: SeamPlan,
    base_zoom: int,
    patch_of: PatchOf,
    error_of: ErrorOf,
    *,
    hidden: Hidden | None = None,
    tiles: Iterable[TileId] | None = None,
    block_tiles: int = BLOCK_TILES,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[MosaicTile]:
    """The finished tiles (all planned ones, or those of `tiles` that have data), block by block.

    patch_of(frame_id, tiles, wanted)  the frame rectified onto `tiles` or the part of them it has, from
        pixels that `Radiometry.corrected` gave; None if it has none. wanted as in `geometry.rectify`: what
        is not asked for may be left out. A frame is asked for at places near the ground it owns. Called
        from `workers` threads.
    error_of(frame_id, tile)  expected error of its pixels there, 256×256 float32 metres
    hidden       what stands in for ground inside the mosaic that every frame believes hidden; None: it stays
                 empty
    block_tiles  side of a block: only memory and time depend on it
    """
    ground = np.zeros_like(plan.owner) if hidden is None else owners_within(plan)
    wanted = planned_tiles(plan, base_zoom) if tiles is None else list(tiles)
    blocks = _blocks(wanted, block_tiles)

    def work(members: list[TileId]) -> list[MosaicTile]:
        return _block(plan, base_zoom, members, patch_of, error_of, hidden, ground)

    results = _in_order(work, blocks, workers)
    for done, finished in enumerate(results, start=1):
        yield from finished
        progress(done, len(blocks))


def _blocks(tiles: Sequence[TileId], side: int) -> list[list[TileId]]:
    """Tiles by squares of side×side, neighbouring squares one after the other: they ask for the same photos,
    and parents are made of tiles that came lately."""
    blocks: dict[tuple[int, int], list[TileId]] = {}
    for tile in tiles:
        blocks.setdefault((tile.y // side, tile.x // side), []).append(tile)
    members = list(blocks.values())
    places = np.array(list(blocks), dtype=np.int64).reshape(-1, 2)
    return [members[number] for number in along_the_ground(places[:, 0], places[:, 1])]


def _in_order(
    work: Callable[[list[TileId]], list[MosaicTile]], blocks: list[list[TileId]], workers: int
) -> Iterator[list[MosaicTile]]:
    """Results in the order of the blocks, from threads, with as many in flight as threads."""
    if workers == 1:
        yield from map(work, blocks)
        return
    cv2.setNumThreads(1)
    waiting: deque[Future[list[MosaicTile]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="finish") as pool:
        for block in blocks:
            waiting.append(pool.submit(work, block))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _block(
    plan: SeamPlan,
    base_zoom: int,
    members: list[TileId],
    patch_of: PatchOf,
    error_of: ErrorOf,
    hidden: Hidden | None,
    ground: Words,
) -> list[MosaicTile]:
    window = _around(members).grown(REACH_PX)
    pictures = _Pictures(window, base_zoom, patch_of, plan.frames)
    nearest = _enlarged(plan, ground, base_zoom, window)
    owner = _owners(plan, base_zoom, window, pictures, nearest)
    through = np.zeros_like(owner)
    layers = [(owner, pictures)]
    if hidden is not None:
        beyond = _Pictures(window, base_zoom, hidden.patch_of, plan.frames)
        holes = (nearest > 0) & (owner == NO_SOURCE)
        through = _through(plan, base_zoom, holes, nearest, beyond)
        layers.append((through, beyond))
    blender = Blender(window)
    for labels, shown in layers:
        for label in _present(labels):
            owned = labels == label
            picture = shown.of(label, owned)
            at = picture.box.within(window)
            blender.add(picture.box, picture.rgb, picture.seen, owned[at])
    rgb = blender.colours()
    both = np.where(owner == NO_SOURCE, through, owner)
    rgb[both == NO_SOURCE] = 0
    tiles = []
    for tile in members:
        at = _box_of(tile).within(window)
        if both[at].any():
            parts = [(owner[at], error_of)]
            if hidden is not None:
                parts.append((through[at], hidden.error_of))
            tiles.append(_tile(tile, rgb[at], both[at], plan.frames, parts))
    return tiles


def _tile(
    tile: TileId,
    rgb: Bytes,
    owner: Words,
    frames: tuple[str, ...],
    parts: Sequence[tuple[Words, ErrorOf]],
) -> MosaicTile:
    """A tile of its pixels and their owners; parts of it by owner, each with the errors of what it shows."""
    labels = _present(owner)
    names = tuple(frames[label - 1] for label in labels)
    numbers = np.zeros(len(frames) + 1, dtype=np.uint16)
    numbers[labels] = np.arange(1, len(labels) + 1)
    source, table = sorted_sources(numbers[owner], names)
    quality = np.zeros(owner.shape, dtype=np.uint16)
    for part, error_of in parts:
        for label in _present(part):
            own = part == label
            np.copyto(quality, quality_of_error(error_of(frames[label - 1], tile)), where=own)
    return MosaicTile(
        tile_id=tile,
        rgb=np.ascontiguousarray(rgb),
        quality=quality,
        source=source,
        frames=table,
        epoch=FIRST_EPOCH,
    )


# -- who owns the pixels ------------------------------------------------------------------------


def _owners(plan: SeamPlan, base_zoom: int, window: Box, pictures: _Pictures, nearest: Words) -> Words:
    """H×W labels of a window: the plan's owner, its seams rounded; where that frame sees nothing, the owner
    with its corners, then who stands second, then the nearest owner inside the mosaic, then, where some
    overview saw it, whoever owns ground nearby; else nobody."""
    owner = np.zeros(window.shape, dtype=np.uint16)
    second = _enlarged(plan, plan.second, base_zoom, window)
    _settle(owner, _rounded(plan, base_zoom, window), pictures)
    _settle(owner, _enlarged(plan, plan.owner, base_zoom, window), pictures)
    _settle(owner, second, pictures)
    _settle(owner, nearest, pictures)
    holes = (owner == NO_SOURCE) & (second > 0)  # ground that some frames' overviews saw
    _settle_nearby(owner, plan, base_zoom, holes, pictures)
    return owner


def _settle(owner: Words, wanted: Words, pictures: _Pictures) -> None:
    """Give what nobody owns yet to those who are wanted there, where they see it."""
    wanted = np.where(owner == NO_SOURCE, wanted, NO_SOURCE).astype(np.uint16)
    for label in _present(wanted):
        asked = wanted == label
        picture = pictures.of(label, asked)
        at = picture.box.within(pictures.window)
        np.copyto(owner[at], np.uint16(label), where=asked[at] & picture.seen)


def _through(plan: SeamPlan, base_zoom: int, holes: Mask, nearest: Words, pictures: _Pictures) -> Words:
    """H×W labels of the frames that stand in at holes: whoever owns the ground next to them, else whoever
    owns ground nearby; 0 where none has it in its picture."""
    result = np.zeros_like(nearest)
    if holes.any():
        _settle(result, np.where(holes, nearest, NO_SOURCE).astype(np.uint16), pictures)
        _settle_nearby(result, plan, base_zoom, holes & (result == NO_SOURCE), pictures)
    return result


def _settle_nearby(owner: Words, plan: SeamPlan, base_zoom: int, holes: Mask, pictures: _Pictures) -> None:
    """Give the holes of each tile to whoever owns ground near it: the lowest label that sees them."""
    parts: dict[int, list[tuple[slice, slice]]] = {}
    for tile in _tiles_around(pictures.window, base_zoom) if holes.any() else ():
        part = _box_of(tile).intersection(pictures.window).within(pictures.window)
        if holes[part].any():
            for label in _nearby(plan, base_zoom, tile):
                parts.setdefault(label, []).append(part)
    for label in sorted(parts):
        wanted = np.zeros_like(owner)
        for part in parts[label]:
            wanted[part][holes[part]] = label
        _settle(owner, wanted, pictures)


def _nearby(plan: SeamPlan, base_zoom: int, tile: TileId) -> list[int]:
    """Labels on and around a tile, ascending: a function of the plan and the tile alone."""
    near = _coarse(_box_of(tile), 1 << (base_zoom - plan.z))
    at = near.grown(_NEARBY_PX).intersection(plan.box).within(plan.box)
    return sorted({*_present(plan.owner[at]), *_present(plan.second[at])})


def _enlarged(plan: SeamPlan, plane: Words, base_zoom: int, window: Box) -> Words:
    """A plane of the plan over a window of base pixels, each label pixel a square."""
    step = 1 << (base_zoom - plan.z)
    coarse = _coarse(window, step)
    labels = np.zeros(coarse.shape, dtype=np.uint16)
    inside = coarse.intersection(plan.box)
    if not inside.is_empty:
        labels[inside.within(coarse)] = plane[inside.within(plan.box)]
    large = labels.repeat(step, axis=0).repeat(step, axis=1)
    top, left = window.row - coarse.row * step, window.col - coarse.col * step
    return np.ascontiguousarray(large[top : top + window.shape[0], left : left + window.shape[1]])


def _coarse(box: Box, step: int) -> Box:
    """The label pixels that a box of base pixels touches."""
    return Box(
        row=box.row // step,
        col=box.col // step,
        row_stop=-(-box.row_stop // step),
        col_stop=-(-box.col_stop // step),
    )


def _rounded(plan: SeamPlan, base_zoom: int, window: Box) -> Words:
    """The owners over a window, with seams as smooth curves instead of the squares of label pixels.

    Each owner's ground is blurred a little and enlarged; the largest share wins (of equals the lower label).
    """
    step = 1 << (base_zoom - plan.z)
    margin = _SMOOTH_PX + 1
    coarse = _coarse(window, step).grown(margin)
    labels = np.zeros(coarse.shape, dtype=np.uint16)
    inside = coarse.intersection(plan.box)
    if not inside.is_empty:
        labels[inside.within(coarse)] = plan.owner[inside.within(plan.box)]
    result = np.zeros(window.shape, dtype=np.uint16)
    share = np.zeros(window.shape, dtype=np.uint8)
    for label in _present(labels):
        mask = (labels == label).view(np.uint8) * np.uint8(255)
        left, top, width, height = cv2.boundingRect(mask)
        near = Box(row=coarse.row + top, col=coarse.col + left, row_stop=coarse.row + top + height,
                   col_stop=coarse.col + left + width).grown(margin).intersection(coarse)  # fmt: skip
        soft = cv2.GaussianBlur(mask[near.within(coarse)], (_SMOOTH_PX, _SMOOTH_PX), 0)
        large = cv2.resize(soft, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
        reach = Box(row=near.row * step, col=near.col * step, row_stop=near.row_stop * step,
                    col_stop=near.col_stop * step)  # fmt: skip
        here = reach.intersection(window)
        if here.is_empty:
            continue
        at, part = here.within(window), np.asarray(large)[here.within(reach)]
        wins = part > share[at]
        share[at][wins] = part[wins]
        result[at][wins] = label
    result[_enlarged(plan, plan.owner, base_zoom, window) == NO_SOURCE] = NO_SOURCE
    return result


def _present(labels: Words) -> list[int]:
    """The labels in a plane, ascending, without 0."""
    most = int(labels.max()) + 1
    counts = cv2.calcHist([labels], [0], None, [most], [0, most])
    return [int(label) for label in np.flatnonzero(counts) if label != NO_SOURCE]


# -- pictures of a window -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Picture:
    """blocks: of the whole window, those that were asked for."""

    box: Box
    rgb: Bytes
    seen: Mask
    blocks: Mask


class _Pictures:
    """What frames show in a window: asked for block by block where needed, and no block twice."""

    def __init__(self, window: Box, base_zoom: int, patch_of: PatchOf, frames: tuple[str, ...]) -> None:
        self.window = window
        self._zoom = base_zoom
        self._patch_of = patch_of
        self._frames = frames
        self._kept: dict[int, _Picture] = {}

    def of(self, label: int, where: Mask) -> _Picture:
        """The frame over a box with all that lies within REACH_PX of `where` (H×W of the window); what is
        farther off may be missing."""
        needed = _blocks_around(where)
        kept = self._kept.get(label)
        if kept is None or (needed & ~kept.blocks).any():
            kept = self._kept[label] = self._made(label, needed, kept)
        return kept

    def _made(self, label: int, needed: Mask, kept: _Picture | None) -> _Picture:
        blocks = needed if kept is None else needed | kept.blocks
        box = self._box_of(blocks)
        rgb = np.zeros((*box.shape, 3), dtype=np.uint8)
        seen = np.zeros(box.shape, dtype=np.bool_)
        if kept is not None:
            needed = needed & ~kept.blocks
            rgb[kept.box.within(box)] = kept.rgb
            seen[kept.box.within(box)] = kept.seen
        asked = self._box_of(needed)
        tiles = _tiles_around(asked, self._zoom)
        around = _box_of_range(tiles)
        wanted = np.zeros(tuple(n // BLOCK_PX for n in around.shape), dtype=np.bool_)
        wanted[_in_blocks(asked.within(around))] = needed[_in_blocks(asked.within(self.window))]
        patch = self._patch_of(self._frames[label - 1], tiles, wanted)
        if patch is not None and not patch.tiles.is_empty:
            there = _box_of_range(patch.tiles)
            both = there.intersection(asked)
            if not both.is_empty:
                # what was there stays: a patch may or may not have more than it was asked for
                new = _pixels_of(needed[_in_blocks(both.within(self.window))])
                at, part = both.within(box), both.within(there)
                cv2.copyTo(patch.rgb[part], new, rgb[at])
                seen[at] |= (patch.quality[part] > 0) & (new > 0)
        return _Picture(box, rgb, seen, blocks)

    def _box_of(self, blocks: Mask) -> Box:
        left, top, width, height = cv2.boundingRect(blocks.view(np.uint8))
        row, col = self.window.row + top * BLOCK_PX, self.window.col + left * BLOCK_PX
        return Box(row=row, col=col, row_stop=row + height * BLOCK_PX, col_stop=col + width * BLOCK_PX)


def _blocks_around(where: Mask) -> Mask:
    """Blocks of a window with pixels of `where`, and all within REACH_PX of them."""
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
    """Blocks as pixels: 1 where one is."""
    return np.repeat(np.repeat(blocks.view(np.uint8), BLOCK_PX, axis=0), BLOCK_PX, axis=1)


def _tiles_around(box: Box, zoom: int) -> TileRange:
    tiles = box.aligned(TILE_SIZE_PX)
    return TileRange(
        z=zoom,
        x_start=tiles.col // TILE_SIZE_PX,
        y_start=tiles.row // TILE_SIZE_PX,
        x_stop=tiles.col_stop // TILE_SIZE_PX,
        y_stop=tiles.row_stop // TILE_SIZE_PX,
    )


def _box_of_range(tiles: TileRange) -> Box:
    return Box(
        row=tiles.y_start * TILE_SIZE_PX,
        col=tiles.x_start * TILE_SIZE_PX,
        row_stop=tiles.y_stop * TILE_SIZE_PX,
        col_stop=tiles.x_stop * TILE_SIZE_PX,
    )


def _box_of(tile: TileId) -> Box:
    return Box(
        row=tile.y * TILE_SIZE_PX,
        col=tile.x * TILE_SIZE_PX,
        row_stop=(tile.y + 1) * TILE_SIZE_PX,
        col_stop=(tile.x + 1) * TILE_SIZE_PX,
    )


def _around(members: list[TileId]) -> Box:
    box = _box_of(members[0])
    for tile in members[1:]:
        box = box.union(_box_of(tile))
    return box
