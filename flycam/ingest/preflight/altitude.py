"""Camera heights and positions of photos, checked and resolved.

Heights are in the datum of the terrain on which the photos will be orthorectified.

By default the height is the height above take-off plus the ground at take-off. An altitude that calls itself
absolute is accepted only after a check against the terrain; one that turns out to be the height above
take-off is used as such. Image motion decides over whatever is written: a reading that it contradicts by a
fifth would give a mosaic of the wrong scale, and is replaced by the height that the images show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from flycam.errors import PoseRejected, PositionUnknown
from flycam.geodata.geoid import convert_height
from flycam.ingest.photos.xmp import Dialect
from flycam.ingest.preflight.flight_table import (
    CLEARANCE_M,
    Bools,
    FlightTable,
    Floats,
    Index,
    SortieHeights,
    report_rows,
)
from flycam.ingest.preflight.flying_height import FlyingHeights, make_unknown_heights
from flycam.ingest.preflight.takeoff import (
    SIGMA_GNSS_HEIGHT_M,
    StatedTakeoff,
    assume_plane_takeoff,
    find_takeoff,
)
from flycam.messages import _, ngettext
from flycam.model.diagnosis import Problem, Rejection, Severity, Takeoff, TerrainAt
from flycam.model.flight import LOCAL_DATUM, is_flat_datum

RTK_SINGLE, RTK_FLOAT, RTK_FIXED = 16, 34, 50
SIGMA_BARO_M = 1.0
SIGMA_BARO_SCALE = 0.015
"""Error of a barometer set to the standard atmosphere, (T - T0) / T0: 1.5 % of the height for 4 kelvin."""
# height of a fixed solution that states no sigma
_SIGMA_RTK_ABSOLUTE_M = 0.1

_SAME_M = 1.0
_MAX_AGL_M = 3000.0
_MAX_RELATIVE_M = 1500.0
_MIN_CONSISTENT_SHARE = 0.9
_CONTRADICTED = 1.2
_SURE_SIGMAS = 2.0
_SOME = 0.25
"""Share of contradicted photos above which a reading is rejected for all."""
_M_PER_DEG = 111_195.0


class HeightMode(StrEnum):
    """Choice among the heights that a photo carries."""

    AUTO = "auto"
    RELATIVE = "relative"
    ABSOLUTE = "absolute"
    EXIF = "exif"


@dataclass(frozen=True, kw_only=True)
class CameraHeights:
    """Resolved camera heights of N photos.

    height_m        N in `datum`, NaN: not known; sigma_m N
    above_ground_m  N, NaN: terrain not known
    on_terrain      N: relative to ground whose height was read off the terrain
    from_images     N: the height above ground that the images show
    """

    height_m: Floats
    sigma_m: Floats
    above_ground_m: Floats
    on_terrain: Bools
    from_images: Bools
    datum: str
    takeoffs: tuple[Takeoff, ...]


NO_TERRAIN = "no_terrain"
TERRAIN_DISJOINT = "terrain_elsewhere"
TERRAIN_HOLE = "terrain_hole"
TERRAIN_PARTIAL = "terrain_partial"


def resolve_heights(
    table: FlightTable,
    sorties: list[Index],
    terrain_at: TerrainAt | None,
    *,
    mode: HeightMode = HeightMode.AUTO,
    takeoff: StatedTakeoff = None,
    home_lonlat: tuple[float, float] | None = None,
    seen: FlyingHeights | None = None,
) -> tuple[CameraHeights, list[Problem]]:
    """Resolve the heights of all photos, sortie by sortie.

    Terrain that lies elsewhere counts as none.

    seen  heights above ground that the images show; None: not estimated

    Raises DatumUnknown where a datum cannot be converted.
    """
    seen = make_unknown_heights(len(table)) if seen is None else seen
    problems = _exposed_exif(table)
    if problems and mode is not HeightMode.EXIF:
        table = replace(table, exif_m=np.full(len(table), np.nan))
    if mode is HeightMode.RELATIVE and not np.isfinite(table.relative_m).any():
        unknown = np.full(len(table), np.nan)
        table = replace(table, relative_m=_altitudes(table), absolute_m=unknown, exif_m=unknown)
    relative = table.relative_m
    if terrain_at is None:
        heights, found = _on_a_plane(table, sorties, relative, takeoff, seen)
        return heights, problems + found
    ground, datum = terrain_at(table.lonlat)
    elsewhere = is_flat_datum(datum) and bool(np.isnan(ground).all())
    problems += _terrain_elsewhere() if elsewhere else _without_ground(table, np.isnan(ground))
    if elsewhere:
        heights, found = _on_a_plane(table, sorties, relative, takeoff, seen)
        return heights, problems + [one for one in found if one.code != NO_TERRAIN]
    absolute = _absolute_heights(table, datum, mode)
    pictured = _on_the_ground(table, seen, terrain_at)
    height, sigma = np.full(len(table), np.nan), np.full(len(table), np.nan)
    on_terrain, from_pictures = np.zeros(len(table), dtype=bool), np.zeros(len(table), dtype=bool)
    takeoffs: list[Takeoff] = []
    for rows in sorties:
        sortie = _Sortie(table, rows, relative, absolute, ground, terrain_at, pictured)
        result = sortie.settle(mode, takeoff, home_lonlat)
        height[rows], sigma[rows], from_pictures[rows] = result.height_m, result.sigma_m, result.from_pictures
        on_terrain[rows] = result.from_pictures | any(one.is_on_terrain for one in result.takeoffs)
        takeoffs += result.takeoffs
        problems += result.problems
    return (
        CameraHeights(
            height_m=height,
            sigma_m=sigma,
            above_ground_m=height - ground,
            on_terrain=on_terrain,
            from_images=from_pictures,
            datum=datum,
            takeoffs=tuple(takeoffs),
        ),
        problems,
    )


@dataclass(frozen=True)
class _ImageHeights:
    """Heights of N photos as their images show them.

    Heights in the terrain's datum and their sigma (NaN: unknown), the ground that they refer to, and whether
    the photo itself was measured.
    """

    height_m: Floats
    sigma_m: Floats
    ground_m: Floats
    measured: Bools

    def at(self, rows: Index) -> _ImageHeights:
        """Return the heights of some photos."""
        return _ImageHeights(
            self.height_m[rows], self.sigma_m[rows], self.ground_m[rows], self.measured[rows]
        )

    def contradicts(self, height: Floats) -> Bools:
        """Return where heights N would give a scale that is surely off by over a fifth."""
        above, shown = height - self.ground_m, self.height_m - self.ground_m
        with np.errstate(invalid="ignore"):
            off = (above > _CONTRADICTED * shown) | (_CONTRADICTED * above < shown)
            sure: Bools = off & (np.abs(above - shown) > _SURE_SIGMAS * self.sigma_m) & self.measured
        return sure

    def prevails(self, height: Floats, share: float) -> bool:
        """Return True if more than a share of the measured photos contradicts heights N."""
        judged = self.measured & np.isfinite(self.height_m)
        return bool(judged.any() and self.contradicts(height)[judged].mean() > share)

    def replace(self, settled: _HeightReading, names: tuple[str, ...], *, is_word: bool) -> _HeightReading:
        """Replace a reading by image heights where they contradict it or it has none.

        is_word  the operator gave it: where it puts photos under the ground it is a mistake for the operator
                 to correct
        """
        known, read = np.isfinite(self.height_m), np.isfinite(settled.height_m)
        missing, against = known & ~read, self.contradicts(settled.height_m)
        problems, takeoffs = settled.problems, settled.takeoffs
        # for all photos alike: a step between neighbours would be a seam
        if self.prevails(settled.height_m, _SOME):
            against = known & read
            problems = [one for one in problems if one.severity is not Severity.INFO]
            takeoffs = [] if against.all() else takeoffs
        if is_word:
            against = against & (settled.height_m > self.ground_m)
        replaced = missing | against
        if not replaced.any():
            return settled
        new_problems = [
            tell(
                tuple(name for name, one in zip(names, rows.tolist(), strict=True) if one),
                (self.height_m - self.ground_m)[rows],
                self.sigma_m[rows],
                (settled.height_m - self.ground_m)[rows],
            )
            for rows, tell in ((against, _contradicted), (missing, _image_height_problem))
            if rows.any()
        ]
        return _HeightReading(
            np.where(replaced, self.height_m, settled.height_m),
            np.where(replaced, self.sigma_m, settled.sigma_m),
            takeoffs,
            [*problems, *new_problems],
            replaced,
        )


def _on_the_ground(table: FlightTable, seen: FlyingHeights, terrain_at: TerrainAt) -> _ImageHeights:
    """Return the heights that the images show, on the terrain that they show."""
    across = np.cos(np.radians(table.lonlat[:, 1:]))
    shown = table.lonlat + seen.visible_m / _M_PER_DEG / np.hstack([across, np.ones_like(across)])
    ground = np.full(len(table), np.nan)
    known = np.isfinite(shown).all(axis=1)
    if known.any():
        ground[known], __ = terrain_at(shown[known])
    return _ImageHeights(ground + seen.above_ground_m, seen.sigma_m, ground, seen.measured)


def _terrain_elsewhere() -> list[Problem]:
    return [
        Problem(
            code=TERRAIN_DISJOINT,
            severity=Severity.WARNING,
            sentence=_(
                "The registered terrain lies elsewhere: under these photos the ground is taken as a plane at "
                "take-off height, so slopes and ridges will be displaced on the map; add terrain of that "
                "place with flycam dem add."
            ),
        )
    ]


def _without_ground(table: FlightTable, unknown: Bools) -> list[Problem]:
    """Report photos outside the registered terrain."""
    count, total = int(unknown.sum()), len(table)
    return report_rows(
        table.names,
        unknown,
        TERRAIN_HOLE if unknown.all() else TERRAIN_PARTIAL,
        Severity.ERROR if unknown.all() else Severity.WARNING,
        ngettext(
            "The registered terrain has no height under {unknown} of {count} photo: add terrain of that "
            "place with flycam dem add.",
            "The registered terrain has no height under {unknown} of {count} photos: add terrain of that "
            "place with flycam dem add.",
            total,
            unknown=count,
        ),
    )


def _exposed_exif(table: FlightTable) -> list[Problem]:
    """Report an EXIF altitude that equals the height above take-off.

    It is then not an altitude above sea.
    """
    relative, exif = table.relative_m, table.exif_m
    both = np.isfinite(relative) & np.isfinite(exif)
    if both.sum() < 1 or np.median(np.abs(exif - relative)[both]) > _SAME_M:
        return []
    if np.isfinite(table.absolute_m).any() and np.nanmedian(np.abs(table.absolute_m - exif)) < _SAME_M:
        return []
    return [
        Problem(
            code="exif_altitude_is_relative",
            severity=Severity.INFO,
            sentence=ngettext(
                "EXIF altitude equals the height above take-off (median difference {difference_m:+.1f} m "
                "over {count} photo): it is not read as height above sea.",
                "EXIF altitude equals the height above take-off (median difference {difference_m:+.1f} m "
                "over {count} photos): it is not read as height above sea.",
                int(both.sum()),
                difference_m=float(np.median((exif - relative)[both])),
            ),
        )
    ]


def _absolute_heights(table: FlightTable, datum: str, mode: HeightMode) -> Floats:
    """Return absolute heights in the terrain's datum, from the maker's field or EXIF.

    RTK solutions and senseFly's EXIF are ellipsoidal; everything else is taken as EGM96.
    """
    rtk = table.rtk_flag >= RTK_FLOAT
    sensefly = np.array([p.dialect is Dialect.SENSEFLY for p in table.photos], dtype=bool)
    from_exif = np.isnan(table.absolute_m) | (mode is HeightMode.EXIF)
    raw = np.where(from_exif, table.exif_m, table.absolute_m)
    ellipsoidal = rtk | (from_exif & sensefly)
    if is_flat_datum(datum):
        return np.full(len(table), np.nan) if mode is HeightMode.AUTO else raw
    out = raw.copy()
    for mask, source in ((ellipsoidal, "ELLIPSOID"), (~ellipsoidal, "EGM96")):
        if mask.any():
            out[mask] = convert_height(raw[mask], table.lonlat[mask], source, datum)
    return out


def _completed(relative: Floats, absolute: Floats) -> Floats:
    """Return one sortie's heights above take-off, gaps filled from absolute heights."""
    base = absolute - relative
    if not np.isfinite(base).any():
        return relative
    return np.where(np.isfinite(relative), relative, absolute - np.nanmedian(base))


