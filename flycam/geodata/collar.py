"""Collar: ground of an image that was never imaged, in a file without nodata value or mask.

Many programs fill the triangles around a rotated mosaic, and the holes in it, with black or white and write
neither a nodata value nor an alpha band. Exactly black or exactly white, connected to the edge of the raster,
is such a collar. Inside the image it is a hole where it is larger than a roof; a smaller patch (a shadow, a
roof) is ground. Lossy compression (JPEG) leaves both exact except for the blocks that ground shares with
them: pixels nearly of their colour there go with them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.windows import Window

Mask = NDArray[np.bool_]

# up to this size a cell is a pixel; above, memory is the limit
_MAX_CELLS = 16_000_000
_AT_ONCE_PX = 8_000_000
# a hole is at least as large (the size from which a cloud counts, decision 0036), and somewhere as wide both
# ways without a pixel of another colour: roofs are smaller, and nothing else as large is of one value
_MIN_HOLE_M2, _MIN_HOLE_WIDTH_M = 400.0, 10.0
# of 255: a larger difference is no ringing that looks black; a block of JPEG is 8 pixels, of its colour 16
_NEARLY, _WORN_PX = 8, 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Collar:
    """Cells of ground that was never imaged: rows×columns bool of `side_px` pixels.

    hole_share  share of the image, 0 to 1, of cells that are not connected to the rim
    """

    cells: Mask
    side_px: int
    hole_share: float = 0.0

    @property
    def rim_share(self) -> float:
        """Share of the image, 0 to 1, of cells connected to its rim."""
        return float(self.cells.mean()) - self.hole_share

    def touches(self, window: Window, step: int) -> Mask:
        """Return which step×step squares of source pixels in a window hold any collar.

        The squares fill the window.
        """
        (top, bottom), (left, right) = (
            self._spans(offset, length // step, step, most)
            for offset, length, most in (
                (window.row_off, window.height, self.cells.shape[0]),
                (window.col_off, window.width, self.cells.shape[1]),
            )
        )
        part = self.cells[top[0] : bottom[-1], left[0] : right[-1]]
        sums = cv2.integral(part.astype(np.uint8), sdepth=cv2.CV_32S)
        first, last = (top - top[0], left - left[0]), (bottom - top[0], right - left[0])
        count = sums[np.ix_(*last)] - sums[np.ix_(first[0], last[1])]
        count += sums[np.ix_(*first)] - sums[np.ix_(last[0], first[1])]
        return np.asarray(count > 0)

    def _spans(
        self, offset: int, count: int, step: int, most: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the first cells, and those after the last, of `count` squares in a row.

        There are `most` cells.
        """
        first = offset + step * np.arange(count, dtype=np.int64)
        return first // self.side_px, np.minimum((first + step - 1) // self.side_px + 1, most)


