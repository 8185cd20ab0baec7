"""Amendments of a recorded flight: withdrawal, reprocessing, another layer, event or name.

An amendment is recorded first, then the tiles that its frames touched are rebuilt (decision 0010). If it is
killed, the same command completes it: tiles whose epoch does not match what is recorded are found, and
rebuilt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from flycam.catalog.catalog import Catalog
from flycam.catalog.flights import SET_ASIDE_REASON, format_finish_lock, was_orthorectified
from flycam.catalog.peers import ClaimKind
from flycam.catalog.retention import select_active_holds
from flycam.errors import AccessDenied, FlightBoundToEvent, FlightBusy, FrameRejected, InputUnusable, NotFound
from flycam.geometry.grid import TileRange, find_range_for_bounds, get_range_bounds
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import _
from flycam.model.diagnosis import Rejection
from flycam.model.flight import (
    LAYER_NAMES,
    Event,
    Flight,
    FlightState,
    Layer,
    derive_live_mosaic_id,
    is_flat_datum,
)
from flycam.model.frame import FrameHeader
from flycam.model.records import AuditEntry, FrameRecord, FrameStatus, MosaicInfo, RevisionState, Withdrawal
from flycam.model.text import strip_unprintable, to_visible, validate_name
from flycam.model.warning import (
    FINISHED_OLDER,
    FRAMES_SET_ASIDE,
    LAYER_MOVED,
    REPROCESSED,
    REPROCESSED_FLAT,
    TERRAIN_WAITS,
    encode_warning,
)
from flycam.mosaic.coverage import measure_coverage
from flycam.mosaic.orthorectify.flight_session import (
    MIN_ZOOM,
    ReprocessPlan,
    close_flight,
    resolve_flight_event,
)
from flycam.mosaic.orthorectify.rebuild import list_live_mosaics, rebuild_mosaic
from flycam.mosaic.orthorectify.rectification import FrameFootprint, build_frame_record
from flycam.mosaic.redaction import update_redaction_footprints
from flycam.mosaic.terrain import Floats, compute_unknown_share, load_recorded_terrain
from flycam.mosaic.terrain_codec import parse_source_dem_id
from flycam.mosaic.tiles.writer import DAMAGE
from flycam.storage import keys
from flycam.workspace import Progress, Workspace, ignore_progress

# -- Withdrawn times of a live flight's video ------------------------------------------------------


# most by which the times of a frame and its segment differ; frames this near show nearly the same too
_SLACK_NS = 2 * 10**9


@dataclass(frozen=True, slots=True)
class WithdrawnTimes:
    """Withdrawn times of a flight's video.

    is_all    the flight was withdrawn
    times_ns  UTC of its withdrawn frames
    """

    is_all: bool
    times_ns: tuple[int, ...]

    def overlaps(self, began_ns: int, ended_ns: int) -> bool:
        """Return True if video between two times, UTC, shows any of it."""
        return self.is_all or any(began_ns - _SLACK_NS <= at <= ended_ns + _SLACK_NS for at in self.times_ns)


def find_withdrawn_times(catalog: Catalog, flight_id: str) -> WithdrawnTimes:
    """Return the withdrawn times of a flight; none if it is not recorded (yet)."""
    try:
        flight = catalog.flights.flight(flight_id)
    except NotFound:
        return WithdrawnTimes(is_all=False, times_ns=())
    withdrawn = catalog.frames.list_for_flight(flight_id, FrameStatus.WITHDRAWN)
    return WithdrawnTimes(
        is_all=flight.flight_id == flight_id and flight.state is FlightState.WITHDRAWN,
        times_ns=tuple(record.header.captured_ns for record in withdrawn),
    )


# -- Deletion of reports and thumbnails that show withdrawn frames ---------------------------------


def drop_retired_reports(workspace: Workspace, flight_id: str) -> int:
    """Delete reports of a flight's retired revisions; return the number of objects.

    They show what was withdrawn. All retired ones, not only the latest: run again after a crash, it
    completes.
    """
    revisions, dropped = workspace.catalog.revisions, 0
    for mosaic_id in sorted({one.mosaic_id for one in workspace.catalog.tiles.mosaics(flight_id)}):
        for record in revisions.list_for_mosaic(mosaic_id):
            if record.state is RevisionState.RETIRED and record.reports:
                for key in record.reports.values():
                    workspace.store.delete(key)
                    dropped += 1
                revisions.put_reports(mosaic_id, record.revision, {})
    return dropped


def delete_live_thumbnails(workspace: Workspace, flight_id: str) -> None:
    """Delete thumbnails of withdrawn frames: they are copies, not originals."""
    withdrawn = find_withdrawn_times(workspace.catalog, flight_id)
    for key in list(workspace.store.list(keys.format_latest_image_prefix(flight_id))):
        taken_ns = keys.parse_latest_image_ns(key)
        if withdrawn.overlaps(taken_ns, taken_ns):
            workspace.store.delete(key)


# -- Withdrawal of a flight or a frame -------------------------------------------------------------
#
# Reports of retired revisions and thumbnails of withdrawn frames are deleted with it.


@dataclass(frozen=True, kw_only=True, slots=True)
class WithdrawalReport:
    """Result of a withdrawal.

    frames   newly withdrawn
    tiles    lines appended to the tile log
    retired  finished revisions that held one of them and are no longer shown
    """

    flight: Flight
    frames: int
    tiles: int
    retired: tuple[int, ...] = ()


def withdraw_by_reference(
    workspace: Workspace, ref: str, reason: str, authority: str, progress: Progress = ignore_progress
) -> WithdrawalReport:
    """Withdraw a flight or a frame from every mosaic, with a trace.

    ref: flight id or name, frame id or file name. Raises NotFound, InputUnusable without a reason,
    FlightBusy; StorageFailed (run again: it completes).
    """
    reason, authority = strip_unprintable(reason), strip_unprintable(authority)
    if not reason:
        raise InputUnusable(_("{ref}: a withdrawal needs a reason; give it with --reason", ref=ref))
    flight, frames = _find(workspace, ref)
    with workspace.catalog.flights.lock(flight.flight_id):
        now = workspace.clock_ns()
        # recorded first, so that an interrupted withdrawal can be completed
        new = workspace.catalog.frames.withdraw(
            [
                Withdrawal(
                    frame_id=record.frame_id,
                    flight_id=flight.flight_id,
                    reason=reason,
                    authority=authority,
                    withdrawn_ns=now,
                )
                for record in frames
            ]
        )
        frame_ids = [record.frame_id for record in frames]
        # what a peer withdrew before, a person here withdraws now: it stays if the peer is revoked
        workspace.catalog.peers.adopt_claims(ClaimKind.WITHDRAWAL, frame_ids)
        retired = workspace.catalog.revisions.retire_holding(frame_ids, f"{reason} ({authority})")
        details = f"{len(new)} frames: {reason}"
        if retired:
            details += "; retired " + ", ".join(f"{one.mosaic_id} revision {one.revision}" for one in retired)
        workspace.catalog.audit.append(authority, "withdraw", ref, details, at_ns=now)
        drop_retired_reports(workspace, flight.flight_id)
        flight = workspace.catalog.flights.flight(flight.flight_id)
        tiles = _apply_withdrawal(workspace, flight, progress)
        flight = close_flight(workspace, flight, _state_after(workspace, flight))
        delete_live_thumbnails(workspace, flight.flight_id)
    numbers = tuple(sorted({one.revision for one in retired}))
    return WithdrawalReport(flight=flight, frames=len(new), tiles=tiles, retired=numbers)


def _apply_withdrawal(workspace: Workspace, flight: Flight, progress: Progress) -> int:
    """Rebuild touched tiles and measure the rest.

    Returns the number of log lines appended. Damaged tiles that block this are made again first; a withdrawal
    does not look for others.
    """
    mosaics = list_live_mosaics(workspace, flight.flight_id)
    before = sum(workspace.catalog.tiles.last_seq(mosaic.mosaic_id) for mosaic in mosaics)
    try:
        _refold(workspace, flight, progress, check=False)
    # not checked at first: reading every tile takes long, and a withdrawal must be quick (decision 0010)
    except DAMAGE:
        _refold(workspace, flight, progress, check=True)
    return sum(workspace.catalog.tiles.last_seq(mosaic.mosaic_id) for mosaic in mosaics) - before


def _refold(workspace: Workspace, flight: Flight, progress: Progress, *, check: bool) -> None:
    for mosaic in list_live_mosaics(workspace, flight.flight_id):
        rebuild_mosaic(workspace, mosaic, progress, check=check)
    measure_coverage(workspace, flight, progress, changed=True)


def _state_after(workspace: Workspace, flight: Flight) -> FlightState:
    """Return the flight's new state; an interrupted ingest has still to be completed."""
    if not workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED):
        return FlightState.WITHDRAWN
    return FlightState.INGESTING if flight.state is FlightState.INGESTING else FlightState.READY


