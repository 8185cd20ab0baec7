"""Frame times of a stream on the receiver's clock.

PTS begin anywhere, and jump where a camera's encoder restarts within one connection. The stream's own time is
steadier than the arrival of its frames, so it is used as long as it is plausible. It is not where it goes
back by more than frames are ever out of order, or where a frame would have been taken well after it came.
From there on it counts anew, with frames as late as the one before.

The base that is added to it is found in a connection's first three seconds, from the frame that came least
late: the first ones were often held back on their way, and come in a burst. A frame that comes less late than
all before it, by more than 10 ms, is dated by its arrival, and later ones by it; no time goes back for that,
and none is moved later. After these seconds the base stays, because the clock offset is estimated from the
motion in frames so dated.

The stream's time is not plausible either where an encoder paused without counting the pause: all frames after
it come later by as much, and stay so. Frames held up by a link come late too, but then ever less late, until
the link has caught up.
"""

from __future__ import annotations

_OUT_OF_ORDER_NS = 1_000_000_000
# A link's delay can shrink by as much if it held frames up before.
_AHEAD_NS = 2_000_000_000
# More than the least delay of a link changes for other reasons.
_LATER_NS = 1_000_000_000
# A pause is certain when the least lateness stays the same over twice this stream time.
_STAYS_NS = 3_000_000_000
_SAME_NS = 250_000_000
_NEVER_NS = 2**63
_BEGINNING_NS = 3_000_000_000
_JITTER_NS = 10_000_000  # less is no reason to move times
# A clock offset given by hand is no more precise than this.
_MOVED_NS = 50_000_000


class StreamTime:
    """Clock of one connection, fed every frame as it comes or in order of time.

    not_before_ns  no frame is dated before it; None: no such bound
    base_ns        added to the stream's own time by now; None before the first frame
    jumps          number of jumps of the stream's own time
    breaks         number of times that intervals between frames ceased to follow the stream's own time: its
                   jumps, and each 50 ms by which later frames are dated earlier in the first seconds
    """

    def __init__(self, not_before_ns: int | None = None) -> None:
        self.base_ns: int | None = None
        self.jumps = self.breaks = 0
        self._began_ns = self._moved_ns = 0
        self._newest_ns = not_before_ns
        self._late_ns = self._least_late_ns = 0
        self._spell: _Spell | None = None

    def add(self, pts_ns: int, arrived_ns: int) -> int:
        """Return when a frame was taken, on the receiver's clock.

        Rising except where frames are out of order.

        arrived_ns  the frame's arrival on that clock
        """
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
        """Date from here on by this frame, if it came less late than all before."""
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
        """Return by how much frames have come to stay later than before; 0 if not known."""
        late_ns = arrived_ns - at_ns
        if late_ns < self._least_late_ns + _LATER_NS:
            self._spell = None
            return 0
        self._spell = self._spell or _Spell(at_ns)
        stays_ns = self._spell.stays_ns(at_ns, late_ns)
        return 0 if stays_ns is None else stays_ns - self._least_late_ns


class _Spell:
    """Period in which all frames come late: the least lateness of its two halves."""

    def __init__(self, began_ns: int) -> None:
        self._began_ns = began_ns
        self._first_ns = self._second_ns = _NEVER_NS

    def stays_ns(self, at_ns: int, late_ns: int) -> int | None:
        """Add the next frame; return the lateness that frames have come to keep, or None."""
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
        """Make the second half the first one, unless frames were missing."""
        self._began_ns, self._first_ns = self._began_ns + _STAYS_NS, self._second_ns
        self._second_ns = _NEVER_NS
        if self._first_ns == _NEVER_NS or at_ns - self._began_ns >= 2 * _STAYS_NS:
            self._began_ns, self._first_ns = at_ns, _NEVER_NS
