"""Decoder process: receives a stream, records it as it came, and decodes it into shared memory.

A hang or crash of the decoder stays inside the process. A stream has one connection, since a camera on an
aircraft often serves one client only, and three threads beside the decoder: one receives coded frames, one
records them, one feeds the decoder. A file is read by the decoder itself.

Parent and process talk over one pipe. From here: ("opened", width, height, fps, seconds, arrived_ns of the
first frame), ("too large", width, height), ("picture", slot, pts_ns, arrived_ns, arrived_ns of the newest
coded frame), ("lost", reason, number of frames, sentence or None), ("ended", ""), ("failed", why), ("not
here", errno). From the parent: the name of the ring buffer, then indexes of free slots; None to stop. A frame
is written only into a free slot, so decoding waits for a parent that does not read.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.concurrency import BoundedQueue
from flycam.ingest.video.stream import (
    FORMATS,
    LISTEN_TIMEOUT_S,
    ConnectionStart,
    StreamTime,
    VideoPacket,
    find_listen_error,
    is_listen_address,
    to_open_arguments,
)
from flycam.media.mp4 import (
    TICKS_PER_S,
    CodedSample,
    ParameterSets,
    VideoCodec,
    encode_fragment,
    encode_head,
    extract_parameter_sets,
    split_units,
    to_length_prefixed,
)
from flycam.messages import Message, _, verbatim
from flycam.model.text import strip_url_credentials
from flycam.storage.files import RECORDING_BYTES

OnLoss = Callable[[str, int, Message | None], None]
"""Called with a reason, the number of frames just lost for it, and a sentence or None; from any thread."""

# -- Coded frames between two threads, bounded by bytes --------------------------------------------


class PacketRule:
    """Rule of a `BoundedQueue` of coded frames, whose producer never waits.

    Frames that do not fit are dropped up to the next key frame: a frame without the one from which it is
    predicted cannot be decoded.

    on_drop       called with the number of frames just dropped
    keeps_newest  then waiting frames are dropped too: a decoder wants the newest frames, a recorder all that
                  there is room for
    """

    def __init__(self, max_bytes: int, on_drop: Callable[[int], None], *, keeps_newest: bool) -> None:
        self._most, self._on_drop, self._keeps_newest = max_bytes, on_drop, keeps_newest
        self._is_skipping = False

    def __call__(self, waiting: deque[VideoPacket], packet: VideoPacket) -> bool:
        """Make room for the newest frame; return False where it is dropped."""
        if self._is_skipping and packet.is_key:
            self._is_skipping = False
            if self._keeps_newest:
                self._on_drop(len(waiting))
                waiting.clear()
        size = sum(len(one.data) for one in waiting) + len(packet.data)
        self._is_skipping |= size > self._most
        if self._is_skipping:
            self._on_drop(1)
        return not self._is_skipping


# -- Recording of a stream as received, in segments of fragmented MP4 ------------------------------
#
# Nothing is transcoded. A segment begins with a key frame, is written in fragments of half a second, synced,
# and renamed when it is complete. One that was never closed (its process died, power was cut) is complete up
# to its last fragment. A disk that is slow or full loses frames of the recording, which are counted, and
# nothing else.


UNFINISHED, FINISHED = ".part", ".mp4"
_FRAGMENT_NS = 500_000_000
_GAP_NS = 10 * 10**9  # longest gap inside a segment
# A segment may become this many times as long where no key frame comes.
_HARD = 4
_UNWRITTEN_BYTES = 32 << 20
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


class Recorder:
    """Thread that writes the frames of a stream until it is closed.

    on_loss  called with the frames that are not recorded, "unrecorded", and with a sentence about trouble,
             once until it is over
    """

    def __init__(self, order: RecordingOptions, size_px: tuple[int, int], on_loss: OnLoss) -> None:
        self._order, self._size_px, self._on_loss = order, size_px, on_loss
        self._packets = BoundedQueue(admit=PacketRule(_UNWRITTEN_BYTES, self._lose, keeps_newest=False))
        self._piece: _Piece | None = None
        self._time = StreamTime()
        self._newest_ns: int | None = None
        self._is_again = False
        self._waiting: list[VideoPacket] = []
        self._reordered = False
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
                self._lose(1)
                self._suspend(_why(error))
        try:
            self._end()
        except OSError as error:
            self._suspend(_why(error))
        if self._lock_fd is not None:
            os.close(self._lock_fd)

    def _add(self, packet: VideoPacket) -> None:
        self._place(packet)
        if self._is_due(packet):
            self._end(packet)
        if self._piece is None and not self._begin(packet):
            self._lose(1)
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
            self._lose(len(waiting))
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
        self._lose(len(self._waiting))
        self._waiting = []
        if self._piece is not None:
            self._piece.file.close()
            self._piece = None
        if not self._in_trouble:
            self._in_trouble = True
            trouble = _(
                "{folder}: the video is not recorded at this moment ({why}); the map continues; free "
                "some space there",
                folder=self._order.folder,
                why=why,
            )
            self._on_loss("unrecorded", 0, trouble)

    def _lose(self, count: int) -> None:
        if count:
            self._on_loss("unrecorded", count, None)


def _why(error: OSError) -> Message:
    """Return the error's reason."""
    if error.errno == errno.ENOSPC:
        return _("No space left on device")
    return verbatim(error.strerror or str(error))


