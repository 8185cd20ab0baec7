"""Flight log, independent of the aircraft that wrote it.

GPS time and attitude quaternions of any log are converted here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flycam.errors import SourceUnreadable
from flycam.messages import Message, _
from flycam.model.telemetry import TelemetrySample, TelemetryTrack

# -- GPS time (weeks since 6 January 1980, without leap seconds) in UTC ----------------------------


GPS_EPOCH_S = 315_964_800.0
"""The beginning of GPS time, seconds UTC since 1970."""
WEEK_S = 604_800.0
_FIRST, _SINCE_S = 14.0, np.array([1_230_768_000.0, 1_341_100_800.0, 1_435_708_800.0, 1_483_228_800.0])
"""GPS time minus UTC since 2006, s, and when it grew by one: 2009, July 2012, July 2015, 2017.

Source: IERS Bulletin C.
"""


def compute_leap_seconds(utc: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return GPS time minus UTC, seconds, at times in seconds UTC since 1970."""
    ahead: NDArray[np.float64] = _FIRST + np.searchsorted(_SINCE_S, utc, side="right").astype(np.float64)
    return ahead


def to_utc_s(week: NDArray[np.float64], ms_of_week: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert GPS week and milliseconds of week to seconds UTC since 1970.

    Weeks are counted on beyond 1023.
    """
    gps = GPS_EPOCH_S + week * WEEK_S + ms_of_week / 1e3
    return gps - compute_leap_seconds(gps - compute_leap_seconds(gps))


# -- Attitude quaternions of autopilots, and the reference of a gimbal's yaw -----------------------


Floats = NDArray[np.float64]

# MAVLink GIMBAL_DEVICE_FLAGS
_YAW_LOCK, _YAW_IN_VEHICLE_FRAME, _YAW_IN_EARTH_FRAME = 16, 32, 64


def to_yaw_pitch_roll(quaternions: ArrayLike) -> Floats:
    """Convert quaternions N×4 to N×3 yaw, pitch, roll in degrees.

    Quaternions are (w, x, y, z), body to north-east-down. NaN where a quaternion is zero or not finite, by
    which autopilots mark it unknown. At the pole the yaw carries the whole turn. Formula: Diebel,
    Representing Attitude, 2006, section 8.
    """
    q = np.asarray(quaternions, dtype=np.float64).reshape(-1, 4)
    norm = np.linalg.norm(q, axis=1)
    known = np.isfinite(norm) & (norm > 0.5)
    w, x, y, z = np.where(known[:, None], q / np.where(known, norm, 1.0)[:, None], [1.0, 0.0, 0.0, 0.0]).T
    sine = np.clip(2.0 * (w * y - x * z), -1.0, 1.0)
    pole = np.abs(sine) > 1.0 - 1e-9
    yaw = np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    roll = np.arctan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    yaw = np.where(pole, np.arctan2(2.0 * (w * z - x * y), 1.0 - 2.0 * (x * x + z * z)), yaw)
    roll = np.where(pole, 0.0, roll)
    angles = np.degrees(np.stack([yaw, np.arcsin(sine), roll], axis=1))
    return np.where(known[:, None], angles, np.nan)


def to_world_gimbal_yaw(yaw_deg: ArrayLike, flags: ArrayLike, heading_deg: ArrayLike) -> Floats:
    """Convert a gimbal device's yaw to clockwise from north, degrees.

    Its flags name the frame; a device that names none measures from north exactly when its yaw is locked
    (MAVLink gimbal protocol v2).
    """
    bits = np.asarray(flags).astype(np.int64)
    named = (bits & (_YAW_IN_VEHICLE_FRAME | _YAW_IN_EARTH_FRAME)) != 0
    earth = np.where(named, (bits & _YAW_IN_EARTH_FRAME) != 0, (bits & _YAW_LOCK) != 0)
    yaw = np.asarray(yaw_deg, dtype=np.float64)
    turned: Floats = np.where(earth, yaw, yaw + np.asarray(heading_deg, dtype=np.float64))
    return (turned + 180.0) % 360.0 - 180.0


def interpolate_quaternions(t: Floats, known_t: Floats, quaternions: ArrayLike, max_gap: float) -> Floats:
    """Interpolate quaternions (M×4 at increasing M times) at N times.

    By normalised chords; NaN outside and in gaps. Attitudes are interpolated as rotations, not as angles:
    near nadir yaw and roll jump together. Unknown quaternions (zero, not finite) are dropped first.

    max_gap  in the unit of the times
    """
    q = np.asarray(quaternions, dtype=np.float64).reshape(-1, 4)
    norm = np.linalg.norm(q, axis=1)
    known = np.isfinite(norm) & (norm > 0.5)
    q, known_t = q[known] / norm[known, None], np.asarray(known_t, dtype=np.float64)[known]
    if len(q) < 2:
        return np.full((len(t), 4), np.nan)
    same_side = np.where((q[1:] * q[:-1]).sum(axis=1) < 0, -1.0, 1.0)
    q = q * np.concatenate([[1.0], np.cumprod(same_side)])[:, None]
    found = np.stack([np.interp(t, known_t, column, left=np.nan, right=np.nan) for column in q.T], axis=1)
    found[is_in_gap(t, known_t, max_gap)] = np.nan
    return found


def is_in_gap(t: Floats, known_t: Floats, max_gap: float) -> NDArray[np.bool_]:
    """Return which of N times lie between known times further apart than max_gap."""
    right = np.clip(np.searchsorted(known_t, t), 1, len(known_t) - 1)
    exact = known_t[np.clip(np.searchsorted(known_t, t), 0, len(known_t) - 1)] == t
    wide: NDArray[np.bool_] = (known_t[right] - known_t[right - 1] > max_gap) & ~exact
    return wide


# -- Flight log: track, camera events and home -----------------------------------------------------


MAX_SAMPLES = 1_000_000
"""Maximum number of positions or exposures in a log: 5 hours of 50 a second."""
MAX_ROWS = 3_000_000
"""Maximum number of messages of one kind in an on-board log, or of all kinds over a link.

3 hours of 250 a second.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """Take-off point as the log states it; height_m in EGM96, NaN unknown."""

    lon_deg: float
    lat_deg: float
    height_m: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightLog:
    """Track, camera events and home of one log.

    track           in the log's main clock, named by `clock`
    has_zone        the main clock is UTC; False: a local time whose zone is not stated, kept as if it were
    shift_other_ns  added to a main stamp it gives the log's other clock (e.g. the autopilot's own UTC); None
                    if there is none
    camera_events   one sample per exposure, in order
    remarks         remarks made while reading
    video_zero_ns   for a log read out of a video, the main stamp of the video's first frame, known to
                    video_zero_sigma_s seconds; None: another log, or not known
    """

    name: str
    track: TelemetryTrack
    clock: str
    has_zone: bool = True
    shift_other_ns: int | None = None
    camera_events: tuple[TelemetrySample, ...] = ()
    home: Home | None = None
    remarks: tuple[Message, ...] = ()
    video_zero_ns: int | None = None
    video_zero_sigma_s: float = float("nan")


def require_bounded_log(path: Path, samples: int, rows: int = 0) -> None:
    """Raise SourceUnreadable unless a log can be of one flight, to bound memory.

    samples  positions or exposures so far; rows: messages
    """
    count, most = (samples, MAX_SAMPLES) if samples > MAX_SAMPLES else (rows, MAX_ROWS)
    if count > most:
        raise SourceUnreadable(
            _(
                "{path}: holds more than {most} messages, which no flight does: cut the log to this flight",
                path=path,
                most=most,
            )
        )


def sort_samples(samples: list[TelemetrySample]) -> tuple[TelemetrySample, ...]:
    """Return samples in order of time, the first of equal stamps."""
    ordered = sorted(samples, key=lambda s: s.t_utc_ns)
    kept: list[TelemetrySample] = []
    for sample in ordered:
        if not kept or sample.t_utc_ns > kept[-1].t_utc_ns:
            kept.append(sample)
    return tuple(kept)


def interpolate_angles(t: Floats, known_t: Floats, angles_deg: Floats, max_gap: float = np.inf) -> Floats:
    """Interpolate angles (M×K degrees at M increasing times) at N times.

    Along the shorter arc; NaN outside and between two times further apart than max_gap; rows with a NaN are
    dropped first.
    """
    known = np.isfinite(angles_deg).all(axis=1)
    known_t, angles_deg = known_t[known], angles_deg[known]
    if len(known_t) < 2:
        return np.full((len(t), angles_deg.shape[1]), np.nan)
    unwrapped = np.degrees(np.unwrap(np.radians(angles_deg), axis=0))
    columns = [np.interp(t, known_t, column, left=np.nan, right=np.nan) for column in unwrapped.T]
    found = (np.stack(columns, axis=1) + 180.0) % 360.0 - 180.0
    found[is_in_gap(t, known_t, max_gap)] = np.nan
    return found
