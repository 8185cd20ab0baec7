"""Decoder process: video frames into shared memory, with deinterlacing.

A hang or crash of the decoder stays inside the process.

Parent and process talk over one pipe. From here: ("opened", width, height, fps, seconds, arrived_ns of the
first frame), ("too large", width, height), ("picture", slot, pts_ns, arrived_ns, arrived_ns of the newest
coded frame), ("lost", reason, frames by now, sentence or None), ("ended", ""), ("failed", why), ("not here",
errno). From the parent: the name of the ring buffer, then indexes of free slots; None to stop. A frame is
written only into a free slot, so decoding waits for a parent that does not read.

A stream is received in a thread of its own (`flycam.ingest.video.stream_receiver`), which also records it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.ingest.video.recorder import RecordingOptions
from flycam.ingest.video.stream import FORMATS, to_open_arguments
from flycam.ingest.video.stream_receiver import (
    OPTIONS_NAME,
    READ_TIMEOUT_MS,
    FrameTime,
    StreamReceiver,
    open_receiver,
)
from flycam.messages import Message

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


# -- Decoder process, and its pipe to the parent ---------------------------------------------------


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
    there, broken = True, 0
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
            broken += failed
            parent.send_loss("broken", broken, None)
    if received is not None:
        received.close()
    parent.send("ended", "")
