"""Withdrawal of a frame or a flight from every mosaic and product.

A withdrawal is recorded first, then the tiles that the frame touched are rebuilt. If it is killed, the same
command completes it: tiles whose epoch does not match the recorded withdrawals are found and rebuilt.

Reports of retired revisions and thumbnails of withdrawn frames are deleted.
"""

from __future__ import annotations

from dataclasses import dataclass

from flycam.catalog.catalog import Catalog
from flycam.catalog.frames import was_orthorectified
from flycam.errors import InputUnusable, NotFound
from flycam.messages import _
from flycam.model.flight import Flight, FlightState
from flycam.model.records import FrameRecord, FrameStatus, RevisionState, Withdrawal
from flycam.model.text import strip_unprintable, to_visible
from flycam.mosaic.coverage import measure_coverage
from flycam.mosaic.orthorectify.flight_session import close_flight
from flycam.mosaic.orthorectify.rebuild import list_live_mosaics, rebuild_mosaic
from flycam.mosaic.tiles.groups import DAMAGE
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
