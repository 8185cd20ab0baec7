"""Finished tiles: owners of pixels, blending, expected error, attributes.

Tiles show the plan's owners at full size, blended, with the expected error of every pixel. They are made
block by block; a block reaches beyond its tiles by as much as blending looks around, so a tile has the same
bytes in whatever block it is made. Only the frames that own ground near a block are rectified, and only
there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geodata.crs import fit_mercator_to_work
from flycam.geometry.expected_error import UNKNOWN_ERROR_M, compute_tile_error
from flycam.geometry.grid import (
    TILE_SIZE_PX,
    TileId,
    TileRange,
    compute_pixel_centres,
    get_tile_bounds,
    make_tile_range,
    order_along_morton_curve,
)
from flycam.geometry.quality_bounds import BLOCK_PX
from flycam.geometry.terrain import TerrainGrid, find_nearest_posts, make_flat_terrain
from flycam.model.flight import is_flat_datum
from flycam.model.frame import FIRST_EPOCH, NO_SOURCE, MosaicTile, OrthoPatch
from flycam.model.records import FrameRecord, MosaicInfo
from flycam.mosaic.finish.radiometry import REACH_PX, Blender, Bytes, Mask, PixelBox, Words
from flycam.mosaic.finish.seamline import SeamPlan
from flycam.mosaic.tiles.codec import TileLog, read_tile
from flycam.mosaic.tiles.merge import sort_sources
from flycam.storage.keys import ObjectStore

# -- Pixels on the flight's own DSM, and their share of the mosaic ---------------------------------


Floats = NDArray[np.float64]

_ZOOMS_UP = 3
"""Zooms above the base: fine enough for a share, with a sixty-fourth of the tiles."""


def is_dsm_ground(support: TerrainGrid, east: Floats, north: Floats) -> NDArray[np.bool_]:
    """Return True where the flight measured the ground at places of the work CRS.

    east, north  two arrays of one shape

    Measured means that the nearest post of `support` has a height: the same rule for a pixel of the map, of
    the report and of the exported DSM, whose pixels are those posts. False outside the posts.
    """
    post, inside = find_nearest_posts(support, east, north)
    return np.asarray(inside & np.isfinite(support.heights_m.reshape(-1).take(post)), dtype=np.bool_)


def mask_dsm_pixels(tile_id: TileId, support: TerrainGrid) -> NDArray[np.bool_]:
    """Return the mask (256×256) of a tile's pixels on the DSM (`is_dsm_ground`)."""
    side = np.arange(TILE_SIZE_PX, dtype=np.float64)
    rows, cols = np.meshgrid(side, side, indexing="ij")
    to_work = fit_mercator_to_work(support.work_crs, get_tile_bounds(tile_id))
    xy = to_work(compute_pixel_centres(make_tile_range(tile_id), rows, cols).reshape(-1, 2))
    return is_dsm_ground(support, xy[:, 0], xy[:, 1]).reshape(rows.shape)


def compute_dsm_pct(store: ObjectStore, tiles: TileLog, mosaic: MosaicInfo, support: TerrainGrid) -> float:
    """Compute the share of a finished mosaic's ground that is the DSM, 0-100.

    The only source of this figure: `finish` records it; command, map and report read the record. Counted in
    pixels of a coarser zoom. NaN for a mosaic without pixels. Raises ObjectMissing, TileCorrupt.
    """
    zoom = max(mosaic.base_zoom - _ZOOMS_UP, mosaic.min_zoom)
    shown = own = 0
    for head in tiles.heads(mosaic.mosaic_id, mosaic.revision, z=zoom):
        mask = read_tile(store, head).quality > 0
        shown += int(mask.sum())
        own += int((mask & mask_dsm_pixels(head.tile_id, support)).sum())
    return 100.0 * own / shown if shown else float("nan")


# -- Expected error of a live tile's pixels --------------------------------------------------------


# sine of the axis below the horizon; a flatter view is taken to lie as far away as this one
_MIN_DIP = 0.1


def estimate_live_error_m(frame: FrameRecord, tile: TileId) -> NDArray[np.float32] | None:
    """Estimate the radial 1-sigma of a frame's pixels over a tile, in metres.

    256×256 float32.

    Position, height and attitude by the pose's sigmas (`geometry.expected_error`): a height that is off
    by dz moves a pixel by dz tan(angle off nadir). The ground is taken as level at the height where the
    frame's axis meets it, and as known: a lower bound on slopes. None for a frame without a pose, and where
    the ground was taken as a plane: its true distance from that plane is unknown.
    """
    pose = frame.exterior
    if pose is None or is_flat_datum(pose.vertical_datum):
        return None
    range_m = (frame.gsd_m or 0.0) * frame.header.interior.focal_length_px[0]
    ground_m = pose.projection_centre_m[2] - range_m * max(-pose.rotation[2][2], _MIN_DIP)
    bounds = get_tile_bounds(tile)
    to_work = fit_mercator_to_work(pose.work_crs, bounds)
    corners = to_work(np.array([[bounds[i], bounds[j]] for i in (0, 2) for j in (1, 3)]))
    (west, south), (east, north) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    level = make_flat_terrain(ground_m, pose.work_crs, pose.vertical_datum, (west, south, east, north))
    sigma_m = np.zeros((TILE_SIZE_PX, TILE_SIZE_PX), dtype=np.float32)
    return compute_tile_error(pose, tile, to_work, level, sigma_m)


