"""KML: that the pyramid leads from the list of flights to every tile, and that any name stands in it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from flycam.geometry.grid import TileId
from flycam.http.guards import Services
from tests.serve.offering import Offering
from tests.serve.running import running
from tests.serve.world import BASE_ZOOM, make_world

_NS = {"": "http://www.opengis.net/kml/2.2"}


def document(client: httpx.Client, path: str) -> ET.Element:
    answer = client.get(path).raise_for_status()
    assert answer.headers["content-type"] == "application/vnd.google-earth.kml+xml"
    return ET.fromstring(answer.content)


def overlays(client: httpx.Client, root: ET.Element) -> list[ET.Element]:
    """All ground overlays that the links of a document lead to."""
    found, waiting, seen = [], [root], set()
    while waiting:
        for href in (one.text or "" for one in waiting.pop().iterfind(".//NetworkLink/Link/href", _NS)):
            assert href not in seen
            seen.add(href)
            node = document(client, href)
            found += node.iterfind(".//GroundOverlay", _NS)
            waiting.append(node)
    return found


def tile_of(overlay: ET.Element) -> TileId:
    z, x, y = overlay.findtext("Icon/href", "", _NS).removesuffix(".png").split("/")[-3:]
    return TileId(z=int(z), x=int(x), y=int(y))


def test_links_lead_to_every_tile_of_what_is_on_show(reader: httpx.Client, offering: Offering) -> None:
    root = document(reader, "/kml")
    names = [one.text or "" for one in root.iterfind(".//Placemark/name", _NS)]
    assert len(names) == 2 and sum(one.startswith("DIỄN TẬP") for one in names) == 1
    assert "10/09/2024 10:15" in ET.tostring(root, encoding="unicode")  # as clocks here show 03:15 UTC
    found = overlays(reader, root)
    for mosaic, revision in ((offering.mosaic, 2), (f"{offering.world.drill}-colour", 0)):
        shown = {tile_of(one) for one in found if f"/{mosaic}/" in one.findtext("Icon/href", "", _NS)}
        heads = offering.workspace.catalog.tiles.heads(mosaic, revision, z=BASE_ZOOM)
        assert {one for one in shown if one.z == BASE_ZOOM} == {one.tile_id for one in heads}
    assert all(reader.get(one.findtext("Icon/href", "", _NS)).status_code == 200 for one in found[:5])


@pytest.mark.parametrize("path", ["/kml", "/wmts"])
def test_any_name_stands_in_the_document(tmp_path: Path, path: str) -> None:
    world = make_world(tmp_path)
    flights = world.workspace.catalog.flights
    flight = flights.flight(world.after)
    flights.put_flight(replace(flight, name='<script>"&]]>\x00\x0b\ud7ff\ufffe</script>'))
    with running(Services(workspace=world.workspace)) as url:
        text = httpx.get(f"{url}{path}").raise_for_status().text
    ET.fromstring(text)
    assert "<script>" not in text and "&lt;script&gt;" in text
