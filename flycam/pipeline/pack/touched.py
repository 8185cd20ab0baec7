"""What a meeting pack says of confirmed changes: figures without words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import shapely

from flycam.analysis.volume import Volume
from flycam.catalog.comparisons import Comparison
from flycam.catalog.records import LayerRecord
from flycam.frame.specialist import LayerKind, is_stale
from flycam.pipeline.change.commune_impact import impact_by_commune
from flycam.pipeline.change.compared_keeping import found_by, read_once
from flycam.pipeline.change.impact import ChangeImpact
from flycam.pipeline.change.places import is_sliver
from flycam.pipeline.change.shapes import area_error_of
from flycam.pipeline.change.touched_things import Count, Touched
from flycam.pipeline.national import national_place
from flycam.pipeline.pack.pairs import PackView, Pair
from flycam.pipeline.pack.scene import PackPatch, PackPlace, PackScene
from flycam.pipeline.workspace import Workspace
from flycam.report.pack_figures import (
    Counts,
    PackChange,
    PackCount,
    PackLayer,
    PackRoad,
    PackSeen,
    PackSettlement,
    PackSize,
    PackTouched,
    PackTroubles,
    PackVolume,
)


def changes_of(workspace: Workspace, scene: PackScene) -> list[PackChange]:
    """Confirmed changes of a scene, numbered as they are there."""
    now_ns = workspace.clock_ns()
    made = found_by(read_once(workspace.catalog), [patch.impact.line for patch in scene.patches])
    return [
        _change(workspace, number, patch, comparison, now_ns)
        for number, (patch, comparison) in enumerate(zip(scene.patches, made, strict=True), 1)
    ]


def touched_by_commune(scene: PackScene) -> dict[str, PackTouched]:
    """What changes touch, by code of the scene's communes; not in here: nothing."""
    communes = [place.commune for place in scene.places]
    return {
        row.code: PackTouched(
            changes=row.confirmed.changes,
            area_m2=row.confirmed.area_m2,
            roads_cut=_roads(row.confirmed.roads_cut),
            counts=_counts(row.confirmed.counts),
        )
        for row in impact_by_commune(communes, [patch.impact for patch in scene.patches])
    }


def told_within(change: PackChange, patch: PackPatch, place: PackPlace) -> PackChange:
    """A change as it is told for a commune, with its ground in there where that is not all of it.

    The outline errs where it is the change's own, not along the commune's boundary. Shares of one small
    shape: degrees will do.
    """
    whole, commune = (shapely.make_valid(one) for one in (patch.shape, shapely.from_wkb(place.commune.wkb)))
    share = whole.intersection(commune).area / whole.area
    if is_sliver(1.0 - share, change.whole.area_m2):
        return change
    rim, error_m2 = whole.boundary, change.whole.error_m2
    of_rim = rim.intersection(commune).length / rim.length
    here = PackSize(
        area_m2=change.whole.area_m2 * share, error_m2=None if error_m2 is None else error_m2 * of_rim
    )
    return replace(change, here=here)


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


def _seen(pair: Pair | None) -> tuple[PackSeen, PackSeen] | None:
    if pair is None:
        return None
    before, after = (
        PackSeen(
            name=view.flight.name,
            last_ns=view.flight.last_ns,
            stands_in=view.stands_in,
            is_lost=view.is_lost,
        )
        if isinstance(view, PackView)
        else PackSeen(name=view.name, last_ns=None)
        for view in pair
    )
    return before, after


def _change(
    workspace: Workspace, number: int, patch: PackPatch, found: Comparison | None, now_ns: int
) -> PackChange:
    impact, point = patch.impact, patch.shape.representative_point()
    place = national_place(workspace.catalog.boundaries, point.x, point.y)
    return PackChange(
        number=number,
        kind=impact.line.kind,
        whole=PackSize(area_m2=impact.line.area_m2, error_m2=area_error_of(impact.line)),
        volume=_volume(impact),
        is_drawn=impact.line.is_drawn,
        seen=_seen(patch.pair),
        doubts=() if found is None else found.doubts,
        note=patch.note_said,
        author=patch.signature.decided_by,
        at_ns=patch.signature.decided_ns,
        lonlat_deg=(point.x, point.y),
        vn2000=None if place is None else (place.x_north_m, place.y_east_m, place.central_meridian_deg),
        roads_cut=_roads(impact.roads_cut),
        counts=_counts({kind: impact.count(kind) for kind in LayerKind}),
        layers=tuple(layer_said(layer, now_ns) for layer in impact.layers),
    )


def _roads(roads: Iterable[Touched]) -> tuple[PackRoad, ...]:
    return tuple(PackRoad(name=at.thing.name, under_m=at.under_m) for at in roads)


def _counts(counts: Mapping[LayerKind, Count | None]) -> Counts:
    return {
        kind: None
        if count is None
        else PackCount(inside=count.inside, near=count.near, is_whole=count.is_whole)
        for kind, count in counts.items()
    }


def layer_said(layer: LayerRecord, now_ns: int) -> PackLayer:
    """A layer, and whether what it says is old."""
    old = is_stale(layer.valid_ns, now_ns, has_status=layer.has_status)
    return PackLayer(name=layer.name, owner=layer.owner, valid_ns=layer.valid_ns, is_stale=old)


def troubles_at(scene: PackScene, place: int, now_ns: int) -> Iterator[PackTroubles]:
    """What is known to be in trouble in a commune (index), layer by layer."""
    for one in scene.troubles:
        if one.place == place:
            said = layer_said(replace(one.layer, valid_ns=one.valid_ns), now_ns)
            things = tuple((thing.name, thing.status) for thing in one.things)
            yield PackTroubles(kind=one.layer.kind, layer=said, things=things)


def settlements_in(scene: PackScene) -> list[PackSettlement]:
    """Settlements of the scene, as people said."""
    return [
        PackSettlement(
            name=one.name,
            commune=one.commune_name,
            access=one.access,
            roads_say=one.roads_say,
            note=one.line.note if one.line else "",
            author=one.line.author if one.line else "",
            at_ns=one.line.at_ns if one.line else None,
        )
        for _, one in scene.settlements
    ]
