"""What each cell looks like on both dates, in numbers that other light, haze and season leave nearly alone.

Colours are ratios of bands, brightness is relative to the neighbourhood, texture is of the logarithm: the
shadow of a cloud or another exposure multiplies all of it and cancels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.analysis.radiometry import levelled, without_haze
from flycam.analysis.relief import Relief
from flycam.analysis.workgrid import WorkPair

Reals = NDArray[np.float32]

PIXEL_CUES = (
    "green_before",
    "green_after",
    "red_before",
    "red_after",
    "bright_before",
    "bright_after",
    "rough_before",
    "rough_after",
    "greener",
    "redder",
    "brighter",
    "alike",
    "slope",
    "above_floor",
)
"""Names of the planes of `cues_of`, in their order."""
_COLOUR_M = 1.5
_ROUGH_M = 2.5
_ALIKE_M = 7.0
_LEAST_LIGHT = 0.006
_FURROW_LIGHT, _STEEPEST_GRAIN = 0.02, 1.0
_LEAST_SPREAD = 0.02
_VEGETATION_PERCENT = 65.0


def cues_of(work: WorkPair, relief: Relief) -> Reals:
    """Cues of each cell, float32 len(PIXEL_CUES)×H×W, about -3 to 3 each.

    green   ln G - (ln R + ln B) / 2 of 1.5 m, less what vegetation has in the neighbourhood
    red     ln R - ln B, bright ln of the mean, rough: ln of the spread of ln brightness over 2.5 m; all less
            what is usual in the neighbourhood
    greener, redder, brighter  after less before, less what is usual
    alike   correlation of both dates' brightness over 7 m: of one structure, whatever the light
    """
    planes = np.empty((len(PIXEL_CUES), *work.seen.shape), np.float32)
    index = {name: number for number, name in enumerate(PIXEL_CUES)}
    differences = [planes[index[name]] for name in ("greener", "redder", "brighter")]
    logs = []
    for when in ("before", "after"):
        clear = without_haze(work.before if when == "before" else work.after, work.seen, work.cell_m)
        green, red, bright = colours = _colours(clear, work.cell_m)
        for plane, values in zip(differences, colours, strict=True):
            # what was before waits in the plane itself: over large ground there is no room for both beside it
            plane[:] = values if when == "before" else values - plane
        fine = np.log(clear.mean(-1) + _LEAST_LIGHT)
        logs.append(fine)
        rough = _roughness(fine, work.cell_m)
        planes[index[f"green_{when}"]] = levelled(green, work.seen, work.cell_m, _VEGETATION_PERCENT)
        for name, values in (("red", red), ("bright", bright), ("rough", rough)):
            planes[index[f"{name}_{when}"]] = levelled(values, work.seen, work.cell_m)
    for plane in differences:
        plane[:] = levelled(plane, work.stable, work.cell_m)
    planes[index["alike"]] = _correlation(logs[0], logs[1], round(_ALIKE_M / work.cell_m))
    planes[index["slope"]] = np.minimum(relief.slope, 1.5)
    planes[index["above_floor"]] = np.log1p(np.maximum(relief.above_floor_m, 0.0)) - 2.0
    return np.clip(planes, -3.0, 3.0, out=planes)


def grain_of(linear: Reals) -> Reals:
    """Structure tensor of a picture's fine grain, float32 3×H×W: Jxx - Jyy, 2 Jxy, Jxx + Jyy.

    linear  H×W×3, linear light 0-1

    Furrows and rows of plants run one way all over a field, what slid does not (Bigün and Granlund 1987).
    """
    fine = np.log(linear.mean(-1) + _FURROW_LIGHT)
    x, y = (cv2.Sobel(fine, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1)))
    # an outline or a roof is no grain
    limit = np.float32(_STEEPEST_GRAIN)
    x, y = np.clip(x, -limit, limit), np.clip(y, -limit, limit)
    return np.stack([x * x - y * y, 2.0 * x * y, x * x + y * y])


def _colours(linear: Reals, cell_m: float) -> tuple[Reals, Reals, Reals]:
    """Greenness, redness and brightness, each H×W, of light averaged over 1.5 m."""
    side = max(round(_COLOUR_M / cell_m), 1)
    light = np.asarray(cv2.blur(linear, (side, side)), np.float32)
    light += np.float32(_LEAST_LIGHT)
    np.log(light, out=light)
    red, green, blue = (np.asarray(band, np.float32) for band in cv2.split(light))
    return green - 0.5 * (red + blue), red - blue, (red + green + blue) / 3.0


def _roughness(log_bright: Reals, cell_m: float) -> Reals:
    side = max(round(_ROUGH_M / cell_m) | 1, 3)
    mean = cv2.blur(log_bright, (side, side))
    square = cv2.blur(log_bright * log_bright, (side, side))
    return np.asarray(0.5 * np.log(np.maximum(square - mean * mean, 0.0) + _LEAST_SPREAD**2), np.float32)


def _correlation(x: Reals, y: Reals, side: int) -> Reals:
    """Correlation of two pictures over squares of `side` cells, -1 to 1."""
    side = max(side | 1, 3)

    def mean(values: Reals) -> Reals:
        return np.asarray(cv2.blur(values, (side, side)), np.float32)

    mean_x, mean_y = mean(x), mean(y)
    both = mean(x * y) - mean_x * mean_y
    spread_x = np.maximum(mean(x * x) - mean_x**2, 0.0) + _LEAST_SPREAD**2
    spread_y = np.maximum(mean(y * y) - mean_y**2, 0.0) + _LEAST_SPREAD**2
    return np.asarray(both / np.sqrt(spread_x * spread_y), np.float32)
