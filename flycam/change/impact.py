"""Impact of changes: layer features in reach, roads cut, volumes.

Features of several layers of one kind and roads under overlapping changes count once; sums are made by
commune.

A layer states something only about the ground that it covers, taken to be the rectangle around its features
and a margin. Where no layer of a kind covers a change, nothing is known, which is reported: it is never
"none". Distances are measured in the UTM zone of each change.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.access.policy import UNRESTRICTED, AccessPolicy
from flycam.catalog.board import Boundaries
from flycam.catalog.changes import ChangeVersion
from flycam.change.comparison import find_cut_changes, make_comparison_reader, match_comparisons
from flycam.change.outlines import ChangeTotals, compute_own_ground, divide_by_commune, label_places
from flycam.change.volume import Volume, VolumeFailure, compute_volumes
from flycam.errors import OptionUnusable
from flycam.geodata.crs import WGS84, choose_work_crs, make_point_transform
from flycam.geodata.vector_file import MAX_FEATURES
from flycam.messages import _
from flycam.model.board import ROAD_CUTTING_KINDS, ChangeKind, ChangeStatus, LayerKind
from flycam.model.records import BoundsLonLat, CommuneRecord, LayerFeatureRecord, LayerRecord
from flycam.mosaic.terrain import compute_lonlat_bounds
from flycam.workspace import Workspace

# -- Proximity of features to areas, and lengths of lines inside areas: all pairs at once ----------


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
    # the middle of each geometry's longest piece, M×2, for the M of N geometries that have length
    pieces, owner = shapely.get_parts(parts, return_index=True)
    length = shapely.length(pieces)
    pieces, owner, length = pieces[length > 0.0], owner[length > 0.0], length[length > 0.0]
    order = np.lexsort((-length, owner))
    owners, first = np.unique(owner[order], return_index=True)
    longest = pieces[order][first]
    middles = shapely.get_coordinates(shapely.line_interpolate_point(longest, 0.5, normalized=True))
    has_length = np.zeros(len(parts), np.bool_)
    has_length[owners] = True
    place[np.flatnonzero(crossing)[has_length]] = middles
    is_contained = ~is_line & (distance == 0.0)
    inner = shapely.point_on_surface(shapely.intersection(areas[is_contained], things[is_contained]))
    place[is_contained] = shapely.get_coordinates(inner)
    return under, place


# -- Counts of affected features and cut roads over several layers of one kind ---------------------
#
# Two layers may hold the same features, and which of one are which of the other is not known. So for each
# change the layer with the most features counts.


@dataclass(frozen=True, kw_only=True, slots=True)
class AffectedFeature:
    """A feature within reach of a change.

    distance_m  0: inside, at least in part
    under_m     length of the part of a line that lies inside; None: not a line
    lonlat_deg  where it is touched
    """

    layer: LayerRecord
    feature: LayerFeatureRecord
    distance_m: float
    under_m: float | None
    lonlat_deg: tuple[float, float]

    @property
    def key(self) -> tuple[str, int]:
        return self.layer.layer_id, self.feature.number

    @property
    def is_inside(self) -> bool:
        return self.distance_m == 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureCount:
    """Features of one kind inside changes, and within reach but outside.

    is_complete  whether layers of the kind cover all of the changes that are counted over
    """

    inside: int
    near: int
    is_complete: bool = True


def count_affected(
    kind: LayerKind, touched: Sequence[Sequence[AffectedFeature]], *, is_covered: bool
) -> FeatureCount:
    """Count the features of one kind that several changes touch, each feature once.

    For each change the layer with the most features counts, the change with the most first. A feature that
    also touches an earlier change, for which another layer was counted, may be in that count and is not added
    again. is_covered: for `FeatureCount.is_complete`.
    """
    of_kind = [[one for one in some if one.layer.kind is kind] for some in touched]
    overall = _sizes(itertools.chain.from_iterable(of_kind))
    tellers: dict[tuple[str, int], set[str]] = defaultdict(set)
    counted: set[tuple[str, int]] = set()
    for some in sorted(filter(None, of_kind), key=lambda some: _most(some, overall), reverse=True):
        layer = _most(some, overall)[-1]
        counted |= {one.key for one in some if one.layer.layer_id == layer and tellers[one.key] <= {layer}}
        for one in some:
            tellers[one.key].add(layer)
    inside = {one.key for some in of_kind for one in some if one.is_inside} & counted
    return FeatureCount(inside=len(inside), near=len(counted) - len(inside), is_complete=is_covered)


def measure_road_cut(roads: Iterable[AffectedFeature]) -> float:
    """Return the metres of road under one change, from the layer with the most.

    Several layers may hold the same road, so they are not added up. Roads drawn as areas have no length.
    """
    metres: dict[str, float] = defaultdict(float)
    for one in roads:
        metres[one.layer.layer_id] += one.under_m or 0.0
    return max(metres.values(), default=0.0)


def deduplicate_by_name(roads: Sequence[AffectedFeature]) -> tuple[AffectedFeature, ...]:
    """Return the roads under one change, in order, without duplicates by name.

    If several layers have a road of one name (or roads without a name), the layer with more metres of it is
    kept. Roads with different names all stay: better one road twice than one not at all.
    """
    metres: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for one in roads:
        metres[one.feature.name][one.layer.layer_id] += one.under_m or 0.0
    layer_by_name = {name: max(layers, key=lambda layer: layers[layer]) for name, layers in metres.items()}
    return tuple(one for one in roads if layer_by_name[one.feature.name] == one.layer.layer_id)


def _sizes(touched: Iterable[AffectedFeature]) -> dict[str, tuple[int, int]]:
    """Count the features inside, and all that are touched, by layer."""
    inside: dict[str, set[int]] = defaultdict(set)
    reached: dict[str, set[int]] = defaultdict(set)
    for one in touched:
        reached[one.layer.layer_id].add(one.feature.number)
        if one.is_inside:
            inside[one.layer.layer_id].add(one.feature.number)
    return {layer: (len(inside[layer]), len(things)) for layer, things in reached.items()}


def _most(
    touched: Iterable[AffectedFeature], overall: Mapping[str, tuple[int, int]]
) -> tuple[tuple[int, int], tuple[int, int], str]:
    """Return the counts, here and overall, and id of the layer with most features.

    Of equals the one with the most overall.
    """
    return max((size, overall[layer], layer) for layer, size in _sizes(touched).items())


# -- Impact of each change -------------------------------------------------------------------------


REACH_M: Mapping[LayerKind, float] = {
    LayerKind.POWER: 30.0,
    LayerKind.MAST: 50.0,
    LayerKind.ROAD: 20.0,
    LayerKind.SCHOOL: 50.0,
    LayerKind.HOUSE: 30.0,
    LayerKind.SETTLEMENT: 50.0,
    LayerKind.HYDROLOGY: 30.0,
    LayerKind.OTHER: 30.0,
}
"""Default distance within which a feature is touched, by kind: a convention, stated with every answer."""

MAX_REACH_M = 5000.0

_SEARCH_MARGIN_M = 100.0
"""A layer also covers this margin around the rectangle of its features: that of a lone mast has no extent."""

MIN_CUT_M = 1.0
"""Length of road under a change: less is drawing precision."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeImpact:
    """One change, features in reach (inside ones first), and covering layers.

    volume  of a landslide its volume, or why that is not known; None for all other changes
    is_cut  it was not seen whole, and its area is a lower bound (`change.comparison.find_cut_changes`)
    """

    line: ChangeVersion
    touched: tuple[AffectedFeature, ...]
    layers: tuple[LayerRecord, ...]
    volume: Volume | VolumeFailure | None = None
    is_cut: bool = False

    @property
    def cut(self) -> tuple[AffectedFeature, ...]:
        """Roads under it, once per layer that holds them.

        For an unconfirmed change: those that would be.
        """
        return (
            tuple(one for one in self.touched if _is_cut(one)) if self.line.kind in ROAD_CUTTING_KINDS else ()
        )

    @property
    def roads_cut(self) -> tuple[AffectedFeature, ...]:
        """Roads under it, one name in several layers once."""
        return deduplicate_by_name(self.cut)

    @property
    def road_cut_m(self) -> float:
        """Length of road under it, metres, as far as roads are lines."""
        return measure_road_cut(self.cut)

    def count(self, kind: LayerKind) -> FeatureCount | None:
        """Count features of a kind; None: no layer of that kind covers the change."""
        return count_features(kind, [self], [self.touched])


