"""A long flight whose photos agree with one another, without rendering a world: a picture draped over hills.

The drill's true top view is laid over smooth hills, mirrored on and on, and seen by a camera of known pose:
a ray per 8×8 pixels is cut with the hills, the rest is interpolated. What it cannot have is trees, houses
and what they hide; what it has is ties, an adjustment and a surface of a thousand photos.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import rasterio
from PIL import Image

from bench.flights import (
    GSD_M,
    ROOT,
    WORK_CRS,
    BenchFlight,
    save_photo,
    taken_at,
    to_and_fro,
    yaw_along,
)
from flycam.drill.flight import MeasuredPose, make_drill_camera
from flycam.geodata.crs import compute_convergence_and_scale, to_lonlat
from flycam.geodata.raster import write_geotiff
from flycam.geometry.camera import compute_image_rays
from flycam.geometry.pose import ExteriorOrientation, PoseSource, rotation_from_gimbal, to_mat3

_CENTRE_E, _CENTRE_N, _POST_M, _MARGIN_M = 500_000.0, 2_400_000.0, 10.0, 600.0
_LATTICE_PX = 8
_ALONG, _ACROSS = 0.25, 0.35
_GNSS_M, _TILT_DEG, _YAW_DEG, _EXPOSURE = 0.5, 0.3, 0.8, 0.05
_CUT_STEPS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class _Drape:
    picture: np.ndarray
    cell_m: float

    def seen(self, exterior: ExteriorOrientation, size_px: tuple[int, int]) -> np.ndarray:
        """The picture H×W×3 that a camera of this pose takes of the hills."""
        width, height = size_px
        step = _LATTICE_PX
        cols, rows = -(-width // step) + 2, -(-height // step) + 2
        u, v = (((np.arange(n) - 0.5) * step - 0.5) for n in (cols, rows))
        ray = compute_image_rays(
            make_drill_camera(size_px), exterior, np.stack(np.meshgrid(u, v), -1).reshape(-1, 2)
        )
        centre = np.array(exterior.projection_centre_m)
        along = (centre[2] - hills(*centre[:2])) / -ray[:, 2]
        for _ in range(_CUT_STEPS):  # the hills are gentle: it comes to rest within a millimetre
            at = centre + ray * along[:, None]
            along += (at[:, 2] - hills(at[:, 0], at[:, 1])) / -ray[:, 2]
        at = (centre + ray * along[:, None]).reshape(rows, cols, 3)
        place = np.stack([at[..., 0] - _CENTRE_E, _CENTRE_N - at[..., 1]], -1) / self.cell_m
        large = cv2.resize(
            place.astype(np.float32), (cols * step, rows * step), interpolation=cv2.INTER_LINEAR
        )
        large = large[step : step + height, step : step + width]
        x, y = (folded(large[..., k], self.picture.shape[1 - k]) for k in (0, 1))
        return cv2.remap(self.picture, x, y, cv2.INTER_LINEAR)


def hills(east: np.ndarray | float, north: np.ndarray | float) -> np.ndarray:
    """Heights of the ground: hills of some 60 m, steepest 15°."""
    return np.asarray(400.0 + 30.0 * np.sin(np.asarray(east) / 130.0) * np.cos(np.asarray(north) / 170.0))


def draped_flight(source: BenchFlight, photos: int, strips: int) -> BenchFlight:
    """The flight on disk with its DEM, made if it is not there: photos of the drill's size."""
    per_strip = -(-photos // strips)
    folder = ROOT / f"draped-{photos}x{strips}-{source.folder.name}"
    if not (folder / "dem.tif").is_file():
        print(f"photographing {photos} times into {folder} …", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "photos").mkdir(parents=True)
        _photograph(folder, source, photos, per_strip)
    return BenchFlight(folder=folder, strips=strips, per_strip=per_strip)


def _photograph(folder: Path, source: BenchFlight, photos: int, per_strip: int) -> None:
    with rasterio.open(source.folder / "truth" / "ortho.tif") as ortho:
        picture = np.ascontiguousarray(np.moveaxis(ortho.read([1, 2, 3]), 0, -1))
        drape = _Drape(picture=picture, cell_m=float(ortho.transform.a))
    with Image.open(next(iter(sorted(source.photos.iterdir())))) as first:
        size = first.size
    width, height = size
    agl_m = GSD_M * make_drill_camera(size).focal_length_px[0]
    strip, place = to_and_fro(photos, per_strip)
    east = _CENTRE_E + strip * _ACROSS * width * GSD_M
    north = _CENTRE_N + place * _ALONG * height * GSD_M
    true = np.column_stack([east, north, hills(east, north) + agl_m])
    random = np.random.default_rng(7)
    told = true + random.normal(size=true.shape) * _GNSS_M
    lonlat = to_lonlat(told[:, :2], WORK_CRS)
    turn = random.normal(size=true.shape) * (_YAW_DEG, _TILT_DEG, _TILT_DEG)
    gain = 1.0 + random.uniform(-_EXPOSURE, _EXPOSURE, size=photos)
    camera = make_drill_camera(size)

    def one(number: int) -> None:
        cv2.setNumThreads(1)
        yaw = yaw_along(strip[number])
        angles = np.array([yaw, -89.0, 0.0])
        convergence, scale = compute_convergence_and_scale(WORK_CRS, *lonlat[number].tolist())
        exterior = ExteriorOrientation(
            projection_centre_m=tuple(true[number].tolist()),
            rotation=to_mat3(rotation_from_gimbal(*np.radians(angles + turn[number]), convergence)),
            work_crs=WORK_CRS,
            vertical_datum="EGM96",
            grid_scale=scale,
            sigma_position_m=(1.0, 1.0, 1.0),
            sigma_attitude_rad=(0.01, 0.01, 0.01),
            source=PoseSource.GNSS,
        )
        measured = MeasuredPose(
            lon_deg=float(lonlat[number, 0]),
            lat_deg=float(lonlat[number, 1]),
            absolute_m=float(told[number, 2]),
            relative_m=float(told[number, 2] - hills(_CENTRE_E, _CENTRE_N)),
            yaw_deg=yaw,
            pitch_deg=-89.0,
            roll_deg=0.0,
            flight_yaw_deg=yaw,
            taken=taken_at(number, strip[number]),
        )
        seen = cv2.convertScaleAbs(drape.seen(exterior, size), alpha=float(gain[number]))
        save_photo(folder, number, seen, measured, camera)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(one, range(photos)))
    _write_ground(folder / "dem.tif", east, north)


def _write_ground(path: Path, east: np.ndarray, north: np.ndarray) -> None:
    west, top = east.min() - _MARGIN_M, north.max() + _MARGIN_M
    x = np.arange(west, east.max() + _MARGIN_M, _POST_M)
    y = np.arange(top, north.min() - _MARGIN_M, -_POST_M)
    corner = (_POST_M, 0.0, west - _POST_M / 2, 0.0, -_POST_M, top + _POST_M / 2)
    heights = hills(x[None, :], y[:, None]).astype(np.float32)
    write_geotiff(path, heights, corner, WORK_CRS, nodata=-9999.0, tags={"VERTICAL_DATUM": "EGM96"})


def folded(place: np.ndarray, size: int) -> np.ndarray:
    """Places along an endless row of mirrored pictures as places in the one picture."""
    around = np.mod(place, 2 * (size - 1))
    return np.minimum(around, 2 * (size - 1) - around).astype(np.float32)
