"""Records reduced for a slow connection."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.sync.flight_records import FlightRecords

_FIRST_FRAMES = 32
_METRES_IN_DEGREE = 111_000.0
# of a double of about 100 degrees: less than a centimetre
_LOW_BITS = np.uint64((1 << 22) - 1)


def simplify_footprints(records: FlightRecords) -> FlightRecords:
    """Return the records with footprints (lon, lat in degrees) simplified to a pixel.

    Most of the bytes are vertices and digits without visible effect. A placement's id does not cover
    them.
    """
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
    """Return the records that are sent before a flight's first preview.

    Ten minutes of video are thousands of frames, megabytes of records. Sent are the first frames,
    redacted ones, and everything else but frames; a flight with few frames or of photos whole: the peer
    matches a flight by any of its photos, and a video's by its id.
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
