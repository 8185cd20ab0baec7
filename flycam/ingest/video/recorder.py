"""Recorder of a stream as received, and its segments of fragmented MP4.

Nothing is transcoded. A segment begins with a key frame, is written in fragments of half a second, synced,
and renamed when it is complete. One that was never closed (its process died, power was cut) is complete up to
its last fragment, and `close_unfinished_segments` closes it. A disk that is slow or full loses frames of the
recording, which are counted, and nothing else.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from flycam.errors import SourceUnreadable
from flycam.ingest.video.stream import PacketQueue, StreamTime, VideoPacket
from flycam.media.mp4 import (
    TICKS_PER_S,
    CodedSample,
    FragmentedContent,
    encode_fragment,
    encode_head,
    format_codec_name,
    parse_codec_configuration,
    scan_content,
    set_duration,
)
from flycam.messages import Message, _, verbatim
from flycam.storage.disk_space import RECORDING_BYTES

UNFINISHED, FINISHED = ".part", ".mp4"
_FRAGMENT_NS = 500_000_000
_GAP_NS = 10 * 10**9  # longest gap inside a segment
# A segment may become this many times as long where no key frame comes.
_HARD = 4
_WAITING_BYTES = 32 << 20
_PAUSE_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordingOptions:
    """Options for recording a stream.

    folder        for the segments, `<UTC ns of the first frame>.mp4`, as `VideoFrame` dates frames; the
                  recorder holds a shared lock on it, which dies with the process
    segment_s, segment_bytes  approximate length and size of a segment
    min_free_bytes  recording stops while the disk has less free: the mosaic needs it
    """

    folder: Path
    segment_s: float = 10.0
    segment_bytes: int = 16 << 20
    min_free_bytes: int = RECORDING_BYTES


@dataclass(slots=True)
class _Piece:
    file: BinaryIO
    path: Path
    first_ns: int
    created: VideoPacket
    jumps: int
    is_again: bool
    size: int = 0
    fragments: int = 0
    end_ns: int = 0


class Recorder:
    """Thread that writes the frames of a stream until it is closed.

    on_loss  called with the number of frames not recorded so far whenever it grows, and with a sentence about
             trouble, once until it is over
    """

    def __init__(
        self,
        order: RecordingOptions,
        size_px: tuple[int, int],
        on_loss: Callable[[int, Message | None], None],
    ) -> None:
        self._order, self._size_px, self._on_loss = order, size_px, on_loss
        self._packets = PacketQueue(_WAITING_BYTES, keeps_newest=False)
        self._piece: _Piece | None = None
        self._time = StreamTime()
        self._newest_ns: int | None = None
        self._is_again = False
        self._waiting: list[VideoPacket] = []
        self._reordered = False
        self._lost = self._reported_lost = 0
        self._not_before_s = 0.0
        self._in_trouble = False
        self._lock_fd: int | None = None
        self._thread = threading.Thread(target=self._write_all, name="recording", daemon=True)
        self._thread.start()

    def put(self, packet: VideoPacket) -> None:
        """Add the next frame, without waiting."""
        self._packets.put(packet)

    def close(self, seconds: float) -> None:
        """Write the waiting frames, as far as the disk takes them within `seconds`."""
        self._packets.close()
        self._thread.join(seconds)

    def _write_all(self) -> None:
        while (packet := self._packets.get()) is not None:
            try:
                self._add(packet)
            except OSError as error:
                self._lost += 1
                self._suspend(_why(error))
            self._tell(None)
        try:
            self._end()
        except OSError as error:
            self._suspend(_why(error))
        self._tell(None)
        if self._lock_fd is not None:
            os.close(self._lock_fd)

    def _add(self, packet: VideoPacket) -> None:
        self._place(packet)
        if self._is_due(packet):
            self._end(packet)
        if self._piece is None and not self._begin(packet):
            self._lost += 1
            return
        if self._waiting and self._may_cut(packet):
            self._flush(packet.pts_ns)
        self._reordered |= bool(self._waiting) and packet.pts_ns < self._waiting[-1].pts_ns
        self._waiting.append(packet)

    def _place(self, packet: VideoPacket) -> None:
        """Place a frame in time."""
        at_ns = self._time.add(packet.pts_ns, packet.arrived_utc_ns)
        # only key frames: others may be shown before those that came before them
        if packet.is_key:
            self._is_again = self._newest_ns is not None and at_ns <= self._newest_ns
        self._newest_ns = at_ns if self._newest_ns is None else max(self._newest_ns, at_ns)

    def _dated(self, packet: VideoPacket) -> int:
        """Return the UTC of a frame, dated as the stream's frames are (`StreamTime`).

        Arrival times would shift with every stall, and a segment would be taken for one that shows a
        withdrawn frame which its neighbour shows. A segment that began before the dating was settled has
        slightly late times; no frame of it is dated outside it. While the stream's time repeats itself no
        frames are made, so those packets are dated by their arrival.
        """
        if self._time.base_ns is None or self._is_again:
            return packet.arrived_utc_ns
        return self._time.base_ns + packet.pts_ns

    def _is_due(self, packet: VideoPacket) -> bool:
        """Return True if a new segment begins with this frame."""
        piece = self._piece
        if piece is None:
            return False
        last = self._waiting[-1] if self._waiting else piece.created
        if (
            abs(packet.pts_ns - last.pts_ns) > _GAP_NS
            or packet.parameters.sequence != piece.created.parameters.sequence
        ):
            return True
        if packet.number != last.number + 1:  # frames between were dropped
            return True
        if piece.jumps != self._time.jumps:
            return True
        if packet.is_key and (packet.pts_ns <= last.pts_ns or piece.is_again != self._is_again):
            # the stream's time begins anew, or has caught up with where it was
            return True
        order, lasted_s = self._order, (packet.pts_ns - piece.first_ns) / 1e9
        size = piece.size + sum(len(one.data) for one in self._waiting)
        times = 1 if packet.is_key else _HARD
        return lasted_s >= times * order.segment_s or size >= times * order.segment_bytes

    def _may_cut(self, packet: VideoPacket) -> bool:
        """Return True if a fragment may end before this frame.

        Not among frames that are shown out of order.
        """
        lasted_ns = packet.pts_ns - self._waiting[0].pts_ns
        return lasted_ns >= _FRAGMENT_NS and (packet.is_key or not self._reordered)

    def _begin(self, packet: VideoPacket) -> bool:
        if not packet.is_key or time.monotonic() < self._not_before_s:
            return False
        order = self._order
        order.folder.mkdir(parents=True, exist_ok=True)
        if self._lock_fd is None:
            self._lock_fd = os.open(order.folder, os.O_RDONLY | os.O_DIRECTORY)
            # tells others that this recorder lives: a killed one's segments are closed by the next run
            fcntl.flock(self._lock_fd, fcntl.LOCK_SH)
        if shutil.disk_usage(order.folder).free < order.min_free_bytes:
            free_gb = order.min_free_bytes / (1 << 30)
            self._suspend(_("the disk is nearly full, under {free_gb:.0f} GB free", free_gb=free_gb))
            return False
        began_ns = self._dated(packet)
        while any((order.folder / f"{began_ns}{suffix}").exists() for suffix in (UNFINISHED, FINISHED)):
            began_ns += 1  # the stream's time ran twice
        path = order.folder / f"{began_ns}{UNFINISHED}"
        file = path.open("wb", buffering=0)
        self._piece = _Piece(file, path, packet.pts_ns, packet, self._time.jumps, self._is_again)
        self._write(encode_head(packet.parameters, self._size_px, began_ns // 10**9))
        self._in_trouble = False
        return True

    def _flush(self, end_ns: int) -> None:
        """Write the waiting frames as one fragment, completely or not at all."""
        piece = self._piece
        if piece is None or not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        samples = [CodedSample(_ticks(one.pts_ns - piece.first_ns), one.is_key, one.data) for one in waiting]
        try:
            self._write(encode_fragment(piece.fragments + 1, samples, _ticks(end_ns - piece.first_ns)))
        except OSError:
            self._lost += len(waiting)
            raise
        piece.fragments += 1

    def _write(self, data: bytes) -> None:
        assert self._piece is not None  # noqa: S101  a mistake in the code
        view = memoryview(data)
        while view:
            view = view[self._piece.file.write(view) :]
        self._piece.size += len(data)

    def _end(self, following: VideoPacket | None = None) -> None:
        """Close the segment: complete, on disk, under its final name."""
        piece = self._piece
        if piece is None:
            return
        if self._waiting:
            times = sorted(one.pts_ns for one in self._waiting)
            step = times[-1] - times[-2] if len(times) > 1 else 10**9 // 30
            follows = following is not None and 0 < following.pts_ns - times[-1] < _FRAGMENT_NS
            self._flush(following.pts_ns if following is not None and follows else times[-1] + step)
        self._piece = None
        os.fsync(piece.file.fileno())
        piece.file.close()
        piece.path.rename(piece.path.with_suffix(FINISHED))

    def _suspend(self, why: Message) -> None:
        """Abandon the segment and pause recording.

        The pause spares a full disk a check with every frame.
        """
        self._not_before_s = time.monotonic() + _PAUSE_S
        self._lost += len(self._waiting)
        self._waiting = []
        if self._piece is not None:
            self._piece.file.close()
            self._piece = None
        if not self._in_trouble:
            self._in_trouble = True
            self._tell(
                _(
                    "{folder}: the video is not recorded at this moment ({why}); the map "
                    "goes on; free some space there",
                    folder=self._order.folder,
                    why=why,
                )
            )

    def _tell(self, trouble: Message | None) -> None:
        lost = self._lost + self._packets.dropped
        if trouble is not None or lost != self._reported_lost:
            self._reported_lost = lost
            self._on_loss(lost, trouble)


def _why(error: OSError) -> Message:
    """Return the error's reason."""
    if error.errno == errno.ENOSPC:
        return _("No space left on device")
    return verbatim(error.strerror or str(error))


def _ticks(ns: int) -> int:
    return max(0, round(ns * TICKS_PER_S / 1e9))


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
