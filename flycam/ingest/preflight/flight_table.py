"""A flight's metadata as columns, so that every rule of the preflight check is array arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from flycam.ingest.photo.display_names import make_display_names
from flycam.ingest.photo.metadata import Angles, PhotoMetadata

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Index = NDArray[np.intp]

YAW, PITCH, ROLL = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class FlightTable:
    """Metadata of a flight, one row per photo; NaN where nothing is stated.

    Angles N×3 in degrees (yaw, pitch, roll).

    names       display names of the photos: `make_display_names` of the whole flight
    t_ns        capture time, UTC nanoseconds; 0 where unknown
    lonlat      N×2 WGS 84 degrees
    exif_m, absolute_m, relative_m   heights as written
    direction   EXIF GPSImgDirection, degrees
    stated_xy_m  horizontal error that EXIF states for the photo's own position
    sigma_xy_m  extra horizontal 1-sigma from positioning by time (0 for the photo's own position)
    """

    photos: tuple[PhotoMetadata, ...]
    names: tuple[str, ...]
    t_ns: NDArray[np.int64]
    lonlat: Floats
    exif_m: Floats
    absolute_m: Floats
    relative_m: Floats
    gimbal: Floats
    aircraft: Floats
    camera: Floats
    direction: Floats
    rtk_flag: NDArray[np.int64]
    rtk_std_m: Floats
    stated_xy_m: Floats
    sigma_xy_m: Floats

    def __len__(self) -> int:
        return len(self.photos)

    def names_of(self, mask: Bools) -> tuple[str, ...]:
        """Return the names of the photos where `mask` is true."""
        return tuple(self.names[i] for i in np.flatnonzero(mask))

    def take(self, index: Index | Bools) -> FlightTable:
        """Return the rows of a mask or an index array, in its order."""
        rows = np.flatnonzero(index) if index.dtype == np.bool_ else index
        told = ("photos", "names")
        columns = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name not in told}
        photos, names = tuple(self.photos[i] for i in rows), tuple(self.names[i] for i in rows)
        return replace(self, photos=photos, names=names, **columns)


def build_flight_table(photos: Sequence[PhotoMetadata], t_ns: NDArray[np.int64]) -> FlightTable:
    """Return the columns of `photos` with their capture times.

    t_ns  N int64, UTC ns, 0 unknown
    """
    nan = float("nan")
    lon_lat = [
        (p.lon_deg, p.lat_deg)
        if p.lon_deg is not None and p.lat_deg is not None
        else (p.xmp_lon_deg, p.xmp_lat_deg)
        for p in photos
    ]
    return FlightTable(
        photos=tuple(photos),
        names=make_display_names(photos),
        t_ns=np.asarray(t_ns, dtype=np.int64),
        lonlat=_floats(lon_lat, 2),
        exif_m=_floats(((p.exif_altitude_m,) for p in photos), 1)[:, 0],
        absolute_m=_floats(((p.absolute_altitude_m,) for p in photos), 1)[:, 0],
        relative_m=_floats(((p.relative_altitude_m,) for p in photos), 1)[:, 0],
        gimbal=_angles(p.gimbal for p in photos),
        aircraft=_angles(p.aircraft for p in photos),
        camera=_angles(p.camera for p in photos),
        direction=_floats(((p.direction_deg,) for p in photos), 1)[:, 0],
        rtk_flag=np.array([-1 if p.rtk_flag is None else p.rtk_flag for p in photos], dtype=np.int64),
        rtk_std_m=_floats((p.rtk_std_m or (nan, nan, nan) for p in photos), 3),
        stated_xy_m=_floats(((p.horizontal_error_m,) for p in photos), 1)[:, 0],
        sigma_xy_m=np.zeros(len(photos)),
    )


def _floats(rows: Iterable[Sequence[float | None]], width: int) -> Floats:
    values = [[np.nan if v is None else v for v in row] for row in rows]
    return np.array(values, dtype=np.float64).reshape(-1, width)


def _angles(angles: Iterable[Angles]) -> Floats:
    return _floats(((a.yaw_deg, a.pitch_deg, a.roll_deg) for a in angles), 3)


def wrap_degrees(difference: Floats) -> Floats:
    """Wrap angles to [-180, 180)."""
    return (np.asarray(difference) + 180.0) % 360.0 - 180.0


def compute_circular_mean_deg(angles: Floats) -> tuple[float, float]:
    """Return (mean direction in degrees, concentration 0..1) of N angles.

    NaN are ignored; (nan, 0) if none is left. Fisher, Statistical Analysis of Circular Data (1993), section
    2.3.
    """
    known = np.radians(np.asarray(angles, dtype=np.float64)[np.isfinite(angles)])
    if known.size == 0:
        return float("nan"), 0.0
    c, s = float(np.cos(known).mean()), float(np.sin(known).mean())
    return float(np.degrees(np.arctan2(s, c))), float(np.hypot(c, s))
