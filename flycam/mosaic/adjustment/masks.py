"""Pairs of frames to be matched, and masks of image cells without ties.

Pairs are planned from footprints on the terrain. Masked are cells that give no ties though others see the
same ground: water, cloud, plants that move in the wind. They are measured, not recognised: features that
exist and yet match in no other frame, cell by cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.errors import FrameRejected
from flycam.geometry.features import compute_cell_index
from flycam.geometry.footprint import compute_footprint
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import Message, _
from flycam.mosaic.adjustment.block import BlockFrame
from flycam.mosaic.adjustment.matching import MatchView, PairMatches

# -- Pairs of frames that may show the same ground -------------------------------------------------


Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# Ground farther away than this many heights is a strip of haze: it adds no tie.
_REACH_PER_HEIGHT = 4.0
_SIGMAS = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PairPlan:
    """Pairs of frames, and the reasons of frames that have none.

    a, b       P frame numbers, a < b, sorted
    share      P float, shared ground over the smaller footprint
    outlines   one polygon a frame (work CRS; empty where it sees no ground)
    gsd_m      N, NaN where it sees no ground
    reasons    by frame number, why a frame has no pair
    """

    a: Indices
    b: Indices
    share: Floats
    outlines: Sequence[shapely.Geometry]
    gsd_m: Floats
    reasons: dict[int, Message]


def plan_pairs(
    frames: Sequence[BlockFrame],
    terrain: TerrainGrid,
    *,
    min_share: float = 0.15,
    neighbours: int = 6,
    across: int = 4,
) -> PairPlan:
    """Plan the pairs whose footprints share at least `min_share` of the smaller one.

    Each frame selects its `neighbours` best and its `across` best of other strips; a pair is made if either
    selects it. Footprints are grown by twice the error of the priors' sigmas on the ground.
    """
    outlines, gsd, reasons = _outlines(frames, terrain)
    a, b, share = _shared(outlines, min_share)
    strip = np.array([frame.strip for frame in frames])
    place = np.array([frame.exterior.projection_centre_m for frame in frames]).reshape(-1, 3)
    # two photos from one place determine no depth, so the base has a small weight
    base = np.linalg.norm(place[a] - place[b], axis=1)
    height = gsd[a] * np.array([np.mean(f.interior.focal_length_px) for f in frames])[a]
    worth = share * np.minimum(1.0, 0.5 + 5.0 * base / np.maximum(height, 1.0))
    selected = _best(len(frames), a, b, worth, neighbours)
    other = strip[a] != strip[b]
    selected[other] |= _best(len(frames), a[other], b[other], worth[other], across)
    a, b, share = a[selected], b[selected], share[selected]
    paired = np.union1d(a, b)
    for number in np.setdiff1d(np.arange(len(frames)), paired):
        reasons.setdefault(int(number), _("no other photo of this flight sees its ground"))
    return PairPlan(a=a, b=b, share=share, outlines=outlines, gsd_m=gsd, reasons=reasons)


def _outlines(
    frames: Sequence[BlockFrame], terrain: TerrainGrid
) -> tuple[list[shapely.Geometry], Floats, dict[int, Message]]:
    outlines: list[shapely.Geometry] = []
    gsd = np.full(len(frames), np.nan)
    reasons: dict[int, Message] = {}
    for number, frame in enumerate(frames):
        outline: shapely.Geometry = shapely.Polygon()
        try:
            reach = _REACH_PER_HEIGHT * _height_over(frame, terrain)
            seen = compute_footprint(frame.interior, frame.exterior, terrain, reach, samples_per_edge=6)
            gsd[number] = seen.gsd_m
            if len(seen.polygon_m) >= 3:
                margin = _SIGMAS * _ground_error(frame, seen.height_above_ground_m)
                hull = shapely.MultiPoint(seen.polygon_m).convex_hull
                outline = hull.buffer(min(margin, 0.25 * np.sqrt(hull.area)), quad_segs=2)
        except FrameRejected as error:
            reasons[number] = error.message
        outlines.append(outline)
    return outlines, gsd, reasons


def _height_over(frame: BlockFrame, terrain: TerrainGrid) -> float:
    lowest = float(np.nanmin(terrain.heights_m)) if np.isfinite(terrain.heights_m).any() else 0.0
    return max(frame.exterior.projection_centre_m[2] - lowest, 30.0)


def _ground_error(frame: BlockFrame, height_m: float) -> float:
    """Return a footprint's 1-sigma error, metres: position, and tilt over the height."""
    sigma = frame.exterior.sigma_position_m
    tilt = max(frame.exterior.sigma_attitude_rad[:2])
    return float(np.hypot(max(sigma[:2]), tilt * max(height_m, 0.0)))


def _shared(outlines: Sequence[shapely.Geometry], least: float) -> tuple[Indices, Indices, Floats]:
    shapes = np.array(outlines, dtype=object)
    if len(shapes) < 2:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0)
    a, b = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    once = a < b
    order = np.lexsort((b[once], a[once]))
    a, b = a[once][order].astype(np.int64), b[once][order].astype(np.int64)
    area = shapely.area(shapes)
    common = shapely.area(shapely.intersection(shapes[a], shapes[b]))
    share = common / np.maximum(np.minimum(area[a], area[b]), 1e-9)
    enough = share >= least
    return a[enough], b[enough], share[enough]


def _best(frames: int, a: Indices, b: Indices, worth: Floats, most: int) -> NDArray[np.bool_]:
    """Return True for each pair among the `most` worthiest of one of its frames."""
    selected = np.zeros(a.size, dtype=bool)
    frame = np.concatenate([a, b])
    pair = np.tile(np.arange(a.size), 2)
    order = np.lexsort((pair, -worth[pair], frame))
    first = np.searchsorted(frame[order], np.arange(frames))
    rank = np.arange(order.size) - first[frame[order]]
    selected[pair[order[rank < most]]] = True
    return selected


# -- Masks of image cells without ties -------------------------------------------------------------


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
    partners: list[list[int]] = [[] for __ in views]
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
