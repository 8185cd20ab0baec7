"""Queue of coded frames between two threads, bounded by bytes.

Frames that do not fit are dropped, and counted, up to the next key frame: a frame without the one from which
it is predicted cannot be decoded.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from flycam.frame.nal import ParameterSets


@dataclass(frozen=True, slots=True)
class VideoPacket:
    """One coded frame.

    number      counts the frames of this connection from 0
    pts_ns      the stream's own time of it
    arrived_ns  monotonic arrival time; arrived_utc_ns the same on the flight's clock
    data        its NAL units, each behind its length
    parameters  parameter sets that a decoder needs before it
    """

    number: int
    pts_ns: int
    arrived_ns: int
    arrived_utc_ns: int
    is_key: bool
    data: bytes
    parameters: ParameterSets


class PacketQueue:
    """Queue of coded frames whose producer never waits.

    keeps_newest  on overflow waiting frames are dropped too: a decoder wants the newest frames, a recorder
                  all that there is room for
    dropped       frames dropped so far
    """

    def __init__(self, max_bytes: int, *, keeps_newest: bool) -> None:
        self._most, self._keeps_newest = max_bytes, keeps_newest
        self._items: deque[VideoPacket] = deque()
        self._bytes = 0
        self._skipping = self._closed = False
        self._changed = threading.Condition()
        self.dropped = 0

    def put(self, packet: VideoPacket) -> None:
        """Add the newest frame, or drop it where there is no room."""
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
        """Wait for the oldest frame and return it.

        None once the queue is closed and empty.
        """
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait()
            if not self._items:
                return None
            packet = self._items.popleft()
            self._bytes -= len(packet.data)
            return packet

    def close(self) -> None:
        """Accept no more frames; those that wait can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify()
