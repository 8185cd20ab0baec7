"""Geoid undulations and the conversion of heights between datums, from grids that ship with flycam.

Undulation N is the height of the geoid above the WGS 84 ellipsoid: h = H + N (ellipsoidal height, height
above the geoid). The grids lie in `models/geoid`: fine crops for Vietnam, read bilinearly as PROJ does, and
coarse ones for the world, read by cubic convolution (Keys 1981, a = -1/2), whose error is given by
`estimate_undulation_sigma_m`. PROJ's own vertical transformations are not used: without its grids they
silently return the height unchanged, which at Lao Cai is wrong by 30.9 m.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError

from flycam.errors import DatumUnknown
from flycam.frame.flight import LOCAL_DATUM
from flycam.geodata.interpolation import interpolate_bilinear, interpolate_cubic
from flycam.geodata.models_folder import find_models_dir
from flycam.geodata.raster_source import open_raster
from flycam.messages import _

Floats = NDArray[np.float64]

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
    sigma_m: float


_FILES = {
    # fine crop, its sigma, world grid, its sigma: both against the full grid (models/geoid/README.md)
    "EGM96": ("egm96-vietnam-15min.tif", 0.05, "egm96-world-1deg.tif", 0.4),
    "EGM2008": ("egm2008-vietnam-2.5min.tif", 0.01, "egm2008-world-1deg.tif", 0.5),
}


def interpolate_undulation_m(model: str, lonlat_deg: Floats) -> Floats:
    """Interpolate geoid height above the WGS 84 ellipsoid, metres; shape N.

    At WGS 84 degrees (N×2: lon, lat). `model` is "EGM96" or "EGM2008". Inside 100-118 E, 5-25 N from the fine
    crop, elsewhere from the coarse world grid; `estimate_undulation_sigma_m` gives the error of either.
    Raises DatumUnknown for another model, or for coordinates that are not on the globe (NaN included): never
    a silent zero.
    """
    lonlat = _checked(model, lonlat_deg)
    fine, world = _grids(model)
    inside = _inside(fine, lonlat)
    out = np.empty(len(lonlat))
    out[inside] = interpolate_bilinear(fine.values_m, *_position(fine, lonlat[inside]))
    out[~inside] = interpolate_cubic(world.values_m, *_position(world, lonlat[~inside]), wraps=True)
    return out


def estimate_undulation_sigma_m(model: str, lonlat_deg: Floats) -> Floats:
    """Estimate the 1-sigma of `interpolate_undulation_m`, metres; shape N.

    Against the model's full grid. Raises DatumUnknown.
    """
    lonlat = _checked(model, lonlat_deg)
    fine, world = _grids(model)
    return np.where(_inside(fine, lonlat), fine.sigma_m, world.sigma_m)


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
    fine, fine_sigma, world, world_sigma = _FILES[model]
    return _read(fine, fine_sigma), _read(world, world_sigma)


def _read(name: str, sigma_m: float) -> _Grid:
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
    return _Grid(values_m=values, west_deg=west, north_deg=north, step_deg=step, sigma_m=sigma_m)


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