@dataclass(frozen=True)
class _HeightReading:
    """Reading of one sortie's heights, N; from_pictures: which come from the images."""

    height_m: Floats
    sigma_m: Floats
    takeoffs: list[Takeoff]
    problems: list[Problem]
    from_pictures: Bools | bool = False


class _Sortie:
    """Heights of one sortie with the terrain under them."""

    def __init__(
        self,
        table: FlightTable,
        rows: Index,
        relative: Floats,
        absolute: Floats,
        ground: Floats,
        terrain_at: TerrainAt,
        pictured: _ImageHeights,
    ) -> None:
        self.ground, self.terrain_at, self.pictured = ground[rows], terrain_at, pictured.at(rows)
        self.rtk_fixed = table.rtk_flag[rows] == RTK_FIXED
        self.rtk_std_m = table.rtk_std_m[rows, 2]
        self.part = SortieHeights(
            names=tuple(table.names[i] for i in rows),
            lonlat=table.lonlat[rows],
            relative_m=_completed(relative[rows], absolute[rows]),
            absolute_m=absolute[rows],
            is_rtk=bool(self.rtk_fixed.mean() > _MIN_CONSISTENT_SHARE),
        )

    def settle(
        self, mode: HeightMode, takeoff: StatedTakeoff, home_lonlat: tuple[float, float] | None
    ) -> _HeightReading:
        """Return the first reading that the images do not contradict, corrected by them."""
        readings = self._readings(mode, takeoff, home_lonlat)
        first = next(readings)
        chosen = first
        is_word = takeoff is not None or mode is not HeightMode.AUTO
        if self._is_against(first) and not is_word:
            chosen = next((one for one in readings if not self._is_against(one)), first)
        return self.pictured.replace(chosen, self.part.names, is_word=is_word)

    def _readings(
        self, mode: HeightMode, takeoff: StatedTakeoff, home_lonlat: tuple[float, float] | None
    ) -> Iterator[_HeightReading]:
        """Yield readings of the written heights, the likeliest first; at least one."""
        if mode in (HeightMode.ABSOLUTE, HeightMode.EXIF):
            yield self._absolute([])
            return
        clears = self._clears(self.part.absolute_m)
        if mode is HeightMode.AUTO and self.part.is_rtk and clears:
            yield self._absolute([self._accepted("rtk_altitude_accepted")])
        has_relative = np.isfinite(self.part.relative_m).mean() > 0.5
        if has_relative or mode is HeightMode.RELATIVE:
            yield self._relative(self.part, takeoff, home_lonlat, [])
        if mode is HeightMode.RELATIVE:
            return
        if clears:
            yield self._absolute([self._accepted("altitude_accepted")])
        if not has_relative:
            yield from self._above_takeoff(takeoff, home_lonlat)
            yield self._absolute([])

    def _is_against(self, reading: _HeightReading) -> bool:
        """Return True if the images contradict a reading."""
        return self.pictured.prevails(reading.height_m, _SOME)

    def _clears(self, height: Floats) -> bool:
        """Return True if nearly all photos lie above the ground, and not absurdly high."""
        above = (height - self.ground)[np.isfinite(height - self.ground)]
        return bool(
            above.size and ((above > CLEARANCE_M) & (above < _MAX_AGL_M)).mean() > _MIN_CONSISTENT_SHARE
        )

    def _absolute(self, problems: list[Problem]) -> _HeightReading:
        # a stated sigma does not cover jumps between flights, unless the solution is fixed
        fixed, plain = (
            np.nan_to_num(self.rtk_std_m, nan=_SIGMA_RTK_ABSOLUTE_M),
            np.fmax(self.rtk_std_m, SIGMA_GNSS_HEIGHT_M),
        )
        sigma = np.where(self.rtk_fixed, fixed, plain)
        return _HeightReading(self.part.absolute_m, sigma, [], problems)

    def _relative(
        self,
        part: SortieHeights,
        takeoff: StatedTakeoff,
        home_lonlat: tuple[float, float] | None,
        problems: list[Problem],
    ) -> _HeightReading:
        found, takeoff_problems = find_takeoff(part, self.terrain_at, takeoff, home_lonlat)
        height = found.height_m + part.relative_m
        sigma = np.sqrt(found.sigma_m**2 + SIGMA_BARO_M**2 + (SIGMA_BARO_SCALE * part.relative_m) ** 2)
        return _HeightReading(height, sigma, [found], problems + takeoff_problems)

    def _above_takeoff(
        self, takeoff: StatedTakeoff, home_lonlat: tuple[float, float] | None
    ) -> Iterator[_HeightReading]:
        """Yield a reading of an underground altitude as height above take-off.

        Only if it would clear the ground so.
        """
        written = self.part.absolute_m
        below = _depth_of_altitude_m(written, written - self.ground)
        if not below > 0.0:
            return
        as_relative = replace(self.part, relative_m=written, absolute_m=np.full_like(written, np.nan))
        settled = self._relative(as_relative, takeoff, home_lonlat, [_above_takeoff(below)])
        if self._clears(settled.height_m):
            yield settled

    def _accepted(self, code: str) -> Problem:
        above = (self.part.absolute_m - self.ground)[np.isfinite(self.ground)]
        low, high = np.nanpercentile(above, [5.0, 95.0])
        return Problem(
            code=code,
            severity=Severity.INFO,
            sentence=_(
                "Absolute altitude from {first} on is accepted: it is {lowest_m:.0f} to "
                "{highest_m:.0f} m above the terrain.",
                first=self.part.names[0],
                lowest_m=low,
                highest_m=high,
            ),
        )


