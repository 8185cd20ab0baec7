"""Magnetic declination by the World Magnetic Model, from `models/geomagnetic`.

Degree 12 spherical harmonics with linear secular variation, one set of coefficients for five years. Source:
A. Chulliat et al., The US/UK World Magnetic Model for 2025-2030: Technical Report (NOAA NCEI 2025).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.geodata.models_folder import find_models_dir

SIGMA_DEG = 0.6
"""Global 1-sigma of a declination by the model, crustal fields included (the report's error model), away from
the magnetic poles; ore bodies turn a compass by more."""

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
    year = min(max(_decimal_year(t_ns), _FIRST_YEAR), _LAST_YEAR)
    model = max((m for m in _models() if m.epoch <= year), key=lambda m: m.epoch)
    years = year - model.epoch
    north, east = _horizontal_field(
        np.asarray(lonlat_deg, np.float64).reshape(-1, 2),
        model.g + years * model.g_per_year,
        model.h + years * model.h_per_year,
    )
    return np.asarray(np.degrees(np.arctan2(east, north)))


def _decimal_year(t_ns: int) -> float:
    moment = datetime.fromtimestamp(t_ns / 1e9, UTC)
    start, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (moment.year, moment.year + 1))
    return moment.year + (moment - start) / (end - start)


def _horizontal_field(lonlat: Floats, g: Floats, h: Floats) -> tuple[Floats, Floats]:
    """Compute the (north, east) components in nanotesla on the ellipsoid."""
    longitude, latitude = np.radians(lonlat[:, 0]), np.radians(lonlat[:, 1])
    geocentric, radius = _geocentric(latitude)
    p, dp = _legendre(geocentric)
    north, east, down = (np.zeros(len(lonlat)) for _ in range(3))
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
    return tuple(sorted((_read(path) for path in files), key=lambda m: m.epoch))


def _read(path: Path) -> _Model:
    first, *lines = path.read_text(encoding="ascii").splitlines()
    g, h, g_per_year, h_per_year = (np.zeros((_DEGREE + 1, _DEGREE + 1)) for _ in range(4))
    for line in lines:
        fields = line.split()
        if len(fields) != 6:  # the row of nines that ends the file
            break
        n, m = int(fields[0]), int(fields[1])
        g[n, m], h[n, m], g_per_year[n, m], h_per_year[n, m] = (float(field) for field in fields[2:])
    return _Model(float(first.split()[0]), g, h, g_per_year, h_per_year)
