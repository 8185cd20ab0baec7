"""Assignment of ground that several boundaries claim to one of them, deterministically.

Real boundary files overlap: neighbours were digitised apart, or a piece that changed hands stayed in the old
outline. The result does not depend on the order of the features: everything runs in the order of the codes.

Rule, for each piece of ground and the set of its claimants:
1. where all claimants state their area, the owner is the one with whom the stated areas fit best (least sum
   of squared relative differences), the largest contested pieces first;
2. else, or if that ties, the owner is the claimant with the lowest code.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

SLIVER_M2 = 1.0
"""Overlaps below this are the rounding of coordinates and stay."""

AreaOf = Callable[[NDArray[np.object_]], NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """A piece that several claimed. `rule` is "declared areas" or "lowest code"."""

    claimants: tuple[int, ...]
    owner: int
    area_m2: float
    rule: str


def sum_pairwise_overlap_m2(polygons: NDArray[np.object_], area_of: AreaOf) -> float:
    """Sum the area shared by each pair of N polygons.

    Ground claimed three times counts three times.
    """
    pieces = _pair_pieces(polygons, area_of)[2]
    return float(area_of(pieces).sum()) if len(pieces) else 0.0


def resolve_overlaps(
    polygons: NDArray[np.object_], declared_m2: Sequence[float | None], area_of: AreaOf
) -> tuple[NDArray[np.object_], tuple[Overlap, ...]]:
    """Cut N valid polygons, sorted by code, until none shares more than a sliver.

    declared_m2  areas that their owners state, None unknown
    area_of      measures geometries in m²

    Returns the N polygons, unchanged where no other claims their ground, and the decisions.
    """
    claims = _claims(polygons, area_of)
    areas = area_of(polygons)
    overlaps: list[Overlap] = []
    lost: dict[int, list[BaseGeometry]] = defaultdict(list)
    for claimants, piece, piece_m2 in claims:
        owner, rule = _owner(claimants, piece_m2, areas, declared_m2)
        overlaps.append(Overlap(claimants=claimants, owner=owner, area_m2=piece_m2, rule=rule))
        for loser in claimants:
            if loser != owner:
                lost[loser].append(piece)
                areas[loser] -= piece_m2
    resolved = polygons.copy()
    for loser, pieces in lost.items():
        resolved[loser] = keep_polygons(polygons[loser].difference(shapely.union_all(pieces)))
    return resolved, tuple(overlaps)


def keep_polygons(geometry: BaseGeometry) -> BaseGeometry:
    """Return the polygon part of a geometry; an empty polygon if it has none."""
    if geometry.geom_type in ("Polygon", "MultiPolygon"):
        return geometry
    parts = [p for p in shapely.get_parts(geometry) if p.geom_type in ("Polygon", "MultiPolygon")]
    return shapely.union_all(parts) if parts else shapely.Polygon()


def _pair_pieces(
    polygons: NDArray[np.object_], area_of: AreaOf
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.object_]]:
    """Return (i, j, shared polygon) of pairs that share more than a sliver, i < j."""
    i, j = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    i, j = i[i < j], j[i < j]
    order = np.lexsort((j, i))
    i, j = i[order], j[order]
    shared = shapely.intersection(polygons[i], polygons[j])
    pieces = np.array([keep_polygons(g) for g in shared], dtype=object)
    if not len(pieces):
        return i, j, pieces
    real = area_of(pieces) > SLIVER_M2
    return i[real], j[real], pieces[real]


def _claims(
    polygons: NDArray[np.object_], area_of: AreaOf
) -> list[tuple[tuple[int, ...], BaseGeometry, float]]:
    """Return contested ground by claimants, largest first.

    Each is (claimants ascending, ground, m²).
    """
    i, j, pieces = _pair_pieces(polygons, area_of)
    if not len(pieces):
        return []
    faces = shapely.get_parts(shapely.polygonize([shapely.union_all(shapely.boundary(pieces))]))
    inside = shapely.point_on_surface(faces)
    face, pair = shapely.STRtree(pieces).query(inside, predicate="intersects")
    claimants: dict[int, set[int]] = defaultdict(set)
    for f, p in zip(face.tolist(), pair.tolist(), strict=True):
        claimants[f].update((int(i[p]), int(j[p])))
    grounds: dict[tuple[int, ...], list[BaseGeometry]] = defaultdict(list)
    for f in sorted(claimants):
        grounds[tuple(sorted(claimants[f]))].append(faces[f])
    keys = sorted(grounds)
    merged = np.array([shapely.union_all(grounds[key]) for key in keys], dtype=object)
    claims = list(zip(keys, merged, area_of(merged).tolist(), strict=True))
    return sorted(claims, key=lambda claim: (-round(claim[2], 3), claim[0]))


def _owner(
    claimants: tuple[int, ...],
    piece_m2: float,
    areas: NDArray[np.float64],
    declared_m2: Sequence[float | None],
) -> tuple[int, str]:
    stated = [declared_m2[c] for c in claimants]
    if any(area is None or area <= 0 for area in stated):
        return claimants[0], "lowest code"
    declared = np.array(stated, dtype=np.float64)
    held = areas[list(claimants)]
    without = (held - piece_m2) / declared - 1.0
    costs = (without**2).sum() - without**2 + (held / declared - 1.0) ** 2
    # rounded, so that a tie in all but rounding errors goes to the lowest code on every machine
    return claimants[int(np.argmin(np.round(costs, 12)))], "declared areas"
