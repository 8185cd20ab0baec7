"""Radiometric balance of a block on frame overviews, and multi-band blending.

Exposure, colour, haze and shading are estimated from overlapping views of the same ground.

A pixel of frame f at the place (u, v) of its image, r from the middle, is modelled, in each band, as
I = b_f + exp(g_f + V(r) + s_f J_f (u, v)) L  with the ground's own brightness L: gain g, airlight b (strong
prior: none; of mean zero, since airlight common to all makes no seam), a vignetting polynomial V = v1 r² +
v2 r⁴ + v3 r⁶ per camera, and a slope s over the ground, which looks brighter with the sun behind the camera,
forest more so than a road. J_f maps the image to the ground. Differences of log(I - b) between frames are
free of L: sparse least squares, robust against movement and change between exposures.

Overlaps hardly distinguish slopes of many images from gains that change as slowly over the ground, and not at
all a plane of gains from one slope in all images: without slopes each image's own would add up from one end
of a flight to the other. Priors (gain 1, no vignetting, no slope) choose; at the end the plane of all
corrections is removed, in each band. So the block keeps the mean and the balance of light and colour that its
photos have where each is shown nearest its middle. Light above 255 is compressed (`compress_highlights`).

Sources: Brown and Lowe, IJCV 74(1), 2007 (gain compensation); Goldman, PAMI 32(12), 2010 (vignetting and
exposure from overlaps, even polynomial; what they leave undetermined); Chavez, Remote Sens. Environ. 24, 1988
(haze as an additive term); Chandelier and Martinoty, PE&RS 75(2), 2009 (view and sun in a block).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import splu

from flycam.concurrency import LruCache
from flycam.geometry.grid import TILE_SIZE_PX
from flycam.model.frame import OrthoPatch

# -- Frame overviews, and multi-band blending of frames --------------------------------------------
#
# Radiometry and seamlines are decided on overviews. An overview is a frame rectified a few zooms above the
# base, cropped to its data. All overviews of a block lie on one global pixel grid, so they are compared
# without resampling. `FrameOverviewCache` keeps recently used ones in memory up to a bound and makes the
# others again, so that a block's size does not matter.


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


# -- Radiometric balance of a block, and highlight compression -------------------------------------


# -- Highlight compression -------------------------------------------------------------------------
#
# Corrected light may pass 255. Above a knee it is compressed, never clipped: a hyperbola of slope 1 at the
# knee maps the brightest possible light to 255, so brighter stays brighter and light below the knee does not
# change. The knee of a block is the highest with which no more of it saturates than the camera saturated; the
# middle tones keep their brightness. Only where the lowest knee is not enough does one factor darken all of
# it.


Singles = NDArray[np.float32]

KNEE = 225.0
"""The highest knee, grey levels."""
_LOWEST_KNEE, _KNEE_STEP = 165.0, 5.0
# grey level of an overview, whose means fall short of the pixels' own 250
_NEARLY_SATURATED = 247
# share of a block that a sample cannot tell from none
_MORE_SATURATED = 0.001
_MIN_PERCENT = 50  # darkest factor of a block


def compress_highlights(light: Singles, peak: float, knee: float) -> Singles:
    """Compress light of any shape from 0..`peak` to 0..255, in place.

    With a peak of 255 nothing changes.
    """
    room = 255.0 - knee
    bend = 1.0 / room - 1.0 / (max(peak, 255.0) - knee)
    if bend > 0.0:
        bright = light > np.float32(knee)
        over = light[bright] - np.float32(knee)
        light[bright] = np.float32(knee) + over / (1.0 + np.float32(bend) * over)
    return np.clip(light, 0.0, 255.0, out=light)


def find_headroom(before: NDArray[np.uint8], after: Singles, peak: float) -> tuple[float, float]:
    """Return the highest (knee, factor) at which no more pixels saturate than before.

    before, after  N, the brightest band of pixels spread over the block, as the camera gave it and corrected
    """
    share = float(np.mean(before >= _NEARLY_SATURATED)) + _MORE_SATURATED
    # the pixel that may just not saturate
    limit = float(np.quantile(after, max(1.0 - share, 0.0)))
    for knee in np.arange(KNEE, _LOWEST_KNEE - 1.0, -_KNEE_STEP):
        if _toned_value(limit, peak, float(knee)) < _NEARLY_SATURATED:
            return float(knee), 1.0
    for percent in range(99, _MIN_PERCENT, -1):
        factor = percent / 100.0
        if _toned_value(limit * factor, peak * factor, _LOWEST_KNEE) < _NEARLY_SATURATED:
            break
    return _LOWEST_KNEE, factor


def _toned_value(light: float, peak: float, knee: float) -> float:
    return float(compress_highlights(np.full(1, light, np.float32), peak, knee)[0])


# -- Radiometric corrections from overlapping views of the same ground -----------------------------


_BANDS = 3
# overview pixels a side: misregistration and noise average out
_CELL_PX = 8
# grey levels beyond which a camera may have clipped
_DARK, _BRIGHT = 4, 250
# each sample of a cell is compared with this many others there
_NEIGHBOURS = 3
_STEPS = 8
# priors: gain 1, no vignetting, no slope, no airlight
_SIGMA_GAIN = 0.2
_SIGMA_VIGNETTE = 0.3
_SIGMA_SLOPE = 0.2  # of log brightness over half a diagonal
_SIGMA_AIRLIGHT = 1.0  # grey levels
_MAX_AIRLIGHT = 12.0
_MAX_LOG_GAIN = 1.0
_MIN_SCALE = 0.01
# Beaton and Tukey 1974: 95 % efficient for normal errors
_TUKEY = 4.685
# adjacent cells have correlated errors: a sample counts as a tenth of one
_INDEPENDENT = 0.1
# more would only be slower, without making a gain more certain
_PAIRS_PER_FRAME = 400
# the full-size gain is interpolated between lattice points this far apart
_BLOCK_PX = 16
# a band of floats and its intermediate results stay in the CPU cache
_BAND_ROWS = 32
# pixels sampled in each frame to estimate how much of the block is saturated
_LOOK_PIXELS = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Radiometry:
    """Radiometric corrections of a block.

    frame_ids  in the order of the rows of the arrays
    cameras    camera key of each frame
    log_gain   frames×3; airlight frames×3, grey levels; both as in the formula of the module docstring
    vignette   by camera key: 3×3, band × (v1, v2, v3) with r = 1 in the corner
    slope      frames×3×2, log brightness by half diagonals across and down the image: s_f J_f
    scale      robust 1-sigma of log differences between corrected frames: how well they agree
    compared   number of sample pairs compared
    knee       grey level above which light is compressed (see `compress_highlights`)
    """

    frame_ids: tuple[str, ...]
    cameras: tuple[str, ...]
    log_gain: Floats
    airlight: Floats
    vignette: dict[str, Floats]
    slope: Floats
    scale: float
    compared: int
    knee: float = KNEE

    def correct(self, frame_id: str, pixels: Bytes) -> Bytes:
        """Correct a frame's source image (H×W×3 uint8 RGB, any size) to a common camera.

        A frame that the block does not know is returned unchanged.
        """
        if frame_id not in self.frame_ids:
            return pixels
        number = self.frame_ids.index(frame_id)
        height, width = pixels.shape[:2]
        airlight = np.append(self.airlight[number], 0.0)
        peak = self.peak
        result = np.empty_like(pixels)
        for top in range(0, height, _BAND_ROWS):
            rows = slice(top, min(top + _BAND_ROWS, height))
            gain = self._inverse_gain(number, (height, width), rows)
            light = np.asarray(cv2.subtract(pixels[rows], airlight, dtype=cv2.CV_32F), dtype=np.float32)
            light *= gain
            result[rows] = cv2.convertScaleAbs(compress_highlights(light, peak, self.knee))
        return result

    def correct_overview(self, number: int, overview: FrameOverview) -> NDArray[np.float32]:
        """Return H×W×3 float32 grey levels of a corrected overview; `number` is its row."""
        return compress_highlights(self.light(number, overview.rgb, overview.place), self.peak, self.knee)

    def light(self, number: int, rgb: Bytes, place: Bytes) -> NDArray[np.float32]:
        """Return …×3 corrected pixels of frame `number`, before highlight compression.

        They may lie outside 0 to 255.

        place  …×2, as an overview has it
        """
        nodes = np.arange(256, dtype=np.uint8)
        across, down = (decode_offsets(n) for n in np.meshgrid(nodes, nodes))
        table = np.moveaxis(self._gain(number, across, down), 0, -1).astype(np.float32)
        light: NDArray[np.float32] = rgb - self.airlight[number].astype(np.float32)
        light *= table[place[..., 1], place[..., 0]]
        return light

    @property
    def peak(self) -> float:
        """Upper bound of corrected pixels of all frames; grey levels, never below 255."""
        r2 = np.linspace(0.0, 1.0, 256)
        lowest = {camera: (v @ [r2, r2**2, r2**3]).min(axis=1) for camera, v in self.vignette.items()}
        falloff = np.stack([lowest[camera] for camera in self.cameras])
        gain = np.exp(np.hypot(self.slope[..., 0], self.slope[..., 1]) - self.log_gain - falloff)
        return max(255.0, float(((255.0 - self.airlight) * gain).max()))

    def _gain(self, number: int, across: Floats, down: Floats) -> Floats:
        """Return the factors of light at places in the image (`to_centred`).

        Their shape is bands × the shape of the places.
        """
        r2 = across**2 + down**2
        v, slope = (
            of.reshape(_BANDS, -1, *(1,) * r2.ndim)
            for of in (self.vignette[self.cameras[number]], self.slope[number])
        )
        log = r2 * (v[:, 0] + r2 * (v[:, 1] + r2 * v[:, 2])) + slope[:, 0] * across + slope[:, 1] * down
        gain: Floats = np.exp(-log - self.log_gain[number].reshape(_BANDS, *(1,) * r2.ndim))
        return gain

    def _inverse_gain(self, number: int, size: tuple[int, int], rows: slice) -> NDArray[np.float32]:
        """Return rows×W×3 float32 factors, interpolated between exact block centres."""
        height, width = size
        step = _BLOCK_PX
        first, last = rows.start // step - 1, -(-rows.stop // step) + 1
        middle = (step - 1) / 2.0
        y = np.arange(first, last, dtype=np.float64) * step + middle
        x = np.arange(-1, -(-width // step) + 1, dtype=np.float64) * step + middle
        gain = self._gain(number, *np.meshgrid(*to_centred(x, y, (width, height))))
        nodes = np.ascontiguousarray(np.moveaxis(gain, 0, -1).astype(np.float32))
        large = cv2.resize(
            nodes, (nodes.shape[1] * step, nodes.shape[0] * step), interpolation=cv2.INTER_LINEAR
        )
        top = rows.start - first * step
        return np.asarray(large[top : top + rows.stop - rows.start, step : step + width], dtype=np.float32)


def make_identity_radiometry(frame_ids: tuple[str, ...], cameras: tuple[str, ...]) -> Radiometry:
    """Make a radiometry that leaves every image unchanged."""
    return Radiometry(
        frame_ids=frame_ids,
        cameras=cameras,
        log_gain=np.zeros((len(frame_ids), _BANDS)),
        airlight=np.zeros((len(frame_ids), _BANDS)),
        vignette={camera: np.zeros((_BANDS, 3)) for camera in cameras},
        slope=np.zeros((len(frame_ids), _BANDS, 2)),
        scale=0.0,
        compared=0,
    )


def solve_radiometry(
    overviews: FrameOverviewCache, progress: Callable[[int, int], None] = lambda done, total: None
) -> Radiometry:
    """Solve for corrections from the overlaps of all overviews, requesting each once."""
    samples = []
    cameras = []
    looks = []
    for number in range(len(overviews)):
        overview = overviews[number]
        cameras.append(overview.camera)
        samples.append(_samples_of(overview, number))
        looks.append(_look_of(overview))
        progress(number + 1, len(overviews))
    keys = sorted(set(cameras))
    flat = make_identity_radiometry(overviews.frame_ids, tuple(cameras))
    footprints = _Footprints.from_samples(samples)
    joined = _Samples.joined(samples)
    samples.clear()
    pairs = _Pairs.among(joined, np.array([keys.index(c) for c in cameras], dtype=np.int64), footprints)
    if pairs.first.size == 0:
        return flat
    return _with_headroom(_solve(flat, keys, pairs, footprints), looks)


@dataclass(frozen=True, slots=True)
class _Samples:
    """Mean colours of cells of the grid.

    cell N, key (row, then column, of 32 bits each); frame N, its number; colour N×3, grey levels; place N×2,
    mean place in the image as `to_centred` gives it
    """

    cell: NDArray[np.int64]
    frame: NDArray[np.int64]
    colour: Floats
    place: Floats

    @classmethod
    def joined(cls, parts: list[_Samples]) -> _Samples:
        return cls(
            np.concatenate([p.cell for p in parts]),
            np.concatenate([p.frame for p in parts]),
            np.concatenate([p.colour for p in parts]),
            np.concatenate([p.place for p in parts]),
        )

    def take(self, index: NDArray[np.int64]) -> _Samples:
        return _Samples(self.cell[index], self.frame[index], self.colour[index], self.place[index])

    @property
    def r2(self) -> Floats:
        """Squared distance from the middle of the image."""
        r2: Floats = np.square(self.place).sum(axis=1)
        return r2

    def nearest_middle(self) -> NDArray[np.int64]:
        """Return each cell's sample nearest the middle of its image.

        That is about what a mosaic shows there.
        """
        order = np.lexsort((self.r2, self.cell))
        return order[np.unique(self.cell[order], return_index=True)[1]]


def _samples_of(overview: FrameOverview, number: int) -> _Samples:
    """Return the cells that lie wholly inside the data and hold no clipped pixel."""
    if overview.box.is_empty:
        nothing = np.empty(0, np.int64)
        return _Samples(nothing, nothing, np.empty((0, _BANDS)), np.empty((0, 2)))
    aligned = overview.box.aligned(_CELL_PX)
    rows, cols = (n // _CELL_PX for n in aligned.shape)
    good = overview.quality > 0
    good &= (overview.rgb.min(axis=2) >= _DARK) & (overview.rgb.max(axis=2) <= _BRIGHT)
    planes = np.zeros((*aligned.shape, _BANDS + 3), dtype=np.float32)
    window = planes[overview.box.slices_in(aligned)]
    window[..., :_BANDS] = overview.rgb
    window[..., _BANDS:-1] = decode_offsets(overview.place)
    window[..., -1] = good
    cells = planes.reshape(rows, _CELL_PX, cols, _CELL_PX, _BANDS + 3).mean(axis=(1, 3), dtype=np.float64)
    row, col = np.nonzero(cells[..., -1] == 1.0)
    key = ((aligned.row // _CELL_PX + row) << 32) + (aligned.col // _CELL_PX + col)
    chosen = cells[row, col]
    return _Samples(key, np.full(key.size, number), chosen[:, :_BANDS], chosen[:, _BANDS:-1])


@dataclass(frozen=True, slots=True)
class _Footprints:
    """Positions of images on the ground, in half diagonals of a median one.

    An image lies at centre + place · axes.

    centre frames×2 (column, row), from the middle of the block; axes frames×2×2, J_f transposed, the linear
    map that fits an image's cells best; 0 for a frame without cells
    """

    centre: Floats
    axes: Floats

    @classmethod
    def from_samples(cls, samples: list[_Samples]) -> _Footprints:
        """Fit footprints to the cells of each frame."""
        fits = np.zeros((len(samples), 3, 2))
        for fit, one in zip(fits, samples, strict=True):
            ground = np.stack([one.cell & 0xFFFFFFFF, one.cell >> 32], axis=1)
            fit[:] = np.linalg.lstsq(_with_ones(one.place), ground, rcond=None)[0]
        seen = np.array([one.cell.size > 0 for one in samples])
        centre, axes = fits[:, 0], fits[:, 1:]
        if seen.any():
            centre[seen] -= centre[seen].mean(axis=0)
            fits /= max(float(np.median(np.sqrt(np.abs(np.linalg.det(axes[seen]))))), 1.0)
        return cls(centre, axes)

    def offset(self, samples: _Samples) -> Floats:
        """Return the offsets of samples from the centres of their images, N×2."""
        offset: Floats = np.einsum("ni,nij->nj", samples.place, self.axes[samples.frame])
        return offset


def _with_ones(values: Floats) -> Floats:
    return np.column_stack([np.ones(len(values)), values])


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs of samples of one cell: indices into `samples`.

    shading, terms  N×5 of each sample: numbers of the unknowns of its shading (vignetting of its camera,
        slope of its frame), and their coefficients in its log brightness
    """

    samples: _Samples
    shading: NDArray[np.int64]
    terms: Floats
    first: NDArray[np.int64]
    second: NDArray[np.int64]

    @classmethod
    def among(cls, samples: _Samples, camera_of_frame: NDArray[np.int64], footprints: _Footprints) -> _Pairs:
        """Pair each sample with the next few of its cell, cyclically in frame order."""
        samples = samples.take(np.lexsort((samples.frame, samples.cell)))
        _, begins, sizes = np.unique(samples.cell, return_index=True, return_counts=True)
        start, size = (np.repeat(one, sizes).astype(np.int32) for one in (begins, sizes))
        index = np.arange(samples.cell.size, dtype=np.int32)
        firsts, seconds = [], []
        for shift in range(1, _NEIGHBOURS + 1):
            other = start + (index - start + shift) % np.maximum(size, 1)
            # a pair must not come twice: in a cell of n samples shifts k and n - k are the same pairs
            once = (2 * shift < size) | ((2 * shift == size) & (index < other))
            firsts.append(index[once])
            seconds.append(other[once])
        pair = np.stack([np.concatenate(firsts), np.concatenate(seconds)])
        frames = camera_of_frame.size
        count, most = pair.shape[1], _PAIRS_PER_FRAME * frames
        if count > most:
            rank = _scattered(samples.cell[pair[0]] * _NEIGHBOURS + np.arange(count) % _NEIGHBOURS)
            pair = pair[:, np.sort(np.argsort(rank, kind="stable")[:most])]
        # samples in no pair that a mosaic does not show either are of no use
        used = np.unique(np.append(pair, samples.nearest_middle()))
        first, second = np.searchsorted(used, pair).astype(np.int64)
        samples = samples.take(used)
        camera = camera_of_frame[samples.frame]
        vignette = 2 * frames + 3 * camera[:, None] + np.arange(3)
        slope = 2 * frames + 3 * (camera_of_frame.max() + 1) + 2 * samples.frame[:, None] + np.arange(2)
        shading = np.hstack([vignette, slope])
        terms = np.hstack([samples.r2[:, None] ** [1, 2, 3], footprints.offset(samples)])
        return cls(samples, shading, terms, first, second)


