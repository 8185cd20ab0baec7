"""Weights by which patches are judged, fitted on the patches of scenes with truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.change_judged import Judged
from bench.logistic_fit import fit
from flycam.change.detection import MEASURES, DetectorWeights, PatchMeasures, choose_patches
from flycam.change.features import COEFFICIENTS, Logistic
from flycam.model.board import ChangeKind

_CHOICE_RIDGE = 3e-3
_SCORE_RIDGE: dict[ChangeKind, float] = {
    ChangeKind.LANDSLIDE: 1e-2,
    ChangeKind.FLOOD: 3e-2,
    ChangeKind.OTHER: 1e-2,
}
Labelled = list[tuple[PatchMeasures, bool]]
_SLIDE_MEASURES = (
    "size", "evidence", "weak_evidence", "slope", "least_slope", "above_floor", "fall", "downhill", "stretch",
    "head", "foot", "runs_out", "level", "fills", "mixed_before", "box_fill", "solidity", "straight",
    "longest_runs", "ragged", "edge", "from_water", "green_before", "green_after", "rough_before",
    "rough_after", "greener", "alike", "unlike_water", "furrowed", "furrowed_before",
    "green_before_over_rim", "green_after_over_rim", "greener_over_rim", "tinted_over_rim", "lit_over_rim",
    "rough_after_over_rim", "alike_over_rim", "edged_green_before", "edged_green_after", "edged_tinted",
    "edged_lit",
)  # fmt: skip
_FLOOD_MEASURES = (
    "size", "evidence", "weak_evidence", "slope", "above_floor", "stretch", "box_fill", "solidity",
    "straight", "edge", "level", "fills", "mixed_before", "at_water", "from_water", "over_water",
    "unlike_water",
    "green_after", "rough_after", "tinted", "lit", "dim", "alike", "greener_over_rim", "tinted_over_rim",
    "lit_over_rim", "rough_after_over_rim", "alike_over_rim", "unlike_water_over_rim",
)  # fmt: skip


def patch_weights(scenes: Sequence[Judged]) -> DetectorWeights:
    """Fitted in turn: what is scored is what the choice among overlapping patches leaves."""
    bare = [(what, is_so) for s in scenes for (_, what), is_so in zip(s.bare, s.bare_is, strict=True)]
    wet = [(what, is_so) for s in scenes for (_, what), is_so in zip(s.flooded, s.flooded_is, strict=True)]
    like: dict[ChangeKind, Logistic] = {
        ChangeKind.LANDSLIDE: _of_patches(
            "landslide", [(what, is_so[1]) for what, is_so in bare], _CHOICE_RIDGE
        ),
        ChangeKind.FLOOD: _of_patches("flood", [(what, is_so[1]) for what, is_so in wet], _CHOICE_RIDGE),
        ChangeKind.OTHER: _of_patches("other", [(what, is_so[2]) for what, is_so in bare], _CHOICE_RIDGE),
    }
    left: dict[ChangeKind, Labelled] = {ChangeKind.LANDSLIDE: [], ChangeKind.FLOOD: [], ChangeKind.OTHER: []}
    for scene in scenes:
        verdicts = {id(what): is_so for (_, what), is_so in zip(scene.bare, scene.bare_is, strict=True)}
        for kind, _, what in choose_patches(
            scene.bare, scene.shape, like, (ChangeKind.LANDSLIDE, ChangeKind.OTHER)
        ):
            left[kind].append((what, verdicts[id(what)][0 if kind == ChangeKind.LANDSLIDE else 2]))
        wets = {id(what): is_so for (_, what), is_so in zip(scene.flooded, scene.flooded_is, strict=True)}
        for kind, _, what in choose_patches(scene.flooded, scene.shape, like, (ChangeKind.FLOOD,)):
            left[kind].append((what, wets[id(what)][0]))
    return DetectorWeights(
        like=like,
        right={kind: _of_patches(kind, rows, _SCORE_RIDGE[kind]) for kind, rows in left.items()},
        usual_share={k.value: round(float(np.mean([so for _, so in rows])), 4) for k, rows in left.items()},
        min_score=COEFFICIENTS.min_score,
    )


def _of_patches(kind: ChangeKind, judged: Labelled, ridge: float) -> Logistic:
    measures = _FLOOD_MEASURES if kind == ChangeKind.FLOOD else _SLIDE_MEASURES
    values = np.array([what.values for what, _ in judged])[:, [MEASURES.index(m) for m in measures]]
    labels = np.array([is_so for _, is_so in judged], bool)
    return fit(measures, values, labels, np.ones(len(labels)), products=False, ridge=ridge)
