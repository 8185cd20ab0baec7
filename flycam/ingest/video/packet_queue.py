"""Coded pictures of a stream on their way from one thread to another, bounded by their bytes.

What does not fit is dropped up to the next picture at which decoding can begin anew, and counted: a picture
without the one that it is predicted from is worth nothing.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from flycam.frame.nal import ParameterSets


@dataclass(frozen=True, slots=True)
class VideoPacket:
    """One coded picture.

    number      counts the pictures of this connection from 0
    pts_ns      the stream's own time of it
    arrived_ns  monotonic time at which it came here; arrived_utc_ns the same by the flight's clock
    data        its units behind their lengths
    parameters  what a decoder needs before it
    """

    number: int
    pts_ns: int
    arrived_ns: int
    arrived_utc_ns: int
    is_key: bool
    data: bytes
    parameters: ParameterSets


class PacketQueue:
    """A queue that never makes the one who puts wait.

    keeps_newest  what waits is dropped too where something had to be: who decodes wants what is now, who
                  records wants all that there is room for
    dropped       pictures dropped by now
    """

    def __init__(self, max_bytes: int, *, keeps_newest: bool) -> None:
        self._most, self._keeps_newest = max_bytes, keeps_newest
        self._items: deque[VideoPacket] = deque()
        self._bytes = 0
        self._skipping = self._closed = False
        self._changed = threading.Condition()
        self.dropped = 0

    def put(self, packet: VideoPacket) -> None:
        """Add the newest picture, or drop it where there is no room."""
        with self._changed:
            if self._skipping and packet.is_key and self._keeps_newest:
                self.dropped += len(self._items)
                self._items.clear()
                self._bytes = 0
            self._skipping = self._skipping and not packet.is_key
            if self._skipping or self._bytes + len(packet.data) > self._most:
                self._skipping = True
                self.dropped += 1
                return
            self._items.append(packet)
            self._bytes += len(packet.data)
            self._changed.notify()

    def get(self) -> VideoPacket | None:
        """The oldest picture, waited for; None once the queue is closed and empty."""
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait()
            if not self._items:
                return None
            packet = self._items.popleft()
            self._bytes -= len(packet.data)
            return packet

    def close(self) -> None:
        """No more pictures come; what waits can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify()