def _scattered(key: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Hash each key to a pseudo-random number (SplitMix, Steele et al. 2014)."""
    mixed = key.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _solve(flat: Radiometry, keys: list[str], pairs: _Pairs, footprints: _Footprints) -> Radiometry:
    """Solve by Gauss-Newton with Tukey's weights.

    Airlight is the only nonlinear unknown; shading is solved for each band.
    """
    frames, cameras = len(flat.frame_ids), len(keys)
    unknown = np.zeros((_BANDS, 4 * frames + 3 * cameras))
    prior = np.concatenate(
        [
            np.full(frames, _SIGMA_GAIN**-2.0),
            np.full(frames, _SIGMA_AIRLIGHT**-2.0),
            np.full(3 * cameras, _SIGMA_VIGNETTE**-2.0),
            np.full(2 * frames, _SIGMA_SLOPE**-2.0),
        ]
    )
    scale = np.inf
    for _ in range(_STEPS):
        systems = [_band(pairs, band, unknown[band], frames) for band in range(_BANDS)]
        distance = np.sqrt(np.mean([np.square(residual) for residual, _ in systems], axis=0))
        # the first estimate is far off, so begin with a wide scale: no exposure step counts as an outlier
        scale = max(float(np.median(distance)) * 1.2, _MIN_SCALE)
        weight = np.square(np.maximum(1.0 - np.square(distance / (_TUKEY * scale)), 0.0))
        weight *= _INDEPENDENT / scale**2
        step = np.empty_like(unknown)
        for band, (residual, design) in enumerate(systems):
            weighted = csr_matrix(design.multiply(weight[:, None]))
            normal = (design.T @ weighted).tocsc()
            normal.setdiag(normal.diagonal() + prior)
            step[band] = splu(normal).solve(weighted.T @ residual - prior * unknown[band])
        unknown += step
        air = unknown[:, frames : 2 * frames]
        air -= air.mean(axis=1, keepdims=True)
        np.clip(air, -_MAX_AIRLIGHT, _MAX_AIRLIGHT, out=air)
        if np.abs(step).max() < 1e-4:
            break
    return _anchored(flat, keys, pairs, footprints, unknown, scale)


def _band(pairs: _Pairs, band: int, unknown: Floats, frames: int) -> tuple[Floats, csr_matrix]:
    """Return residuals of the log differences and the design matrix (pairs×unknowns)."""
    logs, columns, values = [], [], []
    for index, sign in ((pairs.first, 1.0), (pairs.second, -1.0)):
        frame, shading, terms = pairs.samples.frame[index], pairs.shading[index], pairs.terms[index]
        light = np.maximum(pairs.samples.colour[index, band] - unknown[frames + frame], 1.0)
        logs.append(sign * (np.log(light) - unknown[frame] - (unknown[shading] * terms).sum(axis=1)))
        # d/db of -log(I - b) is +1 / (I - b)
        columns.append(np.column_stack([frame, frames + frame, shading]))
        values.append(sign * np.column_stack([np.ones(frame.size), 1.0 / light, terms]))
    width = 2 * columns[0].shape[1]
    design = csr_matrix(
        (
            np.hstack(values).ravel(),
            np.hstack(columns).ravel(),
            np.arange(0, width * pairs.first.size + 1, width),
        ),
        shape=(pairs.first.size, unknown.size),
    )
    design.sum_duplicates()
    return logs[0] + logs[1], design


def _anchored(
    flat: Radiometry, keys: list[str], pairs: _Pairs, footprints: _Footprints, unknown: Floats, scale: float
) -> Radiometry:
    """Return the result less the plane that fits the corrections of the shown ground.

    Overlaps do not determine that plane; without it the block keeps its mean and its balance.
    """
    frames = len(flat.frame_ids)
    gain, air = unknown[:, :frames].T, unknown[:, frames : 2 * frames].T
    vignette = unknown[:, 2 * frames : -2 * frames].reshape(_BANDS, len(keys), 3)
    shown = pairs.samples.nearest_middle()
    samples = pairs.samples.take(shown)
    light = np.maximum(samples.colour - air[samples.frame], 1.0)
    shading = np.einsum("bnk,nk->nb", unknown[:, pairs.shading[shown]], pairs.terms[shown])
    correction = np.log(light / samples.colour) - gain[samples.frame] - shading
    ground = footprints.centre[samples.frame] + footprints.offset(samples)
    plane = np.linalg.lstsq(_with_ones(ground), correction, rcond=None)[0]
    gain = gain + _with_ones(footprints.centre) @ plane
    slope = unknown[:, -2 * frames :].reshape(_BANDS, frames, 2) + plane[1:].T[:, None]
    return Radiometry(
        frame_ids=flat.frame_ids,
        cameras=flat.cameras,
        log_gain=np.clip(gain, -_MAX_LOG_GAIN, _MAX_LOG_GAIN),
        airlight=air,
        vignette={key: vignette[:, number] for number, key in enumerate(keys)},
        slope=np.einsum("bfj,fij->fbi", slope, footprints.axes),
        scale=scale,
        compared=int(pairs.first.size),
    )


def _look_of(overview: FrameOverview) -> tuple[Bytes, Bytes]:
    """Sample every n-th pixel of a frame: N×3 colours and N×2 places."""
    seen = np.flatnonzero(overview.quality)
    chosen = seen[:: max(seen.size // _LOOK_PIXELS, 1)]
    return overview.rgb.reshape(-1, _BANDS)[chosen], overview.place.reshape(-1, 2)[chosen]


def _with_headroom(radiometry: Radiometry, looks: list[tuple[Bytes, Bytes]]) -> Radiometry:
    """Return the block with the knee and factor that keep it from saturating.

    See `find_headroom`.
    """
    before = np.concatenate([rgb.max(axis=1) for rgb, _ in looks])
    after = np.concatenate([radiometry.light(n, *look).max(axis=1) for n, look in enumerate(looks)])
    knee, factor = find_headroom(before, after, radiometry.peak)
    return replace(radiometry, knee=knee, log_gain=radiometry.log_gain - np.log(factor))
