"""Features of each cell on both dates, nearly independent of light, haze and season.

No colour stands for a kind of change: soil and water have any. Vegetation is green; everything else is judged
only by how far it moved from the same place before, relative to what is usual around, and by its likeness to
the river now. Texture is of the logarithm: the shadow of a cloud or another exposure multiplies all of it and
cancels.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.analysis.prior_water import compute_coarse_size
from flycam.analysis.radiometric_normalisation import remove_haze, subtract_local_percentile
from flycam.analysis.terrain_relief import TerrainRelief
from flycam.analysis.work_grid import WorkPair

Reals = NDArray[np.float32]

PIXEL_FEATURES = (
    "green_before",
    "green_after",
    "rough_before",
    "rough_after",
    "greener",
    "tinted",
    "lit",
    "dim",
    "alike",
    "slope",
    "above_floor",
    "above_bed",
    "over_water",
    "unlike_water",
)
"""Names of the feature planes, in their order; the last two are of the prior water (prior_water.py)."""
TERRAIN_FEATURES = ("slope", "above_floor", "above_bed", "over_water")
"""Features of a cell's terrain, not of its look."""
_COLOUR_M = 1.5
_ROUGH_M = 2.5
_ALIKE_M = 7.0
_MIN_LIGHT, _MIN_HAZY = 0.006, 0.001
_FURROW_LIGHT, _MAX_GRAIN = 0.02, 1.0
_MIN_SPREAD, _LITTLE_STRUCTURE = 0.02, 0.08
_OTHER_TINT = 0.2
_VEGETATION_PERCENT = 65.0
# a quarter of the ground did not change, even under a flood: its difference is light, noise, season
_USUAL_PERCENT, _MIN_USUAL, _MIN_CHANGE = 25.0, 0.04, 0.05


def compute_cell_features(work: WorkPair, relief: TerrainRelief) -> tuple[Reals, Reals]:
    """Compute each cell's features, and the coarse colours of the after-date.

    Features: float32 len(PIXEL_FEATURES)×H×W, about -3 to 3 each. Colours: float32 3×h×w (green, red, bright
    as below) on cells of `COARSE_M`, from which the last two features are made.

    green   ln G - (ln R + ln B) / 2 of 1.5 m, less the vegetation's value in the neighbourhood
    rough   ln of the spread of ln brightness over 2.5 m, less what is usual in the neighbourhood
    greener after less before, less what is usual: below 0 where cover was lost
    tinted, lit  ln of how far its colour (green, and red: ln R - ln B) and its brightness moved, in either
            direction, over what is usual; like greener, the lesser of the colours as they are and with less
            haze: where the air was clear, shade would else tint what it falls on
    dim     the lesser brightness of the two dates, less what is usual: in deep shade colours say little
    alike   correlation of both dates' brightness over 7 m, less its mean around each cell: of one structure,
            whatever the light, and from whichever side it falls on the slope; where there is no structure, as
            far as the colour is the same
    """
    planes = np.zeros((len(PIXEL_FEATURES), *work.seen.shape), np.float32)
    index = {name: number for number, name in enumerate(PIXEL_FEATURES)}
    # the before-date is kept in these planes: over large ground there is no memory for both beside them
    dim = planes[index["dim"]]
    dim[:] = np.inf
    went = [planes[index[name]] for name in ("greener", "tinted", "lit")]
    logs = []
    for when in ("before", "after"):
        clear = remove_haze(work.before if when == "before" else work.after, work.seen, work.cell_m)
        colours = _colours(clear, work.cell_m)
        for plane, values in zip(went, colours, strict=True):
            plane[:] = values if when == "before" else values - plane
        fine = np.log(clear.mean(-1) + _MIN_LIGHT)
        logs.append(fine)
        rough = _roughness(fine, work.cell_m)
        green = subtract_local_percentile(colours[0], work.seen, work.cell_m, _VEGETATION_PERCENT)
        planes[index[f"green_{when}"]] = green
        np.minimum(dim, subtract_local_percentile(colours[2], work.seen, work.cell_m), out=dim)
        planes[index[f"rough_{when}"]] = subtract_local_percentile(rough, work.seen, work.cell_m)
    size = compute_coarse_size(work.seen.shape, work.cell_m)
    coarse = np.stack([cv2.resize(values, size, interpolation=cv2.INTER_AREA) for values in colours])
    greener, tinted, lit = _went(went, work)
    before, after = (_colours(linear, work.cell_m, _MIN_HAZY) for linear in (work.before, work.after))
    as_it_is = _went([values - was for was, values in zip(before, after, strict=True)], work)
    planes[index["greener"]] = np.where(np.abs(as_it_is[0]) < np.abs(greener), as_it_is[0], greener)
    tinted = np.minimum(tinted, as_it_is[1])
    planes[index["tinted"]] = _over_usual(tinted, work)
    planes[index["lit"]] = _over_usual(np.minimum(lit, as_it_is[2]), work)
    alike = _correlation(
        logs[0], logs[1], np.exp(tinted / np.float32(-_OTHER_TINT)), round(_ALIKE_M / work.cell_m)
    )
    planes[index["alike"]] = alike
    planes[index["slope"]] = np.minimum(relief.slope, 1.5)
    for name, above in (("above_floor", relief.above_floor_m), ("above_bed", relief.above_bed_m)):
        planes[index[name]] = np.log1p(np.maximum(above, 0.0)) - 2.0
    return np.clip(planes, -3.0, 3.0, out=planes), np.asarray(coarse, np.float32)