def _ticks(ns: int) -> int:
    return max(0, round(ns * TICKS_PER_S / 1e9))


# -- Reception of a stream: one connection that feeds a decoder and a recorder ---------------------
#
# OpenCV's FFmpeg (LGPL) reads it without decoding (CAP_PROP_FORMAT -1 gives coded frames with start codes);
# the decoder is a second reader of the same library, fed over a pipe with fragmented MP4 in which a frame's
# time is its number: jumping times would confuse the decoder, and the true times are kept here.


READ_TIMEOUT_MS = 6_000
_PIPE_OPTIONS = "flags;low_delay|fpsprobesize;0"
_MAX_FPS = 240.0  # a larger value means unknown
OPTIONS_NAME = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_CODINGS = {
    **dict.fromkeys(("h264", "avc1", "x264"), VideoCodec.H264),
    **dict.fromkeys(("hevc", "h265", "hvc1", "hev1"), VideoCodec.H265),
}
# Streams with gradual intra refresh have no key frames.
_KEY_FRAME_TIMEOUT_S = 5.0
_PIPE_BYTES = 1 << 20
_UNDECODED_BYTES = 4 << 20
# Ticks of the decoder's clock between one frame number and the next.
_STEP = TICKS_PER_S // 30
_REMEMBERED = 512
_CLOSE_S = 3.0
_AGAIN_S = 0.5
_MAX_STEP_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class FrameTime:
    """Times of a frame.

    pts_ns      the stream's own time
    arrived_ns  monotonic arrival time
    """

    pts_ns: int
    arrived_ns: int


