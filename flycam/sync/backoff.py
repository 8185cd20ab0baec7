"""A peer that answers and takes nothing: asked again after pauses that grow, and given up in the end."""

from __future__ import annotations

from flycam.errors import PeerUnavailable
from flycam.messages import _

MIN_BUSY_PAUSE_S = 2.0
_MAX_BUSY_PAUSE_S = 60.0
MAX_REFUSALS = 12
"""At one and the same place: some eight minutes."""


class Backoff:
    """How often a peer asked for the same without getting on; pause_s: before the next try."""

    def __init__(self) -> None:
        self._at: object = None
        self._times = 0

    def note_refusal(self, at: object) -> int:
        """Turned away, to go on at a byte, or with so many steps taken in; how often at that one by now."""
        self._times = self._times + 1 if at == self._at else 1
        self._at = at
        return self._times

    @property
    def pause_s(self) -> float:
        """Seconds; 0 where the step got on."""
        return 0.0 if self._times == 1 else min(MIN_BUSY_PAUSE_S * 2 ** (self._times - 2), _MAX_BUSY_PAUSE_S)


def build_no_progress_error(url: str) -> PeerUnavailable:
    """A peer that gets no further."""
    return PeerUnavailable(
        _(
            "{url}: asks for the same over and over and takes it not; restart flycam there, "
            "then run the same command again: it goes on",
            url=url,
        )
    )


def build_not_flycam_error(url: str) -> PeerUnavailable:
    """What answers well, and in no words of flycam: a network that wants a sign-in first does."""
    return PeerUnavailable(
        _(
            "{url}: what answers there is no flycam: sign in to the network (its page opens "
            "in a browser), or check the address; then run the same command again: it goes "
            "on",
            url=url,
        )
    )
