"""Candidates for what a storm changed: patches with kind, score and outline, for an analyst to decide on.

Cues that survive light and season are weighed cell by cell, cells that agree become patches, and each patch
is scored by what it is like as a whole and how it lies on the slope. A score is meant as a probability: of
the candidates with 0.7, seven in ten are what they are called. Only ground imaged on both dates is looked at,
and nothing is said of any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from flycam.analysis import fitted
from flycam.analysis.evidence import CellEvidence, bare_patches, cell_evidence, flooded_patches
from flycam.analysis.logistic import Logistic
from flycam.analysis.measures import MEASURES, Measured
from flycam.analysis.objects import Patch, apart, rings_of
from flycam.analysis.pair import ImagePair
from flycam.analysis.prior import in_this_pair
from flycam.analysis.workgrid import WorkPair, on_work_grid
from flycam.frame.change import ChangeKind

Doubles = NDArray[np.float64]

_LEAST_HOLE_M2 = 60.0
# what a patch ten times as large gains, in logits, over those it overlaps: chosen by hand with the first
# detector on the development scenes 501 to 520 and kept since; no search for it is on record
_LARGER, _MOST_SHARED = 1.5, 0.25
_MOSTLY = 0.5
_LEAST_LIKE: Mapping[ChangeKind, float] = {
    ChangeKind.LANDSLIDE: -3.0,
    ChangeKind.FLOOD: -5.0,
    ChangeKind.OTHER: -3.0,
}
# a slide taken for a field is lost; a field taken for a slide has yet to get a slide's score. Chosen as
# _LARGER was; scores are fitted on what both choose, so who moves one fits anew (bench/change_fit.py)
_FAVOUR: Mapping[ChangeKind, float] = {
    ChangeKind.LANDSLIDE: 2.0,
    ChangeKind.FLOOD: 0.0,
    ChangeKind.OTHER: 0.0,
}
Patches = Sequence[tuple[Patch, Measured]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """What patches are judged by.

    like         by kind: which of overlapping patches is kept, and as what
    right        by kind: whether one that is kept is what it is taken for
    usual_share  by kind: how many of those are
    least_score  by kind: what is less likely is not shown
    """

    like: Mapping[ChangeKind, Logistic]
    right: Mapping[ChangeKind, Logistic]
    usual_share: Mapping[str, float]
    least_score: Mapping[str, float]


FITTED = Weights(
    like={
        ChangeKind.LANDSLIDE: fitted.LIKE_SLIDE,
        ChangeKind.FLOOD: fitted.LIKE_FLOOD,
        ChangeKind.OTHER: fitted.LIKE_OTHER,
    },
    right={
        ChangeKind.LANDSLIDE: fitted.LANDSLIDE,
        ChangeKind.FLOOD: fitted.FLOOD,
        ChangeKind.OTHER: fitted.OTHER,
    },
    usual_share=fitted.USUAL_SHARE,
    least_score=fitted.LEAST_SCORE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One patch that may have changed.

    kind            what it is taken for
    score           probability that it is that, 0 to 1
    rings           N×2 float64 (column, row) of the pair's pixels, centres at integers: exterior, then holes
    area_m2         holes left out
    length_m        along its longest axis
    mean_slope_deg  of the terrain under it; NaN where it is not known under half of it
    """

    kind: ChangeKind
    score: float
    rings: tuple[Doubles, ...]
    area_m2: float
    length_m: float
    mean_slope_deg: float


def detect(pair: ImagePair, *, stable: NDArray[np.bool_] | None = None) -> tuple[Candidate, ...]:
    """Candidates of a pair, as `detecting` finds them."""
    return detecting(pair, stable=stable)()


def detecting(
    pair: ImagePair, *, stable: NDArray[np.bool_] | None = None
) -> Callable[[], tuple[Candidate, ...]]:
    """What gives the candidates of a pair whose pictures lie on each other to about a pixel, likeliest first.

    All that is wanted of the pair at full resolution is taken here, so that the caller may let go of it
    before the candidates are asked for: of 1 km² at 15 cm that is half a gigabyte.

    stable   bool H×W: ground that did not change, found by the registration; light and season are learnt
             there
    """
    return partial(_candidates, on_work_grid(pair, stable))


