"""The meeting pack: one button of a flight's card, and a folder that opens from a stick without a server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from flycam.http.guards import Services
from flycam.model.flight import DRILL_MARK
from flycam.reports.briefing.workflow import PackRequest, write_briefing_pack
from flycam.reports.routes import PACK_STOPPED
from tests.browser.conftest import SIZES, OpenPage
from tests.browser.words import words
from tests.serve.running import running
from tests.serve.world import REAL, World, make_world

pytestmark = pytest.mark.browser

FAILS = """
import json, sys
print("flycam: Đĩa đầy <b>", file=sys.stderr)
print(json.dumps({"sentence": "The disk is full"}))
sys.exit(4)
"""


def test_a_pack_whose_server_stopped_is_told_on_the_page_of_the_next(
    open_page: OpenPage, tmp_path: Path
) -> None:
    world = make_world(tmp_path / "data")
    never = (sys.executable, "-c", "import time; time.sleep(600)")
    services = Services(workspace=world.workspace, packs_dir=tmp_path / "packs", pack_command=never)
    with running(services) as url:
        page = open_page(link=f"event={REAL}&lang=vi", url=url)
        card = page.locator(f'[data-flight="{world.after}"]')
        card.get_by_role("button", name="Gói họp").click()
        expect(card.get_by_role("status")).to_have_text(words("packMaking"))
        page.reload()
        expect(card.get_by_role("status")).to_have_text(words("packMaking"))
        expect(card.get_by_role("button", name="Gói họp")).to_be_disabled()
        page.close()
    fails = (sys.executable, "-c", FAILS)
    again = Services(workspace=world.workspace, packs_dir=tmp_path / "packs", pack_command=fails)
    with running(again) as url:
        page = open_page(link=f"event={REAL}&lang=vi", url=url)
        warning = page.locator(".pack-desk .warning")
        expect(warning).to_have_text(f"Thung lũng Nậm Lúc – sau bão · A4: {PACK_STOPPED.in_language('vi')}")
        card = page.locator(f'[data-flight="{world.after}"]')
        card.get_by_role("button", name="Gói họp").click()
        expect(card.get_by_role("alert")).to_have_text("Đĩa đầy <b>")


def test_the_folder_opens_without_a_server(browser: Browser, world: World, tmp_path: Path) -> None:
    """By `file://`, as by double click: pictures change by key and by click, and can be zoomed."""
    out = tmp_path / "Gói họp #1 & 100%"
    made = write_briefing_pack(world.workspace, PackRequest(flights=(world.drill,)), out)
    for size in ("office", "phone"):
        width, height = SIZES[size]
        page = browser.new_page(viewport={"width": width, "height": height})
        troubles: list[str] = []
        page.on("console", lambda said, all_=troubles: all_.append(said.text))
        page.on("pageerror", lambda error, all_=troubles: all_.append(str(error)))
        page.on("requestfailed", lambda asked, all_=troubles: all_.append(asked.url))
        page.goto((out / "index.html").as_uri())
        expect(page.locator(".mark")).to_have_text(DRILL_MARK)
        picture, names = page.locator("#picture"), page.locator("a[data-picture]")
        expect(names).to_have_count(1 + len(made.communes))
        assert picture.evaluate("e => e.naturalWidth") > 100
        page.keyboard.press("ArrowRight")
        expect(page.locator("#caption")).to_contain_text(made.communes[0])
        expect(names.nth(1)).to_have_attribute("aria-current", "true")
        page.wait_for_function("document.getElementById('picture').naturalWidth > 100")
        page.keyboard.press("+")
        assert "scale(1.25)" in str(picture.get_attribute("style"))
        names.first.click()
        assert "scale(1)" in str(picture.get_attribute("style"))
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.close()
        assert troubles == []
