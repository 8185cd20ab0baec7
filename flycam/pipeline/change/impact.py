"""Impact of changes: features of specialist layers in reach, roads cut, volumes.

A layer states something only about the ground that it covers, taken to be the rectangle around its features
and a margin. Where no layer of a kind covers a change, nothing is known, which is reported: it is never
"none". Distances are measured in the UTM zone of each change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from flycam.analysis.proximity import find_proximity_pairs
from flycam.analysis.volume import Volume
from flycam.catalog.access_policy import UNRESTRICTED, AccessPolicy
from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.records import BoundsLonLat, LayerFeatureRecord, LayerRecord
from flycam.errors import OptionUnusable
from flycam.frame.change import ROAD_CUTTING_KINDS
from flycam.frame.specialist_layer import LayerKind
from flycam.geodata.crs import WGS84, choose_work_crs, make_point_transform
from flycam.geodata.layer_file import MAX_FEATURES
from flycam.messages import _
from flycam.pipeline.change.affected_features import (
    AffectedFeature,
    FeatureCount,
    count_affected,
    deduplicate_by_name,
    measure_road_cut,
)
from flycam.pipeline.change.volume import VolumeFailure, compute_volumes
from flycam.pipeline.terrain import compute_lonlat_bounds
from flycam.pipeline.workspace import Workspace

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
    """

    line: ChangeVersion
    touched: tuple[AffectedFeature, ...]
    layers: tuple[LayerRecord, ...]
    volume: Volume | VolumeFailure | None = None

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

    distance_m: within it features of every kind count, None: `REACH_M`. withholding: layers hidden from the
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
    return Impact(
        changes=tuple(
            replace(found[number], volume=volumes.get(line.change_id)) for number, line in enumerate(lines)
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
