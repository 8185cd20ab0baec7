"""Settlements of an event: who was said to be cut off or reachable, and what the cut roads propose.

    settlement layers ─ road layers, noded, cut by confirmed slides and floods ─ what the roads say of each
    what people said in the catalogue ─ that holds; without it: unknown

A settlement is known again by its layer, its name and its place. The machine proposes that one is isolated,
never that one is reachable: of roads that nobody flew over nothing is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from flycam.analysis.road_graph import RoadNet, build_road_net, find_road_access
from flycam.catalog.access_policy import UNRESTRICTED, AccessPolicy
from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.records import AuditEntry, LayerRecord
from flycam.catalog.settlements import SettlementVersion
from flycam.errors import InputUnusable, NotFound, StoreConflict
from flycam.frame.change import ROAD_CUTTING_KINDS, ChangeStatus
from flycam.frame.classification import Classification, find_strictest
from flycam.frame.flight import Event
from flycam.frame.settlement import Access, RoadStatus
from flycam.frame.specialist_layer import LayerKind
from flycam.geodata.crs import WGS84, choose_work_crs, make_point_transform
from flycam.geodata.layer_file import MAX_FEATURES
from flycam.messages import _
from flycam.pipeline.mark_edits import validate_note
from flycam.pipeline.workspace import Workspace

REACH_M = 200.0
"""A road this near to a settlement is taken to reach it, where nobody says otherwise."""

MAX_REACH_M = 5000.0
_DECIMALS = 5  # a metre: the same place again


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """How a settlement stands in an event.

    shape       a point, WGS 84 degrees; commune "" where no boundary is known
    road_evidence  by the confirmed changes of now
    line        what a person said last; None: nobody has, and unknown holds
    is_from_layer  whether a layer has it still
    """

    settlement_id: str
    name: str
    shape: BaseGeometry
    commune: str
    commune_name: str
    road_evidence: RoadStatus
    line: SettlementVersion | None
    is_from_layer: bool = True

    @property
    def access(self) -> Access:
        return self.line.access if self.line else Access.UNKNOWN

    @property
    def is_proposed(self) -> bool:
        """Whether the roads propose what nobody has said yet, or has said only before they were cut."""
        if self.road_evidence.proposed_access in (Access.UNKNOWN, self.access):
            return False
        was_proposed = (
            self.line is not None
            and self.line.roads_said.proposed_access is self.road_evidence.proposed_access
        )
        return self.access is Access.UNKNOWN or not was_proposed


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessReport:
    """What somebody says. settlement: id, or a name that only one has; based_on: the version that was seen, 0
    where nobody had said anything, None: whatever it is."""

    event: str
    settlement: str
    access: Access
    note: str = ""
    based_on: int | None = None


def list_event_settlements(
    workspace: Workspace,
    event: Event,
    reach_m: float = REACH_M,
    until_ns: int | None = None,
    withholding: AccessPolicy = UNRESTRICTED,
) -> list[Settlement]:
    """Settlements of all layers, and others of which something was said: those proposed to be isolated first
    (again where a road was cut since somebody called them reachable), then those said to be; by commune and
    name. Without those of layers that are withheld, and elsewhere than in the communes of whoever asks; roads
    and changes count also where they are.

    Raises InputUnusable for a reach that is none, or beyond `MAX_REACH_M`.
    """
    if not 0.0 < reach_m <= MAX_REACH_M:
        raise InputUnusable(
            _(
                "reach {reach_m:g}: give metres up to {most_reach_m:.0f}",
                reach_m=reach_m,
                most_reach_m=MAX_REACH_M,
            )
        )
    said = {
        line.settlement_id: line for line in workspace.catalog.settlements.current(event.event_id, until_ns)
    }
    layers = _layers(workspace, LayerKind.SETTLEMENT)
    places = _places(workspace, layers)
    confirmed = [
        line
        for line in workspace.catalog.changes.current(
            event.event_id, statuses=[ChangeStatus.ACCEPTED], until_ns=until_ns
        )
        if line.kind in ROAD_CUTTING_KINDS
    ]
    roads = _evaluate_roads(workspace, list(places.values()), confirmed, reach_m)
    found = [
        (one, name, shape, says, True)
        for (one, (name, shape)), says in zip(places.items(), roads, strict=True)
    ]
    gone = [line for one, line in said.items() if one not in places]
    found += [
        (line.settlement_id, line.name, shapely.from_wkb(line.wkb), RoadStatus.NO_LAYER, False)
        for line in gone
    ]
    homes = _homes(workspace, [shape for _, _, shape, _, _ in found], is_drill=event.is_drill)
    all_of = [
        Settlement(
            settlement_id=one,
            name=name,
            shape=shape,
            commune=code,
            commune_name=commune,
            road_evidence=says,
            line=said.get(one),
            is_from_layer=is_layers,
        )
        for (one, name, shape, says, is_layers), (code, commune) in zip(found, homes, strict=True)
    ]
    is_seen = _is_seen(workspace, withholding)
    mine = [one for one in all_of if is_seen(one.settlement_id, one.name, one.shape)]
    return sorted(mine, key=_urgency)


def list_access_history(
    workspace: Workspace, event: Event, settlement_id: str, withholding: AccessPolicy = UNRESTRICTED
) -> list[SettlementVersion]:
    """All that was said of a settlement in an event, the first first; without what is withheld."""
    is_seen = _is_seen(workspace, withholding)
    return [
        line
        for line in workspace.catalog.settlements.history(event.event_id, settlement_id)
        if is_seen(line.settlement_id, line.name, shapely.from_wkb(line.wkb))
    ]


def get_settlement_classification(one: Settlement, levels: Mapping[str, Classification]) -> Classification:
    """The level of the layer that a settlement is of, also of a layer that was removed; levels: by id."""
    return find_strictest(
        level
        for layer_id, level in levels.items()
        if level is not Classification.OPEN and _id_of(layer_id, one.name, one.shape) == one.settlement_id
    )


def report_access(
    workspace: Workspace, report: AccessReport, who: str, withholding: AccessPolicy = UNRESTRICTED
) -> SettlementVersion:
    """Write what a person says of a settlement. The same said again by the same person changes nothing.

    withholding: what is withheld from that person, to whom such a settlement is as one that is not there.

    Raises NotFound (event, settlement), InputUnusable (a name that several have), StoreConflict (somebody
    else said something since it was seen).
    """
    event = workspace.catalog.flights.event(report.event)
    one = _named(list_event_settlements(workspace, event, withholding=withholding), report.settlement)
    note = validate_note(report.note)
    last = one.line
    is_same = last and (last.access, last.note, last.author) == (report.access, note, who)
    if last and is_same and not one.is_proposed:  # said again past a road that was cut since, it is news
        return last
    version = last.version if last else 0
    if report.based_on is not None and report.based_on != version:
        raise StoreConflict(
            _("{name}: somebody said something of this settlement meanwhile; look at it again", name=one.name)
        )
    at_ns = workspace.clock_ns()
    west, south, east, north = (float(side) for side in one.shape.bounds)
    line = SettlementVersion(
        event_id=event.event_id,
        settlement_id=one.settlement_id,
        version=version + 1,
        name=one.name,
        access=report.access,
        roads_said=one.road_evidence,
        note=note,
        author=who,
        at_ns=at_ns,
        wkb=shapely.to_wkb(one.shape),
        bounds_lonlat_deg=(west, south, east, north),
    )
    detail = f"{line.name}: {line.access}, roads say {line.roads_said}, version {line.version}"
    detail += f": {note}" if note else ""
    told = AuditEntry(who=who, what="settlement", subject=line.settlement_id, detail=detail, at_ns=at_ns)
    workspace.catalog.settlements.append(line, told)
    return line


def _urgency(one: Settlement) -> tuple[int, str, str, str]:
    isolated = one.access is Access.ISOLATED
    rank = 0 if one.is_proposed else 1 if isolated else 2 if one.access is Access.UNKNOWN else 3
    return rank, one.commune_name, one.name, one.settlement_id


def _places(workspace: Workspace, layers: Sequence[LayerRecord]) -> dict[str, tuple[str, BaseGeometry]]:
    """Name and place (a point) of every settlement of these layers, by id."""
    found: dict[str, tuple[str, BaseGeometry]] = {}
    for layer in layers:
        for thing in workspace.catalog.layers.features(layer.layer_id, None, MAX_FEATURES)[0]:
            point = shapely.point_on_surface(shapely.from_wkb(thing.wkb))
            name = thing.name or f"{layer.name} #{thing.number + 1}"
            found.setdefault(_id_of(layer.layer_id, name, point), (name, point))
    return found


def _id_of(layer_id: str, name: str, point: BaseGeometry) -> str:
    said = f"{layer_id}\n{name}\n{point.x:.{_DECIMALS}f} {point.y:.{_DECIMALS}f}"
    return f"settlement-{hashlib.sha256(said.encode()).hexdigest()[:24]}"


def _is_seen(workspace: Workspace, withholding: AccessPolicy) -> Callable[[str, str, BaseGeometry], bool]:
    """Whether somebody may know of a settlement (id, name, place).

    A place that its layer has no longer is still known to be that layer's by its id. From whom any layer is
    withheld, also one that was removed, only what shows to be of a layer that is not is told.
    """
    open_layers = [one for one in workspace.catalog.layers.all() if not withholding.hides_layer(one.layer_id)]

    def is_seen(settlement_id: str, name: str, shape: BaseGeometry) -> bool:
        if withholding.is_outside(shapely.to_wkb(shape)):
            return False
        if not withholding.hides_layers:
            return True
        return any(_id_of(layer.layer_id, name, shape) == settlement_id for layer in open_layers)

    return is_seen


def _layers(workspace: Workspace, kind: LayerKind) -> list[LayerRecord]:
    return [layer for layer in workspace.catalog.layers.all() if layer.kind is kind]


def _evaluate_roads(
    workspace: Workspace,
    places: Sequence[tuple[str, BaseGeometry]],
    confirmed: Sequence[ChangeVersion],
    reach_m: float,
) -> list[RoadStatus]:
    """Of each place, in the metres of the zone in the middle of them."""
    if not places:
        return []
    points = np.array([shape for _, shape in places], dtype=object)
    west, south, east, north = shapely.total_bounds(points).tolist()
    crs = choose_work_crs((west + east) / 2.0, (south + north) / 2.0)
    layers = _layers(workspace, LayerKind.ROAD)
    read = tuple((layer.layer_id, layer.refreshed_ns) for layer in layers)
    net = _net(_Net(place=workspace.catalog.place, layers=read, crs=crs, workspace=workspace))
    if not len(net.pieces):
        return [RoadStatus.NO_LAYER] * len(places)
    cuts = shapely.from_wkb(np.array([line.wkb for line in confirmed], dtype=object))
    onto = make_point_transform(WGS84, crs)
    flat_cuts, flat_points = (shapely.transform(shapes, onto) for shapes in (cuts, points))
    found = find_road_access(net, shapely.make_valid(flat_cuts), flat_points, reach_m)
    return [
        RoadStatus.NO_ROAD
        if not has_road
        else RoadStatus.NOT_JOINED
        if not before
        else RoadStatus.JOINED
        if after
        else RoadStatus.CUT_OFF
        for has_road, before, after in zip(
            found.has_road.tolist(), found.before.tolist(), found.after.tolist(), strict=True
        )
    ]


@dataclass(frozen=True, kw_only=True)
class _Net:
    """Which net of roads: of these layers of a catalogue, each as it was read at a time."""

    place: str
    layers: tuple[tuple[str, int], ...]
    crs: str
    workspace: Workspace = field(compare=False)


@lru_cache(maxsize=2)
def _net(key: _Net) -> RoadNet:
    """Roads that are drawn as areas join nothing. Kept, for a province's net takes seconds to make."""
    wkbs = [
        thing.wkb
        for layer_id, _ in key.layers
        for thing in key.workspace.catalog.layers.features(layer_id, None, MAX_FEATURES)[0]
    ]
    shapes = shapely.from_wkb(np.array(wkbs, dtype=object))
    lines = shapes[shapely.get_dimensions(shapes) == 1]
    return build_road_net(shapely.transform(lines, make_point_transform(WGS84, key.crs)))


