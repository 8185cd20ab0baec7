"""Geoid undulations, conversion of height datums, and magnetic declination.

Undulation N is the height of the geoid above the WGS 84 ellipsoid: h = H + N (ellipsoidal height, height
above the geoid). The grids ship with flycam in `models/geoid`: fine crops for Vietnam, read bilinearly as
PROJ does, and coarse ones for the world, read by cubic convolution (Keys 1981, a = -1/2). PROJ's own
vertical transformations are not used: without its grids they silently return the height unchanged, which at
Lao Cai is wrong by 30.9 m.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError

from flycam.config import find_models_dir
from flycam.errors import DatumUnknown
from flycam.geodata.raster_source import open_raster
from flycam.messages import _
from flycam.model.flight import LOCAL_DATUM

# -- Magnetic declination by the World Magnetic Model, from `models/geomagnetic` -------------------
#
# Degree 12 spherical harmonics with linear secular variation, one set of coefficients for five years. Source:
# A. Chulliat et al., The US/UK World Magnetic Model for 2025-2030: Technical Report (NOAA NCEI 2025).


_DEGREE = 12
_FIRST_YEAR, _LAST_YEAR = 2010.0, 2035.0
_REFERENCE_RADIUS_M = 6_371_200.0
_SEMI_MAJOR_M, _FLATTENING = 6_378_137.0, 1.0 / 298.257223563

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Model:
    """Gauss coefficients at `epoch` (years), and their change a year.

    g, h  degree × order, nanotesla
    """

    epoch: float
    g: Floats
    h: Floats
    g_per_year: Floats
    h_per_year: Floats


def compute_declination_deg(lonlat_deg: Floats, t_ns: int) -> Floats:
    """Compute magnetic declination in degrees, N, positive east of true north.

    lonlat_deg  N×2 WGS 84 degrees, on the ground (a kilometre of height changes it by under 0.01°)
    t_ns        UTC; taken as the start of 2010 where it is earlier (a clock never set), 2035 where later

    true azimuth = magnetic azimuth + declination
    """
    moment = datetime.fromtimestamp(t_ns / 1e9, UTC)
    start, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (moment.year, moment.year + 1))
    year = min(max(moment.year + (moment - start) / (end - start), _FIRST_YEAR), _LAST_YEAR)
    model = max((m for m in _models() if m.epoch <= year), key=lambda m: m.epoch)
    years = year - model.epoch
    north, east = _horizontal_field(
        np.asarray(lonlat_deg, np.float64).reshape(-1, 2),
        model.g + years * model.g_per_year,
        model.h + years * model.h_per_year,
    )
    return np.asarray(np.degrees(np.arctan2(east, north)))


def _horizontal_field(lonlat: Floats, g: Floats, h: Floats) -> tuple[Floats, Floats]:
    """Compute the (north, east) components in nanotesla on the ellipsoid."""
    longitude, latitude = np.radians(lonlat[:, 0]), np.radians(lonlat[:, 1])
    geocentric, radius = _geocentric(latitude)
    p, dp = _legendre(geocentric)
    north, east, down = (np.zeros(len(lonlat)) for __ in range(3))
    cosine = np.maximum(np.cos(geocentric), 1e-9)
    for n in range(1, _DEGREE + 1):
        scale = (_REFERENCE_RADIUS_M / radius) ** (n + 2)
        for m in range(n + 1):
            along = g[n, m] * np.cos(m * longitude) + h[n, m] * np.sin(m * longitude)
            across = g[n, m] * np.sin(m * longitude) - h[n, m] * np.cos(m * longitude)
            north -= scale * along * dp[n, m]
            east += scale * m * across * p[n, m] / cosine
            down -= scale * (n + 1) * along * p[n, m]
    tilt = geocentric - latitude
    return north * np.cos(tilt) - down * np.sin(tilt), east


def _geocentric(latitude: Floats) -> tuple[Floats, Floats]:
    """Return geocentric latitude (radians) and distance from the earth's centre (m).

    The points are on the ellipsoid.
    """
    e2 = _FLATTENING * (2.0 - _FLATTENING)
    normal = _SEMI_MAJOR_M / np.sqrt(1.0 - e2 * np.sin(latitude) ** 2)
    across, up = normal * np.cos(latitude), normal * (1.0 - e2) * np.sin(latitude)
    return np.arctan2(up, across), np.hypot(across, up)


def _legendre(latitude: Floats) -> tuple[dict[tuple[int, int], Floats], dict[tuple[int, int], Floats]]:
    """Compute Schmidt semi-normalised P(n, m) of sin(latitude) and their derivatives.

    The derivatives are by latitude.
    """
    s, c = np.sin(latitude), np.cos(latitude)
    p: dict[tuple[int, int], Floats] = {(0, 0): np.ones_like(s)}
    dp: dict[tuple[int, int], Floats] = {(0, 0): np.zeros_like(s)}
    for n in range(1, _DEGREE + 1):
        for m in range(n + 1):
            if m == n:
                k = math.sqrt(1.0 - 1.0 / (2 * n)) if n > 1 else 1.0
                p[n, n] = k * c * p[n - 1, n - 1]
                dp[n, n] = k * (c * dp[n - 1, n - 1] - s * p[n - 1, n - 1])
                continue
            a = (2 * n - 1) / math.sqrt(n * n - m * m)
            p[n, m] = a * s * p[n - 1, m]
            dp[n, m] = a * (s * dp[n - 1, m] + c * p[n - 1, m])
            if m <= n - 2:
                b = math.sqrt(((n - 1) ** 2 - m * m) / (n * n - m * m))
                p[n, m] = p[n, m] - b * p[n - 2, m]
                dp[n, m] = dp[n, m] - b * dp[n - 2, m]
    return p, dp


@lru_cache(maxsize=1)
def _models() -> tuple[_Model, ...]:
    """Load the models that ship, oldest first."""
    files = sorted((find_models_dir() / "geomagnetic").glob("*.cof"))
    return tuple(sorted((_read_model(path) for path in files), key=lambda m: m.epoch))


def _read_model(path: Path) -> _Model:
    first, *lines = path.read_text(encoding="ascii").splitlines()
    g, h, g_per_year, h_per_year = (np.zeros((_DEGREE + 1, _DEGREE + 1)) for __ in range(4))
    for line in lines:
        fields = line.split()
        if len(fields) != 6:  # the row of nines that ends the file
            break
        n, m = int(fields[0]), int(fields[1])
        g[n, m], h[n, m], g_per_year[n, m], h_per_year[n, m] = (float(field) for field in fields[2:])
    return _Model(float(first.split()[0]), g, h, g_per_year, h_per_year)


# -- Interpolation between the posts of a regular grid: bilinear, and cubic convolution ------------
#
# Positions are (row, column) with posts at integers. OpenCV's remap is not used for heights: it rounds
# positions to 1/32 of a post, which on a 45° slope and 30 m posts is half a metre.


def take_at_posts(values: NDArray[np.floating], row: Floats, col: Floats) -> Floats:
    """Take values at N integer positions.

    They equal the kernels' values, at a tenth of the cost.
    """
    rows, cols = values.shape
    inside = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
    out = np.full(row.shape, np.nan)
    out[inside] = values[row[inside].astype(np.intp), col[inside].astype(np.intp)]
    return out


def interpolate_bilinear(values: NDArray[np.floating], row: Floats, col: Floats) -> Floats:
    """Interpolate bilinearly at N positions; NaN outside or where a post is NaN.

    `values` is rows×cols with at least 2 posts each way. A post whose weight is zero does not matter, so a
    position exactly on a known post has that post's value.
    """
    rows, cols = values.shape
    slack = 1e-6  # of a post: rounding of positions on the edge
    outside = ~((row >= -slack) & (row <= rows - 1 + slack) & (col >= -slack) & (col <= cols - 1 + slack))
    row, col = np.where(outside, 0.0, row), np.where(outside, 0.0, col)
    r0 = np.clip(np.floor(row).astype(np.intp), 0, rows - 2)
    c0 = np.clip(np.floor(col).astype(np.intp), 0, cols - 2)
    fr, fc = np.clip(row - r0, 0.0, 1.0), np.clip(col - c0, 0.0, 1.0)
    total = np.zeros(row.shape)
    for dr, wr in ((0, 1.0 - fr), (1, fr)):
        for dc, wc in ((0, 1.0 - fc), (1, fc)):
            weight = wr * wc
            total += np.where(weight > 0.0, weight * values[r0 + dr, c0 + dc], 0.0)
    total[outside] = np.nan
    return total


def interpolate_cubic(
    values: NDArray[np.floating], row: Floats, col: Floats, *, wraps: bool = False
) -> Floats:
    """Interpolate by cubic convolution (Keys 1981, a = -1/2) at N positions.

    Falls back to `interpolate_bilinear` near NaN. The edge posts are repeated; `wraps` joins the last column
    to the first (a whole circle of longitude, both ends included). NaN where `interpolate_bilinear` is NaN.
    """
    rows, cols = values.shape
    out = interpolate_bilinear(values, row, col)
    known = np.isfinite(out)
    r, c = row[known], col[known]
    r0, c0 = np.floor(r).astype(np.intp), np.floor(c).astype(np.intp)
    smooth = np.zeros(r.shape)
    for i, weight_r in enumerate(_keys_weights(r - r0)):
        ri = np.clip(r0 - 1 + i, 0, rows - 1)
        for j, weight_c in enumerate(_keys_weights(c - c0)):
            cj = c0 - 1 + j
            cj = cj % (cols - 1) if wraps else np.clip(cj, 0, cols - 1)
            smooth += weight_r * weight_c * values[ri, cj]
    out[known] = np.where(np.isfinite(smooth), smooth, out[known])
    return out


def _keys_weights(t: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    return (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )


# -- Geoid undulations and conversion of heights between datums ------------------------------------


GEOIDS = ("EGM96", "EGM2008")
DATUMS = ("EGM96", "EGM2008", "ELLIPSOID", LOCAL_DATUM)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Grid:
    """Undulations (rows×cols, row 0 northernmost).

    Posts lie at `north - r * step`, `west + c * step`.
    """

    values_m: Floats
    west_deg: float
    north_deg: float
    step_deg: float


_FILES = {
    # fine crop, world grid: 1-sigma against the full grid is 0.05 m and 0.4 m for EGM96, 0.01 m and 0.5 m for
    # EGM2008 (models/geoid/README.md)
    "EGM96": ("egm96-vietnam-15min.tif", "egm96-world-1deg.tif"),
    "EGM2008": ("egm2008-vietnam-2.5min.tif", "egm2008-world-1deg.tif"),
}


def interpolate_undulation_m(model: str, lonlat_deg: Floats) -> Floats:
    """Interpolate geoid height above the WGS 84 ellipsoid, metres; shape N.

    At WGS 84 degrees (N×2: lon, lat). `model` is "EGM96" or "EGM2008". Inside 100-118 E, 5-25 N from the fine
    crop, elsewhere from the coarse world grid. Raises DatumUnknown for another model, or for coordinates that
    are not on the globe (NaN included): never a silent zero.
    """
    lonlat = _checked(model, lonlat_deg)
    fine, world = _grids(model)
    inside = _inside(fine, lonlat)
    out = np.empty(len(lonlat))
    out[inside] = interpolate_bilinear(fine.values_m, *_position(fine, lonlat[inside]))
    out[~inside] = interpolate_cubic(world.values_m, *_position(world, lonlat[~inside]), wraps=True)
    return out


def convert_height(height_m: Floats, lonlat_deg: Floats, from_datum: str, to_datum: str) -> Floats:
    """Convert heights (N, metres) between datums of DATUMS at WGS 84 degrees (N×2).

    lonlat_deg is (lon, lat). Raises DatumUnknown if a datum is not one of these, or if exactly one of the two
    is LOCAL: a local height is not tied to any known datum.
    """
    heights = np.atleast_1d(np.asarray(height_m, dtype=np.float64))
    for datum in (from_datum, to_datum):
        if datum not in DATUMS:
            raise DatumUnknown(
                _(
                    "vertical datum {datum!r} is not known: use one of {datums}",
                    datum=datum,
                    datums=", ".join(DATUMS),
                )
            )
    if from_datum == to_datum:
        return heights.copy()
    if LOCAL_DATUM in (from_datum, to_datum):
        raise DatumUnknown(
            _(
                "heights in {from_datum} cannot become {to_datum}: a LOCAL height has no tie "
                "to the geoid: give the datum with --datum",
                from_datum=from_datum,
                to_datum=to_datum,
            )
        )
    if from_datum != "ELLIPSOID":
        heights = heights + interpolate_undulation_m(from_datum, lonlat_deg)
    if to_datum != "ELLIPSOID":
        heights = heights - interpolate_undulation_m(to_datum, lonlat_deg)
    return heights


def _checked(model: str, lonlat_deg: Floats) -> Floats:
    if model not in GEOIDS:
        raise DatumUnknown(
            _(
                "geoid model {model!r} is not known: use one of {geoids}",
                model=model,
                geoids=", ".join(GEOIDS),
            )
        )
    lonlat = np.asarray(lonlat_deg, dtype=np.float64).reshape(-1, 2)
    on_globe = (np.abs(lonlat[:, 0]) <= 360.0) & (np.abs(lonlat[:, 1]) <= 90.0)
    if not on_globe.all():
        lon, lat = lonlat[~on_globe][0]
        raise DatumUnknown(
            _(
                "{model}: no undulation at longitude {lon}, latitude {lat}: check the "
                "coordinates of the flight",
                model=model,
                lon=lon,
                lat=lat,
            )
        )
    wrapped = lonlat.copy()
    wrapped[:, 0] = (lonlat[:, 0] + 180.0) % 360.0 - 180.0
    return wrapped


@lru_cache(maxsize=2)
def _grids(model: str) -> tuple[_Grid, _Grid]:
    fine, world = _FILES[model]
    return _read_grid(fine), _read_grid(world)


def _read_grid(name: str) -> _Grid:
    path = find_models_dir() / "geoid" / name
    try:
        with open_raster(path) as source:
            values = source.read(1).astype(np.float64) * source.scales[0]
            step = source.transform.a
            west, north = source.transform.c + step / 2.0, source.transform.f - step / 2.0
    except RasterioIOError as error:
        raise DatumUnknown(
            _("{name}: the geoid grid cannot be read: install flycam again", name=path.name)
        ) from error
    return _Grid(values_m=values, west_deg=west, north_deg=north, step_deg=step)


def _inside(grid: _Grid, lonlat: Floats) -> NDArray[np.bool_]:
    rows, cols = grid.values_m.shape
    row, col = _position(grid, lonlat)
    last = np.array([rows - 1, cols - 1]) + 1e-9
    position = np.stack([row, col], axis=-1)
    return np.asarray(((position >= -1e-9) & (position <= last)).all(axis=-1), dtype=np.bool_)


def _position(grid: _Grid, lonlat: Floats) -> tuple[Floats, Floats]:
    return (
        (grid.north_deg - lonlat[:, 1]) / grid.step_deg,
        (lonlat[:, 0] - grid.west_deg) / grid.step_deg,
    )
