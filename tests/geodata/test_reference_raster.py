"""A georeferenced picture on the tile grid: in its place whatever its CRS, pixel size, type and holes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import rasterio

from flycam.errors import CrsMissing, SourceUnreadable
from flycam.geodata.crs import transform_points
from flycam.geodata.raster import CAPTURED_TAG, ReferenceRaster, write_geotiff
from flycam.geometry.grid import (
    compute_pixel_centres,
    find_range_for_bounds,
    lonlat_to_mercator,
    mercator_to_lonlat,
)
from flycam.model.time import format_minute

LON, LAT = 104.3, 21.7


def scene(path, crs, gsd_m, *, dtype=np.uint8, size=400, hole=False):
    """A picture whose three bands say where it is: east, north and their sum, in 0.5 m a grey value."""
    centre = transform_points(np.array([[LON, LAT]]), "EPSG:4326", crs)[0]
    step = gsd_m if "4326" not in crs else gsd_m / 111_000.0
    transform = (step, 0.0, centre[0] - size / 2 * step, 0.0, -step, centre[1] + size / 2 * step)
    columns, rows = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    x, y = transform[2] + columns * step, transform[5] - rows * step
    lonlat = transform_points(np.stack([x, y], -1).reshape(-1, 2), crs, "EPSG:4326")
    work = transform_points(lonlat, "EPSG:4326", "EPSG:32648").reshape(size, size, 2)
    middle = transform_points(np.array([[LON, LAT]]), "EPSG:4326", "EPSG:32648")[0]
    east, north = (work - middle)[..., 0], (work - middle)[..., 1]
    bands = np.stack([east, north, (east + north) / 2], -1) * 2.0 + 128.0
    values = np.clip(bands, 1, 255)
    if dtype is not np.uint8:
        values = values * 100.0
    values = values.round().astype(dtype)
    if hole:
        values[100:200, 100:200] = 0
    write_geotiff(path, values, transform, crs, nodata=0 if hole else None)
    return path


@pytest.mark.parametrize(
    ("dated", "acquired", "exported", "taken"),
    [
        ("2024:09:10 10:15:30", "", "", "10/09/2024 10:15"),
        ("2024:09:12 08:00:00", "2024-09-10 03:15:30", "", "10/09/2024 10:15"),
        ("", "", "10/09/2024 09:13:00 - 10/09/2024 10:15:02 UTC+7", "10/09/2024 10:15"),
        ("1970:01:01 00:00:00", "", "", ""),
        ("10 Sep 2024", "", "", ""),
        ("", "", "", ""),
    ],
    ids=[
        "the file's date",
        "its own, UTC, before that",
        "exported here",
        "never set",
        "no date",
        "none told",
    ],
)
def test_a_file_is_of_the_time_that_it_tells(tmp_path, dated, acquired, exported, taken):
    path = scene(tmp_path / "a.tif", "EPSG:32648", 0.5)
    with rasterio.open(path, "r+") as file:
        if dated:
            file.update_tags(TIFFTAG_DATETIME=dated)
        if exported:
            file.update_tags(**{CAPTURED_TAG: exported})
        if acquired:
            file.update_tags(ns="IMAGERY", ACQUISITIONDATETIME=acquired)
    told = ReferenceRaster(path).taken_ns
    assert ("" if told is None else format_minute(told)) == taken


def tiles_here(half_m=25.0, zoom=20):
    east, north = lonlat_to_mercator(np.array([[LON, LAT]]))[0]
    return find_range_for_bounds(zoom, (east - half_m, north - half_m, east + half_m, north + half_m))


@pytest.mark.parametrize("crs", ["EPSG:32648", "EPSG:4326", "EPSG:3857", "EPSG:9208", "EPSG:32649"])
@pytest.mark.parametrize("gsd_m", [0.3, 0.05 * 8])
def test_every_pixel_lies_in_its_place(tmp_path, crs, gsd_m):
    picture = ReferenceRaster(scene(tmp_path / "a.tif", crs, gsd_m))
    tiles = tiles_here()
    laid = picture.warp_to_tiles(tiles)
    height, width = tiles.shape_px
    rows, cols = np.mgrid[0:height, 0:width]
    mercator = compute_pixel_centres(tiles, rows.ravel(), cols.ravel())
    work = transform_points(mercator_to_lonlat(mercator), "EPSG:4326", "EPSG:32648").reshape(height, width, 2)
    middle = transform_points(np.array([[LON, LAT]]), "EPSG:4326", "EPSG:32648")[0]
    inside = laid.valid & (np.abs(work - middle) < 55.0).all(axis=-1)
    assert inside.mean() > 0.5
    seen = (laid.rgb[..., :2].astype(float) - 128.0) / 2.0
    off = seen - (work - middle)
    # grey values are rounded twice: 0.5 of 2 a metre, each
    assert np.abs(off[inside]).max() < 0.6
    assert np.abs(off[inside].mean(axis=0)).max() < 0.05


def test_holes_and_ground_beside_are_not_valid(tmp_path):
    picture = ReferenceRaster(scene(tmp_path / "a.tif", "EPSG:32648", 0.3, hole=True))
    laid = picture.warp_to_tiles(tiles_here())
    assert 0.02 < 1.0 - laid.valid.mean() < 0.9
    assert (laid.rgb[laid.valid] > 0).all()
    far = lonlat_to_mercator(np.array([[LON + 1.0, LAT]]))[0]
    nothing = picture.warp_to_tiles(find_range_for_bounds(20, (far[0], far[1], far[0] + 10.0, far[1] + 10.0)))
    assert not nothing.valid.any()


def test_sixteen_bits_have_the_colours_of_eight(tmp_path):
    """Red, green and blue keep their shares: a common offset taken off would paint dark ground."""
    rng = np.random.default_rng(3)
    rgb = np.stack([rng.integers(*ends, (400, 400)) for ends in ((60, 160), (90, 200), (40, 130))], -1)
    middle = transform_points(np.array([[LON, LAT]]), "EPSG:4326", "EPSG:32648")[0]
    transform = (0.3, 0.0, middle[0] - 60.0, 0.0, -0.3, middle[1] + 60.0)
    shares = []
    for dtype, times in ((np.uint8, 1.0), (np.uint16, 200.0), (np.float32, 0.004)):
        path = tmp_path / f"{np.dtype(dtype)}.tif"
        write_geotiff(path, (rgb * times).astype(dtype), transform, "EPSG:32648")
        laid = ReferenceRaster(path).warp_to_tiles(tiles_here())
        mean = laid.rgb[laid.valid].mean(axis=0)
        shares.append(mean / mean.sum())
    assert np.abs(np.diff(shares, axis=0)).max() < 0.004


def test_what_is_no_map_is_refused(tmp_path):
    (tmp_path / "a.tif").write_text("not a picture")
    with pytest.raises(SourceUnreadable, match=r"a\.tif"):
        ReferenceRaster(tmp_path / "a.tif")
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(CrsMissing, match=r"b\.png"):
        ReferenceRaster(tmp_path / "b.png")
