"""What single cells look like that slid, were flooded, were water: sampled from scenes, and fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flycam.analysis.cues import PIXEL_CUES
from flycam.analysis.evidence import cell_evidence
from flycam.analysis.logistic import Logistic
from flycam.analysis.workgrid import on_work_grid
from flycam.drill.between import Confuser, work_of
from tests.bench.change_judged import truth_on
from tests.bench.change_scenes import Scene, image_pair, kept
from tests.bench.logistic_fit import balanced, fit

_OLD_CUES = ("green_before", "red_before", "bright_before", "rough_before", "slope", "above_floor")
_PER_SCENE, _MOST_CELLS = 3_000, 120_000
# what a cell is: a slide, a flood, the old river, 3 + a Confuser, or the rest
_SLIDE, _FLOOD, _RIVER, _REST = 1, 2, 3, 12
_SOIL, _SOIL_COUNTS = (Confuser.PLOUGHED, Confuser.CLEARED, Confuser.ROAD, Confuser.CUTTING), 0.2


def cells_of(scene: Scene, folder: Path | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sampled cues N×len(PIXEL_CUES), what each is (a number below), and how many cells it stands for."""
    pair = kept(scene, folder)
    seen = cell_evidence(on_work_grid(image_pair(pair), None))
    change, old = truth_on(seen, pair.change), truth_on(seen, pair.old_water)
    confuser = work_of(truth_on(seen, pair.confuser))  # terraces weigh as the fields that they are
    draw = np.random.default_rng([scene.seed, 7])
    confused = np.where(confuser > 0, _RIVER + confuser, _REST)
    group = np.where(change > 0, change, np.where(old > 0, _RIVER, confused))
    group[~seen.work.seen] = 0
    chosen, weights = [], []
    for number in range(1, _REST + 1):
        places = np.flatnonzero(group == number)
        if len(places):
            some = draw.choice(places, min(_PER_SCENE, len(places)), replace=False)
            chosen.append(some)
            weights.append(np.full(len(some), len(places) / len(some)))
    at = np.concatenate(chosen)
    cues = seen.planes.cues.reshape(len(PIXEL_CUES), -1)[:, at].T.copy()
    return cues, group.ravel()[at], np.concatenate(weights)


def cell_models(values: np.ndarray, group: np.ndarray, counts: np.ndarray) -> dict[str, Logistic]:
    """Models of sampled cells.

    Bare soil that people made looks like a slide: patches tell them apart by shape, its cells count little.
    """
    some = np.random.default_rng(1).permutation(len(values))[:_MOST_CELLS]
    values, group = values[some], group[some]
    # rare things would hardly count: as if they were more of the ground
    weights = np.sqrt(counts[some])
    soil = np.isin(group, [_RIVER + c for c in _SOIL])
    models = {}
    wanted = (("BARE", _SLIDE, PIXEL_CUES), ("FLOODED", _FLOOD, PIXEL_CUES), ("OLD_WATER", _RIVER, _OLD_CUES))
    for name, number, cues in wanted:
        columns = [PIXEL_CUES.index(cue) for cue in cues]
        mild = np.where(soil, _SOIL_COUNTS * weights, weights) if name == "BARE" else weights
        shares = balanced(group == number, mild, 0.2)
        models[name] = fit(cues, values[:, columns], group == number, shares, products=True, ridge=3e-4)
    return models
