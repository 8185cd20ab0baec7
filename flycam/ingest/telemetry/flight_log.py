"""Flight log, independent of the aircraft that wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.errors import SourceUnreadable
from flycam.frame.telemetry import TelemetrySample, TelemetryTrack
from flycam.ingest.telemetry.quaternions import is_in_gap
from flycam.messages import Message, _

Floats = NDArray[np.float64]

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
