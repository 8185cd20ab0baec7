"""Frames with their ground, before their pixels are read, and the records that come of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from flycam.catalog.records import FrameRecord, FrameStatus
from flycam.errors import FrameRejected, OutsideTerrain
from flycam.frame.frame import FrameHeader
from flycam.geodata.dem_info import DemInfo
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.doctor.diagnosis import Diagnosis
from flycam.messages import Bilingual, _
from flycam.pipeline.laying.rectification import GroundView, ground_views, tiles_of
from flycam.pipeline.laying.survey import Survey
from flycam.pipeline.terrain import terrain_around
from flycam.pipeline.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """One frame with its ground, before its pixels are read."""

    header: FrameHeader
    view: GroundView
    path: Path


def ground_under(workspace: Workspace | None, diagnosis: Diagnosis, dems: Sequence[DemInfo]) -> TerrainGrid:
    """The terrain that a settled flight is laid on, as far as its photos can see; see `terrain_around`.

    `workspace` None records nothing.
    """
    centres = np.array([header.exterior_prior.projection_centre_m for header in diagnosis.headers])
    plane = diagnosis.takeoff.height_m if diagnosis.takeoff else 0.0
    return terrain_around(
        workspace,
        dems,
        centres,
        diagnosis.work_crs,
        datum=diagnosis.vertical_datum,
        plane_height_m=plane,
    )


def planned_on(
    diagnosis: Diagnosis, terrain: TerrainGrid
) -> tuple[list[Planned], list[tuple[FrameHeader, FrameRejected]]]:
    """(frames that see ground, with it; the others, each with its error), in the order of the diagnosis."""
    planned: list[Planned] = []
    refused: list[tuple[FrameHeader, FrameRejected]] = []
    for header, view in zip(diagnosis.headers, ground_views(diagnosis.headers, terrain), strict=True):
        if isinstance(view, FrameRejected):
            refused.append((header, view))
        else:
            planned.append(Planned(header=header, view=view, path=Path(diagnosis.paths[header.frame_id])))
    return planned, refused


def nothing_seen(
    seen: Survey, refused: Sequence[tuple[FrameHeader, FrameRejected]], terrain_names: str
) -> OutsideTerrain:
    """What to say when no photo can be laid on the ground."""
    header, first = refused[0]
    known = f" (terrain here: {terrain_names})" if terrain_names else ""
    known_vi = f" (địa hình ở đây: {terrain_names})" if terrain_names else ""
    return OutsideTerrain(
        _(
            "none of the {read} photos sees ground that is known{known}; the first, {source_name}: {first}",
            read=seen.read,
            known=Bilingual(known, known_vi),
            source_name=header.provenance.source_name,
            first=Bilingual(first, first.vi or first.reason_vi),
        )
    )


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
