"""Attitude of each photo: gimbal, camera or aircraft angles, and heading.

They are resolved by the evidence of the flight. Yaw is clockwise from true north, pitch -90 looks straight
down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flycam.errors import AttitudeUnknown, HorizonInView
from flycam.geodata.geoid import compute_declination_deg
from flycam.geometry.camera import InteriorOrientation, compute_ray_directions
from flycam.geometry.pose import rotation_from_body, rotation_from_gimbal
from flycam.ingest.photos.xmp import Dialect
from flycam.ingest.preflight.flight_table import (
    PITCH,
    ROLL,
    YAW,
    Bools,
    FlightTable,
    Floats,
    GroundCourse,
    compute_circular_mean_deg,
    report_rows,
    wrap_degrees,
)
from flycam.messages import Message, _, ngettext
from flycam.model.diagnosis import Problem, Rejection, Severity

# -- Heading: choice among stated yaws, and substitutes --------------------------------------------
#
# Every rule takes and returns plain columns in degrees, clockwise from true north, and reports in one
# sentence its decision and the numbers behind it.


SIGMA_GIMBAL_YAW_DEG = 1.5
SIGMA_BODY_YAW_DEG = 3.0
_BEND_DEG = 20.0
_MIN_SWINGS = 4
SIGMA_COURSE_YAW_DEG = 8.0
SIGMA_TURN_YAW_DEG = 30.0
"""Sigma of a course where the aircraft turned, or after a pause."""
SIGMA_DIRECTION_DEG = 5.0

_AGREE_DEG = 20.0
_FOLLOWS = 0.9
_MIN_EVIDENCE = 4
_LOCK_DEG = 1.0
_MAGNETIC_WITHIN_DEG = 1.5


def resolve_yaw(
    gimbal_yaw: Floats, flight_yaw: Floats, course: GroundCourse, fixed: Bools
) -> tuple[Floats, Floats, list[Problem]]:
    """Choose gimbal or flight yaw by which of them turns with the course over ground.

    Returns the chosen yaw N, its sigma N (degrees), and the finding with the numbers.
    """
    sigma = np.where(fixed, SIGMA_BODY_YAW_DEG, SIGMA_GIMBAL_YAW_DEG)
    chosen = np.where(np.isfinite(gimbal_yaw), gimbal_yaw, flight_yaw)
    borrowed = ~fixed & ~np.isfinite(gimbal_yaw) & np.isfinite(flight_yaw)
    problems = [_borrowed_yaw(int(borrowed.sum()))] if borrowed.any() else []
    sigma = np.where(borrowed, SIGMA_BODY_YAW_DEG, sigma)
    both = ~fixed & np.isfinite(gimbal_yaw) & np.isfinite(flight_yaw)
    offset, steady = compute_circular_mean_deg((gimbal_yaw - flight_yaw)[both])
    if both.sum() < _MIN_EVIDENCE or (abs(offset) < _AGREE_DEG and steady > _FOLLOWS):
        return chosen, sigma, problems
    evidence = both & course.straight
    g_mean, g_follow = compute_circular_mean_deg((gimbal_yaw - course.course_deg)[evidence])
    f_mean, f_follow = compute_circular_mean_deg((flight_yaw - course.course_deg)[evidence])
    __, one_way = compute_circular_mean_deg(course.course_deg[evidence])
    strips = evidence.sum() >= _MIN_EVIDENCE
    gimbal_follows, flight_follows = strips and g_follow > _FOLLOWS, strips and f_follow > _FOLLOWS
    if gimbal_follows and flight_follows:
        use_flight = abs(f_mean) + _AGREE_DEG < abs(g_mean)
        decided = one_way < _FOLLOWS or abs(abs(f_mean) - abs(g_mean)) > 45.0
    else:
        use_flight = flight_follows and not gimbal_follows
        decided = gimbal_follows or flight_follows
    relative = False
    if use_flight and not gimbal_follows:
        small = float(np.median(np.abs(wrap_degrees(gimbal_yaw[both]))))
        relative = 0.05 < small < 45.0
    if use_flight:
        turned = flight_yaw + gimbal_yaw if relative else flight_yaw
        chosen = np.where(both, wrap_degrees(turned), chosen)
        sigma = np.where(both, SIGMA_BODY_YAW_DEG, sigma)
    problems.append(
        _yaw_sentence(
            use_flight=bool(use_flight),
            relative=relative,
            decided=bool(decided),
            offset=offset,
            gimbal=(g_mean, g_follow),
            flight=(f_mean, f_follow),
            count=int(evidence.sum()),
        )
    )
    return chosen, sigma, problems


def _borrowed_yaw(count: int) -> Problem:
    return Problem(
        code="yaw_from_aircraft",
        severity=Severity.INFO,
        sentence=ngettext(
            "{count} photo carries a gimbal pitch but no gimbal yaw: the aircraft's yaw is used.",
            "{count} photos carry a gimbal pitch but no gimbal yaw: the aircraft's yaw is used.",
            count,
        ),
    )


def _yaw_sentence(
    *,
    use_flight: bool,
    relative: bool,
    decided: bool,
    offset: float,
    gimbal: tuple[float, float],
    flight: tuple[float, float],
    count: int,
) -> Problem:
    evidence = ngettext(
        "over {count} photo on straight strips gimbal yaw is at {gimbal_deg:+.0f}° to the "
        "course (agreement {gimbal_agreement:.2f} of 1), flight yaw {flight_deg:+.0f}° "
        "({flight_agreement:.2f})",
        "over {count} photos on straight strips gimbal yaw is at {gimbal_deg:+.0f}° to the "
        "course (agreement {gimbal_agreement:.2f} of 1), flight yaw {flight_deg:+.0f}° "
        "({flight_agreement:.2f})",
        count,
        gimbal_deg=gimbal[0],
        gimbal_agreement=gimbal[1],
        flight_deg=flight[0],
        flight_agreement=flight[1],
    )
    if not decided:
        choice = _("the evidence does not decide, gimbal yaw is kept")
    elif relative:
        choice = _("gimbal yaw is relative to the aircraft, the sum of both is used")
    else:
        choice = _("flight yaw is used") if use_flight else _("gimbal yaw is used")
    return Problem(
        code="yaw_choice",
        severity=Severity.INFO if decided else Severity.WARNING,
        sentence=_(
            "Gimbal and flight yaw differ by {offset_deg:+.0f}°: {evidence}; {choice}.",
            offset_deg=offset,
            evidence=evidence,
            choice=choice,
        ),
    )


def resolve_gimbal_lock(
    yaw: Floats, pitch: Floats, flight_yaw: Floats, fixed: Bools, names: tuple[str, ...]
) -> tuple[Floats, Bools, list[Problem]]:
    """Correct single gimbal yaws that jump at pitch -90.

    Frames that leave the flight's usual offset to the aircraft by over 20 degrees get that offset. Returns
    yaw N, a mask of the corrected rows N, the finding.
    """
    offset = wrap_degrees(yaw - flight_yaw)
    usual, steady = compute_circular_mean_deg(offset[~fixed])
    near = ~fixed & (np.abs(pitch + 90.0) < _LOCK_DEG) & np.isfinite(offset)
    jumped = near & (np.abs(wrap_degrees(offset - usual)) > _AGREE_DEG)
    if not jumped.any() or steady < 0.5 or jumped.sum() > 0.25 * max(int(near.sum()), 1):
        return yaw, np.zeros(len(yaw), dtype=bool), []
    worst = float(np.max(np.abs(wrap_degrees(offset - usual)[jumped])))
    settled = np.where(jumped, wrap_degrees(flight_yaw + usual), yaw)
    return (
        settled,
        jumped,
        report_rows(
            names,
            jumped,
            "gimbal_lock",
            Severity.INFO,
            ngettext(
                "{count} nadir photo has a gimbal yaw {worst_deg:.0f}° off the flight's usual "
                "{usual_deg:+.0f}° to the aircraft (gimbal lock at -90°): aircraft yaw {usual_deg:+.0f}° "
                "is used for it.",
                "{count} nadir photos have a gimbal yaw up to {worst_deg:.0f}° off the flight's usual "
                "{usual_deg:+.0f}° to the aircraft (gimbal lock at -90°): aircraft yaw {usual_deg:+.0f}° "
                "is used for them.",
                int(jumped.sum()),
                worst_deg=worst,
                usual_deg=usual,
            ),
        ),
    )


def resolve_heading_offset(
    yaw: Floats, course: GroundCourse, declination_deg: float
) -> tuple[Floats, list[Problem]]:
    """Correct a constant angle between heading and course, such as the declination.

    A magnetic heading is off by minus the local declination: the finding states whether that explains the
    offset. Wind turns the nose to opposite sides on opposite strips; a compass error does not. Only flights
    with strips both ways can show it, and only an offset over 3 degrees and three standard errors is
    subtracted.
    """
    usable = course.straight & np.isfinite(yaw)
    difference = wrap_degrees(yaw - course.course_deg)
    main, __ = compute_circular_mean_deg(course.course_deg[usable] * 2.0)
    along = np.cos(np.radians(course.course_deg - main / 2.0))
    there, back = usable & (along > 0.9), usable & (along < -0.9)
    if min(there.sum(), back.sum()) < _MIN_EVIDENCE:
        return yaw, []
    (a, ra), (b, rb) = (
        compute_circular_mean_deg(difference[there]),
        compute_circular_mean_deg(difference[back]),
    )
    offset, __ = compute_circular_mean_deg(np.array([a, b]))
    spread = np.degrees(np.sqrt(-2.0 * np.log(np.clip(min(ra, rb), 1e-9, 1.0))))
    error = float(spread / np.sqrt(min(there.sum(), back.sum())))
    crab = float(abs(wrap_degrees(np.asarray(a - b)))) / 2.0
    if min(ra, rb) < _FOLLOWS or not max(3.0, 3.0 * error, crab) < abs(offset) < 30.0:
        return yaw, []
    return wrap_degrees(yaw - offset), [
        Problem(
            code="heading_offset",
            severity=Severity.WARNING,
            sentence=_(
                "Headings are {offset_deg:+.1f}° ± {error_deg:.1f}° off the course on strips "
                "both ways ({there_deg:+.1f}° and {back_deg:+.1f}°): {cause}; "
                "{offset_deg:+.1f}° was taken off.",
                offset_deg=offset,
                error_deg=error,
                there_deg=a,
                back_deg=b,
                cause=_why_off(offset, error, declination_deg),
            ),
        )
    ]


def _why_off(offset: float, error: float, declination_deg: float) -> Message:
    """Return the cause of a heading that is `offset` off true north."""
    if abs(offset + declination_deg) >= max(_MAGNETIC_WITHIN_DEG, 3.0 * error):
        return _(
            "the compass is off, for declination here is {declination_deg:+.1f}°",
            declination_deg=declination_deg,
        )
    return _(
        "magnetic north was taken for true (declination here is {declination_deg:+.1f}°)",
        declination_deg=declination_deg,
    )


def fill_yaw_from_direction(
    yaw: Floats, sigma: Floats, table: FlightTable, declination_deg: float
) -> tuple[Floats, Floats, list[Problem]]:
    """Fill missing yaws from EXIF GPSImgDirection, converted to true north."""
    filled = ~np.isfinite(yaw) & np.isfinite(table.direction)
    if not filled.any():
        return yaw, sigma, []
    from_magnetic = filled & np.array([photo.direction_reference == "M" for photo in table.photos])
    magnetic = int(from_magnetic.sum())
    true_north = wrap_degrees(table.direction + np.where(from_magnetic, declination_deg, 0.0))
    return (
        np.where(filled, true_north, yaw),
        np.where(filled, SIGMA_DIRECTION_DEG, sigma),
        report_rows(
            table.names,
            filled,
            "yaw_from_exif_direction",
            Severity.WARNING,
            ngettext(
                "{count} photo carries only an image direction ({magnetic} of them from magnetic north, "
                "corrected by {declination_deg:+.1f}°): it is used (± {sigma_deg:.0f}°).",
                "{count} photos carry only an image direction ({magnetic} of them from magnetic north, "
                "corrected by {declination_deg:+.1f}°): it is used (± {sigma_deg:.0f}°).",
                int(filled.sum()),
                magnetic=magnetic,
                declination_deg=declination_deg,
                sigma_deg=SIGMA_DIRECTION_DEG,
            ),
        ),
    )


def fill_yaw_from_course(
    yaw: Floats, sigma: Floats, course: GroundCourse, names: tuple[str, ...]
) -> tuple[Floats, Floats, list[Problem]]:
    """Fill missing yaws from the course over ground.

    With a wide sigma, wider in turns.
    """
    filled = ~np.isfinite(yaw) & np.isfinite(course.rough_deg)
    if not filled.any():
        return yaw, sigma, []
    doubt = np.where(course.bent, SIGMA_TURN_YAW_DEG, SIGMA_COURSE_YAW_DEG)
    return (
        np.where(filled, course.rough_deg, yaw),
        np.where(filled, doubt, sigma),
        report_rows(
            names,
            filled,
            "yaw_from_course",
            Severity.WARNING,
            ngettext(
                "{count} photo carries no heading: the course over ground is used (± {sigma_deg:.0f}°, "
                "in turns ± {sigma_in_turns_deg:.0f}°).",
                "{count} photos carry no heading: the course over ground is used (± {sigma_deg:.0f}°, in "
                "turns ± {sigma_in_turns_deg:.0f}°).",
                int(filled.sum()),
                sigma_deg=SIGMA_COURSE_YAW_DEG,
                sigma_in_turns_deg=SIGMA_TURN_YAW_DEG,
            ),
        ),
    )


def widen_unsteady_yaw(
    yaw: Floats, sigma: Floats, course: GroundCourse, fixed: Bools, names: tuple[str, ...]
) -> tuple[Floats, list[Problem]]:
    """Widen sigmas where the aircraft's yaw swings against its course. Degrees, N.

    Wind makes a steady angle between the two, which cancels from one photo to the next; the rest is swinging
    of a light aircraft, whose written yaw may be a second old. Its robust spread (1.48 times the median,
    divided by the root of two since two yaws enter) is the sigma, if twice that of a steady aircraft.
    """
    step, bend = wrap_degrees(np.diff(yaw)), wrap_degrees(np.diff(course.course_deg))
    swing = np.abs(wrap_degrees(step - bend))
    usable = fixed[1:] & fixed[:-1] & np.isfinite(swing) & (np.abs(bend) < _BEND_DEG)
    if usable.sum() < _MIN_SWINGS:
        return sigma, []
    spread = float(np.median(swing[usable])) * 1.4826 / float(np.sqrt(2.0))
    widened = fixed & (2.0 * sigma < spread)
    if not widened.any():
        return sigma, []
    return np.where(widened, spread, sigma), report_rows(
        names,
        widened,
        "unsteady_yaw",
        Severity.INFO,
        ngettext(
            "{count} photo: the aircraft's yaw swings against its course by {spread_deg:.0f}° from photo "
            "to photo, so heading is taken as known to ± {spread_deg:.0f}° only.",
            "{count} photos: the aircraft's yaw swings against its course by {spread_deg:.0f}° from "
            "photo to photo, so heading is taken as known to ± {spread_deg:.0f}° only.",
            int(widened.sum()),
            spread_deg=spread,
        ),
    )


# -- Attitude: angles of gimbal, camera or aircraft ------------------------------------------------


SIGMA_GIMBAL_DEG = 0.7
SIGMA_BODY_DEG = 2.0
SIGMA_ASSUMED_NADIR_DEG = 5.0

_NEAR_NADIR_DEG = -70.0
_BEHIND_DEG, _FEW = -20.0, 0.1


@dataclass(frozen=True, kw_only=True)
class Attitude:
    """Resolved angles of N photos.

    angles_deg   N×3 (yaw, pitch, roll), NaN yaw: not known
    sigma_deg    N×2 (heading, tilt)
    fixed_mount  True where the angles are the aircraft's and the camera points straight down in its body
                 frame
    course_only  True where no tag states a heading and the course over ground replaces it
    """

    angles_deg: Floats
    sigma_deg: Floats
    fixed_mount: Bools
    course_only: Bools

    def rotations(self, convergence_rad: Floats) -> NDArray[np.float64]:
        """Return world-to-camera rotations N×3×3 on grid north."""
        yaw, pitch, roll = np.radians(self.angles_deg.T)
        gimbal = rotation_from_gimbal(yaw, pitch, roll, convergence_rad)
        body = rotation_from_body(yaw, pitch, roll, convergence_rad)
        return np.where(self.fixed_mount[:, None, None], body, gimbal)

    def with_turned_headings(self, turn_deg: Floats) -> tuple[Attitude, list[int]]:
        """Return the attitude with vague headings fitted to the images, and their rows.

        Vague are headings with at least the sigma of a course. The new sigma is no smaller than that: wind
        makes a constant angle between course and heading along a strip, which neighbouring frames do not
        show.

        turn_deg  N×2, degrees clockwise and the sigma then; NaN: not measured
        """
        turn, sigma = turn_deg.T
        fits = (self.sigma_deg[:, 0] >= SIGMA_COURSE_YAW_DEG) & np.isfinite(turn)
        angles, doubt = self.angles_deg.copy(), self.sigma_deg.copy()
        angles[fits, YAW] = wrap_degrees(angles[fits, YAW] + turn[fits])
        doubt[fits, 0] = np.maximum(sigma[fits], SIGMA_COURSE_YAW_DEG)
        return replace(self, angles_deg=angles, sigma_deg=doubt), np.flatnonzero(fits).tolist()

    def sigma_camera_rad(self, rotations: Floats) -> Floats:
        """Return 1-sigma about the camera's (x, y, z) axes, N×3 radians."""
        return compute_camera_axis_sigma_rad(rotations, self.sigma_deg)


