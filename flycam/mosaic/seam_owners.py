"""Owner of each base pixel of a window: the plan at full size, seams rounded, holes filled.

A function of the plan, the tile and what the frames see there; never of the window that a pixel is made in.
"""

from __future__ import annotations

import cv2
import numpy as np

from flycam.frame.tile import NO_SOURCE
from flycam.geometry.grid import TileId
from flycam.mosaic.blending import Mask
from flycam.mosaic.frame_overview import PixelBox, Words
from flycam.mosaic.seamline import SeamPlan
from flycam.mosaic.window_patches import WindowPatches, find_box_tiles, to_tile_box

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
        asked = np.zeros(owner.shape, dtype=np.bool_)
        np.equal(wanted, label, out=asked[near])
        picture = pictures.patch(label, asked)
        at = picture.box.slices_in(pictures.window)
        np.copyto(owner[at], np.uint16(label), where=asked[at] & picture.seen)


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
