"""Edits of a recorded flight: moved photos, another event, a new name.

Photos are moved to another layer by the operator, such as misread infrared. A move is an amendment (decision
0010): each frame gets a placement in the other layer, with its pose and terrain. The tiles that it leaves and
those that it enters are rebuilt; finished revisions that hold it are retired, and a mosaic that is left
without a frame is hidden.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from flycam.catalog.flights import format_finish_lock
from flycam.catalog.retention import select_active_holds
from flycam.errors import AccessDenied, FlightBoundToEvent, FlightBusy
from flycam.geometry.grid import TileRange, find_range_for_bounds, get_range_bounds
from flycam.messages import _
from flycam.model.flight import Event, Flight, FlightState
from flycam.model.layer import LAYER_NAMES, Layer
from flycam.model.records import AuditEntry, FrameRecord, FrameStatus, MosaicInfo
from flycam.model.text import validate_name
from flycam.model.warning import LAYER_MOVED, encode_warning
from flycam.mosaic.orthorectify.flight_session import MIN_ZOOM, resolve_flight_event
from flycam.mosaic.orthorectify.frame_plan import FrameFootprint
from flycam.mosaic.orthorectify.rebuild import list_live_mosaics
from flycam.mosaic.orthorectify.reprocess import ReprocessPlan
from flycam.mosaic.orthorectify.withdrawal import drop_retired_reports
from flycam.mosaic.redaction import update_redaction_footprints
from flycam.workspace import Workspace

# -- Reassignment of a flight to another event -----------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightReassignment:
    """A flight after the move, with its events.

    `former` equals `event` if it was there already.
    """

    flight: Flight
    former: Event
    event: Event


def move_flight(
    workspace: Workspace, ref: str, event: str, who: str, *, only_of: str | None = None
) -> FlightReassignment:
    """Move a flight (id or name) into another event (id or name).

    An unknown name begins an event. Only the flight is moved. Marks, changes and places of a meeting under
    the former event belong to that event and stay; other nodes keep the event under which they have the
    flight.

    only_of  the operator whose flights the caller may move; None: everybody's

    Raises NotFound; InputUnusable for no name; NameTaken where an exercise and a real event would mix;
    FlightBusy while it is ingested, finished, in the air, or in a briefing pack that is being made;
    FlightBoundToEvent where it was compared under its event, or that event is held and the flight is not;
    AccessDenied.
    """
    flights = workspace.catalog.flights
    name = validate_name(event)
    flight_id = flights.flight(ref).flight_id
    # against an ingest and a finish of this flight
    with flights.lock(flight_id), flights.lock(format_finish_lock(flight_id)):
        flight = flights.flight(flight_id)
        former = flights.event(flight.event_id)
        _require_own(flight, only_of)
        if name in (former.event_id, former.name):
            return FlightReassignment(flight=flight, former=former, event=former)
        _require_orthorectified(flight)
        _require_no_pack(workspace, flight)
        _require_not_compared(workspace, flight, former)
        _require_not_held(workspace, flight, former)
        found = resolve_flight_event(workspace, name, is_drill=former.is_drill)
        entry = AuditEntry(
            who=who,
            what="flight moved",
            subject=flight_id,
            detail=f"{flight.name}: {_both(former)} -> {_both(found)}",
            at_ns=workspace.clock_ns(),
        )
        moved = flights.move(flight_id, found.event_id, entry)
    return FlightReassignment(flight=moved, former=former, event=found)


def _both(event: Event) -> str:
    return f"{event.name} ({event.event_id})"


def _require_own(flight: Flight, only_of: str | None) -> None:
    if only_of is not None and flight.operator != only_of:
        raise AccessDenied(
            _(
                "{name}: another operator brought this flight; ask them, an analyst or an "
                "administrator to move it",
                name=flight.name,
            )
        )


def _require_orthorectified(flight: Flight) -> None:
    if flight.state is FlightState.INGESTING:
        raise FlightBusy(
            _(
                "{name}: is in the air or not wholly on the map yet; move it when that is done",
                name=flight.name,
            )
        )


def _require_no_pack(workspace: Workspace, flight: Flight) -> None:
    packs = workspace.catalog.packs.all()
    if any(one.is_pending and flight.flight_id in one.flights_seen for one in packs):
        raise FlightBusy(
            _(
                "{name}: a meeting pack that shows it is being made; move it when the pack is there",
                name=flight.name,
            )
        )


def _require_not_compared(workspace: Workspace, flight: Flight, event: Event) -> None:
    """Raise FlightBoundToEvent if the flight was compared under its event.

    What was found, or not found, is recorded for that event, and signed: it cannot move with the flight, and
    would stay behind without its images.
    """
    catalog = workspace.catalog
    own = {one.mosaic_id for one in catalog.tiles.mosaics(flight.flight_id)}
    compared = [one.mosaics for one in catalog.comparisons.list_for_event(event.event_id)]
    compared += [one.mosaics for one in catalog.changes.current(event.event_id)]
    if any(own.intersection(mosaics) for mosaics in compared):
        raise FlightBoundToEvent(
            _(
                "{name}: changes were looked for on it in the event {event_name}, and what "
                "was found and decided stays there: the flight stays too. To have its "
                "changes in another event, compare it again for that event",
                name=flight.name,
                event_name=event.name,
            )
        )


def _require_not_held(workspace: Workspace, flight: Flight, event: Event) -> None:
    """Raise FlightBoundToEvent if only the event is held.

    Its hold covers the originals of its flights: one that leaves it would be held no more.
    """
    retention = workspace.catalog.retention
    held = {one.subject for one in select_active_holds(retention.holds([flight.flight_id, event.event_id]))}
    if event.event_id in held and flight.flight_id not in held:
        raise FlightBoundToEvent(
            _(
                "{name}: the event {event_name} is held (its originals may not be deleted), "
                "which would no longer hold this flight; an administrator holds the flight "
                "itself first",
                name=flight.name,
                event_name=event.name,
            )
        )


# -- Renaming of a flight --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightRename:
    """A flight after the renaming, and its former name, which may be the same."""

    flight: Flight
    former: str


def rename_flight(workspace: Workspace, ref: str, name: str, who: str) -> FlightRename:
    """Rename a flight (id or name), with an entry in the audit log.

    Raises NotFound; InputUnusable for no name; NameTaken where another flight has it; FlightBusy while it is
    ingested, finished or in the air.
    """
    flights = workspace.catalog.flights
    called = validate_name(name)
    flight_id = flights.flight(ref).flight_id
    # against an ingest and a finish of this flight
    with flights.lock(flight_id), flights.lock(format_finish_lock(flight_id)):
        flight = flights.flight(flight_id)
        if flight.name == called:
            return FlightRename(flight=flight, former=called)
        entry = AuditEntry(
            who=who,
            what="flight renamed",
            subject=flight_id,
            detail=f"{flight.name} -> {called}",
            at_ns=workspace.clock_ns(),
        )
        return FlightRename(flight=flights.rename(flight_id, called, entry), former=flight.name)


# -- Photos moved to another layer -----------------------------------------------------------------


def plan_layer_moves(
    workspace: Workspace, flight_id: str, planned: Sequence[FrameFootprint], reprocess: ReprocessPlan
) -> ReprocessPlan:
    """Add the frames planned in another layer to the reprocess plan; reads only.

    A frame that is reprocessed on other terrain too has both in one placement.
    """
    wanted = {frame.header.frame_id: frame.header.layer for frame in planned}
    reprocessed = {record.frame_id: record for record in reprocess.frames}
    on_map = workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    recorded = {record.frame_id: record for record in on_map} | reprocessed
    zooms = _base_zooms(workspace, flight_id)
    moved = {
        frame_id: _in_layer(record, wanted[frame_id], zooms)
        for frame_id, record in recorded.items()
        if wanted.get(frame_id, record.header.layer) is not record.header.layer
    }
    if not moved:
        return reprocess
    directions = Counter((recorded[frame_id].header.layer, wanted[frame_id]) for frame_id in moved)
    return replace(
        reprocess,
        frames=tuple(moved.get(record.frame_id, record) for record in reprocess.frames),
        moved=tuple(record for frame_id, record in moved.items() if frame_id not in reprocessed),
        notes=(*reprocess.notes, *(_describe_move(count, *way) for way, count in sorted(directions.items()))),
        moved_ids=frozenset(moved),
    )


def open_target_mosaics(workspace: Workspace, flight: Flight, reprocess: ReprocessPlan) -> None:
    """Open the mosaics that frames are moved to, before any frame is recorded there."""
    zooms = _base_zooms(workspace, flight.flight_id)
    records = [
        record for record in (*reprocess.frames, *reprocess.moved) if record.frame_id in reprocess.moved_ids
    ]
    for layer in sorted({record.header.layer for record in records} - zooms.keys()):
        workspace.catalog.tiles.put_mosaic(
            MosaicInfo(
                mosaic_id=f"{flight.flight_id}-{layer.value}",
                flight_id=flight.flight_id,
                layer=layer,
                base_zoom=_zoom_for(layer, zooms),
                min_zoom=MIN_ZOOM,
            )
        )


def apply_layer_moves(workspace: Workspace, flight_id: str, reprocess: ReprocessPlan, at_ns: int) -> None:
    """Record the moves, and retire finished revisions that hold a moved frame.

    With an entry in the audit log.
    """
    if not reprocess.moved_ids:
        return
    who = workspace.operator or workspace.box
    records = [
        record for record in (*reprocess.frames, *reprocess.moved) if record.frame_id in reprocess.moved_ids
    ]
    layers = ", ".join(sorted({record.header.layer.value for record in records}))
    reason = f"moved to layer {layers}"
    if reprocess.moved:
        workspace.catalog.placements.supersede(reprocess.moved, reason, who, at_ns)
        update_redaction_footprints(workspace)
    retired = workspace.catalog.revisions.retire_holding(sorted(reprocess.moved_ids), f"{reason} ({who})")
    details = f"{len(reprocess.moved_ids)} frames {reason}"
    if retired:
        details += "; retired " + ", ".join(f"{one.mosaic_id} revision {one.revision}" for one in retired)
    workspace.catalog.audit.append(who, "layer", flight_id, details, at_ns=at_ns)
    drop_retired_reports(workspace, flight_id)


def update_visible_layers(workspace: Workspace, flight_id: str) -> None:
    """Hide mosaics without frames, and publish those that frames came back to."""
    tiles = workspace.catalog.tiles
    used = {one.header.layer for one in workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)}
    shown = {mosaic.mosaic_id for mosaic in tiles.mosaics(flight_id) if mosaic.published}
    for mosaic in list_live_mosaics(workspace, flight_id):
        if mosaic.layer in used and mosaic.mosaic_id not in shown:
            tiles.publish(mosaic.mosaic_id, mosaic.revision)
        elif used and mosaic.layer not in used and mosaic.mosaic_id in shown:
            tiles.hide(mosaic.mosaic_id)


def _base_zooms(workspace: Workspace, flight_id: str) -> dict[Layer, int]:
    return {mosaic.layer: mosaic.base_zoom for mosaic in list_live_mosaics(workspace, flight_id)}


def _zoom_for(layer: Layer, zooms: dict[Layer, int]) -> int:
    """Return the base zoom of a layer's mosaic.

    A new one takes the finest of the flight's others.
    """
    return zooms[layer] if layer in zooms else max(zooms.values())


def _in_layer(record: FrameRecord, layer: Layer, zooms: dict[Layer, int]) -> FrameRecord:
    tiles = record.tiles
    if tiles is not None:
        tiles = _at_zoom(tiles, _zoom_for(layer, zooms))
    return replace(record, header=replace(record.header, layer=layer), tiles=tiles)


def _at_zoom(tiles: TileRange, zoom: int) -> TileRange:
    """Return the tiles of another zoom over the same ground."""
    return tiles if tiles.z == zoom else find_range_for_bounds(zoom, get_range_bounds(tiles))


def _describe_move(count: int, before: Layer, after: Layer) -> str:
    return encode_warning(
        LAYER_MOVED,
        frames=count,
        before=before.value,
        after=after.value,
        before_vi=LAYER_NAMES[before].in_language("vi"),
        after_vi=LAYER_NAMES[after].in_language("vi"),
    )
