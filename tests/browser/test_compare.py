"""Before and after: swept over each other, in turns, side by side; by mouse, touch and keys; by link."""

from __future__ import annotations

import re

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from flycam.geometry.grid import lonlat_to_mercator
from tests.browser.conftest import OpenPage
from tests.browser.pages import box_of, in_address, not_in_address, settled, settled_compare, until_seen
from tests.browser.words import words
from tests.serve.world import DRILL, LAT, LON, REAL, World, colour_at

pytestmark = pytest.mark.browser

MIDDLE = (LON + 0.0020, LAT - 0.0015)
"""Beside the river, which the storm made broader."""
FLOWN = f"map=18/{MIDDLE[1]}/{MIDDLE[0]}"


def _rest(page: Page) -> np.ndarray:
    expect(page.locator('.compared-map[aria-busy="false"]')).to_have_count(2)
    return settled_compare(page)


def _painted(page: Page, picture: np.ndarray, dx: int, dy: int, of: str = ".compared.before") -> np.ndarray:
    """Mean colour drawn around a place so many pixels from the middle of a map."""
    box = box_of(page.locator(of))
    x, y = round(box["x"] + box["width"] / 2 + dx), round(box["y"] + box["height"] / 2 + dy)
    return picture[y - 6 : y + 7, x - 6 : x + 7].reshape(-1, 3).mean(0)


def _ground(dx: int, dy: int, *, storm: bool) -> np.ndarray:
    """What is there in truth, at zoom 18."""
    pixel_m = 2 * np.pi * 6378137.0 / 256 / 2**18
    centre = lonlat_to_mercator(np.array([MIDDLE]))[0]
    offsets = np.linspace(-6, 6, 9) * pixel_m
    x, y = np.meshgrid(centre[0] + dx * pixel_m + offsets, centre[1] - dy * pixel_m + offsets)
    return colour_at(np.stack([x, y], -1), storm).reshape(-1, 3).mean(0)


def _place_that_changed() -> tuple[int, int]:
    """Pixels from the middle to where before and after differ most, and nothing of the page lies over it."""
    candidates = [(dx, dy) for dx in range(-40, 171, 20) for dy in range(-80, 81, 20)]
    apart = [np.abs(_ground(*one, storm=True) - _ground(*one, storm=False)).max() for one in candidates]
    return candidates[int(np.argmax(apart))]


CHANGED = _place_that_changed()


def _is(painted: np.ndarray, *, storm: bool) -> bool:
    gaps = [np.abs(painted - _ground(*CHANGED, storm=one)).max() for one in (True, False)]
    assert min(gaps) < 25, gaps
    return (gaps[0] < gaps[1]) == storm


def _link(world: World, mode: str, share: int) -> str:
    return f"lang=vi&event={REAL}&{FLOWN}&cmp={mode}~{world.before}~{world.after}~{share}"


def test_it_opens_on_the_newest_flight_and_the_one_before(
    open_page: OpenPage, world: World, address: str
) -> None:
    page = open_page(link=f"lang=vi&event={REAL}&{FLOWN}")
    page.locator(".compare-open").click()
    expect(page.locator(".compare")).to_have_attribute("data-mode", "swipe")
    in_address(page, f"cmp=swipe~{world.before}~{world.after}~50")
    before, after = (page.locator(f".{which} .compared-caption") for which in ("before", "after"))
    expect(before).to_contain_text(re.compile(r"Trước: .* – trước bão.*20/08/2024\s09:10", re.S))
    expect(after).to_contain_text(re.compile(r"Sau: .*sau bão.*10/09/2024\s10:15 · \d+\snăm trước", re.S))
    query = {"flight": world.after, "layer": "colour", "lon": MIDDLE[0], "lat": MIDDLE[1]}
    sigma_m = httpx.get(f"{address}/api/pixel", params=query).json()["sigma_m"]
    note = f"{sigma_m:.1f}".replace(".", ",")
    expect(after).to_contain_text(re.compile(rf"Bản dựng nhanh.*sai số mặt đất\s±\s{note}\sm"))
    expect(before).to_contain_text(words("captionErrorUnknown"))
    expect(before).to_contain_text("không có mô hình độ cao")
    page.keyboard.press("Escape")
    expect(page.locator(".compare")).to_have_count(0)
    settled(page)
    not_in_address(page, "cmp")


def test_the_line_is_moved_by_mouse_and_keys_and_shows_the_truth_on_either_side(
    open_page: OpenPage, world: World
) -> None:
    page = open_page(link=_link(world, "swipe", 50))
    handle = page.locator(".swipe-handle")
    box = box_of(handle)
    stage = box_of(page.locator(".compare"))
    for share, storm in ((90, False), (10, True)):
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(stage["x"] + stage["width"] * share / 100, stage["y"] + 300, steps=4)
        page.mouse.up()
        until_seen(page, lambda storm=storm: _is(_painted(page, _rest(page), *CHANGED), storm=storm))
        assert re.search(rf"~({share - 1}|{share}|{share + 1})(&|$)", page.url)
        box = box_of(handle)
    handle.focus()
    page.keyboard.press("End")
    until_seen(page, lambda: _is(_painted(page, _rest(page), *CHANGED), storm=False))
    page.keyboard.press("ArrowLeft")
    expect(handle).to_have_attribute("aria-valuenow", "98")


