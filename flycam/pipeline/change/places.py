"""Changes that lie on each other are one place, and their ground counts once: a third date, or the same two
pictures compared again after a new revision, confirm one slide twice.

Shares of small shapes: degrees will do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from shapely.geometry.base import BaseGeometry

from flycam.catalog.change_line import ChangeLine
from flycam.frame.change import ChangeKind
from flycam.pipeline.change.shapes import shapes_of

SLIVER_SHARE = 0.01
"""Of a change: less beyond a boundary is how finely both are drawn."""

LEAST_SHARED = 0.1
"""Of the smaller of two, that they are one place: less is a neighbour."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Together:
    """Of several changes: places by kind, and square metres of all ground, what lies under several once."""

    places: Mapping[ChangeKind, int]
    area_m2: float


def places_of(lines: Sequence[ChangeLine]) -> list[list[ChangeLine]]:
    """Changes of one kind that lie on each other, also through others."""
    numbers = place_numbers(lines)
    return [
        [line for line, number in zip(lines, numbers, strict=True) if number == one]
        for one in dict.fromkeys(numbers)
    ]


def place_numbers(lines: Sequence[ChangeLine]) -> list[int]:
    """Of each change the number of the place that it is, or is a part of."""
    if not lines:
        return []
    shapes = shapes_of(lines)
    kinds = np.array([line.kind.value for line in lines])
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    same = (kinds[one] == kinds[other]) & (one < other)
    one, other = one[same], other[same]
    shared = shapely.area(shapely.intersection(shapes[one], shapes[other]))
    smaller = np.minimum(shapely.area(shapes[one]), shapely.area(shapes[other]))
    lie_on = shared >= LEAST_SHARED * smaller
    one, other = one[lie_on], other[lie_on]
    net = coo_array((np.ones(len(one)), (one, other)), shape=(len(lines), len(lines)))
    numbers: list[int] = connected_components(net, directed=False)[1].tolist()
    return numbers


def own_ground(lines: Sequence[ChangeLine]) -> list[BaseGeometry | None]:
    """Of each change the ground (WGS 84 degrees) that no larger one of them covers; None: all of it."""
    own: list[BaseGeometry | None] = [None] * len(lines)
    if not lines:
        return own
    shapes = shapes_of(lines)
    rank = np.empty(len(lines), dtype=int)
    rank[sorted(range(len(lines)), key=lambda n: (-lines[n].area_m2, lines[n].change_id))] = range(len(lines))
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    for number in np.unique(one[rank[other] < rank[one]]).tolist():
        larger = other[(one == number) & (rank[other] < rank[number])]
        own[number] = shapes[number].difference(shapely.union_all(shapes[larger]))
    return own


def together(lines: Sequence[ChangeLine]) -> Together:
    """Places and ground of several changes, each counted once."""
    kinds = dict(zip(place_numbers(lines), (line.kind for line in lines), strict=True))
    area_m2 = sum(
        line.area_m2 * (1.0 if own is None else own.area / shapely.from_wkb(line.wkb).area)
        for line, own in zip(lines, own_ground(lines), strict=True)
    )
    return Together(places=Counter(kinds.values()), area_m2=area_m2)


def within(lines: Sequence[ChangeLine], communes: shapely.STRtree) -> list[tuple[int, int]]:
    """Which change (index) has ground in which commune (index in the tree), `SLIVER_SHARE` of it or more."""
    if not lines:
        return []
    shapes, outlines = shapes_of(lines), shapely.make_valid(communes.geometries)
    one, holder = communes.query(shapes, predicate="intersects")
    parts = shapely.area(shapely.intersection(shapes[one], outlines[holder])) / shapely.area(shapes[one])
    held = parts >= SLIVER_SHARE
    return list(zip(one[held].tolist(), holder[held].tolist(), strict=True))