class StreamReceiver:
    """Receiver of one connection.

    `decoder_path` is what the decoder opens, `frame_time` gives the times of its frames.

    newest_ns  monotonic arrival time of the newest coded frame, whether it was decoded or not
    """

    def __init__(
        self,
        video: cv2.VideoCapture,
        coding: VideoCodec,
        recording: RecordingOptions | None,
        on_loss: OnLoss,
        zero_utc_ns: int,
    ) -> None:
        self._video, self._coding = video, coding
        self._zero_utc_ns = zero_utc_ns
        told_fps = float(video.get(cv2.CAP_PROP_FPS))
        self.fps = told_fps if told_fps <= _MAX_FPS else 0.0
        self._size_px = (
            round(video.get(cv2.CAP_PROP_FRAME_WIDTH)),
            round(video.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        self._parameters = self._announced()
        self._newest_pts_ns: int | None = None
        self.newest_ns = time.monotonic_ns()
        self._moments: OrderedDict[int, FrameTime] = OrderedDict()
        self._lock = threading.Lock()
        to_decode = PacketRule(
            _UNDECODED_BYTES, lambda count: on_loss("undecoded", count, None), keeps_newest=True
        )
        self._to_decode = BoundedQueue(admit=to_decode)
        self._recorder = None if recording is None else Recorder(recording, self._size_px, on_loss)
        self._read_fd, self._write_fd = os.pipe()
        fcntl.fcntl(self._write_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self.decoder_path = f"/dev/fd/{self._read_fd}"
        os.environ[OPTIONS_NAME] = _PIPE_OPTIONS
        for work in (self._receive, self._feed):
            threading.Thread(target=work, name=work.__name__, daemon=True).start()

    def frame_time(self, clock_ms: float) -> FrameTime:
        """Return the times of a frame at `clock_ms` of the decoder's clock."""
        number = round(clock_ms / 1e3 * TICKS_PER_S / _STEP)
        with self._lock:
            if number in self._moments:
                return self._moments[number]
            nearest = min(self._moments, key=lambda one: abs(one - number))
            return self._moments[nearest]

    def close(self) -> None:
        """Finish the recording at the end of the stream."""
        if self._recorder is not None:
            self._recorder.close(_CLOSE_S)

    def _announced(self) -> ParameterSets | None:
        """Return the parameter sets that the stream announces before its first frame."""
        there, data = self._video.retrieve(None, int(self._video.get(cv2.CAP_PROP_CODEC_EXTRADATA_INDEX)))
        return (
            extract_parameter_sets(split_units(data.tobytes()), self._coding)
            if there and data is not None
            else None
        )

    def _receive(self) -> None:
        number, began_s, beginning = 0, time.monotonic(), ConnectionStart()
        try:
            asked_ns = time.monotonic_ns()
            there, coded = self._video.read()
            while there:
                packet = self._packet(number, coded, asked_ns)
                is_late = time.monotonic() - began_s > _KEY_FRAME_TIMEOUT_S
                if packet is not None and (number or packet.is_key or is_late):
                    number += 1
                    self._give(beginning.add(packet))
                asked_ns = time.monotonic_ns()
                there, coded = self._video.read()
            self._give(beginning.end())
        finally:
            self._to_decode.close()

    def _give(self, packets: list[VideoPacket]) -> None:
        for packet in packets:
            self._to_decode.put(packet)
            if self._recorder is not None:
                self._recorder.put(packet)

    def _packet(self, number: int, coded: np.ndarray, asked_ns: int) -> VideoPacket | None:
        """Return the coded frame; None before the stream's parameter sets are known."""
        pts_ns = round(float(self._video.get(cv2.CAP_PROP_POS_MSEC)) * 1e6)
        arrived_ns = self._came_ns(pts_ns, asked_ns)
        units = split_units(coded.tobytes())
        self._parameters = extract_parameter_sets(units, self._coding) or self._parameters
        if self._parameters is None or not units:
            return None
        return VideoPacket(
            number=number,
            pts_ns=pts_ns,
            arrived_ns=arrived_ns,
            arrived_utc_ns=self._zero_utc_ns + arrived_ns,
            is_key=self._video.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME) > 0,
            data=to_length_prefixed(units, self._coding),
            parameters=self._parameters,
        )

    def _came_ns(self, pts_ns: int, asked_ns: int) -> int:
        """Return the arrival time of the frame requested at `asked_ns`.

        MPEG-TS marks the end of a frame only by the beginning of the next: the last one before a silence is
        delivered once the read timeout has passed. Such a frame came as long after the one before as it was
        taken after it.
        """
        now_ns = time.monotonic_ns()
        before_pts_ns, self._newest_pts_ns = self._newest_pts_ns, pts_ns
        if before_pts_ns is not None and now_ns - asked_ns >= READ_TIMEOUT_MS * 1_000_000:
            now_ns = self.newest_ns + min(max(0, pts_ns - before_pts_ns), _MAX_STEP_NS)
        self.newest_ns = now_ns
        return now_ns

    def _feed(self) -> None:
        """Feed the decoder with received frames until the stream or the decoder ends."""
        first: VideoPacket | None = None
        try:
            while (packet := self._to_decode.get()) is not None:
                if first is None:
                    first = packet
                    self._write(encode_head(packet.parameters, self._size_px, 0))
                with self._lock:
                    number = packet.number - first.number
                    self._moments[number] = FrameTime(packet.pts_ns, packet.arrived_ns)
                    while len(self._moments) > _REMEMBERED:
                        self._moments.popitem(last=False)
                at = number * _STEP
                self._write(
                    encode_fragment(number + 1, [CodedSample(at, packet.is_key, packet.data)], at + _STEP)
                )
        except BrokenPipeError:
            return  # the decoder has ended
        finally:
            os.close(self._write_fd)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._write_fd, view) :]


def open_receiver(
    url: str, recording: RecordingOptions | None, on_loss: OnLoss, zero_utc_ns: int
) -> StreamReceiver | None:
    """Open a stream; return None for a codec that only the decoder knows.

    zero_utc_ns  UTC at which the monotonic clock was 0, by which recordings are dated

    Raises ConnectionRefusedError where nothing readable comes, another OSError where it cannot be listened
    at.
    """
    video = _opened_stream(url)
    code = int(video.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin-1").lower()
    coding = _CODINGS.get(code)
    if coding is None:
        video.release()
        if recording is not None:
            on_loss(
                "unrecorded",
                0,
                _(
                    "the video is not recorded: its pictures are coded as {code}, not H.264 or H.265",
                    code=code,
                ),
            )
        return None
    return StreamReceiver(video, coding, recording, on_loss, zero_utc_ns)


def _opened_stream(url: str) -> cv2.VideoCapture:
    """Open the capture of a stream.

    At a listen address a new attempt follows each one that times out: packets that come once a sender
    connects are then separate from older ones, which are seconds old at most.
    """
    address, options, open_ms = to_open_arguments(url)
    os.environ.setdefault(OPTIONS_NAME, options)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, open_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
    until_s = time.monotonic() + (LISTEN_TIMEOUT_S if is_listen_address(url) else 0.0)
    while True:
        asked_s = time.monotonic()
        video = cv2.VideoCapture(address, cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1, *limits])
        if video.isOpened():
            return video
        if is_listen_address(url) and (why := find_listen_error(url)) is not None:
            raise why
        now_s = time.monotonic()
        if now_s >= until_s:
            raise ConnectionRefusedError(strip_url_credentials(url))
        if now_s - asked_s < _AGAIN_S:  # something came that is not video
            time.sleep(_AGAIN_S)


