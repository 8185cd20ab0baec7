"""Check of positions: zero, swapped, off the globe, far from the rest, frozen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flycam.errors import PoseRejected, PositionUnknown
from flycam.ingest.preflight.diagnosis import Problem, Rejection, Severity
from flycam.ingest.preflight.flight_table import Bools, FlightTable, Floats
from flycam.messages import _, ngettext

EARTH_M_PER_DEG = 111_195.0
OUTLIER_M = 20_000.0
_ZERO_DEG = 1e-4
_FROZEN_SHARE = 0.5


_STEPS_DEG = (1e-3, 1.0 / 3600.0, 1e-4, 0.1 / 3600.0, 1.0 / 60e3, 1e-5)
"""Roundings of degrees, seconds and minutes coarser than a receiver's error, the coarsest first."""
_ON_A_STEP = 0.02
_MIN_PLACES = 3
"""Minimum number of positions: fewer may lie on round numbers by chance."""


def estimate_rounding_sigma_m(lonlat: Floats) -> Floats:
    """Return N×2 (east, north) 1-sigma, metres, of positions with few decimals.

    0 for others. Where all positions of a flight (N×2 degrees) lie on whole steps of some rounding they were
    rounded to it; the error is uniform over the step: step / sqrt(12).
    """
    known = np.unique(lonlat[np.isfinite(lonlat).all(axis=1)], axis=0)
    step = 0.0
    for tried in _STEPS_DEG if len(known) >= _MIN_PLACES else ():
        steps = known / tried
        if (np.abs(steps - np.rint(steps)) < _ON_A_STEP).all():
            step = tried
            break
    north = np.full(len(lonlat), step * EARTH_M_PER_DEG / np.sqrt(12.0))
    east = north * np.cos(np.radians(np.nan_to_num(lonlat[:, 1])))
    return np.column_stack([east, north])


def resolve_positions(table: FlightTable) -> tuple[FlightTable, list[Rejection], list[Problem]]:
    """Return rows with believable positions, rejections of the others, and findings.

    Order is kept.
    """
    table, problems = _unswap(table)
    lonlat = table.lonlat
    missing = np.asarray(~np.isfinite(lonlat).all(axis=1))
    zero = ~missing & (np.abs(lonlat) < _ZERO_DEG).all(axis=1)
    off_globe = ~missing & ((np.abs(lonlat[:, 0]) > 180.0) | (lonlat[:, 1] < -80.0) | (lonlat[:, 1] > 84.0))
    bad = missing | zero | off_globe
    far = ~bad & _far_from_rest(lonlat, bad)
    rejected = [
        Rejection.from_error(name, error)
        for rows, error in (
            (
                missing,
                PositionUnknown(
                    _(
                        "has no position: give the flight log, a table of positions, a list of ground "
                        "control points or a map of the ground with --telemetry"
                    )
                ),
            ),
            (
                zero,
                PositionUnknown(_("says (0, 0), no GNSS fix: give the flight log with --telemetry")),
            ),
            (
                off_globe,
                PositionUnknown(
                    _("has coordinates off the globe or in the polar seas: correct or remove it")
                ),
            ),
            (
                far,
                PoseRejected(
                    _(
                        "lies over {outlier_m:.0f} km from the rest of the flight: ingest it as its own",
                        outlier_m=OUTLIER_M / 1000,
                    )
                ),
            ),
        )
        for name in table.names_of(rows)
    ]
    problems += _position_problems(table, missing, zero, off_globe, far)
    kept = table.take(~(bad | far))
    return kept, rejected, problems + _frozen(kept)


def _unswap(table: FlightTable) -> tuple[FlightTable, list[Problem]]:
    """Exchange lon and lat where only that is plausible.

    By range, or by the rest of the flight.
    """
    lonlat = table.lonlat
    known = np.isfinite(lonlat).all(axis=1) & (np.abs(lonlat) >= _ZERO_DEG).any(axis=1)
    swapped = known & (np.abs(lonlat[:, 1]) > 90.0) & (np.abs(lonlat[:, 0]) <= 90.0)
    sound = known & ~swapped & (np.abs(lonlat[:, 1]) <= 90.0)
    if sound.any():
        centre = np.median(lonlat[sound], axis=0)
        as_is = _distance_m(lonlat, centre)
        exchanged = _distance_m(lonlat[:, ::-1], centre)
        swapped |= sound & (as_is > OUTLIER_M) & (exchanged < OUTLIER_M)
    if not swapped.any():
        return table, []
    fixed = np.where(swapped[:, None], lonlat[:, ::-1], lonlat)
    count = int(swapped.sum())
    return replace(table, lonlat=fixed), [
        Problem(
            code="coordinates_swapped",
            severity=Severity.WARNING,
            sentence=ngettext(
                "{count} photo had longitude and latitude exchanged (a latitude beyond 90° or a place far "
                "from the flight, which the exchange brings back): they were exchanged again.",
                "{count} photos had longitude and latitude exchanged (a latitude beyond 90° or a place far "
                "from the flight, which the exchange brings back): they were exchanged again.",
                count,
            ),
            frames=table.names_of(swapped),
        )
    ]


