"""Pairs of frames that may show the same ground, from footprints on the terrain.

Never all against all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.adjust.block import BlockFrame
from flycam.errors import FrameRejected
from flycam.geometry.footprint import compute_footprint
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import Message, _

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
    asked = _best(len(frames), a, b, worth, neighbours)
    other = strip[a] != strip[b]
    asked[other] |= _best(len(frames), a[other], b[other], worth[other], across)
    a, b, share = a[asked], b[asked], share[asked]
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
    asked = np.zeros(a.size, dtype=bool)
    frame = np.concatenate([a, b])
    pair = np.tile(np.arange(a.size), 2)
    order = np.lexsort((pair, -worth[pair], frame))
    first = np.searchsorted(frame[order], np.arange(frames))
    rank = np.arange(order.size) - first[frame[order]]
    asked[pair[order[rank < most]]] = True
    return asked