def find_collar(source: rasterio.DatasetReader, bands: list[int], pixel_m: float) -> Collar | None:
    """Find the collar of an open image and the holes in it; None without either.

    For images of unsigned integers; None also if the file has a mask.

    bands  those that make its colour; pixel_m  side of a pixel on the ground. Reads the image once.
    In images above 16 million pixels a cell that holds both collar and ground counts as collar.
    Raises rasterio.errors.RasterioError where the file is damaged.
    """
    silent = all(source.mask_flag_enums[band - 1] == [MaskFlags.all_valid] for band in bands)
    dtype = np.dtype(source.dtypes[0])
    if not silent or dtype.kind != "u":
        return None
    side = max(1, math.ceil(math.sqrt(source.width * source.height / _MAX_CELLS)))
    cells = np.zeros((-(-source.height // side), -(-source.width // side)), np.bool_)
    holes = np.zeros_like(cells)
    for some, whole, nearly in _filled_cells(source, bands, (0, int(np.iinfo(dtype).max)), side):
        if not whole.any():
            continue
        rim, hole = _unseen(whole, side * pixel_m)
        cells |= _with_worn(_spread(rim, some), nearly, _WORN_PX / side)
        holes |= _with_worn(_spread(hole, some), nearly, _WORN_PX / side)
    holes &= ~cells
    cells |= holes
    return Collar(cells=cells, side_px=side, hole_share=float(holes.mean())) if cells.any() else None


def _filled_cells(
    source: rasterio.DatasetReader, bands: list[int], fills: Sequence[int], side: int
) -> list[tuple[Mask, Mask, Mask]]:
    """Return the cells in which some, all, and nearly some pixels have each colour.

    Nearly only for 8 bits, else exactly; the last cells may be cut.
    """
    rows, cols = -(-source.height // side), -(-source.width // side)
    found = [tuple(np.zeros((rows, cols), np.bool_) for _ in range(3)) for _ in fills]
    within = _NEARLY if np.dtype(source.dtypes[0]) == np.uint8 else 0
    strip = max(1, _AT_ONCE_PX // (source.width * side))
    for top in range(0, rows, strip):
        stop = min(top + strip, rows)
        height = min(stop * side, source.height) - top * side
        pixels = source.read(bands, window=Window(0, top * side, source.width, height))
        for fill, (some, whole, nearly) in zip(fills, found, strict=True):
            filled = (pixels == fill).all(axis=0)
            close = (pixels <= within if fill == 0 else pixels >= fill - within).all(axis=0)
            nearly[top:stop] = _by_cell(close, (stop - top, cols), side, np.False_).any(axis=(1, 3))
            some[top:stop] = _by_cell(filled, (stop - top, cols), side, np.False_).any(axis=(1, 3))
            whole[top:stop] = _by_cell(filled, (stop - top, cols), side, np.True_).all(axis=(1, 3))
    return [(some, whole, nearly) for some, whole, nearly in found]


def _by_cell(filled: Mask, cells: tuple[int, int], side: int, beyond: np.bool_) -> Mask:
    """Reshape to rows×side×columns×side; the missing part of a cut cell is `beyond`."""
    padded = np.full((cells[0] * side, cells[1] * side), beyond)
    padded[: filled.shape[0], : filled.shape[1]] = filled
    return padded.reshape(cells[0], side, cells[1], side)


def _unseen(whole: Mask, cell_m: float) -> tuple[Mask, Mask]:
    """Return the cells of one colour connected to the raster's rim, and holes."""
    count, label = cv2.connectedComponents(whole.astype(np.uint8), connectivity=4)
    at_rim = np.zeros(count, np.bool_)
    for edge in (label[0], label[-1], label[:, 0], label[:, -1]):
        at_rim[edge] = True
    is_large = np.bincount(label.ravel(), minlength=count) * cell_m**2 >= _MIN_HOLE_M2
    wide = np.ones((max(math.ceil(_MIN_HOLE_WIDTH_M / cell_m), 1),) * 2, np.uint8)
    is_wide = np.zeros(count, np.bool_)
    is_wide[label[cv2.erode(whole.astype(np.uint8), wide).astype(np.bool_)]] = True
    is_hole = is_large & is_wide & ~at_rim
    at_rim[0] = is_hole[0] = False  # label 0 is of another colour
    return at_rim[label], is_hole[label]


def _spread(joined: Mask, some: Mask) -> Mask:
    """Extend whole cells to their continuation in the next cell."""
    return np.asarray(cv2.dilate(joined.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & some)


def _with_worn(joined: Mask, nearly: Mask, reach: float) -> Mask:
    """Extend cells of one colour by what compression changed around them.

    That is cells nearly of that colour, no farther off than `reach` cells.
    """
    around = np.ones((2 * math.ceil(reach) + 1,) * 2, np.uint8)
    return np.asarray(joined | (cv2.dilate(joined.astype(np.uint8), around).astype(np.bool_) & nearly))
