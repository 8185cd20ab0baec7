"""What a meeting pack says of confirmed changes: figures without words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from flycam.catalog.records import LayerRecord
from flycam.frame.specialist import LayerKind, is_stale
from flycam.pipeline.change.commune_impact import impact_by_commune
from flycam.pipeline.change.touched_things import Count, Touched
from flycam.pipeline.national import national_place
from flycam.pipeline.pack.scene import PackPatch, PackScene
from flycam.pipeline.workspace import Workspace
from flycam.report.pack_figures import (
    Counts,
    PackChange,
    PackCount,
    PackLayer,
    PackRoad,
    PackSettlement,
    PackTouched,
    PackTroubles,
)


def changes_of(workspace: Workspace, scene: PackScene) -> list[PackChange]:
    """Confirmed changes of a scene, numbered as they are there."""
    now_ns = workspace.clock_ns()
    return [_change(workspace, number, patch, now_ns) for number, patch in enumerate(scene.patches, 1)]


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


def _change(workspace: Workspace, number: int, patch: PackPatch, now_ns: int) -> PackChange:
    impact, point = patch.impact, patch.shape.representative_point()
    place = national_place(workspace.catalog.boundaries, point.x, point.y)
    return PackChange(
        number=number,
        kind=impact.line.kind,
        area_m2=impact.line.area_m2,
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
