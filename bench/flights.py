"""Flights that the rows are measured on, made once and kept under `.bench/` (not in git).

The drill flight is rendered with exact metadata (noise 0). Its folder is named after its size and the hash of
a tiny drill, so that a drill that draws another world is rendered anew.
"""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from flycam.drill.flight import MeasuredPose, make_drill_camera, make_exif, make_xmp
from flycam.drill.photo_drill import make_drill, write_drill
from flycam.geodata.crs import to_lonlat
from flycam.geodata.raster import write_geotiff
from flycam.geometry.camera import InteriorOrientation

ROOT = Path(__file__).parents[1] / ".bench"
GSD_M = 0.15
SEED = 1
WORK_CRS = "EPSG:32648"


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchFlight:
    """A drill flight on disk; `strips` × `per_strip` photos."""

    folder: Path
    strips: int
    per_strip: int

    @property
    def photos(self) -> Path:
        return self.folder / "photos"

    @property
    def dem(self) -> Path:
        return self.folder / "dem.tif"


def drill_flight(strips: int, per_strip: int) -> BenchFlight:
    """The drill flight of this size, rendered if it is not there."""
    name = f"drill-{strips}x{per_strip}-{_drill_world()}"
    folder = ROOT / name
    if not (folder / "truth" / "truth.json").is_file():
        _forget(f"drill-{strips}x{per_strip}-*")
        print(f"rendering a drill flight of {strips * per_strip} photos into {folder} …", flush=True)
        write_drill(folder, **_options(strips, per_strip))
    return BenchFlight(folder=folder, strips=strips, per_strip=per_strip)


def exact_poses(folder: Path, out: Path) -> None:
    """A drill's true poses as a table with no columns but those that pose readers know."""
    columns = ("filename", "x", "y", "z", "omega", "phi", "kappa")
    with (
        (folder / "truth" / "poses.csv").open(encoding="utf-8") as poses,
        out.open("w", newline="", encoding="utf-8") as table,
    ):
        rows = csv.DictWriter(table, columns, extrasaction="ignore")
        rows.writeheader()
        rows.writerows(csv.DictReader(poses))


def true_coordinates(flight: BenchFlight, numbers: Sequence[int]) -> dict[int, np.ndarray]:
    """True (east, north, height) of every pixel of some photos (from 0): H×W×3 float64, NaN where none."""
    folder = ROOT / "coordinates" / flight.folder.name
    missing = [number for number in numbers if not (folder / f"{number}.npy").exists()]
    if missing:
        _forget(f"coordinates/drill-{flight.strips}x{flight.per_strip}-*", keep=folder.name)
        folder.mkdir(parents=True, exist_ok=True)
        print(f"casting the true coordinates of {len(missing)} photos …", flush=True)
        drill = make_drill(**_options(flight.strips, flight.per_strip))
        for number in missing:
            np.save(folder / f"{number}.part.npy", drill.coordinates(number))
            (folder / f"{number}.part.npy").rename(folder / f"{number}.npy")
    return {number: np.load(folder / f"{number}.npy", mmap_mode="r") for number in numbers}


