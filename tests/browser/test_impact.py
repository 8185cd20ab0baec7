"""What a change touches, on its card on the map and in the review: roads cut, and what nobody knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from flycam.change.volume import Volume, compute_volumes
from flycam.model.board import ChangeKind, ChangeStatus, LayerKind
from tests.browser.conftest import House, OpenPage, serving
from tests.browser.pages import click_map, hold, settled
from tests.browser.words import filled_words, words
from tests.change.impacted import add_things, changed, line, place, point, square
from tests.mosaic.surface.surfaced import finished, surface
from tests.serve.world import REAL, make_world

pytestmark = pytest.mark.browser

SLIDE, FLOOD = "change-00000001", "change-00000002"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A confirmed slide over a road, with masts and a school beside it, and a flood that waits; no houses."""
    world = make_world(tmp_path / "world")
    workspace = world.workspace
    shown = [f"{world.mosaic_of(one).mosaic_id}@0" for one in (world.before, world.after)]
    sides = {"event_id": REAL, "before_shown": shown[0], "after_shown": shown[1], "note": "rõ vách trượt"}
    slide = changed(SLIDE, square(0, -100, 80), status=ChangeStatus.ACCEPTED, **sides)
    flood = changed(FLOOD, square(130, -100, 80), kind=ChangeKind.FLOOD, **sides)
    workspace.catalog.changes.append([slide, flood])
    roads = [("ĐT 153", line((-200, -60), (400, -60))), ("Đường liên thôn", line((40, -300), (40, -110)))]
    add_things(workspace, tmp_path, "Đường bộ", LayerKind.ROAD, roads)
    add_things(workspace, tmp_path, "Trạm BTS", LayerKind.MAST, [("LCI0123", point(110, -60))], "mất sóng")
    schools = [("Trường TH Nậm Lúc", point(20, -80))]
    add_things(workspace, tmp_path, "Trường học", LayerKind.SCHOOL, schools)
    with serving(world) as served:
        yield served


def tap_slide(open_page: OpenPage, house: House, size: str = "office") -> Page:
    """A place of the slide where nothing else lies."""
    lon, lat = place(60, -40)
    link = f"lang=vi&event={REAL}&map=17.5/{lat}/{lon}"
    page = open_page(size, link=link, url=house.url)
    settled(page)
    click_map(page)
    return page


def test_the_card_tells_how_much_came_down_or_why_that_is_not_known(
    open_page: OpenPage, house: House
) -> None:
    page = tap_slide(open_page, house)
    expect(page.locator(".card")).to_contain_text(words("noVolume_not_finished"))

    changes = house.workspace.catalog.changes
    slide, area = changes.last([SLIDE])[0], square(0, -100, 80)
    workspace = house.workspace
    shown = {
        f"{side}_shown": finished(workspace, f"m-{side}", surface(workspace, area, fell=side == "after"))
        for side in ("before", "after")
    }
    changes.append([replace(slide, version=2, step_id="s2", area_m2=6400.0, **shown)])
    page = tap_slide(open_page, house)
    card = page.locator(".card")
    expect(card).to_contain_text("đo trên 100 % vết trượt")
    expect(card).not_to_contain_text("sai số")
    lost = card.locator("dd", has_text="m³").inner_text().split("±")[0]
    (volume,) = compute_volumes(workspace, changes.last([SLIDE])).values()
    assert isinstance(volume, Volume)
    assert int("".join(filter(str.isdigit, lost))) == round(volume.lost_m3)


def test_a_confirmed_change_tells_on_its_card_what_it_touches(open_page: OpenPage, house: House) -> None:
    page = tap_slide(open_page, house, "phone")
    card = page.locator(".card")
    expect(card.locator("h2")).to_have_text("Sạt lở")
    expect(card.locator(".roads-cut")).to_have_text("ĐT 153: 80 m trong vùng")
    expect(card).to_contain_text("LCI0123")
    expect(card).to_contain_text("1 trong vùng")
    expect(card).to_contain_text(filled_words("touchedUnknown", "nhà, thôn, bản, lưới điện, thuỷ văn"))
    expect(card.locator(".old").first).to_have_text("CŨ")
    inside = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert inside, "nothing sticks out of the page"


def test_what_is_not_answered_is_said_and_is_no_zero(open_page: OpenPage, house: House) -> None:
    lon, lat = place(60, -40)
    page = open_page(link=f"lang=vi&event={REAL}&map=17.5/{lat}/{lon}", url=house.url)
    held = hold(page, "**/api/changes/impact*")
    settled(page)
    click_map(page)
    expect(page.locator(".card .impact-note")).to_contain_text("Đang tìm")
    held.refuse()
    expect(page.locator(".card .impact-note")).to_contain_text(words("noAnswer"))


def test_the_review_tells_what_the_chosen_change_would_cut(open_page: OpenPage, house: House) -> None:
    page = open_page(link=f"lang=vi&event={REAL}", url=house.url)
    page.locator(".review-door").click()
    page.locator(f'[data-change="{FLOOD}"] button').click()
    expect(page.locator(".review .impact")).to_contain_text(words("roadsWouldBe"))
    expect(page.locator(".review .roads-cut")).to_have_text("ĐT 153: 80 m trong vùng")
    expect(page.locator(".review .impact-note")).to_contain_text("nhà")
    page.locator(".review-count").click()
    page.keyboard.press("a")
    expect(page.locator(".review .impact")).to_contain_text("Đường bị cắt")
