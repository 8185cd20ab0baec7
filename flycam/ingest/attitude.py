"""Which way each photo looks: gimbal, aircraft or course, settled by what the flight itself shows.

Every rule takes and returns plain columns in degrees and says in one sentence what it decided and on which
numbers. Yaw is clockwise from true north, pitch -90 looks straight down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.rotation import rotation_from_body, rotation_from_gimbal
from flycam.ingest.diagnosis import Problem, Severity
from flycam.ingest.flight_table import (
    PITCH,
    ROLL,
    YAW,
    Bools,
    FlightTable,
    Floats,
    circular_deg,
    circular_mean_deg,
)
from flycam.ingest.sorties import Course

SIGMA_GIMBAL_DEG = 0.7
SIGMA_GIMBAL_YAW_DEG = 1.5
SIGMA_BODY_DEG = 2.0
SIGMA_BODY_YAW_DEG = 3.0
SIGMA_COURSE_YAW_DEG = 8.0
SIGMA_ASSUMED_NADIR_DEG = 5.0

_AGREE_DEG = 20.0
_FOLLOWS = 0.9
_MIN_EVIDENCE = 4
_NEAR_NADIR_DEG = -70.0
_LOCK_DEG = 1.0


@dataclass(frozen=True, kw_only=True)
class Attitude:
    """Settled angles. angles_deg N×3 (yaw, pitch, roll), sigma_deg N×3 likewise; NaN yaw: not known.

    fixed_mount  True where the angles are the aircraft's and the camera looks out of its belly
    """

    angles_deg: Floats
    sigma_deg: Floats
    fixed_mount: Bools

    def rotations(self, convergence_rad: Floats) -> NDArray[np.float64]:
        """World-to-camera rotations N×3×3 on grid north."""
        yaw, pitch, roll = np.radians(self.angles_deg.T)
        gimbal = rotation_from_gimbal(yaw, pitch, roll, convergence_rad)
        body = rotation_from_body(yaw, pitch, roll, convergence_rad)
        return np.where(self.fixed_mount[:, None, None], body, gimbal)

    def sigma_camera_rad(self, rotations: Floats) -> Floats:
        """1-sigma about the camera's (x, y, z) axes, N×3 radians: yaw turns about the vertical, pitch about
        the camera's x, roll about its line of sight (gimbal) or its y (fixed mount)."""
        sigma = np.radians(self.sigma_deg)
        variance = (sigma[:, YAW, None] * rotations[:, :, 2]) ** 2
        variance[:, 0] += sigma[:, PITCH] ** 2
        roll2 = sigma[:, ROLL] ** 2
        variance[:, 1] += np.where(self.fixed_mount, roll2, 0.0)
        variance[:, 2] += np.where(self.fixed_mount, 0.0, roll2)
        return np.sqrt(variance)


def settle_attitude(table: FlightTable, course: Course) -> tuple[Attitude, list[Problem]]:
    """Angles of every photo by the rules below, in their order, and what each decided."""
    angles, fixed, problems = _source_of_angles(table)
    flight_yaw = table.aircraft[:, YAW]
    reference = np.where(np.isfinite(flight_yaw), flight_yaw, course.course_deg)
    angles[~fixed], found = settle_roll_180(angles[~fixed], reference[~fixed], _names(table, ~fixed))
    problems += found
    yaw, sigma_yaw, found = settle_yaw(angles[:, YAW], flight_yaw, course, fixed)
    problems += found
    yaw, locked, found = settle_gimbal_lock(yaw, angles[:, PITCH], flight_yaw, fixed, table.names)
    problems += found
    yaw, found = settle_heading_offset(yaw, course)
    problems += found
    yaw, sigma_yaw, found = fill_yaw_from_course(yaw, sigma_yaw, course, table.names)
    problems += found
    angles[:, YAW] = circular_deg(yaw)
    tilt = np.where(fixed, SIGMA_BODY_DEG, SIGMA_GIMBAL_DEG)
    assumed = ~np.isfinite(angles[:, PITCH])
    if assumed.any():
        problems.append(_assumed_nadir(table, assumed))
        angles[assumed, PITCH] = np.where(fixed[assumed], 0.0, -90.0)
        tilt = np.where(assumed, SIGMA_ASSUMED_NADIR_DEG, tilt)
    angles[:, ROLL] = np.nan_to_num(angles[:, ROLL])
    sigma_yaw = np.where(locked, np.maximum(sigma_yaw, SIGMA_BODY_YAW_DEG), sigma_yaw)
    sigma = np.stack([sigma_yaw, tilt, tilt], axis=1)
    return Attitude(angles_deg=angles, sigma_deg=sigma, fixed_mount=fixed), problems


