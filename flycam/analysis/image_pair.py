"""Two images of the same ground on one grid: the input of change detection."""

from __future__ import annotations

from dataclasses import dataclass

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
