"""Counts of affected features and cut roads over several layers of one kind.

Two layers may hold the same features, and which of one are which of the other is not known. So for each
change the layer with the most features counts.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flycam.catalog.records import LayerFeatureRecord, LayerRecord
from flycam.frame.specialist_layer import LayerKind


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
    ours = [[one for one in some if one.layer.kind is kind] for some in touched]
    overall = _sizes(itertools.chain.from_iterable(ours))
    tellers: dict[tuple[str, int], set[str]] = defaultdict(set)
    told: set[tuple[str, int]] = set()
    for some in sorted(filter(None, ours), key=lambda some: _most(some, overall), reverse=True):
        layer = _most(some, overall)[-1]
        told |= {one.key for one in some if one.layer.layer_id == layer and tellers[one.key] <= {layer}}
        for one in some:
            tellers[one.key].add(layer)
    inside = {one.key for some in ours for one in some if one.is_inside} & told
    return FeatureCount(inside=len(inside), near=len(told) - len(inside), is_complete=is_covered)


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
    tells = {name: max(layers, key=lambda layer: layers[layer]) for name, layers in metres.items()}
    return tuple(one for one in roads if tells[one.feature.name] == one.layer.layer_id)


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