# -- Detection and removal of interlacing ----------------------------------------------------------
#
# A camera that sends interlaced frames seldom states it, and a stream that was encoded again never does. The
# rows show it: in a progressive frame a row is best predicted by its neighbours, in an interlaced one by the
# rows of its own field (the measure of Koivunen's motion-adaptive deinterlacing, 1994, over the whole frame).


Picture = NDArray[np.uint8]

_COLUMN_STEP = 16
# Noise alone gives 1; a progressive frame gives less; one combed by motion of a pixel or more gives 1.3 to 3.
_COMBED = 1.15
_SURE = 3


def measure_combing(picture: Picture) -> float:
    """Return how much worse neighbouring rows predict a row than its field does.

    picture  rows×columns×3 uint8
    """
    green = picture[:, ::_COLUMN_STEP, 1].astype(np.float32)
    of_neighbours = np.abs(green[1:-1] - 0.5 * (green[:-2] + green[2:]))[1:-1]
    of_field = np.abs(green[2:-2] - 0.5 * (green[:-4] + green[4:]))
    return float((of_neighbours.mean() + 1e-3) / (of_field.mean() + 1e-3)) if of_field.size else 0.0


class FieldSelector:
    """Filter that keeps one moment of each frame: the upper field of interlaced ones."""

    def __init__(self) -> None:
        self._combed = 0

    @property
    def is_interlaced(self) -> bool:
        """True once enough frames were combed to take all as interlaced."""
        return self._combed >= _SURE

    def select(self, picture: Picture) -> Picture:
        """Return the frame (rows×columns×3 uint8), deinterlaced where necessary.

        The lower field is interpolated from the upper one's rows, so static content does not move.
        """
        if not self.is_interlaced:
            if measure_combing(picture) < _COMBED:
                return picture
            self._combed += 1
        rows, columns = picture.shape[:2]
        # row 2k of the frame is row k of its field
        halved = np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.0]])
        flags, beyond = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
        field = np.ascontiguousarray(picture[::2])
        resized = cv2.warpAffine(field, halved, (columns, rows), flags=flags, borderMode=beyond)
        return np.asarray(resized, np.uint8)


# -- Decoder, and its pipe to the parent -----------------------------------------------------------


# FFmpeg's own messages would show addresses with their passwords on the operator's terminal.
_QUIET = "-8"
# A file may be a list of addresses, which must not be opened.
_FILM_OPTIONS = f"protocol_whitelist;file|format_whitelist;{FORMATS}"

MAX_PIXELS = 7680 * 4320
"""Largest frame, 8K. FFmpeg accepts eight times as many pixels, and a few such frames fill the memory."""

_MAX_BROKEN_FRAMES = 300  # in a row: ten seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodingRequest:
    """Request to decode one video.

    url          a path or an address
    is_paced     no faster than the frames' own times
    recording    options for recording a stream
    zero_utc_ns  UTC at which the monotonic clock was 0, by which a stream is dated
    """

    url: str
    is_paced: bool
    zero_utc_ns: int
    recording: RecordingOptions | None = None


class _Parent:
    """Connection to the parent, shared by several threads.

    A message that cannot be sent any more ends the decoding.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._lock = pipe, threading.Lock()

    def send(self, *words: object) -> None:
        with self._lock:
            self._pipe.send(words)

    def send_loss(self, reason: str, count: int, sentence: Message | None) -> None:
        """Report lost frames; ignore a parent that is gone.

        Called from any thread: one that finds the parent gone goes on to its own end.
        """
        with suppress(OSError):
            self.send("lost", reason, count, sentence)

    def receive(self) -> object:
        return self._pipe.recv()


def run_decoder(order: DecodingRequest, pipe: Connection) -> None:
    """Run the decoder until the video ends or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", _QUIET)
    try:
        _decode(order, _Parent(pipe))
    except (BrokenPipeError, ConnectionResetError, EOFError):
        return
    finally:
        pipe.close()


