"""Frames of a video file or stream, each with its time, and stream outages.

The first stage of a live flight: a process receives, records and decodes (`decoder_process`), and a thread
here puts its frames into a queue, from which late ones are dropped. A frame's time is the container's time of
creation plus its PTS; where no creation is stated (and on a stream, whose PTS begin anywhere) see
`VideoFrame`. A stream that ends, stalls or dies is opened again with growing pauses; a file is not.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from flycam.concurrency import BoundedQueue, DropCounter
from flycam.errors import Cancelled, SourceUnreadable
from flycam.ingest.telemetry.mavlink_link import SteadyClock
from flycam.ingest.video.decoder_process import (
    READ_TIMEOUT_MS,
    DecodingRequest,
    OnLoss,
    RecordingOptions,
    run_decoder,
)
from flycam.ingest.video.stream import (
    LISTEN_TIMEOUT_S,
    StreamTime,
    is_listen_address,
    make_listen_error,
    make_open_error,
    make_resolution_error,
    to_open_arguments,
)
from flycam.media.mp4 import find_box, parse_creation_s
from flycam.messages import Message, _, ngettext
from flycam.model.text import strip_url_credentials
from flycam.model.time import EARLIEST_NS
from flycam.storage.files import make_unopenable

# -- Outages of a stream, and the ground that is missing in the mosaic -----------------------------


_MIN_OUTAGE_S = 2.0
_MIN_FRAMES_MISSED = 3.0  # for a stream of low frame rate


@dataclass(frozen=True, slots=True)
class Outages:
    """Outages of a stream.

    count    times that no frame came for two seconds or more, and then some did
    seconds  total length of these
    last_s   seconds without frames before the stream was stopped, 0: it was not lost then
    """

    count: int = 0
    seconds: float = 0.0
    last_s: float = 0.0

    def remarks(self, name: str) -> tuple[Message, ...]:
        """Return remarks on the stream; none without outages."""
        notes = []
        if self.count:
            notes.append(
                ngettext(
                    "{name}: was lost once, {seconds:.0f} s without pictures in all: what was flown over "
                    "meanwhile is missing",
                    "{name}: was lost {count} times, {seconds:.0f} s without pictures in all: what was flown "
                    "over meanwhile is missing",
                    self.count,
                    name=name,
                    seconds=self.seconds,
                )
            )
        if self.last_s:
            notes.append(
                _(
                    "{name}: no picture arrived in the last {seconds:.0f} s before it was stopped",
                    name=name,
                    seconds=self.last_s,
                )
            )
        return tuple(notes)


class OutageCounter:
    """Counter of a stream's outages over all its connections."""

    def __init__(self) -> None:
        self._newest_ns: int | None = None
        self._least_ns = 0
        self._outages = Outages()

    def add(self, came_ns: int, fps: float) -> None:
        """Note when the newest frame came, monotonic; fps of the stream, 0 unknown."""
        least_s = max(_MIN_OUTAGE_S, _MIN_FRAMES_MISSED / fps) if fps > 0.0 else _MIN_OUTAGE_S
        self._least_ns = round(least_s * 1e9)
        if self._newest_ns is not None and came_ns - self._newest_ns >= self._least_ns:
            seconds = (came_ns - self._newest_ns) / 1e9
            self._outages = Outages(self._outages.count + 1, self._outages.seconds + seconds)
        self._newest_ns = came_ns

    def outages(self, stopped_ns: int | None = None) -> Outages:
        """Return the outages by now.

        stopped_ns  when the stream was stopped; None: it was not
        """
        past, newest_ns = self._outages, self._newest_ns
        if stopped_ns is None or newest_ns is None or stopped_ns - newest_ns < self._least_ns:
            return past
        return Outages(past.count, past.seconds, (stopped_ns - newest_ns) / 1e9)


# -- One run of the decoder process: open, read, watch, end ----------------------------------------


