"""VN-2000 beside WGS 84, as the geodata room computes it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import httpx
import numpy as np
import pytest
import shapely

from flycam.geodata.crs import to_vn2000
from flycam.http.guards import Services
from flycam.model.records import CommuneRecord
from tests.serve.running import running
from tests.serve.world import make_workspace


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
    expected, _ = to_vn2000(np.array([[103.9, 22.5]]), "EPSG:9208")
    assert inside["y_east_m"] == pytest.approx(expected[0, 0], abs=0.01)
    assert (beside["central_meridian_deg"], beside["province"]) == (104.0, None)


def test_a_sheet_is_told_its_grid_in_the_zone_of_its_middle(client: httpx.Client) -> None:
    sheet = {"west": 104.19, "south": 22.29, "east": 104.21, "north": 22.305}
    found = client.get("/api/vn2000/grid", params=sheet).json()
    assert (found["central_meridian_deg"], found["province"]) == (104.0, None)
    assert found["step_m"] == 200.0
    for line in found["lines"]:
        points, _ = to_vn2000(np.array(line["lonlat"]), found["crs"])
        column = {"x": 1, "y": 0}[line["axis"]]
        assert points[:, column] == pytest.approx(line["value_m"], abs=0.01)
    assert {line["axis"] for line in found["lines"]} == {"x", "y"}
