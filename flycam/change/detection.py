"""Change detection after a storm: candidates with kind, score and outline.

An analyst decides on them. Features that survive light and season are weighted cell by cell, cells that agree
become patches, and each patch is scored by its overall look and its place on the slope. A score is meant as a
probability: of the candidates with 0.7, seven in ten are of their kind. Only ground imaged on both dates is
examined; nothing is claimed about other ground.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.change.features import (
    COEFFICIENTS,
    PIXEL_FEATURES,
    TERRAIN_FEATURES,
    Logistic,
    PriorWater,
    TerrainRelief,
    compute_cell_features,
    compute_grain,
    compute_prior_water,
    compute_relief,
    smooth_along_edges,
    to_probability,
)
from flycam.change.image_pair import ImagePair, WorkPair, to_work_grid
from flycam.geodata.raster import trace_cell_rings
from flycam.model.board import ChangeKind

# -- Patches of connected cells: extraction, outlines, shape and other measures --------------------


Mask = NDArray[np.bool_]
Doubles = NDArray[np.float64]

_OUTLINE_CELLS = (0.6, 0.45, 0.3)
_AREA_OFF = 0.015


@dataclass(frozen=True, kw_only=True, slots=True)
class Patch:
    """Connected cells: `mask` within the part of the grid at `rows`, `cols`."""

    rows: slice
    cols: slice
    mask: Mask

    @property
    def place(self) -> tuple[slice, slice]:
        return self.rows, self.cols

    @property
    def cells(self) -> int:
        return int(self.mask.sum())

    @property
    def key(self) -> tuple[int, int, int]:
        """Key that is equal for equal patches of one image only."""
        return self.rows.start, self.cols.start, self.cells


def extract_patches(mask: Mask, min_cells: float) -> list[Patch]:
    """Extract patches (8-connected) of at least `min_cells` cells, largest first."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= min_cells]
    found = []
    for k in sorted(large, key=lambda k: -int(stats[k, cv2.CC_STAT_AREA])):
        left, top, width, height = (int(v) for v in stats[k, :4])
        rows, cols = slice(top, top + height), slice(left, left + width)
        found.append(Patch(rows=rows, cols=cols, mask=labels[rows, cols] == k))
    return found


def select_disjoint(patches: Sequence[Patch], shape: tuple[int, ...], max_shared: float) -> list[int]:
    """Select patches that overlap little; return their numbers.

    In order, each patch must share less than `max_shared` of itself, or of a patch selected before, with
    those selected before.
    """
    taken = np.full(shape, -1, np.int32)
    sizes: list[int] = []
    kept: list[int] = []
    for number, patch in enumerate(patches):
        owners = taken[patch.place][patch.mask]
        shared = np.bincount(owners[owners >= 0], minlength=len(sizes))
        if shared.sum() >= max_shared * patch.cells or (shared >= max_shared * np.array(sizes)).any():
            continue
        taken[patch.place][patch.mask & (taken[patch.place] < 0)] = len(sizes)
        sizes.append(patch.cells)
        kept.append(number)
    return kept


def clean_mask(mask: Mask, open_m: float, close_m: float, cell_m: float) -> Mask:
    """Remove specks and threads narrower than open_m; close gaps under close_m."""
    out = mask.astype(np.uint8)
    for how, width in ((cv2.MORPH_OPEN, open_m), (cv2.MORPH_CLOSE, close_m)):
        side = round(width / cell_m) | 1
        if side >= 3:
            around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
            out = np.asarray(cv2.morphologyEx(out, how, around), np.uint8)
    return out > 0


