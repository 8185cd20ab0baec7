"""What weights of patches are worth on scenes that had no part in them, and where the scores are best cut.

Every scene is judged by weights fitted on the others (folds of whole scenes). Slides and floods are shown
from the least score from which each kind raises a third of the false alarms allowed without a storm (one a
square kilometre).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from bench.change_judged import Judged
from bench.change_scoring import LEAST_M2, expected_calibration_error
from flycam.change.detection import DetectorWeights, ScoredPatch, classify_patches

FOLDS = 10
_NUMBER = {"landslide": 1, "flood": 2}
_HALF = 0.5
# of the one that is allowed, for each of three kinds
_CALM_PER_KM2 = 1.0 / 3.0
_SHOWN_FROM = 0.02
_CUTS = np.round(np.arange(0.02, 0.99, 0.02), 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """A scene judged by weights that do not know it.

    told   (kind, score, whether right, {number of a true object: its cells that are covered})
    sizes  cells of the true objects that count, by kind and number
    """

    storm: bool
    km2: float
    told: list[tuple[str, float, bool, dict[int, int]]]
    sizes: dict[str, dict[int, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Worth:
    """Counts at one least score of a kind."""

    truths: int
    found: int
    shown: int
    right: int
    calm_wrong: int

    @property
    def recall(self) -> float:
        return self.found / max(self.truths, 1)

    @property
    def precision(self) -> float:
        return self.right / max(self.shown, 1)


def held_out(
    scenes: Sequence[Judged], weights_of: Callable[[Sequence[Judged]], DetectorWeights]
) -> list[HeldOut]:
    """Each scene judged by weights fitted on the other folds."""
    fold = np.random.default_rng(3).permutation(len(scenes)) % FOLDS
    out = []
    for number in range(FOLDS):
        weights = weights_of([s for s, f in zip(scenes, fold, strict=True) if f != number])
        shown = {**weights.min_score, "landslide": _SHOWN_FROM, "other": _SHOWN_FROM}
        every = replace(weights, min_score=dict.fromkeys(shown, _SHOWN_FROM))
        for scene in (s for s, f in zip(scenes, fold, strict=True) if f == number):
            flooded = [one for one in _told(scene, every) if one.kind == "flood"]
            rest = [one for one in _told(scene, replace(weights, min_score=shown)) if one.kind != "flood"]
            out.append(_against_truth(scene, [*flooded, *rest]))
    return out


def _told(scene: Judged, weights: DetectorWeights) -> list[ScoredPatch]:
    return classify_patches(scene.bare, scene.flooded, scene.shape, weights)


def _against_truth(scene: Judged, told: Sequence[ScoredPatch]) -> HeldOut:
    bare = {id(what): is_so for (_, what), is_so in zip(scene.bare, scene.bare_is, strict=True)}
    wet = {id(what): is_so for (_, what), is_so in zip(scene.flooded, scene.flooded_is, strict=True)}
    labels = {
        kind: cv2.connectedComponents((scene.change == number).astype(np.uint8), connectivity=8)[1]
        for kind, number in _NUMBER.items()
    }
    least = LEAST_M2 / scene.cell_m**2
    sizes = {
        kind: {k: int(n) for k, n in enumerate(np.bincount(where.ravel())) if k and n >= least}
        for kind, where in labels.items()
    }
    rows = []
    for one in told:
        if one.kind == "other":
            rows.append((one.kind, one.score, bare[id(one.what)][2], {}))
            continue
        right = wet[id(one.what)][0] if one.kind == "flood" else bare[id(one.what)][0]
        inside = np.bincount(labels[one.kind][one.patch.place][one.patch.mask])
        rows.append((one.kind, one.score, right, {k: int(inside[k]) for k in np.flatnonzero(inside) if k}))
    km2 = scene.scene.km2
    return HeldOut(storm=scene.scene.storm, km2=km2, told=rows, sizes=sizes)


def worth(scenes: Sequence[HeldOut], kind: str, least: float) -> Worth:
    """Counts if candidates of a kind are shown from a score on; recall and precision where a storm was."""
    truths = found = shown = right = calm_wrong = 0
    for scene in scenes:
        mine = [(so, covers) for its, score, so, covers in scene.told if its == kind and score >= least]
        if not scene.storm:
            calm_wrong += sum(not so for so, _ in mine)
            continue
        shown, right = shown + len(mine), right + sum(so for so, _ in mine)
        for number, cells in scene.sizes.get(kind, {}).items():
            truths += 1
            found += sum(covers.get(number, 0) for _, covers in mine) >= _HALF * cells
    return Worth(truths=truths, found=found, shown=shown, right=right, calm_wrong=calm_wrong)


def quiet_cut(scenes: Sequence[HeldOut], kind: str) -> float:
    """The least score from which a kind raises at most its share of the false alarms allowed without a
    storm."""
    calm = sum(s.km2 for s in scenes if not s.storm)
    quiet = (
        float(cut) for cut in _CUTS if worth(scenes, kind, float(cut)).calm_wrong <= _CALM_PER_KM2 * calm
    )
    return next(quiet, float(_CUTS[-1]))


def report(scenes: Sequence[HeldOut]) -> list[str]:
    """Recall, precision and false objects by least score, in lines of text."""
    calm = sum(s.km2 for s in scenes if not s.storm)
    lines = []
    for kind in _NUMBER:
        for cut in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5):
            at = worth(scenes, kind, cut)
            lines.append(
                f"{kind} from {cut:.2f}: recall {at.recall:.3f} ({at.found} of {at.truths}), precision "
                f"{at.precision:.3f} ({at.right} of {at.shown}), {at.calm_wrong / calm:.2f} a km² without"
            )
    for cut in (0.4, 0.5, 0.6, 0.7):
        at = worth(scenes, "other", cut)
        lines.append(
            f"other from {cut:.2f}: {at.right} of {at.shown}, {at.calm_wrong / calm:.2f} a km² without"
        )
    for kind in (*_NUMBER, "other"):
        judged = [(score, so) for s in scenes for its, score, so, _ in s.told if its == kind]
        lines.append(f"{kind}: calibration error {expected_calibration_error(judged):.3f} of {len(judged)}")
    return lines
