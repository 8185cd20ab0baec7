"""Preflight check of a flight, without writing (`flycam inspect`).

Photos, metadata and pixels are checked; poses may come from a table, such as an external adjustment or a
survey company's file. Only the KML of the ground to refly is written, on request.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from shapely.geometry.base import BaseGeometry

from flycam.concurrency import count_workers, map_ordered
from flycam.errors import (
    FrameRejected,
    FrameUnreadable,
    OutsideTerrain,
    PhotosUnpositioned,
    PositionMissing,
    PositionUnknown,
    SourceUnreadable,
    TerrainMissing,
)
from flycam.geodata.cameras import load_camera_file
from flycam.geodata.crs import choose_work_crs, to_lonlat
from flycam.geodata.dem import DemInfo, read_dem_info
from flycam.geodata.geoid import convert_height
from flycam.geodata.kml import KML_FOOT, KML_HEAD, escape_xml, format_multi_geometry
from flycam.geometry.camera import InteriorOrientation
from flycam.ingest.photos.calibration import resolve_interior
from flycam.ingest.photos.metadata import FileKind, PhotoMetadata, detect_file_kind, make_display_names
from flycam.ingest.photos.photo_reader import PhotoReading, read_photo, read_photos
from flycam.ingest.photos.photo_search import PhotoSearchResult, search_photos
from flycam.ingest.poses.block_positions import (
    check_crs_accuracy,
    is_map_file,
    with_gcp_positions,
    with_map_positions,
)
from flycam.ingest.poses.external_poses import (
    build_posed_headers,
    has_ground_control,
    has_only_positions,
    has_poses,
    read_poses,
    read_stated_crs,
    read_stated_datum,
    with_table_positions,
)
from flycam.ingest.poses.pose_table import PoseRow
from flycam.ingest.preflight.altitude import TERRAIN_DISJOINT, TERRAIN_HOLE, TERRAIN_PARTIAL
from flycam.ingest.preflight.attitude import SIGMA_GIMBAL_DEG, SIGMA_GIMBAL_YAW_DEG
from flycam.ingest.preflight.check import diagnose
from flycam.ingest.preflight.files import (
    IdentifyPhoto,
    compute_content_identity,
    compute_quick_identity,
    identify_photos,
    reject_bad_images,
)
from flycam.ingest.preflight.flying_height import GreyOf, PoseEstimates, estimate_flying_heights
from flycam.ingest.preflight.frame_headers import SIGMA_GNSS_M, assign_layer
from flycam.ingest.preflight.log_match import LOG_DOES_NOT_MATCH
from flycam.ingest.preflight.takeoff import SIGMA_GNSS_HEIGHT_M
from flycam.ingest.telemetry.flight_log import FlightLog
from flycam.media.pixels import Checks, read_grey
from flycam.messages import Message, _, join, ngettext
from flycam.model.diagnosis import Diagnosis, Gap, GapKind, Problem, Rejection, Severity, Takeoff
from flycam.model.flight import LOCAL_DATUM, is_flat_datum
from flycam.model.frame import FrameHeader
from flycam.model.text import to_visible
from flycam.model.warning import NO_TERRAIN
from flycam.mosaic.orthorectify.frame_plan import load_terrain_under, project_frames
from flycam.mosaic.terrain import TerrainLookup, format_dem_names
from flycam.storage.atomic import write_file_atomically
from flycam.workspace import Progress, ignore_progress

# -- KML of the ground to refly, for the pilot's tablet (OGC 12-007r2, KML 2.3) --------------------


_STYLES = {GapKind.HOLE: "ff0000ff", GapKind.BREAK: "ff00a5ff"}  # aabbggrr: red, orange
_NAMES = {GapKind.HOLE: _("not seen"), GapKind.BREAK: _("strip broken")}


def make_refly_kml(gaps: Sequence[Gap], title: str) -> str:
    """Return KML text with one placemark per gap, largest first, in WGS 84.

    Names in Vietnamese and English.
    """
    ordered = sorted(gaps, key=lambda g: (g.kind is not GapKind.HOLE, -g.area_m2))
    styles = "".join(
        f'<Style id="{kind.value}"><LineStyle><color>{colour}</color><width>3</width></LineStyle>'
        f"<PolyStyle><color>60{colour[2:]}</color></PolyStyle></Style>"
        for kind, colour in _STYLES.items()
    )
    marks = "".join(_placemark(number, gap) for number, gap in enumerate(ordered, start=1))
    return f"{KML_HEAD}<name>{escape_xml(title)}</name>{styles}{marks}{KML_FOOT}"


def _placemark(number: int, gap: Gap) -> str:
    name, vi = _NAMES[gap.kind], gap.sentence.in_language("vi")
    return (
        f"<Placemark><name>{number}. {name.in_language('vi')} / {name}: {gap.area_m2:,.0f} m²</name>"
        f"<description>{escape_xml(f'{vi} {gap.sentence}')}</description>"
        f"<styleUrl>#{gap.kind.value}</styleUrl>{format_multi_geometry(gap.polygon_lonlat)}</Placemark>"
    )


# -- Diagnosis of photos whose poses come from a file ----------------------------------------------


def build_diagnosis_from_poses(
    photos: Sequence[PhotoMetadata],
    pose_file: Path,
    *,
    terrain_at: TerrainLookup | None,
    interior_for: Callable[[PhotoMetadata], InteriorOrientation],
    own_lenses: bool,
    identify: IdentifyPhoto,
    checks: Checks,
    layer: str | None,
    grey_of: GreyOf | None,
) -> Diagnosis:
    """Build headers with the file's poses, in the flight's UTM zone, unchanged.

    Where no terrain is known the ground is a plane as far below the photos as their image motion shows
    (`grey_of` returns small grey images), for a table's heights may have any origin.

    Heights are converted from the file's stated datum to the terrain's; without a stated one they are taken
    in the terrain's, with a finding. `own_lenses`: cameras adjusted with the poses override the photos'
    metadata. Raises what `read_poses` and `read_stated_datum` raise.
    """
    problems: list[Problem] = []
    photos = assign_layer(photos, layer, problems)
    names = make_display_names(photos)
    pictureless, image_problems = reject_bad_images(photos, names, checks)
    problems += image_problems
    shown = [photo for row, photo in enumerate(photos) if row not in pictureless]
    unseen = [Rejection.from_error(names[row], error) for row, error in pictureless.items()]
    # Cached, as hashing reads the whole photo.
    identity_of = cache(identify)
    rough = read_poses(pose_file, vertical_datum=LOCAL_DATUM)
    places = np.array([row.exterior.projection_centre_m[:2] for row in rough])
    lonlat = to_lonlat(places, rough[0].exterior.work_crs)
    centre = np.median(lonlat, axis=0)
    work_crs = choose_work_crs(float(centre[0]), float(centre[1]))
    ground, datum = terrain_at(lonlat) if terrain_at else (np.full(len(rough), np.nan), LOCAL_DATUM)
    datum = datum if np.isfinite(ground).any() else LOCAL_DATUM
    stated = read_stated_datum(pose_file)
    rows = read_poses(pose_file, vertical_datum=datum, work_crs=work_crs)
    if stated is not None and not is_flat_datum(datum):
        rows = _converted(rows, stated, datum)
    headers, rejected = build_posed_headers(
        shown,
        rows if own_lenses else [replace(row, interior=None) for row in rows],
        interior_for=interior_for,
        pose_file=pose_file.name,
        identify=identity_of,
    )
    known, __ = identify_photos(dict(enumerate(shown)), make_display_names(shown), identity_of)
    by_sha = {identity: str(shown[row].path) for row, identity in known.items()}
    paths = {header.frame_id: by_sha[header.provenance.source_sha256] for header in headers}
    plane, on_plane = _plane_under(headers, paths, grey_of) if is_flat_datum(datum) else (None, [])
    sigma = _list_sigma_findings(pose_file.name, sum(not row.states_sigma for row in rows), len(rows))
    cameras = Counter(photo.camera_name or "unknown camera" for photo in photos)
    camera, count = cameras.most_common(1)[0]
    return Diagnosis(
        headers=headers,
        rejected=(*unseen, *rejected),
        problems=(
            *on_plane,
            _make_datum_finding(pose_file.name, stated, datum),
            *check_crs_accuracy(pose_file, read_stated_crs(pose_file), lonlat),
            *sigma,
            *problems,
        ),
        camera=f"{camera} ({ngettext('{count} photo', '{count} photos', count)})",
        work_crs=work_crs,
        vertical_datum=datum,
        takeoff=plane,
        is_drill=any(photo.is_drill for photo in photos),
        paths=paths,
    )


_MAX_PAIRS = 48


def _plane_under(
    headers: Sequence[FrameHeader], paths: Mapping[str, str], grey_of: GreyOf | None
) -> tuple[Takeoff | None, list[Problem]]:
    """Estimate the height of the plane under posed photos from their image motion."""
    if grey_of is None or not headers:
        return None, []
    exteriors = [header.exterior_prior for header in headers]
    centres = np.array([one.projection_centre_m for one in exteriors])
    sigma_m = np.array([one.sigma_position_m[:2] for one in exteriors])
    sigma_deg = np.degrees(
        [(one.sigma_attitude_rad[2], max(one.sigma_attitude_rad[:2])) for one in exteriors]
    )
    poses = PoseEstimates(
        paths=[Path(paths[header.frame_id]) for header in headers],
        interiors=[header.interior for header in headers],
        xy_m=centres[:, :2] / exteriors[0].grid_scale,
        rotations=np.array([one.rotation for one in exteriors]),
        position_sigma_m=sigma_m,
        attitude_sigma_deg=sigma_deg,
    )
    rows = np.arange(len(headers))
    seen = estimate_flying_heights(
        poses, [rows], np.ones(len(rows), dtype=bool), grey_of, max_pairs=_MAX_PAIRS
    )
    if not seen.measured.any():
        return None, [_on_plane(None)]
    level = (centres[:, 2] - seen.above_ground_m)[seen.measured]
    plane = Takeoff(
        height_m=float(np.median(level)),
        sigma_m=float(np.median(seen.sigma_m[seen.measured])),
        datum=LOCAL_DATUM,
        how="pictures",
        frames=tuple(header.provenance.source_name for header in headers),
    )
    return plane, [_on_plane(plane)]


def _on_plane(plane: Takeoff | None) -> Problem:
    if plane is None:
        height = _("its height is not known, so it is taken as 0: the map's scale may be wrong")
    else:
        height = _(
            "its height, {height_m:.0f} ± {sigma_m:.0f} m, is found from the motion of the pictures",
            height_m=plane.height_m,
            sigma_m=plane.sigma_m,
        )
    return Problem(
        code=NO_TERRAIN,
        severity=Severity.WARNING,
        sentence=_(
            "No terrain is registered here: the ground is taken as a plane; {height}; register a DEM (flycam "
            "dem add).",
            height=height,
        ),
    )


def _list_sigma_findings(name: str, unstated: int, total: int) -> list[Problem]:
    if not unstated:
        return []
    return [
        Problem(
            code="pose_sigma",
            severity=Severity.INFO,
            sentence=_(
                "{name}: {unstated} of {total} lines do not say how far off they may be: what is missing is "
                "taken as of a drone's own (± {position_m} m, ± {height_m:.0f} m, {tilt_deg}°, "
                "{heading_deg}° in plan, height, tilt, heading); columns sigma_x sigma_y sigma_z, and of the "
                "angles sigma_tilt sigma_heading (degrees), say better.",
                name=name,
                unstated=unstated,
                total=total,
                position_m=SIGMA_GNSS_M,
                height_m=SIGMA_GNSS_HEIGHT_M,
                tilt_deg=SIGMA_GIMBAL_DEG,
                heading_deg=SIGMA_GIMBAL_YAW_DEG,
            ),
        )
    ]


def _converted(rows: Sequence[PoseRow], stated: str, datum: str) -> list[PoseRow]:
    """Return poses with their heights converted to another datum."""
    centres = np.array([row.exterior.projection_centre_m for row in rows])
    lonlat = to_lonlat(centres[:, :2], rows[0].exterior.work_crs)
    centres[:, 2] = convert_height(centres[:, 2], lonlat, stated, datum)
    return [
        replace(row, exterior=replace(row.exterior, projection_centre_m=(x, y, z)))
        for row, (x, y, z) in zip(rows, centres.tolist(), strict=True)
    ]


def _make_datum_finding(name: str, stated: str | None, datum: str) -> Problem:
    if stated is None and is_flat_datum(datum):
        sentence = _(
            "{name}: says no height datum, and no terrain of a known one is there to take its heights in.",
            name=name,
        )
    elif stated is None:
        sentence = _(
            "{name}: says no height datum; its heights are taken in the terrain's, {datum}.",
            name=name,
            datum=datum,
        )
    elif is_flat_datum(datum):
        sentence = _(
            "{name}: its heights are {stated}, but no terrain is known there to compare them with.",
            name=name,
            stated=stated,
        )
    else:
        sentence = _(
            "{name}: its heights are {stated}, as it says, and are used in the terrain's datum, {datum}.",
            name=name,
            stated=stated,
            datum=datum,
        )
    return Problem(code="pose_datum", severity=Severity.INFO, sentence=sentence)


# -- Diagnosis of a flight as it lies on the memory card -------------------------------------------


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
    read: Callable[[Sequence[Path]], Sequence[PhotoReading]] | None = None,
    identify: IdentifyPhoto | None = None,
    area_of_interest: BaseGeometry | None = None,
    found: PhotoSearchResult | None = None,
) -> PreflightResult:
    """Read the metadata of all photos and diagnose them.

    read      reads the photos whole, and checks their pixels (truncation, blur, a covered lens); None reads
              their heads alone
    identify  how photos are distinguished: None by the hash of their bytes, or by a quick stand-in when
              nothing is written
    found     photos at the paths, if they were searched before

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
    readings = {} if read is None else dict(zip(found.photos, read(found.photos), strict=True))
    if read is None:
        photos, failed = read_photos(found.photos)
    else:
        photos = [one.metadata for one in readings.values() if isinstance(one.metadata, PhotoMetadata)]
        failed = [
            (path, one.metadata)
            for path, one in readings.items()
            if isinstance(one.metadata, SourceUnreadable)
        ]
    failed += [
        one for one in found.refused if detect_file_kind(one[0].name) is FileKind.PHOTO or one[0].is_dir()
    ]
    if not photos:
        __, first = failed[0]
        raise SourceUnreadable(
            ngettext(
                "the photo cannot be read: {first}",
                "none of the {count} photos can be read; the first: {first}",
                len(failed),
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
    checks = {photo.path: readings[photo.path].checks for photo in photos} if readings else {}

    def identify_as_read(photo: PhotoMetadata) -> str:
        if identify is not None or photo.path not in readings:
            return (identify or compute_content_identity)(as_read[photo.path])
        return readings[photo.path].sha256

    if log is not None and has_poses(log):
        diagnosis = build_diagnosis_from_poses(
            photos,
            log,
            terrain_at=terrain_at,
            interior_for=lens,
            own_lenses=camera is None,
            identify=identify_as_read,
            checks=checks,
            layer=request.layer,
            grey_of=read_grey if readings else None,
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
            identify=identify_as_read,
            checks=checks,
            area_of_interest=area_of_interest,
            layer=request.layer,
            grey_of=read_grey if readings else None,
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
        reasons = groups[0][0].message
    else:
        reasons = join(
            (_("{count} such as {example}", count=len(group), example=group[0].message) for group in groups),
            "; ",
        )
    for problem in (one for one in diagnosis.problems if one.code == LOG_DOES_NOT_MATCH):
        reasons = join([problem.sentence, reasons])
    unplaced = PositionMissing if set(by_reason) <= {PositionUnknown.reason} else PhotosUnpositioned
    return unplaced(
        ngettext(
            "none of the {count} photo can be placed: {reasons}",
            "none of the {count} photos can be placed: {reasons}",
            count,
            reasons=reasons,
        )
    )


def _track(log: Path) -> FlightLog:
    from flycam.ingest.telemetry.log_files import read_flight_log  # noqa: PLC0415  its dialects are slow to load

    return read_flight_log(log)


def _make_other_terrain_error(dem: Path, diagnosis: Diagnosis) -> TerrainMissing:
    place: Message | str = ""
    if diagnosis.headers:
        centre = np.median([one.exterior_prior.projection_centre_m for one in diagnosis.headers], axis=0)
        lon, lat = to_lonlat(centre[None, :2], diagnosis.work_crs)[0]
        place = _(
            " (around latitude {latitude}, longitude {longitude})",
            latitude=format(lat, ".4f"),
            longitude=format(lon, ".4f"),
        )
    return TerrainMissing(
        _(
            "{name}: has no height under these photos{place}: give terrain of that place, "
            "or leave --dem to place them on a plane",
            name=dem.name,
            place=place,
        )
    )


def make_outside_terrain_error(
    seen: PreflightResult, refused: Sequence[tuple[FrameHeader, FrameRejected]], terrain_names: str
) -> OutsideTerrain:
    """Return the error for a flight without any photo that can be orthorectified."""
    header, first = refused[0]
    known = _(" (terrain here: {names})", names=terrain_names) if terrain_names else ""
    return OutsideTerrain(
        ngettext(
            "none of the {count} photo sees ground that is known{known}; the first, {source_name}: {first}",
            "none of the {count} photos sees ground that is known{known}; the first, {source_name}: {first}",
            seen.photo_count,
            known=known,
            source_name=header.provenance.source_name,
            first=first.message,
        )
    )


# -- Reading of all photos, in threads -------------------------------------------------------------
#
# Preflight check and ingest share it, so that both reject the same truncated, blurred or black photos.


# Threads that decode ask for the interpreter some thirty times a photo; by default each would wait 5 ms for a
# thread that loads modules.
_SWITCH_S = 0.0002


class PhotoPrefetch:
    """Photos that are being read, by path."""

    def __init__(self, futures: dict[Path, Future[PhotoReading]]) -> None:
        self._futures = futures

    def wait_for(self, path: Path) -> PhotoReading:
        """Return a photo as it was read; read it now if it was not prefetched."""
        future = self._futures.pop(path, None)
        return future.result() if future is not None else read_photo(path)


NO_PREFETCH = PhotoPrefetch({})


@contextmanager
def prefetch_photos(paths: Iterable[Path]) -> Iterator[PhotoPrefetch]:
    """Start reading photos in threads, while libraries load."""
    interval = sys.getswitchinterval()
    pool = ThreadPoolExecutor(count_workers(), thread_name_prefix="look")
    try:
        sys.setswitchinterval(_SWITCH_S)
        yield PhotoPrefetch({path: pool.submit(read_photo, path) for path in paths})
    finally:
        pool.shutdown(cancel_futures=True)
        sys.setswitchinterval(interval)


def read_photo_files(
    paths: Sequence[Path], progress: Progress, prefetch: PhotoPrefetch = NO_PREFETCH
) -> list[PhotoReading]:
    """Read photos in threads, each once, in the order given."""
    workers = count_workers()
    readings: list[PhotoReading] = []
    for one in map_ordered(prefetch.wait_for, paths, workers, in_flight=2 * workers):
        readings.append(one)
        progress("look", len(readings), len(paths))
    return readings


# -- Preflight report: `flycam inspect` ------------------------------------------------------------


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
    area = None
    if aoi:
        # only here are vector files read
        from flycam.geodata.communes import read_area_of_interest  # noqa: PLC0415  GDAL for vectors is slow to load

        area = read_area_of_interest(aoi)
    if extra_dem is not None:
        dems = [read_dem_info(extra_dem, datum), *dems]
    seen = run_preflight(
        request,
        dems,
        read=(lambda paths: read_photo_files(paths, progress)) if check_pixels else None,
        identify=compute_quick_identity,
        area_of_interest=area,
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