@dataclass(frozen=True, kw_only=True, slots=True)
class Impact:
    """Impact of several changes, in their order.

    reach_m  within which features count, by kind
    layers   all that there are, also those that cover no change
    """

    changes: tuple[ChangeImpact, ...]
    layers: tuple[LayerRecord, ...]
    reach_m: Mapping[LayerKind, float]


def compute_impact(
    workspace: Workspace,
    lines: Sequence[ChangeVersion],
    distance_m: float | None = None,
    policy: AccessPolicy = UNRESTRICTED,
) -> Impact:
    """Compute what changes touch.

    distance_m: within it features of every kind count, None: `REACH_M`. policy: layers hidden from the
    account, and features outside its communes, are treated as missing. Raises OptionUnusable for a distance
    that is none, or beyond `MAX_REACH_M`.
    """
    reach = _reach(distance_m)
    layers = [one for one in workspace.catalog.layers.all() if not policy.hides_layer(one.layer_id)]
    shapes = shapely.from_wkb(np.array([line.wkb for line in lines], dtype=object))
    zones: dict[str, list[int]] = {}
    for number, shape in enumerate(shapes):
        middle = shape.representative_point()
        zones.setdefault(choose_work_crs(middle.x, middle.y), []).append(number)
    ground = _VisibleFeatures(workspace=workspace, policy=policy)
    found: dict[int, ChangeImpact] = {}
    for crs, members in zones.items():
        some = [lines[number] for number in members]
        found |= zip(members, _in_zone(ground, some, shapes[members], layers, reach, crs), strict=True)
    volumes = compute_volumes(workspace, lines)
    cut = find_cut_changes(lines, match_comparisons(make_comparison_reader(workspace.catalog), lines))
    return Impact(
        changes=tuple(
            replace(found[number], volume=volumes.get(line.change_id), is_cut=line in cut)
            for number, line in enumerate(lines)
        ),
        layers=tuple(layers),
        reach_m=reach,
    )


