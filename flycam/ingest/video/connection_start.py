"""Arrival times of the first frames of a connection, which are delivered in a burst.

To find how a stream is coded the library reads ahead before it delivers the first frame, and a server or a
link may have held some back. Dated by its delivery, the first frame would be a quarter of a second late, 10 m
at 40 m/s, and a mosaic lies where its first frames lie. They wait, therefore, until frames come at their own
pace; then each is taken to have come, at the latest, as long after its exposure as the least late one did.
"""

from __future__ import annotations

from dataclasses import replace

from flycam.ingest.video.packet_queue import VideoPacket

# After this long without a less late frame the burst is over.
_QUIET_NS = 60_000_000
_LESS_LATE_NS = 5_000_000
_MAX_WAIT_NS = 500_000_000
# A jump of the stream's own time, which `StreamTime` handles.
_LEAP_NS = 1_000_000_000
_MAX_PACKETS = 150


class ConnectionStart:
    """Filter for the frames of one connection as they are delivered."""

    def __init__(self) -> None:
        self._waiting: list[VideoPacket] = []
        self._least_late_ns: int | None = None
        self._lowered_ns = 0
        self._is_over = False

    def add(self, packet: VideoPacket) -> list[VideoPacket]:
        """Return the frames that can go on by now, with their arrival times.

        Waiting frames go on with the first frame after 60 ms in which none came less late, or after half a
        second.
        """
        if self._is_over:
            return [packet]
        if self._waiting and abs(packet.pts_ns - self._waiting[-1].pts_ns) > _LEAP_NS:
            return [*self.end(), packet]
        self._waiting.append(packet)
        late_ns = packet.arrived_ns - packet.pts_ns
        if self._least_late_ns is None or late_ns < self._least_late_ns - _LESS_LATE_NS:
            self._lowered_ns = packet.arrived_ns
        self._least_late_ns = min(late_ns, late_ns if self._least_late_ns is None else self._least_late_ns)
        is_quiet = packet.arrived_ns - self._lowered_ns >= _QUIET_NS
        waited_ns = packet.arrived_ns - self._waiting[0].arrived_ns
        return (
            self.end() if is_quiet or waited_ns >= _MAX_WAIT_NS or len(self._waiting) >= _MAX_PACKETS else []
        )

    def end(self) -> list[VideoPacket]:
        """Return the frames that still wait; later frames no longer wait."""
        self._is_over = True
        waiting, self._waiting = self._waiting, []
        return [self._arrival(one) for one in waiting]

    def _arrival(self, packet: VideoPacket) -> VideoPacket:
        assert self._least_late_ns is not None  # noqa: S101  it waited
        early_ns = max(0, packet.arrived_ns - packet.pts_ns - self._least_late_ns)
        return replace(
            packet,
            arrived_ns=packet.arrived_ns - early_ns,
            arrived_utc_ns=packet.arrived_utc_ns - early_ns,
        )
