"""What single cells look like that slid, were flooded, were water: sampled from scenes, and fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.change_judged import truth_on
from bench.change_scenes import Scene, image_pair, kept
from bench.logistic_fit import balanced, fit
from flycam.change.detection import compute_cell_planes
from flycam.change.features import PIXEL_FEATURES, Logistic, compute_cell_features, compute_relief
from flycam.change.image_pair import to_work_grid
from flycam.drill.appearance import Confuser, normalise_field_work

_OLD_CUES = ("green_before", "rough_before", "slope", "above_floor", "above_bed")
_PER_SCENE, _MOST_CELLS = 3_000, 240_000
# what a cell is: a slide, a flood, the old river, 3 + a Confuser, or the rest
_SLIDE, _FLOOD, _RIVER, _REST = 1, 2, 3, 12
_SOIL, _SOIL_COUNTS = (Confuser.PLOUGHED, Confuser.CLEARED, Confuser.ROAD, Confuser.CUTTING), 0.2


def cells_of(scene: Scene, folder: Path | None, step: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sampled cues N×len(PIXEL_CUES), what each is (a number below), and how many cells it stands for.

    step "water": the two cues of the old water are not known yet, and 0
    """
    pair = kept(scene, folder)
    work = to_work_grid(image_pair(pair), None)
    relief = compute_relief(work.heights_m, work.cell_m)
    planes = (
        compute_cell_features(work, relief)[0] if step == "water" else compute_cell_planes(work, relief).cues
    )
    change, old = truth_on(work, pair.change), truth_on(work, pair.old_water)
    confuser = normalise_field_work(
        truth_on(work, pair.confuser)
    )  # terraces weigh as the fields that they are
    draw = np.random.default_rng([scene.seed, 7])
    confused = np.where(confuser > 0, _RIVER + confuser, _REST)
    group = np.where(change > 0, change, np.where(old > 0, _RIVER, confused))
    group[~work.seen] = 0
    chosen, weights = [], []
    for number in range(1, _REST + 1):
        places = np.flatnonzero(group == number)
        if len(places):
            some = draw.choice(places, min(_PER_SCENE, len(places)), replace=False)
            chosen.append(some)
            weights.append(np.full(len(some), len(places) / len(some)))
    at = np.concatenate(chosen)
    cues = planes.reshape(len(PIXEL_FEATURES), -1)[:, at].T.copy()
    return cues, group.ravel()[at], np.concatenate(weights)


def cell_models(values: np.ndarray, group: np.ndarray, counts: np.ndarray, step: str) -> dict[str, Logistic]:
    """Models of sampled cells: of the old water, or of what changed.

    Bare soil that people made looks like a slide: patches tell them apart by shape, its cells count little.
    """
    some = np.random.default_rng(1).permutation(len(values))[:_MOST_CELLS]
    values, group = values[some], group[some]
    # rare things would hardly count: as if they were more of the ground
    weights = np.sqrt(counts[some])
    soil = np.isin(group, [_RIVER + c for c in _SOIL])
    models = {}
    changed = (("bare", _SLIDE, PIXEL_FEATURES), ("flooded", _FLOOD, PIXEL_FEATURES))
    for name, number, cues in (("old_water", _RIVER, _OLD_CUES),) if step == "water" else changed:
        columns = [PIXEL_FEATURES.index(cue) for cue in cues]
        mild = np.where(soil, _SOIL_COUNTS * weights, weights) if name == "bare" else weights
        shares = balanced(group == number, mild, 0.2)
        models[name] = fit(cues, values[:, columns], group == number, shares, products=True, ridge=3e-4)
    return models