def count_features(
    kind: LayerKind, changes: Sequence[ChangeImpact], touched: Sequence[Sequence[AffectedFeature]]
) -> FeatureCount | None:
    """Count features of a kind among those touched by changes, each once.

    None: no layer of the kind covers any of the changes.
    """
    covered = [any(layer.kind is kind for layer in one.layers) for one in changes]
    return count_affected(kind, touched, is_covered=all(covered)) if any(covered) else None


def _reach(distance_m: float | None) -> dict[LayerKind, float]:
    if distance_m is None:
        return dict(REACH_M)
    # false for NaN too
    if not 0.0 <= distance_m <= MAX_REACH_M:
        raise OptionUnusable(
            _(
                "--distance {distance_m:g}: give metres from 0 to {most_reach_m:.0f}",
                distance_m=distance_m,
                most_reach_m=MAX_REACH_M,
            )
        )
    return dict.fromkeys(LayerKind, distance_m)


@dataclass(frozen=True, kw_only=True)
class _VisibleFeatures:
    """Features that the account may see."""

    workspace: Workspace
    policy: AccessPolicy

    def features(self, layer: LayerRecord, boxes: Sequence[BoundsLonLat]) -> list[LayerFeatureRecord]:
        """Return a layer's features in the rectangle around those boxes that it meets."""
        met = np.array([box for box in boxes if _meet(layer.bounds_lonlat_deg, box)])
        if not len(met):
            return []
        low, high = met.min(axis=0), met.max(axis=0)
        bounds = float(low[0]), float(low[1]), float(high[2]), float(high[3])
        found = self.workspace.catalog.layers.features(layer.layer_id, bounds, MAX_FEATURES)[0]
        return [one for one in found if not self.policy.is_outside(one.wkb)]