def compute_camera_axis_sigma_rad(rotations: Floats, sigma_deg: Floats) -> Floats:
    """Convert N×2 1-sigma (heading, tilt), degrees, to camera axes, N×3 radians.

    Axes are the camera's (x, y, z). An attitude errs by a tilt about any level axis and by a turn about the
    vertical. The sigmas of the written angles would not do: at nadir yaw and roll are the same rotation, and
    a tilt sideways would seem impossible.
    """
    turn, tilt = np.radians(sigma_deg[:, 0, None]), np.radians(sigma_deg[:, 1, None])
    level = np.linalg.norm(rotations[:, :, :2], axis=2)
    sigma: Floats = np.hypot(turn * rotations[:, :, 2], tilt * level)
    return sigma


def resolve_nose_cameras(table: FlightTable) -> tuple[FlightTable, list[Rejection], list[Problem]]:
    """Reject photos of a camera in the aircraft's nose that lack its pitch.

    Returns the other rows, rejections and problems. Parrot's Bebops and Disco tilt the image by software, and
    write the body's attitude alone.
    """
    ahead = np.array([photo.dialect is Dialect.BEBOP for photo in table.photos], dtype=bool)
    ahead &= ~np.isfinite(table.gimbal[:, PITCH])
    if not ahead.any():
        return table, [], []
    error = AttitudeUnknown(
        _(
            "its camera looks ahead from the aircraft's nose, and no tag says how far down: give poses with "
            "--telemetry"
        )
    )
    problems = report_rows(
        table.names,
        ahead,
        "nose_camera",
        Severity.ERROR if ahead.all() else Severity.WARNING,
        ngettext(
            "{count} photo comes from a camera in the aircraft's nose and states the aircraft's attitude "
            "alone, not how far down the picture looks; it is left out.",
            "{count} photos come from a camera in the aircraft's nose and state the aircraft's attitude "
            "alone, not how far down the picture looks; they are left out.",
            int(ahead.sum()),
        ),
    )
    return table.take(~ahead), [Rejection.from_error(name, error) for name in table.names_of(ahead)], problems