def _altitudes(table: FlightTable) -> Floats:
    """Return what photos write as altitude above sea: the maker's field, else EXIF."""
    return np.where(np.isfinite(table.absolute_m), table.absolute_m, table.exif_m)


def _depth_of_altitude_m(written: Floats, above_ground: Floats) -> float:
    """Return how far under the ground altitudes lie that may be heights above take-off; NaN: they may not."""
    if not np.isfinite(above_ground).any() or not CLEARANCE_M < np.nanmedian(written) < _MAX_RELATIVE_M:
        return np.nan
    return -float(np.nanmedian(above_ground))


def _above_takeoff(below: float) -> Problem:
    return Problem(
        code="altitude_is_above_takeoff",
        severity=Severity.WARNING,
        sentence=_(
            "The altitude that calls itself absolute lies {depth_m:.0f} m under the ground: it is read as "
            "height above take-off.",
            depth_m=below,
        ),
    )


def _image_height_problem(names: tuple[str, ...], shown: Floats, sigma: Floats, __: Floats) -> Problem:
    low, middle, high = np.percentile(shown, [5.0, 50.0, 95.0])
    error = float(np.median(sigma))
    return Problem(
        code="height_from_pictures",
        severity=Severity.WARNING,
        sentence=ngettext(
            "{count} photo does not say how high above the ground it was taken: that is found from how the "
            "ground moves in the pictures between their positions, {height_m:.0f} ± {sigma_m:.0f} m "
            "({lowest_m:.0f} to {highest_m:.0f} m).",
            "{count} photos do not say how high above the ground they were taken: that is found from how the "
            "ground moves in the pictures between their positions, {height_m:.0f} ± {sigma_m:.0f} m "
            "({lowest_m:.0f} to {highest_m:.0f} m).",
            len(names),
            height_m=middle,
            sigma_m=error,
            lowest_m=low,
            highest_m=high,
        ),
        frames=names,
    )


