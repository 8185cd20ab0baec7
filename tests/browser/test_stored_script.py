"""What somebody wrote into a name is text wherever it is shown: on the map, its board, its search, on paper,
in the pack's own page. A tag in it makes no element, and nothing of it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from flycam.board.layers import LayerRequest, add_layer
from flycam.http.guards import Services
from flycam.model.access import Role
from flycam.model.board import LayerKind
from flycam.reports.briefing.workflow import PackRequest, write_briefing_pack
from tests.browser.conftest import House, OpenPage, serving
from tests.browser.pages import click_map, settled
from tests.serve.running import running
from tests.serve.world import LAT, LON, REAL, add_account, make_world

pytestmark = pytest.mark.browser

TAG = '<img src="x" class="injected" onerror="document.title=1"></i>'
COMMUNE, LAYER, THING, FLIGHT = (f"{name} {TAG}" for name in ("Nậm Lúc", "Trạm BTS", "YBI0123", "Sau bão"))
FLOWN = f"map=17/{LAT - 0.0015}/{LON + 0.0042}"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = tmp_path_factory.mktemp("names")
    world = make_world(root)
    catalog = world.workspace.catalog
    catalog.boundaries.put_communes(
        [replace(one, name=f"{one.name} {TAG}") for one in catalog.boundaries.communes()]
    )
    catalog.flights.put_flight(replace(catalog.flights.flight(world.after), name=FLIGHT))
    feature = {
        "type": "Feature",
        "properties": {"name": THING, "status": "mất sóng"},
        "geometry": {"type": "Point", "coordinates": [LON + 0.0042, LAT - 0.0015]},
    }
    path = root / "masts.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    owner = f"Viettel {TAG}"
    request = LayerRequest(source=str(path), kind=LayerKind.MAST, name=LAYER, owner=owner, valid_ns=1)
    add_layer(world.workspace, request, "Lan")
    with serving(world) as served:
        yield served


def is_text(page: Page) -> None:
    """No element came out of a name, and no script of one ran."""
    assert page.locator(".injected").count() == 0
    assert page.locator("script:not([src])").count() == 0
    assert page.title() != "1"


def test_on_the_map_its_board_and_its_search(open_page: OpenPage, house: House) -> None:
    (layer,) = house.workspace.catalog.layers.all()
    link = f"lang=vi&event={REAL}&{FLOWN}&special={layer.layer_id}"
    page = open_page("office", link, url=house.url)
    settled(page)
    click_map(page)
    expect(page.locator(".card")).to_contain_text(TAG)
    is_text(page)
    page.locator(".card .close").click()
    expect(page.locator(".flight-name", has_text=FLIGHT)).to_have_count(1)
    expect(page.locator(".specialist li", has_text=LAYER)).to_contain_text(f"Viettel {TAG}")
    page.get_by_role("tab", name="Bảng xã").click()
    expect(page.locator(".board tbody th", has_text=COMMUNE)).to_have_count(1)
    is_text(page)
    for typed, found in (("nam luc", COMMUNE), ("ybi0123", THING)):
        page.locator(".search input").fill(typed)
        expect(page.locator(".search-hits button", has_text=found)).to_have_count(1)
        is_text(page)


def test_in_a_meeting_and_on_a_printed_sheet(open_page: OpenPage, house: House) -> None:
    page = open_page("wall", f"lang=vi&event={REAL}&{FLOWN}&meet=on", url=house.url)
    expect(page.locator(".meeting-caption")).to_contain_text(TAG)
    is_text(page)
    page.keyboard.press("Escape")
    page.locator(".print-open").click()
    page.wait_for_selector('.print-room[aria-busy="false"]')
    expect(page.locator(".print-pictures")).to_contain_text(FLIGHT)
    assert page.locator(".print-title").input_value() == COMMUNE
    is_text(page)


def test_in_the_page_of_a_pack(browser: Browser, house: House, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    write_briefing_pack(house.workspace, PackRequest(flights=(house.world.after,)), out)
    page = browser.new_page()
    page.goto((out / "index.html").as_uri())
    expect(page.locator("a[data-picture]", has_text=COMMUNE)).to_have_count(1)
    assert page.locator(".injected").count() == 0 and page.title() != "1"
    for _ in page.locator("a[data-picture]").all():
        page.keyboard.press("ArrowRight")
        assert page.locator(".injected").count() == 0 and page.title() != "1"
    page.close()
    beside = {one.name for one in tmp_path.iterdir()}
    assert beside == {"pack"}, "a name with strokes leads to no other folder"


def test_what_looks_like_a_blank_in_a_name_is_not_filled_in(browser: Browser, tmp_path: Path) -> None:
    """ "{1}" and "$&" are read as they were written, and marks of markup are text."""
    name = "Lan {1} $& <b>"
    world = make_world(tmp_path)
    add_account(world.workspace, name, Role.VIEWER, "lan-token")
    with running(Services(workspace=world.workspace)) as url:
        page = browser.new_page()
        assert page.context.request.post(f"{url}/api/login", data={"token": "lan-token"}).ok
        page.goto(f"{url}/#lang=vi&event={REAL}")
        page.locator(".keys-door").click()
        expect(page.locator("#account-title")).to_have_text(f"Mã truy cập của {name} (người xem)")
        is_text(page)
        page.close()
