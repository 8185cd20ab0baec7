"""How far a rectified picture is bent: relief displacement that no similarity takes.

A picture rectified on level ground shows what its camera saw, turned, shifted and scaled, but for the tilt
of its view. Where heights rise and fall it is taken from elsewhere: from (distance to the nadir) · (height
over the level) / (camera's height over the place) farther out (Kraus, Photogrammetry, section 4.1). Shifts
and even changes of scale leave a window whole; what stays under the similarity that fits it best melts
crowns and makes straight lines crooked.

Against pictures: windows of 64 px of two finished flights were correlated with their source photos under
the similarity of their neighbourhood. Correlation falls with this measure (Spearman -0.74 on Toledo, where
the bound was chosen, -0.83 on Brighton Beach); of 77 and 92 % of the windows both say alike whether they are
whole (correlation of 0.8 or more, `MAX_BEND_PX` or less).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WINDOW_PX = 64
MAX_BEND_PX = 1.0
"""A window of `WINDOW_PX` pixels that is bent by no more is whole; chosen on Toledo."""


def measure_bend_m(east: Floats, north: Floats, height_m: Floats, centre_m: Floats) -> Floats:
    """RMS distance of windows of a rectified picture from their best similarity with what the camera saw,
    metres on the ground (W).

    east, north, height_m  W×N places of each window; centre_m W×3 projection centres of the pictures that
    are shown there. NaN where a height is not known, or not below the camera.
    """
    level = height_m.mean(axis=1, keepdims=True)
    drop = centre_m[:, 2:] - height_m
    raised = (height_m - level) / np.where(drop > 0.0, drop, np.nan)
    displaced = ((east - centre_m[:, :1]) + 1j * (north - centre_m[:, 1:2])) * raised
    displaced -= displaced.mean(axis=1, keepdims=True)
    place = (east - east.mean(axis=1, keepdims=True)) + 1j * (north - north.mean(axis=1, keepdims=True))
    turn = (displaced * place.conj()).sum(axis=1) / np.square(np.abs(place)).sum(axis=1)
    left: Floats = np.sqrt(np.square(np.abs(displaced - turn[:, None] * place)).mean(axis=1))
    return left
