"""Coordinate reference systems, VN-2000 zones and grid lines, by PROJ.

This is the only module that calls PROJ. Axis order is always (east or lon, north or lat). Longitudes and
latitudes are WGS 84 degrees.

PROJ picks a transformation by itself, and where a grid is missing it silently takes a poorer one. Here a
ballpark transformation is never allowed (`allow_ballpark=False`): PROJ raises instead. VN-2000 is further
pinned to one named transformation, because the registry offers two that differ by 0.7 m.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Proj, Transformer, proj_version_str
from pyproj.exceptions import CRSError, ProjError
from pyproj.network import set_network_enabled  # type: ignore[attr-defined]  # it lists nothing
from pyproj.transformer import TransformerGroup

from flycam.errors import CrsMissing, InputUnusable
from flycam.geometry.grid import PlanarMap, fit_planar_map, mercator_to_lonlat
from flycam.messages import Message, _

# -- VN-2000 3-degree zone of a place, by law that of its province ---------------------------------
#
# A commune's official code (Decision 124/2004/QD-TTg) shows the province that numbered it, and communes keep
# one of their codes when units are merged. So the zone is that of the province in which the ground was
# surveyed, also where provinces were joined in 2025: its printed maps and land records are in that zone.


_ZONES = {
    102.0: 5896,
    103.0: 9205,
    104.0: 9206,
    104.5: 9207,
    104.75: 9208,
    105.0: 5897,
    105.5: 9209,
    105.75: 9210,
    106.0: 9211,
    106.25: 9212,
    106.5: 9213,
    107.0: 9214,
    107.25: 9215,
    107.5: 9216,
    107.75: 5899,
    108.0: 5898,
    108.25: 9217,
    108.5: 9218,
}
"""EPSG code of the zone by its central meridian, degrees."""


@dataclass(frozen=True, slots=True)
class Province:
    """A province, the range of its communes' codes, and its central meridian."""

    name: str
    first: int
    last: int
    meridian_deg: float


_PROVINCES = (
    Province("Hà Nội", 1, 687, 105.0),
    Province("Hà Giang", 688, 1266, 105.5),
    Province("Cao Bằng", 1267, 1833, 105.75),
    Province("Bắc Kạn", 1834, 2199, 106.5),
    Province("Tuyên Quang", 2200, 2634, 106.0),
    Province("Lào Cai", 2635, 3123, 104.75),
    Province("Điện Biên", 3124, 3385, 103.0),
    Province("Lai Châu", 3386, 3645, 103.0),
    Province("Sơn La", 3646, 4248, 104.0),
    Province("Yên Bái", 4249, 4788, 104.75),
    Province("Hòa Bình", 4789, 4926, 106.0),
    Province("Hòa Bình", 4942, 5430, 106.0),
    Province("Thái Nguyên", 5431, 5970, 106.5),
    Province("Lạng Sơn", 5971, 6648, 107.25),
    Province("Phú Thọ", 7888, 8706, 104.75),
    Province("Thanh Hóa", 14755, 16662, 105.0),
    Province("Nghệ An", 16663, 18072, 104.75),
)
"""The mountain provinces and Hà Nội. Meridians: Circular 973/2001/TT-TCDC; codes: the official list of units.
Codes 4927 to 4941 went from Hòa Bình to Hà Nội and are left out."""


def find_province(code: str) -> Province | None:
    """Find the province that gave a commune its code.

    None for provinces not listed, and invented codes.
    """
    if not (len(code) == 5 and code.isascii() and code.isdigit()):
        return None
    return next((one for one in _PROVINCES if one.first <= int(code) <= one.last), None)


def get_zone(meridian_deg: float) -> str:
    """Return the zone of a central meridian: "EPSG:9208" for 104.75.

    Raises KeyError where there is none.
    """
    return f"EPSG:{_ZONES[meridian_deg]}"


def has_meridian(meridian_deg: float) -> bool:
    """Return True if a zone has this central meridian."""
    return meridian_deg in _ZONES


def find_nearest_zone(lon_deg: float) -> str:
    """Find the zone whose meridian is nearest.

    Near a province's border it may be its neighbour's.
    """
    return get_zone(min(_ZONES, key=lambda meridian: (abs(meridian - lon_deg), meridian)))


