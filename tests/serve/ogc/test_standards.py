"""WMTS 1.0.0 and STAC 1.0.0: what other programs read of the house, and that a client can follow it."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import httpx
import pytest

from flycam.geometry.grid import TileId
from tests.serve.world import BASE_ZOOM, DRILL, MIN_ZOOM, REAL, World

_NS = {"": "http://www.opengis.net/wmts/1.0", "ows": "http://www.opengis.net/ows/1.1"}


def capabilities(client: httpx.Client, path: str = "/wmts") -> ET.Element:
    answer = client.get(path)
    assert answer.headers["content-type"] == "application/xml"
    return ET.fromstring(answer.content)


def a_tile(world: World) -> TileId:
    heads = world.workspace.catalog.tiles.heads(f"{world.after}-colour", 0, z=BASE_ZOOM)
    return heads[0].tile_id


def test_every_mosaic_on_show_is_a_layer_and_a_drill_is_marked(client: httpx.Client, world: World) -> None:
    root = capabilities(client)
    layers = {
        one.findtext("ows:Identifier", namespaces=_NS): one for one in root.iterfind("Contents/Layer", _NS)
    }
    assert set(layers) == {f"{one}-colour" for one in (world.before, world.after, world.drill)}
    titles = {name: one.findtext("ows:Title", "", _NS) for name, one in layers.items()}
    assert titles[f"{world.drill}-colour"].startswith("DIỄN TẬP")
    assert "DIỄN TẬP" not in titles[f"{world.after}-colour"]
    again = capabilities(client, "/wmts/1.0.0/WMTSCapabilities.xml")
    assert ET.tostring(again) == ET.tostring(root)


def test_the_grid_is_the_well_known_one(client: httpx.Client) -> None:
    """Scale denominators of WebMercatorQuad as OGC 17-083r2 prints them, annex D.1."""
    matrices = capabilities(client).findall("Contents/TileMatrixSet/TileMatrix", _NS)
    assert len(matrices) == BASE_ZOOM + 1
    scales = [float(one.findtext("ScaleDenominator", "", _NS)) for one in matrices]
    assert scales[0] == pytest.approx(559082264.028717, rel=1e-12)
    assert scales[10] == pytest.approx(545978.773465544, rel=1e-12)
    corner = matrices[3].findtext("TopLeftCorner", "", _NS).split()
    assert [float(one) for one in corner] == pytest.approx([-20037508.3427892, 20037508.3427892])
    assert matrices[3].findtext("MatrixWidth", namespaces=_NS) == "8"


def test_limits_hold_all_tiles_and_the_template_gives_them(client: httpx.Client, world: World) -> None:
    name = f"{world.after}-colour"
    layer = next(
        one
        for one in capabilities(client).iterfind("Contents/Layer", _NS)
        if one.findtext("ows:Identifier", namespaces=_NS) == name
    )
    limits = layer.findall("TileMatrixSetLink/TileMatrixSetLimits/TileMatrixLimits", _NS)
    assert [int(one.findtext("TileMatrix", "", _NS)) for one in limits] == [*range(MIN_ZOOM, BASE_ZOOM + 1)]
    last = {child.tag.partition("}")[2]: int(child.text or "") for child in limits[-1]}
    seen = world.workspace.catalog.tiles.heads(name, 0, z=BASE_ZOOM)
    inside = [
        last["MinTileCol"] <= one.tile_id.x <= last["MaxTileCol"]
        and last["MinTileRow"] <= one.tile_id.y <= last["MaxTileRow"]
        for one in seen
    ]
    assert all(inside)
    tile = a_tile(world)
    for resource in layer.findall("ResourceURL", _NS):
        address = resource.attrib["template"]
        for part, value in (("TileMatrix", tile.z), ("TileCol", tile.x), ("TileRow", tile.y)):
            address = address.replace(f"{{{part}}}", str(value))
        assert client.get(address).headers["content-type"] == resource.attrib["format"]


def test_key_value_requests_lead_to_the_tile_or_say_what_is_wrong(client: httpx.Client, world: World) -> None:
    tile = a_tile(world)
    asked = {
        "Service": "WMTS",
        "REQUEST": "GetTile",
        "LAYER": f"{world.after}-colour",
        "tilematrixset": "WebMercatorQuad",
        "TileMatrix": str(tile.z),
        "TileRow": str(tile.y),
        "TileCol": str(tile.x),
        "Format": "image/png",
    }
    answer = client.get("/wmts", params=asked)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.content == client.get(f"/tiles/{world.after}-colour/{tile}.png").content
    known = client.get("/wmts", params=asked, headers={"If-None-Match": answer.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    for change, code, status in (
        ({"REQUEST": "GetFeatureInfo"}, "OperationNotSupported", 501),
        ({"Service": "WMS"}, "InvalidParameterValue", 400),
        ({"TileRow": ""}, "MissingParameterValue", 400),
        ({"TileRow": "-1"}, "InvalidParameterValue", 400),
        ({"LAYER": "../api"}, "InvalidParameterValue", 400),
        ({"LAYER": "<b>\x01"}, "InvalidParameterValue", 400),
        ({"TileRow": "0"}, "TileOutOfRange", 400),
        ({"TileMatrix": "27"}, "TileOutOfRange", 400),
        ({"TileCol": "9" * 30}, "InvalidParameterValue", 400),
        ({"Format": "image/gif"}, "InvalidParameterValue", 400),
        ({"tilematrixset": "CRS84"}, "InvalidParameterValue", 400),
    ):
        refused = client.get("/wmts", params={**asked, **change})
        assert (refused.status_code, code in refused.text) == (status, True), change
        ET.fromstring(refused.content)


def test_stac_leads_from_events_to_flights_and_their_mosaics(client: httpx.Client, world: World) -> None:
    root = client.get("/stac").json()
    assert (root["type"], root["stac_version"]) == ("Catalog", "1.0.0")
    events = [one for one in root["links"] if one["rel"] == "child"]
    assert {one["href"].rsplit("/", 1)[1] for one in events} == {REAL, DRILL}
    found = set()
    for link in events:
        collection = client.get(link["href"]).json()
        assert collection["type"] == "Collection" and collection["license"]
        (west, south, east, north) = collection["extent"]["spatial"]["bbox"][0]
        listed = next(one["href"] for one in collection["links"] if one["rel"] == "items")
        for one in client.get(listed).json()["features"]:
            answer = client.get(next(link["href"] for link in one["links"] if link["rel"] == "self"))
            assert answer.headers["content-type"] == "application/geo+json"
            item = answer.json()
            assert item == one
            found.add(item["properties"]["flycam:flight_id"])
            assert item["collection"] == collection["id"]
            assert item["properties"]["datetime"] is None
            assert item["properties"]["start_datetime"] < item["properties"]["end_datetime"]
            assert item["geometry"]["type"] in ("Polygon", "MultiPolygon")
            assert west - 0.01 < item["bbox"][0] < item["bbox"][2] < east + 0.01
            assert south - 0.01 < item["bbox"][1] < item["bbox"][3] < north + 0.01
            assert ("DIỄN TẬP" in item["properties"]["title"]) == item["properties"]["flycam:is_drill"]
            assert client.get(item["assets"]["tilejson"]["href"]).json()["tilejson"] == "3.0.0"
    assert found == {world.before, world.after, world.drill}
    assert client.get("/stac/collections/nothing").status_code == 404
    assert client.get(f"/stac/collections/{REAL}/items/{world.drill}-colour-r0").status_code == 404
