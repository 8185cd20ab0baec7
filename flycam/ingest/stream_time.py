"""The time of a stream's pictures on the receiver's clock: PTS begin anywhere, and jump where a camera's
encoder begins anew within one connection.

The stream's own time is steadier than the arrival of its pictures, so it is believed as long as it can be
true. It cannot where it goes back by more than pictures are ever out of order, or where a picture would have
been taken well after it came. From there on it counts anew, and pictures come as late as the one before.
"""

from __future__ import annotations

_OUT_OF_ORDER_NS = 1_000_000_000
_AHEAD_NS = 2_000_000_000  # a link whose delay shrinks by as much held pictures up before


class StreamTime:
    """Fed every picture of one connection, as it comes or in order of time.

    not_before_ns  no picture is dated before it; None: there is no such time
    base_ns        what is added to the stream's own time by now; None before the first picture
    jumps          how often the stream's own time jumped
    """

    def __init__(self, not_before_ns: int | None = None) -> None:
        self.base_ns: int | None = None
        self.jumps = 0
        self._newest_ns = not_before_ns
        self._late_ns = self._least_late_ns = 0

    def add(self, pts_ns: int, arrived_ns: int) -> int:
        """When a picture was, by the receiver's clock, which told arrived_ns as it came: rising, but where
        pictures are out of order."""
        if self.base_ns is None:
            self._begin(pts_ns, arrived_ns)
        elif self._jumped(pts_ns + self.base_ns, arrived_ns):
            self.jumps += 1
            self._begin(pts_ns, arrived_ns - self._late_ns)
        assert self.base_ns is not None  # noqa: S101  it has begun
        at_ns = pts_ns + self.base_ns
        self._late_ns = arrived_ns - at_ns
        self._least_late_ns = min(self._least_late_ns, self._late_ns)
        self._newest_ns = at_ns if self._newest_ns is None else max(self._newest_ns, at_ns)
        return at_ns

    def _begin(self, pts_ns: int, at_ns: int) -> None:
        after_ns = at_ns if self._newest_ns is None else max(at_ns, self._newest_ns + 1)
        self.base_ns = after_ns - pts_ns
        self._least_late_ns = 2**63

    def _jumped(self, at_ns: int, arrived_ns: int) -> bool:
        is_back = self._newest_ns is not None and at_ns < self._newest_ns - _OUT_OF_ORDER_NS
        return is_back or arrived_ns - at_ns < self._least_late_ns - _AHEAD_NS
