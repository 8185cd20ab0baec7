"""Matching of windows of the before image in the after image, at one pyramid level, block by block.

Bounded memory: only the reduced greys of a level are held whole (2 bytes a pixel and image), directions of
edges are made for one block at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.analysis.warp import Warp
from flycam.geometry.correlation import WindowShifts, compute_edge_directions, match_windows

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
_Value = TypeVar("_Value", np.uint8, np.bool_)

WINDOW_PX = 64
_BLOCK_WINDOWS = 12
# seen share of a window; unseen ground has no edges, on either date
_SEEN_SHARE = 0.6
# reach of smoothing, gradient and erosion around a pixel
_RIM_PX = 6
_STRIP_ROWS = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class PyramidLevel:
    """Both images reduced by `factor` on the common grid.

    Grey uint8 and seen bool, H×W.
    """

    factor: int
    before: Bytes
    after: Bytes
    before_seen: Mask
    after_seen: Mask

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the level: (rows, columns)."""
        rows, cols = self.before.shape
        return rows, cols


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowMatches:
    """Matches of the M windows of one level that were tried.

    place_px         M×2 middle of the window, full pixels of the common grid
    displacement_px  M×2 measured, full pixels; NaN where there is no clear match
    sigma_px         M, of one coordinate, full pixels
    margin           M, noise sigmas between the peak and the best other place
    score            M, correlation at the peak
    """

    place_px: Floats
    displacement_px: Floats
    sigma_px: Floats
    margin: Floats
    score: Floats

    def __len__(self) -> int:
        return len(self.place_px)

    def select_clear(self, min_margin: float) -> Mask:
        """Return the mask (M) of windows with one place that stands out."""
        return np.isfinite(self.displacement_px[:, 0]) & (self.margin >= min_margin)

    def take(self, chosen: Mask) -> WindowMatches:
        """Return the windows of a mask."""
        return WindowMatches(
            place_px=self.place_px[chosen],
            displacement_px=self.displacement_px[chosen],
            sigma_px=self.sigma_px[chosen],
            margin=self.margin[chosen],
            score=self.score[chosen],
        )


def reduce_image(rgb: Bytes, seen: Mask, factor: int) -> tuple[Bytes, Mask]:
    """Reduce an image H×W×3 to the grey (uint8) and seen mask of a level.

    Means over factor×factor pixels, without rows and columns that do not fill one; seen where all of them
    are.
    """
    rows, cols = seen.shape[0] // factor, seen.shape[1] // factor
    grey = np.empty((rows, cols), np.uint8)
    whole = np.empty((rows, cols), np.bool_)
    for top in range(0, rows, _STRIP_ROWS):
        stop = min(top + _STRIP_ROWS, rows)
        cut = (slice(top * factor, stop * factor), slice(0, cols * factor))
        strip = np.asarray(cv2.cvtColor(rgb[cut], cv2.COLOR_RGB2GRAY), np.uint8)
        grey[top:stop], whole[top:stop] = _averaged(strip, seen[cut], (cols, stop - top))
    return grey, whole


def halve_level(level: PyramidLevel) -> PyramidLevel:
    """Return the next coarser level."""
    rows, cols = level.shape[0] // 2, level.shape[1] // 2
    cut = (slice(0, 2 * rows), slice(0, 2 * cols))
    before, before_seen = _averaged(level.before[cut], level.before_seen[cut], (cols, rows))
    after, after_seen = _averaged(level.after[cut], level.after_seen[cut], (cols, rows))
    return PyramidLevel(
        factor=2 * level.factor,
        before=before,
        after=after,
        before_seen=before_seen,
        after_seen=after_seen,
    )


def match_level_windows(
    level: PyramidLevel, warp: Warp, *, reach_px: int, spacing_px: int, workers: int = 2
) -> WindowMatches:
    """Match windows that both images show, up to `reach_px` around their place.

    warp        gives their place
    spacing_px  distance of windows; like reach_px in pixels of the level
    """
    starts = list(_blocks(level.shape, spacing_px * _BLOCK_WINDOWS))
    with ThreadPoolExecutor(workers, thread_name_prefix="coregister") as pool:
        parts = list(pool.map(lambda at: _matched_in(level, warp, at, reach_px, spacing_px), starts))
    return WindowMatches(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("place_px", "displacement_px", "sigma_px", "margin", "score")
        }
    )


