"""Shaded relief: light from the north-west, transparent where nothing is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flycam.errors import SourceUnreadable
from flycam.geodata.crs import to_lonlat
from flycam.geodata.dem import read_dem_info
from flycam.geodata.hillshade import hillshade_rgba, hillshade_tile
from flycam.geometry.grid import TileId, lonlat_to_mercator, tile_at
from tests.geodata.dem_files import EAST, NORTH, ground, write_dem


def slope(east: float, north: float) -> np.ndarray:
    r, c = np.mgrid[0:34, 0:34].astype(np.float32)
    return (500 + east * 10 * c - north * 10 * r).astype(np.float32)


def test_slopes_towards_the_north_west_are_bright() -> None:
    """A slope that faces the sun at its own angle is as bright as can be; its opposite is dark."""
    facing = hillshade_rgba(slope(0.7, -0.7), 10.0)[..., 0]
    away = hillshade_rgba(slope(-0.7, 0.7), 10.0)[..., 0]
    flat = hillshade_rgba(slope(0, 0), 10.0)[..., 0]
    assert facing.min() >= 246
    assert away.max() < flat.min() < facing.min()


def test_shade_depends_on_slope_not_on_height() -> None:
    assert np.array_equal(hillshade_rgba(slope(0.3, 0.1), 10.0), hillshade_rgba(slope(0.3, 0.1) + 1000, 10.0))
    assert np.array_equal(
        hillshade_rgba(slope(0.2, 0.2), 10.0), hillshade_rgba(slope(0.1, 0.1), 10.0, exaggeration=2.0)
    )


def test_holes_are_transparent_and_black() -> None:
    heights = slope(0.2, 0.2)
    heights[10, 12] = np.nan
    rgba = hillshade_rgba(heights, 10.0)
    assert not rgba[9, 11].any()
    assert rgba[20, 20, 3] == 255
    assert (rgba[..., 3] == 0).sum() == 9


@pytest.fixture
def tile_and_dem(tmp_path: Path) -> tuple[TileId, Path]:
    path = write_dem(tmp_path / "dem.tif", ground(400, 400))
    middle = to_lonlat(np.array([[EAST + 2000, NORTH - 2000]]), "EPSG:32648")
    x, y = lonlat_to_mercator(middle)[0].tolist()
    return tile_at(15, (x, y))[0], path


def test_neighbouring_tiles_continue_each_other(tile_and_dem: tuple[TileId, Path]) -> None:
    tile, path = tile_and_dem
    dems = [read_dem_info(path, "EGM96")]
    here = hillshade_tile(dems, tile)
    east = hillshade_tile(dems, TileId(z=tile.z, x=tile.x + 1, y=tile.y))
    assert here is not None
    assert east is not None
    assert (here[..., 3] == 255).all()
    seam = np.abs(here[:, -1, 0].astype(int) - east[:, 0, 0].astype(int)).max()
    inside = np.abs(np.diff(here[..., 0].astype(int), axis=1)).max()
    assert seam <= inside + 2


def test_beyond_the_terrain(tile_and_dem: tuple[TileId, Path]) -> None:
    tile, path = tile_and_dem
    dems = [read_dem_info(path, "EGM96")]
    assert hillshade_tile(dems, TileId(z=tile.z, x=tile.x + 50, y=tile.y)) is None
    assert hillshade_tile([], tile) is None
    wide = hillshade_tile(dems, TileId(z=12, x=tile.x >> 3, y=tile.y >> 3))
    assert wide is not None
    assert 0 < (wide[..., 3] > 0).mean() < 1
    path.unlink()
    with pytest.raises(SourceUnreadable, match=r"^dem\.tif"):
        hillshade_tile(dems, tile)
