"""Shaded relief: light from the north-west, transparent where nothing is known."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from flycam.geodata.crs import to_lonlat
from flycam.geodata.dem import DemInfo, read_dem_info
from flycam.geodata.hillshade import compute_hillshade, make_palette, render_hillshade_tile
from flycam.geometry.grid import TileId, find_tile_at, lonlat_to_mercator
from tests.conftest import REPOSITORY
from tests.geodata.dem_files import EAST, NORTH, ground, write_dem

WEB = REPOSITORY / "web" / "src"
GROUND_IN_CSS = re.search(r"--ground: #(\w{6});", (WEB / "style.css").read_text(encoding="utf-8"))
assert GROUND_IN_CSS
PAGE_GROUND = np.array(list(bytes.fromhex(GROUND_IN_CSS[1])))
"""What the map draws nothing on, RGB."""


def slope(east: float, north: float) -> np.ndarray:
    r, c = np.mgrid[0:34, 0:34].astype(np.float32)
    return (500 + east * 10 * c - north * 10 * r).astype(np.float32)


def test_slopes_towards_the_north_west_are_bright() -> None:
    """A slope that faces the sun at its own angle is as bright as can be; its opposite is dark."""
    facing, away, flat = (compute_hillshade(slope(e, n), 10.0) for e, n in ((0.7, -0.7), (-0.7, 0.7), (0, 0)))
    assert facing.min() >= 0.995
    assert away.max() < flat.min() < facing.min()


@pytest.fixture
def tile_and_dem(tmp_path: Path) -> tuple[TileId, Path]:
    path = write_dem(tmp_path / "dem.tif", ground(400, 400))
    middle = to_lonlat(np.array([[EAST + 2000, NORTH - 2000]]), "EPSG:32648")
    x, y = lonlat_to_mercator(middle)[0].tolist()
    return find_tile_at(15, (x, y))[0], path


def shaded(dems: list[DemInfo], tile: TileId) -> np.ndarray:
    numbers = render_hillshade_tile(dems, tile)
    assert numbers is not None
    return make_palette()[numbers]


def test_shading_fades_where_the_known_terrain_ends_and_goes_on_across_tiles(
    tile_and_dem: tuple[TileId, Path],
) -> None:
    tile, path = tile_and_dem
    dems = [read_dem_info(path, "EGM96")]
    north = tile
    while (above := render_hillshade_tile(dems, TileId(z=tile.z, x=tile.x, y=north.y - 1))) is not None:
        north = TileId(z=tile.z, x=tile.x, y=north.y - 1)
        if not above.all():
            break
    column = shaded(dems, north)[:, 128].astype(int)
    below = shaded(dems, TileId(z=tile.z, x=tile.x, y=north.y + 1))[:, 128].astype(int)
    both = np.concatenate([column, below])
    opacity = both[:, 3]
    assert opacity[0] == 0 and opacity[-1] == 255
    assert (np.diff(opacity) >= 0).all()
    assert 20 <= ((opacity > 0) & (opacity < 255)).sum() <= 36
    # over the page's ground nothing jumps, though there are five opacities only
    share = opacity[:, None] / 255
    seen = share * both[:, :3] + (1 - share) * PAGE_GROUND
    assert np.abs(np.diff(seen, axis=0)).max() < 7
    assert np.abs(seen[-1] - PAGE_GROUND).max() > 14
