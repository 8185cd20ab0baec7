"""Recording of a stream, its scratch folder, and completion of interrupted flights.

Segments come from the receiver and are stored by hash, by flight.

A thread takes each segment when it is complete: hashed, synced into the store, in the catalogue, and then
removed from the receiver's folder. What it cannot store now (a full store, a slow one) waits there, with a
remark; what a killed program left there is stored by the next `flycam live`. When more is kept than
configured, the oldest video is deleted; its hash and its times stay known.
"""

from __future__ import annotations

import os
import secrets
import shutil
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from flycam.catalog.flights import VideoSegment
from flycam.errors import Cancelled, FlightBusy, FlycamError, OptionUnusable, SourceUnreadable
from flycam.ingest.video.decoder_process import FINISHED, UNFINISHED, RecordingOptions
from flycam.ingest.video.video_frames import is_stream_frame
from flycam.media.mp4 import (
    TICKS_PER_S,
    FragmentedContent,
    format_codec_name,
    parse_codec_configuration,
    scan_content,
    set_duration,
)
from flycam.messages import Message, _
from flycam.model.flight import Flight, FlightState
from flycam.model.records import FrameRecord, FrameStatus
from flycam.mosaic.coverage import measure_coverage
from flycam.mosaic.orthorectify.flight_session import close_flight, find_flight, resolve_flight_state
from flycam.mosaic.orthorectify.rebuild import has_original, list_live_mosaics, rebuild_mosaic
from flycam.originals import store_original
from flycam.storage import keys
from flycam.storage.files import lock_folder, move_into_place, probe_folder_lock
from flycam.storage.keys import DAMAGED_RECORDINGS_DIR, LIVE_DIR_PREFIX, RECORDINGS_DIR
from flycam.workspace import Progress, Workspace, ignore_progress

KEEP_GB = 40.0
"""About eleven hours of an aircraft's 8 Mbit/s."""

_FLIGHT = "flight"
_LOOK_S, _RETRY_INTERVAL_S = 0.5, 5.0


@dataclass(frozen=True, slots=True)
class RecordingSummary:
    """Stored segments, seconds and bytes of a stream, and segments deleted for it."""

    pieces: int = 0
    seconds: float = 0.0
    size_bytes: int = 0
    deleted_pieces: int = 0


