"""Outages of a stream, their number and length: ground that is missing in the mosaic."""

from __future__ import annotations

from dataclasses import dataclass

from flycam.messages import Message, _, ngettext

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
        said = []
        if self.count:
            said.append(
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
            said.append(
                _(
                    "{name}: no picture came in the last {seconds:.0f} s before it was stopped",
                    name=name,
                    seconds=self.last_s,
                )
            )
        return tuple(said)


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
        told, newest_ns = self._outages, self._newest_ns
        if stopped_ns is None or newest_ns is None or stopped_ns - newest_ns < self._least_ns:
            return told
        return Outages(told.count, told.seconds, (stopped_ns - newest_ns) / 1e9)
