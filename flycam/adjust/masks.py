"""Masks of image cells that give no ties though others see the same ground.

Water, cloud, plants that move in the wind. Measured, not recognised: features that exist and yet match in
no other frame, cell by cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.adjust.match_views import MatchView
from flycam.adjust.pair_matching import PairMatches
from flycam.adjust.pairs import PairPlan
from flycam.geometry.features import compute_cell_index

Bools = NDArray[np.bool_]

CELLS = 16
# A cell with at least this many features that another frame could show is masked if fewer than 4 % match.
_MIN_FEATURES = 6
_MIN_SHARE = 0.04


def mask_restless_cells(views: Sequence[MatchView], plan: PairPlan, matches: Sequence[PairMatches]) -> Bools:
    """Mask cells whose features match in none of the frames that see their ground.

    frames×16×16.
    """
    matched = [np.zeros(len(view.features), dtype=bool) for view in views]
    partners: list[list[int]] = [[] for _ in views]
    for a, b, found in zip(plan.a.tolist(), plan.b.tolist(), matches, strict=True):
        matched[a][found.i] = True
        matched[b][found.j] = True
        if found.i.size:
            partners[a].append(b)
            partners[b].append(a)
    cells = np.zeros((len(views), CELLS * CELLS), dtype=bool)
    for number, view in enumerate(views):
        if not partners[number]:
            continue
        shared = shapely.union_all([plan.outlines[other] for other in partners[number]])
        shapely.prepare(shared)
        could = shapely.contains_xy(shared, view.ground[:, 0], view.ground[:, 1])
        cell = compute_cell_index(view.features.uv_px, view.frame.interior.image_size_px, CELLS)
        possible = np.bincount(cell[could], minlength=CELLS * CELLS)
        did = np.bincount(cell[could & matched[number]], minlength=CELLS * CELLS)
        cells[number] = (possible >= _MIN_FEATURES) & (did < _MIN_SHARE * possible)
    return cells.reshape(len(views), CELLS, CELLS)


def mask_plain_cells(views: Sequence[MatchView]) -> Bools:
    """Mask cells without a single feature (still water, fog, a blown-out roof).

    frames×16×16.
    """
    cells = np.ones((len(views), CELLS * CELLS), dtype=bool)
    for number, view in enumerate(views):
        cells[number, compute_cell_index(view.features.uv_px, view.frame.interior.image_size_px, CELLS)] = (
            False
        )
    return cells.reshape(len(views), CELLS, CELLS)


def drop_masked_matches(
    views: Sequence[MatchView], plan: PairPlan, matches: Sequence[PairMatches], masked: Bools
) -> list[PairMatches]:
    """Drop matches in masked cells: the few on water are chance."""
    flat = masked.reshape(len(views), CELLS * CELLS)
    hidden = [
        flat[k][compute_cell_index(view.features.uv_px, view.frame.interior.image_size_px, CELLS)]
        for k, view in enumerate(views)
    ]
    cleared = []
    for a, b, found in zip(plan.a.tolist(), plan.b.tolist(), matches, strict=True):
        good = ~(hidden[a][found.i] | hidden[b][found.j])
        cleared.append(
            replace(
                found,
                i=found.i[good],
                j=found.j[good],
                cosine=found.cosine[good],
                miss_px=found.miss_px[good],
            )
        )
    return cleared
