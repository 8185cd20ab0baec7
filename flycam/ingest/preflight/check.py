"""Preflight check: description of a flight, its faults, and their resolution.

`diagnose` turns the photos' metadata into headers that are ready to rectify. Evidence beats convention; every
decision becomes one sentence; no photo is dropped without a reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from shapely.geometry.base import BaseGeometry

from flycam.errors import (
    CalibrationMissing,
    FrameRejected,
    HeightUnknown,
    HorizonInView,
    LensUnknown,
    PoseRejected,
)
from flycam.geodata.crs import choose_work_crs, to_work
from flycam.geometry.camera import InteriorOrientation, compute_ray_directions
from flycam.ingest.photos.photo_reader import PhotoMetadata, make_display_names
from flycam.ingest.preflight.altitude import CameraHeights, HeightMode, resolve_heights, resolve_positions
from flycam.ingest.preflight.attitude import (
    SIGMA_COURSE_YAW_DEG,
    Attitude,
    resolve_attitude,
    resolve_nose_cameras,
)
from flycam.ingest.preflight.coverage import assess_coverage
from flycam.ingest.preflight.files import (
    find_duplicates,
    find_missing_files,
    identify_photos,
    reject_bad_images,
    resolve_capture_times,
)
from flycam.ingest.preflight.flight_table import (
    CLEARANCE_M,
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
from flycam.ingest.preflight.log_match import fill_from_log, to_flight_log
from flycam.ingest.preflight.takeoff import StatedTakeoff
from flycam.ingest.telemetry.flight_log import FlightLog
from flycam.media.pixels import PixelChecks
from flycam.messages import Message, _, ngettext
from flycam.model.diagnosis import Diagnosis, Problem, Rejection, Severity, Takeoff, TerrainAt
from flycam.model.flight import is_flat_datum
from flycam.model.frame import FrameHeader
from flycam.model.telemetry import TelemetryTrack

# -- Share of sky in photos, and rejection of those that are mostly sky ----------------------------


GRAZING_DEG = 3.0
"""Rays flatter than this meet the ground, if at all, kilometres away, where pixels are useless."""
MAX_SKY = 0.6
_GRID = 7


def compute_sky_fraction(rotations: Floats, interiors: Sequence[InteriorOrientation]) -> Floats:
    """Return the share of each frame that looks flatter than `GRAZING_DEG` down.

    N×3×3 rotations, N interiors.
    """
    share = np.zeros(len(rotations))
    for interior in set(interiors):
        rows = np.array([i for i, other in enumerate(interiors) if other is interior or other == interior])
        directions = _directions(interior)
        up = rotations[rows][:, :, 2] @ directions.T
        share[rows] = (up > -np.sin(np.radians(GRAZING_DEG))).mean(axis=1)
    return share


def _directions(interior: InteriorOrientation) -> Floats:
    width, height = interior.image_size_px
    u, v = np.meshgrid(np.linspace(0.0, width - 1.0, _GRID), np.linspace(0.0, height - 1.0, _GRID))
    rays = np.stack(compute_ray_directions(interior, u.ravel(), v.ravel()), axis=-1)
    rays = rays[np.isfinite(rays).all(axis=1)]
    unit: Floats = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    return unit


def reject_sky_photos(
    names: Sequence[str], share: Floats, reportable: Bools
) -> tuple[Bools, list[Rejection], list[Problem]]:
    """Return a mask of photos to keep; rejections and findings of mostly-sky photos.

    Only photos in `reportable` are reported.
    """
    keep = share <= MAX_SKY
    sky = ~keep & reportable
    some = keep & (share > 0.0) & reportable
    rejected = [
        Rejection.from_error(
            names[i],
            HorizonInView(
                _(
                    "{share:.0f} % of it looks at or above the horizon: tilt the gimbal down",
                    share=share[i] * 100,
                )
            ),
        )
        for i in np.flatnonzero(sky).tolist()
    ]
    problems = []
    if sky.any():
        problems.append(
            Problem(
                code="horizon",
                severity=Severity.WARNING,
                sentence=ngettext(
                    "{count} photo looks at the horizon or the sky and is left out: tilt the gimbal down.",
                    "{count} photos look at the horizon or the sky and are left out: tilt the gimbal down.",
                    int(sky.sum()),
                ),
                frames=tuple(names[i] for i in np.flatnonzero(sky).tolist()),
            )
        )
    if some.any():
        problems.append(
            Problem(
                code="horizon_part",
                severity=Severity.INFO,
                sentence=ngettext(
                    "{count} photo sees the horizon in part (up to {most_pct:.0f} % of the picture): only "
                    "the ground below it is used.",
                    "{count} photos see the horizon in part (up to {most_pct:.0f} % of the picture): only "
                    "the ground below it is used.",
                    int(some.sum()),
                    most_pct=share[some].max() * 100,
                ),
                frames=tuple(names[i] for i in np.flatnonzero(some).tolist()),
            )
        )
    return keep, rejected, problems


# -- Selection of photos that can be rectified -----------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class UsablePhotos:
    """Photos to rectify, and the others.

    keep           rows to rectify
    without_image  rows with a pose but without usable pixels, each with its error
    """

    keep: Bools
    without_image: Mapping[int, FrameRejected]
    rejected: tuple[Rejection, ...]
    problems: tuple[Problem, ...]


def select_usable_photos(flight: ResolvedFlight) -> UsablePhotos:
    """Check pixels, then poses; give one error for each rejected photo."""
    names = flight.table.names
    pictureless, problems = reject_bad_images(flight.table.photos, names)
    rejected = [Rejection.from_error(names[row], error) for row, error in pictureless.items()]
    shown = np.ones(len(names), dtype=bool)
    shown[list(pictureless)] = False
    posed, refused, pose_problems = _posed(flight, shown)
    return UsablePhotos(
        keep=shown & posed,
        without_image={row: error for row, error in pictureless.items() if posed[row]},
        rejected=(*rejected, *refused),
        problems=(*problems, *pose_problems),
    )


@dataclass(frozen=True)
class _Refusal:
    """Rows to reject: the error, and the finding's code."""

    rows: Bools
    error: FrameRejected
    code: str


