"""Black or white that reaches a picture's edge, or is larger than a roof, is no ground; a spot of it is."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window

from flycam.geodata.raster import Collar, find_collar, write_geotiff

CRS, WEST, NORTH, GSD_M = "EPSG:32648", 430_000.0, 2_400_000.0, 0.5


def _turned(fill: int, size: int = 300, dtype=np.uint8) -> tuple[np.ndarray, np.ndarray]:
    """A turned square in a collar of one colour, with a hole of that colour in its middle; and its ground."""
    rows, cols = np.mgrid[0:size, 0:size]
    ground = np.abs(rows - size // 2) + np.abs(cols - size // 2) < size * 0.45
    values = np.random.default_rng(1).integers(20, 230, (size, size, 3)).astype(dtype)
    values[size // 2 - 10 : size // 2 + 10, size // 2 - 10 : size // 2 + 10] = fill
    values[~ground] = fill
    return values, ground


def _file(path, values, nodata=None):
    write_geotiff(path, values, (GSD_M, 0.0, WEST, 0.0, -GSD_M, NORTH), CRS, nodata=nodata)
    return path


def _found(path) -> Collar | None:
    with rasterio.open(path) as source:
        return find_collar(source, [1, 2, 3], GSD_M)


@pytest.mark.parametrize(("fill", "dtype"), [(0, np.uint8), (255, np.uint8), (0, np.uint16)])
def test_a_rim_of_one_colour_is_collar_and_a_spot_inside_is_not(tmp_path, fill, dtype):
    values, ground = _turned(fill, dtype=dtype)
    found = _found(_file(tmp_path / "a.tif", values))
    assert found is not None and found.side_px == 1
    assert np.array_equal(found.cells, ~ground)


def _holed(fill: int, rows: int, cols: int, size: int = 200, dtype=np.uint8) -> tuple[np.ndarray, np.ndarray]:
    """Ground to the edge with a hole of so many pixels; and where that is."""
    values = np.random.default_rng(2).integers(1, 230, (size, size, 3)).astype(dtype)
    hole = np.zeros((size, size), bool)
    hole[60 : 60 + rows, 50 : 50 + cols] = True
    values[hole] = fill
    return values, hole


@pytest.mark.parametrize(
    ("fill", "dtype"), [(0, np.uint8), (255, np.uint8), (0, np.uint16), (65535, np.uint16)]
)
def test_a_hole_larger_than_a_roof_was_not_imaged(tmp_path, fill, dtype):
    values, hole = _holed(fill, 50, 60, dtype=dtype)
    found = _found(_file(tmp_path / "a.tif", values))
    assert found is not None and np.array_equal(found.cells, hole)
    assert found.hole_share == pytest.approx(hole.mean()) and found.rim_share == pytest.approx(0.0)


@pytest.mark.parametrize(("rows", "cols"), [(38, 40), (19, 120)], ids=["of 380 m²", "9.5 m wide"])
def test_a_patch_of_a_roofs_size_or_a_ditchs_width_is_ground(tmp_path, rows, cols):
    assert _found(_file(tmp_path / "a.tif", _holed(0, rows, cols)[0])) is None


@given(
    step=st.integers(1, 7),
    side=st.integers(1, 5),
    corner=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    count=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    seed=st.integers(0, 99),
)
def test_a_square_touches_the_collar_where_one_of_its_pixels_lies_in_it(step, side, corner, count, seed):
    cells = np.random.default_rng(seed).random((70, 70)) < 0.05
    window = Window(corner[1], corner[0], count[1] * step, count[0] * step)
    pixels = np.kron(cells, np.ones((side, side), bool))
    cut = pixels[corner[0] : corner[0] + count[0] * step, corner[1] : corner[1] + count[1] * step]
    expected = cut.reshape(count[0], step, count[1], step).any(axis=(1, 3))
    assert np.array_equal(Collar(cells=cells, side_px=side).touches(window, step), expected)


def _compressed(path, values, quality):
    """The picture as GDAL keeps it by JPEG (colours at half the pixels), without a mask."""
    profile = {
        "driver": "GTiff",
        "width": values.shape[1],
        "height": values.shape[0],
        "count": 3,
        "dtype": "uint8",
    }
    more = {"compress": "JPEG", "photometric": "YCBCR", "jpeg_quality": quality, "tiled": True}
    place = {"crs": CRS, "transform": rasterio.Affine(GSD_M, 0.0, WEST, 0.0, -GSD_M, NORTH)}
    with rasterio.open(path, "w", **profile, **more, **place) as out:
        out.write(np.moveaxis(values, -1, 0))
    return path


@pytest.mark.parametrize("quality", [60, 75, 90])
def test_a_hole_and_a_rim_worn_by_jpeg_are_found_whole(tmp_path, quality):
    values, hole = _holed(0, 60, 70, size=240)
    values[~hole] = values[~hole] // 2 + 60
    unseen = hole.copy()
    unseen[:, 200:] = True
    values[unseen] = 0
    path = _compressed(tmp_path / "a.tif", values, quality)
    with rasterio.open(path) as source:
        dark = (source.read() <= 8).all(axis=0)
    found = _found(path)
    assert found is not None
    assert not (dark & unseen & ~found.cells).any(), "nothing that looks black is left for ground"
    assert (found.cells & ~unseen).mean() < 0.01
    assert (dark & unseen).sum() > (values == 0).all(axis=-1).sum() * 0.9