def _in_zone(
    ground: _VisibleFeatures,
    lines: Sequence[ChangeVersion],
    shapes: np.ndarray,
    layers: Sequence[LayerRecord],
    reach: Mapping[LayerKind, float],
    crs: str,
) -> list[ChangeImpact]:
    """Compute the impact of changes in one projected CRS."""
    onto, back = make_point_transform(WGS84, crs), make_point_transform(crs, WGS84)
    areas = _sound(shapely.transform(shapes, onto))
    boxes = {
        kind: [_around(area, max(reach[kind], _SEARCH_MARGIN_M), crs) for area in areas] for kind in LayerKind
    }
    covering = [
        tuple(one for one in layers if _meet(one.bounds_lonlat_deg, boxes[one.kind][number]))
        for number in range(len(lines))
    ]
    touched: list[list[AffectedFeature]] = [[] for _ in lines]
    for layer in layers:
        things = ground.features(layer, boxes[layer.kind])
        geometries = shapely.from_wkb(np.array([one.wkb for one in things], dtype=object))
        flat = _sound(shapely.transform(geometries, onto))
        pairs = find_proximity_pairs(areas, flat, np.full(len(things), reach[layer.kind]))
        places = back(pairs.place_m) if len(pairs.place_m) else pairs.place_m
        for number, thing, distance, under, (lon, lat) in zip(
            pairs.areas.tolist(),
            pairs.features.tolist(),
            pairs.distance_m.tolist(),
            pairs.under_m.tolist(),
            places.tolist(),
            strict=True,
        ):
            touched[number].append(
                AffectedFeature(
                    layer=layer,
                    feature=things[thing],
                    distance_m=distance,
                    under_m=None if math.isnan(under) else under,
                    lonlat_deg=(lon, lat),
                )
            )
    order = list(LayerKind)
    return [
        ChangeImpact(
            line=line,
            touched=tuple(
                sorted(
                    found, key=lambda one: (not one.is_inside, order.index(one.layer.kind), one.distance_m)
                )
            ),
            layers=covers,
        )
        for line, found, covers in zip(lines, touched, covering, strict=True)
    ]


def _sound(shapes: np.ndarray) -> np.ndarray:
    """Make shapes valid again where rounding in another CRS let edges cross."""
    broken = ~shapely.is_valid(shapes)
    shapes[broken] = shapely.make_valid(shapes[broken])
    return shapes


def _around(area: BaseGeometry, reach_m: float, crs: str) -> BoundsLonLat:
    """Return the rectangle of degrees that holds all within reach."""
    west, south, east, north = area.bounds
    return compute_lonlat_bounds((west - reach_m, south - reach_m, east + reach_m, north + reach_m), crs)


def _meet(one: BoundsLonLat, other: BoundsLonLat) -> bool:
    return one[0] <= other[2] and one[2] >= other[0] and one[1] <= other[3] and one[3] >= other[1]


def _is_cut(one: AffectedFeature) -> bool:
    is_long = one.under_m is None or one.under_m >= MIN_CUT_M
    return one.layer.kind is LayerKind.ROAD and one.is_inside and is_long


# -- Roads under overlapping changes, counted once -------------------------------------------------
#
# A road is as long as it lies under any of them.


def deduplicate_road_cuts(changes: Sequence[ChangeImpact]) -> list[tuple[AffectedFeature, ...]]:
    """Return the roads that each change cuts where no larger one cuts them.

    A road that lies there for less than `MIN_CUT_M` is cut by the larger one only.
    """
    cutting = [one for one in changes if one.cut]
    own = {
        one.line.change_id: ground
        for one, ground in zip(cutting, compute_own_ground([one.line for one in cutting]), strict=True)
    }
    found = []
    for one in changes:
        ground = own.get(one.line.change_id)
        found.append(one.cut if ground is None else _on(one.cut, ground))
    return found


