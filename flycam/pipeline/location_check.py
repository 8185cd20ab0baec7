"""Validation of coordinates that a person drew."""

from __future__ import annotations

from collections.abc import Sequence

from flycam.errors import InputUnusable
from flycam.messages import Message, _

_MAX_LAT_DEG = 80.0  # no flights beyond


def require_valid_locations(places: Sequence[tuple[float, float]], what: Message) -> None:
    """Raise InputUnusable for places off the globe, beyond 80° latitude, or NaN.

    places: (longitude, latitude) in degrees. what: their subject, which begins the message.
    """
    if not all(-180.0 <= lon <= 180.0 and -_MAX_LAT_DEG <= lat <= _MAX_LAT_DEG for lon, lat in places):
        raise InputUnusable(
            _(
                "{what} lies off the map (longitude comes first, then latitude); draw it again",
                what=what,
            )
        )
