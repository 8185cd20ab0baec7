"""Ground that a flight enclosed but no used photo sees: holes between the recorded footprints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely import Polygon

from flycam.catalog.records import FrameRecord
from flycam.geodata.crs import WGS84, point_transform

_SMALLEST_SHARE = 0.01
"""Of the median footprint; smaller holes are slivers between neighbouring outlines."""


@dataclass(frozen=True, slots=True)
class Hole:
    """One hole: its outline in WGS 84 (WKB) and its area in the work CRS."""

    wkb: bytes
    area_m2: float


def holes_between(frames: Sequence[FrameRecord], work_crs: str) -> list[Hole]:
    """Holes of the union of the frames' footprints, the largest first.

    Ground that is open to the outside is the flight's edge, not a hole. Holes thinner than a hundredth of
    the median footprint are left out. Areas are measured in `work_crs`.
    """
    outlines = [frame.footprint_wkb for frame in frames if frame.footprint_wkb is not None]
    if not outlines:
        return []
    footprints = shapely.make_valid(shapely.from_wkb(outlines))
    metric = shapely.transform(footprints, point_transform(WGS84, work_crs))
    whole = shapely.union_all(metric)
    smallest = _SMALLEST_SHARE * float(np.median(shapely.area(metric)))
    rings = [
        ring for part in shapely.get_parts(whole) if isinstance(part, Polygon) for ring in part.interiors
    ]
    holes = sorted((Polygon(ring) for ring in rings), key=lambda hole: -hole.area)
    back = point_transform(work_crs, WGS84)
    return [
        Hole(shapely.to_wkb(shapely.transform(hole, back)), hole.area)
        for hole in holes
        if hole.area >= smallest
    ]