def _on(cut: Sequence[AffectedFeature], ground: BaseGeometry) -> tuple[AffectedFeature, ...]:
    """Return the parts of cut roads on this part of a change's ground."""
    if ground.is_empty:
        return ()
    middle = ground.representative_point()
    onto = make_point_transform(WGS84, choose_work_crs(middle.x, middle.y))
    flat = shapely.make_valid(shapely.transform(ground, onto))
    left = []
    for at in cut:
        road = shapely.make_valid(shapely.transform(shapely.from_wkb(at.feature.wkb), onto)).intersection(
            flat
        )
        if at.under_m is not None and road.length >= MIN_CUT_M:
            left.append(replace(at, under_m=road.length))
        elif at.under_m is None and road.area > 0.0:
            left.append(at)
    return tuple(left)


# -- Impact of changes by commune; a feature counts in the one where it is touched -----------------


@dataclass(frozen=True, kw_only=True, slots=True)
class ImpactTotals:
    """Impact of some changes in one commune.

    ground     of those in it, overlapping ones once: one across a border counts in both
    counts     features by kind; None: no layer of the kind covers any of them, so that nothing is known
    roads_cut  in it; one that is cut in several places is listed once for each
    road_cut_m length of road under changes, as far as roads are lines; under several, once
    """

    ground: ChangeTotals
    counts: Mapping[LayerKind, FeatureCount | None]
    roads_cut: tuple[AffectedFeature, ...]
    road_cut_m: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CommuneImpact:
    """Impact in one commune; code "": ground outside of all known boundaries.

    confirmed, waiting  by changes that analysts accepted, and by those that wait for review
    """

    code: str
    name: str
    confirmed: ImpactTotals
    waiting: ImpactTotals


def sum_impact_by_commune(
    communes: Sequence[CommuneRecord], changes: Sequence[ChangeImpact]
) -> list[CommuneImpact]:
    """Return a row per commune with changes or touched features.

    The most confirmed ground first; what lies outside all of them is a row of its own, with the code "".
    """
    outlines = shapely.make_valid(shapely.from_wkb(np.array([one.wkb for one in communes], dtype=object)))
    codes = [one.code for one in communes]
    confirmed, waiting = (
        _group_changes(outlines, codes, [one for one in changes if one.line.status is status])
        for status in (ChangeStatus.ACCEPTED, ChangeStatus.PROPOSED)
    )
    names = {one.code: one.name for one in communes}
    rows = [
        CommuneImpact(
            code=code,
            name=names.get(code, ""),
            confirmed=_tally(code, confirmed),
            waiting=_tally(code, waiting),
        )
        for code in confirmed.codes | waiting.codes
    ]
    return sorted(
        rows, key=lambda row: (-row.confirmed.ground.area_m2, -row.waiting.ground.area_m2, row.code)
    )


def find_communes_around(
    boundaries: Boundaries, changes: Sequence[ChangeImpact], *, is_drill: bool
) -> list[CommuneRecord]:
    """Return today's communes around an event's changes and all that they touch.

    A drill's communes in a drill.
    """
    if not changes:
        return []
    boxes = [one.line.bounds_lonlat_deg for one in changes]
    boxes += [(*at.lonlat_deg, *at.lonlat_deg) for one in changes for at in one.touched]
    west, south = np.min(boxes, axis=0)[:2].tolist()
    east, north = np.max(boxes, axis=0)[2:].tolist()
    return boundaries.list_countable(is_drill=is_drill, bounds=(west, south, east, north))


@dataclass(frozen=True, kw_only=True, slots=True)
class _ChangeGroup:
    """Changes of one status, with sequences parallel to `changes`.

    shares   share of its ground (0-1) by commune
    own      the same of the ground that no larger one covers
    holders  the commune of each feature that it touches
    places   the number of the place that it is a part of
    cut      the roads it cuts where no larger one does
    """

    changes: Sequence[ChangeImpact]
    shares: Sequence[Mapping[str, float]]
    own: Sequence[Mapping[str, float]]
    holders: Sequence[Sequence[str]]
    places: Sequence[int]
    cut: Sequence[Sequence[AffectedFeature]]

    @property
    def codes(self) -> set[str]:
        return {code for some in (*self.shares, *self.holders) for code in some}


