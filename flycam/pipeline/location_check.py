"""Places that somebody drew: whether they are on the map at all."""

from __future__ import annotations

from collections.abc import Sequence

from flycam.errors import InputUnusable
from flycam.messages import Bilingual, _

_MAX_LAT_DEG = 80.0  # nobody flies beyond


def require_valid_locations(places: Sequence[tuple[float, float]], what: str, what_vi: str) -> None:
    """Raise InputUnusable for places (longitude, latitude in degrees) off the globe, or where nobody flies;
    NaN is such a place. what, what_vi: what they make up, as a sentence begins with it."""
    if not all(-180.0 <= lon <= 180.0 and -_MAX_LAT_DEG <= lat <= _MAX_LAT_DEG for lon, lat in places):
        raise InputUnusable(
            _(
                "{what} lies off the map (longitude comes first, then latitude); draw it again",
                what=Bilingual(what, what_vi),
            )
        )
