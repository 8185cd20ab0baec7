"""Black or white that reaches the edge of a picture is no ground; the same colour inside it is."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window

from flycam.geodata import collar
from flycam.geodata.collar import Collar, find_collar
from flycam.geodata.geotiff import write_geotiff
from flycam.geodata.warp import ReferencePicture

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
        return find_collar(source, [1, 2, 3])


@pytest.mark.parametrize(("fill", "dtype"), [(0, np.uint8), (255, np.uint8), (0, np.uint16)])
def test_a_rim_of_one_colour_is_collar_and_a_spot_inside_is_not(tmp_path, fill, dtype):
    values, ground = _turned(fill, dtype=dtype)
    found = _found(_file(tmp_path / "a.tif", values))
    assert found is not None and found.side_px == 1
    assert np.array_equal(found.cells, ~ground)


@pytest.mark.parametrize("said", ["nodata", "ground to the edge", "almost black"])
def test_a_picture_that_says_where_it_has_data_or_has_no_rim_has_no_collar(tmp_path, said):
    values, ground = _turned(0)
    if said == "ground to the edge":
        values[~ground] = 90
    if said == "almost black":
        values[~ground] = (0, 1, 0)
    assert _found(_file(tmp_path / "a.tif", values, nodata=7 if said == "nodata" else None)) is None


def test_cells_of_a_large_picture_hold_all_of_its_collar_and_little_more(tmp_path, monkeypatch):
    monkeypatch.setattr(collar, "_MOST_CELLS", 4_000)
    values, ground = _turned(0, 301)
    found = _found(_file(tmp_path / "a.tif", values))
    assert found is not None and found.side_px == 5
    cells = np.kron(found.cells, np.ones((5, 5), bool))[:301, :301]
    assert cells[~ground].all()
    assert cells[ground].mean() < 0.1
    assert not cells[140:160, 140:160].any()


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


@pytest.mark.parametrize("step_m", [GSD_M, 2.6])
def test_a_collar_is_not_valid_on_another_grid(tmp_path, step_m):
    values, ground = _turned(255)
    picture = ReferencePicture(_file(tmp_path / "a.tif", values))
    side = int(150 / step_m)
    laid = picture.over((WEST, NORTH - side * step_m, WEST + side * step_m, NORTH), (side, side), CRS)
    middles = ((np.arange(side) + 0.5) * step_m / GSD_M).astype(int)
    truth = ground[np.ix_(middles, middles)]
    assert not laid.valid[~truth].any()
    assert laid.valid[truth].mean() > 0.7
    assert laid.valid[side // 2, side // 2]
