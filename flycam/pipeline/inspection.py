"""`flycam inspect`: what is this flight, what is wrong with it, and which ground is missing. Writes nothing
but the KML that was asked for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import shapely
from shapely.geometry.base import BaseGeometry

from flycam.errors import InputUnusable
from flycam.geodata.dem_info import DemInfo, read_dem_info
from flycam.ingest.doctor.altitude import TERRAIN_HOLE, TERRAIN_PARTIAL
from flycam.ingest.doctor.diagnosis import Rejection
from flycam.ingest.doctor.duplicates import quick_identity
from flycam.ingest.doctor.kml import refly_kml
from flycam.ingest.photo.search import Findings
from flycam.messages import _
from flycam.pipeline.laying.planning import ground_under, nothing_seen, planned_on
from flycam.pipeline.laying.survey import Survey, SurveyRequest, survey
from flycam.pipeline.pictures import look_at
from flycam.pipeline.terrain import names_here
from flycam.pipeline.whole_file import write_file
from flycam.pipeline.workspace import Progress, silent

_OVER_HOLES = frozenset({TERRAIN_HOLE, TERRAIN_PARTIAL})


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectionReport:
    """A survey, the KML written (if any), and how long it took."""

    survey: Survey
    refly: Path | None
    seconds: float


def inspect_flight(
    request: SurveyRequest,
    dems: Sequence[DemInfo],
    *,
    extra_dem: Path | None = None,
    datum: str | None = None,
    aoi: Path | None = None,
    refly: Path | None = None,
    check_pixels: bool = True,
    found: Findings | None = None,
    progress: Progress = silent,
) -> InspectionReport:
    """Look at a flight; `extra_dem` is used without being registered, `found` as by `survey`.

    Raises what `survey` raises, and OutsideTerrain where an ingest would: no photo sees ground whose height
    is known.
    """
    started = time.monotonic()
    if extra_dem is not None:
        dems = [read_dem_info(extra_dem, datum), *dems]
    seen = survey(
        request,
        dems,
        checks_of=(lambda photos: look_at(photos, progress)) if check_pixels else None,
        identify=quick_identity,
        area_of_interest=read_area(aoi) if aoi else None,
        found=found,
    )
    seen = _with_ground(seen, dems)
    if refly is not None:
        write_file(refly, refly_kml(seen.diagnosis.gaps, f"flycam: {refly.stem}").encode())
    return InspectionReport(survey=seen, refly=refly, seconds=time.monotonic() - started)


def _with_ground(seen: Survey, dems: Sequence[DemInfo]) -> Survey:
    """Photos over a hole of the terrain that see no known ground are left out, as by an ingest."""
    if not any(problem.code in _OVER_HOLES for problem in seen.diagnosis.problems):
        return seen
    diagnosis = seen.diagnosis
    terrain = ground_under(None, diagnosis, dems)
    planned, refused = planned_on(diagnosis, terrain)
    if not planned:
        raise nothing_seen(seen, refused, names_here(dems, terrain.bounds_m, terrain.work_crs))
    blind = tuple(Rejection.of(header.provenance.source_name, error) for header, error in refused)
    return replace(
        seen,
        diagnosis=replace(
            diagnosis,
            headers=tuple(frame.header for frame in planned),
            rejected=(*diagnosis.rejected, *blind),
            refused=(*diagnosis.refused, *refused),
        ),
    )


def read_area(path: Path) -> BaseGeometry:
    """All polygons of a vector file as one area in WGS 84 degrees; rings that cross themselves are mended.

    Raises SourceUnreadable, CrsMissing, InputUnusable where nothing in it has an area.
    """
    from flycam.geodata.overlaps import polygons_only  # noqa: PLC0415  slow to load
    from flycam.geodata.vector_file import read_vector_layers  # noqa: PLC0415  slow to load

    layers = read_vector_layers(path, passing_over=("Point", "Line"))
    drawn = [geometry for layer in layers for geometry in layer.geometries if geometry is not None]
    mended = shapely.make_valid(drawn, method="structure", keep_collapsed=False)
    area = shapely.union_all([polygons_only(one) for one in mended])
    if area.is_empty:
        raise InputUnusable(
            _("{name}: holds no area, at most lines or points: draw the area as a polygon", name=path.name)
        )
    return area
