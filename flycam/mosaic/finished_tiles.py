"""Finished tiles: the plan's owners at full size, blended, with the expected error of every pixel.

Tiles are made block by block; a block reaches beyond its tiles by as much as blending looks around, so a tile
has the same bytes in whatever block it is made. Only the frames that own ground near a block are rectified,
and only there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.frame.tile import FIRST_EPOCH, NO_SOURCE, MosaicTile
from flycam.geometry.grid import TILE_SIZE_PX, TileId, order_along_morton_curve
from flycam.mosaic.blending import REACH_PX, Blender
from flycam.mosaic.frame_overview import Bytes, PixelBox, Words
from flycam.mosaic.merge import sort_sources
from flycam.mosaic.occlusion_fill import ErrorOf, OcclusionFill, find_inner_owners
from flycam.mosaic.seam_owners import assign_owners, assign_stand_ins, list_labels, upsample_plane
from flycam.mosaic.seamline import SeamPlan
from flycam.mosaic.window_patches import PatchOf, WindowPatches, to_tile_box

BLOCK_TILES = 4
# the smaller error is the larger quality, so that a parent still takes the best child (decision 0011)
_BEST_QUALITY = 65535


def encode_error_m(error_m: NDArray[np.float32]) -> Words:
    """Encode expected error in metres as quality: 65535 less millimetres, at least 1."""
    millimetres = np.rint(np.nan_to_num(error_m, nan=np.inf).clip(0.0, 100.0) * 1000.0)
    return np.asarray(np.clip(_BEST_QUALITY - millimetres, 1, _BEST_QUALITY), dtype=np.uint16)


def decode_error_m(quality: Words) -> NDArray[np.float32]:
    """Decode finished quality to expected error in metres; NaN without data."""
    error = (_BEST_QUALITY - quality.astype(np.float32)) / np.float32(1000.0)
    return np.where(quality > 0, error, np.float32(np.nan)).astype(np.float32)


def list_planned_tiles(plan: SeamPlan, base_zoom: int) -> list[TileId]:
    """List the base tiles that hold planned ground, row by row."""
    side = TILE_SIZE_PX >> (base_zoom - plan.z)
    around = plan.box.aligned(side)
    covered = np.zeros(around.shape, dtype=np.bool_)
    covered[plan.box.slices_in(around)] = plan.owner > 0
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
    occlusion_fill: OcclusionFill | None = None,
    ground: Words | None = None,
    tiles: Iterable[TileId] | None = None,
    block_tiles: int = BLOCK_TILES,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[MosaicTile]:
    """Yield the finished tiles (all planned, or those of `tiles` with data) by block.

    patch_of(frame_id, tiles, wanted)  the frame rectified onto `tiles` or the part of them it has, from
        pixels that `Radiometry.correct` returned; None if it has none. wanted as in
        `geometry.orthorectification`: the rest may be left out. A frame is requested at places near the
        ground it owns. Called from `workers` threads.
    error_of(frame_id, tile)  expected error of its pixels there, 256×256 float32 metres
    occlusion_fill  replacement for ground inside the mosaic that every frame takes for hidden; None: it stays
        empty
    ground       `find_inner_owners(plan)`, where there is hidden ground, if it is at hand
    block_tiles  side of a block: only memory and time depend on it
    """
    if ground is None:
        ground = np.zeros_like(plan.owner) if occlusion_fill is None else find_inner_owners(plan)
    wanted = list_planned_tiles(plan, base_zoom) if tiles is None else list(tiles)
    blocks = _blocks(wanted, block_tiles)

    def work(members: list[TileId]) -> list[MosaicTile]:
        return _block(plan, base_zoom, members, patch_of, error_of, occlusion_fill, ground)

    results = _in_order(work, blocks, workers)
    for done, finished in enumerate(results, start=1):
        yield from finished
        progress(done, len(blocks))


def _blocks(tiles: Sequence[TileId], side: int) -> list[list[TileId]]:
    """Group tiles in squares of side×side, neighbouring squares one after the other.

    Neighbours need the same photos, and parents are made from recently made tiles.
    """
    blocks: dict[tuple[int, int], list[TileId]] = {}
    for tile in tiles:
        blocks.setdefault((tile.y // side, tile.x // side), []).append(tile)
    members = list(blocks.values())
    places = np.array(list(blocks), dtype=np.int64).reshape(-1, 2)
    return [members[number] for number in order_along_morton_curve(places[:, 0], places[:, 1])]


def _in_order(
    work: Callable[[list[TileId]], list[MosaicTile]], blocks: list[list[TileId]], workers: int
) -> Iterator[list[MosaicTile]]:
    """Yield results in the order of the blocks, with as many in flight as threads."""
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
    hidden: OcclusionFill | None,
    ground: Words,
) -> list[MosaicTile]:
    window = _around(members).padded(REACH_PX)
    pictures = WindowPatches(window, base_zoom, patch_of, plan.frames)
    nearest = upsample_plane(plan, ground, base_zoom, window)
    owner = assign_owners(plan, base_zoom, window, pictures, nearest)
    through = np.zeros_like(owner)
    layers = [(owner, pictures)]
    if hidden is not None:
        beyond = WindowPatches(window, base_zoom, hidden.patch_of, plan.frames)
        holes = (nearest > 0) & (owner == NO_SOURCE)
        through = assign_stand_ins(plan, base_zoom, holes, nearest, beyond)
        layers.append((through, beyond))
    blender = Blender(window)
    for labels, shown in layers:
        for label in list_labels(labels):
            owned = labels == label
            picture = shown.patch(label, owned)
            at = picture.box.slices_in(window)
            blender.add(picture.box, picture.rgb, picture.seen, owned[at])
    rgb = blender.colours()
    both = np.where(owner == NO_SOURCE, through, owner)
    rgb[both == NO_SOURCE] = 0
    tiles = []
    for tile in members:
        at = to_tile_box(tile).slices_in(window)
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
    """Build a tile from its pixels and their owners.

    parts  its ground by owner, each with the errors of what it shows
    """
    labels = list_labels(owner)
    names = tuple(frames[label - 1] for label in labels)
    numbers = np.zeros(len(frames) + 1, dtype=np.uint16)
    numbers[labels] = np.arange(1, len(labels) + 1)
    source, table = sort_sources(numbers[owner], names)
    error_m = np.zeros(owner.shape, dtype=np.float32)
    for part, error_of in parts:
        for label in list_labels(part):
            np.copyto(error_m, error_of(frames[label - 1], tile), where=part == label)
    quality = encode_error_m(error_m)
    quality[owner == NO_SOURCE] = 0
    return MosaicTile(
        tile_id=tile,
        rgb=np.ascontiguousarray(rgb),
        quality=quality,
        source=source,
        frames=table,
        epoch=FIRST_EPOCH,  # finished tiles are placed, never merged (decision 0011)
    )


def _around(members: list[TileId]) -> PixelBox:
    box = to_tile_box(members[0])
    for tile in members[1:]:
        box = box.union(to_tile_box(tile))
    return box
