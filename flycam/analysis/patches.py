"""Patches of connected cells, and their outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geodata.mask_polygons import trace_cell_rings

Mask = NDArray[np.bool_]
Doubles = NDArray[np.float64]

_OUTLINE_CELLS = (0.6, 0.45, 0.3)
_AREA_OFF = 0.015


@dataclass(frozen=True, kw_only=True, slots=True)
class Patch:
    """Connected cells: `mask` within the part of the grid at `rows`, `cols`."""

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
        """Key that is equal for equal patches of one image only."""
        return self.rows.start, self.cols.start, self.cells


def extract_patches(mask: Mask, min_cells: float) -> list[Patch]:
    """Extract patches (8-connected) of at least `min_cells` cells, largest first."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= min_cells]
    found = []
    for k in sorted(large, key=lambda k: -int(stats[k, cv2.CC_STAT_AREA])):
        left, top, width, height = (int(v) for v in stats[k, :4])
        rows, cols = slice(top, top + height), slice(left, left + width)
        found.append(Patch(rows=rows, cols=cols, mask=labels[rows, cols] == k))
    return found


def select_disjoint(patches: Sequence[Patch], shape: tuple[int, ...], max_shared: float) -> list[int]:
    """Select patches that overlap little; return their numbers.

    In order, each patch must share less than `max_shared` of itself, or of a patch selected before, with
    those selected before.
    """
    taken = np.full(shape, -1, np.int32)
    sizes: list[int] = []
    kept: list[int] = []
    for number, patch in enumerate(patches):
        owners = taken[patch.place][patch.mask]
        shared = np.bincount(owners[owners >= 0], minlength=len(sizes))
        if shared.sum() >= max_shared * patch.cells or (shared >= max_shared * np.array(sizes)).any():
            continue
        taken[patch.place][patch.mask & (taken[patch.place] < 0)] = len(sizes)
        sizes.append(patch.cells)
        kept.append(number)
    return kept


def clean_mask(mask: Mask, open_m: float, close_m: float, cell_m: float) -> Mask:
    """Remove specks and threads narrower than open_m; close gaps under close_m."""
    out = mask.astype(np.uint8)
    for how, width in ((cv2.MORPH_OPEN, open_m), (cv2.MORPH_CLOSE, close_m)):
        side = round(width / cell_m) | 1
        if side >= 3:
            around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
            out = np.asarray(cv2.morphologyEx(out, how, around), np.uint8)
    return out > 0


def fill_small_holes(mask: Mask, largest_cells: float) -> Mask:
    """Fill holes of fewer than `largest_cells` cells."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < largest_cells
    small[0] = False
    return mask | small[labels] if count > 1 else mask


def trace_rings(patch: Patch, to_pixels: tuple[float, float], min_hole_cells: float) -> list[Doubles]:
    """Trace outlines in pixels of the pair, the exterior first, then holes.

    Pixels are (column, row), centres at integers.

    to_pixels  (columns, rows) of the pair for one cell

    Traced along the cells' edges and smoothed as far as the area stays within 1.5 %. Where cells are
    connected by a corner alone, a ring touches itself there.
    """
    exterior, *holes = trace_cell_rings(patch.mask)
    exact = [exterior, *(hole for hole in holes if _area(hole) >= min_hole_cells)]
    rings = next(
        (smooth for off in _OUTLINE_CELLS if _as_large(smooth := _smoothed(exact, off), exact)), exact
    )
    corner = np.array([patch.cols.start, patch.rows.start])
    # the corner of cell 0 lies half a pixel before the centre of pixel 0
    return [(ring + corner) * np.array(to_pixels) - 0.5 for ring in rings]


def _smoothed(rings: Sequence[Doubles], off_cells: float) -> list[Doubles]:
    """Simplify rings through the middles of cell edges, which keep the area.

    Only the middles farther than `off_cells` from a straight run are kept.
    """
    return [_through_middles(ring, off_cells) for ring in rings]


def _through_middles(ring: Doubles, off_cells: float) -> Doubles:
    steps = np.diff(ring, axis=0)
    lengths = np.abs(steps).sum(axis=1)
    along = np.arange(lengths.sum()) + 0.5
    at = np.concatenate([[0.0], np.cumsum(lengths)])
    middles = np.stack([np.interp(along, at, ring[:, axis]) for axis in (0, 1)], axis=-1)
    corners = cv2.approxPolyDP(middles.astype(np.float32)[:, None], off_cells, closed=True)[:, 0, :]
    if not 3 <= len(corners) < len(ring):
        return ring
    return np.concatenate([corners, corners[:1]]).astype(np.float64)


def _as_large(rings: Sequence[Doubles], exact: Sequence[Doubles]) -> bool:
    areas = [_area(some[0]) - sum(map(_area, some[1:])) for some in (rings, exact)]
    return abs(areas[0] - areas[1]) <= _AREA_OFF * areas[1]


def _area(ring: Doubles) -> float:
    """Return the area of a closed ring, by Gauss's formula."""
    x, y = ring.T
    return 0.5 * abs(float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()))
