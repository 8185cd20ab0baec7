"""Checks of a reduced grey image for sharpness, exposure and a covered lens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.errors import FrameUnreadable

Pixels = NDArray[np.uint8]

COVERED_SPREAD, COVERED_SPREAD_IN_THE_DARK, DARK_MEAN = 5.0, 10.0, 16.0
THUMBNAIL_PX = 128
_CELL = 8
_FAR_STEP = 4
SMOOTH = 1.0 / _FAR_STEP**2
"""Sharpness of an image that is smooth over the far step: squared differences grow with distance squared."""
_MIN_VARIATION = 0.25  # squared grey levels: no structure below


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelChecks:
    """Measures of a reduced grey image, comparable within one camera and flight.

    sharpness        0 to about 1, see `measure_sharpness`: compare with the flight's median
    mean             mean grey 0..255
    spread           99th minus 1st percentile of grey
    dark_fraction    pixels at or below 4; bright_fraction at or above 251
    lens_covered     no image: black, or without any structure
    reduced_size_px  (width, height) of the image that was checked
    thumbnail        H×W uint8 grey, the longer side THUMBNAIL_PX: small enough to keep for a whole flight
    """

    sharpness: float
    mean: float
    spread: float
    dark_fraction: float
    bright_fraction: float
    lens_covered: bool
    reduced_size_px: tuple[int, int]
    thumbnail: Pixels | None = field(default=None, compare=False, repr=False)


Checks = Mapping[Path, PixelChecks | FrameUnreadable]
"""Result of each photo's check by path, because two folders of a card may hold the same file name."""


def check_pixels(grey: Pixels) -> PixelChecks:
    """Check an H×W uint8 grey image."""
    counts = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel().astype(np.float64)
    share = np.cumsum(counts) / grey.size
    mean = float(counts @ np.arange(256) / grey.size)
    return PixelChecks(
        sharpness=measure_sharpness(grey),
        mean=mean,
        spread=float(np.searchsorted(share, 0.99) - np.searchsorted(share, 0.01)),
        dark_fraction=float(share[4]),
        bright_fraction=float(1.0 - share[250]),
        lens_covered=_is_without_structure(grey, mean),
        reduced_size_px=(grey.shape[1], grey.shape[0]),
        thumbnail=_thumbnail(grey),
    )


def _thumbnail(grey: Pixels) -> Pixels:
    scale = THUMBNAIL_PX / max(grey.shape)
    size = (max(round(grey.shape[1] * scale), 1), max(round(grey.shape[0] * scale), 1))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def _is_without_structure(grey: Pixels, mean: float) -> bool:
    """Return True if averaging over cells of 8 × 8 pixels leaves no structure.

    Averaging removes sensor noise. A dim image keeps its structure; a cap that leaks light keeps a faint
    gradient, so a nearly black image must show more.
    """
    size = (max(grey.shape[1] // _CELL, 1), max(grey.shape[0] // _CELL, 1))
    cells = cv2.resize(grey.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    low, high = np.percentile(cells, (1.0, 99.0))
    return bool(high - low < (COVERED_SPREAD_IN_THE_DARK if mean < DARK_MEAN else COVERED_SPREAD))


def measure_sharpness(grey: Pixels) -> float:
    """Return the ratio of mean squared grey differences over 1 pixel to those over 4.

    The worst of four directions. A structure-function ratio: independent of contrast and brightness, near 1
    for fine texture, 1/16 where the image is smooth over 4 pixels; motion blur lowers the direction along
    which it smears. 0 for an image without structure or too small to measure.
    """
    if min(grey.shape) <= 2 * _FAR_STEP:
        return 0.0
    values = grey.astype(np.float32)
    ratios = []
    for down, right in ((1, 0), (0, 1), (1, 1), (1, -1)):
        near = _mean_square_step(values, down, right)
        far = _mean_square_step(values, _FAR_STEP * down, _FAR_STEP * right)
        ratios.append(near / far if far > _MIN_VARIATION else 0.0)
    return float(min(ratios))


def _mean_square_step(values: NDArray[np.float32], down: int, right: int) -> float:
    """Return the mean squared difference between pixels `down` and `right` apart."""
    rows, columns = values.shape
    ahead = values[down:, max(right, 0) : columns + min(right, 0)]
    behind = values[: rows - down, max(-right, 0) : columns - max(right, 0)]
    difference = cv2.subtract(ahead, behind)
    return float(cv2.norm(difference, cv2.NORM_L2SQR) / difference.size)
