"""The base map of shaded terrain."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import cv2
import httpx
import numpy as np
import shapely

from flycam.board.layers import register_communes
from flycam.drill.photo_drill import DrillReport
from flycam.geometry.grid import find_tile_at, lonlat_to_mercator
from flycam.http.guards import Services
from flycam.model.records import CommuneRecord
from flycam.mosaic.terrain import register_dem
from tests.serve.running import running
from tests.serve.world import LAT, LON, make_workspace


def shaded(client: httpx.Client, z: int, lon: float, lat: float) -> np.ndarray:
    x, y = lonlat_to_mercator(np.array([[lon, lat]]))[0]
    tile, _, _ = find_tile_at(z, (float(x), float(y)))
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


def test_what_a_drill_brought_is_told_from_what_is_real(tmp_path: Path, drill: DrillReport) -> None:
    workspace = make_workspace(tmp_path)
    register_dem(workspace, drill.dem)
    register_communes(workspace, drill.communes)
    with running(Services(workspace=workspace)) as url, httpx.Client(base_url=url, timeout=60) as client:
        assert [dem["is_drill"] for dem in client.get("/api/terrain").json()] == [True]
        assert client.get("/api/communes/extent").json() is not None
        assert client.get("/api/communes/extent", params={"made_up": False}).json() is None
        far = shapely.to_wkb(shapely.box(LON + 2, LAT, LON + 2.1, LAT + 0.1))
        real = CommuneRecord(code="02857", name="Nậm Lúc", valid_from=date(2025, 7, 1), wkb=far, area_m2=1e8)
        workspace.catalog.boundaries.put_communes([real])
        assert client.get("/api/communes/extent", params={"made_up": False}).json() is not None
