"""Gaps in strips: missing shots between two photos of one line of flight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.ingest.preflight.flight_table import Bools, Floats, Index, wrap_degrees

MIN_STEP_RATIO = 1.5
_SAME_LINE_DEG = 25.0
_MAX_MISSING = 15
_MIN_STEPS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class StripGap:
    """Gap between rows `before` and `after`.

    distance_m was flown without a shot, `missing` shots by the pattern.
    """

    before: int
    after: int
    distance_m: float
    missing: int


def find_strip_gaps(
    xy_m: Floats, t_ns: NDArray[np.int64], counter: NDArray[np.int64], sorties: list[Index]
) -> list[StripGap]:
    """Return the strip gaps of a flight.

    N×2 positions (metres), N times and N file counters (-1 unknown), in order of time inside each sortie.

    A step is a gap if it is over 1.5 times the flight's long ordinary step (the 90th percentile) in line with
    the steps around it, or if it took over 1.5 times the usual interval and file numbers are missing in it.
    So a turn flown without photos is no gap, nor is a slow stretch or a leg of over 15 steps (to the next
    area, home).
    """
    found: list[StripGap] = []
    for rows in sorties:
        if len(rows) < _MIN_STEPS:
            continue
        step = np.diff(xy_m[rows], axis=0)
        distance = np.hypot(step[:, 0], step[:, 1])
        seconds = np.diff(t_ns[rows]) / 1e9
        ordinary = _ordinary(distance)
        long = (distance > MIN_STEP_RATIO * ordinary) & (distance > 1.0)
        late = seconds > MIN_STEP_RATIO * float(np.median(seconds))
        number_skips = np.diff(counter[rows]) - 1
        by_number = late & (number_skips >= 1) & (number_skips <= _MAX_MISSING) & (counter[rows][:-1] >= 0)
        hit = (long & _in_line(step)) | by_number
        for i in np.flatnonzero(hit).tolist():
            by_distance = round(float(distance[i]) / ordinary) - 1
            missing = int(number_skips[i]) if by_number[i] else by_distance
            if 1 <= missing <= _MAX_MISSING:
                found.append(
                    StripGap(
                        before=int(rows[i]),
                        after=int(rows[i + 1]),
                        distance_m=float(distance[i]),
                        missing=missing,
                    )
                )
    return found


def _ordinary(distance: Floats) -> float:
    """Return the long end of ordinary steps.

    The 90th percentile of those not over twice the median.
    """
    middle = float(np.median(distance))
    kept = distance[distance <= max(2.0 * middle, 1e-9)]
    return float(np.percentile(kept, 90.0)) if kept.size else middle


def _in_line(step: Floats) -> Bools:
    """Return which steps continue in the direction of the steps before and after."""
    azimuth = np.degrees(np.arctan2(step[:, 0], step[:, 1]))
    before = np.concatenate([azimuth[:1], azimuth[:-1]])
    after = np.concatenate([azimuth[1:], azimuth[-1:]])
    return (np.abs(wrap_degrees(azimuth - before)) < _SAME_LINE_DEG) & (
        np.abs(wrap_degrees(after - azimuth)) < _SAME_LINE_DEG
    )
