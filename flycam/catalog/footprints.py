"""Footprints of recorded frames."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.catalog.records import BoundsLonLat, FrameRecord


def parse_footprints(frames: Iterable[FrameRecord]) -> NDArray[np.object_]:
    """Return valid polygons in WGS 84 degrees, without frames that have none."""
    return np.asarray(shapely.make_valid(_recorded(frames)), dtype=object)


def compute_footprint_bounds(frames: Iterable[FrameRecord]) -> BoundsLonLat | None:
    """Return (west, south, east, north) in degrees of all footprints; None without."""
    outlines = _recorded(frames)
    if not len(outlines):
        return None
    west, south, east, north = (float(side) for side in shapely.total_bounds(outlines))
    return west, south, east, north


def _recorded(frames: Iterable[FrameRecord]) -> NDArray[np.object_]:
    written = [frame.footprint_wkb for frame in frames if frame.footprint_wkb is not None]
    return np.asarray(shapely.from_wkb(np.array(written, dtype=object)), dtype=object)