def _find(workspace: Workspace, ref: str) -> tuple[Flight, list[FrameRecord]]:
    """Find the flight and frames that `ref` names.

    It is a flight id or name, frame id, or photo file name.
    """
    flights, frames = workspace.catalog.flights, workspace.catalog.frames
    try:
        flight = flights.flight(ref)
        return flight, [one for one in frames.list_for_flight(flight.flight_id) if was_orthorectified(one)]
    except NotFound:
        pass
    try:
        record = frames.get(ref)
        return flights.flight(record.flight_id), [record]
    except NotFound:
        pass
    found = [
        (flight, record)
        for flight in flights.flights()
        for record in frames.list_for_flight(flight.flight_id)
        if record.header.provenance.source_name == to_visible(ref)
    ]
    if len(found) == 1:
        return found[0][0], [found[0][1]]
    if found:
        ids = ", ".join(f"{record.frame_id} in {flight.name}" for flight, record in found)
        raise InputUnusable(
            _("{ref}: several flights hold a photo of this name; give the id: {ids}", ref=ref, ids=ids)
        )
    raise NotFound(
        _("{ref}: no flight, frame or photo of this name; see the list of frames on the map", ref=ref)
    )


# -- Reprocessing on terrain that was registered after a flight ------------------------------------
#
# A published map does not move by itself: only where terrain is known now that was not, and no ground is lost
# by it, is a flight reprocessed without a request. Any other improvement (a finer model, a partial one) waits
# for the operator's request.


