"""Interrupted flights, left by a kill or a power cut, with the command that completes each.

Streams complete themselves (`flycam.pipeline.live`).
"""

from __future__ import annotations

from dataclasses import dataclass

from flycam.catalog.records import FrameStatus
from flycam.errors import FlightBusy
from flycam.frame.flight import Flight, FlightState
from flycam.pipeline.cache_layout import STAGES_DIR
from flycam.pipeline.orthorectification.tile_rebuild import has_original
from flycam.pipeline.video_frames import is_stream_frame, is_video_frame
from flycam.pipeline.workspace import Workspace

_MAX_FRAMES = 32
"""Maximum number of a flight's frames whose originals are looked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InterruptedFlight:
    """One sentence, English and Vietnamese, that names the flight and the command."""

    flight_id: str
    sentence_en: str
    sentence_vi: str


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
                    sentence_en=f"{flight.name}: finishing it was interrupted; 'flycam finish "
                    f"{flight.flight_id}' goes on where it stopped",
                    sentence_vi=f"{flight.name}: lượt hoàn thiện bị ngắt giữa chừng; chạy 'flycam finish "
                    f"{flight.flight_id}' để làm tiếp",
                )
            )
    return found


def _of_ingest(workspace: Workspace, flight: Flight) -> list[InterruptedFlight]:
    frames = workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    if frames and not any(has_original(workspace, one) for one in frames[-_MAX_FRAMES:]):
        return []  # a peer ingests it, and reports its end
    if frames and all(map(is_stream_frame, frames)):
        command, command_vi = "'flycam serve' completes it", "'flycam serve' sẽ tự hoàn tất"
    elif frames and all(map(is_video_frame, frames)):
        command = "the same 'flycam live VIDEO' once more completes it"
        command_vi = "chạy lại đúng lệnh 'flycam live VIDEO' để hoàn tất"
    else:
        command = "'flycam ingest CARD' of the same photos completes it"
        command_vi = "chạy lại 'flycam ingest THẺ_NHỚ' với chính các ảnh đó để hoàn tất"
    return [
        InterruptedFlight(
            flight_id=flight.flight_id,
            sentence_en=f"{flight.name}: laying it was interrupted, {len(frames)} pictures are on the map; "
            f"{command}",
            sentence_vi=f"{flight.name}: bị ngắt giữa chừng, mới có {len(frames)} ảnh trên bản đồ; "
            f"{command_vi}",
        )
    ]


def _is_free(workspace: Workspace, name: str) -> bool:
    """Return True if no process holds this lock now."""
    try:
        with workspace.catalog.flights.lock(name):
            return True
    except FlightBusy:
        return False
