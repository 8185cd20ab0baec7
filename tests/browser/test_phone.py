"""Rooms of the page on a phone, in both languages: all of it on the screen, and large enough for a thumb."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Locator, Page

from tests.browser.conftest import SIZES, House, OpenPage
from tests.browser.pages import click_map, open_doors, settled
from tests.browser.test_evidence import FLOWN, house
from tests.serve.world import REAL

pytestmark = pytest.mark.browser

__all__ = ["house"]
WIDTH, HEIGHT = SIZES["phone"]
THUMB_PX = 44
UPLOAD_PX = 48


def turned(page: Page) -> None:
    """The phone is held the other way."""
    size = page.viewport_size
    assert size is not None
    page.set_viewport_size({"width": size["height"], "height": size["width"]})
    settled(page)


def on_screen(page: Page, things: Locator) -> list[dict[str, float]]:
    """Boxes of these things, each wholly on the screen."""
    size = page.viewport_size
    assert size is not None
    boxes = [box for one in things.all() if (box := one.bounding_box()) is not None]
    assert boxes
    for box in boxes:
        assert box["x"] >= 0 and box["x"] + box["width"] <= size["width"] + 0.5
        assert box["y"] >= 0 and box["y"] + box["height"] <= size["height"] + 0.5
    return [dict(box) for box in boxes]


def lines(thing: Locator) -> int:
    """How many lines its words take."""
    return int(
        thing.evaluate(
            """node => {
                const range = document.createRange();
                range.selectNodeContents(node);
                return new Set([...range.getClientRects()].map(one => Math.round(one.bottom))).size;
            }"""
        )
    )


def test_a_photo_with_its_place_fills_the_width(open_page: OpenPage, house: House) -> None:
    page = open_page("phone", f"lang=vi&event={REAL}&{FLOWN}", url=house.url)
    settled(page)
    click_map(page)
    page.locator(".spot-open").click()
    image = page.locator(".spot-frame img")
    image.evaluate("e => e.decode()")
    settled(page)
    (drawn,) = on_screen(page, image)
    assert drawn["width"] == pytest.approx(WIDTH, abs=1)
    name, time = page.locator(".room-bar h1 span").all()
    assert (lines(name), lines(time)) == (1, 1), "a line each, without a dot between"
    turned(page)
    (drawn,) = on_screen(page, image)
    assert drawn["height"] >= 0.6 * WIDTH
    (note,) = on_screen(page, page.locator(".spot-note"))
    assert drawn["y"] + drawn["height"] <= note["y"] + 0.5
    (close,) = on_screen(page, page.locator(".spot-close"))
    assert close["height"] >= THUMB_PX


def test_the_sheet_that_is_printed_stands_under_its_bar(open_page: OpenPage) -> None:
    """The room is offered where the phone is held across; then it is turned."""
    page = open_page("phone", f"lang=vi&event={REAL}&{FLOWN}")
    turned(page)
    open_doors(page)
    page.locator(".print-open").click()
    page.wait_for_selector('.print-room[aria-busy="false"]')
    for name in ("across", "upright"):
        if name == "upright":
            turned(page)
        bar = page.locator(".print-bar")
        (all_of_it,) = on_screen(page, bar)
        assert all_of_it["height"] <= 0.25 * HEIGHT, "words are not in a column one word wide"
        pressed = on_screen(page, bar.locator("button, select"))
        assert len(pressed) == 4 and min(one["height"] for one in pressed) >= THUMB_PX
        on_screen(page, page.locator(".print-hint"))
        (sheet,) = on_screen(page, page.locator(".print-sheet"))
        assert sheet["y"] >= all_of_it["y"] + all_of_it["height"]


def test_a_thumb_finds_the_upload_and_chooses_photos(browser: Browser, address: str) -> None:
    """By touch alone: from the map to the card's photos."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{address}/#lang=vi&event={REAL}")
    settled(page)
    (button,) = on_screen(page, page.locator(".upload-link"))
    assert button["height"] >= UPLOAD_PX and button["width"] >= 0.25 * WIDTH
    assert button["y"] > HEIGHT / 2, "within a thumb's reach"
    page.locator(".upload-link").tap()
    picker = page.locator(".picker.large")
    picker.wait_for()
    (large,) = on_screen(page, picker)
    assert large["height"] >= UPLOAD_PX and large["width"] >= 0.8 * WIDTH
    with page.expect_file_chooser() as chosen:
        picker.tap()
    assert chosen.value.is_multiple()
    context.close()
