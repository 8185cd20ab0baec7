"""Photos whose recorded position jumped: the track leaps to them, and something else contradicts that.

A leap alone proves nothing: aircraft turn, hover and hurry. It is a jump where the photo's orthorectified
thumbnail, laid where the time between its neighbours puts it, matches them both; and, over forest, where
thumbnails match nowhere, if the photos before and after keep one line and one spacing as if there were no
leap. It is reported, not corrected: `finish` places the photo by all of its neighbours, to the pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from flycam.geometry.correlation import find_common_shifts
from flycam.ingest.preflight.flight_table import Bools, Floats, Index, report_rows, split_sorties
from flycam.ingest.preflight.frame_headers import ResolvedFlight, estimate_position_sigma
from flycam.ingest.preflight.image_rotation import OrthoThumbnails, get_thumbnails
from flycam.media.pixels import Pixels
from flycam.messages import ngettext
from flycam.model.diagnosis import Problem, Severity, TerrainAt

_HURRY = 1.5
"""Times the median speed of a sortie: a leap is faster."""
_SIGMAS, _MIN_AWAY_M = 8.0, 10.0
"""Least distance from its neighbours' line: sigmas of positions, and three of the tilt on the ground."""
_MIN_WINDOWS = 6
_AGREE = 0.3
"""Largest difference of the places by two neighbours, relative to the distance of the jump."""
_EVEN = 0.15
"""Largest deviation of the photos before and after from one line and spacing, relative to the spacing."""
_AROUND = ((-2, -1, 1, 2), (-1, 1, 2, 3), (-3, -2, -1, 1))
_BESIDE = ((-1, 1), (-2, 1), (-1, 2))
_AT_START, _AT_END = ((1, 2),), ((-2, -1),)


def find_position_jumps(flight: ResolvedFlight, keep: Bools, terrain_at: TerrainAt | None) -> list[Problem]:
    """Return the finding on photos whose neighbours' pictures contradict their recorded position.

    keep  rows that can be orthorectified
    """
    thumbnails = get_thumbnails(flight.table.photos)
    shown = keep & np.array([one is not None for one in thumbnails], dtype=bool)
    least_m = _least_jump_m(flight)
    away_m = np.full(len(flight.table), np.nan)
    for sortie in split_sorties(flight.table):
        _add_breaks(flight, sortie[keep[sortie]], least_m, away_m)
        for row, one, two, place in _find_leaps(flight, sortie[shown[sortie]], least_m):
            if np.isnan(away_m[row]):
                pictures = [t for k in (row, one, two) if (t := thumbnails[k]) is not None]
                away_m[row] = _measure_jump(flight, (row, one, two), pictures, place, terrain_at)
    jumped = np.isfinite(away_m)
    if not jumped.any():
        return []
    return report_rows(
        flight.table.names,
        jumped,
        "position_jumped",
        Severity.WARNING,
        ngettext(
            "{count} photo was recorded {away_m:.0f} m from where its neighbours put it: its position "
            "jumped. It lies on the map as recorded until 'flycam finish' finds its place from the pictures, "
            "or leaves it out.",
            "{count} photos were recorded up to {away_m:.0f} m from where their neighbours put them: their "
            "positions jumped. They lie on the map as recorded until 'flycam finish' finds their places from "
            "the pictures, or leaves them out.",
            int(jumped.sum()),
            away_m=float(np.nanmax(away_m)),
        ),
    )


def _least_jump_m(flight: ResolvedFlight) -> Floats:
    """Return, by row, the distance that errors of positions and tilts do not explain."""
    sigma_m = np.linalg.norm(estimate_position_sigma(flight.table)[0], axis=1)
    tilt = np.radians(flight.attitude.sigma_deg[:, 1:]).max(axis=1) * flight.heights.above_ground_m
    least: Floats = np.maximum(_SIGMAS * sigma_m, np.maximum(3.0 * np.nan_to_num(tilt), _MIN_AWAY_M))
    return least


