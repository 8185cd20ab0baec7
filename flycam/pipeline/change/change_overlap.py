"""Changes that overlap are one place, and their ground counts once.

A third date, or the same two images compared again after a new revision, confirm one landslide twice. Shares
of small shapes are computed in degrees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from shapely.geometry.base import BaseGeometry

from flycam.catalog.change_version import ChangeVersion
from flycam.frame.change import ChangeKind
from flycam.geometry.connected_components import label_components
from flycam.pipeline.change.change_outlines import extract_polygons, to_valid_shapes

SLIVER_SHARE, SLIVER_M2 = 0.01, 100.0
"""Share of a change, and its square metres: less of both beyond a boundary is drawing precision
(`is_sliver`). The share alone would not do: a hundredth of a large flood is hectares where people live."""

MIN_SHARED = 0.1
"""Share of the smaller of two changes from which they are one place; below it they are neighbours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeTotals:
    """Totals of changes: places by kind; square metres, overlaps counted once."""

    places: Mapping[ChangeKind, int]
    area_m2: float

    @property
    def count(self) -> int:
        """Places of any kind."""
        return sum(self.places.values())


def label_places(lines: Sequence[ChangeVersion]) -> list[int]:
    """Label each change with the number of the place that it is, or is a part of."""
    if not lines:
        return []
    shapes = to_valid_shapes(lines)
    kinds = np.array([line.kind.value for line in lines])
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    same = (kinds[one] == kinds[other]) & (one < other)
    one, other = one[same], other[same]
    lie_on = are_same_place(shapes[one], shapes[other])
    one, other = one[lie_on], other[lie_on]
    numbers: list[int] = label_components(len(lines), one, other).tolist()
    return numbers


def are_same_place(shapes: NDArray[np.object_], others: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Return True for each pair that shares `MIN_SHARED` or more of the smaller."""
    shared = shapely.area(shapely.intersection(shapes, others))
    return np.asarray(shared >= MIN_SHARED * np.minimum(shapely.area(shapes), shapely.area(others)))


def compute_own_ground(lines: Sequence[ChangeVersion]) -> list[BaseGeometry | None]:
    """Return each change's ground that no larger one covers; None: all of it.

    WGS 84 degrees.
    """
    own: list[BaseGeometry | None] = [None] * len(lines)
    if not lines:
        return own
    shapes = to_valid_shapes(lines)
    rank = np.empty(len(lines), dtype=int)
    rank[sorted(range(len(lines)), key=lambda n: (-lines[n].area_m2, lines[n].change_id))] = range(len(lines))
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    for number in np.unique(one[rank[other] < rank[one]]).tolist():
        larger = other[(one == number) & (rank[other] < rank[number])]
        own[number] = shapes[number].difference(shapely.union_all(shapes[larger]))
    return own


def sum_changes(lines: Sequence[ChangeVersion]) -> ChangeTotals:
    """Count places and ground of several changes, each once."""
    kinds = dict(zip(label_places(lines), (line.kind for line in lines), strict=True))
    area_m2 = sum(
        line.area_m2 * (1.0 if own is None else own.area / shapely.from_wkb(line.wkb).area)
        for line, own in zip(lines, compute_own_ground(lines), strict=True)
    )
    return ChangeTotals(places=Counter(kinds.values()), area_m2=area_m2)


def sum_changes_by_commune(
    lines: Sequence[ChangeVersion], communes: shapely.STRtree
) -> list[ChangeTotals | None]:
    """Sum the changes in each commune of a tree, with their ground there; None: none.

    A change counts in a commune by `find_commune_overlaps`.
    """
    numbers, grounds = label_places(lines), compute_own_ground(lines)
    outlines = shapely.make_valid(communes.geometries)
    kinds: list[dict[int, ChangeKind]] = [{} for _ in outlines]
    areas_m2 = [0.0] * len(outlines)
    for change, holder in find_commune_overlaps(lines, communes):
        line, whole, own = lines[change], shapely.from_wkb(lines[change].wkb), grounds[change]
        kinds[holder][numbers[change]] = line.kind
        here = (whole if own is None else own).intersection(outlines[holder])
        areas_m2[holder] += line.area_m2 * here.area / whole.area
    return [
        ChangeTotals(places=Counter(some.values()), area_m2=area_m2) if some else None
        for some, area_m2 in zip(kinds, areas_m2, strict=True)
    ]


def is_sliver(share: ArrayLike, area_m2: ArrayLike) -> NDArray[np.bool_]:
    """Return True if a part (share 0-1) of a change is too small to count.

    area_m2: of the whole change. The one rule by which changes are counted by commune: in `compare`, on the
    board, in briefing packs, and in impacts.
    """
    parts_m2 = np.multiply(share, area_m2)
    return np.asarray(np.less(share, SLIVER_SHARE) & np.less(parts_m2, SLIVER_M2))


def divide_by_commune(
    shape: BaseGeometry, outlines: Sequence[BaseGeometry], total: float, area_m2: float
) -> tuple[list[tuple[int, BaseGeometry]], BaseGeometry | None]:
    """Return a change's parts by commune (outline index), and its part outside.

    Slivers of `total`, the change's area in the shape's units (`area_m2` in square metres), are dropped. A
    sliver in a commune counts nowhere: it is not outside of all communes either.
    """
    parts = [extract_polygons(part) for part in shapely.intersection(shape, np.array(outlines, dtype=object))]
    held = [(number, part) for number, part in enumerate(parts) if not is_sliver(part.area / total, area_m2)]
    outside = extract_polygons(shapely.difference(shape, shapely.union_all(parts)))
    return held, None if is_sliver(outside.area / total, area_m2) else outside


def find_commune_overlaps(lines: Sequence[ChangeVersion], communes: shapely.STRtree) -> list[tuple[int, int]]:
    """Return index pairs (change, commune in the tree) sharing more than a sliver."""
    one, holder, shares = _shares_in(lines, communes)
    held = ~is_sliver(shares, np.array([line.area_m2 for line in lines])[one])
    return list(zip(one[held].tolist(), holder[held].tolist(), strict=True))


def find_touched_communes(lines: Sequence[ChangeVersion], communes: shapely.STRtree) -> set[int]:
    """Return communes (tree index) with any ground of changes, slivers included."""
    _, holder, shares = _shares_in(lines, communes)
    return set(holder[shares > 0.0].tolist())


def _shares_in(
    lines: Sequence[ChangeVersion], communes: shapely.STRtree
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return intersecting changes and communes (indices), and the change's share.

    Share of the change that lies in the commune, 0 to 1.
    """
    shapes = to_valid_shapes(lines)
    outlines = shapely.make_valid(communes.geometries)
    one, holder = communes.query(shapes, predicate="intersects")
    shared = shapely.area(shapely.intersection(shapes[one], outlines[holder]))
    return one, holder, shared / shapely.area(shapes[one])
