"""A finished flight on the map: which revision is drawn, and what is known about its pixels."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from flycam.catalog.tables import frames as frame_table
from flycam.model.warning import NO_TERRAIN, describe_warning_briefly
from flycam.mosaic.terrain_codec import encode_terrain
from flycam.reports.briefing.changes import format_age
from flycam.serve.tiles import LEGENDS, DataLayer
from flycam.storage import keys
from tests.browser.conftest import SIZES, House, OpenPage, serving
from tests.browser.pages import box_of, click_map, settled
from tests.browser.words import words
from tests.serve.finished import finish_by_hand
from tests.serve.test_photo_points import PLANE
from tests.serve.world import LAT, LON, REAL, World, make_world, stream_into

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The flight after the storm is finished; nobody changes anything."""
    world = make_world(tmp_path_factory.mktemp("finished"))
    finish_by_hand(world.workspace, world.after)
    with serving(world) as served:
        yield served


def test_final_or_live_and_the_error_layer_with_its_legend(open_page: OpenPage, finished: House) -> None:
    page = open_page(link=f"event={REAL}&lang=vi&map=18/{LAT - 0.0015}/{LON + 0.0042}", url=finished.url)
    choice = page.locator("select.revision")
    assert choice.locator("option").first.inner_text().startswith("Bản hoàn thiện 1")

    def middle() -> np.ndarray:
        box = box_of(page.locator(".map"))
        x, y = int(box["x"] + box["width"] / 2), int(box["y"] + box["height"] / 2)
        return settled(page)[y - 40 : y + 40, x - 40 : x + 40].reshape(-1, 3).astype(float)

    final = middle().mean()
    choice.select_option("0")
    assert middle().mean() > 1.6 * final, "the finished tiles of this world are half as bright"
    choice.select_option("1")
    page.locator(".data-layer select").select_option("error")
    page.wait_for_selector(".data-legend .swatch")
    assert page.locator(".data-legend li").count() == len(LEGENDS[DataLayer.ERROR].classes)
    assert "Sai số dự kiến" in page.locator(".data-legend h3").inner_text()
    painted = middle()
    assert painted.std(axis=0).max() > 20.0, "classes from west to east"


def test_a_finished_revision_without_a_dem_tells_where_it_lies_on_a_plane(
    open_page: OpenPage, house: House
) -> None:
    finish_by_hand(house.workspace, house.world.before)
    page = open_page(link=f"event={REAL}&lang=vi", url=house.url)
    live, beside = (
        describe_warning_briefly(NO_TERRAIN, finished=one).in_language("vi") for one in (False, True)
    )
    place = page.locator(".map-warnings")
    expect(place).to_contain_text(beside)
    flight = page.locator(f'[data-flight="{house.world.before}"]')
    flight.locator("button[aria-expanded]").click()
    expect(flight.locator(".flight-detail")).to_contain_text(beside)
    page.locator("select.revision").select_option("0")
    expect(place).to_contain_text(live)
    expect(place).not_to_contain_text(beside)


def test_a_shared_link_shows_the_same_layer_revision_switches_and_point(
    open_page: OpenPage, finished: House
) -> None:
    page = open_page(link=f"event={REAL}&lang=vi&map=18/{LAT - 0.0015}/{LON + 0.0042}", url=finished.url)
    page.locator("select.revision").select_option("0")
    page.locator(".data-layer select").select_option("error")
    page.locator('[data-layer="hillshade"]').uncheck()
    settled(page)
    click_map(page)
    expect(page.locator(".card")).to_contain_text(words("evidenceTitle"))
    expect(page.locator(".card")).to_contain_text(words("revisionQuick"))
    expect(page.locator(".card dl")).to_contain_text("KTT")
    shown = page.locator(".card dl").inner_text()
    link = page.url.partition("#")[2]

    other = open_page(link=link, url=finished.url)
    expect(other.locator(".card")).to_contain_text(words("evidenceTitle"))
    expect(other.locator("select.revision")).to_have_value("0")
    expect(other.locator(".data-layer select")).to_have_value("error")
    expect(other.locator('[data-layer="hillshade"]')).not_to_be_checked()
    expect(other.locator(".card dl")).to_have_text(re.compile(r"DJI_000\d\.JPG"))
    expect(other.locator(".card dl")).to_contain_text("KTT")
    assert _without_spaces(other.locator(".card dl").inner_text()) == _without_spaces(shown)
    other.locator(".card .close").click()
    assert "at=" not in other.url
    # another picture under an open card is another card
    page.locator("select.revision").select_option("1")
    expect(page.locator(".card")).to_contain_text("Bản hoàn thiện 1")


