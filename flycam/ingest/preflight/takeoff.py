"""Height of the take-off point with its sigma, from all available evidence.

The first photo is never taken for the take-off: a memory card may begin anywhere. Evidence: the operator's
statement; the log's HOME_POSITION; the aircraft's own absolute minus relative height, which a consumer
receiver gets wrong by up to 15 m; and the terrain within reach of the sortie's first and last photos.
"""

from __future__ import annotations

import numpy as np

from flycam.ingest.preflight.flight_table import CLEARANCE_M, Floats, SortieHeights
from flycam.messages import Message, _, ngettext
from flycam.model.diagnosis import Problem, Severity, Takeoff, TerrainAt
from flycam.model.flight import LOCAL_DATUM

# -- Detection of terrain in feet that is not marked as such ---------------------------------------
#
# Three kinds of evidence: the aircraft's own height of its take-off, which no ground in metres has; photos
# that would lie under the ground in metres and clear of it in feet; and an aircraft that followed the terrain
# with a third of its relief. Without any of them (a level flight, well above gentle ground, without altitude
# above sea) metres and feet look the same to telemetry.


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
            "The terrain seems to be in feet: around {first} its lowest ground is at "
            "{lowest:.0f}, while the aircraft took off at {takeoff_m:.0f} m: write the unit "
            "into the file (gdal_edit.py -units ft) and add it again, or give --takeoff if "
            "the terrain is right.",
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


# -- Height of the take-off point ------------------------------------------------------------------


SIGMA_OPERATOR_M = 1.0
SIGMA_TERRAIN_M = 3.0
# Altitudes of a consumer receiver jump by up to 15 m between flights.
SIGMA_GNSS_HEIGHT_M = 8.0
SIGMA_RTK_HEIGHT_M = 0.3
_REACH_M = (60.0, 400.0)
_RINGS = 6
_SPOKES = 16
_DISAGREE = 2.5
_HOME_RANGE_M = 15_000.0
_MAX_USEFUL_SIGMA_M = 15.0
"""Largest error of a consumer receiver: a comparison less certain than that confirms nothing."""


StatedTakeoff = float | tuple[float, float] | None
"""Stated by the operator: a height in the terrain's datum, or (lon, lat) degrees of the take-off point."""


def find_takeoff(
    sortie: SortieHeights,
    terrain_at: TerrainAt,
    stated: StatedTakeoff = None,
    home_lonlat: tuple[float, float] | None = None,
) -> tuple[Takeoff, list[Problem]]:
    """Return the sortie's take-off in the terrain's datum, and findings.

    `stated` beats `home_lonlat`, which beats the estimate. The estimate takes the more certain of (a) the
    aircraft's absolute minus relative height and (b) the terrain within reach, after both were compared; a
    contradiction beyond 2.5 sigma is reported and (b) then wins, since (a) is known to jump. Ground that is
    higher than an aircraft flew over it raises the height.
    """
    if isinstance(stated, float | int):
        __, datum = terrain_at(sortie.lonlat[:1])
        return _takeoff(sortie, float(stated), SIGMA_OPERATOR_M, datum, "operator"), []
    home = home_lonlat if home_lonlat is not None and _is_near(home_lonlat, sortie) else None
    point = stated if stated is not None else home
    if point is None:
        return _estimate(sortie, terrain_at)
    heights, datum = terrain_at(np.array([point], dtype=np.float64))
    if np.isfinite(heights[0]):
        how = "operator_point" if stated is not None else "home_position"
        return _takeoff(sortie, float(heights[0]), SIGMA_TERRAIN_M, datum, how), []
    found, problems = _estimate(sortie, terrain_at)
    return found, [_off_terrain(point), *problems]


def _is_near(lonlat: tuple[float, float], sortie: SortieHeights) -> bool:
    """Return True if a home can be this sortie's.

    A log of another place must not lend its home.
    """
    east, north = (np.median(sortie.lonlat, axis=0) - lonlat) * 111_195.0
    return bool(np.hypot(east * np.cos(np.radians(lonlat[1])), north) < _HOME_RANGE_M)


def assume_plane_takeoff(sortie: SortieHeights, reference_base_m: float | None) -> Takeoff:
    """Return a take-off without terrain, at height 0 of a LOCAL datum.

    Sorties after the first are placed by the difference of their zeros.
    """
    base = _base(sortie)
    known = reference_base_m is not None and np.isfinite(base)
    height = base - reference_base_m if known and reference_base_m is not None else 0.0
    return _takeoff(sortie, float(height), SIGMA_GNSS_HEIGHT_M, LOCAL_DATUM, "plane")


def _base(sortie: SortieHeights) -> float:
    difference = sortie.absolute_m - sortie.relative_m
    known = difference[np.isfinite(difference)]
    return float(np.median(known)) if known.size else float("nan")


def _takeoff(sortie: SortieHeights, height: float, sigma: float, datum: str, how: str) -> Takeoff:
    return Takeoff(height_m=height, sigma_m=sigma, datum=datum, how=how, frames=sortie.names)


