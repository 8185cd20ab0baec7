"""Frame overviews, and multi-band blending of frames.

Radiometry and seamlines are decided on overviews. An overview is a frame rectified a few zooms above the
base, cropped to its data. All overviews of a block lie on one global pixel grid, so they are compared without
resampling. `FrameOverviewCache` keeps recently used ones in memory up to a bound and makes the others again,
so that a block's size does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.concurrency import LruCache
from flycam.geometry.grid import TILE_SIZE_PX
from flycam.model.frame import OrthoPatch

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint16]
Floats = NDArray[np.float64]

_MEMORY_BYTES = 160_000_000
_HALF_SCALE = 127.5  # place planes hold -1 to 1 in 0 to 255


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelBox:
    """A rectangle of global pixels of one zoom; stops are exclusive."""

    row: int
    col: int
    row_stop: int
    col_stop: int

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the box: (rows, columns)."""
        return max(self.row_stop - self.row, 0), max(self.col_stop - self.col, 0)

    @property
    def is_empty(self) -> bool:
        return 0 in self.shape

    def intersection(self, other: PixelBox) -> PixelBox:
        """Return the pixels in both; may be empty."""
        return PixelBox(
            row=max(self.row, other.row),
            col=max(self.col, other.col),
            row_stop=min(self.row_stop, other.row_stop),
            col_stop=min(self.col_stop, other.col_stop),
        )

    def union(self, other: PixelBox) -> PixelBox:
        """Return the smallest box around both."""
        return PixelBox(
            row=min(self.row, other.row),
            col=min(self.col, other.col),
            row_stop=max(self.row_stop, other.row_stop),
            col_stop=max(self.col_stop, other.col_stop),
        )

    def padded(self, pixels: int) -> PixelBox:
        """Return the box with a margin on all sides."""
        return PixelBox(
            row=self.row - pixels,
            col=self.col - pixels,
            row_stop=self.row_stop + pixels,
            col_stop=self.col_stop + pixels,
        )

    def aligned(self, step: int) -> PixelBox:
        """Return the smallest box around it whose edges are multiples of `step`."""
        return PixelBox(
            row=self.row // step * step,
            col=self.col // step * step,
            row_stop=-(-self.row_stop // step) * step,
            col_stop=-(-self.col_stop // step) * step,
        )

    def slices_in(self, outer: PixelBox) -> tuple[slice, slice]:
        """Return the (rows, columns) of this box in an array that covers `outer`."""
        return (
            slice(self.row - outer.row, self.row_stop - outer.row),
            slice(self.col - outer.col, self.col_stop - outer.col),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameOverview:
    """One frame on the coarse grid.

    camera   frames with the same key share one vignetting
    z        zoom of the grid
    box      global pixels of zoom z that the planes cover
    rgb      H×W×3 uint8 as the camera gave it (not corrected); 0 where quality is 0
    quality  H×W uint16; 0 = no data
    place    H×W×2 uint8: position in the image (across, down), as `decode_offsets` reads it
    """

    frame_id: str
    camera: str
    z: int
    box: PixelBox
    rgb: Bytes
    quality: Words
    place: Bytes

    @property
    def nbytes(self) -> int:
        """Memory of its planes."""
        return self.rgb.nbytes + self.quality.nbytes + self.place.nbytes


def make_frame_overview(patch: OrthoPatch, place: Bytes, camera: str) -> FrameOverview:
    """Make an overview from a coarse patch, cropped to its data.

    place  `make_place_image` rectified like the patch (H×W×2 uint8)
    """
    rows = np.flatnonzero(patch.quality.any(axis=1))
    cols = np.flatnonzero(patch.quality.any(axis=0))
    row, row_stop = (int(rows[0]), int(rows[-1]) + 1) if rows.size else (0, 0)
    col, col_stop = (int(cols[0]), int(cols[-1]) + 1) if cols.size else (0, 0)
    crop = (slice(row, row_stop), slice(col, col_stop))
    top, left = patch.tiles.y_start * TILE_SIZE_PX, patch.tiles.x_start * TILE_SIZE_PX
    return FrameOverview(
        frame_id=patch.frame_id,
        camera=camera,
        z=patch.tiles.z,
        box=PixelBox(row=top + row, col=left + col, row_stop=top + row_stop, col_stop=left + col_stop),
        rgb=np.ascontiguousarray(patch.rgb[crop]),
        quality=np.ascontiguousarray(patch.quality[crop]),
        place=np.ascontiguousarray(place[crop]),
    )


def keep_unshared_ground(overview: FrameOverview, others: Iterable[FrameOverview]) -> FrameOverview:
    """Return an overview of the ground that none of the others sees, all of one zoom."""
    alone = overview.quality.copy()
    for other in others:
        both = overview.box.intersection(other.box)
        if not both.is_empty:
            alone[both.slices_in(overview.box)][other.quality[both.slices_in(other.box)] > 0] = 0
    return replace(overview, quality=alone, rgb=np.where(alone[..., None] > 0, overview.rgb, np.uint8(0)))


def make_place_image(size_px: tuple[int, int]) -> Bytes:
    """Make an image of (width, height) whose first two bands encode pixel position.

    H×W×3 uint8; rectified like a photo it becomes the place planes of an overview.
    """
    width, height = size_px
    across, down = to_centred(np.arange(float(width)), np.arange(float(height)), size_px)
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    picture[..., 0] = np.rint((across + 1.0) * _HALF_SCALE)[None, :]
    picture[..., 1] = np.rint((down + 1.0) * _HALF_SCALE)[:, None]
    return picture


def to_centred(x: Floats, y: Floats, size_px: tuple[int, int]) -> tuple[Floats, Floats]:
    """Convert image coordinates to offsets from the middle, in half diagonals.

    Pixel centres lie at integers; the corners of an image of (width, height) are at distance 1.
    """
    width, height = size_px
    diagonal = float(np.hypot(width, height))
    return (x * 2.0 + 1.0 - width) / diagonal, (y * 2.0 + 1.0 - height) / diagonal


def decode_offsets(place: Bytes) -> Floats:
    """Decode place planes to the offsets of `to_centred`."""
    return place / _HALF_SCALE - 1.0


class FrameOverviewCache:
    """LRU cache of a block's overviews, by number; dropped ones are made again.

    overview_of   gives a frame's overview, always the same one; frame_ids in the order of the flight
    memory_bytes  bound for the planes kept
    """

    def __init__(
        self,
        frame_ids: Sequence[str],
        overview_of: Callable[[str], FrameOverview],
        *,
        memory_bytes: int = _MEMORY_BYTES,
    ) -> None:
        self.frame_ids = tuple(frame_ids)
        self._overview_of = overview_of
        self._kept = LruCache[int, FrameOverview](memory_bytes, lambda overview: overview.nbytes)

    def __len__(self) -> int:
        return len(self.frame_ids)

    def forget(self) -> None:
        """Drop the planes kept; those requested later are made again."""
        self._kept.clear()

    def __getitem__(self, number: int) -> FrameOverview:
        return self._kept.get(number, lambda: self._overview_of(self.frame_ids[number]))


# -- Multi-band blending: wide transitions for coarse detail, sharp ones for fine detail -----------
#
# Each frame gives a Laplacian pyramid of its image and a Gaussian pyramid of the mask of the ground it owns;
# bands are averaged with those weights and summed up again. Pixels without data are left out by normalised
# convolution, so the edge of an image casts no dark rim. Filters run on integers and pyramids lie on
# multiples of 2^LEVELS pixels of the global grid: a pixel's colour depends only on what is within REACH_PX of
# it, to the last bit, whatever the rectangle that is blended together.
#
# Sources: Burt and Adelson, ACM TOG 2(4), 1983 (multiresolution splines); Knutsson and Westin, CVPR 1993
# (normalised convolution); Bu et al., IROS 2016 (Map2DFusion: pyramids of square tiles).


Mask = NDArray[np.bool_]
Shorts = NDArray[np.int16]

LEVELS = 5
ALIGN_PX = 1 << LEVELS
REACH_PX = 4 * ALIGN_PX
"""2 (2^L - 1) pixels to gather the coarsest band, as many again to spread it, rounded up."""

# bits of a grey level's fraction: 255 << 6 fits 16 bits with its sign
_FRACTION_BITS = 6
# an 8-bit Gaussian blur is the same to the last bit on every machine
_SOFT_ONE = 128
_SOFT_PX, _SOFT_SIGMA_PX = 5, 0.9
# weight of ground wholly owned; times a colour it fits 32 bits
_ONE = 1 << 14


class Blender:
    """Sum of the bands of all frames over one rectangle.

    box  global pixels, multiples of ALIGN_PX; colours within REACH_PX of its edge differ from those of a
         larger box
    """

    def __init__(self, box: PixelBox) -> None:
        if box.aligned(ALIGN_PX) != box:
            raise ValueError(f"{box}: a box to blend must lie on multiples of {ALIGN_PX} pixels")
        self.box = box
        height, width = box.shape
        shapes = [(height >> level, width >> level) for level in range(LEVELS + 1)]
        self._sums = [np.zeros((*shape, 3), dtype=np.int32) for shape in shapes]
        self._weights = [np.zeros(shape, dtype=np.int32) for shape in shapes]

    def add(self, box: PixelBox, rgb: Bytes, seen: Mask, owned: Mask) -> None:
        """Add a frame's H×W×3 `rgb` over `box` (aligned, inside the blender's).

        seen   H×W, where it has data (rgb is 0 elsewhere)
        owned  H×W, the ground it gives, a part of `seen`; the box must reach REACH_PX beyond it, or to the
               blender's edge. No two frames own the same pixel.
        """
        image: Shorts = rgb.astype(np.int16) << _FRACTION_BITS
        weight: Words = owned.astype(np.uint16) * np.uint16(_ONE)
        partly: Words | None = None if seen.all() else seen.astype(np.uint16) * np.uint16(_ONE)
        colour = image
        for level in range(LEVELS):
            image = _down(image)
            partly = None if partly is None else _down(partly)
            coarser = image if partly is None else _normalised(image, partly)
            self._sum_up(level, box, colour, coarser, _softened(owned, seen) if level == 0 else weight)
            weight = _down(weight)
            colour = coarser
        self._sum_up(LEVELS, box, colour, None, weight)

    def colours(self) -> Bytes:
        """Return the blended H×W×3 uint8 of the box; only owned pixels are meaningful."""
        result = self._mean(LEVELS).astype(np.int16)
        for level in range(LEVELS - 1, -1, -1):
            height, width = result.shape[:2]
            result = cv2.pyrUp(result, dstsize=(2 * width, 2 * height)).astype(np.int16, copy=False)
            result += self._mean(level)
        rounded = (result + np.int16(1 << (_FRACTION_BITS - 1))) >> _FRACTION_BITS
        return np.asarray(np.clip(rounded, 0, 255), dtype=np.uint8)

    def _sum_up(
        self, level: int, box: PixelBox, colour: Shorts, coarser: Shorts | None, weight: Words
    ) -> None:
        """Add a band (colour less the enlarged coarser one) where its weight is not zero."""
        left, top, width, height = cv2.boundingRect((weight > 0).view(np.uint8))
        if width == 0:
            return
        near = (slice(top, top + height), slice(left, left + width))
        band = colour[near].astype(np.int32)
        if coarser is not None:
            band -= _enlarged(coarser, near)
        shares = weight[near].astype(np.int32)
        band *= _thrice(shares)
        top += (box.row - self.box.row) >> level
        left += (box.col - self.box.col) >> level
        there = (slice(top, top + height), slice(left, left + width))
        self._sums[level][there] += band
        self._weights[level][there] += shares

    def _mean(self, level: int) -> Shorts:
        """Return the weighted mean of the bands; where one frame counts, its exact band."""
        mean = self._sums[level].astype(np.float32)
        mean /= _thrice(np.maximum(self._weights[level], 1).astype(np.float32))
        rounded: Shorts = np.rint(mean, out=mean).astype(np.int16)
        return rounded


_Plane = TypeVar("_Plane", Shorts, Words)
_Number = TypeVar("_Number", np.int32, np.float32)


def _down(plane: _Plane) -> _Plane:
    return np.asarray(cv2.pyrDown(plane), dtype=plane.dtype)


def _softened(owned: Mask, seen: Mask) -> Words:
    """Return weights of the finest band, with seams a few pixels wide.

    A sharp seam would show between unlike textures.
    """
    mask = owned.astype(np.uint8) * np.uint8(_SOFT_ONE)
    soft = cv2.GaussianBlur(mask, (_SOFT_PX, _SOFT_PX), _SOFT_SIGMA_PX)
    weight = np.asarray(soft, dtype=np.uint16) * np.uint16(_ONE // _SOFT_ONE)
    weight[~seen] = 0
    return weight


def _thrice(plane: NDArray[_Number]) -> NDArray[_Number]:
    """Repeat a plane for each colour: much faster than broadcasting it over three."""
    return np.asarray(cv2.merge([plane, plane, plane]), dtype=plane.dtype)


def _normalised(image: Shorts, seen: Words) -> Shorts:
    """Return the mean of what was seen; 0 where nothing was."""
    gain = np.float32(_ONE) / np.maximum(seen, 1).astype(np.float32)
    gain[seen == 0] = 0.0
    colour: NDArray[np.float32] = image * _thrice(gain)
    np.clip(colour, 0.0, 255 << _FRACTION_BITS, out=colour)
    return np.rint(colour, out=colour).astype(np.int16)


def _enlarged(coarser: Shorts, window: tuple[slice, slice]) -> Shorts:
    """Return a window of the enlarged plane; its source reaches two pixels further."""
    starts = [max(w.start // 2 - 2, 0) for w in window]
    stops = [min(-(-w.stop // 2) + 2, n) for w, n in zip(window, coarser.shape[:2], strict=True)]
    part = np.ascontiguousarray(coarser[starts[0] : stops[0], starts[1] : stops[1]])
    large = np.asarray(cv2.pyrUp(part), dtype=np.int16)
    rows, cols = (slice(w.start - 2 * s, w.stop - 2 * s) for w, s in zip(window, starts, strict=True))
    return large[rows, cols]