def _went(differences: Sequence[Reals], work: WorkPair) -> tuple[Reals, Reals, Reals]:
    """Return greening, colour change and brightness change, less what is usual."""
    greener, redder, brighter = (
        subtract_local_percentile(plane, work.stable, work.cell_m) for plane in differences
    )
    return greener, np.hypot(greener, redder), np.abs(brighter)


def _over_usual(went: Reals, work: WorkPair) -> Reals:
    """Return ln of each cell's change over what is usual in its neighbourhood."""
    usual = went - subtract_local_percentile(went, work.stable, work.cell_m, _USUAL_PERCENT)
    ratio = (went + _MIN_CHANGE) / (np.maximum(usual, _MIN_USUAL) + _MIN_CHANGE)
    return np.asarray(np.log(ratio), np.float32)


def compute_grain(linear: Reals) -> Reals:
    """Compute the structure tensor of an image's fine grain.

    float32 3×H×W: Jxx - Jyy, 2 Jxy, Jxx + Jyy.

    linear  H×W×3, linear light 0-1

    Furrows and rows of plants run one way all over a field, landslide debris does not (Bigün and Granlund
    1987).
    """
    fine = np.log(linear.mean(-1) + _FURROW_LIGHT)
    x, y = (cv2.Sobel(fine, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1)))
    # clipped, because an outline or a roof is no grain
    limit = np.float32(_MAX_GRAIN)
    x, y = np.clip(x, -limit, limit), np.clip(y, -limit, limit)
    return np.stack([x * x - y * y, 2.0 * x * y, x * x + y * y])


def _colours(linear: Reals, cell_m: float, min_light: float = _MIN_LIGHT) -> tuple[Reals, Reals, Reals]:
    """Return greenness, redness, brightness (H×W each) of light averaged over 1.5 m."""
    side = max(round(_COLOUR_M / cell_m), 1)
    light = np.asarray(cv2.blur(linear, (side, side)), np.float32)
    light += np.float32(min_light)
    np.log(light, out=light)
    red, green, blue = (np.asarray(band, np.float32) for band in cv2.split(light))
    return green - 0.5 * (red + blue), red - blue, (red + green + blue) / 3.0


def _roughness(log_bright: Reals, cell_m: float) -> Reals:
    side = max(round(_ROUGH_M / cell_m) | 1, 3)
    mean = cv2.blur(log_bright, (side, side))
    square = cv2.blur(log_bright * log_bright, (side, side))
    return np.asarray(0.5 * np.log(np.maximum(square - mean * mean, 0.0) + _MIN_SPREAD**2), np.float32)


def _correlation(x: Reals, y: Reals, same: Reals, side: int) -> Reals:
    """Correlate the detail finer than `side` cells of two images, -1 to 1.

    Computed over squares of `side` cells; `same` where they have no detail. What is broader is the slope's
    light, which another sun reverses.
    """
    side = max(side | 1, 3)

    def mean(values: Reals) -> Reals:
        return np.asarray(cv2.blur(values, (side, side)), np.float32)

    x, y = x - mean(x), y - mean(y)
    both = mean(x * y)
    spread_x, spread_y = (np.maximum(mean(some * some), 0.0) for some in (x, y))
    little = np.float32(_LITTLE_STRUCTURE**2)
    return np.asarray((both + little * same) / (np.sqrt(spread_x * spread_y) + little), np.float32)
