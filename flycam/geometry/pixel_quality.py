"""Pixel quality: the number that decides between frames.

A pure function of frame, pose, terrain and optics: never of load, order, or the mosaic.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.interior import InteriorOrientation

Floats = NDArray[np.float64]

MAX_QUALITY = 65535
BORDER_SHARE = 0.08
BORDER_FLOOR = 0.05
REFERENCE_GSD_M = 0.25


def compute_pixel_quality(
    interior: InteriorOrientation,
    u: Floats,
    v: Floats,
    off_nadir_cosine: Floats,
    ground_sample_m: Floats,
) -> NDArray[np.uint16]:
    """Return the quality 1..65535 of ground points at image points (u, v).

    u, v and the following are of equal shapes S.
    off_nadir_cosine  cosine of the angle between the line of sight and the plumb line (1 = nadir)
    ground_sample_m   side of a source pixel at the distance of the point, across the line of sight

        quality = 1 + round(65534 · N · G · B(u, width) · B(v, height))
        N = max(off_nadir_cosine, 0)²            an error dz of the terrain moves a pixel by dz · tan
        G = 0.25 m / (0.25 m + ground_sample_m)
        B = 0.05 + 0.95 · smoothstep(distance to the border / 8 % of the side)

    Continuous with continuous first derivative in all arguments; NaN gives 1.
    """
    width, height = interior.image_size_px
    score = np.square(np.maximum(off_nadir_cosine, 0.0))
    score *= _border(u, width)
    score *= _border(v, height)
    score *= REFERENCE_GSD_M / (REFERENCE_GSD_M + ground_sample_m)
    score *= MAX_QUALITY - 1.0
    # 1, and a half so that the cast below rounds
    score += 1.5
    quality: NDArray[np.uint16] = np.fmax(score, 1.0).astype(np.uint16)
    return quality


def _border(position: Floats, side: int) -> Floats:
    """Return the taper over the outer 8 %: BORDER_FLOOR at the edge, 1 inside."""
    x = (0.5 * side - np.abs(position - 0.5 * (side - 1.0))) * (1.0 / (BORDER_SHARE * side))
    x = np.minimum(np.maximum(x, 0.0), 1.0)
    taper: Floats = x * x * (3.0 - 2.0 * x) * (1.0 - BORDER_FLOOR) + BORDER_FLOOR
    return taper