def _decode(order: DecodingRequest, parent: _Parent) -> None:
    is_address = "://" in order.url
    try:
        received = (
            open_receiver(order.url, order.recording, parent.send_loss, order.zero_utc_ns)
            if is_address
            else None
        )
    except ConnectionRefusedError:
        parent.send("failed", "nothing that can be read comes from there")
        return
    except OSError as error:
        parent.send("not here", error.errno or 0)
        return
    if not is_address:
        os.environ[OPTIONS_NAME] = _FILM_OPTIONS
    video = _opened(order.url if received is None else received.decoder_path, is_address and received is None)
    # before any frame is decoded: a single one takes memory by its stated size
    said_px = [int(video.get(what)) for what in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
    if said_px[0] * said_px[1] > MAX_PIXELS:
        parent.send("too large", *said_px)
        return
    there, bgr = video.read() if video.isOpened() else (False, None)
    if not there or bgr is None:
        parent.send("failed", "it holds no picture that can be decoded")
        return
    height, width = bgr.shape[:2]
    if width * height > MAX_PIXELS:
        parent.send("too large", width, height)
        return
    fps, count = (float(video.get(what)) for what in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
    seconds = count / fps if count > 0 and fps > 0 and received is None else 0.0
    arrived_ns = _moment(video, received).arrived_ns
    parent.send("opened", width, height, fps if received is None else received.fps, seconds, arrived_ns)
    ring = SharedMemory(name=str(parent.receive()))
    try:
        _fill(order, parent, video, bgr, ring, received)
    finally:
        ring.close()


def _opened(url: str, is_address: bool) -> cv2.VideoCapture:
    limits: list[int] = []
    # not for a file: the frames read to probe it would be lost
    if is_address:
        url, options, open_ms = to_open_arguments(url)
        os.environ.setdefault(OPTIONS_NAME, options)
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, open_ms]
        limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
    common = [cv2.CAP_PROP_N_THREADS, 1]  # threads would delay frames
    video = cv2.VideoCapture(url, cv2.CAP_FFMPEG, [*common, *limits])
    video.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # rows stay as the sensor read them
    return video


def _moment(video: cv2.VideoCapture, received: StreamReceiver | None) -> FrameTime:
    """Return the time of the frame read last."""
    pts_ms = float(video.get(cv2.CAP_PROP_POS_MSEC))
    if received is not None:
        return received.frame_time(pts_ms)
    return FrameTime(round(pts_ms * 1e6), time.monotonic_ns())


def _next(video: cv2.VideoCapture, *, again: bool) -> tuple[bool, np.ndarray, int]:
    """Return (found, frame, number of undecodable frames before it).

    again  read on after a frame that cannot be decoded: lost bytes do not end a file. At its end the reader
           answers at once; a stream that FFmpeg itself reads would keep us waiting every time.
    """
    for failed in range(_MAX_BROKEN_FRAMES if again else 1):
        there, bgr = video.read()
        if there:
            return True, bgr, failed
    return False, np.empty(0), 0


def _fill(
    order: DecodingRequest,
    parent: _Parent,
    video: cv2.VideoCapture,
    bgr: np.ndarray,
    ring: SharedMemory,
    received: StreamReceiver | None,
) -> None:
    shape, size = bgr.shape, bgr.nbytes
    fields = FieldSelector()
    began_s: float | None = None
    there = True
    while there:
        moment = _moment(video, received)
        if order.is_paced:
            began_s = time.monotonic() - moment.pts_ns / 1e9 if began_s is None else began_s
            time.sleep(max(0.0, began_s + moment.pts_ns / 1e9 - time.monotonic()))
            moment = FrameTime(moment.pts_ns, time.monotonic_ns())
        slot = parent.receive()
        if not isinstance(slot, int):
            return
        if bgr.shape != shape:
            parent.send("failed", "its pictures change their size on the way")
            return
        rgb = np.ndarray(shape, np.uint8, ring.buf, offset=slot * size)
        cv2.cvtColor(fields.select(bgr), cv2.COLOR_BGR2RGB, dst=rgb)
        newest_ns = moment.arrived_ns if received is None else received.newest_ns
        parent.send("picture", slot, moment.pts_ns, moment.arrived_ns, newest_ns)
        there, bgr, failed = _next(video, again=received is not None or "://" not in order.url)
        if there and failed:
            parent.send_loss("broken", failed, None)
    if received is not None:
        received.close()
    parent.send("ended", "")
