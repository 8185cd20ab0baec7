"""Figures of confirmed changes in a briefing pack, without words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import shapely

from flycam.analysis.volume import Volume
from flycam.catalog.comparisons import Comparison
from flycam.catalog.records import LayerRecord
from flycam.frame.specialist_layer import LayerKind, is_stale
from flycam.pipeline.briefing_pack.contents import PackContents, ShownChange, ShownCommune
from flycam.pipeline.briefing_pack.image_pairs import PackImage, Pair
from flycam.pipeline.change.affected_features import AffectedFeature, FeatureCount
from flycam.pipeline.change.change_outlines import estimate_area_error
from flycam.pipeline.change.change_overlap import is_sliver
from flycam.pipeline.change.commune_impact import sum_impact_by_commune
from flycam.pipeline.change.comparison_store import make_comparison_reader, match_comparisons
from flycam.pipeline.change.impact import ChangeImpact
from flycam.pipeline.vn2000 import locate_in_vn2000
from flycam.pipeline.workspace import Workspace
from flycam.report.pack_figures import (
    Counts,
    PackChange,
    PackCount,
    PackImpact,
    PackLayer,
    PackRoad,
    PackSeenPicture,
    PackSettlement,
    PackSize,
    PackTroubles,
    PackVolume,
)


def describe_changes(workspace: Workspace, contents: PackContents) -> list[PackChange]:
    """Describe the confirmed changes of a pack's contents, numbered as there."""
    now_ns = workspace.clock_ns()
    made = match_comparisons(
        make_comparison_reader(workspace.catalog), [patch.impact.line for patch in contents.changes]
    )
    return [
        _change(workspace, number, patch, comparison, now_ns)
        for number, (patch, comparison) in enumerate(zip(contents.changes, made, strict=True), 1)
    ]


def group_affected_by_commune(contents: PackContents) -> dict[str, PackImpact]:
    """Group what changes touch by code of the contents' communes; absent: nothing."""
    communes = [place.commune for place in contents.communes]
    return {
        row.code: PackImpact(
            changes=row.confirmed.changes,
            area_m2=row.confirmed.area_m2,
            roads_cut=_roads(row.confirmed.roads_cut),
            counts=_counts(row.confirmed.counts),
        )
        for row in sum_impact_by_commune(communes, [patch.impact for patch in contents.changes])
    }


def clip_change_to_commune(change: PackChange, patch: ShownChange, place: ShownCommune) -> PackChange:
    """Clip a change to a commune, with its area there if that is not all of it.

    The outline's error applies to the change's own outline, not to the commune's boundary. Shares of one
    small shape may be computed in degrees.
    """
    whole, commune = (shapely.make_valid(one) for one in (patch.shape, shapely.from_wkb(place.commune.wkb)))
    share = whole.intersection(commune).area / whole.area
    if is_sliver(1.0 - share, change.full_size.area_m2):
        return change
    rim, error_m2 = whole.boundary, change.full_size.error_m2
    of_rim = rim.intersection(commune).length / rim.length
    here = PackSize(
        area_m2=change.full_size.area_m2 * share, error_m2=None if error_m2 is None else error_m2 * of_rim
    )
    return replace(change, size_in_commune=here)


def _volume(impact: ChangeImpact) -> PackVolume | None:
    found = impact.volume
    if not isinstance(found, Volume):
        return None
    return PackVolume(
        lost_m3=(found.lost_m3, found.lost_sigma_m3),
        gained_m3=(found.gained_m3, found.gained_sigma_m3) if found.has_gained else None,
        measured_pct=min(100.0 * found.measured_m2 / impact.line.area_m2, 100.0),
        is_nothing=found.is_nothing,
    )


def _seen(pair: Pair | None) -> tuple[PackSeenPicture, PackSeenPicture] | None:
    if pair is None:
        return None
    before, after = (
        PackSeenPicture(
            name=view.flight.name,
            last_ns=view.flight.last_ns,
            stands_in=view.is_substitute,
            is_lost=view.is_lost,
        )
        if isinstance(view, PackImage)
        else PackSeenPicture(name=view.name, last_ns=None)
        for view in pair
    )
    return before, after


def _change(
    workspace: Workspace, number: int, patch: ShownChange, found: Comparison | None, now_ns: int
) -> PackChange:
    impact, point = patch.impact, patch.shape.representative_point()
    place = locate_in_vn2000(workspace.catalog.boundaries, point.x, point.y)
    return PackChange(
        number=number,
        kind=impact.line.kind,
        full_size=PackSize(area_m2=impact.line.area_m2, error_m2=estimate_area_error(impact.line)),
        volume=_volume(impact),
        is_drawn=impact.line.is_drawn,
        seen=_seen(patch.pair),
        doubts=() if found is None else found.doubts,
        note=patch.attributed_note,
        author=patch.signature.decided_by,
        at_ns=patch.signature.decided_ns,
        lonlat_deg=(point.x, point.y),
        vn2000=None if place is None else (place.x_north_m, place.y_east_m, place.central_meridian_deg),
        roads_cut=_roads(impact.roads_cut),
        counts=_counts({kind: impact.count(kind) for kind in LayerKind}),
        layers=tuple(describe_layer(layer, now_ns) for layer in impact.layers),
    )


def _roads(roads: Iterable[AffectedFeature]) -> tuple[PackRoad, ...]:
    return tuple(PackRoad(name=at.feature.name, under_m=at.under_m) for at in roads)


def _counts(counts: Mapping[LayerKind, FeatureCount | None]) -> Counts:
    return {
        kind: None
        if count is None
        else PackCount(inside=count.inside, near=count.near, is_complete=count.is_complete)
        for kind, count in counts.items()
    }


def describe_layer(layer: LayerRecord, now_ns: int) -> PackLayer:
    """Describe a layer, and whether its data are stale."""
    old = is_stale(layer.valid_ns, now_ns, has_status=layer.has_status)
    return PackLayer(name=layer.name, owner=layer.owner, valid_ns=layer.valid_ns, is_stale=old)


def list_commune_troubles(contents: PackContents, place: int, now_ns: int) -> Iterator[PackTroubles]:
    """List features in trouble in a commune (index), layer by layer."""
    for one in contents.troubles:
        if one.commune_index == place:
            said = describe_layer(replace(one.layer, valid_ns=one.valid_ns), now_ns)
            things = tuple((thing.name, thing.status) for thing in one.features)
            yield PackTroubles(kind=one.layer.kind, layer=said, things=things)


def describe_settlements(contents: PackContents) -> list[PackSettlement]:
    """Describe the settlements of the contents, as people reported."""
    return [
        PackSettlement(
            name=one.name,
            commune=one.commune_name,
            access=one.access,
            road_evidence=one.road_evidence,
            note=one.line.note if one.line else "",
            author=one.line.author if one.line else "",
            at_ns=one.line.at_ns if one.line else None,
        )
        for _, one in contents.settlements
    ]
