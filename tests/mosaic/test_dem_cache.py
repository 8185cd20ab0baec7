"""A terrain file that is damaged or lost costs the ground that lies on it, and no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from flycam.errors import DataDamaged
from flycam.geodata.dem import load_terrain, read_dem_info
from flycam.geometry.grid import TileId, find_tile_at, lonlat_to_mercator
from flycam.geometry.terrain import TerrainGrid
from flycam.mosaic import terrain
from flycam.mosaic.terrain import TerrainLookup, load_registered_dems, register_dem
from flycam.storage import keys
from flycam.workspace import Workspace
from tests.serve.world import LAT, LON, make_workspace
from tests.unreliable_stores import CountingStore

FAR = LON + 0.5


def write_dem(path: Path, lon: float, rise_m: float = 30.0) -> Path:
    """Four kilometres of hills around a place."""
    heights = 400.0 + rise_m * np.sin(np.arange(80) / 7.0)[:, None] * np.cos(np.arange(80) / 9.0)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=80,
        height=80,
        count=1,
        dtype="float32",
        crs="EPSG:4326",
        transform=from_origin(lon - 0.02, LAT + 0.02, 0.0005, 0.0005),
    ) as out:
        out.write(heights.astype("float32"), 1)
    return path


@pytest.fixture
def house(tmp_path: Path) -> Workspace:
    """Terrain here, whole, and far off, of which a bit has changed in the store."""
    workspace = make_workspace(tmp_path / "house")
    workspace = replace(workspace, store=CountingStore(workspace.store))
    register_dem(workspace, write_dem(tmp_path / "gan.tif", LON), "EGM96")
    record, _ = register_dem(workspace, write_dem(tmp_path / "xa.tif", FAR), "EGM96")
    key = keys.format_original_key(record.sha256)
    data = workspace.store.get(key)
    workspace.store.delete(key)
    workspace.store.put(key, bytes([data[0] ^ 1]) + data[1:])
    return workspace


def tile(lon: float) -> TileId:
    x, y = lonlat_to_mercator(np.array([[lon, LAT]]))[0]
    return find_tile_at(14, (float(x), float(y)))[0]


def test_only_ground_on_a_damaged_file_is_refused_by_its_name(house: Workspace, tmp_path: Path) -> None:
    dems = load_registered_dems(house)
    assert sorted(dem.path.name for dem in dems) == ["gan.tif", "xa.tif"]
    lookup = TerrainLookup(dems)
    heights, datum = lookup(np.array([[LON, LAT]]))
    assert np.isfinite(heights).all() and datum == "EGM96"
    for ask in (
        lambda: TerrainLookup(dems)(np.array([[FAR, LAT]])),
        lambda: load_terrain(dems, "EPSG:4326", (FAR, LAT, FAR + 0.001, LAT + 0.001)),
    ):
        with pytest.raises(DataDamaged, match=r"xa\.tif.*flycam verify"):
            ask()
    record, info = register_dem(house, write_dem(tmp_path / "xa-moi.tif", FAR, 31.0), "EGM96")
    assert record.name == "xa-moi.tif" and not info.warnings, "another comes beside it"


def test_places_looked_up_in_turn_load_their_ground_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    def load(*arguments: Any, **named: Any) -> TerrainGrid:
        loaded.append(arguments)
        return load_terrain(*arguments, **named)

    monkeypatch.setattr(terrain, "load_terrain", load)
    lookup = TerrainLookup([read_dem_info(write_dem(tmp_path / "doi.tif", LON), "EGM96")])
    below, in_view = np.array([[LON - 0.008, LAT]]), np.array([[LON + 0.008, LAT]])
    first = [lookup(place)[0] for place in (below, in_view)]
    again = [lookup(place)[0] for _ in range(5) for place in (below, in_view)]
    assert len(loaded) == 2
    np.testing.assert_allclose(again, first * 5, atol=0.05)  # m; each terrain has its own posts
    far = np.array([[LON + 5.0, LAT]])
    assert np.isnan(lookup(far)[0]).all()
    np.testing.assert_allclose(lookup(below)[0], first[0], atol=0.05, err_msg="ground far away is not joined")