def get_central_meridian_deg(zone_crs: str) -> float:
    """Return the central meridian of a VN-2000 zone, degrees.

    Raises ValueError for another CRS.
    """
    for meridian, code in _ZONES.items():
        if zone_crs == f"EPSG:{code}":
            return meridian
    raise ValueError(f"{zone_crs}: is no VN-2000 zone of 3 degrees")


# -- Coordinate systems, and transformations between them ------------------------------------------


Floats = NDArray[np.float64]
Bounds = tuple[float, float, float, float]

WGS84 = "EPSG:4326"
WEB_MERCATOR = "EPSG:3857"

VN2000_OPERATION = "VN-2000 to WGS 84 (2)"
"""EPSG:6960, the seven parameters of Decision 05/2007/QD-BTNMT; EPSG:5194, "(1)", was never adopted."""

_DATUM_WORDS = (("EGM2008", "EGM2008"), ("EGM 2008", "EGM2008"), ("EGM96", "EGM96"), ("EGM 96", "EGM96"))
_GOOD_M = 1.0
"""Accuracy of a transformation that needs no mention: ETRS89, VN-2000."""
_VERTICAL_CODES = {"EGM96": 5773, "EGM2008": 3855}

# Shift grids and geoid grids, parameter files, and operations that may take such; but "+nadgrids=@null"
# (none) is part of EPSG:3857's PROJ string. PROJ's JSON, which could hide any of these words, is not
# accepted: it may begin a text, or the contents of <SRS>.
_NAMES_FILE = re.compile(
    r"""grids["'\s]*+[=,]\s*+(?!@null(?:[\s"'&<]|$))|parameterfile|\binit\s*=|proj-based|proj\s*=\s*pipeline"""
    r"""|tinshift|defmodel|^\s*\{|<srs\b(?:(?!</srs)[^{])*+\{""",
    re.IGNORECASE,
)

# a missing grid must be an error, not a download: a field node has no network (decision 0004)
set_network_enabled(False)


@dataclass(frozen=True, kw_only=True, slots=True)
class CrsInfo:
    """Description of a CRS for a form or a report.

    text             the shortest lossless form: "EPSG:32648" or WKT
    unit_m           metres per horizontal unit; None for degrees
    vertical_datum   "EGM96", "EGM2008", "ELLIPSOID" or None if the CRS states no known one
    vertical_unit_m  metres per vertical unit, None if there is no vertical axis
    transformation   the named operation used from and to WGS 84
    horizontal       the plane alone, canonical WKT: equal text, equal plane
    """

    text: str
    name: str
    is_geographic: bool
    unit_m: float | None
    vertical_datum: str | None
    vertical_unit_m: float | None
    transformation: str
    horizontal: str


def has_file_reference(text: str) -> bool:
    """Return True if a text with a CRS in it names a grid or another file.

    PROJ opens such a file wherever it lies; GDAL's PROJ does so as soon as it reads the text, so a text is
    checked before GDAL gets it.
    """
    return _NAMES_FILE.search(text) is not None


@lru_cache(maxsize=256)
def parse_crs(text: str) -> CRS:
    """Parse a CRS from "EPSG:n", a bare number, WKT or a PROJ string.

    Raises CrsMissing if it is none of them, or names a file.
    """
    if has_file_reference(text):
        raise CrsMissing(
            _(
                "{text!r}: names a grid or another file, which is not opened: give the "
                "coordinate reference system as EPSG:number",
                text=text[:80],
            )
        )
    try:
        return CRS.from_user_input(int(text) if text.strip().isdigit() else text)
    except (CRSError, ValueError, RecursionError) as error:  # JSON, or digits, without end
        raise CrsMissing(
            _(
                "{text!r}: not a coordinate reference system that is known here: give one as EPSG:number",
                text=text[:80],
            )
        ) from error