def _find_fast_legs(xy: Floats, t: Floats) -> Bools:
    """Return True for legs N-1 between photos that are faster than a flight's."""
    # several photos a second, or clocks of full seconds: a speed over no time is none
    speed = np.linalg.norm(np.diff(xy, axis=0), axis=1) / np.maximum(np.diff(t), 0.5)
    fast: Bools = speed > _HURRY * np.median(speed)
    return fast


def _add_breaks(flight: ResolvedFlight, rows: Index, least_m: Floats, away_m: Floats) -> None:
    """Add photos of a sortie that alone break the even line of four around them."""
    if len(rows) < 5:
        return
    xy, least = flight.xy_m[rows], least_m[rows]
    fast = _find_fast_legs(xy, flight.table.t_ns[rows] / 1e9)
    for around in _AROUND:
        own = np.arange(max(-around[0], 0), len(rows) - around[-1])
        if not own.size:
            continue
        # places over shot numbers: by least squares (place at the photo's own number, step)
        design = np.stack([np.ones(len(around)), np.array(around, dtype=np.float64)], axis=1)
        four = xy[own[:, None] + around]
        line = np.linalg.pinv(design) @ four
        spacing = np.linalg.norm(line[:, 1], axis=1)
        uneven = np.linalg.norm(four - design @ line, axis=2).max(axis=1)
        away = np.linalg.norm(xy[own] - line[:, 0], axis=1)
        broken = (uneven < _EVEN * spacing) & (away > least[own]) & fast[own - 1] & fast[own]
        away_m[rows[own[broken]]] = away[broken]


def _find_leaps(flight: ResolvedFlight, rows: Index, least_m: Floats) -> list[tuple[int, int, int, Floats]]:
    """Return (row, two neighbours, place between them) where the track leaps to a row of a sortie."""
    if len(rows) < 3:
        return []
    xy, t = flight.xy_m[rows], flight.table.t_ns[rows] / 1e9
    fast = np.r_[False, _find_fast_legs(xy, t), False]
    least = least_m[rows]
    last = len(rows) - 1
    leaps = []
    for k in np.flatnonzero(fast[:-1] | fast[1:]).tolist():
        for one, two in _AT_START if k == 0 else _AT_END if k == last else _BESIDE:
            a, b = k + one, k + two
            if min(a, b) < 0 or max(a, b) > last or t[b] <= t[a]:
                continue
            place = xy[a] + (t[k] - t[a]) / (t[b] - t[a]) * (xy[b] - xy[a])
            if np.linalg.norm(xy[k] - place) > least[k]:
                leaps.append((int(rows[k]), int(rows[a]), int(rows[b]), place))
    return leaps


def _measure_jump(
    flight: ResolvedFlight,
    rows: tuple[int, int, int],
    thumbnails: Sequence[Pixels],
    place: Floats,
    terrain_at: TerrainAt | None,
) -> float:
    """Return the distance of the recorded position from the one by two neighbours' pictures, metres.

    NaN unless both show, with the photo laid at `place`, that it belongs elsewhere than recorded.

    rows  the photo and its neighbours, with their thumbnails
    """
    xy = flight.xy_m.copy()
    recorded, xy[rows[0]] = flight.xy_m[rows[0]], place
    upright = np.zeros(len(flight.table), dtype=bool)
    ground = OrthoThumbnails(replace(flight, xy_m=xy), np.array(rows), upright, thumbnails, terrain_at)
    # whether the picture was turned as well could not be judged from its recorded place
    for quarters in (0, 2):
        own = ground.orthorectify(0, quarters)
        shifts = [find_common_shifts(ground.orthorectify(k, 0), own) for k in (1, 2)]
        if min(len(one) for one in shifts) < _MIN_WINDOWS:
            continue
        found = np.array([place - one.mean(axis=0) * [1.0, -1.0] * ground.gsd_m for one in shifts])
        away_m = float(np.linalg.norm(found.mean(axis=0) - recorded))
        if np.linalg.norm(found[0] - found[1]) < _AGREE * away_m and away_m > 0.5 * np.linalg.norm(
            place - recorded
        ):
            return away_m
    return float("nan")
