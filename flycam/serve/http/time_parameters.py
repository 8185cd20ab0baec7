"""Time parameters of requests: the moment at which the state is asked for."""

from __future__ import annotations

from datetime import datetime

from flycam.errors import InputUnusable
from flycam.frame.timestamp import to_utc_ns
from flycam.messages import _

_MILLISECOND_NS = 1_000_000


def parse_until(until: datetime | None) -> int | None:
    """Return UTC nanoseconds of the end of the requested millisecond; None: now.

    Times are shown cut off to the millisecond. Without a zone it is Vietnam's. Raises InputUnusable if it is
    too far from now.
    """
    if until is None:
        return None
    try:
        return to_utc_ns(until) // _MILLISECOND_NS * _MILLISECOND_NS + _MILLISECOND_NS - 1
    except OverflowError as error:
        raise InputUnusable(
            _("until={until}: that is too far from now; give a day of the event", until=until.isoformat())
        ) from error
