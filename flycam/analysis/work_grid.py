"""Grid for change detection: half a metre, coarser over large ground or for coarse images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.analysis.image_pair import ImagePair

Reals = NDArray[np.float32]
Mask = NDArray[np.bool_]
Pixels = TypeVar("Pixels", NDArray[np.uint8], NDArray[np.float32])

WORK_M = 0.5
MAX_CELLS = 9_000_000
_LINEAR = ((np.arange(256) / 255.0) ** 2.2).astype(np.float32)
_WHOLLY = 0.98


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
    seen = _shrunk(pair.both_seen.astype(np.float32), size) > _WHOLLY
    still = seen if stable is None else seen & (_shrunk(stable.astype(np.float32), size) > _WHOLLY)
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
