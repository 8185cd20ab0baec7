"""Image pair on one grid: clouds, colour check, and the work grid of detection.

The two images show the same ground, pixel on pixel; they are the input of change detection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]

# grey levels by which two writings of one image may differ
_ROUNDED = 1
_STRIP_ROWS = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePair:
    """Before and after on one north-up grid of a work CRS, pixel on pixel.

    before_rgb, after_rgb    uint8 H×W×3; meaningless where nothing was imaged
    before_seen, after_seen  bool H×W: shown on that date: imaged and, after `mask_clouds`, hidden by no cloud
    gsd_m                    side of a pixel on the ground, metres of the work CRS
    heights_m                float32 H×W, metres above the datum of the terrain, NaN where it is not known;
                             row 0 is the northernmost, as in the images
    """

    before_rgb: Picture
    after_rgb: Picture
    before_seen: Mask
    after_seen: Mask
    gsd_m: float
    heights_m: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Raise ValueError unless all arrays lie on one grid."""
        shape = self.before_seen.shape
        shapes = (
            self.after_seen.shape,
            self.heights_m.shape,
            self.before_rgb.shape[:2],
            self.after_rgb.shape[:2],
        )
        if any(other != shape for other in shapes):
            raise ValueError(f"the arrays of a pair have one shape, not {shape} and {shapes}")

    @property
    def both_seen(self) -> Mask:
        """H×W mask of ground shown on both dates; nothing is claimed about other ground."""
        return self.before_seen & self.after_seen


def is_one_picture(one: Picture, other: Picture, both_seen: Mask) -> bool:
    """Return True if two images H×W×3 are equal wherever both show ground (H×W).

    They are compared pixel by pixel: no two flights see one place in the same light and noise. False where
    they have no ground in common.
    """
    for top in range(0, len(both_seen), _STRIP_ROWS):
        strip = slice(top, top + _STRIP_ROWS)
        if (cv2.absdiff(one[strip], other[strip])[both_seen[strip]] > _ROUNDED).any():
            return False
    return bool(both_seen.any())


# -- Clouds and fog that hide the ground on one of two dates, where change cannot be judged --------
#
# Haze changes colours and is removed elsewhere; a cloud here shows no ground at all. It is nearly white, of
# no colour, without grain, paler than on the other date and larger than a roof. A bright yard or field is as
# pale on both dates, and stays. A grey cloud, in the shade of others, is not recognised: by its grey alone it
# could be a flood or a road. Sun glint on water is as white in its middle, and may be all that is seen of a
# flood: its rim sparkles, a cloud's is soft.


_CLOUD_CELL_M = 1.0
_WHITE, _COLOUR, _GRAIN = 185, 24, 7.0
_NEAR_M = 5.0  # over which grain is measured
_MIN_AREA_M2, _MIN_WIDTH_M = 400.0, 10.0
# of cells of 1 m against the median of their nine, in grey levels; exercises: clouds 0 to 1.5, glint from 4.7
_RING_M, _MAX_SPARKLE = (1.0, 6.0), 3.0
# reach of a cloud's torn pieces, however small, and of its rim where ground shows through; and how much paler
# than the other date all of it is, relative to ground (a dry field in two exposures of one day: 10 to 19)
_RIM_M, _PALER = 60.0, 25
_SOFT_M = 4.0


def mask_clouds(pair: ImagePair) -> tuple[ImagePair, float]:
    """Mask the ground that a cloud hides; return the pair and the share lost.

    In the pair nothing is seen where a cloud hides the ground on its date. The share, 0 to 1, is of the
    ground imaged on both dates.
    """
    before, after = detect_clouds(pair)
    clear = replace(pair, before_seen=pair.before_seen & ~before, after_seen=pair.after_seen & ~after)
    both = np.count_nonzero(pair.both_seen)
    return clear, 1.0 - np.count_nonzero(clear.both_seen) / both if both else 0.0