def _names(table: FlightTable, mask: Bools) -> tuple[str, ...]:
    return table.names_of(mask)


def _source_of_angles(table: FlightTable) -> tuple[Floats, Bools, list[Problem]]:
    """Gimbal where written; else the camera's own angles; else the aircraft's with a fixed mount."""
    gimbal_known = np.isfinite(table.gimbal[:, PITCH])
    camera_known = ~gimbal_known & np.isfinite(table.camera[:, PITCH])
    fixed = ~gimbal_known & ~camera_known & np.isfinite(table.aircraft).any(axis=1)
    angles = np.where(gimbal_known[:, None], table.gimbal, np.nan)
    angles = np.where(camera_known[:, None], table.camera, angles)
    angles = np.where(fixed[:, None], table.aircraft, angles)
    problems: list[Problem] = []
    if camera_known.any():
        pitch = float(np.median(table.camera[camera_known, PITCH]))
        looks_from_nadir = abs(pitch) < abs(pitch + 90.0)
        if looks_from_nadir:
            fixed = fixed | camera_known
    if fixed.any():
        tilt = np.nanmax(np.abs(angles[fixed][:, [PITCH, ROLL]]), initial=0.0)
        problems.append(
            Problem(
                code="fixed_mount",
                severity=Severity.INFO,
                sentence_en=f"{int(fixed.sum())} photos carry no gimbal angles: the aircraft's own "
                "attitude is used for a camera that looks straight out of its belly (tilt up to "
                f"{tilt:.1f}°).",
                sentence_vi=f"{int(fixed.sum())} ảnh không có góc gimbal: dùng tư thế máy bay, coi máy ảnh "
                f"nhìn thẳng xuống từ bụng máy bay (nghiêng tới {tilt:.1f}°).",
                frames=table.names_of(fixed),
            )
        )
    return angles, fixed, problems


def settle_roll_180(
    angles: Floats, reference_yaw: Floats, names: tuple[str, ...]
) -> tuple[Floats, list[Problem]]:
    """Nadir frames written with roll ±180: an Euler flip, or a plain lie. Rows N×3 degrees.

    Past the pole a correct Euler triple turns its yaw by 180 and writes roll 180: taken literally it is
    right. Some firmware writes roll 180 and leaves the yaw alone: then roll must be dropped. The frames'
    yaw is compared with that of the flight's upright frames beside its own heading.
    """
    flipped = (np.abs(angles[:, ROLL]) > 90.0) & (angles[:, PITCH] < _NEAR_NADIR_DEG)
    if not flipped.any():
        return angles, []
    upright = ~flipped & np.isfinite(angles[:, YAW])
    usual, _ = circular_mean_deg((angles[:, YAW] - reference_yaw)[upright])
    offset = circular_deg((angles[:, YAW] - reference_yaw)[flipped] - (0.0 if np.isnan(usual) else usual))
    offset = offset[np.isfinite(offset)]
    plain = int((np.abs(offset) < 90.0).sum())
    turned = int(offset.size - plain)
    settled = angles.copy()
    roll_rest = circular_deg(angles[flipped, ROLL] - 180.0)
    drop = plain > turned
    settled[flipped, ROLL] = roll_rest
    if not drop:  # the other Euler triple of the very same rotation
        settled[flipped, YAW] = circular_deg(angles[flipped, YAW] + 180.0)
        settled[flipped, PITCH] = -180.0 - angles[flipped, PITCH]
    count = int(flipped.sum())
    numbers_en = f"{plain} lie with the flight's heading, {turned} against it"
    numbers_vi = f"{plain} ảnh cùng hướng bay, {turned} ảnh ngược"
    sentence_en = f"{count} nadir photos say roll 180° ({numbers_en}): " + (
        "roll was dropped and their yaw kept." if drop else "roll became 0 and their yaw was turned by 180°."
    )
    sentence_vi = f"{count} ảnh chụp thẳng đứng ghi roll 180° ({numbers_vi}): " + (
        "bỏ roll, giữ nguyên yaw." if drop else "đặt roll bằng 0 và xoay yaw 180°."
    )
    names_flipped = tuple(n for n, f in zip(names, flipped, strict=True) if f)
    return settled, [
        Problem(
            code="roll_180",
            severity=Severity.INFO if offset.size else Severity.WARNING,
            sentence_en=sentence_en,
            sentence_vi=sentence_vi,
            frames=names_flipped,
        )
    ]