# -- Patches of frames in a window of base pixels --------------------------------------------------


PatchOf = Callable[[str, TileRange, NDArray[np.bool_]], OrthoPatch | None]
"""See `finish_tiles`."""


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
        cached = self._kept.get(label)
        if cached is None or (needed & ~cached.blocks).any():
            cached = self._kept[label] = self._made(label, needed, cached)
        return cached

    def _made(self, label: int, needed: Mask, cached: WindowPatch | None) -> WindowPatch:
        blocks = needed if cached is None else needed | cached.blocks
        box = self._box_of(blocks)
        rgb = np.zeros((*box.shape, 3), dtype=np.uint8)
        seen = np.zeros(box.shape, dtype=np.bool_)
        if cached is not None:
            needed = needed & ~cached.blocks
            rgb[cached.box.slices_in(box)] = cached.rgb
            seen[cached.box.slices_in(box)] = cached.seen
        new_box = self._box_of(needed)
        tiles = find_box_tiles(new_box, self._zoom)
        around = to_range_box(tiles)
        wanted = np.zeros(tuple(n // BLOCK_PX for n in around.shape), dtype=np.bool_)
        wanted[_in_blocks(new_box.slices_in(around))] = needed[_in_blocks(new_box.slices_in(self.window))]
        patch = self._patch_of(self._frames[label - 1], tiles, wanted)
        if patch is not None and not patch.tiles.is_empty:
            there = to_range_box(patch.tiles)
            both = there.intersection(new_box)
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
    occupied = rows.reshape(-1, width // BLOCK_PX, BLOCK_PX // 8).any(axis=2).astype(np.uint8)
    reach = REACH_PX // BLOCK_PX
    around = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return np.asarray(cv2.dilate(occupied, around)) > 0


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


# -- Fill for ground that every frame takes for hidden ---------------------------------------------
#
# The heights in front of it are wrong there (a crown drawn too wide, a post too high), and the live mosaic
# shows it. So the frame that owns the ground next to it fills it, as if nothing hid the ground, with the
# error of a height that wrong.


ErrorOf = Callable[[str, TileId], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True, slots=True)
class OcclusionFill:
    """Source of pixels for hidden ground.

    patch_of, error_of  as `finish_tiles` takes them, of frames as if nothing hid anything
    """

    patch_of: PatchOf
    error_of: ErrorOf


def find_inner_owners(plan: SeamPlan) -> Words:
    """Return H×W labels of who owns ground inside the mosaic, or the nearest owner.

    Inside is what has an owner or is enclosed by owned ground, without the outermost label pixels, which
    images cover in part. 0 elsewhere.
    """
    empty = (plan.owner == 0).astype(np.uint8)
    outside = np.pad(empty, 1, constant_values=1)
    cv2.floodFill(outside, None, (0, 0), 2)
    inside = cv2.erode((outside != 2).astype(np.uint8), np.ones((3, 3), np.uint8))[1:-1, 1:-1] > 0
    _, next_to = cv2.distanceTransformWithLabels(
        empty, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner_of = np.zeros(int(next_to.max()) + 1, np.uint16)
    owner_of[next_to[empty == 0]] = plan.owner[empty == 0]
    return np.where(inside, owner_of[next_to], np.uint16(0))


# -- Owner of each base pixel of a window ----------------------------------------------------------
#
# A function of the plan, the tile and what the frames see there; never of the window that a pixel is made in.


# label pixels around a tile whose owners may fill its last holes
_NEARBY_PX = 12
# label pixels over which a seam's corners are rounded
_SMOOTH_PX = 5


def assign_owners(
    plan: SeamPlan, base_zoom: int, window: PixelBox, pictures: WindowPatches, nearest: Words
) -> Words:
    """Assign owners to a window's pixels: H×W labels.

    The plan's owner, its seams rounded; where that frame sees nothing, the owner with its corners, then the
    second-best frame, then the nearest owner inside the mosaic, then, where some overview saw it, an owner of
    ground nearby; else none.
    """
    owner = np.zeros(window.shape, dtype=np.uint16)
    second = upsample_plane(plan, plan.second, base_zoom, window)
    _settle(owner, _rounded(plan, base_zoom, window), pictures)
    _settle(owner, upsample_plane(plan, plan.owner, base_zoom, window), pictures)
    _settle(owner, second, pictures)
    _settle(owner, nearest, pictures)
    # ground that some frames' overviews saw
    holes = (owner == NO_SOURCE) & (second > 0)
    _settle_nearby(owner, plan, base_zoom, holes, pictures)
    return owner


def _settle(owner: Words, wanted: Words, pictures: WindowPatches) -> None:
    """Give unowned pixels to the frames wanted there, where they see them."""
    near = _extent((owner == NO_SOURCE) & (wanted > 0))
    if near is None:
        return
    wanted = np.where(owner[near] == NO_SOURCE, wanted[near], np.uint16(NO_SOURCE))
    for label in list_labels(wanted):
        requested = np.zeros(owner.shape, dtype=np.bool_)
        np.equal(wanted, label, out=requested[near])
        picture = pictures.patch(label, requested)
        at = picture.box.slices_in(pictures.window)
        np.copyto(owner[at], np.uint16(label), where=requested[at] & picture.seen)


def _extent(where: Mask) -> tuple[slice, slice] | None:
    """Return the rectangle around the marked pixels."""
    left, top, width, height = cv2.boundingRect(where.view(np.uint8))
    return (slice(top, top + height), slice(left, left + width)) if width else None


def assign_stand_ins(
    plan: SeamPlan, base_zoom: int, holes: Mask, nearest: Words, pictures: WindowPatches
) -> Words:
    """Assign frames that fill holes: H×W labels.

    The owner of the adjacent ground, else one of ground nearby; 0 where none of them sees it.
    """
    result = np.zeros_like(nearest)
    if holes.any():
        _settle(result, np.where(holes, nearest, NO_SOURCE).astype(np.uint16), pictures)
        _settle_nearby(result, plan, base_zoom, holes & (result == NO_SOURCE), pictures)
    return result


def _settle_nearby(
    owner: Words, plan: SeamPlan, base_zoom: int, holes: Mask, pictures: WindowPatches
) -> None:
    """Give each tile's holes to a nearby owner: the lowest label that sees them."""
    parts: dict[int, list[tuple[slice, slice]]] = {}
    for tile in find_box_tiles(pictures.window, base_zoom) if holes.any() else ():
        part = to_tile_box(tile).intersection(pictures.window).slices_in(pictures.window)
        if holes[part].any():
            for label in _nearby(plan, base_zoom, tile):
                parts.setdefault(label, []).append(part)
    for label in sorted(parts):
        wanted = np.zeros_like(owner)
        for part in parts[label]:
            wanted[part][holes[part]] = label
        _settle(owner, wanted, pictures)


def _nearby(plan: SeamPlan, base_zoom: int, tile: TileId) -> list[int]:
    """Return labels on and around a tile, ascending, from plan and tile alone."""
    near = _coarse(to_tile_box(tile), 1 << (base_zoom - plan.z))
    at = near.padded(_NEARBY_PX).intersection(plan.box).slices_in(plan.box)
    return sorted({*list_labels(plan.owner[at]), *list_labels(plan.second[at])})


def upsample_plane(plan: SeamPlan, plane: Words, base_zoom: int, window: PixelBox) -> Words:
    """Upsample a plane of the plan to a window of base pixels, each label a square."""
    step = 1 << (base_zoom - plan.z)
    coarse = _coarse(window, step)
    labels = np.zeros(coarse.shape, dtype=np.uint16)
    inside = coarse.intersection(plan.box)
    if not inside.is_empty:
        labels[inside.slices_in(coarse)] = plane[inside.slices_in(plan.box)]
    large = labels.repeat(step, axis=0).repeat(step, axis=1)
    top, left = window.row - coarse.row * step, window.col - coarse.col * step
    return np.ascontiguousarray(large[top : top + window.shape[0], left : left + window.shape[1]])


def _coarse(box: PixelBox, step: int) -> PixelBox:
    """Return the label pixels that a box of base pixels touches."""
    return PixelBox(
        row=box.row // step,
        col=box.col // step,
        row_stop=-(-box.row_stop // step),
        col_stop=-(-box.col_stop // step),
    )


def _rounded(plan: SeamPlan, base_zoom: int, window: PixelBox) -> Words:
    """Return the owners over a window, with seams smooth instead of stepped.

    Each owner's ground is blurred a little and enlarged; the largest share wins (of equals the lower label).
    """
    step = 1 << (base_zoom - plan.z)
    margin = _SMOOTH_PX + 1
    coarse = _coarse(window, step).padded(margin)
    labels = np.zeros(coarse.shape, dtype=np.uint16)
    inside = coarse.intersection(plan.box)
    if not inside.is_empty:
        labels[inside.slices_in(coarse)] = plan.owner[inside.slices_in(plan.box)]
    result = np.zeros(window.shape, dtype=np.uint16)
    share = np.zeros(window.shape, dtype=np.uint8)
    for label in list_labels(labels):
        mask = (labels == label).view(np.uint8) * np.uint8(255)
        left, top, width, height = cv2.boundingRect(mask)
        near = PixelBox(row=coarse.row + top, col=coarse.col + left, row_stop=coarse.row + top + height,
                   col_stop=coarse.col + left + width).padded(margin).intersection(coarse)  # fmt: skip
        soft = cv2.GaussianBlur(mask[near.slices_in(coarse)], (_SMOOTH_PX, _SMOOTH_PX), 0)
        large = cv2.resize(soft, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
        reach = PixelBox(row=near.row * step, col=near.col * step, row_stop=near.row_stop * step,
                    col_stop=near.col_stop * step)  # fmt: skip
        here = reach.intersection(window)
        if here.is_empty:
            continue
        at, part = here.slices_in(window), np.asarray(large)[here.slices_in(reach)]
        wins = part > share[at]
        share[at][wins] = part[wins]
        result[at][wins] = label
    result[upsample_plane(plan, plan.owner, base_zoom, window) == NO_SOURCE] = NO_SOURCE
    return result


def list_labels(labels: Words) -> list[int]:
    """List the labels in a plane, ascending, without 0."""
    most = int(labels.max()) + 1
    counts = cv2.calcHist([labels], [0], None, [most], [0, most])
    return [int(label) for label in np.flatnonzero(counts) if label != NO_SOURCE]


# -- Finished tiles, block by block ----------------------------------------------------------------


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
    planned = covered.reshape(rows, side, cols, side).any(axis=(1, 3))
    top, left = around.row // side, around.col // side
    return [TileId(z=base_zoom, x=left + int(c), y=top + int(r)) for r, c in np.argwhere(planned)]


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


# -- Attributes of a tile's pixels: expected error, age, GSD ---------------------------------------
#
# The map shows them as classes (`serve.tiles`), an export as numbers.


Singles = NDArray[np.float32]

HOUR_NS = 3_600_000_000_000


def compute_error_m(tile: MosaicTile, frames: Mapping[str, FrameRecord] | None) -> Singles:
    """Compute the expected error of the pixels (1 sigma, horizontal), in metres.

    256×256 float32; NaN where not known.

    frames  records of the frames of a live tile, whose pixels err as their poses do; None: a finished tile,
            which holds its own errors
    """
    if frames is None:
        error = decode_error_m(tile.quality)
        return np.where(error < np.float32(UNKNOWN_ERROR_M), error, np.float32(np.nan))
    error = np.full(tile.source.shape, np.nan, dtype=np.float32)
    for number, name in enumerate(tile.frames, start=1):
        own = estimate_live_error_m(frames[name], tile.tile_id)
        if own is not None:
            np.copyto(error, own, where=tile.source == number)
    return error


def compute_age_h(tile: MosaicTile, frames: Mapping[str, FrameRecord], now_ns: int) -> Singles:
    """Compute hours since the pixels were taken, 256×256 float32; NaN without data."""
    hours = compute_hours_since([frames[name].header.captured_ns for name in tile.frames], now_ns)
    known = np.array([np.nan, *hours], dtype=np.float32)[tile.source]
    known[tile.source == NO_SOURCE] = np.nan
    return known


def compute_hours_since(moments_ns: Sequence[int], now_ns: int) -> Singles:
    """Compute hours from moments until now: N float32."""
    return np.array([(now_ns - moment) / HOUR_NS for moment in moments_ns], dtype=np.float32)


def compute_gsd_m(tile: MosaicTile, frames: Mapping[str, FrameRecord]) -> Singles:
    """Compute the GSD of the photo behind each pixel, 256×256 float32 metres.

    As recorded for the middle of that photo (`/api/pixel` states the same); NaN where there is no data or
    none is recorded.
    """
    recorded = [frames[name].gsd_m for name in tile.frames]
    of_frame = [np.nan if one is None else one for one in recorded]
    known: Singles = np.array([np.nan, *of_frame], dtype=np.float32)[tile.source]
    known[tile.source == NO_SOURCE] = np.nan
    return known


def compute_pixel_attributes(
    tile: MosaicTile, frame_of: Callable[[str], FrameRecord], *, finished: bool, now_ns: int
) -> Singles:
    """Compute `error_m` and `age_h` of a tile, 256×256×2.

    finished  whether the tile is of a finished revision or of the live one
    """
    frames = {name: frame_of(name) for name in tile.frames}
    return np.stack(
        [compute_error_m(tile, None if finished else frames), compute_age_h(tile, frames, now_ns)], axis=-1
    )
