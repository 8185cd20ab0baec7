"""Laying a flight again, on terrain that came after it.

A published map does not move by itself: only where terrain is known now that was not, and no ground is lost
by it, is a flight laid again without being asked. Whatever else is better for some reason (a finer model, a
partial one) waits for the operator's word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flycam.catalog.placement_rows import SET_ASIDE
from flycam.catalog.records import FrameRecord, FrameStatus
from flycam.errors import FrameRejected, InputUnusable
from flycam.frame.flight import is_plane
from flycam.frame.frame import FrameHeader, Layer
from flycam.frame.terraincodec import made_of
from flycam.frame.warning import (
    FINISHED_OLDER,
    RELAID,
    RELAID_FLAT,
    SET_ASIDE_FRAMES,
    TERRAIN_WAITS,
    warning,
)
from flycam.geometry.grid import TileRange
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.doctor.diagnosis import Rejection
from flycam.messages import _
from flycam.mosaic.mending import DAMAGE
from flycam.pipeline.laying.planning import Planned, frame_record
from flycam.pipeline.laying.redacting import settle_masked_ground
from flycam.pipeline.laying.refolding import live_mosaics
from flycam.pipeline.terrain import Floats, recorded_terrain, unknown_share
from flycam.pipeline.workspace import Workspace

_MATTERS = 0.005
"""Share of the photographed ground below which more or less known terrain is no reason for anything."""

_POSE_REASONS = frozenset({"pose_rejected", "no_height", "horizon_in_view", "outside_terrain"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Relay:
    """Which frames of a flight are to be laid again.

    frames  records as they are to be
    aside   frames on the map that see no known ground any more, as they are to be
    notes   what is to be said about it, as `flycam.frame.warning` keeps it
    held    frames set aside before that stay so
    moved   records as they are to be of frames that only change their layer (`flycam.pipeline.laying.moving`)
    movers  ids of all frames that change it
    """

    frames: tuple[FrameRecord, ...] = ()
    aside: tuple[FrameRecord, ...] = ()
    notes: tuple[str, ...] = ()
    held: frozenset[str] = field(default_factory=frozenset)
    moved: tuple[FrameRecord, ...] = ()
    movers: frozenset[str] = field(default_factory=frozenset)

    @property
    def is_due(self) -> bool:
        return bool(self.frames or self.aside)

    @property
    def frame_ids(self) -> frozenset[str]:
        return frozenset(record.frame_id for record in (*self.frames, *self.aside))

    def tiles(self, layer: Layer) -> list[TileRange]:
        """Where frames of a layer come to lie."""
        laid = (*self.frames, *self.moved)
        return [r.tiles for r in laid if r.tiles is not None and r.header.layer == layer]


NO_RELAY = Relay()


def plan_relay(
    workspace: Workspace,
    flight_id: str,
    rejected: Sequence[Rejection],
    planned: Sequence[Planned],
    refused: Iterable[tuple[FrameHeader, FrameRejected]],
    terrain: TerrainGrid,
    terrain_names: str,
    *,
    asked: bool = False,
) -> Relay:
    """Which frames of a flight on the map are to be laid again on `terrain`; reads only.

    Without being asked: those on a plane where there is terrain now, those on terrain with holes where there
    are fewer now; all of the run or none, and none if ground or frames would be lost by it. Raises
    InputUnusable if asked to lay frames off their terrain onto a plane.

    rejected  what the doctor left out of this run; refused  frames that see no ground, each with its error
    """
    records = {one.frame_id: one for one in workspace.catalog.frames.of_flight(flight_id)}
    views = {frame.header.frame_id: frame for frame in planned}
    on_map = [one for one in records.values() if one.status is FrameStatus.USED]
    here = [one for one in on_map if one.frame_id in views]
    back = [one for one in records.values() if one.reason == SET_ASIDE and one.frame_id in views]
    held = frozenset(one.frame_id for one in back)
    lost = _lost(on_map, views, rejected, refused)
    lies_so = {made_of(str(one.dem_id)) for one in here} == {terrain.dem_id}
    if not (here or back) or (not asked and not back and lies_so):
        return Relay(held=held)
    gain = _gain(workspace, here, views, terrain)
    if asked:
        _refuse_plane(here, terrain)
    elif not gain.is_better and not back:
        return Relay(held=held)
    elif lost or gain.loses:
        waits = warning(
            TERRAIN_WAITS, files=terrain_names, percent=round(100 * (1 - gain.unknown)), lost=len(lost)
        )
        return Relay(notes=(waits,), held=held)
    new = _laid_again(workspace, flight_id, [*here, *back], views, terrain.dem_id)
    frames = tuple(one for one in new if _differ(records[one.frame_id], one))
    aside = tuple(_set_aside(one, lost[one.frame_id]) for one in on_map if one.frame_id in lost)
    shown = [one.revision for one in workspace.catalog.tiles.mosaics(flight_id) if one.published]
    return Relay(frames=frames, aside=aside, notes=tuple(_said(frames, aside, terrain_names, max(shown))))


def _laid_again(
    workspace: Workspace,
    flight_id: str,
    records: Sequence[FrameRecord],
    views: Mapping[str, Planned],
    dem_id: str,
) -> list[FrameRecord]:
    """The frames as they are laid today, each in the layer that it was laid in first."""
    zooms = {mosaic.layer: mosaic.base_zoom for mosaic in live_mosaics(workspace, flight_id)}
    work_crs = workspace.catalog.flights.flight(flight_id).work_crs
    new = []
    for record in records:
        layer = record.header.layer
        laid = frame_record(views[record.frame_id], flight_id, work_crs, zooms[layer], dem_id)
        new.append(replace(laid, header=replace(laid.header, layer=layer)))
    return new


def carry_out(
    workspace: Workspace, flight_id: str, relay: Relay, at_ns: int, reason: str | None = None
) -> None:
    """Record what was planned, with its trace; the tiles are refolded by whoever reads the amendments.

    reason  why; None: for the terrain that they lie on then
    """
    if not relay.is_due:
        return
    who = workspace.operator or workspace.box
    if reason is None:
        terrain = ", ".join(sorted({str(record.dem_id) for record in relay.frames}))
        reason = f"re-laid on terrain {terrain}"
    workspace.catalog.placements.supersede([*relay.frames, *relay.aside], reason, who, at_ns)
    settle_masked_ground(workspace)
    said = f"{len(relay.frames)} frames {reason}, {len(relay.aside)} set aside"
    workspace.catalog.audit.append(who, "relay", flight_id, said, at_ns=at_ns)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gain:
    """is_better: ground is known now that was not; loses: some of it is not known any more.

    unknown  share of the photographed ground that the terrain of today does not know
    """

    is_better: bool
    loses: bool
    unknown: float


def _gain(
    workspace: Workspace,
    frames: Sequence[FrameRecord],
    views: Mapping[str, Planned],
    terrain: TerrainGrid,
) -> _Gain:
    outlines = {one.frame_id: views[one.frame_id].view.footprint.polygon_m for one in frames}
    after = unknown_share(terrain, list(outlines.values())) if outlines else 0.0
    on_plane = [one for one in frames if _is_on_plane(one)]
    by_terrain: dict[str, list[str]] = {}
    for one in frames:
        if not _is_on_plane(one):
            by_terrain.setdefault(made_of(str(one.dem_id)), []).append(one.frame_id)
    before = 0.0
    for dem_id, ids in by_terrain.items():
        before += len(ids) / len(frames) * _unknown_on(workspace, dem_id, [outlines[i] for i in ids])
    is_real = not is_plane(terrain.vertical_datum)
    return _Gain(
        is_better=is_real and (bool(on_plane) or before - after > _MATTERS),
        loses=after - before > _MATTERS,
        unknown=after,
    )


def _unknown_on(workspace: Workspace, dem_id: str, outlines: Sequence[Floats]) -> float:
    try:
        return unknown_share(recorded_terrain(workspace, dem_id), outlines)
    except DAMAGE:
        return 1.0  # frames on terrain that is lost cannot be folded again; on another they can


def _lost(
    on_map: Iterable[FrameRecord],
    views: Mapping[str, Planned],
    rejected: Iterable[Rejection],
    refused: Iterable[tuple[FrameHeader, FrameRejected]],
) -> dict[str, str]:
    """Frames of this run that are on the map and cannot be laid now, with the reason."""
    by_id = {header.frame_id: str(error) for header, error in refused}
    by_name = {one.name: one.message for one in rejected if one.reason in _POSE_REASONS}
    found = {}
    for record in on_map:
        why = by_id.get(record.frame_id) or by_name.get(record.header.provenance.source_name)
        if why is not None and record.frame_id not in views:
            found[record.frame_id] = why
    return found


def _refuse_plane(frames: Iterable[FrameRecord], terrain: TerrainGrid) -> None:
    if is_plane(terrain.vertical_datum) and not all(_is_on_plane(one) for one in frames):
        raise InputUnusable(
            _(
                "--relay: no terrain is registered under this flight now, and it lies on "
                "terrain that was; add it with 'flycam dem add FILE' and run again, or leave "
                "the flight as it lies"
            )
        )


def _is_on_plane(record: FrameRecord) -> bool:
    return record.exterior is not None and is_plane(record.exterior.vertical_datum)


def _differ(before: FrameRecord, after: FrameRecord) -> bool:
    """Whether camera, pose or terrain are others than before, whatever the version."""
    if before.exterior is None or after.exterior is None:
        return before.exterior is not after.exterior
    unversioned = replace(before.exterior, version=after.exterior.version)
    return (unversioned, before.dem_id, before.header.interior) != (
        after.exterior,
        after.dem_id,
        after.header.interior,
    )


def _set_aside(record: FrameRecord, why: str) -> FrameRecord:
    return replace(
        record,
        status=FrameStatus.REJECTED,
        reason=SET_ASIDE,
        message=why,
        exterior=None,
        dem_id=None,
        footprint_wkb=None,
        gsd_m=None,
        tiles=None,
    )


def _said(
    frames: Sequence[FrameRecord], aside: Sequence[FrameRecord], names: str, on_show: int
) -> Iterable[str]:
    if frames:
        on = warning(RELAID, frames=len(frames), files=names) if names else None
        yield on or warning(RELAID_FLAT, frames=len(frames))
    if aside:
        names = ", ".join(record.header.provenance.source_name for record in aside)
        yield warning(SET_ASIDE_FRAMES, frames=len(aside), names=names)
    if on_show > 0 and (frames or aside):
        yield warning(FINISHED_OLDER, revision=on_show)