def fill_small_holes(mask: Mask, largest_cells: float) -> Mask:
    """Fill holes of fewer than `largest_cells` cells."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < largest_cells
    small[0] = False
    return mask | small[labels] if count > 1 else mask


def trace_rings(patch: Patch, to_pixels: tuple[float, float], min_hole_cells: float) -> list[Doubles]:
    """Trace outlines in pixels of the pair, the exterior first, then holes.

    Pixels are (column, row), centres at integers.

    to_pixels  (columns, rows) of the pair for one cell

    Traced along the cells' edges and smoothed as far as the area stays within 1.5 %. Where cells are
    connected by a corner alone, a ring touches itself there.
    """
    exterior, *holes = trace_cell_rings(patch.mask)
    exact = [exterior, *(hole for hole in holes if _area(hole) >= min_hole_cells)]
    # middles of cell edges keep the area; only those farther than `off_cells` from a straight run are kept
    rings = next(
        (
            smooth
            for off in _OUTLINE_CELLS
            if _as_large(smooth := [_through_middles(ring, off) for ring in exact], exact)
        ),
        exact,
    )
    corner = np.array([patch.cols.start, patch.rows.start])
    # the corner of cell 0 lies half a pixel before the centre of pixel 0
    return [(ring + corner) * np.array(to_pixels) - 0.5 for ring in rings]


def _through_middles(ring: Doubles, off_cells: float) -> Doubles:
    steps = np.diff(ring, axis=0)
    lengths = np.abs(steps).sum(axis=1)
    along = np.arange(lengths.sum()) + 0.5
    at = np.concatenate([[0.0], np.cumsum(lengths)])
    middles = np.stack([np.interp(along, at, ring[:, axis]) for axis in (0, 1)], axis=-1)
    corners = cv2.approxPolyDP(middles.astype(np.float32)[:, None], off_cells, closed=True)[:, 0, :]
    if not 3 <= len(corners) < len(ring):
        return ring
    return np.concatenate([corners, corners[:1]]).astype(np.float64)


def _as_large(rings: Sequence[Doubles], exact: Sequence[Doubles]) -> bool:
    wanted = _area_within(exact)
    return abs(_area_within(rings) - wanted) <= _AREA_OFF * wanted


def _area_within(rings: Sequence[Doubles]) -> float:
    """Return the area within an exterior ring and outside its holes."""
    exterior, *holes = rings
    return _area(exterior) - sum(map(_area, holes))


def _area(ring: Doubles) -> float:
    """Return the area of a closed ring, by Gauss's formula."""
    x, y = ring.T
    return 0.5 * abs(float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()))


# -- Rim of a patch, and the change in it ----------------------------------------------------------
#
# The shadow of a cloud or other leaves change a patch and its rim alike; a slide stops at its rim. A field
# has a rim on both dates, a slide only after.


Reals = NDArray[np.float32]

