"""OGC API Features and Tiles: that the links can be followed, that pages are whole, and what is refused."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from flycam.geometry.grid import TileId
from tests.serve.offering import ENDED, OPEN_MARK, POLES, REMOVED_MARK, Offering
from tests.serve.world import BASE_ZOOM, MIN_ZOOM

FLIGHTS = "/ogc/collections/flights/items"
Json = dict[str, Any]


def linked(document: Any) -> list[Json]:
    """Every link anywhere in a document."""
    if isinstance(document, list):
        return [link for one in document for link in linked(one)]
    if not isinstance(document, dict):
        return []
    found = [link for value in document.values() for link in linked(value)]
    return [*found, document] if isinstance(document.get("href"), str) and "rel" in document else found


def crawl(client: httpx.Client, start: str) -> dict[str, Any]:
    """Every JSON document that links lead to from `start`, each of the type that its link states."""
    seen: dict[str, Any] = {}
    waiting = [(str(client.base_url.join(start)), "application/json")]
    while waiting:
        href, media_type = waiting.pop()
        if href in seen:
            continue
        answer = client.get(href)
        assert answer.status_code == 200, (href, answer.text)
        assert answer.headers["content-type"].partition(";")[0] == media_type.partition(";")[0], href
        seen[href] = answer.json() if media_type in ("application/json", "application/geo+json") else None
        for link in linked(seen[href]):
            if link.get("templated") or "{" in link["href"] or link.get("method") == "POST":
                continue
            if "json" in link["type"] and "openapi" not in link["type"]:
                waiting.append((link["href"], link["type"]))
    return seen


def paged(client: httpx.Client, address: str, **asked: object) -> list[Json]:
    """All pages from this one on, by their links."""
    pages, href = [], str(client.base_url.join(address).copy_merge_params(asked))
    while href:
        pages.append(client.get(href).raise_for_status().json())
        href = next((one["href"] for one in pages[-1]["links"] if one["rel"] == "next"), "")
        assert len(pages) < 50
    return pages


def ids(pages: list[Json]) -> list[str]:
    return [one["id"] for page in pages for one in page["features"]]


@pytest.mark.parametrize("start", ["/ogc", "/stac"])
def test_every_link_leads_to_what_it_says(reader: httpx.Client, start: str) -> None:
    documents = crawl(reader, start)
    paths = {urlsplit(href).path for href in documents}
    assert f"{start}/conformance" in paths and f"{start}/collections" in paths
    assert len(paths) > 8
    for href, document in documents.items():
        if isinstance(document, dict) and "links" in document and "/tilejson/" not in href:
            selves = [one["href"] for one in document["links"] if one["rel"] == "self"]
            assert selves in ([href], []), href


def test_what_is_withdrawn_retired_or_removed_is_in_no_standard(
    reader: httpx.Client, offering: Offering
) -> None:
    hidden = (offering.world.before, REMOVED_MARK, ENDED, f"{offering.mosaic}-r1")
    told = [str(document) for start in ("/ogc", "/stac") for document in crawl(reader, start).values()]
    for collection in ("flights", "communes", "marks", offering.layer):
        told += map(str, paged(reader, f"/ogc/collections/{collection}/items"))
    told += [str(page) for page in paged(reader, "/stac/search")]
    told += [reader.get(path).text for path in ("/wmts", "/kml")]
    assert not [name for name in hidden for text in told if name in text]
    assert any(OPEN_MARK in text for text in told)  # so that the look itself finds something
    gone = f"{offering.world.before}-colour"
    for path in (
        f"/ogc/collections/{gone}",
        f"/ogc/collections/{gone}/map/tiles",
        f"{FLIGHTS}/{offering.world.before}",
        f"/ogc/collections/marks/items/{REMOVED_MARK}",
        f"/ogc/collections/communes/items/{ENDED}",
        f"/kml/{gone}/8/202/112.kml",
        f"/cog/{offering.mosaic}/1/99000.tif",
        f"/tilejson/{offering.mosaic}?revision=1",
    ):
        assert reader.get(path).status_code == 404, path


@pytest.mark.parametrize("limit", [2, 10**30])
@pytest.mark.parametrize("collection", ["flights", "communes", "marks", "layer"])
def test_pages_hold_each_feature_once(
    reader: httpx.Client, offering: Offering, collection: str, limit: int
) -> None:
    name = offering.layer if collection == "layer" else collection
    count = {"flights": 2, "communes": 4, "marks": 1, "layer": POLES + 1}[collection]
    pages = paged(reader, f"/ogc/collections/{name}/items", limit=limit)
    found = ids(pages)
    assert len(found) == len(set(found)) == count
    assert {page["numberMatched"] for page in pages} == {count}
    assert [page["numberReturned"] for page in pages] == [len(page["features"]) for page in pages]
    assert all(len(page["features"]) <= limit for page in pages)
    for feature in (one for page in pages for one in page["features"]):
        alone = reader.get(next(one["href"] for one in feature["links"] if one["rel"] == "self")).json()
        assert alone == feature


@pytest.mark.parametrize(
    "asked",
    [
        "bbx=1,2,3,4",
        "bbox=1,2,3",
        "bbox=1,2,3,north",
        "datetime=gestern",
        "limit=0",
        "limit=many",
        "offset=-1",
        "f=html",
        "bbox=" + "1" * 300,
    ],
)
@pytest.mark.parametrize("path", [FLIGHTS, "/stac/search"])
def test_what_cannot_be_read_is_a_400_in_words(reader: httpx.Client, path: str, asked: str) -> None:
    for language, word in (("vi", "áàảãạăâđêôơưíýéèẻịồờợệ"), ("en", "")):
        answer = reader.get(f"{path}?{asked}&lang={language}")
        assert answer.status_code == 400, answer.text
        said = answer.json()["message"].lower()
        assert said and (not word or set(said) & set(word))


def test_tiles_come_by_template_and_only_within_the_limits(reader: httpx.Client, offering: Offering) -> None:
    tile_set = f"/ogc/collections/{offering.mosaic}/map/tiles/WebMercatorQuad"
    described = reader.get(tile_set).json()
    limits = {int(one["tileMatrix"]): one for one in described["tileMatrixSetLimits"]}
    assert set(limits) == set(range(MIN_ZOOM, BASE_ZOOM + 1))
    heads = [one.tile_id for one in offering.workspace.catalog.tiles.heads(offering.mosaic, 2)]
    for tile in heads:
        one = limits[tile.z]
        assert one["minTileRow"] <= tile.y <= one["maxTileRow"]
        assert one["minTileCol"] <= tile.x <= one["maxTileCol"]
    tile: TileId = next(one for one in heads if one.z == BASE_ZOOM)
    (template,) = [one for one in described["links"] if one.get("templated")]
    address = template["href"].format(tileMatrix=tile.z, tileRow=tile.y, tileCol=tile.x)
    answer = reader.get(address)
    assert (answer.status_code, answer.headers["content-type"]) == (200, template["type"])
    assert answer.content == reader.get(f"/tiles/{offering.mosaic}/{tile}.png").content
    again = reader.get(address, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for z, row, column in ((tile.z, 0, 0), (25, 0, 0), (tile.z, tile.y, 10**7), (MIN_ZOOM - 1, 0, 0)):
        outside = reader.get(template["href"].format(tileMatrix=z, tileRow=row, tileCol=column))
        assert outside.status_code == 404
    assert reader.get(template["href"].format(tileMatrix="x", tileRow=0, tileCol=0)).status_code == 400
