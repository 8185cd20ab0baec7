"""How well seams are hidden, and whether blur hides them.

Two numbers of a mosaic whose every pixel names its source:

- gradient across the seam against a parallel line 8 px inside, on either side, in the same direction: 1 is a
  seam that cannot be told from the ground beside it;
- energy of the finest detail (Laplacian) of the mosaic against that of the sources its pixels came from: a
  mosaic that hides its seams by blur, or doubles what stands there, is below or above 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

INSIDE_PX = 8
NEAR_PX = 4


@dataclass(frozen=True, slots=True)
class Seams:
    """Sums that add up over parts of a mosaic.

    across, beside  gradients (mean grey levels a pixel, absolute) at seams and 8 px inside; count of places
    """

    across: float = 0.0
    beside: float = 0.0
    count: int = 0

    def __add__(self, other: Seams) -> Seams:
        return Seams(self.across + other.across, self.beside + other.beside, self.count + other.count)

    @property
    def ratio(self) -> float:
        """Gradient across over gradient beside; NaN without a seam."""
        return self.across / self.beside if self.beside else float("nan")


def seam_gradients(rgb: np.ndarray, source: np.ndarray) -> Seams:
    """Gradients at the seams of H×W×3 uint8 `rgb`; `source` H×W ints, 0 = no data.

    A place counts where both sides are one source each for 8 px and a pixel more, so the comparison is of the
    same two frames' ground.
    """
    return _along_rows(rgb, source) + _along_rows(rgb.swapaxes(0, 1), source.T)


def _along_rows(rgb: np.ndarray, source: np.ndarray) -> Seams:
    gradient = np.abs(np.diff(rgb.astype(np.int16), axis=1)).mean(axis=2)
    same = (np.diff(source.astype(np.int32), axis=1) == 0) & (source[:, 1:] > 0)
    seam = ~same & (source[:, 1:] > 0) & (source[:, :-1] > 0)
    width = seam.shape[1]
    if width <= 2 * INSIDE_PX:
        return Seams()
    middle = slice(INSIDE_PX, width - INSIDE_PX)
    clean = seam[:, middle].copy()
    for step in range(1, INSIDE_PX + 1):
        clean &= same[:, INSIDE_PX - step : width - INSIDE_PX - step]
        clean &= same[:, INSIDE_PX + step : width - INSIDE_PX + step]
    left, right = gradient[:, : width - 2 * INSIDE_PX], gradient[:, 2 * INSIDE_PX :]
    return Seams(
        float(gradient[:, middle][clean].sum()),
        float((left[clean] + right[clean]).sum() / 2.0),
        int(clean.sum()),
    )


@dataclass(frozen=True, slots=True)
class Detail:
    """Sums of squared Laplacians: of the mosaic and of its sources; everywhere and near seams."""

    mosaic: float = 0.0
    sources: float = 0.0
    mosaic_near: float = 0.0
    sources_near: float = 0.0

    def __add__(self, other: Detail) -> Detail:
        return Detail(
            self.mosaic + other.mosaic,
            self.sources + other.sources,
            self.mosaic_near + other.mosaic_near,
            self.sources_near + other.sources_near,
        )

    @property
    def ratio(self) -> float:
        """Energy of the mosaic over its sources'."""
        return self.mosaic / self.sources if self.sources else float("nan")

    @property
    def ratio_near(self) -> float:
        """The same within 4 px of a seam."""
        return self.mosaic_near / self.sources_near if self.sources_near else float("nan")


def fine_detail(
    rgb: np.ndarray, source: np.ndarray, picture_of: Callable[[int], tuple[np.ndarray, np.ndarray]]
) -> Detail:
    """Detail of `rgb` against picture_of(source number): the frame over the same rectangle (H×W×3 uint8) and
    where it has data (H×W bool). Each pixel is compared with its own source's."""
    energy = _laplacian_energy(rgb)
    edges = np.zeros(source.shape, dtype=np.uint8)
    edges[:, 1:] |= source[:, 1:] != source[:, :-1]
    edges[1:] |= source[1:] != source[:-1]
    near = cv2.dilate(edges, np.ones((2 * NEAR_PX + 1,) * 2, np.uint8)) > 0
    whole = cv2.erode((source > 0).astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
    total = Detail()
    for number in np.unique(source[source > 0]):
        picture, seen = picture_of(int(number))
        own = (source == number) & whole
        own &= cv2.erode(seen.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
        theirs = _laplacian_energy(picture)
        total += Detail(
            float(energy[own].sum()),
            float(theirs[own].sum()),
            float(energy[own & near].sum()),
            float(theirs[own & near].sum()),
        )
    return total


def _laplacian_energy(rgb: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.square(cv2.Laplacian(grey, cv2.CV_32F))
