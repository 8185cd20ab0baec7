"""How high each photo was taken, in the datum of the terrain it will be laid on.

By default the height is the aircraft's height above take-off plus the ground at take-off. An altitude that
calls itself absolute is believed only after a check against the terrain; one that turns out to be the height
above take-off is used as such.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from flycam.frame.flight import LOCAL_DATUM, is_plane
from flycam.geodata.geoid import convert_height
from flycam.ingest.doctor.diagnosis import Problem, Severity, Takeoff, TerrainAt
from flycam.ingest.doctor.flight_table import Bools, FlightTable, Floats, Index
from flycam.ingest.doctor.sortie_heights import CLEARANCE_M, SortieHeights
from flycam.ingest.doctor.takeoff import SIGMA_GNSS_HEIGHT_M, TakeoffGiven, find_takeoff, plane_takeoff
from flycam.ingest.photo.metadata import Dialect

RTK_SINGLE, RTK_FLOAT, RTK_FIXED = 16, 34, 50
SIGMA_BARO_M = 1.0
SIGMA_BARO_SCALE = 0.015
"""A barometer set to the standard atmosphere errs by (T - T0) / T0: 1.5 % of the height for 4 kelvin."""

_SAME_M = 1.0
_HIGHEST_AGL_M = 3000.0
_HIGHEST_RELATIVE_M = 1500.0
_MOST = 0.9


class HeightMode(StrEnum):
    """Which of the heights a photo carries is used."""

    AUTO = "auto"
    RELATIVE = "relative"
    ABSOLUTE = "absolute"
    EXIF = "exif"


@dataclass(frozen=True, kw_only=True)
class Heights:
    """height_m N in `datum` (NaN: not known), sigma_m N, above_ground_m N (NaN: terrain not known);
    on_terrain N: counted from a take-off whose height was read off the terrain."""

    height_m: Floats
    sigma_m: Floats
    above_ground_m: Floats
    on_terrain: Bools
    datum: str
    takeoffs: tuple[Takeoff, ...]


TERRAIN_ELSEWHERE = "terrain_elsewhere"
TERRAIN_HOLE = "terrain_hole"
TERRAIN_PARTIAL = "terrain_partial"


def settle_heights(
    table: FlightTable,
    sorties: list[Index],
    terrain_at: TerrainAt | None,
    *,
    mode: HeightMode = HeightMode.AUTO,
    takeoff: TakeoffGiven = None,
    home_lonlat: tuple[float, float] | None = None,
) -> tuple[Heights, list[Problem]]:
    """Heights of all photos, sortie by sortie; terrain that lies elsewhere counts as none.

    Raises DatumUnknown where a datum cannot be converted.
    """
    problems = _exposed_exif(table)
    if problems and mode is not HeightMode.EXIF:
        table = replace(table, exif_m=np.full(len(table), np.nan))
    relative = table.relative_m
    if terrain_at is None:
        heights, found = _on_a_plane(table, sorties, relative, takeoff)
        return heights, problems + found
    ground, datum = terrain_at(table.lonlat)
    elsewhere = is_plane(datum) and bool(np.isnan(ground).all())
    problems += _terrain_elsewhere() if elsewhere else _without_ground(table, np.isnan(ground))
    if elsewhere:
        heights, found = _on_a_plane(table, sorties, relative, takeoff)
        return heights, problems + [one for one in found if one.severity is Severity.ERROR]
    absolute = _absolute_heights(table, datum, mode)
    height, sigma = np.full(len(table), np.nan), np.full(len(table), np.nan)
    on_terrain = np.zeros(len(table), dtype=bool)
    takeoffs: list[Takeoff] = []
    for rows in sorties:
        result = _Sortie(table, rows, relative, absolute, ground, terrain_at).settle(
            mode, takeoff, home_lonlat
        )
        height[rows], sigma[rows] = result.height_m, result.sigma_m
        on_terrain[rows] = any(one.is_on_terrain for one in result.takeoffs)
        takeoffs += result.takeoffs
        problems += result.problems
    return (
        Heights(
            height_m=height,
            sigma_m=sigma,
            above_ground_m=height - ground,
            on_terrain=on_terrain,
            datum=datum,
            takeoffs=tuple(takeoffs),
        ),
        problems,
    )


def _terrain_elsewhere() -> list[Problem]:
    return [
        Problem(
            code=TERRAIN_ELSEWHERE,
            severity=Severity.WARNING,
            sentence_en="The registered terrain lies elsewhere: under these photos the ground is taken as a "
            "plane at take-off height, so slopes and ridges will be displaced on the map; add terrain of "
            "that place with flycam dem add.",
            sentence_vi="Mô hình địa hình đã nạp là của nơi khác: dưới các ảnh này, mặt đất được coi là mặt "
            "phẳng ngang điểm cất cánh, nên sườn dốc và đỉnh núi sẽ bị lệch trên bản đồ; hãy nạp DEM của nơi "
            "đó bằng flycam dem add.",
        )
    ]


def _without_ground(table: FlightTable, unknown: Bools) -> list[Problem]:
    """Terrain is registered, but not under these photos."""
    if not unknown.any():
        return []
    count, total = int(unknown.sum()), len(table)
    return [
        Problem(
            code=TERRAIN_HOLE if unknown.all() else TERRAIN_PARTIAL,
            severity=Severity.ERROR if unknown.all() else Severity.WARNING,
            sentence_en=f"The registered terrain has no height under {count} of {total} photos: add terrain "
            "of that place with flycam dem add.",
            sentence_vi=f"Mô hình địa hình đã nạp không có độ cao dưới {count} trong {total} ảnh: hãy nạp "
            "DEM của nơi đó bằng flycam dem add.",
            frames=table.names_of(unknown),
        )
    ]


def _exposed_exif(table: FlightTable) -> list[Problem]:
    """An EXIF altitude that equals the height above take-off is exposed as no altitude above sea."""
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
            sentence_en=f"EXIF altitude equals the height above take-off (median difference "
            f"{float(np.median((exif - relative)[both])):+.1f} m over {int(both.sum())} photos): it is not "
            "read as height above sea.",
            sentence_vi=f"Độ cao EXIF trùng với độ cao so với điểm cất cánh (chênh trung vị "
            f"{float(np.median((exif - relative)[both])):+.1f} m trên {int(both.sum())} ảnh): không coi là "
            "độ cao so với mực nước biển.",
        )
    ]


def _absolute_heights(table: FlightTable, datum: str, mode: HeightMode) -> Floats:
    """Absolute heights in the terrain's datum: the maker's own field, else EXIF where there is none.

    RTK solutions and senseFly's EXIF are ellipsoidal; everything else is taken as EGM96.
    """
    rtk = table.rtk_flag >= RTK_FLOAT
    sensefly = np.array([p.dialect is Dialect.SENSEFLY for p in table.photos], dtype=bool)
    from_exif = np.isnan(table.absolute_m) | (mode is HeightMode.EXIF)
    if mode is HeightMode.ABSOLUTE:
        from_exif &= np.isnan(table.absolute_m)
    raw = np.where(from_exif, table.exif_m, table.absolute_m)
    ellipsoidal = rtk | (from_exif & sensefly)
    if is_plane(datum):
        return np.full(len(table), np.nan) if mode is HeightMode.AUTO else raw
    out = raw.copy()
    for mask, source in ((ellipsoidal, "ELLIPSOID"), (~ellipsoidal, "EGM96")):
        if mask.any():
            out[mask] = convert_height(raw[mask], table.lonlat[mask], source, datum)
    return out


def _completed(relative: Floats, absolute: Floats) -> Floats:
    """Heights above take-off of one sortie; a few that are missing follow from the absolute ones."""
    base = absolute - relative
    if not np.isfinite(base).any():
        return relative
    return np.where(np.isfinite(relative), relative, absolute - np.nanmedian(base))


@dataclass(frozen=True)
class _Settled:
    height_m: Floats
    sigma_m: Floats
    takeoffs: list[Takeoff]
    problems: list[Problem]


class _Sortie:
    """One sortie's heights with the terrain under them."""

    def __init__(
        self,
        table: FlightTable,
        rows: Index,
        relative: Floats,
        absolute: Floats,
        ground: Floats,
        terrain_at: TerrainAt,
    ) -> None:
        self.ground, self.terrain_at = ground[rows], terrain_at
        self.rtk_fixed = table.rtk_flag[rows] == RTK_FIXED
        self.rtk_std_m = table.rtk_std_m[rows, 2]
        self.part = SortieHeights(
            names=tuple(table.names[i] for i in rows),
            lonlat=table.lonlat[rows],
            relative_m=_completed(relative[rows], absolute[rows]),
            absolute_m=absolute[rows],
            is_rtk=bool(self.rtk_fixed.mean() > _MOST),
        )

    def settle(
        self, mode: HeightMode, takeoff: TakeoffGiven, home_lonlat: tuple[float, float] | None
    ) -> _Settled:
        if mode in (HeightMode.ABSOLUTE, HeightMode.EXIF):
            return self._absolute([])
        if mode is HeightMode.AUTO and self.part.is_rtk and self._clears(self.part.absolute_m):
            return self._absolute([self._accepted("rtk_altitude_accepted")])
        if np.isfinite(self.part.relative_m).mean() > 0.5 or mode is HeightMode.RELATIVE:
            return self._relative(self.part, takeoff, home_lonlat, [])
        if self._clears(self.part.absolute_m):
            return self._absolute([self._accepted("altitude_accepted")])
        return self._maybe_above_takeoff(takeoff, home_lonlat)

    def _clears(self, height: Floats) -> bool:
        """Whether nearly all photos would stand above the ground, and not absurdly high."""
        above = (height - self.ground)[np.isfinite(height - self.ground)]
        return bool(above.size and ((above > CLEARANCE_M) & (above < _HIGHEST_AGL_M)).mean() > _MOST)

    def _absolute(self, problems: list[Problem]) -> _Settled:
        fixed, plain = np.nan_to_num(self.rtk_std_m, nan=0.1), np.fmax(self.rtk_std_m, SIGMA_GNSS_HEIGHT_M)
        sigma = np.where(self.rtk_fixed, fixed, plain)
        return _Settled(self.part.absolute_m, sigma, [], problems)

    def _relative(
        self,
        part: SortieHeights,
        takeoff: TakeoffGiven,
        home_lonlat: tuple[float, float] | None,
        problems: list[Problem],
    ) -> _Settled:
        found, said = find_takeoff(part, self.terrain_at, takeoff, home_lonlat)
        height = found.height_m + part.relative_m
        sigma = np.sqrt(found.sigma_m**2 + SIGMA_BARO_M**2 + (SIGMA_BARO_SCALE * part.relative_m) ** 2)
        return _Settled(height, sigma, [found], problems + said)

    def _maybe_above_takeoff(
        self, takeoff: TakeoffGiven, home_lonlat: tuple[float, float] | None
    ) -> _Settled:
        """An altitude that would lie under the ground may be a height above take-off."""
        written = self.part.absolute_m
        as_relative = SortieHeights(
            names=self.part.names,
            lonlat=self.part.lonlat,
            relative_m=written,
            absolute_m=np.full_like(written, np.nan),
        )
        settled = self._relative(as_relative, takeoff, home_lonlat, [])
        plausible = np.nanmedian(written) < _HIGHEST_RELATIVE_M if np.isfinite(written).any() else False
        if plausible and self._clears(settled.height_m):
            below = float(np.nanmedian(written - self.ground))
            return _Settled(
                settled.height_m,
                settled.sigma_m,
                settled.takeoffs,
                [_above_takeoff(below), *settled.problems],
            )
        return _Settled(written, np.full_like(written, SIGMA_GNSS_HEIGHT_M), [], [])

    def _accepted(self, code: str) -> Problem:
        above = (self.part.absolute_m - self.ground)[np.isfinite(self.ground)]
        low, high = np.nanpercentile(above, [5.0, 95.0])
        return Problem(
            code=code,
            severity=Severity.INFO,
            sentence_en=f"Absolute altitude from {self.part.names[0]} on is accepted: it stands {low:.0f} to "
            f"{high:.0f} m above the terrain.",
            sentence_vi=f"Độ cao tuyệt đối từ {self.part.names[0]} trở đi được chấp nhận: cao hơn địa hình "
            f"{low:.0f} đến {high:.0f} m.",
        )


