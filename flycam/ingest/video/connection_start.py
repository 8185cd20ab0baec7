"""When the first pictures of a connection came: they are given all at once, some tenths of a second later.

To tell how a stream is coded the library reads on before it gives the first picture, and a server or a link
may have held some back. Dated by the moment at which it is given, the first picture would be a quarter of a
second late, 10 m at 40 m/s, and a map lies where its first pictures lie. So they wait until they come in
their own time; then each came, at the latest, as long after it was taken as the one that came least late.
"""

from __future__ import annotations

from dataclasses import replace

from flycam.ingest.video.packet_queue import VideoPacket

_QUIET_NS = 60_000_000  # by then a picture came in its own time, if any comes less late
_LESS_LATE_NS = 5_000_000
_MAX_WAIT_NS = 500_000_000
_LEAP_NS = 1_000_000_000  # of the stream's own time: that is another matter than when pictures come
_MAX_PACKETS = 150


class ConnectionStart:
    """Fed the pictures of one connection as they are given."""

    def __init__(self) -> None:
        self._waiting: list[VideoPacket] = []
        self._least_late_ns: int | None = None
        self._lowered_ns = 0
        self._is_over = False

    def add(self, packet: VideoPacket) -> list[VideoPacket]:
        """Pictures that can go on by now, with when they came. What waits goes on with the first picture
        after 60 ms in which none came less late, or after half a second."""
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
        """What still waits; from here on nothing does."""
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
