"""Preflight check of a flight: its faults, and headers that are ready to rectify.

`diagnose` turns the photos' metadata into headers. Evidence beats convention; every decision becomes one
sentence; no photo is dropped without a reason. `run_preflight` reads the photos before it; poses may come
from a table, such as an external adjustment or a survey company's file. Nothing is written but the KML of the
ground to refly, on request (`flycam inspect`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from shapely.geometry.base import BaseGeometry

from flycam.errors import (
    CalibrationMissing,
    FrameRejected,
    FrameUnreadable,
    LensUnknown,
    OutsideTerrain,
    PhotosUnpositioned,
    PositionMissing,
    PositionUnknown,
    SourceUnreadable,
    TerrainMissing,
)
from flycam.geodata.cameras import load_camera_file
from flycam.geodata.crs import choose_work_crs, to_lonlat, to_work
from flycam.geodata.dem import DemInfo, read_dem_info
from flycam.geometry.camera import InteriorOrientation
from flycam.ingest.photos.photo_reader import PhotoMetadata, PhotoPrefetch, make_display_names, read_photos
from flycam.ingest.photos.photo_search import (
    NOT_A_PHOTO,
    FileKind,
    PhotoSearchResult,
    detect_file_kind,
    resolve_links,
    search_photos,
)
from flycam.ingest.poses.block_positions import (
    is_map_file,
    with_gcp_positions,
    with_map_positions,
)
from flycam.ingest.poses.external_poses import (
    build_diagnosis_from_poses,
    has_ground_control,
    has_only_positions,
    has_poses,
    with_table_positions,
)
from flycam.ingest.preflight.altitude import (
    TERRAIN_DISJOINT,
    TERRAIN_HOLE,
    TERRAIN_PARTIAL,
    CameraHeights,
    HeightMode,
    resolve_heights,
    resolve_positions,
)
from flycam.ingest.preflight.attitude import (
    SIGMA_COURSE_YAW_DEG,
    resolve_attitude,
    resolve_nose_cameras,
)
from flycam.ingest.preflight.coverage import assess_coverage, make_refly_kml
from flycam.ingest.preflight.files import (
    UsablePhotos,
    find_duplicates,
    find_missing_files,
    identify_photos,
    resolve_capture_times,
    select_usable_photos,
)
from flycam.ingest.preflight.flight_table import (
    Bools,
    FlightTable,
    Floats,
    Index,
    build_flight_table,
    compute_course,
    split_sorties,
)
from flycam.ingest.preflight.flying_height import (
    FlyingHeights,
    GreyOf,
    PoseEstimates,
    estimate_flying_heights,
    make_unknown_heights,
)
from flycam.ingest.preflight.frame_headers import (
    ResolvedFlight,
    assign_layer,
    build_headers,
    compute_grid_convergence,
    estimate_position_sigma,
)
from flycam.ingest.preflight.image_rotation import (
    correct_rotations,
    detect_sideways_photos,
    estimate_interiors,
    find_interior,
    guess_interior,
)
from flycam.ingest.preflight.log_match import LOG_DOES_NOT_MATCH, fill_from_log, to_flight_log
from flycam.ingest.preflight.position_jumps import find_position_jumps
from flycam.ingest.preflight.takeoff import StatedTakeoff
from flycam.ingest.telemetry.flight_log import FlightLog
from flycam.media.pixels import PixelChecks, read_grey
from flycam.messages import Message, _, join, ngettext
from flycam.model.diagnosis import Diagnosis, Problem, Rejection, Severity, Takeoff, TerrainAt
from flycam.model.flight import is_flat_datum
from flycam.model.frame import FrameHeader
from flycam.model.telemetry import TelemetryTrack
from flycam.model.text import to_visible
from flycam.mosaic.orthorectify.rectification import load_terrain_under, project_frames
from flycam.mosaic.terrain import TerrainLookup, format_dem_names
from flycam.storage.files import write_file_atomically
from flycam.workspace import Progress, ignore_progress

# -- Preflight check of metadata, resolved to frame headers ----------------------------------------


_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


def diagnose(
    photos: Sequence[PhotoMetadata],
    *,
    camera: InteriorOrientation | None = None,
    terrain_at: TerrainAt | None = None,
    track: FlightLog | TelemetryTrack | None = None,
    height_mode: str = "auto",
    takeoff: StatedTakeoff = None,
    clock_offset_s: float | None = None,
    area_of_interest: BaseGeometry | None = None,
    layer: str | None = None,
    grey_of: GreyOf | None = None,
) -> Diagnosis:
    """Check a flight's metadata and resolve it to frame headers.

    photos           of one flight, any order; several cameras and several sorties may be mixed
    camera           the camera as the operator states it; None: as photos and `models/cameras` state it
    terrain_at       heights of the ground and their datum; None: a plane at take-off
    track            the flight's log (`log_files.read_flight_log`) for photos with incomplete metadata
    height_mode      "auto", "relative", "absolute", "exif"
    takeoff          stated by the operator: height in metres (terrain's datum) or (lon, lat) degrees
    clock_offset_s   telemetry stamp minus photo time; None: estimated from the evidence
    area_of_interest lon/lat polygon that was to be flown; None: the flown area itself
    layer            the layer as the operator states it; None: as tags and names state it
    grey_of          small grey images, by which heights are checked and estimated; None: written heights
                     alone

    Returns headers + rejected = photos. Raises ValueError for an unknown height mode, DatumUnknown where an
    altitude cannot be converted to the terrain's datum.
    """
    book = _FindingLog()
    table = _table(assign_layer(photos, layer, book.problems), book)
    table = _without_copies(table, book)
    table, home = _with_log(table, track, clock_offset_s, book)
    table = book.kept(resolve_positions(table))
    table = book.kept(resolve_nose_cameras(table))
    options = _HeightOptions(terrain_at, HeightMode(height_mode), takeoff, home, grey_of)
    table, interiors = _with_lenses(table, camera, options, book)
    if not len(table):
        return _nothing_usable(photos, book)
    flight = _settle(table, interiors, options, book)
    if is_flat_datum(flight.heights.datum):  # terrain that lies elsewhere counts as none
        terrain_at = None
    usable = select_usable_photos(flight)
    book.add(usable.rejected, usable.problems)
    flight, found_problems = correct_rotations(flight, usable.keep, terrain_at)
    book.add(problems=[*found_problems, *find_position_jumps(flight, usable.keep, terrain_at)])
    identities, copies = identify_photos(flight.table, np.flatnonzero(usable.keep).tolist())
    book.add(copies)
    keep = np.isin(np.arange(len(flight.table)), list(identities))
    survey = assess_coverage(flight, keep, terrain_at, area_of_interest)
    missing, found_problems = find_missing_files([photo.path for photo in photos])
    book.add(problems=[*found_problems, *survey.problems])
    headers = build_headers(flight, identities, book.problems)
    return Diagnosis(
        headers=headers,
        rejected=tuple(book.rejected),
        problems=book.in_order(),
        camera=_camera_name(table.photos),
        work_crs=flight.work_crs,
        vertical_datum=flight.heights.datum,
        takeoff=_longest(flight.heights.takeoffs),
        takeoffs=flight.heights.takeoffs,
        gaps=survey.gaps,
        relief=survey.relief,
        missing_names=missing,
        refused=_refused(flight, usable, book),
        is_drill=any(photo.is_drill for photo in table.photos),
        paths=_paths(headers, table, keep),
    )


@dataclass
class _FindingLog:
    """Rejections and findings collected during the check."""

    rejected: list[Rejection] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add(self, rejected: Sequence[Rejection] = (), problems: Sequence[Problem] = ()) -> None:
        self.rejected += rejected
        self.problems += problems

    def kept(self, settled: tuple[FlightTable, Sequence[Rejection], Sequence[Problem]]) -> FlightTable:
        """Note a step's rejections and findings; return the table it kept."""
        table, rejected, problems = settled
        self.add(rejected, problems)
        return table

    def in_order(self) -> tuple[Problem, ...]:
        """Return the findings, most severe first, else in order."""
        return tuple(sorted(self.problems, key=lambda p: _ORDER[p.severity]))


def _table(photos: Sequence[PhotoMetadata], book: _FindingLog) -> FlightTable:
    """Return the columns of all photos, in order of time."""
    times, time_problems = resolve_capture_times(photos)
    book.add(problems=[*time_problems, *_remarks(photos)])
    return _in_order(build_flight_table(photos, times))


def _in_order(table: FlightTable) -> FlightTable:
    """Return rows by capture time, then by name."""
    rows = sorted(range(len(table)), key=lambda i: (table.t_ns[i], table.photos[i].name))
    return table.take(np.array(rows, dtype=np.intp))


def _without_copies(table: FlightTable, book: _FindingLog) -> FlightTable:
    kept, refused, problems = find_duplicates(table)
    book.add(refused, problems)
    return table.take(np.array(kept, dtype=np.intp))


def _with_log(
    table: FlightTable,
    track: FlightLog | TelemetryTrack | None,
    clock_offset_s: float | None,
    book: _FindingLog,
) -> tuple[FlightTable, tuple[float, float] | None]:
    """Return the table completed from the flight log, and the log's home (lon, lat)."""
    if track is None:
        return table, None
    log = to_flight_log(track)
    table, log_problems = fill_from_log(table, log, clock_offset_s)
    book.add(problems=log_problems)
    home = log.home
    return _in_order(table), (home.lon_deg, home.lat_deg) if home is not None else None


@dataclass(frozen=True)
class _HeightOptions:
    """Inputs to resolving heights, beside the photos' metadata."""

    terrain_at: TerrainAt | None
    mode: HeightMode
    takeoff: StatedTakeoff
    home_lonlat: tuple[float, float] | None
    grey_of: GreyOf | None


def _settle(
    table: FlightTable, interiors: Sequence[InteriorOrientation], options: _HeightOptions, book: _FindingLog
) -> ResolvedFlight:
    """Resolve attitude and heights of photos with known position and interior."""
    centre = np.median(table.lonlat, axis=0)
    work_crs = choose_work_crs(float(centre[0]), float(centre[1]))
    sorties = split_sorties(table)
    attitude, new_problems = resolve_attitude(table, compute_course(table.lonlat, table.t_ns, sorties))
    book.add(problems=new_problems)
    convergence, scale = compute_grid_convergence(work_crs, table.lonlat)
    xy_m, rotations = to_work(table.lonlat, work_crs), attitude.rotations(convergence)
    poses = PoseEstimates(
        paths=[photo.path for photo in table.photos],
        interiors=interiors,
        xy_m=xy_m / scale[:, None],
        rotations=rotations,
        position_sigma_m=estimate_position_sigma(table)[0],
        attitude_sigma_deg=attitude.sigma_deg,
    )
    heights, seen, new_problems = _settle_heights(table, sorties, poses, options)
    book.add(problems=new_problems)
    attitude, fitted = attitude.with_turned_headings(seen.turn_deg)
    if fitted:
        rotations = attitude.rotations(convergence)
        book.add(problems=[_headings_fitted([table.names[row] for row in fitted], seen.turn_deg[fitted])])
    return ResolvedFlight(
        table=table,
        interiors=interiors,
        work_crs=work_crs,
        xy_m=xy_m,
        attitude=attitude,
        heights=heights,
        rotations=rotations,
        scale=scale,
    )


_GLANCE_PAIRS, _LOOK_PAIRS = 6, 96
"""Number of photo pairs for checking written heights, and for estimating heights.

Checking six pairs takes about a second.
"""


def _settle_heights(
    table: FlightTable, sorties: list[Index], poses: PoseEstimates, options: _HeightOptions
) -> tuple[CameraHeights, FlyingHeights, list[Problem]]:
    """Return heights that the images do not contradict, and the images' own.

    A few pairs are checked first, many where the images alone give a height or heading.
    """
    usable = np.array([isinstance(photo.checks, PixelChecks) for photo in table.photos], dtype=bool)

    def settled(seen: FlyingHeights) -> tuple[CameraHeights, list[Problem]]:
        return resolve_heights(
            table,
            sorties,
            options.terrain_at,
            mode=options.mode,
            takeoff=options.takeoff,
            home_lonlat=options.home_lonlat,
            seen=seen,
        )

    seen = make_unknown_heights(len(table))
    heights, height_problems = settled(seen)
    if options.grey_of is None or not usable.any():
        return heights, seen, height_problems
    is_needed = (
        np.isnan(heights.height_m).all() or (poses.attitude_sigma_deg[:, 0] >= SIGMA_COURSE_YAW_DEG).any()
    )
    for pairs in (_LOOK_PAIRS,) if is_needed else (_GLANCE_PAIRS, _LOOK_PAIRS):
        told_m = heights.above_ground_m if pairs == _GLANCE_PAIRS else None
        seen = estimate_flying_heights(
            poses, sorties, usable, options.grey_of, max_pairs=pairs, stated_m=told_m
        )
        heights, height_problems = settled(seen)
        if not heights.from_images.any():
            break
    return heights, seen, height_problems


def _headings_fitted(names: Sequence[str], turn_deg: Floats) -> Problem:
    most = float(np.abs(turn_deg[:, 0]).max())
    return Problem(
        code="headings_from_pictures",
        severity=Severity.INFO,
        sentence=ngettext(
            "{count} photo of vague heading was turned to fit its neighbours' pictures, by {most_deg:.0f}°: "
            "its heading is taken as known to ± {sigma_deg:.0f}°.",
            "{count} photos of vague heading were turned to fit their neighbours' pictures, by up to "
            "{most_deg:.0f}°: their heading is taken as known to ± {sigma_deg:.0f}°.",
            len(names),
            most_deg=most,
            sigma_deg=SIGMA_COURSE_YAW_DEG,
        ),
        frames=tuple(names),
    )


def _with_lenses(
    table: FlightTable,
    camera: InteriorOrientation | None,
    options: _HeightOptions,
    book: _FindingLog,
) -> tuple[FlightTable, list[InteriorOrientation]]:
    """Return rows with a known or estimated interior orientation, and these."""
    interiors: list[InteriorOrientation] = []
    unnamed: dict[int, CalibrationMissing] = {}
    sideways = detect_sideways_photos(table.photos).tolist()
    for row, photo in enumerate(table.photos):
        try:
            interiors.append(find_interior(photo, sideways[row], camera))
        except CalibrationMissing as error:
            unnamed[row] = error
            interiors.append(guess_interior(photo.image_size_px))
    is_checked = any(photo.checks is not None for photo in table.photos)
    if unnamed and is_checked:
        rows = np.isin(np.arange(len(table)), list(unnamed))
        # images determine height from focal length or focal length from height, not both
        trial = _settle(table, interiors, replace(options, grey_of=None), _FindingLog())
        found, lens_problems = estimate_interiors(trial, rows, options.terrain_at)
        book.add(problems=lens_problems)
        for row, lens in found.items():
            interiors[row] = lens
            del unnamed[row]
    if unnamed:
        names = tuple(table.names[row] for row in unnamed)
        count = len(unnamed)
        problem = Problem(
            code="calibration_missing",
            severity=Severity.ERROR,
            sentence=ngettext(
                "{count} photo does not say what lens took it: give it with --camera.",
                "{count} photos do not say what lens took them: give it with --camera.",
                count,
            )
            if is_checked
            else ngettext(
                "{count} photo does not say what lens took it, and its pixels, which may show it, were not "
                "looked at: give it with --camera.",
                "{count} photos do not say what lens took them, and their pixels, which may show it, were "
                "not looked at: give it with --camera.",
                count,
            ),
            frames=names,
        )
        unknown = [
            Rejection.from_error(name, LensUnknown.from_error(error))
            for name, error in zip(names, unnamed.values(), strict=True)
        ]
        book.add(unknown, [problem])
    kept = [row for row in range(len(table)) if row not in unnamed]
    return table.take(np.array(kept, dtype=np.intp)), [interiors[row] for row in kept]


def _refused(
    flight: ResolvedFlight, usable: UsablePhotos, book: _FindingLog
) -> tuple[tuple[FrameHeader, FrameRejected], ...]:
    """Return headers and errors of photos with a pose but without usable pixels."""
    # copies are already rejected, for their pixels
    identities, __ = identify_photos(flight.table, sorted(usable.without_image))
    headers = build_headers(flight, identities, book.problems)
    return tuple(zip(headers, (usable.without_image[row] for row in sorted(identities)), strict=True))


def _paths(headers: Sequence[FrameHeader], table: FlightTable, keep: Bools) -> dict[str, str]:
    used = [photo for photo, is_kept in zip(table.photos, keep, strict=True) if is_kept]
    return {header.frame_id: str(photo.path) for header, photo in zip(headers, used, strict=True)}


def _remarks(photos: Sequence[PhotoMetadata]) -> list[Problem]:
    """Return the reader's remarks, one problem per kind of remark."""
    by_remark: dict[Message, list[str]] = {}
    for photo, name in zip(photos, make_display_names(photos), strict=True):
        for remark in photo.remarks:
            by_remark.setdefault(remark, []).append(name)
    return [
        Problem(
            code="remark",
            severity=Severity.INFO,
            sentence=ngettext(
                "{count} photo: {remark}.", "{count} photos: {remark}.", len(names), remark=remark
            ),
            frames=tuple(names),
        )
        for remark, names in by_remark.items()
    ]


def _camera_name(photos: Sequence[PhotoMetadata]) -> str:
    counted = Counter(p.camera_name or "unknown camera" for p in photos)
    (name, __), *rest = counted.most_common()
    return name if not rest else f"{name} and {len(rest)} more"


def _longest(takeoffs: tuple[Takeoff, ...]) -> Takeoff | None:
    return max(takeoffs, key=lambda t: len(t.frames), default=None)


def _nothing_usable(photos: Sequence[PhotoMetadata], book: _FindingLog) -> Diagnosis:
    return Diagnosis(
        headers=(),
        rejected=tuple(book.rejected),
        problems=book.in_order(),
        camera=_camera_name(photos) if photos else "",
        work_crs="",
        vertical_datum="",
        takeoff=None,
        is_drill=any(p.is_drill for p in photos),
    )


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
    """

    photos: tuple[PhotoMetadata, ...]
    unreadable: tuple[Rejection, ...]
    diagnosis: Diagnosis

    @property
    def photo_count(self) -> int:
        """Number of photos found, readable or not."""
        return len(self.photos) + len(self.unreadable)


def run_preflight(
    request: PreflightRequest,
    dems: Sequence[DemInfo],
    *,
    check_pixels: bool = False,
    area_of_interest: BaseGeometry | None = None,
    found: PhotoSearchResult | None = None,
    prefetch: PhotoPrefetch | None = None,
    progress: Progress = ignore_progress,
) -> PreflightResult:
    """Read the metadata of all photos and diagnose them.

    check_pixels  read the photos whole, and check their pixels (truncation, blur, a covered lens); otherwise
                  their heads alone
    found         photos at the paths, if they were searched before
    prefetch      photos that are being read already

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
            _(
                "{names}: no JPEG, PNG or TIFF photo inside (a georeferenced TIFF is a map); give the folder "
                "with the photos",
                names=names,
            )
        )
    photos, failed = read_photos(found.photos, is_whole=check_pixels, progress=progress, prefetch=prefetch)
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
    terrain_at = TerrainLookup(dems) if dems else None
    log = request.telemetry
    placed: list[Problem] = []
    if log is not None and is_map_file(log):
        photos, placed = with_map_positions(photos, log, camera, read_grey)
        log = None
    elif log is not None and has_poses(log) and has_ground_control(log):
        photos, placed = with_gcp_positions(photos, log, camera, read_grey)
        log = None
    elif log is not None and has_poses(log) and has_only_positions(log):
        photos, placed = with_table_positions(photos, log)
        log = None
    if log is not None and has_poses(log):
        diagnosis = build_diagnosis_from_poses(
            photos,
            log,
            terrain_at=terrain_at,
            camera=camera,
            layer=request.layer,
            grey_of=read_grey if check_pixels else None,
        )
    else:
        diagnosis = diagnose(
            photos,
            terrain_at=terrain_at,
            track=_track(log) if log else None,
            height_mode=request.height_mode,
            takeoff=request.takeoff,
            clock_offset_s=request.clock_offset_s,
            camera=camera,
            area_of_interest=area_of_interest,
            layer=request.layer,
            grey_of=read_grey if check_pixels else None,
        )
    others = _list_unread_files(found, (request.telemetry, request.camera))
    diagnosis = replace(diagnosis, problems=(*placed, *diagnosis.problems, *others))
    if request.own_dem and any(one.code == TERRAIN_DISJOINT for one in diagnosis.problems):
        raise _make_other_terrain_error(request.own_dem, diagnosis)
    if not diagnosis.headers:
        raise _make_nothing_placed_error(diagnosis)
    return PreflightResult(
        photos=tuple(photos),
        unreadable=tuple(_make_unread_rejection(path, error) for path, error in failed),
        diagnosis=diagnosis,
    )


