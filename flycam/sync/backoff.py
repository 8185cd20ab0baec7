"""Growing pauses, then an error, for a peer that answers but takes nothing."""

from __future__ import annotations

from flycam.errors import PeerUnavailable
from flycam.messages import _

MIN_BUSY_PAUSE_S = 2.0
_MAX_BUSY_PAUSE_S = 60.0
MAX_REFUSALS = 12
"""At one and the same position: about eight minutes."""


class Backoff:
    """Count of a peer's refusals at one position, and the pause before the next try."""

    def __init__(self) -> None:
        self._at: object = None
        self._times = 0

    def note_refusal(self, at: object) -> int:
        """Count a refusal at a position and return the number of refusals there so far.

        `at` is a byte offset, or a number of imported steps.

        Returns the number of refusals there so far.
        """
        self._times = self._times + 1 if at == self._at else 1
        self._at = at
        return self._times

    @property
    def pause_s(self) -> float:
        """Pause before the next try, seconds; 0 after progress."""
        return 0.0 if self._times == 1 else min(MIN_BUSY_PAUSE_S * 2 ** (self._times - 2), _MAX_BUSY_PAUSE_S)


def build_no_progress_error(url: str) -> PeerUnavailable:
    """Return the error for a peer that makes no progress."""
    return PeerUnavailable(
        _(
            "{url}: asks for the same over and over and takes it not; restart flycam there, "
            "then run the same command again: it goes on",
            url=url,
        )
    )


def build_not_flycam_error(url: str) -> PeerUnavailable:
    """Return the error for an answer that is valid but not flycam's.

    A network with a captive portal that asks for a sign-in answers like that.
    """
    return PeerUnavailable(
        _(
            "{url}: what answers there is no flycam: sign in to the network (its page opens "
            "in a browser), or check the address; then run the same command again: it goes "
            "on",
            url=url,
        )
    )
