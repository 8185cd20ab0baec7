"""Scenes for the geometry tests: a rugged DEM, cameras over it, and a map from Web Mercator to UTM.

The map is Krueger's series for the transverse Mercator (to n³, sub-millimetre), so that no CRS library is
needed below geodata.
"""

from __future__ import annotations

import math

import numpy as np

from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.geometry.grid import (
    PlanarMap,
    TileRange,
    find_range_for_bounds,
    fit_planar_map,
    lonlat_to_mercator,
    mercator_to_lonlat,
)
from flycam.geometry.pose import ExteriorOrientation, PoseSource, rotation_from_gimbal, to_mat3
from flycam.geometry.terrain import TerrainGrid, interpolate_heights_en

WORK_CRS = "EPSG:32648"
LON, LAT = 104.8, 21.9
GRID_SCALE = 0.9996


def utm48(lonlat_deg):
    """WGS 84 degrees (N×2) to EPSG:32648, by Krueger's series (Karney 2011, eq. 35)."""
    f = 1 / 298.257223563
    n = f / (2 - f)
    a_rect = 6378137.0 / (1 + n) * (1 + n**2 / 4 + n**4 / 64)
    alpha = (
        n / 2 - 2 * n**2 / 3 + 5 * n**3 / 16,
        13 * n**2 / 48 - 3 * n**3 / 5,
        61 * n**3 / 240,
    )
    lon, lat = np.radians(lonlat_deg[..., 0] - 105.0), np.radians(lonlat_deg[..., 1])
    e = 2 * math.sqrt(n) / (1 + n)
    t = np.sinh(np.arctanh(np.sin(lat)) - e * np.arctanh(e * np.sin(lat)))
    xi, eta = np.arctan2(t, np.cos(lon)), np.arctanh(np.sin(lon) / np.hypot(1, t))
    x, y = eta.copy(), xi.copy()
    for j, a in enumerate(alpha, 1):
        x += a * np.cos(2 * j * xi) * np.sinh(2 * j * eta)
        y += a * np.sin(2 * j * xi) * np.cosh(2 * j * eta)
    return np.stack([500000 + 0.9996 * a_rect * x, 0.9996 * a_rect * y], -1)


def mercator_map(half_side_m: float = 4000.0, lon: float = LON, lat: float = LAT) -> PlanarMap:
    """Web Mercator to the work CRS around the scene."""
    x, y = lonlat_to_mercator(np.array([lon, lat]))
    bounds = (x - half_side_m, y - half_side_m, x + half_side_m, y + half_side_m)
    return fit_planar_map(lambda p: utm48(mercator_to_lonlat(p)), bounds, tolerance_m=1e-4)


CENTRE = tuple(float(v) for v in utm48(np.array([LON, LAT])))


def hills(
    seed: int = 1, relief_m: float = 180.0, post_m: float = 10.0, size: int = 240, roughness: float = 2.3
) -> TerrainGrid:
    """Fractal hills around the scene's centre, heights from 150 m up.

    With amplitudes falling as 1/f^2.3 the second differences of heights grow from one lag to the double by
    the same 2.5 times as those of SRTM over the White Mountains; 1.8 is much rougher than that.
    """
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.normal(size=(size, size)))
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
    f = np.hypot(fx, fy)
    f[0, 0] = 1.0
    wave = np.fft.irfft2(spectrum / f**roughness, s=(size, size))
    wave = (wave - wave.min()) / (wave.max() - wave.min())
    return grid_of((150.0 + relief_m * wave).astype(np.float32), post_m)


def grid_of(heights, post_m: float = 10.0) -> TerrainGrid:
    """Heights as a terrain centred on the scene."""
    rows, cols = heights.shape
    return TerrainGrid(
        heights_m=np.asarray(heights, dtype=np.float32),
        origin_m=(CENTRE[0] - post_m * (cols - 1) / 2, CENTRE[1] + post_m * (rows - 1) / 2),
        post_spacing_m=(post_m, post_m),
        work_crs=WORK_CRS,
        vertical_datum="EGM96",
        dem_id="test",
    )


def camera(width: int = 1920, height: int = 1080, focal: float = 1400.0, brown: bool = True):
    """A drone's wide camera with a believable Brown distortion."""
    return InteriorOrientation(
        model=LensModel.BROWN if brown else LensModel.PINHOLE,
        image_size_px=(width, height),
        focal_length_px=(focal, focal),
        principal_point_px=(width / 2 - 0.5 + 4.0, height / 2 - 0.5 - 3.0),
        distortion=(-0.02, 0.008, 2e-4, -1e-4, -0.001) if brown else (),
        calibration_id="test",
    )


def pose(
    terrain, agl_m=120.0, yaw_deg=30.0, pitch_deg=-90.0, roll_deg=0.0, offset=(0.0, 0.0), scale=GRID_SCALE
):
    """A pose above the ground at an offset from the scene's centre."""
    e, n = CENTRE[0] + offset[0], CENTRE[1] + offset[1]
    ground = float(interpolate_heights_en(terrain, np.array([e]), np.array([n]))[0])
    rotation = rotation_from_gimbal(*np.radians([yaw_deg, pitch_deg, roll_deg]))
    return ExteriorOrientation(
        projection_centre_m=(e, n, ground + agl_m),
        rotation=to_mat3(rotation),
        work_crs=WORK_CRS,
        vertical_datum="EGM96",
        grid_scale=scale,
        sigma_position_m=(0.0, 0.0, 0.0),
        sigma_attitude_rad=(0.0, 0.0, 0.0),
        source=PoseSource.GNSS,
    )


def tiles_around(bounds_work, z: int, to_work: PlanarMap) -> TileRange:
    """Tiles that cover a rectangle of the work CRS (by the map's linear part, with room)."""
    xmin, ymin, xmax, ymax = to_work.bounds
    corners = np.array(
        [[xmin, ymin], [xmax, ymin], [xmin, ymax], [xmax, ymax], [(xmin + xmax) / 2, (ymin + ymax) / 2]]
    )
    design = np.column_stack([to_work(corners), np.ones(5)])
    inverse, *_ = np.linalg.lstsq(design - [*CENTRE, 0], corners, rcond=None)
    west, south, east, north = bounds_work
    box = np.array([[west, south, 1], [east, south, 1], [west, north, 1], [east, north, 1]]) - [*CENTRE, 0]
    m = box @ inverse
    (x0, y0), (x1, y1) = m.min(axis=0) - 2.0, m.max(axis=0) + 2.0
    return find_range_for_bounds(z, (x0, y0, x1, y1))