def resolve_attitude(table: FlightTable, course: GroundCourse) -> tuple[Attitude, list[Problem]]:
    """Resolve the angles of every photo, and report each rule's decision.

    The rules apply in the order below.
    """
    angles, fixed, problems = _source_of_angles(table)
    flight_yaw = table.aircraft[:, YAW]
    reference = np.where(np.isfinite(flight_yaw), flight_yaw, course.course_deg)
    angles[~fixed], found = resolve_roll_180(angles[~fixed], reference[~fixed], table.names_of(~fixed))
    problems += found
    written = np.where(fixed, angles[:, YAW], compute_headings_deg(angles))
    yaw, sigma_yaw, found = resolve_yaw(written, flight_yaw, course, fixed)
    problems += found
    yaw, locked, found = resolve_gimbal_lock(yaw, angles[:, PITCH], flight_yaw, fixed, table.names)
    problems += found
    north = _declination_deg(table)
    yaw, found = resolve_heading_offset(yaw, course, north)
    problems += found
    yaw, sigma_yaw, found = fill_yaw_from_direction(yaw, sigma_yaw, table, north)
    problems += found
    stated = np.isfinite(yaw)
    yaw, sigma_yaw, found = fill_yaw_from_course(yaw, sigma_yaw, course, table.names)
    problems += found
    sigma_yaw, found = widen_unsteady_yaw(yaw, sigma_yaw, course, fixed, table.names)
    problems += found
    # yaw is the outermost of the three rotations, so a heading correction turns the whole camera
    angles[:, YAW] = wrap_degrees(np.where(np.isfinite(written), angles[:, YAW] + (yaw - written), yaw))
    tilt = np.where(fixed, SIGMA_BODY_DEG, SIGMA_GIMBAL_DEG)
    assumed = ~np.isfinite(angles[:, PITCH])
    if assumed.any():
        problems += _assumed_nadir(table, assumed)
        angles[assumed, PITCH] = np.where(fixed[assumed], 0.0, -90.0)
        tilt = np.where(assumed, SIGMA_ASSUMED_NADIR_DEG, tilt)
    angles[:, ROLL] = np.nan_to_num(angles[:, ROLL])
    sigma_yaw = np.where(locked, np.maximum(sigma_yaw, SIGMA_BODY_YAW_DEG), sigma_yaw)
    sigma = np.stack([sigma_yaw, tilt], axis=1)
    return (
        Attitude(angles_deg=angles, sigma_deg=sigma, fixed_mount=fixed, course_only=~stated),
        problems,
    )


