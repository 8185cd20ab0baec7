"""A stream as it was received, written beside its decoding: pieces of fragmented MP4, nothing coded anew.

A piece begins with a picture at which decoding can begin, is written in fragments of half a second, synced
and renamed when it is whole. One that nobody closed (a process that died, a cut) is whole up to its last
fragment: `flycam.ingest.video.segments` ends it. A disk that is slow or full loses pictures of the recording,
which are counted, and nothing else.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from flycam.frame.fragmented_mp4 import TICKS_PER_S, CodedSample, encode_fragment, encode_head
from flycam.ingest.video.packet_queue import PacketQueue, VideoPacket
from flycam.ingest.video.stream_time import StreamTime
from flycam.store.disk_space import RECORDING_BYTES

UNFINISHED, FINISHED = ".part", ".mp4"
_FRAGMENT_NS = 500_000_000
_GAP_NS = 10 * 10**9  # a piece holds no longer a gap
_HARD = 4  # how many times its length a piece may get where no key frame comes
_WAITING_BYTES = 32 << 20
_PAUSE_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordingOptions:
    """Where and how to record.

    folder        gets the pieces, `<UTC ns of the first picture>.mp4`, as `VideoFrame` dates pictures; who
                  records into it holds a shared lock on it, which dies with the process
    segment_s, segment_bytes  about how long and how large one is
    min_free_bytes  nothing is recorded while the disk has less free: the map needs it
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
    """Writes what is `put` in a thread of its own until it is closed.

    on_loss  called with the pictures not recorded by now, when there are more, and with a sentence about
             trouble
          (English, Vietnamese), once until it is over
    """

    def __init__(
        self,
        order: RecordingOptions,
        size_px: tuple[int, int],
        on_loss: Callable[[int, tuple[str, str] | None], None],
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
        """The next picture. Never waits."""
        self._packets.put(packet)

    def close(self, seconds: float) -> None:
        """Write what waits, as far as the disk takes it within this time."""
        self._packets.close()
        self._thread.join(seconds)

    def _write_all(self) -> None:
        while (packet := self._packets.get()) is not None:
            try:
                self._add(packet)
            except OSError as error:
                self._lost += 1
                self._suspend(*_why(error))
            self._tell(None)
        try:
            self._end()
        except OSError as error:
            self._suspend(*_why(error))
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
        """In time."""
        at_ns = self._time.add(packet.pts_ns, packet.arrived_utc_ns)
        if packet.is_key:  # others may be shown before those that came before them
            self._is_again = self._newest_ns is not None and at_ns <= self._newest_ns
        self._newest_ns = at_ns if self._newest_ns is None else max(self._newest_ns, at_ns)

    def _dated(self, packet: VideoPacket) -> int:
        """UTC of a picture, as frames of the stream are dated (`ingest/video/stream_time.py`). When each came
        would be another time after every stall, and a piece would be taken for one that shows a withdrawn
        picture which its neighbour shows. A piece that began before the dating was settled tells times a
        little late; no frame of it is dated outside it. While time runs again that has been no frame is made:
        those are dated by their arrival.
        """
        if self._time.base_ns is None or self._is_again:
            return packet.arrived_utc_ns
        return self._time.base_ns + packet.pts_ns

    def _is_due(self, packet: VideoPacket) -> bool:
        """Whether a new piece begins with this picture."""
        piece = self._piece
        if piece is None:
            return False
        last = self._waiting[-1] if self._waiting else piece.created
        if (
            abs(packet.pts_ns - last.pts_ns) > _GAP_NS
            or packet.parameters.sequence != piece.created.parameters.sequence
        ):
            return True
        if packet.number != last.number + 1:  # pictures between were dropped
            return True
        if piece.jumps != self._time.jumps:
            return True
        if packet.is_key and (packet.pts_ns <= last.pts_ns or piece.is_again != self._is_again):
            return True  # a film that begins anew, or has come to where it was
        order, lasted_s = self._order, (packet.pts_ns - piece.first_ns) / 1e9
        size = piece.size + sum(len(one.data) for one in self._waiting)
        times = 1 if packet.is_key else _HARD
        return lasted_s >= times * order.segment_s or size >= times * order.segment_bytes

    def _may_cut(self, packet: VideoPacket) -> bool:
        """Whether a fragment may end before this picture: not among pictures that are shown out of order."""
        lasted_ns = packet.pts_ns - self._waiting[0].pts_ns
        return lasted_ns >= _FRAGMENT_NS and (packet.is_key or not self._reordered)

    def _begin(self, packet: VideoPacket) -> bool:
        if not packet.is_key or time.monotonic() < self._not_before_s:
            return False
        order = self._order
        order.folder.mkdir(parents=True, exist_ok=True)
        if self._lock_fd is None:
            self._lock_fd = os.open(order.folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._lock_fd, fcntl.LOCK_SH)
        if shutil.disk_usage(order.folder).free < order.min_free_bytes:
            gb = f"{order.min_free_bytes / (1 << 30):.0f} GB"
            self._suspend(f"the disk is nearly full, under {gb} free", f"ổ đĩa sắp đầy, còn dưới {gb}")
            return False
        began_ns = self._dated(packet)
        while any((order.folder / f"{began_ns}{suffix}").exists() for suffix in (UNFINISHED, FINISHED)):
            began_ns += 1  # time that ran twice
        path = order.folder / f"{began_ns}{UNFINISHED}"
        file = path.open("wb", buffering=0)
        self._piece = _Piece(file, path, packet.pts_ns, packet, self._time.jumps, self._is_again)
        self._write(encode_head(packet.parameters, self._size_px, began_ns // 10**9))
        self._in_trouble = False
        return True

    def _flush(self, end_ns: int) -> None:
        """A fragment of what waits, whole or not at all."""
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
        """Finish the piece: whole, on the disk, under its last name."""
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

    def _suspend(self, why: str, why_vi: str) -> None:
        """Of this piece, and for a while of all: a full disk is not asked with every picture."""
        self._not_before_s = time.monotonic() + _PAUSE_S
        self._lost += len(self._waiting)
        self._waiting = []
        if self._piece is not None:
            self._piece.file.close()
            self._piece = None
        if not self._in_trouble:
            self._in_trouble = True
            folder = self._order.folder
            self._tell(
                (
                    f"{folder}: the video is not recorded at this moment ({why}); the map goes "
                    "on; make room there",
                    f"{folder}: đang không ghi được video ({why_vi}); bản đồ vẫn chạy; hãy giải phóng chỗ ở "
                    "đó",
                )
            )

    def _tell(self, trouble: tuple[str, str] | None) -> None:
        lost = self._lost + self._packets.dropped
        if trouble is not None or lost != self._reported_lost:
            self._reported_lost = lost
            self._on_loss(lost, trouble)


def _why(error: OSError) -> tuple[str, str]:
    """(English, Vietnamese)."""
    why = error.strerror or str(error)
    return why, "ổ đĩa đã đầy" if error.errno == errno.ENOSPC else why


def _ticks(ns: int) -> int:
    return max(0, round(ns * TICKS_PER_S / 1e9))