_RIM_M, _UNSURE_M = 4.0, 1.0
_ACROSS_M = 2.5


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchRim:
    """Cells within 4 m around a patch: rows and columns on the grid.

    clear  those more than 1 m off, which a pixel of misregistration does not reach
    """

    rows: NDArray[np.intp]
    cols: NDArray[np.intp]
    clear: Mask

    @property
    def place(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return self.rows, self.cols

    @property
    def clear_place(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return self.rows[self.clear], self.cols[self.clear]


def compare_with_rim(values: Reals, patch: Patch, rim: PatchRim) -> float:
    """Return a patch's mean of H×W values less its rim's; 0 for a rim off the grid."""
    around = values[rim.clear_place]
    return float(values[patch.place][patch.mask].mean() - around.mean()) if around.size else 0.0


def measure_edge_contrast(values: Reals, patch: Patch, cell_m: float) -> float:
    """Return how much more H×W values change across an outline than inside it.

    The change is per 2.5 m.
    """
    side = max(round(_ACROSS_M / cell_m) | 1, 3)
    half = side // 2
    rows = slice(max(patch.rows.start - side, 0), patch.rows.stop + side)
    cols = slice(max(patch.cols.start - side, 0), patch.cols.stop + side)
    part = values[rows, cols]
    mask = np.zeros(part.shape, np.uint8)
    top, left = patch.rows.start - rows.start, patch.cols.start - cols.start
    mask[top : top + patch.mask.shape[0], left : left + patch.mask.shape[1]] = patch.mask
    across = cv2.morphologyEx(part, cv2.MORPH_GRADIENT, np.ones((side, side), np.uint8))
    inner = cv2.erode(mask, np.ones((side, side), np.uint8), borderValue=0) > 0
    outline = (_grown(mask, max(half // 2, 1)) > 0) & (cv2.erode(mask, np.ones((3, 3), np.uint8)) == 0)
    within = across[inner] if inner.any() else across[mask > 0]
    return float(across[outline].mean() - within.mean())


def _grown(mask: NDArray[np.uint8], cells: int) -> NDArray[np.uint8]:
    side = 2 * cells + 1
    return np.asarray(cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))), np.uint8)


# -- Shape of a patch in numbers: length, straightness of its rim, share of its box and hull -------

Outline = NDArray[np.int32]

_STRAIGHT_M = 9.0
_STRAIGHT_OFF_M = 1.1


def compute_axes(mask: Mask) -> tuple[float, float, NDArray[np.float64]]:
    """Compute the extent along and across the principal axis, cells, and that axis.

    The axis is (column, row); the extents are of 98 % of the cells.
    """
    rows, cols = np.nonzero(mask)
    points = np.stack([cols, rows], -1).astype(np.float64)
    points -= points.mean(0)
    if len(points) < 3:
        return 1.0, 1.0, np.array([1.0, 0.0])
    _, vectors = np.linalg.eigh(points.T @ points / len(points) + 1e-9 * np.eye(2))
    spans = [np.ptp(np.percentile(points @ vectors[:, k], (1, 99))) + 1.0 for k in (1, 0)]
    return float(spans[0]), float(spans[1]), np.asarray(vectors[:, 1], np.float64)


def compute_straightness(outline: Outline, cell_m: float) -> tuple[float, float]:
    """Compute the outline's shares in straight runs of 9 m and more, and in two runs.

    Those two are the longest.
    """
    corners = cv2.approxPolyDP(outline, _STRAIGHT_OFF_M / cell_m, closed=True)[:, 0, :].astype(np.float64)
    runs = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    total = float(runs.sum())
    if not total:
        return 0.0, 0.0
    return float(runs[runs * cell_m >= _STRAIGHT_M].sum()) / total, float(np.sort(runs)[-2:].sum()) / total


# -- Measures of a patch as a whole: size, shape, place on the slope, look -------------------------

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
_TERRAIN_MEASURES = (
    "slope",
    "least_slope",
    "above_floor",
    "fall",
    "downhill",
    "level",
    "fills",
    "head",
    "foot",
    "runs_out",
    "over_water",
)
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
    """Measures of a patch: `values` in the order of MEASURES, and its length and slope.

    Those of its place on the slope, and `mean_slope_deg`, are NaN where the height of less than half of its
    ground is known.
    """

    values: NDArray[np.float64]
    length_m: float
    mean_slope_deg: float


def measure_patch(patch: Patch, logits: Reals, planes: CellPlanes) -> PatchMeasures:
    """Measure one patch.

    logits  H×W: the evidence cell by cell for the patch's kind
    """
    mask, place, cell_m, relief = patch.mask, patch.place, planes.cell_m, planes.relief
    along, across, axis = compute_axes(mask)
    slope = relief.slope[place][mask]
    wide = max(round(_RIM_M / cell_m), 1)
    padded = np.pad(patch.mask.astype(np.uint8), wide)
    near = _grown(padded, round(_UNSURE_M / cell_m))
    rows, cols = np.nonzero((_grown(padded, wide) > 0) & (padded == 0))
    clear = near[rows, cols] == 0
    rows, cols = rows + patch.rows.start - wide, cols + patch.cols.start - wide
    inside = (rows >= 0) & (cols >= 0) & (rows < logits.shape[0]) & (cols < logits.shape[1])
    rim = PatchRim(rows=rows[inside], cols=cols[inside], clear=clear[inside])
    numbers: Numbers = {}
    for name in _MEAN_CUES:
        numbers[f"{name}_over_rim"] = compare_with_rim(planes.cues[PIXEL_FEATURES.index(name)], patch, rim)
    for name in _EDGED_CUES:
        numbers[f"edged_{name}"] = measure_edge_contrast(
            planes.cues[PIXEL_FEATURES.index(name)], patch, planes.cell_m
        )
    numbers = {
        **_evidence(patch, rim, logits),
        **_lie(patch, rim, planes),
        **_run(patch, planes, along, across, axis),
        **_shape(mask, cell_m),
        **numbers,
        "furrowed": _furrowed(planes.grain_after[(slice(None), *place)], mask),
        "furrowed_before": _furrowed(planes.grain_before[(slice(None), *place)], mask),
    }
    for name in _MEAN_CUES:
        numbers[name] = float(planes.cues[PIXEL_FEATURES.index(name)][place][mask].mean())
    known = relief.known[place][mask]
    if known.mean() >= _MIN_KNOWN:
        mean_slope = float(slope[known].mean())
    else:
        # a middle value would pass for measured
        numbers.update(dict.fromkeys(_TERRAIN_MEASURES, math.nan))
        mean_slope = math.nan
    return PatchMeasures(
        values=np.array([numbers[name] for name in MEASURES]),
        length_m=along * cell_m,
        mean_slope_deg=math.degrees(math.atan(mean_slope)),
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
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline, cells = np.asarray(max(contours, key=len), np.int32), int(mask.sum())
    straight, longest = compute_straightness(outline, cell_m)
    # 1 for a field, less for natural shapes
    (_, (width, height), _) = cv2.minAreaRect(outline)
    return {
        "size": math.log10(max(cells * cell_m**2, 1.0)),
        "box_fill": (cells / max((width + 1.0) * (height + 1.0), 1.0)),
        "solidity": cells / max(cv2.contourArea(cv2.convexHull(outline)), 1.0),
        "straight": straight,
        "longest_runs": longest,
        "ragged": len(outline) / math.sqrt(cells),
    }


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


# -- Change detection after a storm: candidates with kind, score and outline -----------------------


# -- Prior of a kind of change in this pair, estimated from all its candidates together ------------
#
# After a storm many slopes fail at once, and in a quiet season none: a bare patch that looks half like a
# slide is one in the first and a new field in the second. The share is found by expectation and maximisation
# (Saerens, Latinne, Decaestecker 2002, Neural Computation 14), held near the usual one by a prior worth a few
# candidates.


# weight of the usual share, in candidates
DOUBT = 2.0
_ROUNDS = 200
_SETTLED = 1e-9


def calibrate_prior(logits: Doubles, usual_share: float) -> Doubles:
    """Return probabilities of N candidates, given their kind's estimated share here.

    logits       as fitted where `usual_share` of the candidates were right
    """
    if not len(logits):
        return np.zeros(0)
    share = usual_share
    for _ in range(_ROUNDS):
        moved = np.log(share / (1.0 - share)) - np.log(usual_share / (1.0 - usual_share))
        likely = to_probability(logits + moved)
        before, share = share, (likely.sum() + DOUBT * usual_share) / (len(logits) + DOUBT)
        if abs(share - before) < _SETTLED:
            break
    return np.asarray(likely, np.float64)


# -- Minimum areas of patches: less is a car, a heap, a puddle -------------------------------------


MIN_BARE_M2, MIN_FLOODED_M2 = 150.0, 120.0


# -- Evidence by cell, and its patches: bare ground that was green, water that was land ------------


_SURE_LOGIT = 6.0
# changed less than a quarter of the ground around, in colour and in light
_SAME = -0.1
_WATER_ABOVE_M, _LOWEST_M = 4.0, 0.6
_BARE_SMOOTH_M, _WATER_SMOOTH_M = 5.0, 1.6
# Cuts that extract patches, chosen by hand on development scenes, not fitted: which patch is kept, and its
# score, are fitted on what these cuts give, so after a change of one fit again (bench/change_fit.py).
# Bare ground: logit, and the width of necks that are broken; from the first detector on, scenes 501 to 520
_BARE_CUTS = ((-1.8, 4.0), (-0.8, 2.5), (0.2, 2.5), (0.2, 7.0), (1.2, 2.5), (1.2, 7.0), (2.2, 4.0))
_BARE_CLOSE_M, _BARE_HOLE_M2 = 2.0, 60.0
# Water: logit, logit by the old river, and the width of gaps that are closed. On 510, 90009, 90011, 90012 the
# -1.5 by the river and 7 m for 5 raised the share of a flood that is covered from 0.61-0.96 to 0.72-0.99; two
# more cuts found 3 % more floods and cost precision: left out (measured on exercises, 26 November 2026)
_WATER_CUTS = ((-0.5, -1.5, 7.0), (-0.5, -0.5, 5.0), (0.5, -0.5, 7.0), (0.8, 0.8, 5.0), (2.0, 1.0, 7.0))
_WATER_OPEN_M, _WATER_HOLE_M2, _BANK_M = 4.0, 600.0, 10.0
_SHORE_M = 2.5
_OLD_WATER_OPEN_M, _OLD_WATER_LOGIT = 4.0, 1.5


@dataclass(frozen=True, kw_only=True, slots=True)
class CellEvidence:
    """Evidence of a pair by cell on the work grid.

    bare, flooded  ln(p / (1 - p)), float32 H×W
    """

    work: WorkPair
    planes: CellPlanes
    bare: Reals
    flooded: Reals


def compute_cell_evidence(work: WorkPair) -> CellEvidence:
    """Compute the relief, features and evidence of each cell."""
    planes = compute_cell_planes(work, compute_relief(work.heights_m, work.cell_m))
    bare = np.clip(_changed(COEFFICIENTS.models["bare"], planes.cues), -_SURE_LOGIT, _SURE_LOGIT)
    radius = max(round(_BARE_SMOOTH_M / work.cell_m), 1)
    return CellEvidence(
        work=work,
        planes=planes,
        bare=smooth_along_edges(bare, work.after, work.seen, radius, work.cell_m),
        flooded=_smooth(_changed(COEFFICIENTS.models["flooded"], planes.cues), _WATER_SMOOTH_M / work.cell_m),
    )


def compute_cell_planes(work: WorkPair, relief: TerrainRelief) -> CellPlanes:
    """Compute each cell's look and its place relative to terrain and prior water."""
    cues, colours = compute_cell_features(work, relief)
    water = _smooth(_logits(COEFFICIENTS.models["old_water"], cues), _WATER_SMOOTH_M / work.cell_m)
    there = clean_mask(water > _OLD_WATER_LOGIT, _OLD_WATER_OPEN_M, 0.0, work.cell_m)
    low = relief.known & (relief.above_floor_m < _LOWEST_M)
    old = compute_prior_water(there, low, relief.heights_m, colours, work.cell_m)
    cues[PIXEL_FEATURES.index("over_water")] = old.height_m / _WATER_ABOVE_M
    cues[PIXEL_FEATURES.index("unlike_water")] = old.unlike
    return CellPlanes(
        cues=cues,
        grain_before=compute_grain(work.before),
        grain_after=compute_grain(work.after),
        relief=relief,
        water=old,
        cell_m=work.cell_m,
    )


def extract_bare_patches(seen: CellEvidence) -> list[tuple[Patch, PatchMeasures]]:
    """Extract patches that lost their vegetation, by several cuts: they overlap.

    A slide that ends in a ploughed field or crosses a new road is connected to it; the one cut that separates
    them is not the best one elsewhere. Which patch is kept depends on the look of each.
    """
    cell_m = seen.work.cell_m
    found: list[tuple[Patch, PatchMeasures]] = []
    known: set[tuple[int, int, int]] = set()
    for logit, width in _BARE_CUTS:
        mask = clean_mask((seen.bare > logit) & seen.work.seen, width, _BARE_CLOSE_M, cell_m)
        mask = fill_small_holes(mask, _BARE_HOLE_M2 / cell_m**2) & seen.work.seen
        for patch in extract_patches(mask, MIN_BARE_M2 / cell_m**2):
            if patch.key not in known:
                known.add(patch.key)
                found.append((patch, measure_patch(patch, seen.bare, seen.planes)))
    return found


def extract_flooded_patches(seen: CellEvidence) -> list[tuple[Patch, PatchMeasures]]:
    """Extract patches under water that were land, by several cuts: they overlap.

    Glinting water is taken for the river of before, and so is much that is not water: the cut that finds a
    bank-full strip whole makes one patch of a flood and the paddies beside it elsewhere.
    """
    found: list[tuple[Patch, PatchMeasures]] = []
    known: set[tuple[int, int, int]] = set()
    for cut in _WATER_CUTS:
        for patch in extract_patches(_flooded(seen, *cut), MIN_FLOODED_M2 / seen.work.cell_m**2):
            if patch.key not in known:
                known.add(patch.key)
                found.append((patch, measure_patch(patch, seen.flooded, seen.planes)))
    return found


def _flooded(seen: CellEvidence, logit: float, bank_logit: float, close_m: float) -> Mask:
    """Return flooded land: a minimum logit, and another within 10 m of the old river.

    Gaps up to close_m are closed. Objects standing in the water belong to it, the old river does not.
    """
    cell_m, old = seen.work.cell_m, seen.planes.water.mask
    least = np.full(seen.flooded.shape, logit, np.float32)
    least[seen.planes.water.distance_m <= _BANK_M] = bank_logit
    wet = (seen.flooded > least) & seen.work.seen
    # opened together with the old river: strips along it are narrow by themselves
    body = clean_mask(wet | old, _WATER_OPEN_M, close_m, cell_m) & ~old
    mask = clean_mask(body, _SHORE_M, 0.0, cell_m)
    filled = fill_small_holes(mask | old, _WATER_HOLE_M2 / cell_m**2) & ~old
    # a pond elsewhere is no part of a flood because its own hole was filled
    near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return np.asarray((mask | (filled & near)) & ~old & seen.work.seen, np.bool_)


def _logits(model: Logistic, cues: Reals) -> Reals:
    """Return the model's logits from its features; uncopied if it uses all of them."""
    if model.cues == PIXEL_FEATURES:
        return model.logit_planes(cues)
    return model.logit_planes(cues[[PIXEL_FEATURES.index(name) for name in model.cues]])


def _changed(model: Logistic, cues: Reals) -> Reals:
    """Return the model's logits, lowered where colour and light hardly changed.

    Hardly means no farther than nearly all the ground around.
    """
    logits = _logits(model, cues)
    tint_change, brightness_change = (cues[PIXEL_FEATURES.index(name)] for name in ("tinted", "lit"))
    logits[(tint_change < _SAME) & (brightness_change < _SAME)] = -_SURE_LOGIT
    return logits


def _smooth(logits: Reals, sigma: float) -> Reals:
    """Smooth logits over neighbours, clipped so that no cell outvotes a certain one."""
    return np.asarray(cv2.GaussianBlur(np.clip(logits, -_SURE_LOGIT, _SURE_LOGIT), (0, 0), sigma), np.float32)


# -- Candidates: detection, and classification of patches ------------------------------------------


_MIN_HOLE_M2 = 60.0
# logits that a patch ten times as large gains over those it overlaps: chosen by hand with the first
# detector on the development scenes 501 to 520 and kept since; no search for it is on record
_LARGER, _MAX_SHARED = 1.5, 0.25
_MIN_OVERLAP_SHARE = 0.5
_MIN_LIKENESS: Mapping[ChangeKind, float] = {
    ChangeKind.LANDSLIDE: -3.0,
    ChangeKind.FLOOD: -5.0,
    ChangeKind.OTHER: -3.0,
}
# a slide taken for a field is lost; a field taken for a slide must still reach a slide's score. Chosen as
# _LARGER was; scores are fitted on what both choose, so after a change of either fit again
# (bench/change_fit.py)
_FAVOUR: Mapping[ChangeKind, float] = {
    ChangeKind.LANDSLIDE: 2.0,
    ChangeKind.FLOOD: 0.0,
    ChangeKind.OTHER: 0.0,
}
Patches = Sequence[tuple[Patch, PatchMeasures]]


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorWeights:
    """Models and thresholds by which patches are judged, by kind.

    like         model that decides which of overlapping patches is kept, and as which kind
    right        model of the probability that a kept one is of its kind
    usual_share  share of those that are
    min_score    less likely ones are not shown
    """

    like: Mapping[ChangeKind, Logistic]
    right: Mapping[ChangeKind, Logistic]
    usual_share: Mapping[str, float]
    min_score: Mapping[str, float]


FITTED_WEIGHTS = DetectorWeights(
    like={kind: COEFFICIENTS.models[f"like_{kind.value}"] for kind in _FAVOUR},
    right={kind: COEFFICIENTS.models[kind.value] for kind in _FAVOUR},
    usual_share=COEFFICIENTS.usual_share,
    min_score=COEFFICIENTS.min_score,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeCandidate:
    """One patch that may have changed.

    kind            its most likely kind; other where the terrain is not known
    score           probability that it is of that kind, 0 to 1
    rings           N×2 float64 (column, row) of the pair's pixels, centres at integers: exterior, then holes
    area_m2         within the exterior and outside the holes
    length_m        along its longest axis
    mean_slope_deg  of the terrain under it; NaN where it is not known under half of it
    """

    kind: ChangeKind
    score: float
    rings: tuple[Doubles, ...]
    area_m2: float
    length_m: float
    mean_slope_deg: float


def detect_changes(
    pair: ImagePair, *, stable: NDArray[np.bool_] | None = None
) -> tuple[ChangeCandidate, ...]:
    """Detect the candidates of a pair, as `prepare_detection` finds them."""
    return prepare_detection(pair, stable=stable)()


def prepare_detection(
    pair: ImagePair, *, stable: NDArray[np.bool_] | None = None
) -> Callable[[], tuple[ChangeCandidate, ...]]:
    """Return a function that detects a pair's candidates, likeliest first.

    The images must lie on each other to about a pixel. Everything needed of the pair at full resolution is
    taken here, so that the caller can free it before detection runs: of 1 km² at 15 cm that is half a
    gigabyte.

    stable   bool H×W: ground that did not change, found by the coregistration; light and season are learnt
             there
    """
    return partial(_candidates, to_work_grid(pair, stable))


def _candidates(work: WorkPair) -> tuple[ChangeCandidate, ...]:
    if not work.seen.any():
        return ()
    seen = compute_cell_evidence(work)
    judged = classify_patches(
        extract_bare_patches(seen), extract_flooded_patches(seen), seen.work.seen.shape, FITTED_WEIGHTS
    )
    found = [_candidate(seen, one) for one in judged]
    return tuple(sorted(found, key=lambda c: (-c.score, -c.area_m2)))


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredPatch:
    """A patch, its most likely kind and the probability of that kind, 0 to 1."""

    kind: ChangeKind
    score: float
    patch: Patch
    what: PatchMeasures


def classify_patches(
    bare: Patches, flooded: Patches, shape: tuple[int, ...], weights: DetectorWeights
) -> list[ScoredPatch]:
    """Classify bare and flooded patches; drop those that overlap or are unlikely.

    shape  of the work grid
    """
    wet = filter_kind(ChangeKind.FLOOD, choose_patches(flooded, shape, weights.like, (ChangeKind.FLOOD,)))
    floods = _likely(ChangeKind.FLOOD, wet, weights)
    patches = [one.patch for one in floods]
    under_water = np.zeros(shape, bool)
    for patch in patches:
        under_water[patch.place] |= patch.mask
    dry = [
        (patch, what)
        for patch, what in bare
        if float(under_water[patch.place][patch.mask].mean()) < _MIN_OVERLAP_SHARE
    ]
    chosen = choose_patches(dry, shape, weights.like, (ChangeKind.LANDSLIDE, ChangeKind.OTHER))
    return [
        *floods,
        *(
            one
            for kind in (ChangeKind.LANDSLIDE, ChangeKind.OTHER)
            for one in _likely(kind, filter_kind(kind, chosen), weights)
        ),
    ]


def filter_kind(
    kind: ChangeKind, chosen: Sequence[tuple[ChangeKind, Patch, PatchMeasures]]
) -> list[tuple[Patch, PatchMeasures]]:
    """Return the chosen patches of one kind."""
    return [(patch, what) for its, patch, what in chosen if its == kind]


def _likely(kind: ChangeKind, patches: Patches, weights: DetectorWeights) -> list[ScoredPatch]:
    """Score patches of one kind; drop those too unlikely to be shown."""
    logits = np.array([compute_logit(weights.right[kind], what) for _, what in patches])
    scores = calibrate_prior(logits, weights.usual_share[kind])
    return [
        ScoredPatch(kind=kind, score=float(score), patch=patch, what=what)
        for (patch, what), score in zip(patches, scores, strict=True)
        if score >= weights.min_score[kind]
    ]


def choose_patches(
    patches: Patches,
    shape: tuple[int, ...],
    like: Mapping[ChangeKind, Logistic],
    kinds: Sequence[ChangeKind],
) -> list[tuple[ChangeKind, Patch, PatchMeasures]]:
    """Choose the likeliest complete patches among those that overlap, with kind.

    shape  of the work grid. A larger patch is preferred where both are as likely.
    """
    ranked = []
    for number, (_, what) in enumerate(patches):
        logits = {kind: compute_logit(like[kind], what) + _FAVOUR[kind] for kind in kinds}
        kind = max(kinds, key=lambda one: logits[one])
        if logits[kind] > _MIN_LIKENESS[kind]:
            rank = logits[kind] + _LARGER * what.values[MEASURES.index("size")]
            ranked.append((-rank, number, kind))
    ranked.sort()
    disjoint = select_disjoint([patches[number][0] for _, number, _ in ranked], shape, _MAX_SHARED)
    return [(ranked[k][2], *patches[ranked[k][1]]) for k in disjoint]


def compute_logit(model: Logistic, what: PatchMeasures) -> float:
    """Compute the logit of a patch by a model of patches."""
    values = what.values[[MEASURES.index(name) for name in model.cues]]
    return float(model.logits(values[None])[0])


def _candidate(seen: CellEvidence, patch: ScoredPatch) -> ChangeCandidate:
    rings = trace_rings(patch.patch, seen.work.to_pixels, _MIN_HOLE_M2 / seen.work.cell_m**2)
    return ChangeCandidate(
        # how it lies tells what it is, and that is not known here
        kind=ChangeKind.OTHER if math.isnan(patch.what.mean_slope_deg) else patch.kind,
        score=patch.score,
        rings=tuple(rings),
        area_m2=_area_within(rings) * seen.work.cell_m**2 / math.prod(seen.work.to_pixels),
        length_m=patch.what.length_m,
        mean_slope_deg=patch.what.mean_slope_deg,
    )
