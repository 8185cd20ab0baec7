"""A clock that nobody sets: a field box may begin in 1970, and learn the time while an aircraft flies."""

from __future__ import annotations

import time

from flycam.frame.timestamp import EARLIEST_NS

_SET_NS = 2_000_000_000


class SteadyClock:
    """This machine's UTC as it was when this was made, and the time since. Whatever is compared in one flight
    is dated by one of these.

    zero_ns  UTC at which the monotonic clock was 0, as believed then
    """

    def __init__(self) -> None:
        self.zero_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """UTC nanoseconds."""
        return self.zero_ns + time.monotonic_ns()

    def now_s(self) -> float:
        """UTC seconds."""
        return self.now_ns() / 1e9

    def remarks(self) -> tuple[tuple[str, str], ...]:
        """What is to be said of it, (English, Vietnamese)."""
        if self.now_ns() < EARLIEST_NS:
            return (
                (
                    "this machine's clock is not set: the flight is dated before 2005; set the clock before "
                    "the next flight",
                    "máy này chưa đặt đồng hồ: chuyến bay bị ghi ngày trước năm 2005; hãy đặt đồng hồ trước "
                    "chuyến sau",
                ),
            )
        set_ns = time.time_ns() - self.now_ns()
        if abs(set_ns) < _SET_NS:
            return ()
        return (
            (
                f"this machine's clock was set by {set_ns / 1e9:+.0f} s in flight: the flight goes on by the "
                "clock as it was",
                f"đồng hồ máy này bị chỉnh {set_ns / 1e9:+.0f} s khi đang bay: chuyến bay vẫn tính theo đồng "
                "hồ cũ",
            ),
        )