def settle_yaw(
    gimbal_yaw: Floats, flight_yaw: Floats, course: Course, fixed: Bools
) -> tuple[Floats, Floats, list[Problem]]:
    """Gimbal against flight yaw, decided by which of them turns with the course over ground.

    Returns the chosen yaw N, its sigma N (degrees), and the sentence with the numbers.
    """
    sigma = np.where(fixed, SIGMA_BODY_YAW_DEG, SIGMA_GIMBAL_YAW_DEG)
    chosen = np.where(np.isfinite(gimbal_yaw), gimbal_yaw, flight_yaw)
    borrowed = ~fixed & ~np.isfinite(gimbal_yaw) & np.isfinite(flight_yaw)
    problems = [_borrowed_yaw(int(borrowed.sum()))] if borrowed.any() else []
    sigma = np.where(borrowed, SIGMA_BODY_YAW_DEG, sigma)
    both = ~fixed & np.isfinite(gimbal_yaw) & np.isfinite(flight_yaw)
    offset, steady = circular_mean_deg((gimbal_yaw - flight_yaw)[both])
    if both.sum() < _MIN_EVIDENCE or (abs(offset) < _AGREE_DEG and steady > _FOLLOWS):
        return chosen, sigma, problems
    evidence = both & course.straight
    g_mean, g_follow = circular_mean_deg((gimbal_yaw - course.course_deg)[evidence])
    f_mean, f_follow = circular_mean_deg((flight_yaw - course.course_deg)[evidence])
    _, one_way = circular_mean_deg(course.course_deg[evidence])
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
        small = float(np.median(np.abs(circular_deg(gimbal_yaw[both]))))
        relative = 0.05 < small < 45.0
    if use_flight:
        turned = flight_yaw + gimbal_yaw if relative else flight_yaw
        chosen = np.where(both, circular_deg(turned), chosen)
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
        sentence_en=f"{count} photos carry a gimbal pitch but no gimbal yaw: the aircraft's yaw is used.",
        sentence_vi=f"{count} ảnh có pitch nhưng không có yaw của gimbal: dùng yaw của máy bay.",
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
    numbers_en = (
        f"over {count} photos on straight strips gimbal yaw stands {gimbal[0]:+.0f}° to the course "
        f"(agreement {gimbal[1]:.2f} of 1), flight yaw {flight[0]:+.0f}° ({flight[1]:.2f})"
    )
    numbers_vi = (
        f"trên {count} ảnh của các đường bay thẳng, yaw gimbal lệch {gimbal[0]:+.0f}° so với hướng bay "
        f"thực (độ khớp {gimbal[1]:.2f}/1), yaw máy bay lệch {flight[0]:+.0f}° ({flight[1]:.2f})"
    )
    if not decided:
        choice_en = "the evidence does not decide, gimbal yaw is kept"
        choice_vi = "chưa đủ bằng chứng, giữ yaw của gimbal"
    elif relative:
        choice_en = "gimbal yaw is relative to the aircraft, the sum of both is used"
        choice_vi = "yaw gimbal là góc so với máy bay, dùng tổng hai góc"
    elif use_flight:
        choice_en, choice_vi = "flight yaw is used", "dùng yaw của máy bay"
    else:
        choice_en, choice_vi = "gimbal yaw is used", "dùng yaw của gimbal"
    return Problem(
        code="yaw_choice",
        severity=Severity.INFO if decided else Severity.WARNING,
        sentence_en=f"Gimbal and flight yaw differ by {offset:+.0f}°: {numbers_en}; {choice_en}.",
        sentence_vi=f"Yaw gimbal và yaw máy bay khác nhau {offset:+.0f}°: {numbers_vi}; {choice_vi}.",
    )


def settle_gimbal_lock(
    yaw: Floats, pitch: Floats, flight_yaw: Floats, fixed: Bools, names: tuple[str, ...]
) -> tuple[Floats, Bools, list[Problem]]:
    """At pitch -90 a gimbal's yaw may jump: single frames that leave the flight's usual offset to the
    aircraft by over 20 degrees get that offset. Returns yaw N, which were changed N, the sentence."""
    offset = circular_deg(yaw - flight_yaw)
    usual, steady = circular_mean_deg(offset[~fixed])
    near = ~fixed & (np.abs(pitch + 90.0) < _LOCK_DEG) & np.isfinite(offset)
    jumped = near & (np.abs(circular_deg(offset - usual)) > _AGREE_DEG)
    if not jumped.any() or steady < 0.5 or jumped.sum() > 0.25 * max(int(near.sum()), 1):
        return yaw, np.zeros(len(yaw), dtype=bool), []
    worst = float(np.max(np.abs(circular_deg(offset - usual)[jumped])))
    settled = np.where(jumped, circular_deg(flight_yaw + usual), yaw)
    count = int(jumped.sum())
    return (
        settled,
        jumped,
        [
            Problem(
                code="gimbal_lock",
                severity=Severity.INFO,
                sentence_en=f"{count} nadir photos have a gimbal yaw up to {worst:.0f}° off the flight's "
                f"usual {usual:+.0f}° to the aircraft (gimbal lock at -90°): aircraft yaw {usual:+.0f}° is "
                "used for them.",
                sentence_vi=f"{count} ảnh thẳng đứng có yaw gimbal lệch tới {worst:.0f}° so với mức thường "
                f"{usual:+.0f}° (khoá gimbal ở -90°): dùng yaw máy bay {usual:+.0f}° cho các ảnh đó.",
                frames=tuple(n for n, j in zip(names, jumped, strict=True) if j),
            )
        ],
    )


