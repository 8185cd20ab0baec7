"""Change candidates after a storm: patches with kind, score and outline, for an analyst to decide on.

Features that survive light and season are weighted cell by cell, cells that agree become patches, and each
patch is scored by its overall look and its place on the slope. A score is meant as a probability: of the
candidates with 0.7, seven in ten are of their kind. Only ground imaged on both dates is examined; nothing is
claimed about other ground.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from flycam.analysis import detector_coefficients
from flycam.analysis.change_evidence import (
    CellEvidence,
    compute_cell_evidence,
    extract_bare_patches,
    extract_flooded_patches,
)
from flycam.analysis.change_prior import calibrate_prior
from flycam.analysis.image_pair import ImagePair
from flycam.analysis.logistic import Logistic
from flycam.analysis.patch_measures import MEASURES, PatchMeasures
from flycam.analysis.patches import Patch, select_disjoint, trace_rings
from flycam.analysis.work_grid import WorkPair, to_work_grid
from flycam.frame.change import ChangeKind

Doubles = NDArray[np.float64]

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
    like={
        ChangeKind.LANDSLIDE: detector_coefficients.LIKE_SLIDE,
        ChangeKind.FLOOD: detector_coefficients.LIKE_FLOOD,
        ChangeKind.OTHER: detector_coefficients.LIKE_OTHER,
    },
    right={
        ChangeKind.LANDSLIDE: detector_coefficients.LANDSLIDE,
        ChangeKind.FLOOD: detector_coefficients.FLOOD,
        ChangeKind.OTHER: detector_coefficients.OTHER,
    },
    usual_share=detector_coefficients.USUAL_SHARE,
    min_score=detector_coefficients.MIN_SCORE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeCandidate:
    """One patch that may have changed.

    kind            its most likely kind
    score           probability that it is of that kind, 0 to 1
    rings           N×2 float64 (column, row) of the pair's pixels, centres at integers: exterior, then holes
    area_m2         without holes
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
    under_water = _union([one.patch for one in floods], shape)
    dry = [(patch, what) for patch, what in bare if _share(patch, under_water) < _MIN_OVERLAP_SHARE]
    kept = choose_patches(dry, shape, weights.like, (ChangeKind.LANDSLIDE, ChangeKind.OTHER))
    return [
        *floods,
        *(
            one
            for kind in (ChangeKind.LANDSLIDE, ChangeKind.OTHER)
            for one in _likely(kind, filter_kind(kind, kept), weights)
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


def _union(patches: Sequence[Patch], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    out = np.zeros(shape, bool)
    for patch in patches:
        out[patch.place] |= patch.mask
    return out


def _share(patch: Patch, mask: NDArray[np.bool_]) -> float:
    """Return the share of a patch that lies in a mask, 0 to 1."""
    return float(mask[patch.place][patch.mask].mean())


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
    kept = select_disjoint([patches[number][0] for _, number, _ in ranked], shape, _MAX_SHARED)
    return [(ranked[k][2], *patches[ranked[k][1]]) for k in kept]


def compute_logit(model: Logistic, what: PatchMeasures) -> float:
    """Compute the logit of a patch by a model of patches."""
    values = what.values[[MEASURES.index(name) for name in model.cues]]
    return float(model.logits(values[None])[0])


def _candidate(seen: CellEvidence, patch: ScoredPatch) -> ChangeCandidate:
    rings = trace_rings(patch.patch, seen.work.to_pixels, _MIN_HOLE_M2 / seen.work.cell_m**2)
    return ChangeCandidate(
        kind=patch.kind,
        score=patch.score,
        rings=tuple(rings),
        area_m2=patch.what.area_m2,
        length_m=patch.what.length_m,
        mean_slope_deg=patch.what.mean_slope_deg,
    )