def test_pictures_change_places_by_the_space_bar(open_page: OpenPage, world: World) -> None:
    page = open_page(link=_link(world, "swipe", 50))
    expect(page.locator(".swipe-handle")).to_be_visible()
    page.keyboard.press("2")
    expect(page.locator(".compare")).to_have_attribute("data-mode", "flicker")
    until_seen(page, lambda: _is(_painted(page, _rest(page), *CHANGED), storm=True))
    page.keyboard.press(" ")
    until_seen(page, lambda: _is(_painted(page, _rest(page), *CHANGED), storm=False))
    expect(page.locator(".before .compared-caption")).to_be_visible()
    expect(page.locator(".after .compared-caption")).to_be_hidden()
    page.keyboard.press(" ")
    expect(page.locator(".after .compared-caption")).to_be_visible()
    expect(page.locator(".before .compared-caption")).to_be_hidden()


def test_side_by_side_the_pointer_is_on_the_same_ground(open_page: OpenPage, world: World) -> None:
    page = open_page("office", _link(world, "side", 50))
    _rest(page)
    one, other = (box_of(page.locator(f".compared.{which}")) for which in ("before", "after"))
    assert (one["width"], one["height"]) == pytest.approx((other["width"], other["height"]), abs=4)
    middle = (one["x"] + one["width"] / 2, one["y"] + one["height"] / 2)
    page.mouse.move(middle[0] + 60, middle[1] - 40)
    cross = page.locator(".after .cross")
    expect(cross).to_be_visible()
    at = box_of(cross)
    assert at["x"] + at["width"] / 2 - (other["x"] + other["width"] / 2) == pytest.approx(60, abs=3)
    assert at["y"] + at["height"] / 2 - (other["y"] + other["height"] / 2) == pytest.approx(-40, abs=3)


@pytest.mark.parametrize("wrong", ["swipe~nothing~here~50", "dance~a~b~50"])
def test_a_link_to_no_picture_says_so_or_shows_the_map(open_page: OpenPage, wrong: str) -> None:
    page = open_page(link=f"lang=vi&event={REAL}&{FLOWN}&cmp={wrong}")
    if "nothing" in wrong:
        expect(page.locator(".before .compared-caption")).to_contain_text(words("compareGone"))
    else:
        settled(page)
        expect(page.locator(".compare")).to_have_count(0)


@pytest.mark.parametrize(
    ("pair", "note"),
    [
        ("{after}~{before}", words("compareReversed")),
        ("{after}~{after}@0", words("compareOneFlight")),
        ("{before}~{after}", None),
    ],
)
def test_what_is_no_before_and_after_is_said_on_both(
    open_page: OpenPage, world: World, pair: str, note: str | None
) -> None:
    sides = pair.format(before=world.before, after=world.after)
    page = open_page(link=f"lang=vi&event={REAL}&{FLOWN}&cmp=side~{sides}~50")
    for caption in (page.locator(f".{which} .compared-caption") for which in ("before", "after")):
        expect(caption).to_contain_text(re.compile(r"\d\d/\d\d/2024\s\d\d:\d\d · "))
        if note is None:
            expect(caption).not_to_contain_text(re.compile("không cũ hơn|Cùng một|cùng một"))
        else:
            expect(caption).to_contain_text(note)


def test_a_comparison_that_is_closed_is_let_go(open_page: OpenPage, world: World) -> None:
    page = open_page(link=f"lang=vi&event={REAL}&{FLOWN}")
    inspector = page.context.new_cdp_session(page)

    def alive(kind: str) -> int:
        """Objects of a kind in the page's memory, also those that are on no page any more."""
        found = inspector.send("Runtime.evaluate", {"expression": f"{kind}.prototype"})
        query = {"prototypeObjectId": found["result"]["objectId"]}
        objects = inspector.send("Runtime.queryObjects", query)["objects"]["objectId"]
        query = {"objectId": objects, "functionDeclaration": "function() { return this.length; }"}
        return int(inspector.send("Runtime.callFunctionOn", query)["result"]["value"])

    def compared() -> None:
        page.locator(".compare-open").click()
        _rest(page)
        page.locator(".compare-bar .close").click()
        expect(page.locator(".compare")).to_have_count(0)
        settled(page)

    compared()
    canvases = alive("HTMLCanvasElement")
    for _ in range(3):
        compared()
    assert alive("HTMLCanvasElement") - canvases <= 4, (
        "two maps of some ten canvases each were kept every time"
    )


def test_a_drill_is_compared_with_drills_only_and_says_so(open_page: OpenPage, world: World) -> None:
    page = open_page(link=f"lang=vi&event={DRILL}")
    settled(page)
    page.locator(".compare-open").click()
    expect(page.locator(".after .compared-caption .drill-badge")).to_have_text("DIỄN TẬP")
    expect(page.locator(".before .compared-caption")).to_contain_text(words("compareSame"))
    values = page.locator(".compare-choice.before option").evaluate_all("all => all.map(o => o.value)")
    assert world.drill in values
    assert not {world.before, world.after} & set(values)