def detect_clouds(pair: ImagePair) -> tuple[Mask, Mask]:
    """Detect clouds that hide seen ground BEFORE and AFTER: two bool H×W masks."""
    rows, cols = pair.before_seen.shape
    cell = max(_CLOUD_CELL_M / pair.gsd_m, 1.0)
    size = max(round(cols / cell), 1), max(round(rows / cell), 1)
    cell_m = pair.gsd_m * cols / size[0]
    before, after = (
        np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8) for rgb in _pictures(pair)
    )
    masks = []
    for own, other in ((before, after), (after, before)):
        paler = _paler(own, other)
        alone = _white(own, cell_m) & ~_white(other, cell_m) & paler
        # keep the parts at least as wide and as large as a cloud
        side = max(round(_MIN_WIDTH_M / cell_m), 1)
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        wide = cv2.morphologyEx(alone.astype(np.uint8), cv2.MORPH_OPEN, disc)
        _, labels, figures, _ = cv2.connectedComponentsWithStats(wide, connectivity=8)
        large = figures[:, cv2.CC_STAT_AREA] >= _MIN_AREA_M2 / cell_m**2
        large[0] = False
        core = _soft(np.asarray(large[labels], np.bool_), own, cell_m)
        torn = alone & _grown(core, _RIM_M / cell_m) if core.any() else core
        cloud = _with_rim(core | torn, paler, cell_m)
        there = cv2.resize(cloud.astype(np.uint8), (cols, rows), interpolation=cv2.INTER_NEAREST)
        masks.append(there.astype(np.bool_))
    return masks[0] & pair.before_seen, masks[1] & pair.after_seen


def _pictures(pair: ImagePair) -> tuple[Picture, Picture]:
    """Return both images, black where nothing was imaged and pixels are meaningless."""
    before = np.where(pair.before_seen[..., None], pair.before_rgb, np.uint8(0))
    return before, np.where(pair.after_seen[..., None], pair.after_rgb, np.uint8(0))


def _white(rgb: Picture, cell_m: float) -> Mask:
    """Return cells that are nearly white, of no colour, and like their neighbours."""
    darkest, brightest = rgb.min(axis=2), rgb.max(axis=2)
    light = darkest.astype(np.float32)
    side = (2 * round(_NEAR_M / cell_m / 2) + 1,) * 2
    mean = cv2.blur(light, side)
    spread = np.sqrt(np.maximum(cv2.blur(light * light, side) - mean * mean, 0.0))
    pale = (darkest >= _WHITE) & (brightest - darkest <= _COLOUR)
    return np.asarray(pale & (spread <= _GRAIN), np.bool_)


def _soft(mask: Mask, rgb: Picture, cell_m: float) -> Mask:
    """Keep the parts of a mask around which the image does not sparkle."""
    if not mask.any():
        return mask
    away, part = cv2.distanceTransformWithLabels(
        (~mask).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP
    )
    light = rgb.min(axis=2)
    sparkle = cv2.absdiff(light, cv2.medianBlur(light, 3))
    ring = (away > _RING_M[0] / cell_m) & (away <= _RING_M[1] / cell_m)
    parts = int(part.max()) + 1
    cells = np.maximum(np.bincount(part[ring], minlength=parts), 1)
    mean = np.bincount(part[ring], sparkle[ring], minlength=parts) / cells
    return np.asarray(mask & (mean <= _MAX_SPARKLE)[part], np.bool_)


def _paler(own: Picture, other: Picture) -> Mask:
    """Return cells that are paler than on the other date by more than usual between both."""
    paler_by = own.min(axis=2).astype(np.int16) - other.min(axis=2)
    both = own.any(axis=2) & other.any(axis=2)
    usual = float(np.median(paler_by[both])) if both.any() else 0.0
    return np.asarray(paler_by >= usual + _PALER, np.bool_)


def _with_rim(core: Mask, paler: Mask, cell_m: float) -> Mask:
    """Extend a cloud by its soft rim: as far as connected cells are `paler`, and a little farther."""
    if not core.any():
        return core
    near = _grown(core, _RIM_M / cell_m)
    _, labels = cv2.connectedComponents((core | (paler & near)).astype(np.uint8), connectivity=8)
    hangs = np.isin(labels, np.unique(labels[core]))
    return _grown(hangs, _SOFT_M / cell_m)


def _grown(mask: Mask, reach: float) -> Mask:
    """Grow a mask by `reach` cells."""
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(away <= reach, np.bool_)


# -- Colour check ----------------------------------------------------------------------------------
#
# Check that an image has the colours that reveal change: grey, infrared and night images have none.
# Vegetation and debris differ in the ratios of their bands. Where an image has no such ratios, or those of a
# light other than the sun's, everything seems to have changed, with high scores: no change is detected there.


_COLOUR_CELL_M = 2.0
_WHOLLY = 250  # of 255
_MIN_CELLS = 50
_DARK_LIGHT = 40.0
_MIN_LIGHT = 20.0
_MIN_SPREAD = 0.02
# in colour images under 0.5 % is pink, in an infrared camera's flight some 40 % (6 to 75 %)
_PINK, _MAX_PINK = 0.10, 0.25
_BLUE = 0.12


