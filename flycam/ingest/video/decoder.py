"""One run of the decoder process, seen from the parent: open, read, watch, end."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from flycam.errors import Cancelled
from flycam.ingest.video.decoder_process import DecodingRequest, run_decoder
from flycam.ingest.video.stream import (
    LISTEN_TIMEOUT_S,
    is_listen_address,
    make_listen_error,
    make_open_error,
    make_resolution_error,
    to_open_arguments,
)
from flycam.ingest.video.stream_receiver import READ_TIMEOUT_MS
from flycam.messages import Message, _
from flycam.model.text import strip_url_credentials

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
    ending           why `frames` ended: "" at the video's own end or when `stopped` is set
    lost             frames lost so far before they were decoded, or recorded, by reason
    remarks          remarks for the operator
    """

    def __init__(
        self,
        order: DecodingRequest,
        open_s: float | None = None,
        stall_s: float = STALL_S,
        stopped: threading.Event | None = None,
    ) -> None:
        self._order, self._stall_s = order, stall_s
        waited_s = LISTEN_TIMEOUT_S if is_listen_address(order.url) else 0.0
        self._open_s = (
            waited_s + to_open_arguments(order.url)[2] / 1e3 + _OPEN_SLACK_S if open_s is None else open_s
        )
        self._stopped = stopped or threading.Event()
        self._ring: SharedMemory | None = None
        self._slots = 0
        self.size_px = (0, 0)
        self.fps, self.duration_s = 0.0, 0.0
        self.opened_ns = 0
        self.ending = ""
        self.lost: Counter[str] = Counter()
        self.remarks: list[Message] = []
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

        Raises SourceUnreadable naming it, Cancelled where `stopped` is set before.
        """
        try:
            reply = self._receive_message(self._open_s)
            if reply is None and self._stopped.is_set():
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
            while time.monotonic() < until_s and not self._stopped.is_set():
                if self._pipe.poll(min(_LOOK_S, max(until_s - time.monotonic(), 0.0))):
                    message = tuple(self._pipe.recv())
                    if message[0] != "lost":
                        return message
                    self._note(*message[1:])
            if self._stopped.is_set():
                return None
            self.ending = f"it gave no picture for {seconds:.0f} s"
        except (EOFError, OSError):
            self.ending = "its decoder died"
        return None

    def _note(self, reason: str, count: int, sentence: Message | None) -> None:
        self.lost[reason] = count
        if sentence is not None:
            self.remarks.append(sentence)

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
            "{url}: stopped before any video came; the same command waits for it again",
            url=strip_url_credentials(url),
        )
    )