def _source_of_angles(table: FlightTable) -> tuple[Floats, Bools, list[Problem]]:
    """Return gimbal angles; else the camera's own; else the aircraft's, fixed mount."""
    gimbal_known = np.isfinite(table.gimbal[:, PITCH])
    camera_known = ~gimbal_known & np.isfinite(table.camera[:, PITCH])
    body_only = ~gimbal_known & ~camera_known & np.isfinite(table.aircraft).any(axis=1)
    fixed = body_only | (camera_known & ~_from_the_horizon(table, camera_known))
    angles = np.where(gimbal_known[:, None], table.gimbal, np.nan)
    angles = np.where(camera_known[:, None], table.camera, angles)
    angles = np.where(body_only[:, None], table.aircraft, angles)
    belly = fixed & np.isfinite(table.aircraft).any(axis=1)
    tilt = np.nanmax(np.abs(angles[belly][:, [PITCH, ROLL]]), initial=0.0)
    problems = report_rows(
        table.names,
        belly,
        "fixed_mount",
        Severity.INFO,
        ngettext(
            "{count} photo carries no gimbal angles: the aircraft's own attitude is used for a "
            "camera that looks straight out of its belly (tilt up to {tilt_deg:.1f}°).",
            "{count} photos carry no gimbal angles: the aircraft's own attitude is used for a camera "
            "that looks straight out of its belly (tilt up to {tilt_deg:.1f}°).",
            int(belly.sum()),
            tilt_deg=tilt,
        ),
    )
    return angles, fixed, problems


