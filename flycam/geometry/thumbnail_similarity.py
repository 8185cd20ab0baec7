"""Test whether images show the same ground at the same place, by thumbnails.

Each thumbnail is orthorectified on a ground raster that all share; where two overlap, windows of one are
searched in the other, by edge directions (`correlation`), within the range of pose errors. On textured
ground all windows match at nearly one shift; with a wrongly rotated image none do.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import project, scale_interior
from flycam.geometry.correlation import Complex, compute_edge_directions, match_windows
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.interior import InteriorOrientation

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]

SIDE_PX = 160
"""Side of the square raster on which a thumbnail of 128 pixels is orthorectified."""
_STEP_PX = 20
_WINDOW_PX = 32
_REACH_PX = 14
_WINDOW_STEP_PX = 16
# Noise sigmas by which the peak of a clear match exceeds the best other place.
_CLEAR = 5.0
_MAX_SHIFT_DIFFERENCE_PX = 3.0
MIN_DISTANCE_PX = 12
"""Images with nearer centres agree on a shift within reach even if both are rotated."""
MAX_DISTANCE_PX = 100
QUICK_WINDOWS = 9
ALL_WINDOWS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class ThumbnailSquare:
    """Square of the ground raster, by its first (column, row).

    Columns run east, rows south.
    """

    column: int
    row: int

    def nodes_m(self, gsd_m: float) -> Floats:
        """Return N×2 (east, north) of the lattice that needs heights, row by row."""
        steps = np.arange(0, SIDE_PX + 1, _STEP_PX)
        east = (self.column + steps) * gsd_m
        north = -(self.row + steps) * gsd_m
        return np.stack(np.meshgrid(east, north), axis=-1).reshape(-1, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class OrthoThumbnail:
    """Thumbnail on its square: edge directions, and where it has pixels.

    Both are SIDE_PX square.
    """

    square: ThumbnailSquare
    edges: Complex
    valid: NDArray[np.bool_]


def locate_square(middle_m: Floats, gsd_m: float) -> ThumbnailSquare:
    """Return the square whose centre is nearest to a place (east, north)."""
    column, row = np.rint([middle_m[0] / gsd_m, -middle_m[1] / gsd_m]).astype(int)
    return ThumbnailSquare(column=int(column) - SIDE_PX // 2, row=int(row) - SIDE_PX // 2)


def orthorectify_thumbnail(
    thumbnail: Bytes,
    interior: InteriorOrientation,
    exterior: ExteriorOrientation,
    square: ThumbnailSquare,
    nodes_m: Floats,
) -> OrthoThumbnail:
    """Orthorectify a grey thumbnail H×W uint8.

    nodes_m  N×3, the `ThumbnailSquare.nodes_m` with their heights
    """
    height, width = thumbnail.shape
    uv, _ = project(scale_interior(interior, (width, height)), exterior, nodes_m)
    nodes = SIDE_PX // _STEP_PX + 1
    uv = np.nan_to_num(uv, nan=-1e4).clip(-1e4, 1e4).reshape(nodes, nodes, 2)
    weights = _between()
    maps = (weights @ np.moveaxis(uv, -1, 0) @ weights.T).astype(np.float32)
    inside = (maps[0] >= 0) & (maps[0] <= width - 1) & (maps[1] >= 0) & (maps[1] <= height - 1)
    picture = cv2.remap(thumbnail, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return OrthoThumbnail(
        square=square, edges=compute_edge_directions(picture.astype(np.float32), inside), valid=inside
    )


def count_agreeing_windows(a: OrthoThumbnail, b: OrthoThumbnail, max_windows: int = ALL_WINDOWS) -> int:
    """Count the windows that match clearly at one shift.

    Of up to `max_windows` windows where `a` and `b` both have pixels.
    """
    return len(find_common_shifts(a, b, max_windows))


def find_common_shifts(a: OrthoThumbnail, b: OrthoThumbnail, max_windows: int = ALL_WINDOWS) -> Floats:
    """Return shifts of windows of `a` that match `b` clearly, at nearly one shift.

    N×2 (columns, rows).
    """
    left, top = max(a.square.column, b.square.column), max(a.square.row, b.square.row)
    right = min(a.square.column, b.square.column) + SIDE_PX
    bottom = min(a.square.row, b.square.row) + SIDE_PX
    if min(right - left, bottom - top) < _WINDOW_PX + 2 * _REACH_PX:
        return np.empty((0, 2))
    part_a, part_b = (
        (
            slice(top - one.square.row, bottom - one.square.row),
            slice(left - one.square.column, right - one.square.column),
        )
        for one in (a, b)
    )
    centres = _centres(a.valid[part_a] & b.valid[part_b])
    if not len(centres):
        return np.empty((0, 2))
    centres = centres[:: -(-len(centres) // max_windows)]
    found = match_windows(a.edges[part_a], b.edges[part_b], centres, window_px=_WINDOW_PX, reach_px=_REACH_PX)
    shift = found.shift_px[(found.margin >= _CLEAR) & np.isfinite(found.shift_px).all(axis=1)]
    if not len(shift):
        return shift
    near = np.abs(shift[:, None] - shift[None]).max(axis=-1) <= _MAX_SHIFT_DIFFERENCE_PX
    common: Floats = shift[near[near.sum(axis=1).argmax()]]
    return common


def _between() -> Floats:
    """Return linear interpolation weights SIDE_PX×nodes at pixel centres."""
    place = (np.arange(SIDE_PX) + 0.5) / _STEP_PX
    nodes = np.arange(SIDE_PX // _STEP_PX + 1)
    return np.maximum(0.0, 1.0 - np.abs(place[:, None] - nodes[None]))


def _centres(both: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return centres (column, row) of windows full of data.

    Their search area lies inside the raster.
    """
    wide = _WINDOW_PX // 2 + _REACH_PX
    rows = np.arange(wide, both.shape[0] - wide, _WINDOW_STEP_PX)
    cols = np.arange(wide, both.shape[1] - wide, _WINDOW_STEP_PX)
    centres = np.stack(np.meshgrid(cols, rows), axis=-1).reshape(-1, 2)
    share = cv2.boxFilter(both.astype(np.float32), -1, (_WINDOW_PX, _WINDOW_PX))
    full: NDArray[np.int64] = centres[share[centres[:, 1], centres[:, 0]] > 0.8].astype(np.int64)
    return full
