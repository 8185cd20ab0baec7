"""What a patch is like as a whole: its size, shape, lie on the slope and what it shows, in named numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.analysis.cues import PIXEL_CUES
from flycam.analysis.objects import Patch
from flycam.analysis.relief import Relief

Reals = NDArray[np.float32]
Mask = NDArray[np.bool_]

_MEAN_CUES = tuple(name for name in PIXEL_CUES if name not in ("slope", "above_floor"))
SHAPE_MEASURES = (
    "size",
    "evidence",
    "weak_evidence",
    "slope",
    "least_slope",
    "above_floor",
    "fall",
    "downhill",
    "stretch",
    "box_fill",
    "solidity",
    "straight",
    "ragged",
    "edge",
    "level",
    "at_water",
    "furrowed",
)
MEASURES = (*SHAPE_MEASURES, *_MEAN_CUES)
"""Names of the numbers of `measured`, in their order."""
_STRAIGHT_M = 9.0
_STRAIGHT_OFF_M = 1.1
_RIM_M = 4.0
_LEAST_INNER = 40
_LEAST_KNOWN = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A patch in numbers: `values` in the order of MEASURES; size, length and slope as people read them.

    mean_slope_deg  of its ground whose height is known, NaN where that is under half of it
    """

    values: NDArray[np.float64]
    area_m2: float
    length_m: float
    mean_slope_deg: float


def measured(
    patch: Patch,
    logits: Reals,
    *,
    cues: Reals,
    grain: Reals,
    relief: Relief,
    old_water: Mask,
    cell_m: float,
) -> Measured:
    """Numbers of one patch.

    logits     H×W: the evidence cell by cell for what the patch is taken for
    cues       len(PIXEL_CUES)×H×W, grain 3×H×W: see cues.py
    old_water  H×W: was water before
    """
    mask, place = patch.mask, patch.place
    area = patch.cells * cell_m**2
    evidence = logits[place][mask]
    slope = relief.slope[place][mask]
    outline = _outline(mask)
    along, across, axis = _axes(mask)
    down = np.array([relief.down_x[place][mask].mean(), relief.down_y[place][mask].mean()])
    heights = relief.heights_m[place][mask]
    low, high = (float(v) for v in np.percentile(heights, (3, 97)))
    ring = _rim(patch, mask, logits.shape, round(_RIM_M / cell_m))
    numbers = {
        "size": math.log10(max(area, 1.0)),
        "evidence": float(np.clip(evidence, -6, 6).mean()),
        "weak_evidence": float(np.percentile(np.clip(evidence, -6, 6), 20)),
        "slope": float(slope.mean()),
        "least_slope": float(np.percentile(slope, 10)),
        "above_floor": math.log1p(max(float(np.median(relief.above_floor_m[place][mask])), 0.0)),
        "fall": (high - low) / max(along * cell_m, 1.0),
        "downhill": abs(float(axis @ down)) * (1.0 - across / max(along, 1e-6)),
        "stretch": math.log(max(along, 1.0) / max(across, 1.0)),
        "box_fill": _box_fill(outline, patch.cells),
        "solidity": patch.cells / max(cv2.contourArea(cv2.convexHull(outline)), 1.0),
        "straight": _straight_share(outline, cell_m),
        "ragged": len(outline) / math.sqrt(patch.cells),
        "edge": float(evidence.mean() - logits[ring].mean()) if ring[0].size else 0.0,
        "level": _unlevel(relief.heights_m, ring),
        "furrowed": _furrowed(grain[(slice(None), *place)], mask),
        "at_water": float(old_water[ring].mean()) if ring[0].size else 0.0,
    }
    means = {name: float(cues[PIXEL_CUES.index(name)][place][mask].mean()) for name in _MEAN_CUES}
    return Measured(
        values=np.array([{**numbers, **means}[name] for name in MEASURES]),
        area_m2=area,
        length_m=along * cell_m,
        mean_slope_deg=_mean_slope_deg(slope, relief.known[place][mask]),
    )


def _mean_slope_deg(slope: Reals, known: Mask) -> float:
    """Of the cells whose height is known; NaN where too few are: a middle value would pass for measured."""
    if known.mean() < _LEAST_KNOWN:
        return math.nan
    return math.degrees(math.atan(float(slope[known].mean())))


def _outline(mask: Mask) -> NDArray[np.int32]:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(max(contours, key=len), np.int32)


def _axes(mask: Mask) -> tuple[float, float, NDArray[np.float64]]:
    """Extent along and across the principal axis, cells, and that axis (column, row): 95 % of the cells."""
    rows, cols = np.nonzero(mask)
    points = np.stack([cols, rows], -1).astype(np.float64)
    points -= points.mean(0)
    if len(points) < 3:
        return 1.0, 1.0, np.array([1.0, 0.0])
    _, vectors = np.linalg.eigh(points.T @ points / len(points) + 1e-9 * np.eye(2))
    spans = [np.ptp(np.percentile(points @ vectors[:, k], (1, 99))) + 1.0 for k in (1, 0)]
    return float(spans[0]), float(spans[1]), np.asarray(vectors[:, 1], np.float64)


def _box_fill(outline: NDArray[np.int32], cells: int) -> float:
    """Share of the smallest turned box that the patch fills: 1 for a field, less for what nature drew."""
    (_, (width, height), _) = cv2.minAreaRect(outline)
    return cells / max((width + 1.0) * (height + 1.0), 1.0)


def _straight_share(outline: NDArray[np.int32], cell_m: float) -> float:
    """Share of the outline in straight runs of 9 m and more."""
    corners = cv2.approxPolyDP(outline, _STRAIGHT_OFF_M / cell_m, closed=True)[:, 0, :].astype(np.float64)
    runs = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    total = float(runs.sum())
    return float(runs[runs * cell_m >= _STRAIGHT_M].sum()) / total if total else 0.0


def _furrowed(grain: Reals, mask: Mask) -> float:
    """How much the grain runs one way, 0 to 1, away from the outline."""
    inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0) > 0
    difference, mixed, total = grain[:, inner if inner.sum() >= _LEAST_INNER else mask].mean(axis=1)
    return float(np.hypot(difference, mixed) / max(float(total), 1e-9))


def _rim(
    patch: Patch, mask: Mask, shape: tuple[int, ...], cells: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the cells around a patch, within so many cells of it."""
    padded = np.pad(mask.astype(np.uint8), cells)
    side = 2 * cells + 1
    wide = cv2.dilate(padded, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    rows, cols = np.nonzero((wide > 0) & (padded == 0))
    rows, cols = rows + patch.rows.start - cells, cols + patch.cols.start - cells
    inside = (rows >= 0) & (cols >= 0) & (rows < shape[0]) & (cols < shape[1])
    return rows[inside], cols[inside]


def _unlevel(heights: Reals, ring: tuple[NDArray[np.intp], NDArray[np.intp]]) -> float:
    """ln of the spread in metres of the ground around a patch about a plane: water ends at one level."""
    if ring[0].size < 8:
        return 0.0
    z = heights[ring].astype(np.float64)
    ground = np.stack([ring[0], ring[1], np.ones(len(z))], -1)
    left = z - ground @ np.linalg.lstsq(ground, z, rcond=None)[0]
    return math.log(float(np.median(np.abs(left))) + 0.1)