def _estimate(sortie: SortieHeights, terrain_at: TerrainAt) -> tuple[Takeoff, list[Problem]]:
    around, datum = _terrain_within_reach(sortie, terrain_at)
    ground, ground_sigma = _middle_and_sigma(around)
    base, base_sigma = _base(sortie), SIGMA_RTK_HEIGHT_M if sortie.is_rtk else SIGMA_GNSS_HEIGHT_M
    problems: list[Problem] = []
    both = np.isfinite(base) and np.isfinite(ground)
    disagree = both and bool(abs(base - ground) > _DISAGREE * np.hypot(base_sigma, ground_sigma))
    use_ground = disagree or ground_sigma < base_sigma if both else bool(np.isfinite(ground))
    if both:
        sigmas = base_sigma, ground_sigma
        problems.append(_compared(sortie, base, ground, sigmas, disagree=disagree, use_ground=use_ground))
    problems += check_terrain_units(sortie, around, base, terrain_at(sortie.lonlat)[0])
    height, sigma = (ground, ground_sigma) if use_ground else (base, base_sigma)
    how = ("terrain_and_altitude" if both else "terrain") if use_ground else "altitude"
    if not np.isfinite(height):
        return _takeoff(sortie, float("nan"), float("nan"), datum, how), problems
    lowest = _lowest_possible(sortie, terrain_at)
    if lowest > height:
        problems.append(_raised(sortie, height, lowest))
        sigma = float(np.hypot(sigma, lowest - height))
        height = lowest
    return _takeoff(sortie, height, sigma, datum, how), problems


def _terrain_within_reach(sortie: SortieHeights, terrain_at: TerrainAt) -> tuple[Floats, str]:
    """Return known terrain heights near the first and last photo, and the datum.

    The aircraft climbs about as far as it travels, so reach is three relative heights, from 60 to 400 m.
    """
    first = sortie.relative_m[[0, -1]]
    reach = np.clip(3.0 * np.nan_to_num(first, nan=100.0), *_REACH_M)
    angle = np.linspace(0.0, 2.0 * np.pi, _SPOKES, endpoint=False)
    fraction = np.sqrt((np.arange(_RINGS) + 0.5) / _RINGS)
    disc = np.stack([np.outer(fraction, np.cos(angle)), np.outer(fraction, np.sin(angle))], -1).reshape(-1, 2)
    metres_per_deg = 111_195.0 * np.array([np.cos(np.radians(sortie.lonlat[0, 1])), 1.0])
    ends = sortie.lonlat[[0, -1]]
    points = (ends[:, None] + reach[:, None, None] * disc / metres_per_deg).reshape(-1, 2)
    heights, datum = terrain_at(points)
    return heights[np.isfinite(heights)], datum


def _middle_and_sigma(heights: Floats) -> tuple[float, float]:
    """Return median and 1-sigma; NaN without heights."""
    if not heights.size:
        return float("nan"), float("nan")
    low, middle, high = np.percentile(heights, [16.0, 50.0, 84.0])
    return float(middle), float(np.hypot((high - low) / 2.0, SIGMA_TERRAIN_M))


def _lowest_possible(sortie: SortieHeights, terrain_at: TerrainAt) -> float:
    """Return the lowest take-off that keeps 98 % of the photos above the ground."""
    ground, __ = terrain_at(sortie.lonlat)
    need = ground - sortie.relative_m
    need = need[np.isfinite(need)]
    return float(np.percentile(need, 98.0)) + CLEARANCE_M if need.size else float("-inf")


def _off_terrain(point: tuple[float, float]) -> Problem:
    place = f"{point[0]:.5f}, {point[1]:.5f}"
    return Problem(
        code="takeoff_off_terrain",
        severity=Severity.WARNING,
        sentence=_(
            "The take-off point {place} lies outside the known terrain: its height is estimated.", place=place
        ),
    )


def _compared(
    sortie: SortieHeights,
    base: float,
    ground: float,
    sigmas: tuple[float, float],
    *,
    disagree: bool,
    use_ground: bool,
) -> Problem:
    """Report both heights, whether they confirm each other, and which is used."""
    difference, sigma = base - ground, float(np.hypot(*sigmas))
    if disagree:
        verdict = _(
            "{sigmas:.1f} sigma apart, so the absolute altitude is not trusted",
            sigmas=abs(difference) / sigma,
        )
    elif sigma > _MAX_USEFUL_SIGMA_M:
        verdict = _("too uncertain for one to confirm the other")
    else:
        verdict = _("they agree within their errors")
    taken, taken_sigma = (ground, sigmas[1]) if use_ground else (base, sigmas[0])
    return Problem(
        code="altitude_off" if disagree else "takeoff_estimated",
        severity=Severity.WARNING if disagree else Severity.INFO,
        sentence=ngettext(
            "Take-off ({count} photo from {first}): absolute minus relative height says {stated_m:.1f} m, "
            "terrain within reach {terrain_m:.1f} m, difference {difference_m:+.1f} ± {sigma_m:.1f} m: "
            "{verdict}; taken from {source}: {height_m:.1f} ± {height_sigma_m:.1f} m.",
            "Take-off ({count} photos from {first}): absolute minus relative height says {stated_m:.1f} m, "
            "terrain within reach {terrain_m:.1f} m, difference {difference_m:+.1f} ± {sigma_m:.1f} m: "
            "{verdict}; taken from {source}: {height_m:.1f} ± {height_sigma_m:.1f} m.",
            len(sortie.names),
            first=sortie.names[0],
            stated_m=base,
            terrain_m=ground,
            difference_m=difference,
            sigma_m=sigma,
            verdict=verdict,
            source=_("the terrain") if use_ground else _("the altitudes"),
            height_m=taken,
            height_sigma_m=taken_sigma,
        ),
    )


def _raised(sortie: SortieHeights, height: float, lowest: float) -> Problem:
    return Problem(
        code="takeoff_raised",
        severity=Severity.WARNING,
        sentence=_(
            "A take-off at {height_m:.1f} m would put photos from {first} on under the ground: it was raised "
            "to {lowest_m:.1f} m; give --takeoff for a surer height.",
            height_m=height,
            first=sortie.names[0],
            lowest_m=lowest,
        ),
    )
