"""The base map of shaded terrain."""

from __future__ import annotations

import cv2
import httpx
import numpy as np

from flycam.geometry.grid import lonlat_to_mercator, tile_at
from tests.serve.world import LAT, LON


def shaded(client: httpx.Client, z: int, lon: float, lat: float) -> np.ndarray:
    x, y = lonlat_to_mercator(np.array([[lon, lat]]))[0]
    tile, _, _ = tile_at(z, (float(x), float(y)))
    response = client.get(f"/api/hillshade/{tile}")
    assert response.headers["content-type"] == "image/png"
    assert len(response.content) < 256 * 256  # a byte a pixel before compression
    return cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_known_terrain_is_shaded_and_unknown_is_transparent(client: httpx.Client) -> None:
    near = shaded(client, 13, LON, LAT)
    assert (near[..., 3] == 255).all()
    assert near[..., :3].std() > 5
    assert not shaded(client, 13, LON + 2, LAT)[..., 3].any()
    far = shaded(client, 8, LON, LAT)
    assert 0 < (far[..., 3] > 0).mean() < 1


def test_what_is_registered_is_listed_with_its_datum(client: httpx.Client) -> None:
    dems = client.get("/api/terrain").json()
    assert [(dem["name"], dem["datum"]) for dem in dems] == [("dem.tif", "EGM96")]


def test_zooms_outside_the_base_map_are_refused(client: httpx.Client) -> None:
    assert client.get("/api/hillshade/22/1/1").status_code == 422