_MAX_SLOTS, _RING_BYTES = 4, 128 << 20
_LOOK_S = 0.2
_OPEN_SLACK_S, STALL_S = 30.0, READ_TIMEOUT_MS / 1e3 + 4.0


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """One decoded frame.

    pts_ns      presentation time in the container
    arrived_ns  monotonic arrival time; on a stream, before decoding
    newest_ns   arrival time of the newest frame by then, which may wait to be decoded
    pixels      H×W×3 uint8 RGB, owned by the caller
    """

    pts_ns: int
    arrived_ns: int
    newest_ns: int
    pixels: NDArray[np.uint8]


def count_fitting_frames(max_count: int, max_bytes: int, size_px: tuple[int, int]) -> int:
    """Return how many RGB frames of a size (width, height) fit into `max_bytes`.

    At most `max_count`, and at least two: one is written while another is read.
    """
    return max(2, min(max_count, max_bytes // (size_px[0] * size_px[1] * 3)))


class Decoder:
    """Decoder process, used as a context manager.

    On exit the process and its memory are gone, whatever they were doing.

    open_s, stall_s  timeouts for opening the video (None: as its address needs) and for each frame
    size_px          (width, height); fps and duration_s as the container states them, 0 unknown
    opened_ns        monotonic time at which the first frame came
    ending           why `frames` ended: "" at the video's own end or when `is_stopped` is true
    on_loss          called in `frames` and on opening with what was lost before it was decoded, or recorded
    """

    def __init__(
        self,
        order: DecodingRequest,
        open_s: float | None,
        stall_s: float,
        is_stopped: Callable[[], bool],
        on_loss: OnLoss,
    ) -> None:
        self._order, self._stall_s = order, stall_s
        self._is_stopped, self._on_loss = is_stopped, on_loss
        waited_s = LISTEN_TIMEOUT_S if is_listen_address(order.url) else 0.0
        self._open_s = (
            waited_s + to_open_arguments(order.url)[2] / 1e3 + _OPEN_SLACK_S if open_s is None else open_s
        )
        self._ring: SharedMemory | None = None
        self._slots = 0
        self.size_px = (0, 0)
        self.fps, self.duration_s = 0.0, 0.0
        self.opened_ns = 0
        self.ending = ""
        context = multiprocessing.get_context("spawn")
        self._pipe, far = context.Pipe()
        self._process = context.Process(
            target=run_decoder, args=(order, far), daemon=True, name="flycam-decoder"
        )
        self._process.start()
        far.close()

    @property
    def pid(self) -> int | None:
        """Process id of the decoder."""
        return self._process.pid

    def __enter__(self) -> Self:
        """Wait until the video is open.

        Raises SourceUnreadable naming it, Cancelled where `is_stopped` is true before.
        """
        try:
            reply = self._receive_message(self._open_s)
            if reply is None and self._is_stopped():
                raise _stopped_before(self._order.url)
            if reply is not None and reply[0] == "not here":
                raise make_listen_error(self._order.url, int(reply[1]))
            if reply is not None and reply[0] == "too large":
                raise make_resolution_error(self._order.url, int(reply[1]), int(reply[2]))
            if reply is None or reply[0] != "opened":
                raise make_open_error(self._order.url, self.ending or str(reply[1]) if reply else self.ending)
            __, width, height, self.fps, self.duration_s, self.opened_ns = reply
            self.size_px = (width, height)
            self._slots = count_fitting_frames(_MAX_SLOTS, _RING_BYTES, self.size_px)
            self._ring = SharedMemory(create=True, size=self._slots * width * height * 3)
            self._pipe.send(self._ring.name)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def frames(self) -> Iterator[DecodedFrame]:
        """Yield the frames as they come, copied out of the ring buffer."""
        assert self._ring is not None, "enter the decoder first"  # noqa: S101  a mistake in the code
        width, height = self.size_px
        for slot in range(self._slots):
            if not self._receive_slot(slot):
                return
        while (message := self._receive_message(self._stall_s)) is not None:
            kind, *rest = message
            if kind != "picture":
                self.ending = str(rest[0])
                return
            slot, pts_ns, arrived_ns, newest_ns = rest
            shared = np.ndarray(
                (height, width, 3), np.uint8, self._ring.buf, offset=slot * width * height * 3
            )
            decoded = DecodedFrame(pts_ns, arrived_ns, newest_ns, shared.copy())
            del shared
            self._receive_slot(slot)
            yield decoded

    def _receive_slot(self, slot: int) -> bool:
        try:
            self._pipe.send(slot)
        except OSError:
            # its last message may still wait in the pipe
            return self._process.is_alive()
        return True

    def _receive_message(self, seconds: float) -> tuple[Any, ...] | None:
        """Return the process's next message.

        None, with the reason in `ending`, if it is stuck or gone.
        """
        try:
            until_s = time.monotonic() + seconds
            while time.monotonic() < until_s and not self._is_stopped():
                if self._pipe.poll(min(_LOOK_S, max(until_s - time.monotonic(), 0.0))):
                    message = tuple(self._pipe.recv())
                    if message[0] != "lost":
                        return message
                    self._on_loss(*message[1:])
            if self._is_stopped():
                return None
            self.ending = f"it gave no picture for {seconds:.0f} s"
        except (EOFError, OSError):
            self.ending = "its decoder died"
        return None

    def _end(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()
        if self._ring is not None:
            self._ring.close()
            self._ring.unlink()
            self._ring = None


def _stopped_before(url: str) -> Cancelled:
    return Cancelled(
        _(
            "{url}: stopped before any video arrived; the same command waits for it again",
            url=strip_url_credentials(url),
        )
    )


# -- Source of a video's frames --------------------------------------------------------------------


_QUEUE, _QUEUE_BYTES = 8, 256 << 20
_MAX_MOOV_BYTES = 64 << 20
_CUT_S = 2.0  # shorter than the file states
_DRILL_MARK = b"urn:flycam:drill:"
_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.5, 8.0
# When listening: frames that are sent during the pause are lost.
_MAX_DEAF_S = 1.0
STREAM_SCHEMES = ("rtsp", "udp", "srt", "rtmp", "tcp", "http", "https")


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoFrame:
    """One frame of a video.

    pts_ns      the container's time; on a stream, since it was opened here
    t_utc_ns    when it was taken, by the camera's clock; on a stream by the receiver's; for a file without
                creation time pts_ns alone, which counts from its first frame
    arrived_ns  monotonic arrival time, for measuring the latency of its tiles
    pixels      H×W×3 uint8 RGB, rows as the sensor read them
    breaks      number of jumps of the stream's own time, or corrections of its dating, by then: an interval
                across a break is not that between the exposures
    """

    pts_ns: int
    t_utc_ns: int
    arrived_ns: int
    pixels: NDArray[np.uint8]
    breaks: int = 0


@dataclass(slots=True)
class VideoHealth:
    """State of a video source, for display: drops by reason, remarks, connections.

    Reasons: "overrun" (not read in time), "undecoded" (came faster than it could be decoded), "broken" (could
    not be decoded), "pts_backwards"; "unrecorded" frames are missing in the recording only. The stages that
    take its frames count on in `dropped`.

    arrived_ns  monotonic time at which the last frame came, decoded or not; None: none was decoded yet
    """

    dropped: DropCounter = field(default_factory=DropCounter)
    remarks: list[Message] = field(default_factory=list)
    connections: int = 0
    arrived_ns: int | None = None


class VideoSource:
    """Source of a video's frames: iterate over `frames()` inside the context.

    url            a file's path, or an address (rtsp://, udp:// with MPEG-TS, …)
    is_realtime    play a file at its own speed and drop frames not read in time; always so for a stream
    recording      how to record a stream as it comes; None: do not
    clock          by which a stream is dated
    is_stopped     asked while a stream is opened or is silent: once true it is stopped
    size_px        (width, height), known inside the context, as are fps and duration_s (0 unknown)
    began_ns       UTC at which it was opened here
    created_ns     UTC of the first frame as the file states it; None where it does not, and for streams
    """

    def __init__(
        self,
        url: str,
        *,
        is_realtime: bool = False,
        open_s: float | None = None,
        stall_s: float = STALL_S,
        recording: RecordingOptions | None = None,
        clock: SteadyClock | None = None,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.url, self.is_stream = url, is_stream(url)
        clock = clock or SteadyClock()
        self._open_s, self._stall_s = open_s, stall_s
        self._drops = is_realtime or self.is_stream
        self._order = DecodingRequest(
            url=url,
            is_paced=is_realtime and not self.is_stream,
            zero_utc_ns=clock.zero_ns,
            recording=recording if self.is_stream else None,
        )
        self._most = _QUEUE
        self._queue = self._make_queue()
        self._stopped = threading.Event()
        self.is_stopped = is_stopped
        self._thread: threading.Thread | None = None
        self._decoder: Decoder | None = None
        self._error: BaseException | None = None
        self._last_pts_ns = -1
        self._breaks_before = 0
        self._put_back: deque[VideoFrame] = deque()
        self._outages = OutageCounter()
        self._stopped_ns: int | None = None
        self.began_ns = self._began_ns = 0
        self.health = VideoHealth()
        self.size_px = (0, 0)
        self.fps, self.duration_s = 0.0, 0.0
        self.created_ns = None if self.is_stream else read_creation_ns(Path(url))

    @property
    def name(self) -> str:
        """Display name, as from `make_video_name`."""
        return make_video_name(self.url)

    @property
    def is_undated(self) -> bool:
        """True for a file without creation time: only a log tells when it was filmed."""
        return not self.is_stream and self.created_ns is None

    @property
    def outages(self) -> Outages | None:
        """Outages of a stream so far; None for a file."""
        return self._outages.outages(self._stopped_ns) if self.is_stream else None

    @property
    def remarks(self) -> tuple[Message, ...]:
        """Remarks so far."""
        outages = self.outages
        return (*self.health.remarks, *(outages.remarks(self.name) if outages else ()))

    @property
    def decoder_pid(self) -> int | None:
        """Process id of the current decoder, or of the last one."""
        return self._decoder.pid if self._decoder else None

    def __enter__(self) -> VideoSource:
        """Open the video.

        Raises SourceUnreadable where it cannot be opened, Cancelled if it is stopped before.
        """
        decoder = self._decoder = self._start_decoder()
        decoder.__enter__()
        self.size_px, self.fps = decoder.size_px, decoder.fps
        self._most = count_fitting_frames(_QUEUE, _QUEUE_BYTES, self.size_px)
        self._queue = self._make_queue()
        self.duration_s = decoder.duration_s
        self._began_ns = decoder.opened_ns
        self.began_ns = self._order.zero_utc_ns + decoder.opened_ns
        self._thread = threading.Thread(target=self._pump, name="video", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *__: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop, and wait until the decoder process is gone."""
        self.stop()
        if self._thread is not None:
            self._thread.join()

    def stop(self) -> None:
        """Let `frames` end after what already waits, or cancel the opening."""
        self._stopped_ns = self._stopped_ns or time.monotonic_ns()
        self._stopped.set()
        self._queue.close()

    def frames(self) -> Iterator[VideoFrame]:
        """Yield frames in order of time, until the file ends or `stop` is called.

        A second call yields the next ones.
        """
        while (picture := self._next()) is not None:
            yield picture
        if self._error is not None:
            raise self._error

    def put_back(self, frames: Iterable[VideoFrame]) -> None:
        """Yield these frames again before those to come; oldest first."""
        self._put_back.extend(frames)

    def _next(self) -> VideoFrame | None:
        if self._put_back:
            return self._put_back.popleft()
        while True:
            # A silent stream is stopped too; a file's reader asks at every frame.
            if self.is_stream and self.is_stopped():
                self.stop()
            with suppress(TimeoutError):
                return self._queue.get(_LOOK_S)

    def _make_queue(self) -> BoundedQueue[VideoFrame]:
        return BoundedQueue(self._most, self._drop_oldest if self._drops else None)

    def _drop_oldest(self, waiting: deque[VideoFrame], _newest: VideoFrame) -> bool:
        if len(waiting) >= self._most:
            waiting.popleft()
            self.health.dropped.add("overrun")
        return True

    def _start_decoder(self) -> Decoder:
        return Decoder(
            self._order,
            self._open_s,
            self._stall_s,
            lambda: self._stopped.is_set() or (self.is_stream and self.is_stopped()),
            self._note_loss,
        )

    def _pump(self) -> None:
        """Move frames from one decoder after another into the queue, in a thread."""
        decoder, pause_s = self._decoder, _FIRST_PAUSE_S
        try:
            while not self._stopped.is_set():
                if decoder is not None:
                    self._decoder = decoder
                    self.health.connections += 1
                    if self._drain(decoder):
                        pause_s = _FIRST_PAUSE_S
                if not self.is_stream or self._stopped.wait(pause_s):
                    return
                pause_s = min(2.0 * pause_s, self._longest_pause_s)
                decoder = self._opened_again()
        except BaseException as error:  # noqa: BLE001  raised again in `frames`
            self._error = error
        finally:
            self._queue.close()

    def _drain(self, decoder: Decoder) -> bool:
        """Queue all frames of one decoder run; return True if there were any."""
        count, times = 0, StreamTime(self._last_pts_ns)
        try:
            for decoded in decoder.frames():
                count += 1
                pts_ns = decoded.pts_ns
                if self.is_stream:
                    pts_ns = times.add(decoded.pts_ns, decoded.arrived_ns - self._began_ns)
                    self._note_jumps(times)
                if pts_ns <= self._last_pts_ns:
                    self.health.dropped.add("pts_backwards")
                    continue
                self._last_pts_ns = pts_ns
                self._note_came(decoded)
                if not self._queue.put(self._picture(pts_ns, decoded, times.breaks)):
                    return count > 0
                if self._stopped.is_set():
                    return True
        finally:
            decoder.__exit__(None, None, None)
            self._breaks_before += times.breaks
        self._note_broken(decoder, count)
        self._remark(decoder.ending, count)
        return count > 0

    @property
    def _longest_pause_s(self) -> float:
        return _MAX_DEAF_S if is_listen_address(self.url) else _MAX_PAUSE_S

    def _note_came(self, decoded: DecodedFrame) -> None:
        """Note an arrival by the newest coded frame.

        Late decoding is not silence of the stream, and frames a decoder kept back are not its life.
        """
        self.health.arrived_ns = decoded.newest_ns if self.is_stream else time.monotonic_ns()
        if self.is_stream:
            self._outages.add(decoded.newest_ns, self.fps)

    def _note_broken(self, decoder: Decoder, count: int) -> None:
        """Count frames that a file announces but never delivered, and report a cut.

        Only MP4 and MOV announce their number of frames; missing ones were damaged, or cut off.
        """
        is_whole = not decoder.ending and not self._stopped.is_set()
        missing = round(self.duration_s * self.fps) - count
        if not is_whole or missing <= 0 or self.is_stream or _movie_header(Path(self.url)) is None:
            return
        self.health.dropped.add("broken", max(0, missing - self.health.dropped["broken"]))
        came_s = self._last_pts_ns / 1e9
        if self.duration_s - came_s > _CUT_S:
            self.health.remarks.append(
                _(
                    "{name}: cut short: its pictures end after {came_s:.0f} of {duration_s:.0f} s; copy it "
                    "from the card again if it is whole there",
                    name=self.name,
                    came_s=came_s,
                    duration_s=self.duration_s,
                )
            )

    def _note_loss(self, reason: str, count: int, remark: Message | None) -> None:
        """Note frames lost before they came here."""
        if count:
            self.health.dropped.add(reason, count)
        if remark is not None and remark not in self.health.remarks:
            self.health.remarks.append(remark)

    def _picture(self, pts_ns: int, decoded: DecodedFrame, breaks: int) -> VideoFrame:
        begin_ns = self.began_ns if self.is_stream else (self.created_ns or 0)
        arrived_ns = decoded.arrived_ns if self.is_stream else time.monotonic_ns()
        return VideoFrame(
            pts_ns=pts_ns,
            t_utc_ns=begin_ns + pts_ns,
            arrived_ns=arrived_ns,
            pixels=decoded.pixels,
            breaks=self._breaks_before + breaks,
        )

    def _note_jumps(self, times: StreamTime) -> None:
        remark = _(
            "{name}: the stream's own time jumped, or stood still; from there on pictures are timed by "
            "their arrival",
            name=self.name,
        )
        if times.jumps and remark not in self.health.remarks:
            self.health.remarks.append(remark)

    def _opened_again(self) -> Decoder | None:
        decoder = self._start_decoder()
        try:
            decoder.__enter__()
        except (SourceUnreadable, Cancelled):
            return None
        if decoder.size_px == self.size_px:
            return decoder
        decoder.__exit__(None, None, None)
        raise SourceUnreadable(
            _(
                "{name}: came back with pictures of {width_px}×{height_px} after "
                "{former_width_px}×{former_height_px}: start again with the camera of the new size",
                name=self.name,
                width_px=decoder.size_px[0],
                height_px=decoder.size_px[1],
                former_width_px=self.size_px[0],
                former_height_px=self.size_px[1],
            )
        )

    def _remark(self, ending: str, count: int) -> None:
        if ending:
            self.health.remarks.append(
                ngettext(
                    "{name}: after {count} picture {ending}",
                    "{name}: after {count} pictures {ending}",
                    count,
                    name=self.name,
                    ending=ending,
                )
            )


def is_stream(url: str) -> bool:
    """Return True if this is the address of a stream, not a file."""
    scheme, found, __ = url.partition("://")
    return bool(found) and scheme.lower() in STREAM_SCHEMES


def make_video_name(url: str) -> str:
    """Return the public name: a file's name, or an address without credentials."""
    return strip_url_credentials(url) if is_stream(url) else Path(strip_url_credentials(url)).name


def read_creation_ns(path: Path) -> int | None:
    """Return when an MP4 or MOV file states that recording began, UTC ns.

    None: another container, not stated, or before any aircraft filmed, by a camera whose clock was never set.
    """
    moov = _movie_header(path)
    seconds = parse_creation_s(moov) if moov is not None else None
    return None if seconds is None or seconds * 1e9 < EARLIEST_NS else round(seconds * 1e9)


def is_exercise_video(path: Path) -> bool:
    """Return True if an MP4 or MOV file is marked as from an exercise."""
    return _DRILL_MARK in (_movie_header(path) or b"")


def _movie_header(path: Path) -> bytes | None:
    """Return the content of the file's `moov` box.

    Raises SourceUnreadable where it cannot be opened.
    """
    try:
        with path.open("rb") as file:

            def read_at(at: int, count: int) -> bytes:
                file.seek(at)
                return file.read(count)

            box = find_box(read_at, 0, path.stat().st_size, b"moov")
            if box is None or box[1] - box[0] > _MAX_MOOV_BYTES:
                return None
            return read_at(box[0], box[1] - box[0])
    except OSError as error:
        raise make_unopenable(strip_url_credentials(str(path)), error) from error
