"""Withdrawal of a frame or a flight: recorded first, then the tiles that it touched are rebuilt.

If it is killed, the same command completes it: tiles whose epoch does not match the recorded withdrawals are
found and rebuilt.
"""

from __future__ import annotations

from dataclasses import dataclass

from flycam.catalog.placement_rows import was_orthorectified
from flycam.catalog.records import FrameRecord, FrameStatus, Withdrawal
from flycam.errors import InputUnusable, NotFound
from flycam.frame.flight import Flight, FlightState
from flycam.frame.text_normalization import strip_unprintable, to_visible
from flycam.messages import _
from flycam.mosaic.tile_repair import DAMAGE
from flycam.pipeline.coverage import measure_coverage
from flycam.pipeline.orthorectification.flight_session import close_flight
from flycam.pipeline.orthorectification.retired_products import delete_live_thumbnails, drop_retired_reports
from flycam.pipeline.orthorectification.tile_rebuild import list_live_mosaics, rebuild_mosaic
from flycam.pipeline.workspace import Progress, Workspace, ignore_progress


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
        gone = [record.frame_id for record in frames]
        retired = workspace.catalog.revisions.retire_holding(gone, f"{reason} ({authority})")
        said = f"{len(new)} frames: {reason}"
        if retired:
            said += "; retired " + ", ".join(f"{one.mosaic_id} revision {one.revision}" for one in retired)
        workspace.catalog.audit.append(authority, "withdraw", ref, said, at_ns=now)
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
