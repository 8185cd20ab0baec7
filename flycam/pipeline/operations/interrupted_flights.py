"""Interrupted flights, left by a kill or a power cut, with the command that completes each.

Streams complete themselves (`flycam.pipeline.live`).
"""

from __future__ import annotations

from dataclasses import dataclass

from flycam.catalog.records import FrameStatus
from flycam.errors import FlightBusy
from flycam.frame.flight import Flight, FlightState
from flycam.messages import Message, _, ngettext
from flycam.pipeline.cache_layout import STAGES_DIR
from flycam.pipeline.orthorectification.tile_rebuild import has_original
from flycam.pipeline.video_frames import is_stream_frame, is_video_frame
from flycam.pipeline.workspace import Workspace

_MAX_FRAMES = 32
"""Maximum number of a flight's frames whose originals are looked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InterruptedFlight:
    """A sentence that names the flight and the command."""

    flight_id: str
    sentence: Message


def list_interrupted_flights(workspace: Workspace) -> list[InterruptedFlight]:
    """List interrupted flights in the catalogue's order. Raises StorageFailed."""
    found = []
    for flight in workspace.catalog.flights.flights():
        if flight.state is FlightState.INGESTING and _is_free(workspace, flight.flight_id):
            found += _of_ingest(workspace, flight)
        folder = workspace.cache_dir / STAGES_DIR / flight.flight_id
        if any(folder.glob("**/*.stage")) and _is_free(workspace, f"finish-{flight.flight_id}"):
            found.append(
                InterruptedFlight(
                    flight_id=flight.flight_id,
                    sentence=_(
                        "{name}: finishing it was interrupted; 'flycam finish {flight_id}' goes on where it "
                        "stopped",
                        name=flight.name,
                        flight_id=flight.flight_id,
                    ),
                )
            )
    return found


def _of_ingest(workspace: Workspace, flight: Flight) -> list[InterruptedFlight]:
    frames = workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    if frames and not any(has_original(workspace, one) for one in frames[-_MAX_FRAMES:]):
        return []  # a peer ingests it, and reports its end
    if frames and all(map(is_stream_frame, frames)):
        command = _("'flycam serve' completes it")
    elif frames and all(map(is_video_frame, frames)):
        command = _("the same 'flycam live VIDEO' once more completes it")
    else:
        command = _("'flycam ingest CARD' of the same photos completes it")
    sentence = ngettext(
        "{name}: laying it was interrupted, {count} picture is on the map; {command}",
        "{name}: laying it was interrupted, {count} pictures are on the map; {command}",
        len(frames),
        name=flight.name,
        command=command,
    )
    return [InterruptedFlight(flight_id=flight.flight_id, sentence=sentence)]


def _is_free(workspace: Workspace, name: str) -> bool:
    """Return True if no process holds this lock now."""
    try:
        with workspace.catalog.flights.lock(name):
            return True
    except FlightBusy:
        return False
