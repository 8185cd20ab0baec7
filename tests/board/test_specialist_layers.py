"""Layers over the API: by rectangle, with limits, and without what is nobody's business."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import shapely

from flycam.board.layers import LayerRequest, add_layer, remove_layer
from flycam.catalog.access import hash_token
from flycam.http.guards import Services
from flycam.model.access import Account, Role
from flycam.model.board import LayerKind
from flycam.model.records import CommuneRecord
from flycam.workspace import Workspace
from tests.change.impacted import add_things
from tests.serve.running import running
from tests.serve.world import LAT, LON, make_workspace

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    one = make_workspace(tmp_path / "house")
    features = [
        {
            "type": "Feature",
            "properties": {"ten": f"{SCRIPT} {k}", "tinh_trang": "mất sóng" if k == 7 else ""},
            "geometry": {"type": "Point", "coordinates": [LON + k / 100, LAT]},
        }
        for k in range(20)
    ]
    path = tmp_path / "mật" / "masts.geojson"
    path.parent.mkdir()
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    add_layer(
        one,
        LayerRequest(source=str(path), kind=LayerKind.MAST, owner="Viettel", valid_ns=one.clock_ns()),
        "Lan",
    )
    return one


@pytest.fixture
def client(workspace: Workspace) -> Iterator[httpx.Client]:
    with running(Services(workspace=workspace, follow_s=0.1)) as url, httpx.Client(base_url=url) as one:
        yield one


def test_layers_are_listed_with_owner_age_and_trouble(client: httpx.Client) -> None:
    (layer,) = client.get("/api/layers").json()
    assert (layer["name"], layer["kind"], layer["owner"]) == ("masts", "mast", "Viettel")
    assert (layer["features"], layer["troubles"], layer["stale"]) == (20, 1, False)
    assert layer["stale_after_s"] == 6 * 3600
    assert layer["source"] == "masts.geojson"  # not where it lies on this machine
    assert "sha256" not in layer


def test_features_come_by_rectangle_with_what_their_layer_says(client: httpx.Client) -> None:
    (layer,) = client.get("/api/layers").json()
    where = f"{LON + 0.065},{LAT - 1},{LON + 0.085},{LAT + 1}"
    answer = client.get(f"/api/layers/{layer['layer_id']}/features", params={"bounds": where})
    found = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert (found["type"], found["numberMatched"], found["numberReturned"]) == ("FeatureCollection", 2, 2)
    first = found["features"][0]["properties"]
    assert first["name"] == f"{SCRIPT} 7"
    assert (first["status"], first["condition"], first["owner"]) == ("mất sóng", "no_signal", "Viettel")
    assert first["valid"] == layer["valid"]


def test_a_thing_that_nobody_dated_is_old_beside_new_ones(
    client: httpx.Client, workspace: Workspace, tmp_path: Path
) -> None:
    now = datetime.fromtimestamp(workspace.clock_ns() / 1e9, UTC)
    times = {"now": now, "undated": None, "to come": now + timedelta(hours=1)}
    features = [
        {
            "type": "Feature",
            "properties": {"ten": name, "tinh_trang": "hoạt động", "cap_nhat": moment and moment.isoformat()},
            "geometry": {"type": "Point", "coordinates": [LON, LAT]},
        }
        for name, moment in times.items()
    ]
    path = tmp_path / "mixed.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    add_layer(workspace, LayerRequest(source=str(path), kind=LayerKind.MAST), "Lan")
    found = client.get("/api/layers/mixed/features").json()["features"]
    stale = {one["properties"]["name"]: one["properties"]["stale"] for one in found}
    assert stale == {"now": False, "undated": True, "to come": True}
    layer = next(one for one in client.get("/api/layers").json() if one["name"] == "mixed")
    assert layer["stale"]  # its newest word is of a time to come


@pytest.mark.parametrize("params", [{"limit": 5001}, {"bounds": "2,1,1,2"}])
def test_what_cannot_be_asked_is_said(client: httpx.Client, params: dict[str, object]) -> None:
    assert client.get("/api/layers/masts/features", params=params).status_code == 422  # type: ignore[arg-type]
    assert client.get("/api/layers/none/features").status_code == 404


def test_things_are_found_by_name_without_accents_villages_first(
    client: httpx.Client, workspace: Workspace, tmp_path: Path
) -> None:
    def add(name: str, kind: LayerKind, names: list[str]) -> None:
        places = [shapely.Point(LON + k / 100, LAT) for k in range(len(names))]
        add_things(workspace, tmp_path, name, kind, list(zip(names, places, strict=True)))

    def found(text: str, **more: int) -> list[tuple[str, str]]:
        answer = client.get("/api/things", params={"q": text, **more}).json()["features"]
        return [(one["properties"]["name"], one["properties"]["layer"]) for one in answer]

    add("Trường", LayerKind.SCHOOL, ["Nậm Đét", "Tiểu học Nậm Lúc"])
    assert found("nam det") == [("Nậm Đét", "Trường")]
    add("Thôn", LayerKind.SETTLEMENT, ["Bản Nậm Đét", "Nậm Đét Thượng", "Cốc Ly"])  # read anew by itself
    village = [("Nậm Đét Thượng", "Thôn"), ("Bản Nậm Đét", "Thôn")]
    assert found("NAM  DET") == found("nậm đét") == [*village, ("Nậm Đét", "Trường")]
    assert found("nam det", limit=1) == village[:1]
    one = client.get("/api/things", params={"q": "thuong"}).json()["features"][0]
    assert one["bbox"] == pytest.approx([LON + 0.01, LAT, LON + 0.01, LAT])
    assert one["properties"]["kind"] == "settlement"
    assert found("%") == found("´") == []
    remove_layer(workspace, "Thôn", "Lan")
    assert found("nam det") == [("Nậm Đét", "Trường")]
    assert client.get("/api/things", params={"q": ""}).status_code == 422


def test_news_of_a_layer_reaches_open_screens(client: httpx.Client, workspace: Workspace) -> None:
    with client.stream("GET", "/events", timeout=60) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        remove_layer(workspace, "masts", "Lan")
        assert any(line == "event: layers" for line in lines)


def test_whoever_is_there_for_one_commune_gets_its_things_and_their_number(
    client: httpx.Client, workspace: Workspace, tmp_path: Path
) -> None:
    """A commune in the form of an L: its box holds things that do not lie in it."""
    ground = shapely.Polygon([(4, 0), (5, 0), (5, 4), (9, 4), (9, 5), (4, 5)])
    commune = CommuneRecord(
        code="1", name="Xã L", valid_from=date(2024, 7, 1), wkb=shapely.to_wkb(ground), area_m2=1e9
    )
    workspace.catalog.boundaries.put_communes([commune])
    inside, in_box, beyond = (4.5, 0.5), (8.0, 1.0), (50.0, 0.5)
    places = [*[inside] * 2, *[beyond] * 50, *[in_box] * 5500, (8.5, 4.5)]
    masts = [(f"Trạm {k:05}", shapely.Point(place)) for k, place in enumerate(places)]
    add_things(workspace, tmp_path, "many", LayerKind.MAST, masts)
    workspace.catalog.accounts.put(
        Account(name="xã", role=Role.VIEWER, token_hash=hash_token("xa"), created_ns=0, communes=("1",))
    )
    client.headers["Authorization"] = "Bearer xa"

    def found(**query: object) -> tuple[int, list[str]]:
        answer = client.get("/api/layers/many/features", params=query).json()  # type: ignore[arg-type]
        assert answer["numberReturned"] == len(answer["features"])
        return answer["numberMatched"], [one["properties"]["name"] for one in answer["features"]]

    assert found() == (3, ["Trạm 05552", "Trạm 00001", "Trạm 00000"])
    assert found(limit=2) == (3, ["Trạm 05552", "Trạm 00001"])
    assert found(bounds="4,0,5,1") == (2, ["Trạm 00001", "Trạm 00000"])
    assert found(bounds="7,0,9,2") == found(bounds="49,0,51,1") == (0, [])
    assert len(client.get("/api/things", params={"q": "tram", "limit": 50}).json()["features"]) == 3
    workspace.catalog.accounts.put(
        Account(name="ở đâu", role=Role.VIEWER, token_hash=hash_token("o"), created_ns=0, communes=("gone",))
    )
    client.headers["Authorization"] = "Bearer o"
    assert found() == (0, []), "a commune that is not known any more"
