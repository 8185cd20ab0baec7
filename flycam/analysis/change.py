"""Candidates for what a storm changed: patches with kind, score and outline, for an analyst to decide on.

Cues that survive light and season are weighed cell by cell, cells that agree become patches, and each patch
is scored by what it is like as a whole and how it lies on the slope. A score is meant as a probability: of
the candidates with 0.7, seven in ten are what they are called. Only ground imaged on both dates is looked at,
and nothing is said of any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flycam.analysis import fitted
from flycam.analysis.evidence import Seen, bare_patches, flooded_patches, look
from flycam.analysis.logistic import Logistic
from flycam.analysis.measures import MEASURES, Measured
from flycam.analysis.objects import Patch, apart, rings_of
from flycam.analysis.pair import ImagePair
from flycam.analysis.prior import in_this_pair

Kind = Literal["landslide", "flood", "other"]
Doubles = NDArray[np.float64]

_LEAST_HOLE_M2 = 60.0
_LEAST_LIKE, _LARGER, _MOST_SHARED = -3.0, 1.5, 0.25
_MOSTLY = 0.5
# a slide taken for a field is lost; a field taken for a slide has yet to get a slide's score
_FOR_SLIDES = 2.0
_LANDSLIDE: Kind = "landslide"
_OTHER: Kind = "other"
_MODELS: dict[Kind, Logistic] = {
    "landslide": fitted.LANDSLIDE,
    "flood": fitted.FLOOD,
    "other": fitted.OTHER,
}


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

    kind: Kind
    score: float
    rings: tuple[Doubles, ...]
    area_m2: float
    length_m: float
    mean_slope_deg: float


def detect(pair: ImagePair, *, stable: NDArray[np.bool_] | None = None) -> tuple[Candidate, ...]:
    """Candidates of a pair whose pictures lie on each other to about a pixel, likeliest first.

    stable  bool H×W: ground that did not change, found by the registration; light and season are learnt there
    """
    seen = look(pair, stable)
    if not seen.work.seen.any():
        return ()
    shape = seen.work.seen.shape
    floods = _likely("flood", flooded_patches(seen))
    under_water = _union([patch for patch, _, _ in floods], shape)
    bare = [(patch, what) for patch, what in bare_patches(seen) if _share(patch, under_water) < _MOSTLY]
    chosen = chosen_bare(bare, shape)
    found = [_candidate(seen, *one, "flood") for one in floods]
    for kind in (_LANDSLIDE, _OTHER):
        mine = [(patch, what) for its, patch, what in chosen if its == kind]
        found += [_candidate(seen, *one, kind) for one in _likely(kind, mine)]
    return tuple(sorted(found, key=lambda c: (-c.score, -c.area_m2)))


def _likely(kind: Kind, patches: Sequence[tuple[Patch, Measured]]) -> list[tuple[Patch, Measured, float]]:
    """Patches of one kind with their scores, those too unlikely to be shown left out."""
    logits = np.array([logit_of(_MODELS[kind], what) for _, what in patches])
    scores = in_this_pair(logits, fitted.USUAL_SHARE[kind])
    return [
        (patch, what, float(score))
        for (patch, what), score in zip(patches, scores, strict=True)
        if score >= fitted.LEAST_SCORE[kind]
    ]


def _union(patches: Sequence[Patch], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    out = np.zeros(shape, bool)
    for patch in patches:
        out[patch.place] |= patch.mask
    return out


def _share(patch: Patch, mask: NDArray[np.bool_]) -> float:
    """How much of a patch lies in a mask, 0 to 1."""
    return float(mask[patch.place][patch.mask].mean())


def chosen_bare(
    patches: Sequence[tuple[Patch, Measured]], shape: tuple[int, ...]
) -> list[tuple[Kind, Patch, Measured]]:
    """Of patches that overlap, those that are most like a whole slide, or most like other bare ground.

    shape  of the work grid. A larger patch is preferred where both are as likely.
    """
    ranked = []
    for number, (_, what) in enumerate(patches):
        slide = logit_of(fitted.LIKE_SLIDE, what) + _FOR_SLIDES
        other = logit_of(fitted.LIKE_OTHER, what)
        if (best := max(slide, other)) > _LEAST_LIKE:
            rank = best + _LARGER * what.values[MEASURES.index("size")]
            ranked.append((-rank, number, _LANDSLIDE if slide >= other else _OTHER))
    ranked.sort()
    kept = apart([patches[number][0] for _, number, _ in ranked], shape, _MOST_SHARED)
    return [(ranked[k][2], *patches[ranked[k][1]]) for k in kept]


def logit_of(model: Logistic, what: Measured) -> float:
    """The logit a model of patches gives one."""
    values = what.values[[MEASURES.index(name) for name in model.cues]]
    return float(model.logits(values[None])[0])


def _candidate(seen: Seen, patch: Patch, what: Measured, score: float, kind: Kind) -> Candidate:
    rings = rings_of(patch, seen.work.to_pixels, _LEAST_HOLE_M2 / seen.work.cell_m**2)
    return Candidate(
        kind=kind,
        score=score,
        rings=tuple(rings),
        area_m2=what.area_m2,
        length_m=what.length_m,
        mean_slope_deg=what.mean_slope_deg,
    )
