"""Lengths and areas on the map, against the work CRS of the server; coordinates that are copied."""

from __future__ import annotations

import re

import numpy as np
import pytest
import shapely
from playwright.sync_api import Page, expect

from flycam.geodata.crs import choose_work_crs, to_work
from flycam.geometry.grid import lonlat_to_mercator, mercator_to_lonlat
from tests.browser.conftest import OpenPage
from tests.browser.pages import box_of, click_map, on_screen, settled
from tests.serve.world import LAT, LON, REAL

pytestmark = pytest.mark.browser

VIEW = f"map=16/{LAT}/{LON}"
CORNERS = (
    (LON - 0.004, LAT - 0.002),
    (LON + 0.004, LAT - 0.002),
    (LON + 0.004, LAT + 0.002),
    (LON, LAT + 0.0027),
)


AGREES = 0.001


def begin(page: Page) -> None:
    """Open what is loaded only then."""
    page.locator(".measure-open").click()
    expect(page.locator(".measure")).to_be_visible()


def number(text: str) -> float:
    """1.234,5 as it is written in Vietnamese."""
    found = re.search(r"[\d.]+,\d+", text)
    assert found is not None, text
    return float(found.group().replace(".", "").replace(",", "."))


def tap(page: Page, places: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Taps whole pixels beside these places: longitudes and latitudes of what was tapped, N×2."""
    tapped = []
    for place in places:
        x, y = (round(v) for v in on_screen(page, *place))
        page.mouse.click(x, y)
        page.wait_for_timeout(350)  # two taps, not one double one
        tapped.append(place_at(page, x, y))
    return np.array(tapped)


def place_at(page: Page, x: float, y: float) -> tuple[float, float]:
    """Longitude and latitude under a pixel of the page; the view is the address bar's."""
    found = re.search(r"map=([\d.]+)%2F([\d.]+)%2F([\d.]+)", page.url)
    box = box_of(page.locator(".map"))
    assert found is not None
    zoom, lat0, lon0 = map(float, found.groups())
    off = np.array([x - box["x"] - box["width"] / 2, box["y"] + box["height"] / 2 - y])
    at = lonlat_to_mercator(np.array([[lon0, lat0]])) + off * 2 * np.pi * 6378137.0 / (256 * 2**zoom)
    lon, lat = mercator_to_lonlat(at)[0]
    return float(lon), float(lat)


def test_length_and_area_are_those_of_the_work_crs(open_page: OpenPage) -> None:
    page = open_page(link=f"lang=vi&event={REAL}&{VIEW}")
    settled(page)
    begin(page)
    expect(page.locator(".measure")).to_contain_text("Esc")
    work = to_work(tap(page, CORNERS), choose_work_crs(LON, LAT))
    length, area = shapely.LineString(work).length, shapely.Polygon(work).area
    shown = page.locator(".measure-length")
    assert number(shown.inner_text()) == pytest.approx(length, rel=AGREES)
    assert re.fullmatch(r"\d\.\d{3},\d m", shown.inner_text()), shown.inner_text()
    assert number(page.locator(".measure-area").inner_text()) == pytest.approx(
        area / 1e4, rel=AGREES, abs=0.06
    )
    expect(page.locator(".measure-crs")).to_contain_text("UTM 48N")
    expect(page.locator(".card")).to_be_hidden()
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    expect(page.locator(".measure-area")).to_have_count(0)
    two = shapely.LineString(work[:2]).length
    assert number(shown.inner_text()) == pytest.approx(two, rel=AGREES)
    page.keyboard.press("Escape")
    expect(shown).to_have_text("0,0 m")
    page.keyboard.press("Escape")
    expect(shown).to_have_count(0)
    expect(page.locator(".measure")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".measure")).to_have_count(0)
    page.wait_for_timeout(500)
    click_map(page)
    expect(page.locator(".card")).to_be_visible()


def test_coordinates_are_copied_with_dots_and_shown_with_commas(open_page: OpenPage) -> None:
    page = open_page(link=f"lang=vi&event={REAL}&map=17/{LAT}/{LON + 0.004}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    settled(page)
    click_map(page)
    card = page.locator(".card")
    expect(card).to_contain_text("VN-2000 KTT 104°45′")
    assert re.search(r"21,[89]\d{5}° B", card.inner_text())
    card.locator(".copy").nth(0).click()
    expect(card.locator(".copy").nth(0)).to_have_attribute("data-said", "đã chép")
    assert re.fullmatch(r"21\.[89]\d{5}, 104\.80\d{4}", page.evaluate("navigator.clipboard.readText()"))
    card.locator(".copy").nth(1).click()
    expect(card.locator(".copy").nth(1)).to_have_attribute("data-said", "đã chép")
    plane = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(r"X 24\d{5}\.\d\d Y 50\d{4}\.\d\d VN-2000 KTT 104°45′", plane), plane
    card.locator(".close").click()
    page.locator(".position").hover()
    expect(page.locator(".position")).to_contain_text("VN-2000")
    page.locator(".position .copy").click()
    expect(page.locator(".position .copy")).to_have_attribute("data-said", "đã chép")
    both = page.evaluate("navigator.clipboard.readText()").split("\n")
    assert both[0] == f"{LAT:.6f}, {LON + 0.004:.6f}", "of the map's middle"
    assert both[1].startswith("X 24")