_MIN_GAIN = 0.005
"""Share of the imaged ground below which more or less known terrain is no reason to act."""

_POSE_REASONS = frozenset({"pose_rejected", "no_height", "horizon_in_view", "outside_terrain"})


def plan_reprocess(
    workspace: Workspace,
    flight_id: str,
    rejected: Sequence[Rejection],
    planned: Sequence[FrameFootprint],
    refused: Iterable[tuple[FrameHeader, FrameRejected]],
    terrain: TerrainGrid,
    terrain_names: str,
    *,
    is_requested: bool = False,
) -> ReprocessPlan:
    """Plan which frames on the map are to be reprocessed on `terrain`; reads only.

    Without a request: those on a plane where there is terrain now, those on terrain with holes where there
    are fewer now; all of the run or none, and none if ground or frames would be lost by it. Raises
    InputUnusable if requested to move frames from terrain onto a plane.

    rejected  frames that the preflight check left out of this run; refused  frames that see no ground, each
      with its error
    """
    records = {one.frame_id: one for one in workspace.catalog.frames.list_for_flight(flight_id)}
    views = {frame.header.frame_id: frame for frame in planned}
    on_map = [one for one in records.values() if one.status is FrameStatus.USED]
    here = [one for one in on_map if one.frame_id in views]
    back = [one for one in records.values() if one.reason == SET_ASIDE_REASON and one.frame_id in views]
    held = frozenset(one.frame_id for one in back)
    lost = _lost(on_map, views, rejected, refused)
    is_current = {parse_source_dem_id(str(one.dem_id)) for one in here} == {terrain.dem_id}
    if not (here or back) or (not is_requested and not back and is_current):
        return ReprocessPlan(held=held)
    gain = _gain(workspace, here, views, terrain)
    if is_requested:
        _refuse_plane(here, terrain)
    elif not gain.is_better and not back:
        return ReprocessPlan(held=held)
    elif lost or gain.loses:
        note = encode_warning(
            TERRAIN_WAITS, files=terrain_names, percent=round(100 * (1 - gain.unknown)), lost=len(lost)
        )
        return ReprocessPlan(notes=(note,), held=held)
    new = _reproject(workspace, flight_id, [*here, *back], views, terrain.dem_id)
    frames = tuple(one for one in new if _differ(records[one.frame_id], one))
    aside = tuple(_set_aside(one, lost[one.frame_id]) for one in on_map if one.frame_id in lost)
    shown = [one.revision for one in workspace.catalog.tiles.mosaics(flight_id) if one.published]
    return ReprocessPlan(
        frames=frames,
        set_aside=aside,
        notes=tuple(_list_reprocess_notes(frames, aside, terrain_names, max(shown))),
    )


def _reproject(
    workspace: Workspace,
    flight_id: str,
    records: Sequence[FrameRecord],
    views: Mapping[str, FrameFootprint],
    dem_id: str,
) -> list[FrameRecord]:
    """Build the frames' records of today, each in its recorded layer."""
    zooms = {mosaic.layer: mosaic.base_zoom for mosaic in list_live_mosaics(workspace, flight_id)}
    new = []
    for record in records:
        layer = record.header.layer
        reprojected = build_frame_record(views[record.frame_id], flight_id, zooms[layer], dem_id)
        new.append(replace(reprojected, header=replace(reprojected.header, layer=layer)))
    return new


