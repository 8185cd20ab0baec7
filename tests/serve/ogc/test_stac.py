"""STAC API: items of revisions, the search by address and by body, and clipped maps read over the line."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.http.test_gis_clients import gdal_picture
from tests.serve.offering import Offering
from tests.serve.ogc.test_ogc import Json, ids, paged
from tests.serve.world import DRILL, LAT, LON, REAL

SEARCH = "/stac/search"
_JSON = {"Content-Type": "application/json"}


def posted(client: httpx.Client, body: Json) -> list[Json]:
    """All pages of a search by body, by their links."""
    answer = client.post(SEARCH, content=json.dumps(body), headers=_JSON)
    pages = [answer.raise_for_status().json()]
    while link := next((one for one in pages[-1]["links"] if one["rel"] == "next"), None):
        assert link["method"] == "POST" and len(pages) < 50
        pages.append(client.post(link["href"], json=link["body"]).raise_for_status().json())
    return pages


def test_every_revision_that_may_be_shown_is_an_item(reader: httpx.Client, offering: Offering) -> None:
    items = {one["id"]: one for page in paged(reader, SEARCH) for one in page["features"]}
    assert list(items) == [
        f"{offering.world.drill}-colour-r0",
        f"{offering.mosaic}-r2",
        f"{offering.mosaic}-r0",
    ]
    on_show = {name: one["properties"]["flycam:on_show"] for name, one in items.items()}
    assert list(on_show.values()) == [True, True, False]
    assert "created" in items[f"{offering.mosaic}-r2"]["properties"]
    assert items[f"{offering.world.drill}-colour-r0"]["properties"]["title"].startswith("DIỄN TẬP")
    for name, item in items.items():
        number = int(name.rpartition("-r")[2])
        tiles = reader.get(item["assets"]["tilejson"]["href"]).json()
        assert tiles["flycam"]["revision"] == number
        template = next(one["href"] for one in item["links"] if one["rel"] == "xyz")
        assert template == tiles["tiles"][0].replace("?", ".png?")
        thumbnail = reader.get(item["assets"]["thumbnail"]["href"])
        assert thumbnail.headers["content-type"] == "image/png" and len(thumbnail.content) > 1000
        wmts = [one["wmts:layer"] for one in item["links"] if one["rel"] == "wmts"]
        assert wmts == ([name.rpartition("-r")[0]] if on_show[name] else [])


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, 3),
        ({"collections": [REAL]}, 2),
        ({"collections": [REAL, DRILL]}, 3),
        ({"collections": ["nothing"]}, 0),
        ({"ids": ["nothing"]}, 0),
        ({"datetime": "2024-10-01/.."}, 1),
        ({"bbox": [LON, LAT - 0.003, LON + 0.002, LAT]}, 3),
        ({"bbox": [10, 10, 11, 11]}, 0),
        ({"intersects": {"type": "Point", "coordinates": [LON + 0.003, LAT - 0.002]}}, 3),
        ({"intersects": {"type": "Point", "coordinates": [10, 10]}}, 0),
        ({"bbox": [LON, LAT - 0.003, LON + 0.002, LAT], "datetime": "2024-09-10", "collections": [REAL]}, 2),
    ],
)
def test_a_search_finds_the_same_by_address_and_by_body(
    reader: httpx.Client, asked: Json, expected: int
) -> None:
    spelled: dict[str, Any] = {
        name: json.dumps(value)
        if name == "intersects"
        else ",".join(map(str, value))
        if isinstance(value, list)
        else value
        for name, value in asked.items()
    }
    by_address = paged(reader, SEARCH, **spelled, limit=2)
    by_body = posted(reader, {**asked, "limit": 2})
    assert ids(by_address) == ids(by_body)
    assert len(ids(by_body)) == len(set(ids(by_body))) == expected
    assert {page["numberMatched"] for page in by_body} == {expected}


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 0},
        {"bbox": [1, 2, 3]},
        {"bbox": [1, 2, 3, "x"]},
        {"datetime": "gestern"},
        {"ids": "one"},
        {"intersects": {"type": "Point"}},
        {"intersects": {"type": "Point", "coordinates": []}},
        {"intersects": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 1], [1, 0], [0, 0]]]}},
        {"intersects": {"type": "Blob", "coordinates": [[0, "x"]]}},
        {"intersects": {"type": "Point", "coordinates": [0, 0]}, "bbox": [0, 0, 1, 1]},
        {"offset": 10**12},
    ],
)
def test_a_search_that_cannot_be_read_is_a_400(reader: httpx.Client, body: Json) -> None:
    answer = reader.post(SEARCH, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"]


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"bbox": [NaN, 0, 1, 1]}', '{"limit": 1e400}'])
def test_a_body_that_is_no_search_is_a_400(reader: httpx.Client, text: str) -> None:
    answer = reader.post(SEARCH, content=text, headers=_JSON)
    assert answer.status_code == 400, answer.text


def test_the_clipped_map_of_a_commune_is_read_over_the_line(reader: httpx.Client, offering: Offering) -> None:
    item = reader.get(f"/stac/collections/{REAL}/items/{offering.mosaic}-r2").json()
    asset = item["assets"]["cog-99000"]
    assert asset["title"] == "Nậm Lúc (99000)" and "profile=cloud-optimized" in asset["type"]
    covered = offering.world.workspace.catalog.boundaries.coverage(offering.world.after)
    offered = [name for name in item["assets"] if name.startswith("cog-")]
    assert offered == [f"cog-{one.commune_code}" for one in covered], "those too that nobody has asked for"
    head = reader.head(asset["href"])
    assert (head.status_code, head.content, head.headers["accept-ranges"]) == (200, b"", "bytes")
    assert int(head.headers["content-length"]) == len(offering.clip)
    whole = reader.get(asset["href"])
    assert whole.content == offering.clip and whole.headers["content-type"] == asset["type"]
    part = reader.get(asset["href"], headers={"Range": "bytes=8-15"})
    assert (part.status_code, part.content) == (206, offering.clip[8:16])
    opened = gdal_picture(f"/vsicurl/{asset['href']}")
    assert opened["epsg"] == 32648
    assert opened["pixel"][:3] == [40, 80, 120]
    live = reader.get(f"/stac/collections/{REAL}/items/{offering.mosaic}-r0").json()
    assert "cog-99000" not in live["assets"]  # that revision is not on show
    for wrong in (f"/cog/{offering.mosaic}/0/99000.tif", f"/cog/{offering.mosaic}/2/99999.tif"):
        assert reader.get(wrong).status_code == 404