def settle_heading_offset(yaw: Floats, course: Course) -> tuple[Floats, list[Problem]]:
    """Magnetic against true north: the heading stands off the course by the same angle both ways.

    Wind turns the nose to opposite sides on opposite strips; a compass error does not. Only flights with
    strips both ways can tell, and only an offset over 3 degrees and three standard errors is taken off.
    """
    usable = course.straight & np.isfinite(yaw)
    difference = circular_deg(yaw - course.course_deg)
    main, _ = circular_mean_deg(course.course_deg[usable] * 2.0)
    along = np.cos(np.radians(course.course_deg - main / 2.0))
    there, back = usable & (along > 0.9), usable & (along < -0.9)
    if min(there.sum(), back.sum()) < _MIN_EVIDENCE:
        return yaw, []
    (a, ra), (b, rb) = circular_mean_deg(difference[there]), circular_mean_deg(difference[back])
    offset, _ = circular_mean_deg(np.array([a, b]))
    spread = np.degrees(np.sqrt(-2.0 * np.log(max(min(ra, rb), 1e-9))))
    error = float(spread / np.sqrt(min(there.sum(), back.sum())))
    crab = float(abs(circular_deg(np.asarray(a - b)))) / 2.0
    if min(ra, rb) < _FOLLOWS or not max(3.0, 3.0 * error, crab) < abs(offset) < 30.0:
        return yaw, []
    return circular_deg(yaw - offset), [
        Problem(
            code="heading_offset",
            severity=Severity.WARNING,
            sentence_en=f"Headings stand {offset:+.1f}° ± {error:.1f}° off the course on strips both ways "
            f"({a:+.1f}° and {b:+.1f}°): magnetic north was taken for true or the compass is off; "
            f"{offset:+.1f}° was taken off.",
            sentence_vi=f"Hướng mũi lệch {offset:+.1f}° ± {error:.1f}° so với hướng bay thực ở cả hai "
            f"chiều ({a:+.1f}° và {b:+.1f}°): bắc từ bị coi là bắc thực hoặc la bàn lệch; đã trừ "
            f"{offset:+.1f}°.",
        )
    ]


def fill_yaw_from_course(
    yaw: Floats, sigma: Floats, course: Course, names: tuple[str, ...]
) -> tuple[Floats, Floats, list[Problem]]:
    """Photos without any yaw take the course over ground, with a wide sigma."""
    empty = ~np.isfinite(yaw)
    filled = empty & np.isfinite(course.course_deg)
    if not filled.any():
        return yaw, sigma, []
    return (
        np.where(filled, course.course_deg, yaw),
        np.where(filled, SIGMA_COURSE_YAW_DEG, sigma),
        [
            Problem(
                code="yaw_from_course",
                severity=Severity.WARNING,
                sentence_en=f"{int(filled.sum())} photos carry no heading: the course over ground is used "
                f"(± {SIGMA_COURSE_YAW_DEG:.0f}°).",
                sentence_vi=f"{int(filled.sum())} ảnh không có hướng: dùng hướng bay thực "
                f"(± {SIGMA_COURSE_YAW_DEG:.0f}°).",
                frames=tuple(n for n, f in zip(names, filled, strict=True) if f),
            )
        ],
    )


def _assumed_nadir(table: FlightTable, assumed: Bools) -> Problem:
    return Problem(
        code="nadir_assumed",
        severity=Severity.WARNING,
        sentence_en=f"{int(assumed.sum())} photos carry no tilt at all: they are taken as looking straight "
        f"down (± {SIGMA_ASSUMED_NADIR_DEG:.0f}°).",
        sentence_vi=f"{int(assumed.sum())} ảnh không ghi góc nghiêng: coi như nhìn thẳng xuống "
        f"(± {SIGMA_ASSUMED_NADIR_DEG:.0f}°).",
        frames=table.names_of(assumed),
    )