def _candidates(work: WorkPair) -> tuple[Candidate, ...]:
    if not work.seen.any():
        return ()
    seen = cell_evidence(work)
    judged = told_apart(bare_patches(seen), flooded_patches(seen), seen.work.seen.shape, FITTED)
    found = [_candidate(seen, one) for one in judged]
    return tuple(sorted(found, key=lambda c: (-c.score, -c.area_m2)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A patch, what it is taken for and how likely it is that, 0 to 1."""

    kind: ChangeKind
    score: float
    patch: Patch
    what: Measured


def told_apart(bare: Patches, flooded: Patches, shape: tuple[int, ...], weights: Weights) -> list[Told]:
    """What patches of bare and of flooded ground are, those left out that overlap others or are too unlikely.

    shape  of the work grid
    """
    wet = of_kind(ChangeKind.FLOOD, chosen(flooded, shape, weights.like, (ChangeKind.FLOOD,)))
    floods = _likely(ChangeKind.FLOOD, wet, weights)
    under_water = _union([one.patch for one in floods], shape)
    dry = [(patch, what) for patch, what in bare if _share(patch, under_water) < _MOSTLY]
    kept = chosen(dry, shape, weights.like, (ChangeKind.LANDSLIDE, ChangeKind.OTHER))
    return [
        *floods,
        *(
            one
            for kind in (ChangeKind.LANDSLIDE, ChangeKind.OTHER)
            for one in _likely(kind, of_kind(kind, kept), weights)
        ),
    ]


def of_kind(
    kind: ChangeKind, chosen: Sequence[tuple[ChangeKind, Patch, Measured]]
) -> list[tuple[Patch, Measured]]:
    """Those of the chosen that are taken for one kind."""
    return [(patch, what) for its, patch, what in chosen if its == kind]


def _likely(kind: ChangeKind, patches: Patches, weights: Weights) -> list[Told]:
    """Patches of one kind with their scores, those too unlikely to be shown left out."""
    logits = np.array([logit_of(weights.right[kind], what) for _, what in patches])
    scores = in_this_pair(logits, weights.usual_share[kind])
    return [
        Told(kind=kind, score=float(score), patch=patch, what=what)
        for (patch, what), score in zip(patches, scores, strict=True)
        if score >= weights.least_score[kind]
    ]


def _union(patches: Sequence[Patch], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    out = np.zeros(shape, bool)
    for patch in patches:
        out[patch.place] |= patch.mask
    return out


def _share(patch: Patch, mask: NDArray[np.bool_]) -> float:
    """How much of a patch lies in a mask, 0 to 1."""
    return float(mask[patch.place][patch.mask].mean())


def chosen(
    patches: Patches,
    shape: tuple[int, ...],
    like: Mapping[ChangeKind, Logistic],
    kinds: Sequence[ChangeKind],
) -> list[tuple[ChangeKind, Patch, Measured]]:
    """Of patches that overlap, those that are most like a whole one of a kind, and as which.

    shape  of the work grid. A larger patch is preferred where both are as likely.
    """
    ranked = []
    for number, (_, what) in enumerate(patches):
        logits = {kind: logit_of(like[kind], what) + _FAVOUR[kind] for kind in kinds}
        kind = max(kinds, key=lambda one: logits[one])
        if logits[kind] > _LEAST_LIKE[kind]:
            rank = logits[kind] + _LARGER * what.values[MEASURES.index("size")]
            ranked.append((-rank, number, kind))
    ranked.sort()
    kept = apart([patches[number][0] for _, number, _ in ranked], shape, _MOST_SHARED)
    return [(ranked[k][2], *patches[ranked[k][1]]) for k in kept]


def logit_of(model: Logistic, what: Measured) -> float:
    """The logit a model of patches gives one."""
    values = what.values[[MEASURES.index(name) for name in model.cues]]
    return float(model.logits(values[None])[0])


def _candidate(seen: CellEvidence, told: Told) -> Candidate:
    rings = rings_of(told.patch, seen.work.to_pixels, _LEAST_HOLE_M2 / seen.work.cell_m**2)
    return Candidate(
        kind=told.kind,
        score=told.score,
        rings=tuple(rings),
        area_m2=told.what.area_m2,
        length_m=told.what.length_m,
        mean_slope_deg=told.what.mean_slope_deg,
    )
