"""VN-2000 beside WGS 84, as the geodata room computes it."""

from __future__ import annotations

import httpx
import numpy as np
import pytest

from flycam.geodata.crs import wgs84_points_to_vn2000


def test_a_place_is_told_in_the_zone_of_the_nearest_meridian(client: httpx.Client) -> None:
    found = client.get("/api/vn2000", params={"lon": 104.2, "lat": 22.3}).json()
    expected, zone = wgs84_points_to_vn2000(np.array([[104.2, 22.3]]))
    assert (found["crs"], found["central_meridian_deg"]) == (zone, 104.0)
    assert found["y_east_m"] == pytest.approx(expected[0, 0], abs=0.01)
    assert found["x_north_m"] == pytest.approx(expected[0, 1], abs=0.01)
    assert 2_400_000 < found["x_north_m"] < 2_500_000 and 500_000 < found["y_east_m"] < 530_000


def test_outside_vietnam_there_is_none(client: httpx.Client) -> None:
    assert client.get("/api/vn2000", params={"lon": 12.5, "lat": 41.9}).json() is None
    assert client.get("/api/vn2000", params={"lon": 500, "lat": 41.9}).status_code == 422