def _contradicted(names: tuple[str, ...], shown: Floats, sigma: Floats, read: Floats) -> Problem:
    written, middle, error = float(np.median(read)), float(np.median(shown)), float(np.median(sigma))
    return Problem(
        code="height_contradicted",
        severity=Severity.WARNING,
        sentence=ngettext(
            "{count} photo from {first} on is {written_m:.0f} m above the ground by its "
            "altitude, but the ground moves in it as seen from {height_m:.0f} ± "
            "{sigma_m:.0f} m: that height is used.",
            "{count} photos from {first} on are {written_m:.0f} m above the ground by their "
            "altitudes, but the ground moves in them as seen from {height_m:.0f} ± "
            "{sigma_m:.0f} m: that height is used.",
            len(names),
            first=names[0],
            written_m=written,
            height_m=middle,
            sigma_m=error,
        ),
        frames=names,
    )


def _on_a_plane(
    table: FlightTable, sorties: list[Index], relative: Floats, takeoff: StatedTakeoff, seen: FlyingHeights
) -> tuple[CameraHeights, list[Problem]]:
    """Resolve heights without terrain, on a plane at take-off.

    The plane is height 0 of a LOCAL datum; for photos whose height above it only the images show it is the
    plane of the ground itself.
    """
    height, sigma = np.full(len(table), np.nan), np.full(len(table), np.nan)
    from_pictures = np.zeros(len(table), dtype=bool)
    takeoffs: list[Takeoff] = []
    problems: list[Problem] = []
    pictured = _ImageHeights(seen.above_ground_m, seen.sigma_m, np.zeros(len(table)), seen.measured)
    absolute = _altitudes(table)
    stated_m = float(takeoff) if isinstance(takeoff, float | int) else None
    reference: float | None = stated_m
    for rows in sorties:
        part = SortieHeights(
            names=tuple(table.names[i] for i in rows),
            lonlat=table.lonlat[rows],
            relative_m=relative[rows],
            absolute_m=absolute[rows],
        )
        base = part.absolute_m - part.relative_m
        if np.isfinite(base).any():
            reference = float(np.nanmedian(base)) if reference is None else reference
        found = assume_plane_takeoff(part, reference if stated_m is None else None)
        from_absolute = part.absolute_m - stated_m if stated_m is not None else np.full(len(rows), np.nan)
        read_problems: list[Problem] = []
        below = _depth_of_altitude_m(part.absolute_m, from_absolute)
        if below > 0.0 and not np.isfinite(part.relative_m).any():
            from_absolute, read_problems = part.absolute_m, [_above_takeoff(below)]
        read = np.where(np.isfinite(part.relative_m), found.height_m + part.relative_m, from_absolute)
        doubt = np.hypot(SIGMA_GNSS_HEIGHT_M, SIGMA_BARO_SCALE * np.nan_to_num(read))
        reading = _HeightReading(read, doubt, [found], read_problems)
        merged = pictured.at(rows).replace(reading, part.names, is_word=stated_m is not None)
        height[rows], sigma[rows], from_pictures[rows] = merged.height_m, merged.sigma_m, merged.from_pictures
        takeoffs.append(found)
        problems += merged.problems
    return (
        CameraHeights(
            height_m=height,
            sigma_m=sigma,
            above_ground_m=height.copy(),
            on_terrain=np.zeros(len(table), dtype=bool),
            from_images=from_pictures,
            datum=LOCAL_DATUM,
            takeoffs=tuple(takeoffs),
        ),
        [_no_terrain(np.isnan(height)), *problems],
    )


