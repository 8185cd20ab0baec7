"""Straight legs of a flight.

A gimbal's yaw offset is constant on one, and steps at the turns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TURN_DEG = 35.0
_MIN_STEP_M = 1.5
_PAUSE_NS = 120_000_000_000


def assign_strips(
    captured_ns: Sequence[int], positions_m: Floats, cameras: Sequence[str] | None = None
) -> list[int]:
    """Assign strip numbers to N frames, from 0 in order of time.

    captured_ns  times; frames need not be sorted, and numbers are in the order given
    positions_m  N×2 or N×3, (east, north, …) of the projection centres
    cameras      key of each frame's camera; another camera flies its own strips

    A leg continues while each step's direction is within 35° of the leg's first. A frame between two legs
    belongs to the longer; a step shorter than 1.5 m has no direction. A pause of two minutes ends a leg.
    """
    keys = list(cameras) if cameras is not None else [""] * len(captured_ns)
    result, used = [0] * len(captured_ns), 0
    for key in sorted(set(keys)):
        rows = sorted((i for i, k in enumerate(keys) if k == key), key=lambda i: (captured_ns[i], i))
        legs = _legs([captured_ns[i] for i in rows], np.asarray(positions_m, dtype=np.float64)[rows, :2])
        for row, leg in zip(rows, legs, strict=True):
            result[row] = used + leg
        used += max(legs) + 1
    return result


def _legs(times: list[int], xy: Floats) -> list[int]:
    """Return the leg of each frame of one camera in order of time, numbered from 0."""
    leg_of_step: list[int] = []
    leg, first = 0, None
    for k, (east, north) in enumerate(np.diff(xy, axis=0)):
        if times[k + 1] - times[k] > _PAUSE_NS:
            leg, first = leg + 1, None
            leg_of_step.append(-1)
            continue
        if np.hypot(east, north) >= _MIN_STEP_M:
            azimuth = float(np.degrees(np.arctan2(east, north)))
            if first is not None and abs((azimuth - first + 180.0) % 360.0 - 180.0) > _TURN_DEG:
                leg, first = leg + 1, azimuth
            first = azimuth if first is None else first
        leg_of_step.append(leg)
    length = {number: leg_of_step.count(number) for number in leg_of_step}
    before, after = [-1, *leg_of_step], [*leg_of_step, -1]
    length[-1] = 0
    chosen = [b if length[b] >= length[a] else a for b, a in zip(before, after, strict=True)]
    return _renumbered(chosen)


def _renumbered(legs: list[int]) -> list[int]:
    """Renumber the runs of a partition as they occur.

    Frames between two pauses are runs of their own.
    """
    numbers, last, result = -1, object(), []
    for leg in legs:
        if leg != last or leg == -1:
            numbers, last = numbers + 1, leg
        result.append(numbers)
    return result
