"""The time of a stream's pictures on the receiver's clock: PTS begin anywhere, and jump where a camera's
encoder begins anew within one connection.

The stream's own time is steadier than the arrival of its pictures, so it is believed as long as it can be
true. It cannot where it goes back by more than pictures are ever out of order, or where a picture would have
been taken well after it came. From there on it counts anew, and pictures come as late as the one before.

What is added to it is found in a connection's first three seconds, by the picture that came least late: the
first ones were often held back on their way, and come in a burst. Whenever one comes less late than all
before it, by more than 10 ms, it is dated by its arrival, and those after it by it; no time goes back for
that, and none is moved later. After these seconds the clocks' difference is seen from the motion in
pictures so dated: it stays.

Nor can it where an encoder paused without counting the pause: all pictures after it come later by as much,
and stay so. Pictures that a link held up come late too, but then ever less late, until it has caught up.
"""

from __future__ import annotations

_OUT_OF_ORDER_NS = 1_000_000_000
_AHEAD_NS = 2_000_000_000  # a link whose delay shrinks by as much held pictures up before
_LATER_NS = 1_000_000_000  # more than the least delay of a link changes for other reasons
_STAYS_NS = 3_000_000_000  # over twice as long, of the stream's own time, the least lateness stays as it is
_SAME_NS = 250_000_000
_NEVER_NS = 2**63
_BEGINNING_NS = 3_000_000_000
_JITTER_NS = 10_000_000  # less is no reason to move times
_MOVED_NS = 50_000_000  # nearer than that no difference of clocks is told by hand either


class StreamTime:
    """Fed every picture of one connection, as it comes or in order of time.

    not_before_ns  no picture is dated before it; None: there is no such time
    base_ns        what is added to the stream's own time by now; None before the first picture
    jumps          how often the stream's own time jumped
    breaks         how often pictures ceased to be apart by what the stream's own time says: its jumps, and
                   each 50 ms by which later pictures are dated earlier in the first seconds
    """

    def __init__(self, not_before_ns: int | None = None) -> None:
        self.base_ns: int | None = None
        self.jumps = self.breaks = 0
        self._began_ns = self._moved_ns = 0
        self._newest_ns = not_before_ns
        self._late_ns = self._least_late_ns = 0
        self._spell: _Spell | None = None

    def add(self, pts_ns: int, arrived_ns: int) -> int:
        """When a picture was, by the receiver's clock, which told arrived_ns as it came: rising, but where
        pictures are out of order."""
        if self.base_ns is None:
            self._begin(pts_ns, arrived_ns, 0)
        elif self._jumped(pts_ns + self.base_ns, arrived_ns):
            self._count_jump()
            self._begin(pts_ns, arrived_ns, self._late_ns)
        elif paused_ns := self._paused_ns(pts_ns + self.base_ns, arrived_ns):
            self._count_jump()
            self.base_ns += paused_ns
            self._spell = None
        elif arrived_ns - self._began_ns <= _BEGINNING_NS:
            self._lower(pts_ns, arrived_ns)
        assert self.base_ns is not None  # noqa: S101  it has begun
        at_ns = pts_ns + self.base_ns
        self._late_ns = arrived_ns - at_ns
        self._least_late_ns = min(self._least_late_ns, self._late_ns)
        self._newest_ns = at_ns if self._newest_ns is None else max(self._newest_ns, at_ns)
        return at_ns

    def _count_jump(self) -> None:
        self.jumps += 1
        self.breaks += 1

    def _begin(self, pts_ns: int, arrived_ns: int, late_ns: int) -> None:
        self._began_ns = arrived_ns
        self.base_ns = self._after_newest_ns(arrived_ns - late_ns) - pts_ns
        self._least_late_ns = _NEVER_NS
        self._spell = None

    def _lower(self, pts_ns: int, arrived_ns: int) -> None:
        """Date from here on by this picture, where it came less late than all before."""
        assert self.base_ns is not None  # noqa: S101  it has begun
        lower_ns = self.base_ns - (self._after_newest_ns(arrived_ns) - pts_ns)
        if lower_ns <= _JITTER_NS:
            return
        self.base_ns -= lower_ns
        self._least_late_ns = _NEVER_NS
        self._moved_ns += lower_ns
        if self._moved_ns > _MOVED_NS:
            self._moved_ns = 0
            self.breaks += 1

    def _after_newest_ns(self, at_ns: int) -> int:
        return at_ns if self._newest_ns is None else max(at_ns, self._newest_ns + 1)

    def _jumped(self, at_ns: int, arrived_ns: int) -> bool:
        is_back = self._newest_ns is not None and at_ns < self._newest_ns - _OUT_OF_ORDER_NS
        return is_back or arrived_ns - at_ns < self._least_late_ns - _AHEAD_NS

    def _paused_ns(self, at_ns: int, arrived_ns: int) -> int:
        """By how much pictures have come to stay later than before; 0: they have not, as far as is known."""
        late_ns = arrived_ns - at_ns
        if late_ns < self._least_late_ns + _LATER_NS:
            self._spell = None
            return 0
        self._spell = self._spell or _Spell(at_ns)
        stays_ns = self._spell.stays_ns(at_ns, late_ns)
        return 0 if stays_ns is None else stays_ns - self._least_late_ns


class _Spell:
    """A time in which all pictures come late, by the least of their lateness in its two halves."""

    def __init__(self, began_ns: int) -> None:
        self._began_ns = began_ns
        self._first_ns = self._second_ns = _NEVER_NS

    def stays_ns(self, at_ns: int, late_ns: int) -> int | None:
        """The next picture; the lateness that pictures have come to stay at, None: they have not yet."""
        if at_ns - self._began_ns >= 2 * _STAYS_NS:
            least_ns = min(self._second_ns, late_ns)
            if self._second_ns < _NEVER_NS and abs(least_ns - self._first_ns) <= _SAME_NS:
                return least_ns
            self._go_on(at_ns)
        if at_ns - self._began_ns < _STAYS_NS:
            self._first_ns = min(self._first_ns, late_ns)
        else:
            self._second_ns = min(self._second_ns, late_ns)
        return None

    def _go_on(self, at_ns: int) -> None:
        """The second half is the first one now, unless pictures were missing."""
        self._began_ns, self._first_ns = self._began_ns + _STAYS_NS, self._second_ns
        self._second_ns = _NEVER_NS
        if self._first_ns == _NEVER_NS or at_ns - self._began_ns >= 2 * _STAYS_NS:
            self._began_ns, self._first_ns = at_ns, _NEVER_NS
