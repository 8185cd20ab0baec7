"""Sorties (one take-off to one landing) and the course flown over ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.ingest.preflight.flight_table import Bools, FlightTable, Floats, Index, wrap_degrees

LONG_PAUSE_S = 600.0
SHORT_PAUSE_S = 60.0
_BASE_JUMP_M = 2.0
_MIN_STEP_M = 1.5
_MAX_STEP_S = 20.0
_STRAIGHT_DEG = 12.0


def split_sorties(table: FlightTable) -> list[Index]:
    """Return row indices per sortie, for rows in order of time.

    A new sortie begins with another camera unit or layer (a thermal twin has its own sequence), after a pause
    of ten minutes, or after a minute if the difference of absolute and relative height jumped: the aircraft's
    zero was reset at a take-off.
    """
    units: dict[tuple[str, ...], list[int]] = {}
    for row, photo in enumerate(table.photos):
        units.setdefault((photo.maker, photo.model, photo.serial, photo.band), []).append(row)
    base = table.absolute_m - table.relative_m
    sorties: list[Index] = []
    for rows in units.values():
        index = np.array(rows, dtype=np.intp)
        pause_s = np.diff(table.t_ns[index]) / 1e9
        jump = np.abs(np.diff(base[index])) > _BASE_JUMP_M
        cut = (pause_s > LONG_PAUSE_S) | ((pause_s > SHORT_PAUSE_S) & jump)
        sorties += np.split(index, np.flatnonzero(cut) + 1)
    return sorted((s for s in sorties if s.size), key=lambda s: int(s[0]))


@dataclass(frozen=True, kw_only=True, slots=True)
class GroundCourse:
    """Direction over ground at each photo, degrees clockwise from true north, or NaN.

    straight   True where the steps before and after agree within 12 degrees: a strip, not a turn
    rough_deg  the same direction whatever the time between photos
    bent       True where only that is known: in a turn, or over a pause
    """

    course_deg: Floats
    straight: Bools
    rough_deg: Floats
    bent: Bools


def compute_course(lonlat: Floats, t_ns: NDArray[np.int64], sorties: list[Index]) -> GroundCourse:
    """Return the course from the photo before to the photo after, inside each sortie.

    N×2 degrees, N times.
    """
    n = len(lonlat)
    course, turn, rough = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    for rows in sorties:
        if rows.size < 2:
            continue
        course[rows], turn[rows] = _through(_step_deg(lonlat[rows], t_ns[rows]))
        rough[rows], _ = _through(_step_deg(lonlat[rows], np.zeros(rows.size, dtype=np.int64)))
    known = np.isfinite(course)
    return GroundCourse(
        course_deg=course,
        straight=np.abs(np.nan_to_num(turn, nan=999.0)) < _STRAIGHT_DEG,
        rough_deg=np.where(known, course, rough),
        bent=~known | (np.abs(np.nan_to_num(turn)) >= _STRAIGHT_DEG),
    )


def _through(step: Floats) -> tuple[Floats, Floats]:
    """Return direction at N photos from the N - 1 steps between, and turns of steps.

    Turns are NaN at the ends.
    """
    before = np.concatenate([[np.nan], step])
    after = np.concatenate([step, [np.nan]])
    turn = wrap_degrees(after - before)
    both = np.isfinite(turn)
    middle = before + turn / 2.0
    return wrap_degrees(np.where(both, middle, np.where(np.isfinite(before), before, after))), turn


def _step_deg(lonlat: Floats, t_ns: NDArray[np.int64]) -> Floats:
    """Return the azimuth of each step; NaN if too short or too long in time."""
    east = np.diff(lonlat[:, 0]) * np.cos(np.radians(lonlat[:-1, 1]))
    north = np.diff(lonlat[:, 1])
    far = np.hypot(east, north) * 111_195.0 > _MIN_STEP_M
    soon = np.diff(t_ns) < _MAX_STEP_S * 1e9
    return np.where(far & soon, np.degrees(np.arctan2(east, north)), np.nan)