def apply_reprocess_plan(
    workspace: Workspace, flight_id: str, reprocess: ReprocessPlan, at_ns: int, reason: str | None = None
) -> None:
    """Record the plan, with an audit entry; tiles are rebuilt by amendments.

    reason  None: the new terrain
    """
    if not reprocess.is_due:
        return
    who = workspace.operator or workspace.box
    if reason is None:
        terrain = ", ".join(sorted({str(record.dem_id) for record in reprocess.frames}))
        reason = f"re-laid on terrain {terrain}"
    workspace.catalog.placements.supersede([*reprocess.frames, *reprocess.set_aside], reason, who, at_ns)
    update_redaction_footprints(workspace)
    details = f"{len(reprocess.frames)} frames {reason}, {len(reprocess.set_aside)} set aside"
    workspace.catalog.audit.append(who, "relay", flight_id, details, at_ns=at_ns)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gain:
    """Effect of new terrain.

    is_better  ground is known now that was not
    loses      some ground is not known any more
    unknown    share of the imaged ground that today's terrain does not know
    """

    is_better: bool
    loses: bool
    unknown: float


def _gain(
    workspace: Workspace,
    frames: Sequence[FrameRecord],
    views: Mapping[str, FrameFootprint],
    terrain: TerrainGrid,
) -> _Gain:
    outlines = {one.frame_id: views[one.frame_id].footprint.polygon_m for one in frames}
    after = compute_unknown_share(terrain, list(outlines.values())) if outlines else 0.0
    on_plane = [one for one in frames if _is_on_plane(one)]
    by_terrain: dict[str, list[str]] = {}
    for one in frames:
        if not _is_on_plane(one):
            by_terrain.setdefault(parse_source_dem_id(str(one.dem_id)), []).append(one.frame_id)
    before = 0.0
    for dem_id, ids in by_terrain.items():
        before += len(ids) / len(frames) * _unknown_on(workspace, dem_id, [outlines[i] for i in ids])
    is_real = not is_flat_datum(terrain.vertical_datum)
    return _Gain(
        is_better=is_real and (bool(on_plane) or before - after > _MIN_GAIN),
        loses=after - before > _MIN_GAIN,
        unknown=after,
    )


def _unknown_on(workspace: Workspace, dem_id: str, outlines: Sequence[Floats]) -> float:
    try:
        return compute_unknown_share(load_recorded_terrain(workspace, dem_id), outlines)
    except DAMAGE:
        # Frames on lost terrain cannot be rebuilt; on another they can.
        return 1.0


def _lost(
    on_map: Iterable[FrameRecord],
    views: Mapping[str, FrameFootprint],
    rejected: Iterable[Rejection],
    refused: Iterable[tuple[FrameHeader, FrameRejected]],
) -> dict[str, str]:
    """Return frames of this run on the map that cannot be placed now, and why."""
    by_id = {header.frame_id: str(error) for header, error in refused}
    by_name = {one.name: str(one.message) for one in rejected if one.reason in _POSE_REASONS}
    found = {}
    for record in on_map:
        why = by_id.get(record.frame_id) or by_name.get(record.header.provenance.source_name)
        if why is not None and record.frame_id not in views:
            found[record.frame_id] = why
    return found


def _refuse_plane(frames: Iterable[FrameRecord], terrain: TerrainGrid) -> None:
    if is_flat_datum(terrain.vertical_datum) and not all(_is_on_plane(one) for one in frames):
        raise InputUnusable(
            _(
                "--relay: no terrain is registered under this flight now, and it was orthorectified on "
                "terrain that was; add it with 'flycam dem add FILE' and run again, or leave the flight "
                "as it is"
            )
        )


def _is_on_plane(record: FrameRecord) -> bool:
    return record.exterior is not None and is_flat_datum(record.exterior.vertical_datum)


def _differ(before: FrameRecord, after: FrameRecord) -> bool:
    """Return True if camera, pose or terrain differ, whatever the version."""
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
        reason=SET_ASIDE_REASON,
        message=why,
        exterior=None,
        dem_id=None,
        footprint_wkb=None,
        gsd_m=None,
        tiles=None,
    )


def _list_reprocess_notes(
    frames: Sequence[FrameRecord], aside: Sequence[FrameRecord], names: str, on_show: int
) -> Iterable[str]:
    if frames:
        on = encode_warning(REPROCESSED, frames=len(frames), files=names) if names else None
        yield on or encode_warning(REPROCESSED_FLAT, frames=len(frames))
    if aside:
        names = ", ".join(record.header.provenance.source_name for record in aside)
        yield encode_warning(FRAMES_SET_ASIDE, frames=len(aside), names=names)
    if on_show > 0 and (frames or aside):
        yield encode_warning(FINISHED_OLDER, revision=on_show)


# -- Photos moved to another layer -----------------------------------------------------------------
#
# By the operator, such as misread infrared. Each frame gets a placement in the other layer, with its pose and
# terrain. The tiles that it leaves and those that it enters are rebuilt; finished revisions that hold it are
# retired, and a mosaic that is left without a frame is hidden.


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
                mosaic_id=derive_live_mosaic_id(flight.flight_id, layer),
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
