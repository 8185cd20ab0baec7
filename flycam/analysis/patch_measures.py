"""Measures of a patch as a whole: size, shape, place on the slope and look, in named numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.analysis.cell_features import PIXEL_FEATURES, TERRAIN_FEATURES
from flycam.analysis.patch_rim import PatchRim, compare_with_rim, make_rim, measure_edge_contrast
from flycam.analysis.patch_shape import (
    compute_axes,
    compute_box_fill,
    compute_solidity,
    compute_straightness,
    trace_patch_outline,
)
from flycam.analysis.patches import Patch
from flycam.analysis.prior_water import PriorWater
from flycam.analysis.terrain_relief import TerrainRelief

Reals = NDArray[np.float32]
Mask = NDArray[np.bool_]
Numbers = dict[str, float]

_MEAN_CUES = tuple(name for name in PIXEL_FEATURES if name not in TERRAIN_FEATURES)
_EDGED_CUES = ("green_before", "green_after", "tinted", "lit")
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
    "longest_runs",
    "ragged",
    "edge",
    "level",
    "fills",
    "head",
    "foot",
    "runs_out",
    "mixed_before",
    "at_water",
    "from_water",
    "over_water",
    "furrowed",
    "furrowed_before",
)
OVER_RIM = tuple(f"{name}_over_rim" for name in _MEAN_CUES)
EDGED = tuple(f"edged_{name}" for name in _EDGED_CUES)
MEASURES = (*SHAPE_MEASURES, *_MEAN_CUES, *OVER_RIM, *EDGED)
"""Names of the numbers of `measure_patch`, in their order."""
_MIN_INNER = 40
_BY_WATER_M = 3.0
# a mountain river in flood; steeper ground holds no level water
_MAX_WATER_SLOPE = 0.02
_MIN_KNOWN = 0.5
_MIN_SHARE = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class CellPlanes:
    """Features of each cell of the work grid, from which change is judged.

    cues                       float32 len(PIXEL_FEATURES)×H×W
    grain_before, grain_after  float32 3×H×W, see `compute_grain`
    cell_m                     side of a cell
    """

    cues: Reals
    grain_before: Reals
    grain_after: Reals
    relief: TerrainRelief
    water: PriorWater
    cell_m: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchMeasures:
    """Measures of a patch: `values` in the order of MEASURES, and its size and slope.

    mean_slope_deg  of its ground whose height is known, NaN where that is under half of it
    """

    values: NDArray[np.float64]
    area_m2: float
    length_m: float
    mean_slope_deg: float


def measure_patch(patch: Patch, logits: Reals, planes: CellPlanes) -> PatchMeasures:
    """Measure one patch.

    logits  H×W: the evidence cell by cell for the patch's kind
    """
    mask, place, cell_m, relief = patch.mask, patch.place, planes.cell_m, planes.relief
    along, across, axis = compute_axes(mask)
    slope = relief.slope[place][mask]
    rim = make_rim(patch, logits.shape, cell_m)
    numbers = {
        **_evidence(patch, rim, logits),
        **_lie(patch, rim, planes),
        **_run(patch, planes, along, across, axis),
        **_shape(mask, cell_m),
        **_against_rim(patch, rim, planes),
        "furrowed": _furrowed(planes.grain_after[(slice(None), *place)], mask),
        "furrowed_before": _furrowed(planes.grain_before[(slice(None), *place)], mask),
    }
    for name in _MEAN_CUES:
        numbers[name] = float(planes.cues[PIXEL_FEATURES.index(name)][place][mask].mean())
    return PatchMeasures(
        values=np.array([numbers[name] for name in MEASURES]),
        area_m2=patch.cells * cell_m**2,
        length_m=along * cell_m,
        mean_slope_deg=_mean_slope_deg(slope, relief.known[place][mask]),
    )


def _evidence(patch: Patch, rim: PatchRim, logits: Reals) -> Numbers:
    evidence, around = logits[patch.place][patch.mask], logits[rim.place]
    sure = np.clip(evidence, -6, 6)
    return {
        "evidence": float(sure.mean()),
        "weak_evidence": float(np.percentile(sure, 20)),
        "edge": float(evidence.mean() - around.mean()) if around.size else 0.0,
    }


def _lie(patch: Patch, rim: PatchRim, planes: CellPlanes) -> Numbers:
    """Measure its place on the slope and by the water."""
    mask, place, relief, water = patch.mask, patch.place, planes.relief, planes.water
    slope = relief.slope[place][mask]
    return {
        "slope": float(slope.mean()),
        "least_slope": float(np.percentile(slope, 10)),
        "above_floor": math.log1p(max(float(np.median(relief.above_floor_m[place][mask])), 0.0)),
        **_level(patch, rim, planes),
        "at_water": float(water.mask[rim.place].mean()) if rim.rows.size else 0.0,
        "from_water": math.log1p(float(np.median(water.distance_m[place][mask]))),
        "over_water": float(np.median(water.height_m[place][mask])),
        "mixed_before": math.log(
            float(planes.cues[PIXEL_FEATURES.index("green_before")][place][mask].std()) + _MIN_SHARE
        ),
    }


def _run(patch: Patch, planes: CellPlanes, along: float, across: float, axis: NDArray[np.float64]) -> Numbers:
    """Measure its run down the slope; along, across: its extents in cells."""
    mask, place, relief = patch.mask, patch.place, planes.relief
    down = np.array([relief.down_x[place][mask].mean(), relief.down_y[place][mask].mean()])
    low, high = (float(v) for v in np.percentile(relief.heights_m[place][mask], (3, 97)))
    return {
        "fall": (high - low) / max(along * planes.cell_m, 1.0),
        "downhill": abs(float(axis @ down)) * (1.0 - across / max(along, 1e-6)),
        "stretch": math.log(max(along, 1.0) / max(across, 1.0)),
        **_head_to_foot(relief.heights_m[place][mask], relief.slope[place][mask]),
    }


def _head_to_foot(heights: Reals, slope: Reals) -> Numbers:
    """Measure the shares of head, track and foot (thirds of height), and flattening.

    A slide starts narrow on the steep and comes to rest where it is less so (Varnes 1978).
    """
    low, high = (float(v) for v in np.percentile(heights, (2, 98)))
    third = (high - low) / 3.0
    head, foot = heights > high - third, heights < low + third
    flatter = float(slope[head].mean() - slope[foot].mean()) if head.any() and foot.any() else 0.0
    return {"head": float(head.mean()), "foot": float(foot.mean()), "runs_out": flatter}


def _shape(mask: Mask, cell_m: float) -> Numbers:
    outline, cells = trace_patch_outline(mask), int(mask.sum())
    straight, longest = compute_straightness(outline, cell_m)
    return {
        "size": math.log10(max(cells * cell_m**2, 1.0)),
        "box_fill": compute_box_fill(outline, cells),
        "solidity": compute_solidity(outline, cells),
        "straight": straight,
        "longest_runs": longest,
        "ragged": len(outline) / math.sqrt(cells),
    }


def _against_rim(patch: Patch, rim: PatchRim, planes: CellPlanes) -> Numbers:
    numbers: Numbers = {}
    for name in _MEAN_CUES:
        numbers[f"{name}_over_rim"] = compare_with_rim(planes.cues[PIXEL_FEATURES.index(name)], patch, rim)
    for name in _EDGED_CUES:
        numbers[f"edged_{name}"] = measure_edge_contrast(
            planes.cues[PIXEL_FEATURES.index(name)], patch, planes.cell_m
        )
    return numbers


def _mean_slope_deg(slope: Reals, known: Mask) -> float:
    """Return the mean slope of cells whose height is known; NaN where too few are.

    A middle value would pass for measured.
    """
    if known.mean() < _MIN_KNOWN:
        return math.nan
    return math.degrees(math.atan(float(slope[known].mean())))


def _furrowed(grain: Reals, mask: Mask) -> float:
    """Measure how much the grain runs one way, 0 to 1, away from the outline."""
    inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0) > 0
    difference, mixed, total = grain[:, inner if inner.sum() >= _MIN_INNER else mask].mean(axis=1)
    return float(np.hypot(difference, mixed) / max(float(total), 1e-9))


def _level(patch: Patch, rim: PatchRim, planes: CellPlanes) -> Numbers:
    """Measure whether it may be water, which ends on a contour and fills the lowest.

    level  ln of the spread in metres of the ground around it about a surface as level as water's
    fills  share of the ground around that lies higher than most of its own, along that surface: 1 for water,
           about half for a field or a patch across a slope

    Its bank to the old water is left out: that was no shore.
    """
    heights, away = planes.relief.heights_m, planes.water.distance_m
    off = away[rim.place] > _BY_WATER_M
    rows, cols = rim.rows[off], rim.cols[off]
    if rows.size < 8:
        return {"level": 0.0, "fills": 0.5}
    place = np.stack([cols, rows], -1) * planes.cell_m
    middle = place.mean(0)
    z = heights[rows, cols].astype(np.float64)
    tilt = np.linalg.lstsq(place - middle, z - z.mean(), rcond=None)[0]
    tilt *= min(_MAX_WATER_SLOPE / max(float(np.hypot(*tilt)), 1e-9), 1.0)
    left = z - (place - middle) @ tilt
    own_rows, own_cols = np.nonzero(patch.mask)
    own = np.stack([own_cols + patch.cols.start, own_rows + patch.rows.start], -1) * planes.cell_m
    inside = heights[patch.place][patch.mask] - (own - middle) @ tilt
    spread = float(np.median(np.abs(left - np.median(left))))
    return {"level": math.log(spread + 0.1), "fills": float((left > np.percentile(inside, 70)).mean())}
