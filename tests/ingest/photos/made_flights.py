"""Flights made of numbers: strips of photos with known positions, headings and heights."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.ingest.photos.photo_reader import PhotoMetadata
from flycam.ingest.photos.xmp import Angles, Dialect
from flycam.media.pixels import PixelChecks

LON, LAT = 104.8, 21.9
M_PER_DEG = 111_195.0
GROUND_M = 300.0
CAMERA = InteriorOrientation(
    model=LensModel.PINHOLE,
    image_size_px=(4000, 3000),
    focal_length_px=(3000.0, 3000.0),
    principal_point_px=(1999.5, 1499.5),
    calibration_id="test",
)


def canberra_camera(folder: Path) -> InteriorOrientation:
    """The lens of the real flight `canberra_tlog`, from the OpenCV matrices beside its photos."""
    camera = json.loads((folder / "camera.json").read_text())
    k = np.array(camera["K"])
    return InteriorOrientation(
        model=LensModel.BROWN,
        image_size_px=(1280, 960),
        focal_length_px=(k[0, 0], k[1, 1]),
        principal_point_px=(k[0, 2], k[1, 2]),
        distortion=tuple(np.array(camera["D"]).ravel()),
        calibration_id="operator:camera.json",
    )


def picture(sharpness, covered=False):
    """What a look at the pixels says of a sharp, blurred or covered picture."""
    return PixelChecks(sharpness=sharpness, lens_covered=covered)


def photo(name="DJI_0001.JPG", **fields):
    values = {
        "path": Path("card") / name,
        "name": name,
        "size_bytes": 1,
        "dialect": Dialect.DJI,
        "image_size_px": (4000, 3000),
        "maker": "DJI",
        "model": "TEST",
        **fields,
    }
    return PhotoMetadata(**values)


def strips(
    *,
    lines=4,
    per_line=12,
    step_m=20.0,
    spacing_m=45.0,
    heading_deg=90.0,
    relative_m=100.0,
    takeoff_m=GROUND_M,
    crab_deg=0.0,
    seconds=2.0,
    turn_s=8.0,
):
    """Back and forth along `heading_deg`; gimbal and aircraft look along the course (plus crab)."""
    photos, t = [], datetime(2025, 9, 20, 9, 0, 0)
    along = np.array([np.sin(np.radians(heading_deg)), np.cos(np.radians(heading_deg))])
    across = np.array([along[1], -along[0]])
    for line in range(lines):
        order = range(per_line) if line % 2 == 0 else range(per_line - 1, -1, -1)
        course = heading_deg if line % 2 == 0 else heading_deg + 180.0
        sign = 1.0 if line % 2 == 0 else -1.0
        for k in order:
            east, north = k * step_m * along + line * spacing_m * across
            yaw = float((course + sign * crab_deg + 180.0) % 360.0 - 180.0)
            number = len(photos) + 1
            photos.append(
                photo(
                    f"DJI_{number:04d}.JPG",
                    size_bytes=1000 + number,
                    taken_text=t.isoformat(timespec="milliseconds"),
                    taken_offset="+07:00",
                    lon_deg=LON + east / M_PER_DEG / np.cos(np.radians(LAT)),
                    lat_deg=LAT + north / M_PER_DEG,
                    relative_altitude_m=relative_m,
                    absolute_altitude_m=relative_m + takeoff_m,
                    gimbal=Angles(yaw_deg=yaw, pitch_deg=-90.0, roll_deg=0.0),
                    aircraft=Angles(yaw_deg=yaw, pitch_deg=2.0, roll_deg=-1.0),
                )
            )
            t += timedelta(seconds=seconds)
        t += timedelta(seconds=turn_s)
    return photos


def with_angles(item, *, gimbal=None, aircraft=None):
    """A copy with some of its angles replaced: dicts of Angles fields."""
    return replace(
        item,
        gimbal=replace(item.gimbal, **(gimbal or {})),
        aircraft=replace(item.aircraft, **(aircraft or {})),
    )


def flat(height_m=GROUND_M, datum="EGM96"):
    return lambda lonlat: (np.full(len(lonlat), float(height_m)), datum)


def codes(problems):
    return [p.code for p in problems]


def the(problems, code):
    (found,) = [p for p in problems if p.code == code]
    return found