def test_one_place_has_one_error_on_its_card_as_under_a_meetings_picture(
    open_page: OpenPage, finished: House
) -> None:
    page = open_page(link=f"event={REAL}&lang=vi&map=18/{LAT - 0.0015}/{LON + 0.0042}", url=finished.url)
    settled(page)
    with page.expect_response("**/api/pixel**") as answered:
        click_map(page)
    own_m, shift_m = answered.value.json()["sigma_m"], math.hypot(0.8, 0.8)

    def said(metres: float) -> str:
        return f"± {metres:.{2 if metres < 1 else 1}f} m".replace(".", ",")

    whole = said(math.hypot(own_m, shift_m))
    row = page.locator(".card dt", has_text="Sai số vị trí").locator("xpath=following-sibling::dd[1]")
    expect(row).to_have_text(re.compile(rf"^{re.escape(whole)}\s"))
    expect(row).to_contain_text(f"Trong nội bộ ảnh {said(own_m)}")
    expect(row).to_contain_text(f"Lệch chung cả tờ {said(shift_m)}")
    page.locator("button.meet").click()
    expect(page.locator(".meeting-caption")).to_contain_text(f"sai số mặt đất {whole}")


def _without_spaces(text: str) -> str:
    return "".join(text.split())


def test_without_terrain_the_card_says_plane_and_that_the_error_is_not_known(
    open_page: OpenPage, world: World
) -> None:
    view = f"hidden={world.after}&map=18/{LAT - 0.0015}/{LON + 0.0042}"
    page = open_page(link=f"event={REAL}&lang=en&{view}")
    settled(page)
    click_map(page)
    card = page.locator(".card")
    expect(card).to_contain_text(words("groundPlane", "en"))
    expect(card).to_contain_text(words("errorUnknown", "en"))
    assert "±" not in card.inner_text() and "terrain model (DEM)" not in card.inner_text()


def test_live_is_said_of_a_stream_only(open_page: OpenPage, house: House) -> None:
    """A card that was uploaded was in nobody's air: its flight is laid as it came, and called that."""
    stream_into(house.world, house.world.after)
    where = f"event={REAL}&lang=vi&map=18/{LAT - 0.0015}/{LON + 0.0042}"
    page = open_page(link=f"{where}&cmp=side~{house.world.before}~{house.world.after}~50", url=house.url)
    expect(page.locator(".before .compared-caption")).to_contain_text(words("revisionQuick"))
    expect(page.locator(".after .compared-caption")).to_contain_text(words("revisionLive"))
    for hidden, said in (
        (house.world.before, words("revisionLive")),
        (house.world.after, words("revisionQuick")),
    ):
        page = open_page(link=f"{where}&hidden={hidden}&at={LAT - 0.0015}/{LON + 0.0042}", url=house.url)
        expect(page.locator(".card dl")).to_contain_text(said)


FLOWN = f"map=17/{LAT}/{LON + 0.004}"


@pytest.fixture
def on_a_plane(tmp_path: Path) -> Iterator[House]:
    world = make_world(tmp_path)
    world.workspace.store.put(keys.format_terrain_key(PLANE.dem_id), encode_terrain(PLANE))
    with world.workspace.catalog.frames._database.write() as connection:
        placed = frame_table.c.exterior.is_not(None)
        connection.execute(frame_table.update().where(placed).values(dem_id=PLANE.dem_id))
    with serving(world) as served:
        yield served


def test_the_spot_is_crossed_in_the_photo(open_page: OpenPage, on_a_plane: House) -> None:
    page = open_page("office", f"lang=vi&event={REAL}&{FLOWN}", url=on_a_plane.url)
    settled(page)
    with page.expect_response("**/api/pixel**") as answered:
        click_map(page)
    spot = answered.value.json()["spot"]
    page.locator(".spot-open").click()
    image, cross = page.locator(".spot-frame img"), page.locator(".spot-cross")
    expect(image).to_be_visible()
    assert image.evaluate("e => e.decode().then(() => e.naturalWidth)") > 100
    drawn, at = box_of(image), box_of(cross)
    middle = (at["x"] + at["width"] / 2 - drawn["x"], at["y"] + at["height"] / 2 - drawn["y"])
    expected = (spot["x"] / spot["width"] * drawn["width"], spot["y"] / spot["height"] * drawn["height"])
    assert middle == pytest.approx(expected, abs=1.5)
    assert drawn["x"] >= 0 and drawn["x"] + drawn["width"] <= SIZES["office"][0]
    page.keyboard.press("Escape")
    expect(page.locator(".spot-room")).to_have_count(0)
    expect(page.locator(".card")).to_be_visible()


def test_the_card_tells_an_age_as_the_pack_does(open_page: OpenPage, world: World) -> None:
    page = open_page(wait=False)
    at = f"{LAT}/{LON + 0.004}"
    with page.expect_response("**/api/pixel**") as answered:
        page.goto(f"{page.url.partition('#')[0]}?a#lang=vi&event={REAL}&{FLOWN}&at={at}")
    captured = datetime.fromisoformat(answered.value.json()["captured"])
    then_ns = int(captured.timestamp()) * 10**9
    for passed in (
        timedelta(minutes=70, seconds=20),
        timedelta(hours=30, minutes=5),
        timedelta(days=79, hours=2),
        timedelta(days=730),
        timedelta(days=1100),
    ):
        page.clock.set_fixed_time(captured + passed)
        page.reload()
        age = format_age(then_ns, then_ns + int(passed.total_seconds()) * 10**9).in_language("vi")
        taken = page.locator(".card dt", has_text="Giờ chụp").locator("xpath=following-sibling::dd[1]")
        expect(taken).to_contain_text(f"{age} trước")
