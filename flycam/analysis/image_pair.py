"""Two pictures of the same ground on one grid, as everything that looks for change receives them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_ROUNDED = 1  # levels by which what was written twice may differ
_STRIP_ROWS = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePair:
    """Before and after on one north-up grid of a work CRS; pixel (row, col) is the same ground in both.

    before_rgb, after_rgb    uint8 H×W×3; what lies where nothing was imaged means nothing
    before_seen, after_seen  bool H×W: shown there on that date: imaged and, once `mask_clouds` was asked,
                             hidden by no cloud
    gsd_m                    side of a pixel on the ground, metres of the work CRS
    heights_m                float32 H×W, metres above the datum of the terrain, NaN where it is not known;
                             row 0 is the northernmost, as in the pictures
    """

    before_rgb: Picture
    after_rgb: Picture
    before_seen: Mask
    after_seen: Mask
    gsd_m: float
    heights_m: NDArray[np.float32]

    def __post_init__(self) -> None:
        """A pair whose arrays do not lie on one grid is a fault of the caller: ValueError."""
        shape = self.before_seen.shape
        alike = (
            self.after_seen.shape,
            self.heights_m.shape,
            self.before_rgb.shape[:2],
            self.after_rgb.shape[:2],
        )
        if any(other != shape for other in alike):
            raise ValueError(f"the arrays of a pair have one shape, not {shape} and {alike}")

    @property
    def both_seen(self) -> Mask:
        """H×W: shown on both dates; nothing is said of any other ground."""
        return self.before_seen & self.after_seen


def is_one_picture(one: Picture, other: Picture, both_seen: Mask) -> bool:
    """Whether two pictures H×W×3 are the same, pixel by pixel, wherever both show ground (H×W); no two
    flights see one place in the same light and noise. False where they have none in common."""
    for top in range(0, len(both_seen), _STRIP_ROWS):
        strip = slice(top, top + _STRIP_ROWS)
        if (cv2.absdiff(one[strip], other[strip])[both_seen[strip]] > _ROUNDED).any():
            return False
    return bool(both_seen.any())