def _averaged(grey: Bytes, seen: Mask, size: tuple[int, int]) -> tuple[Bytes, Mask]:
    """Average whole pixel blocks to `size` (columns, rows).

    Seen where all pixels are.
    """
    data = seen.astype(np.uint8) * np.uint8(255)
    mean, all_seen = (cv2.resize(values, size, interpolation=cv2.INTER_AREA) for values in (grey, data))
    return np.asarray(mean, np.uint8), np.asarray(all_seen == 255)


def _blocks(shape: tuple[int, int], side: int) -> Iterator[tuple[slice, slice]]:
    for row in range(0, shape[0], side):
        for col in range(0, shape[1], side):
            yield slice(row, min(row + side, shape[0])), slice(col, min(col + side, shape[1]))


def _matched_in(
    level: PyramidLevel, warp: Warp, block: tuple[slice, slice], reach_px: int, spacing_px: int
) -> WindowMatches:
    """Match windows whose middle lies in the block; no data beyond the images."""
    room = WINDOW_PX // 2 + reach_px + _RIM_PX
    rows, cols = block
    row, col = rows.start - room, cols.start - room
    shape = (rows.stop - rows.start + 2 * room, cols.stop - cols.start + 2 * room)
    before, before_seen = _cut(level.before, row, col, shape), _cut(level.before_seen, row, col, shape)
    x, y = warp.positions(row, col, shape, level.factor)
    after, after_seen = _sampled(level.after, level.after_seen, x, y)
    centres = _centres(before_seen & after_seen, room, spacing_px)
    shifts = _nothing()
    if len(centres):
        first = compute_edge_directions(before.astype(np.float32), before_seen)
        second = compute_edge_directions(after.astype(np.float32), after_seen)
        shifts = match_windows(first, second, centres, window_px=WINDOW_PX, reach_px=reach_px)
    place = (centres + np.array([col, row]) + 0.5) * level.factor - 0.5
    return WindowMatches(
        place_px=place,
        displacement_px=warp.displacement(place) + shifts.shift_px * level.factor,
        sigma_px=shifts.sigma_px * level.factor,
        margin=shifts.margin,
        score=shifts.score,
    )


def _cut(picture: NDArray[_Value], row: int, col: int, shape: tuple[int, int]) -> NDArray[_Value]:
    """Cut a window that may reach beyond the image; 0 there."""
    out = np.zeros(shape, picture.dtype)
    top, left = max(row, 0), max(col, 0)
    stop_row, stop_col = min(row + shape[0], picture.shape[0]), min(col + shape[1], picture.shape[1])
    if top < stop_row and left < stop_col:
        out[top - row : stop_row - row, left - col : stop_col - col] = picture[top:stop_row, left:stop_col]
    return out


def _sampled(grey: Bytes, seen: Mask, x: NDArray[np.float32], y: NDArray[np.float32]) -> tuple[Bytes, Mask]:
    """Sample grey and seen at positions of the after image.

    Cropped first, for cv2.remap takes at most 32,767 pixels a side.
    """
    left, top = int(np.floor(x.min())) - 2, int(np.floor(y.min())) - 2
    shape = (int(np.ceil(y.max())) + 3 - top, int(np.ceil(x.max())) + 3 - left)
    here = (x - np.float32(left), y - np.float32(top))
    picture = cv2.remap(_cut(grey, top, left, shape), *here, cv2.INTER_LINEAR)
    data = _cut(seen, top, left, shape).astype(np.uint8) * np.uint8(255)
    return np.asarray(picture, np.uint8), np.asarray(cv2.remap(data, *here, cv2.INTER_LINEAR) == 255)


def _centres(both: Mask, room: int, spacing_px: int) -> NDArray[np.int64]:
    """Return middles (column, row) of a block's windows with data in both images."""
    rows, cols = (
        np.arange(room + spacing_px // 2, size - room, spacing_px, dtype=np.int64) for size in both.shape
    )
    share = cv2.blur(both.astype(np.float32), (WINDOW_PX, WINDOW_PX))
    grid = np.stack(np.meshgrid(cols, rows), axis=-1).reshape(-1, 2)
    return np.asarray(grid[share[grid[:, 1], grid[:, 0]] >= _SEEN_SHARE], dtype=np.int64)


def _nothing() -> WindowShifts:
    none = np.empty(0)
    return WindowShifts(shift_px=np.empty((0, 2)), sigma_px=none, score=none, margin=none)
