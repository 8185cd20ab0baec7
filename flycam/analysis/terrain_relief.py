"""Terrain relief: slope, direction down, height above the valley floor."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

Reals = NDArray[np.float32]

_STEP_M = 4.0
_SMOOTH_M = 6.0
_FLOOR_REACH_M, _BED_REACH_M = 110.0, 30.0
# middle values, so that unknown terrain is evidence of nothing
_UNKNOWN_SLOPE = 0.3
_UNKNOWN_ABOVE_M = 12.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TerrainRelief:
    """Relief on the work grid; all float32 H×W except `known`.

    slope           tangent of the steepest slope
    down_x, down_y  unit vector of the way down, columns and rows; 0, 0 on level ground
    above_floor_m   height above the lowest ground within 110 m: small on valley floors and in hollows
    above_bed_m     the same within 30 m: small in the bed of a brook, on a wide floor, in a hollow
    heights_m       smoothed heights; where the terrain is not known, those of the nearest that is
    known           bool
    """

    slope: Reals
    down_x: Reals
    down_y: Reals
    above_floor_m: Reals
    above_bed_m: Reals
    heights_m: Reals
    known: NDArray[np.bool_]


def compute_relief(heights_m: Reals, cell_m: float) -> TerrainRelief:
    """Compute the relief of heights H×W, NaN where unknown.

    There slope and height above the floor take a middle value, which is evidence of nothing.
    """
    shape = heights_m.shape
    known = np.isfinite(heights_m)
    step = max(_STEP_M, cell_m)
    size = (max(round(shape[1] * cell_m / step), 2), max(round(shape[0] * cell_m / step), 2))
    coarse = _filled_heights(
        np.asarray(cv2.resize(heights_m, size, interpolation=cv2.INTER_NEAREST), np.float32)
    )
    coarse = np.asarray(cv2.GaussianBlur(coarse, (0, 0), _SMOOTH_M / step), np.float32)
    south, east = np.gradient(coarse, step)
    slope = np.hypot(south, east)
    steep = np.maximum(slope, 1e-6)

    def above(reach_m: float) -> Reals:
        side = 2 * max(round(reach_m / step), 1) + 1
        lowest = cv2.erode(coarse, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
        return np.where(known, spread(coarse - lowest), np.float32(_UNKNOWN_ABOVE_M))

    def spread(values: NDArray[np.floating]) -> Reals:
        return np.asarray(
            cv2.resize(values.astype(np.float32), shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32
        )

    return TerrainRelief(
        slope=np.where(known, spread(slope), np.float32(_UNKNOWN_SLOPE)),
        down_x=spread(-east / steep),
        down_y=spread(-south / steep),
        above_floor_m=above(_FLOOR_REACH_M),
        above_bed_m=above(_BED_REACH_M),
        heights_m=spread(coarse),
        known=known,
    )


def _filled_heights(heights: Reals) -> Reals:
    """Fill unknown posts with the nearest known height; 0 where none is known."""
    unknown = ~np.isfinite(heights)
    if unknown.all():
        return np.zeros_like(heights)
    if not unknown.any():
        return heights
    rows, cols = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return np.asarray(heights[rows, cols], np.float32)
