"""From the card of a pixel to the spot in its photo, and to a photo from the side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import shapely
from playwright.sync_api import expect

from flycam.catalog.rows import to_frame_row
from flycam.catalog.tables import frames as frame_table
from flycam.mosaic.terrain_codec import encode_terrain
from flycam.reports.briefing.texts import format_age
from flycam.storage import keys
from tests.browser.conftest import SIZES, House, OpenPage, serving
from tests.browser.pages import box_of, click_map, settled
from tests.browser.words import words
from tests.serve.api.test_photo_points import PLANE, tilted
from tests.serve.world import LAT, LON, REAL, World, make_world

pytestmark = pytest.mark.browser

FLOWN = f"map=17/{LAT}/{LON + 0.004}"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    world = make_world(tmp_path)
    world.workspace.store.put(keys.format_terrain_key(PLANE.dem_id), encode_terrain(PLANE))
    with world.workspace.catalog.frames._database.write() as connection:
        placed = frame_table.c.exterior.is_not(None)
        connection.execute(frame_table.update().where(placed).values(dem_id=PLANE.dem_id))
    with serving(world) as served:
        yield served


def test_the_spot_is_crossed_in_the_photo(open_page: OpenPage, house: House) -> None:
    page = open_page("office", f"lang=vi&event={REAL}&{FLOWN}", url=house.url)
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


def test_the_newest_photo_from_the_side_is_a_button_on_the_card(open_page: OpenPage, house: House) -> None:
    world = house.world
    both = f"map=17/{LAT - 0.003}/{LON + 0.006}"
    page = open_page(link=f"lang=vi&event={REAL}&{both}", url=house.url)
    settled(page)
    click_map(page)
    expect(page.locator(".card")).to_contain_text(words("evidenceTitle"))
    expect(page.locator(".oblique-open")).to_have_count(0)
    frames = world.workspace.catalog.frames
    with frames._database.write() as connection:
        for frame in frames.list_for_flight(world.after):
            if frame.exterior is None:
                continue
            around = shapely.box(LON, LAT - 0.006, LON + 0.012, LAT + 0.004).wkb  # it sees far to the north
            row = to_frame_row(replace(frame, exterior=tilted(frame.exterior, -40.0), footprint_wkb=around))
            mine = frame_table.c.frame_id == frame.frame_id
            seen = {name: row[name] for name in ("exterior", "footprint_wkb")}
            connection.execute(frame_table.update().where(mine).values(**seen))
    click_map(page, 0.5, 0.49)
    page.locator(".oblique-open").click()
    expect(page.locator(".spot-room h1")).to_contain_text("10/09/2024 10:15")
    expect(page.locator(".spot-frame img")).to_be_visible()