def _group_changes(
    outlines: np.ndarray, codes: Sequence[str], changes: Sequence[ChangeImpact]
) -> _ChangeGroup:
    lines = [one.line for one in changes]
    shapes = shapely.make_valid(shapely.from_wkb(np.array([line.wkb for line in lines], dtype=object)))
    own = shapes.copy()
    for number, ground in enumerate(compute_own_ground(lines)):
        own[number] = shapes[number] if ground is None else ground
    areas = shapely.area(shapes)
    # the commune of each touched feature, by change; "": outside all
    places = np.array([at.lonlat_deg for one in changes for at in one.touched]).reshape(-1, 2)
    commune_codes = [""] * len(places)
    found, holders = shapely.STRtree(outlines).query(shapely.points(places), predicate="intersects")
    for place, holder in zip(found.tolist(), holders.tolist(), strict=True):
        commune_codes[place] = codes[holder]
    ends = np.cumsum([0, *(len(one.touched) for one in changes)]).tolist()
    return _ChangeGroup(
        changes=changes,
        shares=_shares(outlines, codes, lines, shapes, areas),
        own=_shares(outlines, codes, lines, own, areas),
        holders=[commune_codes[start:end] for start, end in itertools.pairwise(ends)],
        places=label_places(lines),
        cut=deduplicate_road_cuts(changes),
    )


def _tally(code: str, some: _ChangeGroup) -> ImpactTotals:
    """Sum the impact of changes in one commune.

    A change counts for the features it touches in a commune also where its own ground lies beside it.
    """
    here, touched = [], []
    kinds: dict[int, ChangeKind] = {}
    roads: list[AffectedFeature] = []
    area_m2, road_cut_m, is_lower_bound = 0.0, 0.0, False
    for n, one in enumerate(some.changes):
        if not (code in some.shares[n] or code in some.holders[n]):
            continue
        here.append(one)
        if code in some.shares[n]:
            kinds[some.places[n]] = one.line.kind
            is_lower_bound |= one.is_cut
        area_m2 += one.line.area_m2 * some.own[n].get(code, 0.0)
        inside = [at for at, holder in zip(one.touched, some.holders[n], strict=True) if holder == code]
        touched.append(inside)
        keys = {(at.key, at.lonlat_deg) for at in inside}
        cut = [at for at in some.cut[n] if (at.key, at.lonlat_deg) in keys]
        roads += deduplicate_by_name(cut)
        road_cut_m += measure_road_cut(cut)
    return ImpactTotals(
        ground=ChangeTotals(places=Counter(kinds.values()), area_m2=area_m2, is_lower_bound=is_lower_bound),
        counts={kind: count_features(kind, here, touched) for kind in LayerKind},
        roads_cut=tuple(roads),
        road_cut_m=road_cut_m,
    )


def _shares(
    outlines: np.ndarray,
    codes: Sequence[str],
    lines: Sequence[ChangeVersion],
    shapes: np.ndarray,
    areas: np.ndarray,
) -> list[dict[str, float]]:
    """Return each shape's shares (of `areas`, 0-1) by commune; "": outside all.

    Shares of one small shape: degrees will do.
    """
    shares: list[dict[str, float]] = [{} for __ in shapes]
    of, holders = shapely.STRtree(outlines).query(shapes, predicate="intersects")
    areas_of_all = enumerate(zip(shares, lines, shapes, areas.tolist(), strict=True))
    for number, (share, line, shape, area) in areas_of_all:
        around = holders[of == number].tolist()
        by_commune, outside = divide_by_commune(shape, outlines[around], area, line.area_m2)
        for holder, part in by_commune:
            share[codes[around[holder]]] = part.area / area
        if outside is not None:
            share[""] = outside.area / area
    return shares