def _no_terrain(unknown: Bools) -> Problem:
    if unknown.all():
        return Problem(
            code="height_unknown",
            severity=Severity.ERROR,
            sentence=_(
                "No terrain is registered, the photos say no height above take-off, and no motion of the "
                "ground in their pictures tells it: register a DEM (flycam dem add) or give --takeoff with "
                "the ground's height."
            ),
        )
    return Problem(
        code=NO_TERRAIN,
        severity=Severity.WARNING,
        sentence=_(
            "No terrain is registered: the ground is taken as a plane at take-off height, so slopes and "
            "ridges will be displaced on the map; register a DEM (flycam dem add)."
        ),
    )


# -- Check of positions: zero, swapped, off the globe, far away, frozen ----------------------------


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
    return replace(table, lonlat=fixed), report_rows(
        table.names,
        swapped,
        "coordinates_swapped",
        Severity.WARNING,
        ngettext(
            "{count} photo had longitude and latitude exchanged (a latitude beyond 90° or a place far "
            "from the flight, which the exchange brings back): they were exchanged again.",
            "{count} photos had longitude and latitude exchanged (a latitude beyond 90° or a place far "
            "from the flight, which the exchange brings back): they were exchanged again.",
            int(swapped.sum()),
        ),
    )


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
                "{count} of {total} photos has no position; it is left out.",
                "{count} of {total} photos have no position; they are left out.",
                int(missing.sum()),
                total=total,
            ),
        ),
        (
            zero,
            "position_zero",
            ngettext(
                "{count} of {total} photos says (0, 0): the aircraft had no fix; it is left out.",
                "{count} of {total} photos say (0, 0): the aircraft had no fix; they are left out.",
                int(zero.sum()),
                total=total,
            ),
        ),
        (
            off_globe,
            "position_impossible",
            ngettext(
                "{count} of {total} photos has coordinates off the globe; it is left out.",
                "{count} of {total} photos have coordinates off the globe; they are left out.",
                int(off_globe.sum()),
                total=total,
            ),
        ),
        (
            far,
            "position_far",
            ngettext(
                "{count} of {total} photos lies far from all others; it is left out.",
                "{count} of {total} photos lie far from all others; they are left out.",
                int(far.sum()),
                total=total,
            ),
        ),
    )
    return [
        problem
        for mask, code, sentence in cases
        for problem in report_rows(
            table.names, mask, code, Severity.ERROR if mask.all() else Severity.WARNING, sentence
        )
    ]


def _frozen(table: FlightTable) -> list[Problem]:
    """Report successive photos at one position while time passes: the receiver hung."""
    if len(table) < 4:
        return []
    same = (np.diff(table.lonlat, axis=0) == 0).all(axis=1) & (np.diff(table.t_ns) > 0)
    if same.mean() < _FROZEN_SHARE:
        return []
    mask = np.concatenate([[False], same])
    return report_rows(
        table.names,
        mask,
        "position_frozen",
        Severity.WARNING,
        ngettext(
            "{count} photo repeats the position of the one before although time passed: the aircraft "
            "stood still or its receiver hung; check it on the map.",
            "{count} photos repeat the position of the one before although time passed: the aircraft "
            "stood still or its receiver hung; check them on the map.",
            int(same.sum()),
        ),
    )
