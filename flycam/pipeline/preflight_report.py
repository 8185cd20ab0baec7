"""`flycam inspect`: preflight check of a flight with its gaps. Writes only the KML that was asked for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import shapely
from shapely.geometry.base import BaseGeometry

from flycam.errors import InputUnusable
from flycam.geodata.dem_info import DemInfo, read_dem_info
from flycam.ingest.photo.photo_search import PhotoSearchResult
from flycam.ingest.preflight.altitude import TERRAIN_HOLE, TERRAIN_PARTIAL
from flycam.ingest.preflight.diagnosis import Rejection
from flycam.ingest.preflight.duplicates import compute_quick_identity
from flycam.ingest.preflight.refly_kml import make_refly_kml
from flycam.messages import _
from flycam.pipeline.atomic_file import write_file_atomically
from flycam.pipeline.orthorectification.frame_plan import (
    load_terrain_under,
    make_outside_terrain_error,
    project_frames,
)
from flycam.pipeline.orthorectification.preflight import PreflightRequest, PreflightResult, run_preflight
from flycam.pipeline.photo_checks import check_photos
from flycam.pipeline.terrain import format_dem_names
from flycam.pipeline.workspace import Progress, ignore_progress

_OVER_HOLES = frozenset({TERRAIN_HOLE, TERRAIN_PARTIAL})


@dataclass(frozen=True, kw_only=True, slots=True)
class PreflightReport:
    """Result of a preflight check, the KML written (if any), and its duration."""

    preflight: PreflightResult
    refly: Path | None
    seconds: float


def check_flight(
    request: PreflightRequest,
    dems: Sequence[DemInfo],
    *,
    extra_dem: Path | None = None,
    datum: str | None = None,
    aoi: Path | None = None,
    refly: Path | None = None,
    check_pixels: bool = True,
    found: PhotoSearchResult | None = None,
    progress: Progress = ignore_progress,
) -> PreflightReport:
    """Run the preflight check; `extra_dem` is used without being registered.

    found: photos as of `run_preflight`. Raises what `run_preflight` raises, and OutsideTerrain where an
    ingest would: no photo sees ground whose height is known.
    """
    started = time.monotonic()
    if extra_dem is not None:
        dems = [read_dem_info(extra_dem, datum), *dems]
    seen = run_preflight(
        request,
        dems,
        check_photos=(lambda photos: check_photos(photos, progress)) if check_pixels else None,
        identify=compute_quick_identity,
        area_of_interest=read_area_of_interest(aoi) if aoi else None,
        found=found,
    )
    seen = _with_ground(seen, dems)
    if refly is not None:
        write_file_atomically(refly, make_refly_kml(seen.diagnosis.gaps, f"flycam: {refly.stem}").encode())
    return PreflightReport(preflight=seen, refly=refly, seconds=time.monotonic() - started)


def _with_ground(seen: PreflightResult, dems: Sequence[DemInfo]) -> PreflightResult:
    """Reject photos over a terrain hole that see no known ground, as an ingest does."""
    if not any(problem.code in _OVER_HOLES for problem in seen.diagnosis.problems):
        return seen
    diagnosis = seen.diagnosis
    terrain = load_terrain_under(None, diagnosis, dems)
    planned, refused = project_frames(diagnosis, terrain)
    if not planned:
        raise make_outside_terrain_error(
            seen, refused, format_dem_names(dems, terrain.bounds_m, terrain.work_crs)
        )
    blind = tuple(Rejection.from_error(header.provenance.source_name, error) for header, error in refused)
    return replace(
        seen,
        diagnosis=replace(
            diagnosis,
            headers=tuple(frame.header for frame in planned),
            rejected=(*diagnosis.rejected, *blind),
            refused=(*diagnosis.refused, *refused),
        ),
    )


def read_area_of_interest(path: Path) -> BaseGeometry:
    """Read all polygons of a vector file as one area in WGS 84 degrees.

    Self-crossings are repaired. Raises SourceUnreadable, CrsMissing, InputUnusable where no geometry has an
    area.
    """
    from flycam.geodata.overlaps import keep_polygons  # noqa: PLC0415  slow to load
    from flycam.geodata.vector_file import read_vector_layers  # noqa: PLC0415  slow to load

    layers = read_vector_layers(path, skip_geometry_types=("Point", "Line"))
    drawn = [geometry for layer in layers for geometry in layer.geometries if geometry is not None]
    mended = shapely.make_valid(drawn, method="structure", keep_collapsed=False)
    area = shapely.union_all([keep_polygons(one) for one in mended])
    if area.is_empty:
        raise InputUnusable(
            _("{name}: holds no area, at most lines or points: draw the area as a polygon", name=path.name)
        )
    return area
