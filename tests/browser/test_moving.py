"""A flight that was brought under the wrong storm, moved by whoever brought it, on its card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from flycam.model.access import Role
from tests.browser.conftest import House, OpenPage, serving
from tests.browser.pages import box_of
from tests.browser.words import words
from tests.change.impacted import changed, square
from tests.serve.world import REAL, add_account, make_world

pytestmark = pytest.mark.browser


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Changes were found on the flight before; the flight after is nobody's but "Tổ bay 2"'s."""
    world = make_world(tmp_path)
    for name, role in (("Tổ bay 2", Role.OPERATOR), ("Tổ bay 9", Role.OPERATOR), ("Hà", Role.ANALYST)):
        add_account(world.workspace, name, role, name.replace(" ", "-"))
    shown = f"{world.before}-colour@0"
    found = changed(
        "change-00000001", square(0, 0, 50), event_id=REAL, before_shown="x.tif", after_shown=shown
    )
    world.workspace.catalog.changes.append([found])
    with serving(world) as served:
        yield served


def opened_card(open_page: OpenPage, house: House, who: str, flight: str, size: str = "office") -> Page:
    page = open_page(size, f"lang=vi&event={REAL}", url=house.url, wait=False)
    page.locator("#token").fill(who.replace(" ", "-"))
    page.locator(".login button").click()
    card = page.locator(f'[data-flight="{flight}"]')
    card.wait_for(state="attached")
    if size == "phone":
        page.locator(".panel-switch").click()
    card.get_by_role("button", name="Chi tiết").click()
    expect(card.locator(".flight-detail")).to_contain_text("Ảnh đã dùng")
    return page


def test_who_brought_a_flight_moves_it(open_page: OpenPage, house: House) -> None:
    flight = house.world.after
    page = opened_card(open_page, house, "Tổ bay 2", flight, "office")
    card = page.locator(f'[data-flight="{flight}"]')
    card.get_by_text("Sự kiện: Bão số 3 (Yagi)").click()
    field = card.get_by_label(words("moveTo"))
    field.fill("Lũ quét Bản Liền")
    field.press("Enter")
    expect(page.locator(".flight")).to_have_count(1)  # the page is in the new event, where it lies alone
    expect(card.get_by_text("Sự kiện: Lũ quét Bản Liền")).to_be_attached()
    flights = house.workspace.catalog.flights
    assert flights.event(flights.flight(flight).event_id).name == "Lũ quét Bản Liền"


def test_a_refusal_is_read_on_the_card(open_page: OpenPage, house: House) -> None:
    flight = house.world.before
    page = opened_card(open_page, house, "Hà", flight)
    card = page.locator(f'[data-flight="{flight}"]')
    card.get_by_text("Sự kiện: Bão số 3 (Yagi)").click()
    card.get_by_label(words("moveTo")).fill("Lũ quét")
    card.get_by_role("button", name="Chuyển").click()
    expect(card.get_by_role("alert")).to_contain_text("đã tìm thay đổi trên chuyến bay này")
    assert house.workspace.catalog.flights.flight(flight).event_id == REAL


def test_a_press_counts_though_news_waited_for_the_field_to_be_left(
    open_page: OpenPage, house: House
) -> None:
    """Leaving the field draws the list anew, which must not come between press and release."""
    flight = house.world.before
    page = opened_card(open_page, house, "Hà", flight)
    card = page.locator(f'[data-flight="{flight}"]')
    card.get_by_text("Sự kiện: Bão số 3 (Yagi)").click()
    card.get_by_label(words("moveTo")).fill("Lũ quét")
    with httpx.Client(base_url=house.url, headers={"Origin": house.url}) as crew:
        assert crew.post("/api/login", json={"token": "Tổ-bay-2"}).is_success
        with page.expect_response(lambda one: "/api/flights" in one.url):
            assert crew.put(
                f"/api/flights/{house.world.after}/event", json={"event": "Lũ quét Bản Liền"}
            ).is_success
    button = box_of(card.get_by_role("button", name="Chuyển"))
    page.mouse.move(button["x"] + button["width"] / 2, button["y"] + button["height"] / 2)
    page.mouse.down()
    page.wait_for_timeout(300)
    page.mouse.up()
    expect(card.get_by_role("alert")).to_contain_text("đã tìm thay đổi trên chuyến bay này")
    expect(page.locator(".flight")).to_have_count(1)  # the other's move is drawn once the press is over