def _from_the_horizon(table: FlightTable, rows: Bools) -> Bools:
    """Return where "Camera:" pitches count from the horizon, not from nadir.

    DJI's count from the horizon, Pix4D's from nadir. A camera never looks far backwards below the aircraft:
    one whose pitches go below -20° counts from the horizon (Autel's XL715 and others do), in all its photos.
    """
    cameras = np.array([photo.camera_name for photo in table.photos], dtype=object)
    found = np.zeros(len(table), dtype=bool)
    for camera in set(cameras[rows]):
        own = rows & (cameras == camera)
        found |= own & (np.quantile(table.camera[own, PITCH], _FEW) < _BEHIND_DEG)
    return found


def compute_headings_deg(angles: Floats) -> Floats:
    """Return the directions N of the images' upper edges, clockwise from true north.

    angles  gimbal angles N×3

    Straight down yaw and roll rotate about one axis (gimbal lock): a gimbal may write 103 and 169 where it
    means 272 and 0. Near nadir the heading therefore comes from the rotation; elsewhere it is the yaw.
    """
    yaw, pitch, __ = angles.T
    top = -rotation_from_gimbal(*np.radians(np.nan_to_num(angles)).T)[:, 1, :2]
    below = np.isfinite(angles).all(axis=1) & (np.abs(pitch + 90.0) < 90.0 + _NEAR_NADIR_DEG)
    heading: Floats = np.where(below, np.degrees(np.arctan2(top[:, 0], top[:, 1])), yaw)
    return heading


