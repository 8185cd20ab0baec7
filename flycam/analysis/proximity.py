"""Proximity of features to areas, and lengths of lines inside areas: all pairs at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

Shapes = NDArray[np.object_]
Floats = NDArray[np.float64]

_LINE = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ProximityPairs:
    """Pairs (P) of an area and a feature within reach, by area, then by distance.

    areas, features  indices
    distance_m       0: at least a part of the feature lies in the area
    under_m          length of a line inside the area; NaN: the feature is no line
    place_m          P×2, where the feature is touched: the middle of its longest piece in the area, else its
                     nearest point
    """

    areas: NDArray[np.intp]
    features: NDArray[np.intp]
    distance_m: Floats
    under_m: Floats
    place_m: Floats


def find_proximity_pairs(areas: Shapes, features: Shapes, reach_m: Floats) -> ProximityPairs:
    """Find features within reach of areas.

    Areas and features are valid, in one plane of metres; reach_m is each feature's own.
    """
    reach_m = np.asarray(reach_m, np.float64)
    if not len(areas) or not len(features):
        none = np.empty(0, np.intp)
        nothing = np.empty(0, np.float64)
        return ProximityPairs(
            areas=none, features=none, distance_m=nothing, under_m=nothing, place_m=np.empty((0, 2))
        )
    tree = shapely.STRtree(features)
    of, thing = tree.query(areas, predicate="dwithin", distance=float(reach_m.max()))
    distance = shapely.distance(areas[of], features[thing])
    near = distance <= reach_m[thing]
    of, thing, distance = of[near], thing[near], distance[near]
    order = np.lexsort((thing, distance, of))
    of, thing, distance = of[order], thing[order], distance[order]
    under, place = _inside(areas[of], features[thing], distance)
    return ProximityPairs(areas=of, features=thing, distance_m=distance, under_m=under, place_m=place)


def _inside(areas: Shapes, things: Shapes, distance: Floats) -> tuple[Floats, Floats]:
    """Return length under each area (NaN: no line), and where features are touched.

    The places are N×2.
    """
    is_line = shapely.get_dimensions(things) == _LINE
    crossing = is_line & (distance == 0.0)
    under = np.where(is_line, 0.0, np.nan)
    parts = shapely.intersection(areas[crossing], things[crossing])
    under[crossing] = shapely.length(parts)
    place = shapely.get_coordinates(shapely.shortest_line(things, areas)).reshape(-1, 2, 2)[:, 0]
    middles, has_length = _middles(parts)
    place[np.flatnonzero(crossing)[has_length]] = middles
    held = ~is_line & (distance == 0.0)
    inner = shapely.point_on_surface(shapely.intersection(areas[held], things[held]))
    place[held] = shapely.get_coordinates(inner)
    return under, place


def _middles(lines: Shapes) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the middle of each geometry's longest piece, and which have length.

    The middles are M×2, for the M of N geometries that have length.
    """
    pieces, owner = shapely.get_parts(lines, return_index=True)
    length = shapely.length(pieces)
    pieces, owner, length = pieces[length > 0.0], owner[length > 0.0], length[length > 0.0]
    order = np.lexsort((-length, owner))
    owners, first = np.unique(owner[order], return_index=True)
    longest = pieces[order][first]
    middles = shapely.get_coordinates(shapely.line_interpolate_point(longest, 0.5, normalized=True))
    has_length = np.zeros(len(lines), np.bool_)
    has_length[owners] = True
    return middles, has_length
