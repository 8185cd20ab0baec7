"""A frame with its ground, before its pixels are read, and the record that comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import shapely

from flycam.catalog.records import FrameRecord, FrameStatus
from flycam.frame.frame import FrameHeader
from flycam.pipeline.rectification import GroundView, tiles_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """One frame with its ground, before its pixels are read."""

    header: FrameHeader
    view: GroundView
    path: Path


def frame_record(frame: Planned, flight_id: str, work_crs: str, base_zoom: int, dem_id: str) -> FrameRecord:
    """A frame as it is laid on a recorded terrain with the pose that the doctor settled."""
    return FrameRecord(
        header=frame.header,
        flight_id=flight_id,
        status=FrameStatus.USED,
        exterior=frame.header.exterior_prior,
        dem_id=dem_id,
        footprint_wkb=shapely.to_wkb(frame.view.outline_lonlat),
        gsd_m=frame.view.footprint.gsd_m,
        tiles=tiles_of(frame.view, work_crs, base_zoom),
    )