_MAX_UNREAD_NAMES = 3


def _list_unread_files(found: PhotoSearchResult, given: Iterable[Path | None]) -> list[Problem]:
    """Name files beside the photos that nothing reads; `given`: read for another reason.

    Videos and logs are read by commands of their own, and are not named.
    """
    read = {resolve_links(path) for path in given if path is not None}
    names = [
        to_visible(path.name)
        for path, why in found.skipped
        if why == NOT_A_PHOTO and detect_file_kind(path.name) is None and resolve_links(path) not in read
    ]
    if not names:
        return []
    return [
        Problem(
            code="files_not_read",
            severity=Severity.INFO,
            sentence=ngettext(
                "{count} other file beside the photos was not read: {names}.",
                "{count} other files beside the photos were not read: {names}.",
                len(names),
                names=", ".join(names[:_MAX_UNREAD_NAMES])
                + (", …" if len(names) > _MAX_UNREAD_NAMES else ""),
            ),
        )
    ]


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
            "the photo cannot be placed: {reasons}",
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
            "the photo {source_name} sees no ground that is known{known}: {first}",
            "none of the {count} photos sees ground that is known{known}; the first, {source_name}: {first}",
            seen.photo_count,
            known=known,
            source_name=header.provenance.source_name,
            first=first.message,
        )
    )


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
        check_pixels=check_pixels,
        area_of_interest=area,
        found=found,
        progress=progress,
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
    planned, refused = project_frames(diagnosis.headers, terrain)
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
