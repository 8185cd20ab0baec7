"""The published poses beside the project, read for tests: exact poses, lenses and heights of real frames."""

from __future__ import annotations

import csv
import json

import numpy as np
import rasterio

from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.geometry.pose import ExteriorOrientation, PoseSource, rotation_from_opk, to_mat3
from flycam.geometry.terrain import TerrainGrid


def exterior_of(xyz, rotation):
    return ExteriorOrientation(
        projection_centre_m=tuple(float(v) for v in xyz),
        rotation=to_mat3(rotation),
        work_crs="LOCAL",
        vertical_datum="LOCAL",
        sigma_position_m=(0.0, 0.0, 0.0),
        sigma_attitude_rad=(0.0, 0.0, 0.0),
        source=PoseSource.ADJUSTED,
    )


def read_opk(path):
    with path.open(newline="") as f:
        dialect = csv.Sniffer().sniff(f.readline())
        f.seek(0)
        for row in csv.DictReader((line.replace("'", "") for line in f), delimiter=dialect.delimiter):
            name = row["filename"].removesuffix(".tif")
            angles = np.radians([float(row[k]) for k in ("omega", "phi", "kappa")])
            yield name, exterior_of([float(row[k]) for k in "xyz"], rotation_from_opk(*angles))


def read_dem(path):
    """The DEM, whose horizontal CRS is that of the poses in both sets."""
    with rasterio.open(path) as source:
        heights, transform = source.read(1, masked=True).astype("float32").filled(np.nan), source.transform
    return TerrainGrid(
        heights_m=heights,
        origin_m=(transform.c + transform.a / 2, transform.f + transform.e / 2),
        post_spacing_m=(transform.a, -transform.e),
        work_crs="LOCAL",
        vertical_datum="LOCAL",
        dem_id=path.name,
    )


def odm_camera(folder):
    """The adjusted lens of `odm_drone_oblique`."""
    camera = next(iter(json.loads((folder / "reconstruction.json").read_text())[0]["cameras"].values()))
    width, height = camera["width"], camera["height"]
    size = max(width, height)
    return InteriorOrientation(
        model=LensModel.BROWN,
        image_size_px=(width, height),
        focal_length_px=(camera["focal_x"] * size, camera["focal_y"] * size),
        # OpenSfM: normalised coordinates from the image centre, (width - 1) / 2 in pixel centres
        principal_point_px=(
            camera["c_x"] * size + (width - 1) / 2,
            camera["c_y"] * size + (height - 1) / 2,
        ),
        distortion=tuple(camera[k] for k in ("k1", "k2", "p1", "p2", "k3")),
        calibration_id="published",
    )
