"""Comparison of a patch with the ground around it: its own change against that of the neighbourhood.

The shadow of a cloud or other leaves change a patch and its rim alike; a slide stops at its rim. A field has
a rim on both dates, a slide only after.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.analysis.patches import Patch

Reals = NDArray[np.float32]
Mask = NDArray[np.bool_]

_RIM_M, _UNSURE_M = 4.0, 1.0
_ACROSS_M = 2.5


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchRim:
    """Cells within 4 m around a patch: rows and columns on the grid.

    clear  those more than 1 m off, which a pixel of misregistration does not reach
    """

    rows: NDArray[np.intp]
    cols: NDArray[np.intp]
    clear: Mask

    @property
    def place(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return self.rows, self.cols

    @property
    def clear_place(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return self.rows[self.clear], self.cols[self.clear]


def make_rim(patch: Patch, shape: tuple[int, ...], cell_m: float) -> PatchRim:
    """Make the rim of a patch on a grid of `shape`."""
    wide = max(round(_RIM_M / cell_m), 1)
    padded = np.pad(patch.mask.astype(np.uint8), wide)
    near = _grown(padded, round(_UNSURE_M / cell_m))
    rows, cols = np.nonzero((_grown(padded, wide) > 0) & (padded == 0))
    clear = near[rows, cols] == 0
    rows, cols = rows + patch.rows.start - wide, cols + patch.cols.start - wide
    inside = (rows >= 0) & (cols >= 0) & (rows < shape[0]) & (cols < shape[1])
    return PatchRim(rows=rows[inside], cols=cols[inside], clear=clear[inside])


def compare_with_rim(values: Reals, patch: Patch, rim: PatchRim) -> float:
    """Return a patch's mean of H×W values less its rim's; 0 for a rim off the grid."""
    around = values[rim.clear_place]
    return float(values[patch.place][patch.mask].mean() - around.mean()) if around.size else 0.0


def measure_edge_contrast(values: Reals, patch: Patch, cell_m: float) -> float:
    """Return how much more H×W values change across an outline than inside it.

    The change is per 2.5 m.
    """
    side = max(round(_ACROSS_M / cell_m) | 1, 3)
    half = side // 2
    rows = slice(max(patch.rows.start - side, 0), patch.rows.stop + side)
    cols = slice(max(patch.cols.start - side, 0), patch.cols.stop + side)
    part = values[rows, cols]
    mask = np.zeros(part.shape, np.uint8)
    top, left = patch.rows.start - rows.start, patch.cols.start - cols.start
    mask[top : top + patch.mask.shape[0], left : left + patch.mask.shape[1]] = patch.mask
    across = cv2.morphologyEx(part, cv2.MORPH_GRADIENT, np.ones((side, side), np.uint8))
    inner = cv2.erode(mask, np.ones((side, side), np.uint8), borderValue=0) > 0
    outline = (_grown(mask, max(half // 2, 1)) > 0) & (cv2.erode(mask, np.ones((3, 3), np.uint8)) == 0)
    within = across[inner] if inner.any() else across[mask > 0]
    return float(across[outline].mean() - within.mean())


def _grown(mask: NDArray[np.uint8], cells: int) -> NDArray[np.uint8]:
    side = 2 * cells + 1
    return np.asarray(cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))), np.uint8)
