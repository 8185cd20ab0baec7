"""Import of another node's flight records into the catalogue here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from flycam.catalog.placement_rows import derive_placement_id, is_on_terrain, to_placement, was_orthorectified
from flycam.catalog.records import FrameRecord, FrameStatus, Withdrawal
from flycam.errors import NameTaken
from flycam.frame.classification import find_strictest
from flycam.frame.flight import Event, Flight, FlightState, is_flat_datum
from flycam.frame.redaction import RedactionStep
from flycam.frame.retention import HoldStep, PurgeStep
from flycam.frame.warning import NO_TERRAIN, parse_warning_code
from flycam.sync.flight_matching import find_flight_by_id
from flycam.sync.flight_records import FlightRecords
from flycam.sync.node import Node

_ID_DIGITS = 6


def import_flight_records(node: Node, records: FlightRecords, giver: str, account: str = "") -> Flight:
    """Merge records of a flight with those here.

    Returns the flight as it is until its tiles come.

    account  that sent them over a connection; "" for a bundle. The audit log names it as the actor.

    Frames and placements come before the withdrawals, so that these find the ground they touched; all of
    it before a tile. Where two nodes placed one frame in two ways, both are placements and the greater is
    effective. A flight whose tiles are still to come is in state INGESTING, so that a kill leaves none
    that seems complete and is not; `update_flight_state` sets its state afterwards.
    """
    catalog = node.catalog
    # restrictions first, so that no frame is visible before they hold
    _record_classification(node, records, giver, account)
    record_redactions(node, records, giver, account)
    _record_retention(node, records, giver, account)
    record_event(node, records.event, giver)
    before = find_flight_by_id(catalog, records.flight.flight_id)
    flight = _record_flight(node, before, _keep_state_until_placed(node, before, records), giver)
    standing = {one.frame_id: one for one in catalog.frames.put(records.frames)}
    laid_otherwise = [
        to_placement(record)
        for record in records.frames
        if record.exterior is not None and _is_placed_otherwise(record, standing[record.frame_id])
    ]
    if records.placements or laid_otherwise:
        catalog.placements.learn([*records.placements, *laid_otherwise])
    flight = _merge_terrain_label(node, flight, records.flight)
    # after frames and placements, so that withdrawals find the ground they touched
    record_withdrawals(node, records.withdrawals, giver, account)
    known = {one.mosaic_id for one in catalog.tiles.mosaics(flight.flight_id) if one.revision == 0}
    for mosaic in records.mosaics:
        if mosaic.mosaic_id not in known:
            catalog.tiles.put_mosaic(mosaic)
    return flight


def update_flight_state(node: Node, flight: Flight, records: FlightRecords) -> Flight:
    """Set and return a flight's state once the tiles of these records are there."""
    state = _compute_flight_state(node, flight, records)
    if state is not flight.state:
        flight = replace(flight, state=state)
        node.catalog.flights.put_flight(flight)
    return flight


def record_withdrawals(node: Node, withdrawals: Sequence[Withdrawal], giver: str, account: str = "") -> None:
    """Record withdrawals, audit new ones, retire finished revisions that hold any.

    account  as in `import_flight_records`: the authority is the sender's claim, the account is verified

    All of them are checked against the revisions, not only new ones: an earlier attempt may have ended
    between the two.
    """
    new = set(node.catalog.frames.withdraw(withdrawals))
    by_reason: dict[tuple[str, str], list[Withdrawal]] = {}
    for one in withdrawals:
        by_reason.setdefault((one.reason, one.authority), []).append(one)
    for (reason, authority), some in sorted(by_reason.items()):
        node.catalog.revisions.retire_holding([one.frame_id for one in some], f"{reason} ({authority})")
        told = [one for one in some if one.frame_id in new]
        if told:
            subject = told[0].frame_id if len(told) == 1 else told[0].flight_id
            said = f"told by {giver}: {len(told)} frames: {reason}"
            said += f" ({authority})" if account else ""
            node.catalog.audit.append(account or authority, "withdraw", subject, said, at_ns=node.clock_ns())


