"""VN-2000 beside WGS 84, as the geodata room computes it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import httpx
import numpy as np
import pytest
import shapely

from flycam.catalog.records import CommuneRecord
from flycam.geodata.crs import wgs84_points_to_vn2000
from flycam.serve.services import Services
from tests.serve.running import running
from tests.serve.world import make_workspace


def test_a_place_is_told_in_the_zone_of_the_nearest_meridian(client: httpx.Client) -> None:
    found = client.get("/api/vn2000", params={"lon": 104.2, "lat": 22.3}).json()
    expected, zone = wgs84_points_to_vn2000(np.array([[104.2, 22.3]]))
    assert (found["crs"], found["central_meridian_deg"]) == (zone, 104.0)
    assert found["province"] is None
    assert found["y_east_m"] == pytest.approx(expected[0, 0], abs=0.01)
    assert found["x_north_m"] == pytest.approx(expected[0, 1], abs=0.01)
    assert 2_400_000 < found["x_north_m"] < 2_500_000 and 500_000 < found["y_east_m"] < 530_000


def test_a_place_in_a_commune_is_told_in_the_zone_of_its_province(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    # nearer to 104 degrees, but numbered in Lao Cai, whose meridian is 104 degrees 45 minutes
    commune = CommuneRecord(
        code="02683",
        name="Xã Bát Xát",
        valid_from=date(2025, 7, 1),
        wkb=shapely.to_wkb(shapely.box(103.8, 22.4, 104.0, 22.6)),
        area_m2=4e8,
    )
    workspace.catalog.boundaries.put_communes([commune])
    with running(Services(workspace=workspace)) as url:
        inside = httpx.get(f"{url}/api/vn2000", params={"lon": 103.9, "lat": 22.5}).json()
        beside = httpx.get(f"{url}/api/vn2000", params={"lon": 103.7, "lat": 22.5}).json()
    assert (inside["crs"], inside["central_meridian_deg"]) == ("EPSG:9208", 104.75)
    assert inside["province"] == "Lào Cai"
    expected, _ = wgs84_points_to_vn2000(np.array([[103.9, 22.5]]), "EPSG:9208")
    assert inside["y_east_m"] == pytest.approx(expected[0, 0], abs=0.01)
    assert (beside["central_meridian_deg"], beside["province"]) == (104.0, None)


def test_outside_vietnam_there_is_none(client: httpx.Client) -> None:
    assert client.get("/api/vn2000", params={"lon": 12.5, "lat": 41.9}).json() is None
    assert client.get("/api/vn2000", params={"lon": 500, "lat": 41.9}).status_code == 422