def _posed(flight: ResolvedFlight, shown: Bools) -> tuple[Bools, list[Rejection], list[Problem]]:
    """Return rows that can be rectified; rejections and findings of the others.

    Only photos in `shown` are reported.
    """
    names = flight.table.names
    no_heading = ~np.isfinite(flight.attitude.angles_deg[:, 0])
    share = np.where(
        no_heading,
        0.0,
        np.nan_to_num(compute_sky_fraction(np.nan_to_num(flight.rotations), flight.interiors)),
    )
    keep, rejected, problems = reject_sky_photos(names, share, shown)
    for refusal in _refusals(flight.heights, flight.attitude):
        rows = refusal.rows & keep
        keep = keep & ~rows
        reported = rows & shown
        if not reported.any():
            continue
        rejected += [Rejection.from_error(name, refusal.error) for name in flight.table.names_of(reported)]
        problems.append(
            Problem(
                code=refusal.code,
                severity=Severity.ERROR if reported.all() else Severity.WARNING,
                sentence=ngettext(
                    "{count} photo is left out, it {reason}.",
                    "{count} photos are left out, each {reason}.",
                    int(reported.sum()),
                    reason=refusal.error.message,
                ),
                frames=flight.table.names_of(reported),
            )
        )
    return keep, rejected, problems


def _refusals(heights: CameraHeights, attitude: Attitude) -> tuple[_Refusal, ...]:
    return (
        _Refusal(
            ~np.isfinite(heights.height_m),
            HeightUnknown(
                _(
                    "has no usable height: no terrain lies under it, it says no height above take-off, and "
                    "it shares too little ground with other photos to find one: register terrain (flycam dem "
                    "add)"
                )
            ),
            "no_height",
        ),
        _Refusal(
            ~np.isfinite(attitude.angles_deg[:, 0]),
            PoseRejected(_("has no heading: give the flight log with --telemetry")),
            "no_heading",
        ),
        _Refusal(
            heights.above_ground_m < CLEARANCE_M,
            PoseRejected(_("lies under the terrain: check --height and --takeoff")),
            "under_ground",
        ),
    )


# -- Preflight check of metadata, resolved to frame headers ----------------------------------------


_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


InteriorFor = Callable[[PhotoMetadata], InteriorOrientation]


def diagnose(
    photos: Sequence[PhotoMetadata],
    *,
    interior_for: InteriorFor,
    terrain_at: TerrainAt | None = None,
    track: FlightLog | TelemetryTrack | None = None,
    height_mode: str = "auto",
    takeoff: StatedTakeoff = None,
    clock_offset_s: float | None = None,
    area_of_interest: BaseGeometry | None = None,
    operator: str | None = None,
    layer: str | None = None,
    grey_of: GreyOf | None = None,
) -> Diagnosis:
    """Check a flight's metadata and resolve it to frame headers.

    photos           of one flight, any order; several cameras and several sorties may be mixed
    interior_for     returns the interior orientation of one photo or raises CalibrationMissing
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
    table, interiors = _with_lenses(table, interior_for, options, book)
    if not len(table):
        return _nothing_usable(photos, book)
    flight = _settle(table, interiors, options, book)
    if is_flat_datum(flight.heights.datum):  # terrain that lies elsewhere counts as none
        terrain_at = None
    usable = select_usable_photos(flight)
    book.add(usable.rejected, usable.problems)
    flight, found_problems = correct_rotations(flight, usable.keep, terrain_at)
    book.add(problems=found_problems)
    identities, changed = _identified(flight.table, np.flatnonzero(usable.keep).tolist())
    book.add(changed)
    keep = np.isin(np.arange(len(flight.table)), list(identities))
    survey = assess_coverage(flight, keep, terrain_at, area_of_interest)
    missing, found_problems = find_missing_files([photo.path for photo in photos])
    book.add(problems=[*found_problems, *survey.problems])
    headers = build_headers(flight, identities, book.problems, operator)
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
        refused=_refused(flight, usable, book, operator),
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
    interior_for: InteriorFor,
    options: _HeightOptions,
    book: _FindingLog,
) -> tuple[FlightTable, list[InteriorOrientation]]:
    """Return rows with a known or estimated interior orientation, and these."""
    interiors: list[InteriorOrientation] = []
    unnamed: dict[int, CalibrationMissing] = {}
    sideways = detect_sideways_photos(table.photos).tolist()
    for row, photo in enumerate(table.photos):
        try:
            interiors.append(find_interior(photo, sideways[row], interior_for))
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
    flight: ResolvedFlight,
    usable: UsablePhotos,
    book: _FindingLog,
    operator: str | None,
) -> tuple[tuple[FrameHeader, FrameRejected], ...]:
    """Return headers and errors of photos with a pose but without usable pixels."""
    # photos that cannot be identified are already rejected, for their pixels
    identities, __ = _identified(flight.table, sorted(usable.without_image))
    headers = build_headers(flight, identities, book.problems, operator)
    return tuple(zip(headers, (usable.without_image[row] for row in sorted(identities)), strict=True))


def _identified(table: FlightTable, rows: Sequence[int]) -> tuple[dict[int, str], list[Rejection]]:
    return identify_photos({row: table.photos[row] for row in rows}, table.names)


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