def merge_flight(here: Flight, received: Flight) -> Flight:
    """Return the flight here, extended by another node's record of it.

    Name and terrain stay as here (`_merge_terrain_label`).
    """
    boxes = [one for one in (here.bounds_lonlat_deg, received.bounds_lonlat_deg) if one is not None]
    bounds = None
    if boxes:
        west, south, east, north = zip(*boxes, strict=True)
        bounds = (min(west), min(south), max(east), max(north))
    return replace(
        here,
        gsd_m=min(here.gsd_m, received.gsd_m),
        first_ns=min(here.first_ns, received.first_ns),
        last_ns=max(here.last_ns, received.last_ns),
        bounds_lonlat_deg=bounds,
        warnings=tuple(dict.fromkeys((*here.warnings, *received.warnings))),
    )


def _record_classification(node: Node, records: FlightRecords, giver: str, account: str) -> None:
    """Apply the stricter classification of both nodes, before a record is here.

    Lifting a classification on one node lifts it on no other.
    """
    flight_id, restrictions = records.flight.flight_id, node.catalog.restrictions
    here = restrictions.level(flight_id)
    level = find_strictest((here, records.classification))
    if level is not here:
        now_ns = node.clock_ns()
        restrictions.classify(flight_id, level, now_ns)
        said = f"told by {giver}: {records.flight.name}: {level}"
        node.catalog.audit.append(account or giver, "classify", flight_id, said, at_ns=now_ns)


def record_redactions(node: Node, records: FlightRecords, giver: str, account: str = "") -> None:
    """Record redactions before a frame that they cover is here.

    They are only ever added, in whatever order nodes send them. One that another node revoked becomes a
    request here (`Redactions.learn`).
    """
    redactions = node.catalog.redactions
    for line in redactions.learn(records.redactions):
        said = f"told by {giver}: {line.frame_id}: {line.reason}" + (f" ({line.author})" if account else "")
        what = "mask made" if line.step is RedactionStep.MADE else "mask taking back asked"
        who = account or line.author
        node.catalog.audit.append(who, what, line.mask_id, said, at_ns=node.clock_ns())
    redactions.learn_footprints(records.redaction_grounds)


def _record_retention(node: Node, records: FlightRecords, giver: str, account: str) -> None:
    """Apply holds and purges of another node.

    Originals purged elsewhere are not purged here by that: they are due, and wait to be confirmed; and
    their bytes are not imported any more.
    """
    retention, now_ns = node.catalog.retention, node.clock_ns()
    flight_id = records.flight.flight_id
    new = retention.add_holds(records.holds)
    for line in new:
        what = "retention hold" if line.step is HoldStep.HELD else "retention release"
        said = f"told by {giver}: {line.hold_id}: {line.reason}" + (f" ({line.author})" if account else "")
        node.catalog.audit.append(account or line.author, what, line.subject, said, at_ns=now_ns)
    let_go = retention.learn(records.purges)
    for step, what in ((PurgeStep.PURGED, "let go elsewhere"), (PurgeStep.LIFTED, "retention lift")):
        told = [one for one in let_go if one.step is step]
        if told:
            said = f"told by {giver}: {len(told)} originals ({told[0].author}, {told[0].box})"
            node.catalog.audit.append(account or giver, what, flight_id, said, at_ns=now_ns)


def record_event(node: Node, event: Event, giver: str) -> None:
    """Record an event that is new here; its name gets the sender's appended if taken."""
    if any(one.event_id == event.event_id for one in node.catalog.flights.events()):
        return
    for name in _iterate_labels(event.name, giver, event.event_id):
        with suppress(NameTaken):
            node.catalog.flights.put_event(replace(event, name=name))
            return
    node.catalog.flights.put_event(event)


