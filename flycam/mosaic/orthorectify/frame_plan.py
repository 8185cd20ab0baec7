"""Frames with their footprints, before their pixels are read, and their records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from flycam.errors import FrameRejected
from flycam.geodata.dem import DemInfo
from flycam.geometry.terrain import TerrainGrid
from flycam.model.diagnosis import Diagnosis
from flycam.model.frame import FrameHeader
from flycam.model.records import FrameRecord, FrameStatus
from flycam.mosaic.orthorectify.rectification import GroundView, compute_ground_views, find_frame_tiles
from flycam.mosaic.terrain import load_terrain_around
from flycam.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameFootprint:
    """One frame with its footprint, before its pixels are read."""

    header: FrameHeader
    view: GroundView
    path: Path


def load_terrain_under(
    workspace: Workspace | None, diagnosis: Diagnosis, dems: Sequence[DemInfo]
) -> TerrainGrid:
    """Load the terrain of a diagnosed flight, as far as its photos can see.

    See `load_terrain_around`. `workspace` None records nothing.
    """
    centres = np.array([header.exterior_prior.projection_centre_m for header in diagnosis.headers])
    plane = diagnosis.takeoff.height_m if diagnosis.takeoff else 0.0
    return load_terrain_around(
        workspace,
        dems,
        centres,
        diagnosis.work_crs,
        datum=diagnosis.vertical_datum,
        plane_height_m=plane,
    )


def project_frames(
    diagnosis: Diagnosis, terrain: TerrainGrid
) -> tuple[list[FrameFootprint], list[tuple[FrameHeader, FrameRejected]]]:
    """Return frames that see ground, with it, and the others, each with its error.

    In the order of the diagnosis.
    """
    planned: list[FrameFootprint] = []
    refused: list[tuple[FrameHeader, FrameRejected]] = []
    for header, view in zip(diagnosis.headers, compute_ground_views(diagnosis.headers, terrain), strict=True):
        if isinstance(view, FrameRejected):
            refused.append((header, view))
        else:
            planned.append(
                FrameFootprint(header=header, view=view, path=Path(diagnosis.paths[header.frame_id]))
            )
    return planned, refused


def build_frame_record(
    frame: FrameFootprint, flight_id: str, work_crs: str, base_zoom: int, dem_id: str
) -> FrameRecord:
    """Build the record of a frame on a recorded terrain, with its header's pose."""
    return FrameRecord(
        header=frame.header,
        flight_id=flight_id,
        status=FrameStatus.USED,
        exterior=frame.header.exterior_prior,
        dem_id=dem_id,
        footprint_wkb=shapely.to_wkb(frame.view.outline_lonlat),
        gsd_m=frame.view.footprint.gsd_m,
        tiles=find_frame_tiles(frame.view, work_crs, base_zoom),
    )