def _homes(workspace: Workspace, points: Sequence[BaseGeometry], *, is_drill: bool) -> list[tuple[str, str]]:
    """Code and name of the commune of each point; empty where none is known."""
    homes = [("", "")] * len(points)
    if not points:
        return homes
    shapes = np.array(points, dtype=object)
    west, south, east, north = shapely.total_bounds(shapes).tolist()
    bounds = (west, south, east, north)
    communes = workspace.catalog.boundaries.list_countable(is_drill=is_drill, bounds=bounds)
    if communes:
        tree = shapely.STRtree(shapely.from_wkb(np.array([one.wkb for one in communes], dtype=object)))
        for place, holder in zip(
            *(n.tolist() for n in tree.query(shapes, predicate="intersects")), strict=True
        ):
            homes[place] = communes[holder].code, communes[holder].name
    return homes


def _named(settlements: Sequence[Settlement], ref: str) -> Settlement:
    """By id, or by a name that only one has."""
    found = [one for one in settlements if one.settlement_id == ref]
    found = found or [one for one in settlements if one.name == ref]
    if not found:
        raise NotFound(_("{ref}: there is no such settlement; see 'flycam settlements list'", ref=ref[:60]))
    if len(found) > 1:
        ids = ", ".join(f"{one.settlement_id} ({one.commune_name or '?'})" for one in found[:5])
        raise InputUnusable(
            _("{ref}: several settlements are called so; give one's id: {ids}", ref=ref[:60], ids=ids)
        )
    return found[0]