class ColourFault(StrEnum):
    """Reason why an image's colours cannot reveal change.

    GREY    panchromatic, thermal, or one tint all over
    UNREAL  vegetation is pink, or most ground blue, as where a band is infrared
    DARK    night
    """

    GREY = "grey"
    UNREAL = "unreal"
    DARK = "dark"


def find_colour_fault(rgb: Picture, seen: Mask, gsd_m: float) -> ColourFault | None:
    """Find the fault of an image's colours (H×W×3) where `seen` (H×W), or None.

    None also for too little ground. Judged on cells of 2 m, so that pixel noise is no colour, and by
    percentiles, so that a caption or a roof is none either. Shares of red less green and of blue less green
    are independent of a place's brightness: their spread is 0 in a grey image whatever its tint.
    """
    # mean (red, green, blue) of each cell that is wholly seen, N×3
    rows, cols = seen.shape
    cell = max(_COLOUR_CELL_M / gsd_m, 1.0)
    size = max(round(cols / cell), 1), max(round(rows / cell), 1)
    means = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    all_seen = cv2.resize(seen.astype(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA) > _WHOLLY
    cells = np.asarray(means[all_seen], np.float64)
    if len(cells) < _MIN_CELLS:
        return None
    light = cells.mean(axis=1)
    if np.percentile(light, 95) < _DARK_LIGHT:
        return ColourFault.DARK
    bright_cells = cells[light >= _MIN_LIGHT]
    red, green, blue = (bright_cells / bright_cells.sum(axis=1, keepdims=True)).T
    shares = np.stack([red - green, blue - green])
    low, high = np.percentile(shares, (5, 95), axis=1)
    if (high - low).max() < _MIN_SPREAD:
        return ColourFault.GREY
    redder, bluer = shares
    # red earth lies above green in red too, but never in blue
    pink = (redder > _PINK) & (bluer > 0.0)
    if pink.mean() > _MAX_PINK or np.median(bluer) > _BLUE:
        return ColourFault.UNREAL
    return None


# -- Grid for change detection: half a metre, coarser over large ground or for coarse images -------


Reals = NDArray[np.float32]
Pixels = TypeVar("Pixels", NDArray[np.uint8], NDArray[np.float32])

WORK_M = 0.5
MAX_CELLS = 9_000_000
_LINEAR = ((np.arange(256) / 255.0) ** 2.2).astype(np.float32)
_MIN_COVERED_SHARE = 0.98


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkPair:
    """A pair on the work grid.

    before_rgb, after_rgb  uint8 H×W×3, as the images have them
    seen           bool H×W: imaged wholly on both dates
    stable         bool H×W: ground the caller knows to be unchanged; all seen ground where it knows none
    heights_m      float32 H×W, NaN unknown
    cell_m         side of a cell
    to_pixels      (columns, rows) of the pair for one cell
    """

    before_rgb: NDArray[np.uint8]
    after_rgb: NDArray[np.uint8]
    seen: Mask
    stable: Mask
    heights_m: Reals
    cell_m: float
    to_pixels: tuple[float, float]

    @property
    def before(self) -> Reals:
        """Linear light 0-1 of the before image, float32 H×W×3.

        Made on each access: it takes four times the memory of its source.
        """
        return _LINEAR[self.before_rgb]

    @property
    def after(self) -> Reals:
        """Linear light 0-1 of the after image, as `before`."""
        return _LINEAR[self.after_rgb]


def to_work_grid(pair: ImagePair, stable: Mask | None) -> WorkPair:
    """Convert a pair: images averaged, heights sampled, masks only where whole."""
    rows, cols = pair.before_seen.shape
    cell_m = max(pair.gsd_m, WORK_M, pair.gsd_m * math.sqrt(rows * cols / MAX_CELLS))
    size = (max(round(cols * pair.gsd_m / cell_m), 1), max(round(rows * pair.gsd_m / cell_m), 1))
    seen = _shrunk(pair.both_seen.astype(np.float32), size) > _MIN_COVERED_SHARE
    still = seen if stable is None else seen & (_shrunk(stable.astype(np.float32), size) > _MIN_COVERED_SHARE)
    return WorkPair(
        before_rgb=_shrunk(pair.before_rgb, size),
        after_rgb=_shrunk(pair.after_rgb, size),
        seen=seen,
        stable=still,
        heights_m=np.asarray(cv2.resize(pair.heights_m, size, interpolation=cv2.INTER_NEAREST), np.float32),
        cell_m=cell_m,
        to_pixels=(cols / size[0], rows / size[1]),
    )


def _shrunk(values: Pixels, size: tuple[int, int]) -> Pixels:
    if values.shape[1::-1] == size:
        return values
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), values.dtype)
