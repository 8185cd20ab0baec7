"""Coverage gaps: ground inside a flight that no footprint of a used frame covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from flycam.catalog.footprints import parse_footprints
from flycam.catalog.records import FrameRecord
from flycam.geodata.crs import WGS84, make_point_transform

_MIN_GAP_SHARE = 0.01
"""Share of the median footprint; smaller holes are slivers between neighbouring outlines."""


@dataclass(frozen=True, slots=True)
class CoverageGap:
    """One gap: its outline in WGS 84 (WKB) and its area in the work CRS."""

    wkb: bytes
    area_m2: float


def find_coverage_gaps(frames: Sequence[FrameRecord], work_crs: str) -> list[CoverageGap]:
    """Find holes of the union of the frames' footprints, largest first.

    Ground that is open to the outside is the flight's edge, not a gap. Gaps smaller than a hundredth of the
    median footprint are left out. Areas are measured in `work_crs`.
    """
    footprints, whole = compute_imaged_ground(frames, work_crs)
    if whole.is_empty:
        return []
    smallest_m2 = compute_min_gap_m2(footprints)
    rings = [
        ring for part in shapely.get_parts(whole) if isinstance(part, Polygon) for ring in part.interiors
    ]
    holes = sorted((Polygon(ring) for ring in rings), key=lambda hole: -hole.area)
    back = make_point_transform(work_crs, WGS84)
    return [
        CoverageGap(shapely.to_wkb(shapely.transform(hole, back)), hole.area)
        for hole in holes
        if hole.area >= smallest_m2
    ]


def compute_imaged_ground(
    frames: Sequence[FrameRecord], work_crs: str
) -> tuple[NDArray[np.object_], BaseGeometry]:
    """Return (footprints, their union), valid, in metres of the work CRS.

    Frames without a footprint are left out.
    """
    footprints = shapely.transform(parse_footprints(frames), make_point_transform(WGS84, work_crs))
    return footprints, shapely.union_all(footprints)


def compute_min_gap_m2(footprints: NDArray[np.object_]) -> float:
    """Return the area below which a hole between these footprints is a sliver."""
    return _MIN_GAP_SHARE * float(np.median(shapely.area(footprints)))
