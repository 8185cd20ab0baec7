"""Detection of terrain in feet that is not marked as such, from the aircraft that flew over it.

Three kinds of evidence: the aircraft's own height of its take-off, which no ground in metres has; photos that
would lie under the ground in metres and clear of it in feet; and an aircraft that followed the terrain with a
third of its relief. Without any of them (a level flight, well above gentle ground, without altitude above
sea) metres and feet look the same to telemetry.
"""

from __future__ import annotations

import numpy as np

from flycam.ingest.preflight.diagnosis import Problem, Severity
from flycam.ingest.preflight.flight_table import Floats
from flycam.ingest.preflight.sortie_heights import CLEARANCE_M, SortieHeights
from flycam.messages import Message, _

FOOT_M = 0.3048
_MIN_OFFSET_M = 100.0
_SLACK_M = 25.0
_BURIED_M = 30.0
_MIN_PHOTOS = 8
_RELIEF = 60.0
_FOLLOWED_R2 = 0.9
_FOLLOWED_WITHIN = 0.2


def check_terrain_units(sortie: SortieHeights, around: Floats, base: float, below: Floats) -> list[Problem]:
    """Return at most one finding on terrain in feet.

    Terrain heights: `around` the take-off (M), `below` each photo (N, NaN unknown).

    base  the take-off's height by the aircraft (absolute minus relative), NaN where unknown

    The first kind of evidence is an ERROR, which stops an ingest; the others are suspicions.
    """
    if not around.size:
        return []
    if _took_off_in_feet(around, base):
        return [_certain(sortie, base, float(around.min()))]
    known = np.isfinite(below) & np.isfinite(sortie.relative_m)
    if np.isfinite(base) or known.sum() < _MIN_PHOTOS:
        return []
    ground, relative = below[known], sortie.relative_m[known]
    if _buried(around, ground, relative):
        return [_suspicion(sortie, _("photos would lie under it"))]
    if _followed_a_third(ground, relative):
        return [_suspicion(sortie, _("the aircraft followed it, but with a third of its relief"))]
    return []


def _took_off_in_feet(around: Floats, base: float) -> bool:
    """Return True if the take-off is off the ground in metres, and on it in feet.

    Only over ground where both readings are well apart.
    """
    low, high = float(around.min()), float(around.max())
    return bool(low - base > _MIN_OFFSET_M and FOOT_M * low - _SLACK_M <= base <= FOOT_M * high + _SLACK_M)


def _buried(around: Floats, ground: Floats, relative: Floats) -> bool:
    """Return True if photos lie deep under the ground in metres, and none in feet.

    In metres for a take-off from the highest ground within reach, in feet from its median.
    """
    deepest = float((ground - relative).max() - around.max())
    in_feet = float((FOOT_M * ground - relative).max() - FOOT_M * np.median(around))
    return deepest > _BURIED_M and in_feet < -CLEARANCE_M


def _followed_a_third(ground: Floats, relative: Floats) -> bool:
    """Return True if relative height follows the ground at the ratio foot to metre."""
    if np.ptp(np.percentile(ground, [10.0, 90.0])) < _RELIEF or np.ptp(relative) < FOOT_M * _RELIEF:
        return False
    slope = float(np.cov(ground, relative)[0, 1] / np.var(ground, ddof=1))
    r2 = float(np.corrcoef(ground, relative)[0, 1] ** 2)
    return r2 > _FOLLOWED_R2 and abs(slope / FOOT_M - 1.0) < _FOLLOWED_WITHIN


def _certain(sortie: SortieHeights, base: float, lowest: float) -> Problem:
    return Problem(
        code="terrain_in_feet",
        severity=Severity.ERROR,
        sentence=_(
            "The terrain seems to be in feet: around {first} its lowest ground stands at {lowest:.0f}, while "
            "the aircraft took off at {takeoff_m:.0f} m: write the unit into the file (gdal_edit.py -units "
            "ft) and add it again, or give --takeoff if the terrain is right.",
            first=sortie.names[0],
            lowest=lowest,
            takeoff_m=base,
        ),
    )


def _suspicion(sortie: SortieHeights, evidence: Message) -> Problem:
    return Problem(
        code="terrain_maybe_feet",
        severity=Severity.WARNING,
        sentence=_(
            "The terrain under the photos from {first} on may be in feet: {evidence}, while in feet "
            "everything fits; check its unit, and write it into the file (gdal_edit.py -units ft).",
            first=sortie.names[0],
            evidence=evidence,
        ),
        frames=sortie.names,
    )
