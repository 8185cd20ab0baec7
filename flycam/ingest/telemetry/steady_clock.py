"""UTC clock that ignores later settings: a field node may start in 1970 and learn the time in flight."""

from __future__ import annotations

import time

from flycam.frame.timestamp import EARLIEST_NS
from flycam.messages import Message, _

_SET_NS = 2_000_000_000


class SteadyClock:
    """This machine's UTC at construction, advanced by the monotonic clock.

    All times that are compared in one flight come from one of these.

    zero_ns  UTC at which the monotonic clock was 0, as known then
    """

    def __init__(self) -> None:
        self.zero_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """Return UTC nanoseconds."""
        return self.zero_ns + time.monotonic_ns()

    def now_s(self) -> float:
        """Return UTC seconds."""
        return self.now_ns() / 1e9

    def remarks(self) -> tuple[Message, ...]:
        """Return remarks on the clock."""
        if self.now_ns() < EARLIEST_NS:
            return (
                _(
                    "this machine's clock is not set: the flight is dated before 2005; set the clock before "
                    "the next flight"
                ),
            )
        set_ns = time.time_ns() - self.now_ns()
        if abs(set_ns) < _SET_NS:
            return ()
        return (
            _(
                "this machine's clock was set by {seconds:+.0f} s in flight: the flight goes on by the clock "
                "as it was",
                seconds=set_ns / 1e9,
            ),
        )