def _distance_m(lonlat: Floats, centre: Floats) -> Floats:
    """Return metres from `centre` on a local plane, accurate enough for kilometres."""
    d = (lonlat - centre) * EARTH_M_PER_DEG
    distance: Floats = np.hypot(d[:, 0] * np.cos(np.radians(centre[1])), d[:, 1])
    return distance


def _far_from_rest(lonlat: Floats, bad: Bools) -> Bools:
    """Return photos far from the middle photo of the flight.

    Over 20 km, or 20 times the usual distance up to 100 km.
    """
    far = np.zeros(len(lonlat), dtype=bool)
    good = np.flatnonzero(~bad)
    if good.size < 2:
        return far
    distance = _distance_m(lonlat[good], _middle_photo(lonlat[good]))
    spread = float(np.median(distance))
    far[good] = distance > np.clip(20.0 * spread, OUTLIER_M, 5.0 * OUTLIER_M)
    return far


def _middle_photo(lonlat: Floats) -> Floats:
    """Return the position nearest to most others, which no stray position can move.

    Of up to 256, evenly chosen.
    """
    some = lonlat[np.unique(np.linspace(0, len(lonlat) - 1, min(len(lonlat), 256)).astype(int))]
    d = (some[:, None] - some[None]) * EARTH_M_PER_DEG
    d[..., 0] *= np.cos(np.radians(some[:, None, 1]))
    middle: Floats = some[np.median(np.hypot(d[..., 0], d[..., 1]), axis=1).argmin()]
    return middle


def _position_problems(
    table: FlightTable, missing: Bools, zero: Bools, off_globe: Bools, far: Bools
) -> list[Problem]:
    total = len(table)
    cases = (
        (
            missing,
            "position_missing",
            ngettext(
                "{left_out} of {count} photo has no position; it is left out.",
                "{left_out} of {count} photos have no position; they are left out.",
                total,
                left_out=int(missing.sum()),
            ),
        ),
        (
            zero,
            "position_zero",
            ngettext(
                "{left_out} of {count} photo says (0, 0): the aircraft had no fix; it is left out.",
                "{left_out} of {count} photos say (0, 0): the aircraft had no fix; they are left out.",
                total,
                left_out=int(zero.sum()),
            ),
        ),
        (
            off_globe,
            "position_impossible",
            ngettext(
                "{left_out} of {count} photo has coordinates off the globe; it is left out.",
                "{left_out} of {count} photos have coordinates off the globe; they are left out.",
                total,
                left_out=int(off_globe.sum()),
            ),
        ),
        (
            far,
            "position_far",
            _(
                "{far} of {total} photos lie far from all others; they are left out.",
                far=int(far.sum()),
                total=total,
            ),
        ),
    )
    return [
        Problem(
            code=code,
            severity=Severity.ERROR if mask.all() else Severity.WARNING,
            sentence=sentence,
            frames=table.names_of(mask),
        )
        for mask, code, sentence in cases
        if mask.any()
    ]


def _frozen(table: FlightTable) -> list[Problem]:
    """Report successive photos at one position while time passes: the receiver hung."""
    if len(table) < 4:
        return []
    same = (np.diff(table.lonlat, axis=0) == 0).all(axis=1) & (np.diff(table.t_ns) > 0)
    if same.mean() < _FROZEN_SHARE:
        return []
    mask = np.concatenate([[False], same])
    return [
        Problem(
            code="position_frozen",
            severity=Severity.WARNING,
            sentence=ngettext(
                "{count} photo repeats the position of the one before although time passed: the aircraft "
                "stood still or its receiver hung; check it on the map.",
                "{count} photos repeat the position of the one before although time passed: the aircraft "
                "stood still or its receiver hung; check them on the map.",
                int(same.sum()),
            ),
            frames=table.names_of(mask),
        )
    ]
