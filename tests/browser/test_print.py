"""A sheet for the field: round scale, VN-2000 grid, what is on it; and paper that holds the sheet alone."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from flycam.geodata.crs import to_vn2000
from tests.browser.conftest import OpenPage
from tests.browser.pages import box_of, hold
from tests.browser.words import words
from tests.serve.world import DRILL, LAT, LON, REAL

pytestmark = pytest.mark.browser

MIDDLE = (LON + 0.0042, LAT - 0.0015)
FLOWN = f"map=17/{MIDDLE[1]}/{MIDDLE[0]}"
MM_PER_PX = 25.4 / 96.0


def opened(page: Page) -> Page:
    page.locator(".print-open").click()
    page.wait_for_selector('.print-room[aria-busy="false"]')
    return page


def number(text: str | None) -> float:
    assert text
    return float(text.replace(".", ""))


def test_grid_and_scale_agree_with_each_other_and_with_the_coordinates(open_page: OpenPage) -> None:
    page = opened(open_page("wall", f"lang=vi&event={REAL}&{FLOWN}"))
    page.locator(".print-bar select").nth(1).select_option("2000")
    page.wait_for_selector('.print-room[aria-busy="false"]')
    foot = page.locator(".print-foot")
    expect(foot).to_contain_text("Tỉ lệ 1:2.000 khi in khổ A4, 100 %")
    expect(foot).to_contain_text("Lưới VN-2000, KTT 104°45′")
    expect(page.locator(".print-labels .at-left").first).to_be_visible()
    share = float(page.locator(".print-sheet").evaluate("node => node.style.getPropertyValue('--share')"))
    frame = box_of(page.locator(".print-map"))
    spots = page.locator(".print-labels .at-bottom").evaluate_all(
        "nodes => nodes.map(node => [node.textContent, parseFloat(node.style.left)])"
    )
    (text_a, px_a), (text_b, px_b) = spots[0], spots[-1]
    apart_m = number(text_b) - number(text_a)
    paper_m = (px_b - px_a) * MM_PER_PX / 1000.0 * 2000.0
    # Web Mercator is no map of the ellipsoid: a third of a percent between north and east
    assert paper_m == pytest.approx(apart_m, rel=0.01)
    middle, _ = to_vn2000(np.array([MIDDLE]), "EPSG:9208")
    at_middle = number(text_a) + (frame["width"] / share / 2 - px_a) / (px_b - px_a) * apart_m
    assert at_middle == pytest.approx(middle[0, 0], abs=1.5)


def test_the_sheet_says_what_is_on_it_and_a_drill_is_named(open_page: OpenPage) -> None:
    page = opened(open_page("office", f"lang=vi&event={DRILL}&{FLOWN}"))
    expect(page.locator(".print-drill")).to_contain_text("DIỄN TẬP")
    expect(page.locator(".print-pictures")).to_contain_text("GSD")
    expect(page.locator(".print-small")).to_contain_text("chưa bay chụp")
    page.locator(".print-title").fill("Thôn Làng Nủ, đường tắc")
    sheet, desk = box_of(page.locator(".print-sheet")), box_of(page.locator(".print-desk"))
    assert sheet["width"] <= desk["width"] and sheet["height"] <= desk["height"]
    page.keyboard.press("Escape")
    expect(page.locator(".print-room")).to_have_count(0)
    expect(page.locator(".map")).to_be_visible()


def test_what_is_printed_is_one_sheet_of_that_paper(open_page: OpenPage, tmp_path: Path) -> None:
    page = opened(open_page("office", f"lang=en&event={REAL}&{FLOWN}"))
    page.locator(".print-bar select").first.select_option("A3")
    page.wait_for_selector('.print-room[aria-busy="false"]')
    page.pdf(path=tmp_path / "sheet.pdf", prefer_css_page_size=True, print_background=True)
    written = (tmp_path / "sheet.pdf").read_bytes()
    boxes = re.findall(rb"/MediaBox ?\[0 0 ([\d.]+) ([\d.]+)\]", written)
    assert [tuple(round(float(side)) for side in box) for box in boxes] == [(1191, 842)]


def test_without_an_answer_no_grid_is_drawn_and_that_is_said(open_page: OpenPage) -> None:
    page = open_page("office", f"lang=vi&event={REAL}&{FLOWN}")
    held = hold(page, "**/api/vn2000/grid**")
    page.locator(".print-open").click()
    expect(page.locator(".print-foot")).to_contain_text(words("print.gridAsked"))
    expect(page.locator(".print-go")).to_be_disabled()
    held.refuse()
    expect(page.locator(".print-foot")).to_contain_text("chưa có lưới")
    expect(page.locator(".print-go")).to_be_enabled()
    expect(page.locator(".print-labels span")).to_have_count(0)


def test_colours_painted_over_the_pictures_are_explained_on_the_sheet(open_page: OpenPage) -> None:
    page = opened(open_page("office", f"lang=vi&event={REAL}&data=gsd&{FLOWN}"))
    legends = page.evaluate("fetch('/api/legends').then((answer) => answer.json())")["gsd"]
    rows = page.locator(".print-classes li")
    expect(rows).to_have_text([one["label_vi"] for one in legends["classes"]])
    expect(page.locator(".print-classes")).to_contain_text(legends["title_vi"])
    frame = box_of(page.locator(".print-frame"))
    classes = box_of(page.locator(".print-classes"))
    assert frame["y"] < classes["y"] and classes["y"] + classes["height"] < frame["y"] + frame["height"]
