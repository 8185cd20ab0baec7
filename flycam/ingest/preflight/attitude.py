"""Attitude of each photo: gimbal, camera or aircraft angles, resolved by the evidence of the flight.

Yaw is clockwise from true north, pitch -90 looks straight down. The rules about yaw are in `heading`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flycam.errors import AttitudeUnknown
from flycam.geodata.declination import compute_declination_deg
from flycam.geometry.rotation import rotation_from_body, rotation_from_gimbal
from flycam.ingest.photo.metadata import Dialect
from flycam.ingest.preflight.diagnosis import Problem, Rejection, Severity
from flycam.ingest.preflight.flight_table import (
    PITCH,
    ROLL,
    YAW,
    Bools,
    FlightTable,
    Floats,
    compute_circular_mean_deg,
    wrap_degrees,
)
from flycam.ingest.preflight.heading import (
    SIGMA_BODY_YAW_DEG,
    SIGMA_COURSE_YAW_DEG,
    fill_yaw_from_course,
    fill_yaw_from_direction,
    resolve_gimbal_lock,
    resolve_heading_offset,
    resolve_yaw,
    widen_unsteady_yaw,
)
from flycam.ingest.preflight.sorties import GroundCourse
from flycam.messages import _, ngettext

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
    count = int(ahead.sum())
    problem = Problem(
        code="nose_camera",
        severity=Severity.ERROR if ahead.all() else Severity.WARNING,
        sentence=ngettext(
            "{count} photo comes from a camera in the aircraft's nose and states the aircraft's attitude "
            "alone, not how far down the picture looks; it is left out.",
            "{count} photos come from a camera in the aircraft's nose and state the aircraft's attitude "
            "alone, not how far down the picture looks; they are left out.",
            count,
        ),
        frames=table.names_of(ahead),
    )
    return (
        table.take(~ahead),
        [Rejection.from_error(name, error) for name in table.names_of(ahead)],
        [problem],
    )


def resolve_attitude(table: FlightTable, course: GroundCourse) -> tuple[Attitude, list[Problem]]:
    """Resolve the angles of every photo, and report each rule's decision.

    The rules apply in the order below.
    """
    angles, fixed, problems = _source_of_angles(table)
    flight_yaw = table.aircraft[:, YAW]
    reference = np.where(np.isfinite(flight_yaw), flight_yaw, course.course_deg)
    angles[~fixed], found = resolve_roll_180(angles[~fixed], reference[~fixed], _names(table, ~fixed))
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
        problems.append(_assumed_nadir(table, assumed))
        angles[assumed, PITCH] = np.where(fixed[assumed], 0.0, -90.0)
        tilt = np.where(assumed, SIGMA_ASSUMED_NADIR_DEG, tilt)
    angles[:, ROLL] = np.nan_to_num(angles[:, ROLL])
    sigma_yaw = np.where(locked, np.maximum(sigma_yaw, SIGMA_BODY_YAW_DEG), sigma_yaw)
    sigma = np.stack([sigma_yaw, tilt], axis=1)
    return (
        Attitude(angles_deg=angles, sigma_deg=sigma, fixed_mount=fixed, course_only=~stated),
        problems,
    )


def _names(table: FlightTable, mask: Bools) -> tuple[str, ...]:
    return table.names_of(mask)


def _source_of_angles(table: FlightTable) -> tuple[Floats, Bools, list[Problem]]:
    """Return gimbal angles; else the camera's own; else the aircraft's, fixed mount."""
    gimbal_known = np.isfinite(table.gimbal[:, PITCH])
    camera_known = ~gimbal_known & np.isfinite(table.camera[:, PITCH])
    body_only = ~gimbal_known & ~camera_known & np.isfinite(table.aircraft).any(axis=1)
    fixed = body_only | (camera_known & ~_from_the_horizon(table, camera_known))
    angles = np.where(gimbal_known[:, None], table.gimbal, np.nan)
    angles = np.where(camera_known[:, None], table.camera, angles)
    angles = np.where(body_only[:, None], table.aircraft, angles)
    problems: list[Problem] = []
    belly = fixed & np.isfinite(table.aircraft).any(axis=1)
    if belly.any():
        tilt = np.nanmax(np.abs(angles[belly][:, [PITCH, ROLL]]), initial=0.0)
        problems.append(
            Problem(
                code="fixed_mount",
                severity=Severity.INFO,
                sentence=ngettext(
                    "{count} photo carries no gimbal angles: the aircraft's own attitude is used for a "
                    "camera that looks straight out of its belly (tilt up to {tilt_deg:.1f}°).",
                    "{count} photos carry no gimbal angles: the aircraft's own attitude is used for a camera "
                    "that looks straight out of its belly (tilt up to {tilt_deg:.1f}°).",
                    int(belly.sum()),
                    tilt_deg=tilt,
                ),
                frames=table.names_of(belly),
            )
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
    return settled, [
        Problem(
            code="roll_180",
            severity=Severity.INFO if offset.size else Severity.WARNING,
            sentence=sentence,
            frames=tuple(n for n, f in zip(names, flipped, strict=True) if f),
        )
    ]


def _assumed_nadir(table: FlightTable, assumed: Bools) -> Problem:
    return Problem(
        code="nadir_assumed",
        severity=Severity.WARNING,
        sentence=ngettext(
            "{count} photo carries no tilt at all: it is taken as looking straight down (± "
            "{sigma_deg:.0f}°).",
            "{count} photos carry no tilt at all: they are taken as looking straight down (± "
            "{sigma_deg:.0f}°).",
            int(assumed.sum()),
            sigma_deg=SIGMA_ASSUMED_NADIR_DEG,
        ),
        frames=table.names_of(assumed),
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
