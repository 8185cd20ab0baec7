"""Preflight check of a flight, without writing: photos, metadata, diagnosis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from shapely.geometry.base import BaseGeometry

from flycam.errors import (
    FrameUnreadable,
    PhotosUnpositioned,
    PositionMissing,
    PositionUnknown,
    SourceUnreadable,
    TerrainMissing,
)
from flycam.frame.text_normalization import to_visible
from flycam.geodata.cameras import load_camera_file
from flycam.geodata.crs import to_lonlat
from flycam.geodata.dem_info import DemInfo
from flycam.ingest.photo.file_kinds import FileKind, detect_file_kind
from flycam.ingest.photo.metadata import PhotoMetadata
from flycam.ingest.photo.photo_reader import read_photos, resolve_interior, search_photos
from flycam.ingest.photo.photo_search import PhotoSearchResult
from flycam.ingest.photo.pixel_checks import Checks
from flycam.ingest.photo.pixels import read_grey
from flycam.ingest.poses.gcp_positions import with_gcp_positions
from flycam.ingest.poses.map_positions import is_map_file, with_map_positions
from flycam.ingest.poses.pose_files import has_ground_control, has_only_positions, has_poses
from flycam.ingest.poses.position_table import with_table_positions
from flycam.ingest.preflight.altitude import TERRAIN_DISJOINT
from flycam.ingest.preflight.check import diagnose
from flycam.ingest.preflight.diagnosis import Diagnosis, Problem, Rejection
from flycam.ingest.preflight.duplicates import IdentifyPhoto, compute_content_identity
from flycam.ingest.preflight.log_match import LOG_DOES_NOT_MATCH
from flycam.ingest.telemetry.flight_log import FlightLog
from flycam.messages import Bilingual, _
from flycam.pipeline.orthorectification.external_poses import build_diagnosis_from_poses
from flycam.pipeline.terrain import TerrainLookup


@dataclass(frozen=True, kw_only=True, slots=True)
class PreflightRequest:
    """The operator's request.

    telemetry       a flight log for photos that lack something; positions, poses for all of them (a table,
        an OpenSfM reconstruction, ODM's shots), or control points or a map that place them: decided
        by the file's content
    camera          a camera file that overrides the photos' metadata
    height_mode     "auto", "relative", "absolute" or "exif"
    takeoff         height of the take-off point in metres, or its (lon, lat) degrees
    clock_offset_s  log's stamp minus photo's time; None: found from the evidence
    own_dem         terrain given for this very flight: it is an error if it lies elsewhere
    layer           the layer as the operator states it; None: by tags and names
    """

    paths: tuple[Path, ...]
    telemetry: Path | None = None
    camera: Path | None = None
    height_mode: str = "auto"
    takeoff: float | tuple[float, float] | None = None
    clock_offset_s: float | None = None
    layer: str | None = None
    own_dem: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PreflightResult:
    """A flight as it lies on the memory card.

    photos      metadata of every readable photo, by file name and path
    unreadable  photos that cannot be read, as rejections
    skipped     other files, with the reason
    """

    photos: tuple[PhotoMetadata, ...]
    unreadable: tuple[Rejection, ...]
    skipped: tuple[tuple[Path, str], ...]
    diagnosis: Diagnosis

    @property
    def photo_count(self) -> int:
        """Number of photos found, readable or not."""
        return len(self.photos) + len(self.unreadable)


def run_preflight(
    request: PreflightRequest,
    dems: Sequence[DemInfo],
    *,
    check_photos: Callable[[Sequence[PhotoMetadata]], Checks] | None = None,
    identify: IdentifyPhoto = compute_content_identity,
    area_of_interest: BaseGeometry | None = None,
    found: PhotoSearchResult | None = None,
) -> PreflightResult:
    """Read the metadata of all photos and diagnose them.

    check_photos  checks the pixels (truncation, blur, a covered lens); None leaves them unread
    identify   how photos are told apart: by their bytes, or by a quick stand-in when nothing is written
    found      photos at the paths, if they were searched before

    Raises SourceUnreadable (no photo at all, or a path that does not exist), PositionMissing (no photo has a
    position and nothing supplies one), PhotosUnpositioned (something else is missing), TerrainMissing
    (`own_dem` lies elsewhere), CalibrationMissing, and what reading the telemetry raises.
    """
    found = search_photos(request.paths) if found is None else found
    if not found.photos and found.refused:
        raise found.refused[0][1]
    if not found.photos:
        names = ", ".join(str(path) for path in request.paths)
        raise SourceUnreadable(
            _("{names}: no JPEG, PNG or TIFF photo inside; give the folder with the photos", names=names)
        )
    photos, failed = read_photos(found.photos)
    failed += [
        one for one in found.refused if detect_file_kind(one[0].name) is FileKind.PHOTO or one[0].is_dir()
    ]
    if not photos:
        __, first = failed[0]
        raise SourceUnreadable(
            _(
                "none of the {count} photos can be read; the first: {first}",
                count=len(failed),
                first=first.message,
            )
        ) from first
    camera = load_camera_file(request.camera) if request.camera else None
    lens = partial(resolve_interior, camera_override=camera)
    terrain_at = TerrainLookup(dems) if dems else None
    log = request.telemetry
    placed: list[Problem] = []
    # A photo that is given a position is still the file that was read.
    as_read = {photo.path: photo for photo in photos}
    if log is not None and is_map_file(log):
        photos, placed = with_map_positions(photos, log, lens, read_grey)
        log = None
    elif log is not None and has_poses(log) and has_ground_control(log):
        photos, placed = with_gcp_positions(photos, log, lens, read_grey)
        log = None
    elif log is not None and has_poses(log) and has_only_positions(log):
        photos, placed = with_table_positions(photos, log)
        log = None
    checks = check_photos(photos) if check_photos else {}
    if log is not None and has_poses(log):
        diagnosis = build_diagnosis_from_poses(
            photos,
            log,
            terrain_at=terrain_at,
            interior_for=lens,
            own_lenses=camera is None,
            identify=lambda photo: identify(as_read[photo.path]),
            checks=checks,
            layer=request.layer,
            grey_of=read_grey if check_photos else None,
        )
    else:
        diagnosis = diagnose(
            photos,
            terrain_at=terrain_at,
            track=_track(log) if log else None,
            height_mode=request.height_mode,
            takeoff=request.takeoff,
            clock_offset_s=request.clock_offset_s,
            interior_for=lens,
            identify=lambda photo: identify(as_read[photo.path]),
            checks=checks,
            area_of_interest=area_of_interest,
            layer=request.layer,
            grey_of=read_grey if check_photos else None,
        )
    diagnosis = replace(diagnosis, problems=(*placed, *diagnosis.problems))
    if request.own_dem and any(one.code == TERRAIN_DISJOINT for one in diagnosis.problems):
        raise _make_other_terrain_error(request.own_dem, diagnosis)
    if not diagnosis.headers:
        raise _make_nothing_placed_error(diagnosis)
    return PreflightResult(
        photos=tuple(photos),
        unreadable=tuple(_make_unread_rejection(path, error) for path, error in failed),
        skipped=found.skipped,
        diagnosis=diagnosis,
    )


def _make_unread_rejection(path: Path, error: SourceUnreadable) -> Rejection:
    return Rejection.from_error(to_visible(path.name), FrameUnreadable.from_error(error))


def _make_nothing_placed_error(diagnosis: Diagnosis) -> PositionMissing:
    """Return the error with each reason, its count and first photo.

    The commonest reason first.
    """
    by_reason: dict[str, list[Rejection]] = {}
    for one in diagnosis.rejected:
        by_reason.setdefault(one.reason, []).append(one)
    groups = sorted(by_reason.values(), key=len, reverse=True)
    count = len(diagnosis.rejected)
    if len(groups) == 1:
        en, vi = groups[0][0].message, groups[0][0].message_vi
    else:
        en = "; ".join(f"{len(group)} such as {group[0].message}" for group in groups)
        vi = "; ".join(f"{len(group)} ảnh như {group[0].message_vi}" for group in groups)
    for said in (one for one in diagnosis.problems if one.code == LOG_DOES_NOT_MATCH):
        en, vi = f"{said.sentence_en} {en}", f"{said.sentence_vi} {vi}"
    unplaced = PositionMissing if set(by_reason) <= {PositionUnknown.reason} else PhotosUnpositioned
    return unplaced(_("none of the {count} photos can be placed: {en}", count=count, en=Bilingual(en, vi)))


def _track(log: Path) -> FlightLog:
    from flycam.ingest.telemetry.log_files import read_flight_log  # noqa: PLC0415  its dialects are slow to load

    return read_flight_log(log)


def _make_other_terrain_error(dem: Path, diagnosis: Diagnosis) -> TerrainMissing:
    place = place_vi = ""
    if diagnosis.headers:
        centre = np.median([one.exterior_prior.projection_centre_m for one in diagnosis.headers], axis=0)
        lon, lat = to_lonlat(centre[None, :2], diagnosis.work_crs)[0]
        place = f" (around latitude {lat:.4f}, longitude {lon:.4f})"
        place_vi = f" (quanh vĩ độ {lat:.4f}, kinh độ {lon:.4f})"
    return TerrainMissing(
        _(
            "{name}: has no height under these photos{place}: give terrain of that place, or "
            "leave --dem to lay them on a plane",
            name=dem.name,
            place=Bilingual(place, place_vi),
        )
    )
