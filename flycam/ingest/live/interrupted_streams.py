"""Completion of stream flights whose program was killed, by the next program.

A video file is given again, which completes its flight (`flycam.ingest.live.existing_frames`). A stream does
not come again: its flight would be shown as in progress for ever. If its lock is free, no program is
processing it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from flycam.errors import Cancelled, FlightBusy, FlycamError
from flycam.ingest.live.recording import recover_link_logs
from flycam.ingest.video.video_frames import is_stream_frame
from flycam.messages import _
from flycam.model.flight import Flight, FlightState
from flycam.model.records import FrameRecord, FrameStatus
from flycam.mosaic.coverage import measure_coverage
from flycam.mosaic.orthorectify.flight_session import close_flight, find_flight, resolve_flight_state
from flycam.mosaic.orthorectify.rebuild import has_original, list_live_mosaics, rebuild_mosaic
from flycam.workspace import Progress, Workspace, ignore_progress

_LAST = 32
"""Frames whose tiles may be missing: those of two groups that were being published, and some more."""

_NICENESS = 10


def complete_interrupted_streams(workspace: Workspace, progress: Progress = ignore_progress) -> list[Flight]:
    """Complete flights of killed programs; return them. Failures wait.

    Raises what `progress` raises, and CatalogUnavailable.
    """
    ended = []
    for flight in workspace.catalog.flights.flights():
        if flight.state is not FlightState.INGESTING:
            continue
        try:
            with workspace.catalog.flights.lock(flight.flight_id):
                ended += _complete_flight(workspace, flight.flight_id, progress)
        # in progress in another program
        except FlightBusy:
            continue
        except Cancelled:
            raise
        # A full store, a missing original: the next program tries again.
        except FlycamError:
            continue
    return ended


@contextmanager
def complete_interrupted_in_background(
    workspace: Workspace, on_completed: Callable[[Flight], None] = lambda _flight: None
) -> Iterator[None]:
    """Complete what killed programs left in a low-priority thread beside the block: link logs, flights.

    Cancelled when the block is left. on_completed: called for each completed flight, in that thread.
    """
    over = threading.Event()
    thread = threading.Thread(
        target=_complete_in_thread, args=(workspace, over.is_set, on_completed), name="abandoned", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _complete_in_thread(
    workspace: Workspace, is_over: Callable[[], bool], ended: Callable[[Flight], None]
) -> None:
    def heed(_stage: str, _done: int, _of: int) -> None:
        if is_over():
            raise Cancelled(_("given up: the next one goes on"))

    # of this thread alone, on Linux
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
    with suppress(FlycamError):
        recover_link_logs(workspace)
        for flight in complete_interrupted_streams(workspace, heed):
            ended(flight)


def _complete_flight(workspace: Workspace, flight_id: str, progress: Progress) -> list[Flight]:
    """Complete the flight if it is a stream's; its lock is held."""
    flight = find_flight(workspace, flight_id)
    frames = workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    if flight is None or flight.state is not FlightState.INGESTING:
        # The previous holder of the lock has closed it.
        return []
    if not frames or not all(map(is_stream_frame, frames)):
        return []
    if not any(has_original(workspace, one) for one in frames[-_LAST:]):
        # Another node flies it, and closes it.
        return []
    _rebuild_last_tiles(workspace, flight_id, frames, progress)
    measure_coverage(workspace, flight, progress, changed=True)
    ended = close_flight(workspace, flight, resolve_flight_state(workspace, flight_id))
    workspace.catalog.airborne.end(flight_id, workspace.clock_ns())
    who = workspace.operator or workspace.box
    workspace.catalog.audit.append(
        who, "live ended", flight_id, f"{len(frames)} frames", at_ns=workspace.clock_ns()
    )
    return [ended]


def _rebuild_last_tiles(
    workspace: Workspace, flight_id: str, frames: list[FrameRecord], progress: Progress
) -> None:
    """Rebuild the last frames' tiles, and those lost in a power cut.

    A frame's record precedes its tiles.
    """
    last = sorted(frames, key=lambda record: record.header.captured_ns)[-_LAST:]
    for mosaic in list_live_mosaics(workspace, flight_id):
        tiles = [one.tiles for one in last if one.tiles is not None and one.header.layer == mosaic.layer]
        rebuild_mosaic(workspace, mosaic, progress, also=tiles, check=True)
