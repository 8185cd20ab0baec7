"""Records made small for a thin line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.sync.flight_records import FlightRecords

_FIRST_FRAMES = 32
_METRES_IN_DEGREE = 111_000.0
_LOW_BITS = np.uint64((1 << 22) - 1)  # of a double of some 100 degrees: less than a centimetre


def simplify_footprints(records: FlightRecords) -> FlightRecords:
    """The records with footprints (lon, lat in degrees) to a pixel of their frame: most of the bytes are
    corners and digits that nobody sees. A placement's id knows nothing of them."""
    return replace(
        records,
        frames=tuple(
            one
            if one.footprint_wkb is None
            else replace(one, footprint_wkb=_quantise_polygon(one.footprint_wkb, one.gsd_m))
            for one in records.frames
        ),
    )


def select_initial_records(records: FlightRecords) -> FlightRecords:
    """What goes of a filmed flight before its first view: ten minutes are thousands of pictures, megabytes of
    records. Its first pictures, those under masks, and whatever else there is; a flight of few or of photos
    whole: by which flight it is at the peer any of its photos tells, and of a film its id.
    """
    frames = records.frames
    if len(frames) <= 2 * _FIRST_FRAMES or any(one.header.provenance.film is None for one in frames):
        return records
    masked = {line.frame_id for line in records.redactions}
    kept = [one for at, one in enumerate(frames) if at < _FIRST_FRAMES or one.frame_id in masked]
    names = {one.frame_id for one in kept}
    return replace(
        records,
        frames=tuple(kept),
        placements=tuple(one for one in records.placements if one.frame_id in names),
    )


def _quantise_polygon(wkb: bytes, gsd_m: float | None) -> bytes:
    def cut(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
        bits = np.ascontiguousarray(degrees, dtype=np.float64).view(np.uint64)
        return (bits & ~_LOW_BITS).view(np.float64)

    footprint = shapely.simplify(shapely.from_wkb(wkb), (gsd_m or 0.0) / _METRES_IN_DEGREE)
    return bytes(shapely.to_wkb(shapely.transform(footprint, cut)))
