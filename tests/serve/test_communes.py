"""Communes by view and by name."""

from __future__ import annotations

import httpx
import pytest
import shapely

from tests.serve.world import LAT, LON


@pytest.mark.parametrize("typed", ["Mường Đăng", "muong dang", "MUONG D", "đăng", "ường đă"])
def test_a_commune_is_found_with_or_without_accents(client: httpx.Client, typed: str) -> None:
    found = client.get("/api/communes", params={"q": typed}).json()["features"]
    assert [feature["properties"]["name"] for feature in found] == ["Mường Đăng"]
    west, south, east, north = found[0]["bbox"]
    assert west < LON < east or south < LAT + 0.01 < north


def test_only_communes_in_the_view_are_sent(client: httpx.Client) -> None:
    here = client.get("/api/communes", params={"bounds": f"{LON},{LAT},{LON + 0.001},{LAT + 0.001}"}).json()
    elsewhere = client.get("/api/communes", params={"bounds": "100,10,101,11"}).json()
    assert len(here["features"]) >= 1
    assert elsewhere["features"] == []


def test_simplified_boundaries_stay_valid_and_close(client: httpx.Client) -> None:
    exact = client.get("/api/communes").json()["features"]
    coarse = client.get("/api/communes", params={"tolerance_m": 50}).json()["features"]
    for one, other in zip(exact, coarse, strict=True):
        a, b = (shapely.geometry.shape(feature["geometry"]) for feature in (one, other))
        assert b.is_valid
        assert a.symmetric_difference(b).area < 0.05 * a.area


@pytest.mark.parametrize("bounds", ["1,2,3", "a,b,c,d", "3,0,1,2", "nan,0,1,1"])
def test_wrong_bounds_are_refused_in_words(client: httpx.Client, bounds: str) -> None:
    response = client.get("/api/communes", params={"bounds": bounds})
    assert response.status_code == 422
    assert "bounds" in response.json()["message"]


def test_the_extent_holds_all_boundaries_in_force(client: httpx.Client) -> None:
    west, south, east, north = client.get("/api/communes/extent").json()
    boxes = [feature["bbox"] for feature in client.get("/api/communes").json()["features"]]
    assert (west, south) == pytest.approx((min(b[0] for b in boxes), min(b[1] for b in boxes)))
    assert (east, north) == pytest.approx((max(b[2] for b in boxes), max(b[3] for b in boxes)))
    assert client.get("/api/communes/extent", params={"on": "2024-06-30"}).json() is None
