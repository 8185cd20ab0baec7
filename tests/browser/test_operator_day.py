"""An operator's whole way, in one go: a code typed at the door, a card sent through a killed tab and a
reload, the gap told before the heavy bytes, the flight on the map, finished, a mark made on a phone."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect

from flycam.drill.photo_drill import write_drill
from tests.attack.commands import Operator
from tests.attack.test_uploads import assert_each_byte_once, assert_kept, padded
from tests.attack.uploading import ServerProcess
from tests.browser.conftest import SIZES
from tests.browser.pages import box_of, settled
from tests.browser.test_upload import choose, stopped_after, until_sent
from tests.browser.words import words

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

MISSED = "DJI_0006.JPG"
"""In the middle of the block: without it there is ground that nobody photographed."""
NAME = "Bản Lầu sáng 10-9"


@dataclass(frozen=True)
class Field:
    """A box with its terrain, the server on it, and a card as it came out of the aircraft."""

    box: Operator
    server: ServerProcess
    card: Path

    def uploads(self) -> list[dict[str, Any]]:
        token = {"Authorization": f"Bearer {(self.box.data / 'admin-token').read_text()}"}
        answer = httpx.get(f"{self.server.url}/api/uploads", headers=token)
        return [dict(one) for one in answer.json()]


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Field]:
    flown = write_drill(
        tmp_path / "flown", seed=5, photos=(3, 4), size_px=(480, 360), gsd_m=0.5, truth_rasters=False
    )
    card = tmp_path / NAME
    shutil.copytree(flown.photos, card)
    (card / MISSED).unlink()
    padded(card, 700_000)
    box = Operator(tmp_path / "dữ liệu", {}).with_ground(flown)
    admin = box("account", "add", "Trưởng ca", "--role", "admin").json["token"]
    (box.data / "admin-token").write_text(admin)
    assert box("account", "add", "Lan", "--role", "operator").exit_code == 0
    server = ServerProcess(box)
    server.start()
    yield Field(box, server, card)
    server.end()


@pytest.fixture
def computer(browser: Browser) -> Iterator[BrowserContext]:
    yield from _context(browser, "office")


@pytest.fixture
def phone(browser: Browser) -> Iterator[BrowserContext]:
    yield from _context(browser, "phone")


def _context(browser: Browser, size: str) -> Iterator[BrowserContext]:
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, has_touch=size == "phone", is_mobile=size == "phone"
    )
    troubles: list[str] = []
    context.on("weberror", lambda one: troubles.append(str(one.error)))
    yield context
    context.close()
    assert not troubles


def test_from_the_card_to_the_finished_map_and_a_mark_in_the_field(
    field: Field, computer: BrowserContext, phone: BrowserContext, screenshots: Path
) -> None:
    page = computer.new_page()
    _come_in_by_a_typed_code(page, field, screenshots)
    page = _look_before_the_heavy_bytes(page, field, screenshots)
    page = _killed_tab_and_reload(page, field)
    _until_the_card_may_come_out(page, field, screenshots)
    flight_id = _onto_the_map(page, field, screenshots)
    _finish(page, field, flight_id, screenshots)
    _mark_in_the_field(page, phone, field, screenshots)


def _come_in_by_a_typed_code(page: Page, field: Field, screenshots: Path) -> None:
    code = field.box("account", "code", "Lan").json["code"]
    page.goto(f"{field.server.url}/upload.html#lang=vi")
    page.locator("#token").click()
    page.keyboard.type(code.lower().replace("-", " "))
    page.screenshot(path=screenshots / "operator-1-door.png")
    page.keyboard.press("Enter")
    page.wait_for_selector(".picker")


def _look_before_the_heavy_bytes(page: Page, field: Field, screenshots: Path) -> Page:
    """Outlines and the missed place are there while most of the originals are still on the card."""
    stopped_after(page, 3)
    page.screenshot(path=screenshots / "operator-2-choose.png")
    choose(page, field.card)
    expect(page.locator(".banner")).to_have_text(words("upload.sending"))
    facts = page.locator(".look-facts")
    expect(facts).to_contain_text("11 / 11", timeout=120_000)
    expect(facts).to_contain_text(re.compile(r"\d chỗ bị sót"))
    assert page.locator(".sketch polygon.photo").count() == 11
    assert page.locator(".sketch polygon.gap").count() >= 1
    (standing,) = field.uploads()
    assert not standing["saved"] and standing["bytes_received"] < standing["bytes"]
    expect(page.locator(".banner")).to_have_text(words("upload.sending"))
    page.screenshot(path=screenshots / "operator-3-look.png", full_page=True)
    return page


def _killed_tab_and_reload(page: Page, field: Field) -> Page:
    until_sent(page, 5)
    page.close()
    (before,) = field.uploads()
    again = page.context.new_page()
    again.goto(f"{field.server.url}/upload.html#lang=vi")
    expect(again.locator(".upload")).to_contain_text(words("upload.goOnHint"))
    stopped_after(again, 8)
    choose(again, field.card)
    until_sent(again, 30)
    again.reload()
    expect(again.locator(".upload")).to_contain_text(words("upload.goOnHint"))
    # not before: pieces that the line holds would be sent
    again.unroute_all(behavior="ignoreErrors")
    (after,) = field.uploads()
    assert after["upload_id"] == before["upload_id"]
    assert after["bytes_received"] > before["bytes_received"] > 0
    return again


def _until_the_card_may_come_out(page: Page, field: Field, screenshots: Path) -> None:
    choose(page, field.card)
    expect(page.locator(".banner")).to_have_text(words("upload.saved"), timeout=120_000)
    (standing,) = field.uploads()
    assert standing["saved"] and standing["bytes_stored"] == standing["bytes"]
    assert_each_byte_once(field.box, field.card)
    assert_kept(field.box, field.card)
    page.screenshot(path=screenshots / "operator-4-saved.png", full_page=True)


def _onto_the_map(page: Page, field: Field, screenshots: Path) -> str:
    on_map = page.locator("a.button.large")
    on_map.wait_for(timeout=180_000)
    expect(page.locator(".stages")).to_contain_text("11 / 11 ảnh dùng được")
    on_map.click()
    expect(page.locator(".flight-name strong")).to_contain_text(NAME)
    settled(page)
    page.screenshot(path=screenshots / "operator-5-map.png")
    (flight_id,) = field.box.flights()
    return flight_id


def _finish(page: Page, field: Field, flight_id: str, screenshots: Path) -> None:
    """On the box, while the page is open: the finished revision is shown without a reload."""
    expect(page.locator("select.revision")).to_have_count(0)
    done = field.box("finish", flight_id, "--no-report", "--no-surface")
    assert done.exit_code == 0, done.sentence
    choice = page.locator("select.revision")
    expect(choice.locator("option").first).to_contain_text("Bản hoàn thiện 1")
    page.set_viewport_size({"width": SIZES["wall"][0], "height": SIZES["wall"][1]})
    settled(page)
    page.screenshot(path=screenshots / "operator-6-finished-wall.png")
    page.set_viewport_size({"width": SIZES["office"][0], "height": SIZES["office"][1]})


def _mark_in_the_field(page: Page, phone: BrowserContext, field: Field, screenshots: Path) -> None:
    """By a code that the desk reads out; the desk sees the mark as soon as it is written."""
    page.get_by_role("button", name="Mã truy cập của tôi").click()
    room = page.get_by_role("dialog")
    room.get_by_role("button", name="Tạo mã vào một lần").click()
    code = room.locator(".once-secret").input_value()
    room.get_by_role("button", name="Đóng").click()

    hand = phone.new_page()
    hand.goto(f"{field.server.url}/#lang=vi")
    hand.locator("#token").tap()
    hand.keyboard.type(code)
    hand.locator(".login button").tap()
    hand.wait_for_selector(".flight", state="attached")
    settled(hand)
    hand.screenshot(path=screenshots / "operator-7-phone-map.png")
    hand.locator(".mark-begin").tap()
    expect(hand.locator(".mark-tool")).to_contain_text(words("markTapPoint"))
    box = box_of(hand.locator(".map"))
    hand.touchscreen.tap(box["x"] + 0.5 * box["width"], box["y"] + 0.4 * box["height"])
    form = hand.locator(".mark-form")
    form.locator("[name=kind]").select_option(label="Đường tắc")
    form.locator("[name=note]").fill("cây đổ ngang đường, xe máy qua được")
    photo = io.BytesIO()
    Image.new("RGB", (1600, 1200), (120, 90, 60)).save(photo, "JPEG")
    file = {"name": "cây đổ.jpg", "mimeType": "image/jpeg", "buffer": photo.getvalue()}
    form.locator("[name=photo]").set_input_files(file)  # type: ignore[arg-type]
    hand.screenshot(path=screenshots / "operator-8-phone-form.png")
    form.locator(".save").tap()
    expect(hand.locator(".card")).to_contain_text("cây đổ ngang đường")
    expect(hand.locator(".card img")).to_be_visible()
    hand.screenshot(path=screenshots / "operator-9-phone-mark.png")
    assert hand.evaluate("document.documentElement.scrollWidth") <= SIZES["phone"][0]

    row = page.locator(".mark-row")
    expect(row).to_contain_text("Đường tắc")
    expect(row).to_contain_text("Lan")
    row.click()
    expect(page.locator(".card")).to_contain_text("cây đổ ngang đường")
    settled(page)
    page.screenshot(path=screenshots / "operator-10-desk-mark.png")