def resolve_roll_180(
    angles: Floats, reference_yaw: Floats, names: tuple[str, ...]
) -> tuple[Floats, list[Problem]]:
    """Resolve nadir frames with a roll beyond 90°. Rows N×3 degrees.

    Past the pole a correct Euler triple turns its yaw by 180 and has roll 180, and in gimbal lock any roll
    may occur: taken literally they are right. Some firmware writes roll 180 and leaves the yaw alone: then it
    points backwards. The frames' headings are compared with those of the flight's upright frames relative to
    its own heading, and all frames of a flight are read in one way.
    """
    flipped = (np.abs(angles[:, ROLL]) > 90.0) & (angles[:, PITCH] < _NEAR_NADIR_DEG)
    if not flipped.any():
        return angles, []
    off = compute_headings_deg(angles) - reference_yaw
    usual, __ = compute_circular_mean_deg(off[~flipped])
    offset = wrap_degrees(off[flipped] - (0.0 if np.isnan(usual) else usual))
    offset = offset[np.isfinite(offset)]
    literal = int((np.abs(offset) < 90.0).sum())
    backwards = int(offset.size - literal)
    drop = backwards > literal
    settled = angles.copy()
    settled[flipped, ROLL] = wrap_degrees(angles[flipped, ROLL] - 180.0)
    if not drop:
        # the other Euler triple of the same rotation
        settled[flipped, YAW] = wrap_degrees(angles[flipped, YAW] + 180.0)
        settled[flipped, PITCH] = -180.0 - angles[flipped, PITCH]
    count = int(flipped.sum())
    read_so = _(
        "read so, {literal} lie with the flight's heading, {backwards} against it",
        literal=literal,
        backwards=backwards,
    )
    if drop:
        sentence = ngettext(
            "{count} nadir photo says a roll beyond 90° ({evidence}): 180° was taken off its roll.",
            "{count} nadir photos say a roll beyond 90° ({evidence}): 180° was taken off their roll.",
            count,
            evidence=read_so,
        )
    else:
        sentence = ngettext(
            "{count} nadir photo says a roll beyond 90° ({evidence}): it was taken as written.",
            "{count} nadir photos say a roll beyond 90° ({evidence}): it was taken as written.",
            count,
            evidence=read_so,
        )
    return settled, report_rows(
        names, flipped, "roll_180", Severity.INFO if offset.size else Severity.WARNING, sentence
    )


