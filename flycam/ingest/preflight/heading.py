"""Heading: the choice among stated yaws, and substitutes where there is none.

Every rule takes and returns plain columns in degrees, clockwise from true north, and reports in one sentence
its decision and the numbers behind it.
"""

from __future__ import annotations

import numpy as np

from flycam.ingest.preflight.diagnosis import Problem, Severity
from flycam.ingest.preflight.flight_table import (
    Bools,
    FlightTable,
    Floats,
    compute_circular_mean_deg,
    wrap_degrees,
)
from flycam.ingest.preflight.sorties import GroundCourse
from flycam.messages import Message, _, ngettext

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
        "over {count} photo on straight strips gimbal yaw stands {gimbal_deg:+.0f}° to the course (agreement "
        "{gimbal_agreement:.2f} of 1), flight yaw {flight_deg:+.0f}° ({flight_agreement:.2f})",
        "over {count} photos on straight strips gimbal yaw stands {gimbal_deg:+.0f}° to the course "
        "(agreement {gimbal_agreement:.2f} of 1), flight yaw {flight_deg:+.0f}° ({flight_agreement:.2f})",
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
    count = int(jumped.sum())
    return (
        settled,
        jumped,
        [
            Problem(
                code="gimbal_lock",
                severity=Severity.INFO,
                sentence=ngettext(
                    "{count} nadir photo has a gimbal yaw {worst_deg:.0f}° off the flight's usual "
                    "{usual_deg:+.0f}° to the aircraft (gimbal lock at -90°): aircraft yaw {usual_deg:+.0f}° "
                    "is used for it.",
                    "{count} nadir photos have a gimbal yaw up to {worst_deg:.0f}° off the flight's usual "
                    "{usual_deg:+.0f}° to the aircraft (gimbal lock at -90°): aircraft yaw {usual_deg:+.0f}° "
                    "is used for them.",
                    count,
                    worst_deg=worst,
                    usual_deg=usual,
                ),
                frames=tuple(n for n, j in zip(names, jumped, strict=True) if j),
            )
        ],
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
                "Headings stand {offset_deg:+.1f}° ± {error_deg:.1f}° off the course on strips both ways "
                "({there_deg:+.1f}° and {back_deg:+.1f}°): {cause}; {offset_deg:+.1f}° was taken off.",
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
        [
            Problem(
                code="yaw_from_exif_direction",
                severity=Severity.WARNING,
                sentence=ngettext(
                    "{count} photo carries only an image direction ({magnetic} of them from magnetic north, "
                    "corrected by {declination_deg:+.1f}°): it is used (± {sigma_deg:.0f}°).",
                    "{count} photos carry only an image direction ({magnetic} of them from magnetic north, "
                    "corrected by {declination_deg:+.1f}°): it is used (± {sigma_deg:.0f}°).",
                    int(filled.sum()),
                    magnetic=magnetic,
                    declination_deg=declination_deg,
                    sigma_deg=SIGMA_DIRECTION_DEG,
                ),
                frames=table.names_of(filled),
            )
        ],
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
        [
            Problem(
                code="yaw_from_course",
                severity=Severity.WARNING,
                sentence=ngettext(
                    "{count} photo carries no heading: the course over ground is used (± {sigma_deg:.0f}°, "
                    "in turns ± {sigma_in_turns_deg:.0f}°).",
                    "{count} photos carry no heading: the course over ground is used (± {sigma_deg:.0f}°, in "
                    "turns ± {sigma_in_turns_deg:.0f}°).",
                    int(filled.sum()),
                    sigma_deg=SIGMA_COURSE_YAW_DEG,
                    sigma_in_turns_deg=SIGMA_TURN_YAW_DEG,
                ),
                frames=tuple(n for n, f in zip(names, filled, strict=True) if f),
            )
        ],
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
    return np.where(widened, spread, sigma), [
        Problem(
            code="unsteady_yaw",
            severity=Severity.INFO,
            sentence=ngettext(
                "{count} photo: the aircraft's yaw swings against its course by {spread_deg:.0f}° from photo "
                "to photo, so heading is taken as known to ± {spread_deg:.0f}° only.",
                "{count} photos: the aircraft's yaw swings against its course by {spread_deg:.0f}° from "
                "photo to photo, so heading is taken as known to ± {spread_deg:.0f}° only.",
                int(widened.sum()),
                spread_deg=spread,
            ),
            frames=tuple(name for name, wide in zip(names, widened.tolist(), strict=True) if wide),
        )
    ]
