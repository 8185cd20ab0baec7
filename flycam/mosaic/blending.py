"""Multi-band blending: wide transitions for coarse detail, sharp ones for fine detail.

Each frame gives a Laplacian pyramid of its image and a Gaussian pyramid of the mask of the ground it owns;
bands are averaged with those weights and summed up again. Pixels without data are left out by normalised
convolution, so the edge of an image casts no dark rim. Filters run on integers and pyramids lie on multiples
of 2^LEVELS pixels of the global grid: a pixel's colour depends only on what is within REACH_PX of it, to the
last bit, whatever the rectangle that is blended together.

Sources: Burt and Adelson, ACM TOG 2(4), 1983 (multiresolution splines); Knutsson and Westin, CVPR 1993
(normalised convolution); Bu et al., IROS 2016 (Map2DFusion: pyramids of square tiles).
"""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.mosaic.frame_overview import Bytes, PixelBox

Mask = NDArray[np.bool_]
Shorts = NDArray[np.int16]
Words = NDArray[np.uint16]

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
