"""Patches of cells that hang together, and their outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Doubles = NDArray[np.float64]

_OUTLINE_CELLS = 0.6


@dataclass(frozen=True, kw_only=True, slots=True)
class Patch:
    """Cells that hang together: `mask` within the part of the grid at `rows`, `cols`."""

    rows: slice
    cols: slice
    mask: Mask

    @property
    def place(self) -> tuple[slice, slice]:
        return self.rows, self.cols

    @property
    def cells(self) -> int:
        return int(self.mask.sum())

    @property
    def key(self) -> tuple[int, int, int]:
        """Of two patches with the same key, cut from one picture, one is the other."""
        return self.rows.start, self.cols.start, self.cells


def patches_of(mask: Mask, least_cells: float) -> list[Patch]:
    """Patches (8-connected) of at least so many cells, largest first."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= least_cells]
    found = []
    for k in sorted(large, key=lambda k: -int(stats[k, cv2.CC_STAT_AREA])):
        left, top, width, height = (int(v) for v in stats[k, :4])
        rows, cols = slice(top, top + height), slice(left, left + width)
        found.append(Patch(rows=rows, cols=cols, mask=labels[rows, cols] == k))
    return found


def apart(patches: Sequence[Patch], shape: tuple[int, ...], most_shared: float) -> list[int]:
    """Numbers of the patches that are kept when each, in their order, must share less than so much of itself,
    or of a patch kept before, with those kept before."""
    taken = np.full(shape, -1, np.int32)
    sizes: list[int] = []
    kept: list[int] = []
    for number, patch in enumerate(patches):
        owners = taken[patch.place][patch.mask]
        shared = np.bincount(owners[owners >= 0], minlength=len(sizes))
        if shared.sum() >= most_shared * patch.cells or (shared >= most_shared * np.array(sizes)).any():
            continue
        taken[patch.place][patch.mask & (taken[patch.place] < 0)] = len(sizes)
        sizes.append(patch.cells)
        kept.append(number)
    return kept


def tidied(mask: Mask, open_m: float, close_m: float, cell_m: float) -> Mask:
    """Specks and threads narrower than open_m gone, gaps narrower than close_m shut."""
    out = mask.astype(np.uint8)
    for how, width in ((cv2.MORPH_OPEN, open_m), (cv2.MORPH_CLOSE, close_m)):
        side = round(width / cell_m) | 1
        if side >= 3:
            around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
            out = np.asarray(cv2.morphologyEx(out, how, around), np.uint8)
    return out > 0


def without_holes(mask: Mask, largest_cells: float) -> Mask:
    """Holes of fewer cells filled."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < largest_cells
    small[0] = False
    return mask | small[labels] if count > 1 else mask


def rings_of(patch: Patch, to_pixels: tuple[float, float], least_hole_cells: float) -> list[Doubles]:
    """Outlines in pixels (column, row; centres at integers) of the pair, the exterior first, then holes.

    to_pixels  (columns, rows) of the pair for one cell
    Every cell becomes 2×2 before it is traced, so that an outline runs along the cells' edges to within a
    quarter of a cell, and a patch of one cell has an area.
    """
    doubled = np.repeat(np.repeat(patch.mask.astype(np.uint8), 2, 0), 2, 1)
    doubled = np.pad(doubled, 1)
    contours, tree = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outer = max((k for k in range(len(contours)) if tree[0][k][3] < 0), key=lambda k: len(contours[k]))
    chosen = [contours[outer]]
    hole = tree[0][outer][2]
    while hole >= 0:
        if cv2.contourArea(contours[hole]) / 4.0 >= least_hole_cells:
            chosen.append(contours[hole])
        hole = tree[0][hole][0]
    rings = []
    for contour in chosen:
        simple = cv2.approxPolyDP(contour, 2.0 * _OUTLINE_CELLS, closed=True)
        if len(simple) < 3:
            simple = contour
        cells = (simple[:, 0, :].astype(np.float64) - 1.0) / 2.0 - 0.25
        cells += (patch.cols.start, patch.rows.start)
        rings.append((cells + 0.5) * np.array(to_pixels) - 0.5)
    return rings