@lru_cache(maxsize=256)
def describe_crs(text: str) -> CrsInfo:
    """Describe a CRS: name, units, vertical datum, transformation; raise CrsMissing."""
    crs = parse_crs(text)
    horizontal = _horizontal(crs)
    axis = horizontal.axis_info[0] if horizontal.axis_info else None
    vertical_unit = next((a.unit_conversion_factor for a in crs.axis_info if a.direction == "up"), None)
    authority = crs.to_authority(min_confidence=100)
    return CrsInfo(
        text=":".join(authority) if authority else crs.to_wkt(),
        name=crs.name,
        is_geographic=horizontal.is_geographic,
        unit_m=None if horizontal.is_geographic or axis is None else axis.unit_conversion_factor,
        vertical_datum=_vertical_datum(crs),
        vertical_unit_m=vertical_unit,
        transformation=_transformer(horizontal.to_wkt(), WGS84).description,
        horizontal=_canonical(horizontal),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidArea:
    """Area of use of a CRS: (west, south, east, north) degrees.

    west is greater than east where it crosses the antimeridian.
    """

    bounds_deg: Bounds

    def contains(self, bounds_deg: Bounds) -> bool:
        """Return True if a rectangle of degrees lies inside."""
        west, south, east, north = self.bounds_deg
        inside = (
            (west <= bounds_deg[0] and bounds_deg[2] <= east)
            if west <= east
            else (west <= bounds_deg[0] or bounds_deg[2] <= east)
        )
        return bool(inside and south <= bounds_deg[1] and bounds_deg[3] <= north)


@lru_cache(maxsize=256)
def get_valid_area(text: str) -> ValidArea | None:
    """Return the registered area of use of a CRS; None for WKT and PROJ strings."""
    area = parse_crs(text).area_of_use
    if area is None:
        return None
    return ValidArea(bounds_deg=(area.west, area.south, area.east, area.north))


def get_proj_version() -> str:
    """Return the version of PROJ that transforms coordinates."""
    return str(proj_version_str)


def choose_work_crs(lon_deg: float, lat_deg: float) -> str:
    """Return the UTM zone of a place: "EPSG:326zz" north, "EPSG:327zz" south.

    The plain six-degree zones, without the exceptions of Norway and Svalbard. Raises ValueError for
    coordinates off the globe or outside UTM (80 S to 84 N).
    """
    if not (-180.0 <= lon_deg <= 180.0 and -80.0 <= lat_deg <= 84.0):
        raise ValueError(f"no UTM zone at longitude {lon_deg}, latitude {lat_deg}")
    zone = min(int((lon_deg + 180.0) // 6.0) + 1, 60)
    return f"EPSG:{32600 + zone if lat_deg >= 0 else 32700 + zone}"


def to_compound_crs(crs: str, vertical_datum: str) -> str:
    """Combine a CRS ("EPSG:n") with a vertical datum to "EPSG:n+m".

    Unchanged where no register has that combination (ellipsoidal heights in a plane, or a local datum).
    """
    code = _VERTICAL_CODES.get(vertical_datum)
    return crs if code is None or not crs.startswith("EPSG:") else f"{crs}+{code}"


def to_work(lonlat_deg: Floats, work_crs: str) -> Floats:
    """Convert WGS 84 degrees (N×2) to metres in `work_crs` (N×2).

    NaN where the point has no image. Raises CrsMissing.
    """
    return transform_points(lonlat_deg, WGS84, work_crs)


def to_lonlat(xy: Floats, work_crs: str) -> Floats:
    """Convert coordinates in `work_crs` (N×2) to WGS 84 degrees (N×2).

    NaN where the point has no image. Raises CrsMissing.
    """
    return transform_points(xy, work_crs, WGS84)


def transform_points(xy: Floats, src_crs: str, dst_crs: str) -> Floats:
    """Transform points (S×2) from one CRS to another; NaN where a point has no image.

    Raises CrsMissing if either text is not a CRS, or if PROJ has no transformation for which all grids are
    installed.
    """
    points = np.asarray(xy, dtype=np.float64)
    if src_crs == dst_crs:
        return points.copy()
    try:
        x, y = _transformer(src_crs, dst_crs).transform(points[..., 0], points[..., 1])
    except ProjError as error:
        raise CrsMissing(
            _(
                "{src_crs} to {dst_crs}: the transformation cannot be done here ({error}): "
                "reproject the file to EPSG:4326 first",
                src_crs=src_crs[:60],
                dst_crs=dst_crs[:60],
                error=error,
            )
        ) from error
    out = np.stack([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)], axis=-1)
    out[~np.isfinite(out).all(axis=-1)] = np.nan
    return out


def estimate_accuracy_m(crs: str, lonlat_deg: Floats) -> float:
    """Return the registered error, metres, of the transformation to a CRS at a place.

    lonlat_deg  (longitude, latitude)

    0 where that is a metre or less, or not stated. Grids that make a transformation exact (OSTN15 for
    EPSG:27700) are not installed: the next best is good to 2 m.
    """
    transformer = _transformer(WGS84, crs)
    transformer.transform(*lonlat_deg)
    try:
        stated = float(transformer.get_last_used_operation().accuracy)
    except ProjError:  # nothing had to be transformed
        return 0.0
    return stated if stated > _GOOD_M else 0.0


def compute_convergence_and_scale(work_crs: str, lon_deg: float, lat_deg: float) -> tuple[float, float]:
    """Compute meridian convergence (radians) and point scale of `work_crs`.

    Convergence is the azimuth of grid north, positive east of true north: grid yaw = true yaw - convergence.
    Positive east of the central meridian on the northern half. Source: Snyder (USGS PP 1395) eqs. 8-12, 8-16,
    as PROJ evaluates them.
    """
    factors = _projection(work_crs).get_factors(lon_deg, lat_deg, errcheck=True)
    return math.radians(factors.meridian_convergence), float(factors.meridional_scale)


@lru_cache(maxsize=64)
def fit_mercator_to_work(work_crs: str, mercator_bounds: Bounds) -> PlanarMap:
    """Fit a polynomial map from EPSG:3857 metres to `work_crs`.

    Valid inside `mercator_bounds` (w, s, e, n). Residual under a millimetre, carried in `residual_m`. Raises
    ValueError if the region is too large for one polynomial (some hundreds of kilometres), CrsMissing as
    `transform_points`.
    """
    return fit_planar_map(lambda xy: to_work(mercator_to_lonlat(xy), work_crs), mercator_bounds)


def to_vn2000(lonlat_deg: Floats, zone_crs: str | None = None) -> tuple[Floats, str]:
    """Convert WGS 84 degrees (N×2) to VN-2000 grid metres (N×2); return the zone too.

    `zone_crs` None takes the zone nearest to the mean longitude. Uses VN2000_OPERATION.
    """
    lonlat = np.asarray(lonlat_deg, dtype=np.float64)
    zone = zone_crs or find_nearest_zone(float(np.mean(lonlat[..., 0])))
    return transform_points(lonlat, WGS84, zone), zone


def make_point_transform(src_crs: str, dst_crs: str) -> Callable[[Floats], Floats]:
    """Bind both CRSs of `transform_points`, for shapely.transform and polynomials."""
    return lambda xy: transform_points(xy, src_crs, dst_crs)


@lru_cache(maxsize=64)
def _projection(text: str) -> Proj:
    return Proj(_horizontal(parse_crs(text)))


@lru_cache(maxsize=256)
def _transformer(src: str, dst: str) -> Transformer:
    source, target = _horizontal(parse_crs(src)), _horizontal(parse_crs(dst))
    if _is_vn2000(source) != _is_vn2000(target):
        return _vn2000_transformer(source, target)
    # Horizontal only. Where the best operation needs a grid that is not installed (NAD83's, say), the next
    # named one is taken, good to metres (`describe_crs` names it); only_best=True would give infinity, and
    # which one is best differs between PROJ versions. A ballpark is never taken.
    try:
        return Transformer.from_crs(source, target, always_xy=True, only_best=False, allow_ballpark=False)
    except ProjError as error:
        raise CrsMissing(
            _(
                "{src!r}: PROJ knows no way from it to {dst!r}: give another as EPSG:number",
                src=src[:80],
                dst=dst[:80],
            )
        ) from error


def _vn2000_transformer(source: CRS, target: CRS) -> Transformer:
    group = TransformerGroup(source, target, always_xy=True, allow_ballpark=False)
    for transformer in group.transformers:
        if VN2000_OPERATION in transformer.description:
            return transformer
    raise CrsMissing(
        _(
            "{name} to {target_name}: PROJ here does not know {vn2000_operation!r}: install flycam again",
            name=source.name,
            target_name=target.name,
            vn2000_operation=VN2000_OPERATION,
        )
    )


def _is_vn2000(crs: CRS) -> bool:
    geodetic = crs.geodetic_crs
    return (
        geodetic is not None
        and geodetic.datum is not None
        and "2000" in geodetic.datum.name
        and ("Viet" in geodetic.datum.name or "VN" in geodetic.datum.name)
    )


def _horizontal(crs: CRS) -> CRS:
    if crs.is_compound:
        return _horizontal(crs.sub_crs_list[0])
    return crs.to_2d() if len(crs.axis_info) > 2 else crs


def _canonical(crs: CRS) -> str:
    authority = crs.to_authority(min_confidence=70)
    return ":".join(authority) if authority else crs.to_wkt()


def _vertical_datum(crs: CRS) -> str | None:
    if crs.is_compound:
        vertical = crs.sub_crs_list[-1]
        words = f"{vertical.name} {vertical.datum.name if vertical.datum else ''}".upper()
        return next((datum for word, datum in _DATUM_WORDS if word in words), None)
    return "ELLIPSOID" if len(crs.axis_info) > 2 else None


# -- VN-2000 grid lines, as on printed maps --------------------------------------------------------


# of each side: a side of the sheet is no straight line in the grid
_EDGE_POINTS = 9
_LINE_POINTS = 17
# lines across the shorter side, about; across the longer side, at most
_MIN_LINES, _MAX_LINES = 4, 24
_MIN_STEP_M = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class GridLine:
    """A line on which one coordinate has one value.

    axis       "x" where X (north) is constant, "y" where Y (east) is, as on Vietnamese sheets
    value_m    that coordinate, a multiple of the step
    lonlat     (n, 2) WGS 84 degrees, from south to north or from west to east
    """

    axis: Literal["x", "y"]
    value_m: float
    lonlat: Floats


def compute_grid_lines(
    bounds: tuple[float, float, float, float], zone_crs: str
) -> tuple[float, list[GridLine]]:
    """Compute the grid step and the lines that cross `bounds`.

    The step is in metres: 1, 2 or 5 times a power of ten.

    bounds    west, south, east, north in WGS 84 degrees
    zone_crs  a zone of VN-2000

    Lines reach a little beyond the bounds, for the grid is rotated against them. Raises CrsMissing where the
    zone cannot be transformed from WGS 84.
    """
    around = transform_points(_edge(bounds), WGS84, zone_crs)
    (west, south), (east, north) = around.min(axis=0), around.max(axis=0)
    # larger where the longer side would have too many
    shorter, longer = sorted((east - west, north - south))
    step_m = max(_MIN_STEP_M, _round_down(shorter / _MIN_LINES))
    while longer / step_m > _MAX_LINES:
        step_m = _round_down(step_m * 2.5)
    y_m, x_m = _multiples(west, east, step_m), _multiples(south, north, step_m)
    along_x, along_y = np.linspace(south, north, _LINE_POINTS), np.linspace(west, east, _LINE_POINTS)
    upright = np.stack(np.broadcast_arrays(y_m[:, None], along_x), axis=-1)
    level = np.stack(np.broadcast_arrays(along_y, x_m[:, None]), axis=-1)
    points = np.concatenate([upright, level]).reshape(-1, 2)
    lonlat = transform_points(points, zone_crs, WGS84).reshape(-1, _LINE_POINTS, 2)
    named: list[tuple[Literal["x", "y"], float]] = [("y", value) for value in y_m.tolist()]
    named += [("x", value) for value in x_m.tolist()]
    lines = [
        GridLine(axis=axis, value_m=value, lonlat=line)
        for (axis, value), line in zip(named, lonlat, strict=True)
    ]
    return step_m, lines


def _edge(bounds: tuple[float, float, float, float]) -> Floats:
    west, south, east, north = bounds
    lon, lat = np.linspace(west, east, _EDGE_POINTS), np.linspace(south, north, _EDGE_POINTS)
    lon_at = np.concatenate([lon, lon, np.full_like(lat, west), np.full_like(lat, east)])
    lat_at = np.concatenate([np.full_like(lon, south), np.full_like(lon, north), lat, lat])
    return np.stack([lon_at, lat_at], axis=-1)


def _round_down(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value)) if value > 0.0 else 1.0
    return power * max(one for one in (1.0, 2.0, 5.0) if one <= value / power or one == 1.0)


def _multiples(least: float, most: float, step: float) -> Floats:
    return step * np.arange(math.ceil(least / step), math.floor(most / step) + 1, dtype=np.float64)


# -- Validation of coordinates that a person drew --------------------------------------------------


_MAX_LAT_DEG = 80.0  # no flights beyond


def require_valid_locations(places: Sequence[tuple[float, float]], what: Message) -> None:
    """Raise InputUnusable for places off the globe, beyond 80° latitude, or NaN.

    places: (longitude, latitude) in degrees. what: their subject, which begins the message.
    """
    if not all(-180.0 <= lon <= 180.0 and -_MAX_LAT_DEG <= lat <= _MAX_LAT_DEG for lon, lat in places):
        raise InputUnusable(
            _(
                "{what} lies off the map (longitude comes first, then latitude); draw it again",
                what=what,
            )
        )
