"""A flight's metadata as columns, with its sorties and course over ground.

With columns, every rule of the preflight check is array arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from flycam.ingest.photos.photo_reader import PhotoMetadata, make_display_names
from flycam.ingest.photos.xmp import Angles
from flycam.messages import Message
from flycam.model.diagnosis import Problem, Severity

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Index = NDArray[np.intp]

YAW, PITCH, ROLL = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class FlightTable:
    """Metadata of a flight, one row per photo; NaN where nothing is stated.

    Angles N×3 in degrees (yaw, pitch, roll).

    names       display names of the photos: `make_display_names` of the whole flight
    t_ns        capture time, UTC nanoseconds; 0 where unknown
    lonlat      N×2 WGS 84 degrees
    exif_m, absolute_m, relative_m   heights as written
    direction   EXIF GPSImgDirection, degrees
    stated_xy_m  horizontal error that EXIF states for the photo's own position
    sigma_xy_m  extra horizontal 1-sigma from positioning by time (0 for the photo's own position)
    """

    photos: tuple[PhotoMetadata, ...]
    names: tuple[str, ...]
    t_ns: NDArray[np.int64]
    lonlat: Floats
    exif_m: Floats
    absolute_m: Floats
    relative_m: Floats
    gimbal: Floats
    aircraft: Floats
    camera: Floats
    direction: Floats
    rtk_flag: NDArray[np.int64]
    rtk_std_m: Floats
    stated_xy_m: Floats
    sigma_xy_m: Floats

    def __len__(self) -> int:
        return len(self.photos)

    def names_of(self, mask: Bools) -> tuple[str, ...]:
        """Return the names of the photos where `mask` is true."""
        return tuple(self.names[i] for i in np.flatnonzero(mask))

    def take(self, index: Index | Bools) -> FlightTable:
        """Return the rows of a mask or an index array, in its order."""
        rows = np.flatnonzero(index) if index.dtype == np.bool_ else index
        tuple_fields = ("photos", "names")
        columns = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name not in tuple_fields}
        photos, names = tuple(self.photos[i] for i in rows), tuple(self.names[i] for i in rows)
        return replace(self, photos=photos, names=names, **columns)


def report_rows(
    names: Sequence[str], mask: Bools, code: str, severity: Severity, sentence: Message
) -> list[Problem]:
    """Return the finding on the photos where `mask` is true; none if there are none."""
    frames = tuple(names[row] for row in np.flatnonzero(mask).tolist())
    return [Problem(code=code, severity=severity, sentence=sentence, frames=frames)] if frames else []


def build_flight_table(photos: Sequence[PhotoMetadata], t_ns: NDArray[np.int64]) -> FlightTable:
    """Return the columns of `photos` with their capture times.

    t_ns  N int64, UTC ns, 0 unknown
    """
    nan = float("nan")
    lon_lat = [
        (p.lon_deg, p.lat_deg)
        if p.lon_deg is not None and p.lat_deg is not None
        else (p.xmp_lon_deg, p.xmp_lat_deg)
        for p in photos
    ]
    return FlightTable(
        photos=tuple(photos),
        names=make_display_names(photos),
        t_ns=np.asarray(t_ns, dtype=np.int64),
        lonlat=_floats(lon_lat, 2),
        exif_m=_floats(((p.exif_altitude_m,) for p in photos), 1)[:, 0],
        absolute_m=_floats(((p.absolute_altitude_m,) for p in photos), 1)[:, 0],
        relative_m=_floats(((p.relative_altitude_m,) for p in photos), 1)[:, 0],
        gimbal=_angles(p.gimbal for p in photos),
        aircraft=_angles(p.aircraft for p in photos),
        camera=_angles(p.camera for p in photos),
        direction=_floats(((p.direction_deg,) for p in photos), 1)[:, 0],
        rtk_flag=np.array([-1 if p.rtk_flag is None else p.rtk_flag for p in photos], dtype=np.int64),
        rtk_std_m=_floats((p.rtk_std_m or (nan, nan, nan) for p in photos), 3),
        stated_xy_m=_floats(((p.horizontal_error_m,) for p in photos), 1)[:, 0],
        sigma_xy_m=np.zeros(len(photos)),
    )


def _floats(rows: Iterable[Sequence[float | None]], width: int) -> Floats:
    values = [[np.nan if v is None else v for v in row] for row in rows]
    return np.array(values, dtype=np.float64).reshape(-1, width)


def _angles(angles: Iterable[Angles]) -> Floats:
    return _floats(((a.yaw_deg, a.pitch_deg, a.roll_deg) for a in angles), 3)


def wrap_degrees(difference: Floats) -> Floats:
    """Wrap angles to [-180, 180)."""
    return (np.asarray(difference) + 180.0) % 360.0 - 180.0


def compute_circular_mean_deg(angles: Floats) -> tuple[float, float]:
    """Return (mean direction in degrees, concentration 0..1) of N angles.

    NaN are ignored; (nan, 0) if none is left. Fisher, Statistical Analysis of Circular Data (1993), section
    2.3.
    """
    known = np.radians(np.asarray(angles, dtype=np.float64)[np.isfinite(angles)])
    if known.size == 0:
        return float("nan"), 0.0
    c, s = float(np.cos(known).mean()), float(np.sin(known).mean())
    return float(np.degrees(np.arctan2(s, c))), float(np.hypot(c, s))


# -- Stated heights of one sortie ------------------------------------------------------------------


CLEARANCE_M = 2.0
"""Smallest height above ground from which an aircraft takes photos."""


@dataclass(frozen=True, kw_only=True)
class SortieHeights:
    """Stated heights of one sortie.

    lonlat      N×2 degrees
    relative_m  N above take-off
    absolute_m  N in the datum of the terrain (NaN unknown)
    is_rtk      the absolute heights carry a fixed RTK solution
    """

    names: tuple[str, ...]
    lonlat: Floats
    relative_m: Floats
    absolute_m: Floats
    is_rtk: bool = False


# -- Sorties (one take-off to one landing) and the course over ground ------------------------------


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
