"""The rim of a picture that was never imaged, in a file that does not say where it has data.

Many programmes fill the triangles around a turned mosaic with black or white and write neither a nodata value
nor an alpha band. Exactly black or exactly white, without a break as far as the edge of the raster, is such a
collar; the same colour inside the picture (a shadow, a roof) is ground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.windows import Window

Mask = NDArray[np.bool_]

_MOST_CELLS = 16_000_000  # up to there a cell is a pixel; above, memory decides
_AT_ONCE_PX = 8_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Collar:
    """Cells that hold ground that was never imaged: rows×columns bool, squares of `side_px` source pixels."""

    cells: Mask
    side_px: int

    @property
    def share(self) -> float:
        """Of the picture, 0 to 1."""
        return float(self.cells.mean())

    def touches(self, window: Window, step: int) -> Mask:
        """Which squares of step×step source pixels, those that fill a window, hold any of the collar."""
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
        """First cells, and those behind the last, of `count` squares in a row; `most` cells there are."""
        first = offset + step * np.arange(count, dtype=np.int64)
        return first // self.side_px, np.minimum((first + step - 1) // self.side_px + 1, most)


def find_collar(source: rasterio.DatasetReader, bands: list[int]) -> Collar | None:
    """The collar of an open picture of unsigned whole numbers; None without one, or if the file has a mask.

    bands  those that make its colour. Reads the picture once, only if a pixel of its rim is black or white.
    In pictures above 16 million pixels a cell that holds both collar and ground counts as collar.
    Raises rasterio.errors.RasterioError where the file is damaged.
    """
    silent = all(source.mask_flag_enums[band - 1] == [MaskFlags.all_valid] for band in bands)
    dtype = np.dtype(source.dtypes[0])
    if not silent or dtype.kind != "u":
        return None
    fills = [fill for fill in (0, int(np.iinfo(dtype).max)) if _on_rim(source, bands, fill)]
    if not fills:
        return None
    side = max(1, math.ceil(math.sqrt(source.width * source.height / _MOST_CELLS)))
    cells = np.zeros((-(-source.height // side), -(-source.width // side)), np.bool_)
    for fill in fills:
        some, whole = _filled_cells(source, bands, fill, side)
        cells |= _joined_to_rim(some, whole)
    return Collar(cells=cells, side_px=side) if cells.any() else None


def _on_rim(source: rasterio.DatasetReader, bands: list[int], fill: int) -> bool:
    width, height = source.width, source.height
    edges = (
        Window(0, 0, width, 1),
        Window(0, height - 1, width, 1),
        Window(0, 0, 1, height),
        Window(width - 1, 0, 1, height),
    )
    return any(bool((source.read(bands, window=edge) == fill).all(axis=0).any()) for edge in edges)


def _filled_cells(
    source: rasterio.DatasetReader, bands: list[int], fill: int, side: int
) -> tuple[Mask, Mask]:
    """Cells in which some pixel has the colour, and those in which all have it; the last ones may be cut."""
    rows, cols = -(-source.height // side), -(-source.width // side)
    some, whole = np.zeros((rows, cols), np.bool_), np.zeros((rows, cols), np.bool_)
    strip = max(1, _AT_ONCE_PX // (source.width * side))
    for top in range(0, rows, strip):
        stop = min(top + strip, rows)
        height = min(stop * side, source.height) - top * side
        pixels = source.read(bands, window=Window(0, top * side, source.width, height))
        filled = (pixels == fill).all(axis=0)
        some[top:stop] = _by_cell(filled, (stop - top, cols), side, np.False_).any(axis=(1, 3))
        whole[top:stop] = _by_cell(filled, (stop - top, cols), side, np.True_).all(axis=(1, 3))
    return some, whole


def _by_cell(filled: Mask, cells: tuple[int, int], side: int, beyond: np.bool_) -> Mask:
    """Rows×side×columns×side; what a cut cell lacks is `beyond`."""
    padded = np.full((cells[0] * side, cells[1] * side), beyond)
    padded[: filled.shape[0], : filled.shape[1]] = filled
    return padded.reshape(cells[0], side, cells[1], side)


def _joined_to_rim(some: Mask, whole: Mask) -> Mask:
    """Whole cells without a break from the rim of the raster, and what they go on to in the next cell."""
    count, label = cv2.connectedComponents(whole.astype(np.uint8), connectivity=4)
    at_rim = np.zeros(count, np.bool_)
    for edge in (label[0], label[-1], label[:, 0], label[:, -1]):
        at_rim[edge] = True
    at_rim[0] = False  # what has another colour
    joined = at_rim[label]
    return np.asarray(cv2.dilate(joined.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & some)
