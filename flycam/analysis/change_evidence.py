"""Evidence cell by cell, and patches from it: bare ground that was green, water that was land."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.analysis import detector_coefficients
from flycam.analysis.cell_features import PIXEL_FEATURES, compute_cell_features, compute_grain
from flycam.analysis.logistic import Logistic
from flycam.analysis.min_sizes import MIN_BARE_M2, MIN_FLOODED_M2
from flycam.analysis.patch_measures import CellPlanes, PatchMeasures, measure_patch
from flycam.analysis.patches import Patch, clean_mask, extract_patches, fill_small_holes
from flycam.analysis.prior_water import compute_prior_water
from flycam.analysis.terrain_relief import TerrainRelief, compute_relief
from flycam.analysis.work_grid import WorkPair

Reals = NDArray[np.float32]
Mask = NDArray[np.bool_]

_SURE_LOGIT = 6.0
# changed less than a quarter of the ground around, in colour and in light
_SAME = -0.1
_WATER_ABOVE_M, _LOWEST_M = 4.0, 0.6
_BARE_SMOOTH_M, _WATER_SMOOTH_M = 0.8, 1.6
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
    return CellEvidence(
        work=work,
        planes=planes,
        bare=_smooth(_changed(detector_coefficients.BARE, planes.cues), _BARE_SMOOTH_M / work.cell_m),
        flooded=_smooth(_changed(detector_coefficients.FLOODED, planes.cues), _WATER_SMOOTH_M / work.cell_m),
    )


def compute_cell_planes(work: WorkPair, relief: TerrainRelief) -> CellPlanes:
    """Compute each cell's look and its place relative to terrain and prior water."""
    cues, colours = compute_cell_features(work, relief)
    water = _smooth(_logits(detector_coefficients.OLD_WATER, cues), _WATER_SMOOTH_M / work.cell_m)
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
    whole = fill_small_holes(mask | old, _WATER_HOLE_M2 / cell_m**2) & ~old
    # a pond elsewhere is no part of a flood because its own hole was filled
    near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return np.asarray((mask | (whole & near)) & ~old & seen.work.seen, np.bool_)


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
    tinted, lit = (cues[PIXEL_FEATURES.index(name)] for name in ("tinted", "lit"))
    logits[(tinted < _SAME) & (lit < _SAME)] = -_SURE_LOGIT
    return logits


def _smooth(logits: Reals, sigma: float) -> Reals:
    """Smooth logits over neighbours, clipped so that no cell outvotes a certain one."""
    return np.asarray(cv2.GaussianBlur(np.clip(logits, -_SURE_LOGIT, _SURE_LOGIT), (0, 0), sigma), np.float32)