def _assumed_nadir(table: FlightTable, assumed: Bools) -> list[Problem]:
    return report_rows(
        table.names,
        assumed,
        "nadir_assumed",
        Severity.WARNING,
        ngettext(
            "{count} photo carries no tilt at all: it is taken as looking straight down (± "
            "{sigma_deg:.0f}°).",
            "{count} photos carry no tilt at all: they are taken as looking straight down (± "
            "{sigma_deg:.0f}°).",
            int(assumed.sum()),
            sigma_deg=SIGMA_ASSUMED_NADIR_DEG,
        ),
    )


def _declination_deg(table: FlightTable) -> float:
    """Return the declination at the middle of the flight.

    Over ten kilometres it changes by a tenth of a degree.
    """
    if not len(table):
        return 0.0
    place = np.median(table.lonlat, axis=0, keepdims=True)
    return (
        float(compute_declination_deg(place, int(np.median(table.t_ns)))[0])
        if np.isfinite(place).all()
        else 0.0
    )


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
    problems = report_rows(
        names,
        sky,
        "horizon",
        Severity.WARNING,
        ngettext(
            "{count} photo looks at the horizon or the sky and is left out: tilt the gimbal down.",
            "{count} photos look at the horizon or the sky and are left out: tilt the gimbal down.",
            int(sky.sum()),
        ),
    )
    problems += report_rows(
        names,
        some,
        "horizon_part",
        Severity.INFO,
        ngettext(
            "{count} photo sees the horizon in part (up to {most_pct:.0f} % of the picture): only "
            "the ground below it is used.",
            "{count} photos see the horizon in part (up to {most_pct:.0f} % of the picture): only "
            "the ground below it is used.",
            int(some.sum()),
            most_pct=share[some].max(initial=0.0) * 100,
        ),
    )
    return keep, rejected, problems