def _record_flight(node: Node, here: Flight | None, received: Flight, giver: str) -> Flight:
    flights = node.catalog.flights
    if here is not None:
        flight = replace(merge_flight(here, received), state=received.state)
        if flight != here:
            flights.put_flight(flight)
        return flight
    for name in _iterate_labels(received.name, giver, received.flight_id):
        with suppress(NameTaken):
            named = replace(received, name=name)
            flights.put_flight(named)
            return named
    flights.put_flight(received)
    return received


def _merge_terrain_label(node: Node, flight: Flight, received: Flight) -> Flight:
    """Set the terrain of a flight that was placed on a plane by one node only.

    It is the other node's terrain, on which the frames of both are now; the warning about the plane stays
    only where a frame is left on it.

    It is the terrain, on which the frames of both are now; the warning about the plane stays only where a
    frame is left on it.
    """
    if is_flat_datum(flight.vertical_datum) == is_flat_datum(received.vertical_datum):
        return flight
    used = node.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    grounds = {is_on_terrain(one.exterior) for one in used if one.exterior is not None}
    grounded = flight
    if True in grounds and is_flat_datum(flight.vertical_datum):
        grounded = replace(flight, vertical_datum=received.vertical_datum, dem_id=received.dem_id)
    if False not in grounds:
        kept = tuple(one for one in grounded.warnings if parse_warning_code(one) != NO_TERRAIN)
        grounded = replace(grounded, warnings=kept)
    if grounded != flight:
        node.catalog.flights.put_flight(grounded)
    return grounded


def _iterate_labels(name: str, giver: str, own_id: str) -> Iterator[str]:
    """Yield a name and its replacements if it is taken; the last one is unique."""
    yield name
    yield f"{name} ({giver})"
    yield f"{name} ({giver}, {own_id[:_ID_DIGITS]})"
    yield f"{name} ({giver}, {own_id})"


def _keep_state_until_placed(node: Node, here: Flight | None, received: FlightRecords) -> Flight:
    """Return the received flight in the state that it has here until its tiles come.

    INGESTING if it is new, or if frames come after which `_compute_flight_state` can decide the state. A
    complete one, to which a node that knows only part of it adds frames, stays complete: its state could
    not be decided again.
    """
    if here is None:
        return replace(received.flight, state=FlightState.INGESTING)
    laid = _list_placed_frames(node.catalog.frames.list_for_flight(here.flight_id))
    laid_there = _list_placed_frames(received.frames)
    is_told_again = received.flight.state is FlightState.INGESTING or laid <= laid_there
    if is_told_again and not laid_there <= laid:
        return replace(received.flight, state=FlightState.INGESTING)
    return replace(received.flight, state=here.state)


def _compute_flight_state(node: Node, flight: Flight, received: FlightRecords) -> FlightState:
    """Return the state of a flight by its frames.

    Withdrawn when all are; ready when a node that placed all of them states so; INGESTING while frames come
    from a node that is placing them (`_keep_state_until_placed`).
    """
    frames = node.catalog.frames.list_for_flight(flight.flight_id)
    statuses = {record.status for record in frames}
    if FrameStatus.USED not in statuses and FrameStatus.WITHDRAWN in statuses:
        return FlightState.WITHDRAWN
    laid = _list_placed_frames(frames)
    is_whole = received.flight.state is not FlightState.INGESTING and laid <= _list_placed_frames(
        received.frames
    )
    if flight.state is FlightState.WITHDRAWN or is_whole:
        return FlightState.READY
    return flight.state


def _list_placed_frames(frames: Sequence[FrameRecord]) -> set[str]:
    return {record.frame_id for record in frames if was_orthorectified(record)}


def _is_placed_otherwise(received: FrameRecord, here: FrameRecord) -> bool:
    if here.exterior is None:
        return False
    return derive_placement_id(to_placement(received)) != derive_placement_id(to_placement(here))