def long_flight(source: BenchFlight, photos: int, strips: int) -> BenchFlight:
    """Many different photos over new ground, without rendering them.

    The source's pictures are turned, brightened and encoded again, and placed by new metadata over a made-up
    DEM, in strips with the drill's overlaps.
    """
    per_strip = -(-photos // strips)
    folder = ROOT / f"long-{photos}x{strips}-{source.folder.name}"
    if not (folder / "dem.tif").is_file():
        _forget(f"long-{photos}x{strips}-*")
        print(f"encoding {photos} photos into {folder} …", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "photos").mkdir(parents=True)
        pictures = [cv2.imread(str(path)) for path in sorted(source.photos.iterdir())]
        _write_long(folder, pictures, photos, per_strip)
    return BenchFlight(folder=folder, strips=strips, per_strip=per_strip)


def first_photos(flight: BenchFlight, count: int) -> Path:
    """A folder with the first photos of a flight, as links to the same files."""
    folder = flight.folder / f"first-{count}"
    if not folder.is_dir():
        staging = folder.with_suffix(".part")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        for path in sorted(flight.photos.iterdir())[:count]:
            os.link(path, staging / path.name)
        staging.rename(folder)
    return folder


def to_and_fro(photos: int, per_strip: int) -> tuple[np.ndarray, np.ndarray]:
    """Strip of each photo, and its place along it: every second strip is flown backwards."""
    strip, place = np.divmod(np.arange(photos), per_strip)
    return strip, np.where(strip % 2, per_strip - 1 - place, place)


def yaw_along(strip: int) -> float:
    """Where the aircraft's nose points on a strip, degrees: north, and south on the way back."""
    return 180.0 if strip % 2 else 0.0


def taken_at(number: int, strip: int) -> datetime:
    """A photo every 4 seconds, and a turn of 14 between strips."""
    return datetime(2026, 9, 5, 2, 0, 0, tzinfo=UTC) + timedelta(seconds=4.0 * number + 14.0 * float(strip))


def save_photo(
    folder: Path, number: int, picture: np.ndarray, measured: MeasuredPose, camera: InteriorOrientation
) -> None:
    """Write a photo (H×W×3 RGB) as a drone of the drill's camera would, with what it measured."""
    name = f"DJI_{number + 1:04d}.JPG"
    Image.fromarray(picture).save(
        folder / "photos" / name,
        format="JPEG",
        quality=90,
        exif=make_exif(name, measured, camera),
        xmp=make_xmp(measured, camera),
    )


_CENTRE_E, _CENTRE_N, _AGL_M, _POST_M = 500_000.0, 2_400_000.0, 120.0, 10.0


def _write_long(folder: Path, pictures: list[np.ndarray], photos: int, per_strip: int) -> None:
    height_px, width_px = pictures[0].shape[:2]
    camera = make_drill_camera((width_px, height_px))
    along, across = 0.25 * height_px * GSD_M, 0.35 * width_px * GSD_M
    strip, place = to_and_fro(photos, per_strip)
    east, north = _CENTRE_E + strip * across, _CENTRE_N + place * along
    margin = 1500.0
    west, top = _CENTRE_E - margin, north.max() + margin
    cols = int((east.max() - west + margin) / _POST_M)
    rows = int((top - _CENTRE_N + margin) / _POST_M)
    x = west + _POST_M * np.arange(cols)
    y = top - _POST_M * np.arange(rows)
    ground = _rolling(x[None, :], y[:, None]).astype(np.float32)
    lonlat = to_lonlat(np.stack([east, north], -1), WORK_CRS)
    heights = _rolling(east, north) + _AGL_M
    for number in range(photos):
        picture = pictures[number % len(pictures)]
        lap = number // len(pictures)
        picture = cv2.convertScaleAbs(
            picture[:: -1 if lap % 2 else 1], alpha=1.0 - 0.02 * lap, beta=float(lap)
        )
        yaw_deg = yaw_along(strip[number])
        measured = MeasuredPose(
            lon_deg=float(lonlat[number, 0]),
            lat_deg=float(lonlat[number, 1]),
            absolute_m=float(heights[number]),
            relative_m=float(heights[number] - _rolling(_CENTRE_E, _CENTRE_N)),
            yaw_deg=yaw_deg,
            pitch_deg=-89.5,
            roll_deg=0.0,
            flight_yaw_deg=yaw_deg,
            taken=taken_at(number, strip[number]),
        )
        save_photo(folder, number, np.ascontiguousarray(picture[..., ::-1]), measured, camera)
    corner = (_POST_M, 0.0, west - _POST_M / 2, 0.0, -_POST_M, top + _POST_M / 2)
    write_geotiff(
        folder / "dem.tif", ground, corner, WORK_CRS, nodata=-9999.0, tags={"VERTICAL_DATUM": "EGM96"}
    )


def _rolling(east: np.ndarray | float, north: np.ndarray | float) -> np.ndarray:
    """Hills of some 60 m, steepest 20°."""
    return np.asarray(400.0 + 30.0 * np.sin(np.asarray(east) / 130.0) * np.cos(np.asarray(north) / 170.0))


def _options(strips: int, per_strip: int) -> dict[str, object]:
    return {"seed": SEED, "noise": 0.0, "gsd_m": GSD_M, "photos": (strips, per_strip)}


@cache
def _drill_world() -> str:
    """A short hash of what the drill draws: a photo and its true coordinates, both tiny."""
    tiny = make_drill(seed=SEED, noise=0.0, gsd_m=8 * GSD_M, photos=(1, 2), size_px=(132, 99))
    return hashlib.sha256(tiny.photo(1).tobytes() + tiny.coordinates(1).tobytes()).hexdigest()[:8]


def _forget(pattern: str, keep: str | None = None) -> None:
    """Older flights of the same size are not needed any more."""
    for path in ROOT.glob(pattern):
        if path.name != keep:
            shutil.rmtree(path, ignore_errors=True)