def _above_takeoff(below: float) -> Problem:
    return Problem(
        code="altitude_is_above_takeoff",
        severity=Severity.WARNING,
        sentence_en=f"The altitude that calls itself absolute lies {-below:.0f} m under the ground: it is "
        "read as height above take-off.",
        sentence_vi=f"Độ cao gọi là tuyệt đối lại thấp hơn mặt đất {-below:.0f} m: hiểu là độ cao so với "
        "điểm cất cánh.",
    )


def _on_a_plane(
    table: FlightTable, sorties: list[Index], relative: Floats, takeoff: TakeoffGiven
) -> tuple[Heights, list[Problem]]:
    """No terrain: a plane at take-off, height 0 of a LOCAL datum."""
    height, sigma = np.full(len(table), np.nan), np.full(len(table), np.nan)
    takeoffs: list[Takeoff] = []
    absolute = np.where(np.isfinite(table.absolute_m), table.absolute_m, table.exif_m)
    given = float(takeoff) if isinstance(takeoff, float | int) else None
    reference: float | None = given
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
        found = plane_takeoff(part, reference if given is None else None)
        from_absolute = part.absolute_m - given if given is not None else np.full(len(rows), np.nan)
        height[rows] = np.where(np.isfinite(part.relative_m), found.height_m + part.relative_m, from_absolute)
        sigma[rows] = np.hypot(SIGMA_GNSS_HEIGHT_M, SIGMA_BARO_SCALE * np.nan_to_num(height[rows]))
        takeoffs.append(found)
    return (
        Heights(
            height_m=height,
            sigma_m=sigma,
            above_ground_m=height.copy(),
            on_terrain=np.zeros(len(table), dtype=bool),
            datum=LOCAL_DATUM,
            takeoffs=tuple(takeoffs),
        ),
        [_no_terrain(np.isnan(height))],
    )


def _no_terrain(unknown: Bools) -> Problem:
    if unknown.all():
        return Problem(
            code="height_unknown",
            severity=Severity.ERROR,
            sentence_en="No terrain is registered and the photos say no height above take-off: register a "
            "DEM (flycam dem add) or give --takeoff with the ground's height.",
            sentence_vi="Chưa có mô hình địa hình và ảnh không ghi độ cao so với điểm cất cánh: hãy nạp DEM "
            "(flycam dem add) hoặc nhập --takeoff là độ cao mặt đất.",
        )
    return Problem(
        code="no_terrain",
        severity=Severity.WARNING,
        sentence_en="No terrain is registered: the ground is taken as a plane at take-off height, so "
        "slopes and ridges will be displaced on the map; register a DEM (flycam dem add).",
        sentence_vi="Chưa có mô hình địa hình: coi mặt đất là mặt phẳng ngang điểm cất cánh, nên sườn dốc "
        "và đỉnh núi sẽ bị lệch trên bản đồ; hãy nạp DEM (flycam dem add).",
    )