class StreamRecording:
    """Recording of a stream, entered before the stream is opened with `order`.

    Then `assign_flight`; left after the stream is closed. Raises OptionUnusable for an amount that is none.

    keep_gb  how much recorded video is kept, of all flights together; 0: nothing is recorded
    """

    def __init__(
        self, workspace: Workspace, keep_gb: float = KEEP_GB, order: RecordingOptions | None = None
    ) -> None:
        if not 0.0 <= keep_gb < float("inf"):
            raise OptionUnusable(_("--keep-video {keep_gb:g}: give gigabytes, 0 or more", keep_gb=keep_gb))
        self._workspace, self._most_bytes = workspace, round(keep_gb * 1e9)
        folder = workspace.cache_dir / RECORDINGS_DIR / secrets.token_hex(8)
        planned = replace(order, folder=folder) if order is not None else RecordingOptions(folder=folder)
        self.order = planned if self._most_bytes else None
        self._folder = folder
        self._flight_id: str | None = None
        self._lock_fd = -1
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_on, name="recording", daemon=True)
        self._trouble: Message | None = None
        self._damaged: list[Message] = []
        self.kept = RecordingSummary()

    def __enter__(self) -> Self:
        """Make the folder; if that fails nothing is recorded, with a remark."""
        if self.order is None:
            return self
        try:
            self._folder.mkdir(parents=True)
            self._lock_fd = lock_folder(self._folder)
        except OSError as error:
            self.order = None
            self._trouble = _describe_error(error, self._folder)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_on(self) -> bool:
        """True if the stream is recorded."""
        return self.order is not None

    @property
    def remarks(self) -> tuple[Message, ...]:
        """Damaged segments, and what prevents storing the rest now."""
        return (*self._damaged, *([] if self._trouble is None else [self._trouble]))

    def assign_flight(self, flight_id: str) -> None:
        """Store segments from now on, as this flight's."""
        if self.order is None:
            return
        self._flight_id = flight_id
        # Without it, the flight would not be known after a kill.
        with suppress(OSError):
            flight = self._folder / _FLIGHT
            part = flight.with_name(f".{_FLIGHT}.part")
            part.write_text(flight_id, encoding="utf-8")
            # The flight's id must survive a power cut, as the segments do.
            move_into_place(part, flight)
        self._thread.start()

    def close(self) -> RecordingSummary:
        """Store the rest of a closed stream. Idempotent."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._lock_fd >= 0:
            with suppress(OSError):
                close_unfinished_segments(self._folder)
            self._keep_all()
            os.close(self._lock_fd)
            self._lock_fd = -1
        return self.kept

    def _keep_on(self) -> None:
        recover_recordings(self._workspace, self._damaged)
        while not self._over.wait(_LOOK_S):
            if not self._keep_all():
                self._over.wait(_RETRY_INTERVAL_S)

    def _keep_all(self) -> bool:
        """Store every complete segment, then delete the excess; False if impossible now.

        Then with a remark.
        """
        try:
            if self._flight_id is not None:
                for piece in _kept(self._workspace, self._folder, self._flight_id, self._damaged):
                    self.kept = RecordingSummary(
                        self.kept.pieces + 1,
                        self.kept.seconds + piece.seconds,
                        self.kept.size_bytes + piece.size_bytes,
                        self.kept.deleted_pieces + self._delete_oldest(),
                    )
            if self._over.is_set():
                _cleared(self._folder)
        except (OSError, FlycamError) as error:
            self._trouble = _describe_error(error, self._folder)
            return False
        self._trouble = None
        return True

    def _delete_oldest(self) -> int:
        """Delete the oldest segments to make room; return their number."""
        on_hold = self._workspace.catalog.retention.held_flights()
        too_much = self._workspace.catalog.recordings.list_excess(self._most_bytes, exclude=on_hold)
        for piece in too_much:
            # The record first, so that readers learn of it before an object is missing.
            self._workspace.catalog.recordings.mark_deleted(piece.sha256, self._workspace.clock_ns())
            self._workspace.store.delete(keys.format_recording_key(piece.sha256))
        return len(too_much)


def recover_recordings(workspace: Workspace, damaged: list[Message] | None = None) -> int:
    """Store segments of killed programs; return their number. Failures wait.

    damaged  gets a sentence on each damaged segment, which is set aside
    """
    count, damage_notes = 0, [] if damaged is None else damaged
    root = workspace.cache_dir / RECORDINGS_DIR
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        with suppress(OSError, FlycamError), probe_folder_lock(folder) as free:
            if not free:
                continue
            flight = folder / _FLIGHT
            if flight.is_file():
                close_unfinished_segments(folder)
                flight_id = flight.read_text(encoding="utf-8").strip("\x00 \n")
                if not flight_id:
                    _set_aside(workspace, folder, damage_notes)
                    continue
                count += sum(1 for __ in _kept(workspace, folder, flight_id, damage_notes))
            _cleared(folder)
    return count


def _kept(
    workspace: Workspace, folder: Path, flight_id: str, damaged: list[Message]
) -> Iterator[VideoSegment]:
    for path in list_finished_segments(folder):
        try:
            piece = read_segment(path)
        except SourceUnreadable as error:
            aside = workspace.cache_dir / DAMAGED_RECORDINGS_DIR / f"{flight_id}-{path.name}"
            aside.parent.mkdir(parents=True, exist_ok=True)
            path.rename(aside)
            damaged.append(replace(error.message, values={**error.message.values, "path": str(aside)}))
            continue
        if piece is not None:
            recorded = VideoSegment(
                sha256=store_original(workspace, path, key_of=keys.format_recording_key),
                flight_id=flight_id,
                began_ns=piece.began_ns,
                seconds=piece.seconds,
                pictures=piece.pictures,
                size_bytes=path.stat().st_size,
                codec=piece.codec,
            )
            workspace.catalog.recordings.put(recorded)
            yield recorded
        path.unlink()


def _set_aside(workspace: Workspace, folder: Path, damaged: list[Message]) -> None:
    """Set segments aside whose flight is unknown after a power cut, with a remark.

    They go beside the damaged ones.
    """
    for path in list_finished_segments(folder):
        aside = workspace.cache_dir / DAMAGED_RECORDINGS_DIR / f"{folder.name}-{path.name}"
        aside.parent.mkdir(parents=True, exist_ok=True)
        path.rename(aside)
        damaged.append(
            _(
                "{path}: nobody knows any more of which flight this video is; play it, and keep it if it is "
                "of use",
                path=aside,
            )
        )
    _cleared(folder)


def _cleared(folder: Path) -> None:
    """Remove a folder whose segments are stored, or belong to no flight."""
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def _describe_error(error: Exception, folder: Path) -> Message:
    return _(
        "the recorded video waits in {folder} and is not kept yet: {why}",
        folder=folder,
        why=error.message if isinstance(error, FlycamError) else error,
    )


# -- Recorded segments, also those whose recorder died while writing -------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentFile:
    """Complete segment of a recording.

    began_ns  UTC of its first frame
    codec     name as browsers use it
    """

    path: Path
    began_ns: int
    seconds: float
    pictures: int
    codec: str


def list_finished_segments(folder: Path) -> list[Path]:
    """List the segments that their recorder has closed, oldest first. Raises OSError."""
    return sorted(folder.glob(f"*{FINISHED}"), key=lambda path: int(path.stem))


def close_unfinished_segments(folder: Path) -> None:
    """Close segments left open by a recorder that is gone. Raises OSError.

    They are complete up to their last whole fragment.
    """
    for path in folder.glob(f"*{UNFINISHED}"):
        path.rename(path.with_suffix(FINISHED))


def read_segment(path: Path) -> SegmentFile | None:
    """Cut a closed segment to its complete part, set its duration and describe it.

    None if it holds no frame. Idempotent. Raises OSError; SourceUnreadable for a damaged segment, which is
    left as it is.
    """
    with path.open("r+b") as file:
        try:
            content = _content(file)
            file.seek(0)
            head = file.read(content.head_bytes)
            found = parse_codec_configuration(head)
            if not content.pictures or found is None:
                return None
            codec, head = format_codec_name(*found), set_duration(head, content.ticks)
        except (ValueError, IndexError, struct.error) as error:
            raise SourceUnreadable(
                _(
                    "{path}: this recorded video is damaged, as by a power cut ({error}): a "
                    "program that repairs MP4 may save pictures of it",
                    path=path,
                    error=error,
                )
            ) from error
        file.truncate(content.complete_bytes)
        file.seek(0)
        file.write(head)
    return SegmentFile(
        path=path,
        began_ns=int(path.stem),
        seconds=content.ticks / TICKS_PER_S,
        pictures=content.pictures,
        codec=codec,
    )


def _content(file: BinaryIO) -> FragmentedContent:
    def read_at(at: int, count: int) -> bytes:
        file.seek(at)
        return file.read(count)

    return scan_content(read_at, os.fstat(file.fileno()).st_size)


# -- Scratch folder and link log of a live flight --------------------------------------------------
#
# A flight that ends, also by an error, stores its link log itself once its link is closed; one that a killed
# program left, or that the store did not accept, is stored by the next program.


LINK_LOG_FILE = "heard.tlog"


@contextmanager
def open_scratch_folder(workspace: Workspace) -> Iterator[Path]:
    """Yield a folder that is removed after the flight. Enter it before the link.

    Raises StorageFailed if the link's log cannot be stored and nothing else failed; it stays there.
    """
    folder, fd = _new(workspace)
    try:
        yield folder
    except BaseException:
        # The next flight tries again; the original error is the one to report.
        with suppress(OSError, FlycamError):
            _emptied(workspace, folder)
        raise
    else:
        _emptied(workspace, folder)
    finally:
        os.close(fd)


def recover_link_logs(workspace: Workspace) -> int:
    """Store link logs of killed programs; return their number. Failures wait."""
    count = 0
    for folder in sorted(workspace.cache_dir.glob(f"{LIVE_DIR_PREFIX}*")):
        with suppress(OSError, FlycamError), probe_folder_lock(folder) as free:
            if free:
                count += _emptied(workspace, folder)
    return count


def _new(workspace: Workspace) -> tuple[Path, int]:
    """Create a folder and lock it."""
    workspace.cache_dir.mkdir(parents=True, exist_ok=True)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=LIVE_DIR_PREFIX, dir=workspace.cache_dir))
        with suppress(FileNotFoundError):
            fd = lock_folder(folder)
            if folder.is_dir():
                return folder, fd
            # Another program that recovers folders came between.
            os.close(fd)


def _emptied(workspace: Workspace, folder: Path) -> bool:
    """Store the link's log and remove the folder; return True if there was a log."""
    log_path = folder / LINK_LOG_FILE
    there = log_path.is_file() and log_path.stat().st_size > 0
    if there:
        store_original(workspace, log_path)
    shutil.rmtree(folder, ignore_errors=True)
    return there


# -- Completion of stream flights whose program was killed, by the next program --------------------
#
# A video file is given again, which completes its flight (`flycam.ingest.live.status`). A stream
# does not come again: its flight would be shown as in progress for ever. If its lock is free, no program is
# processing it.


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
            raise Cancelled(_("given up: the next one continues"))

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
