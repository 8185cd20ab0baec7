"""The meeting: one caption, one presenter, screens that follow, a walk through places by a remote's keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from flycam.access.restrictions import set_flight_classification
from flycam.model.access import Role
from flycam.model.flight import Classification
from tests.browser.conftest import SIZES, House, OpenPage, serving
from tests.browser.pages import box_of, hold, in_address, not_in_address, settled, touch, until_seen
from tests.browser.words import words
from tests.serve.world import DRILL, LAT, LON, REAL, add_account, make_world

pytestmark = pytest.mark.browser

PICKED = (255, 212, 0)
"""Of the line around what was looked for."""
FLOWN = f"map=17.50/{LAT - 0.0015:.6f}/{LON + 0.0042:.6f}"


Screen = Callable[..., Page]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    world = make_world(tmp_path / "world")
    for name, role in (("Lan", Role.OPERATOR), ("Minh", Role.ANALYST), ("Hoa", Role.VIEWER)):
        add_account(world.workspace, name, role, f"{name}-token")
    # the log is looked at every 2 s: who follows is told sooner
    with serving(world, follow_s=2.0) as served:
        yield served


@pytest.fixture
def screen(browser: Browser, house: House) -> Iterator[Screen]:
    """screen("Lan", link, size) gives that person's signed-in page, on a computer of their own."""
    contexts, troubles = [], []

    def open_one(name: str, link: str, size: str = "office") -> Page:
        width, height = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        signed_in = context.request.post(f"{house.url}/api/login", data={"token": f"{name}-token"})
        assert signed_in.ok
        page.goto(f"{house.url}/#{link}")
        page.wait_for_selector(".flight", state="attached")
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not troubles


def _view(page: Page) -> tuple[float, float, float]:
    found = re.search(r"map=([\d.]+)%2F([\d.]+)%2F([\d.]+)", page.url)
    assert found is not None
    return tuple(map(float, found.groups()))  # type: ignore[return-value]


def _read_code(page: Page) -> str:
    drawn = page.locator(".places-code svg").screenshot()
    picture = cv2.imdecode(np.frombuffer(drawn, np.uint8), cv2.IMREAD_COLOR)
    return cv2.QRCodeDetector().detectAndDecode(cv2.resize(picture, None, fx=2.0, fy=2.0))[0]


def present(page: Page) -> None:
    """Open the meeting and show one's map to all."""
    page.locator("button.meet").click()
    touch(page.locator(".meeting-bar .present"))
    expect(page.locator(".on-air")).to_have_text("ĐANG TRÌNH BÀY")


def test_one_caption_and_nothing_else(open_page: OpenPage) -> None:
    page = open_page("wall", f"lang=vi&event={REAL}&{FLOWN}")
    page.locator("button.meet").click()
    caption = page.locator(".meeting-caption")
    expect(caption).to_have_text(
        re.compile(r"Nậm Lúc.*10/09/2024\s10:15 · \d+\snăm trước · sai số mặt đất\s±\s[45],\d\sm")
    )
    for hidden in (".top", ".panel", ".timeline", ".position", ".ol-zoom", ".moves", ".map-warnings"):
        expect(page.locator(hidden)).to_be_hidden()
    # letters 25 mm high on a wall of 1.2 m and 1920 pixels are 40 pixels: 56 with what a font leaves free
    assert caption.evaluate("e => parseFloat(getComputedStyle(e).fontSize)") >= 56
    page.keyboard.press("Escape")
    expect(page.locator(".top")).to_be_visible()
    expect(caption).to_have_count(0)
    not_in_address(page, "meet")


def test_a_click_in_a_meeting_moves_no_picture(open_page: OpenPage) -> None:
    page = open_page("office", f"lang=vi&event={REAL}&{FLOWN}")
    page.locator("button.meet").click()
    caption = page.locator(".meeting-caption")
    expect(caption).to_contain_text("10/09/2024 10:15")
    settled(page)
    before = _view(page)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.mouse.click(700, 300)
    page.wait_for_timeout(1500)  # a map waits whether a tap becomes a double one, and asks then
    assert not [url for url in requests if "/api/pixel" in url]
    assert _view(page) == before
    expect(caption).to_contain_text("10/09/2024 10:15")
    page.keyboard.press("Escape")
    expect(page.locator(".top")).to_be_visible()
    expect(page.locator(".card")).to_be_hidden()


def test_no_time_of_another_view_stands_over_a_place_that_is_being_asked(open_page: OpenPage) -> None:
    page = open_page("wall", f"lang=vi&event={REAL}&{FLOWN}&meet=on")
    caption = page.locator(".meeting-caption span").last
    expect(caption).to_contain_text("10/09/2024 10:15")
    held = hold(page, "**/api/pixel**")
    page.mouse.move(900, 500)
    page.mouse.wheel(0, -120)
    expect(caption).to_have_text("đang xem…")
    held.release()
    page.mouse.wheel(0, -120)
    expect(caption).to_contain_text("10/09/2024 10:15")


def test_a_viewer_follows_what_an_operator_presents(house: House, screen: Screen) -> None:
    lan = screen("Lan", f"lang=vi&event={REAL}&{FLOWN}", "wall")
    present(lan)

    hoa = screen("Hoa", f"lang=en&event={DRILL}")
    button = hoa.locator("button.meet")
    expect(button).to_have_attribute("title", "Lan is presenting")
    expect(button).to_have_class(re.compile("on"))
    button.click()
    in_address(hoa, f"event={REAL}")
    expect(hoa.locator(".meeting-bar")).to_contain_text("Following Lan")
    expect(hoa.locator(".meeting-caption")).to_contain_text("10/09/2024 10:15")
    expect(hoa.locator(".meeting-bar .present")).to_have_count(0)
    assert _view(hoa)[1:] == pytest.approx(_view(lan)[1:], abs=2e-4)
    assert _view(hoa)[0] <= _view(lan)[0], "all that the presenter sees is seen on the smaller screen"

    # before/after goes with it, wherever its line stands
    pair = f"{house.world.before}~{house.world.after}"
    lan.goto(f"{house.url}/#lang=vi&event={REAL}&{FLOWN}&meet=on&cmp=side~{pair}~50")
    lan.wait_for_selector(".compare")
    touch(lan.locator(".meeting-bar .present"))
    expect(hoa.locator(".compare")).to_have_attribute("data-mode", "side")
    lan.keyboard.press("1")
    expect(hoa.locator(".compare")).to_have_attribute("data-mode", "swipe")

    touch(lan.locator(".meeting-bar .leave"))
    expect(hoa.locator(".meeting-caption")).to_contain_text(words("meetingWaits", "en"))


def test_who_joins_later_sees_it_at_once_by_a_link_without_a_secret(house: House, screen: Screen) -> None:
    lan = screen("Lan", f"lang=vi&event={REAL}&{FLOWN}")
    present(lan)
    touch(lan.locator(".places-open"))
    link = lan.locator(".places-link").inner_text().split()[-1]
    assert _read_code(lan) == link, "a phone at the wall reads the address, and nothing that signs in"
    assert link == f"{house.url}/#meet=follow"
    expect(lan.locator(".places")).to_contain_text(words("onlyHere"))
    wall = screen("Hoa", link.partition("#")[2], "wall")
    in_address(wall, f"event={REAL}")
    expect(wall.locator(".top")).to_be_hidden()
    assert _view(wall)[1:] == pytest.approx(_view(lan)[1:], abs=2e-4)
    lan.reload()
    expect(lan.locator(".on-air")).to_be_visible()


def test_another_takes_over_and_the_first_follows(screen: Screen) -> None:
    lan, minh = (screen(name, f"lang=vi&event={REAL}&{FLOWN}") for name in ("Lan", "Minh"))
    present(lan)
    expect(minh.locator("button.meet")).to_have_class(re.compile("on"))
    minh.locator("button.meet").click()
    expect(minh.locator(".meeting-bar")).to_contain_text("Đang theo Lan")
    touch(minh.locator(".meeting-bar .present"))
    expect(minh.locator(".on-air")).to_be_visible()
    expect(lan.locator(".meeting-bar")).to_contain_text("Đang theo Minh")
    expect(lan.locator(".on-air")).to_have_count(0)


def test_a_screen_that_follows_nobody_any_more_says_so(screen: Screen) -> None:
    lan = screen("Lan", f"lang=vi&event={REAL}&{FLOWN}")
    present(lan)
    wall = screen("Hoa", "lang=vi&meet=follow", "wall")
    lost = wall.locator(".meeting-caption strong")
    expect(wall.locator(".meeting-bar")).to_contain_text("Đang theo Lan")
    expect(lost).to_have_count(0)
    wall.context.set_offline(True)  # its stream looks open still
    expect(lost).to_contain_text(words("meetingLostFollow"))
    wall.context.set_offline(False)
    expect(lost).to_have_count(0)


def test_who_presents_is_told_that_nothing_is_sent_and_stopping_comes_last(screen: Screen) -> None:
    lan = screen("Lan", f"lang=vi&event={REAL}&{FLOWN}")
    present(lan)
    held = hold(lan, "**/api/meeting**")
    for _ in range(4):
        lan.mouse.move(600, 300)
        lan.mouse.wheel(0, -100)
        lan.wait_for_timeout(400)
    expect(lan.locator(".meeting-trouble")).to_contain_text("Chưa gửi được")
    assert [one.request.method for one in held.routes].count("PUT") <= 2, "one is on its way, one waits"
    held.release()
    sent: list[str] = []
    lan.on("request", lambda request: sent.append(request.method) if "/api/meeting" in request.url else None)
    lan.mouse.wheel(0, 100)
    touch(lan.get_by_role("button", name="Dừng trình bày"))
    expect(lan.locator(".on-air")).to_have_count(0)
    until_seen(lan, lambda: "DELETE" in sent)
    lan.wait_for_timeout(1000)
    assert [method for method in sent if method != "GET"][-1:] == ["DELETE"]


def test_places_are_walked_through_with_a_remote(screen: Screen) -> None:
    page = screen("Lan", f"lang=vi&event={REAL}&{FLOWN}")
    page.locator("button.meet").click()
    expect(page.locator(".meeting-caption")).to_contain_text("Nậm Lúc")
    first = _view(page)
    touch(page.locator(".places-open"))
    page.locator(".places-new input").fill("Cầu sập")
    page.locator(".places-new button").click()
    expect(page.locator(".place-go")).to_have_text("1. Cầu sập")
    page.keyboard.press("Escape")
    page.locator(".places-open").evaluate("e => e.blur()")
    box = box_of(page.locator(".map"))
    page.mouse.move(box["width"] / 2, box["height"] / 2)
    page.mouse.wheel(0, 600)
    settled(page)
    assert _view(page) != first
    touch(page.locator(".places-open"))
    page.locator(".places-new button").click()
    expect(page.locator(".place-go")).to_have_count(2)
    second = _view(page)
    page.locator(".places-new button").evaluate("e => e.blur()")
    page.keyboard.press("Escape")
    page.keyboard.press("PageUp")
    settled(page)
    assert _view(page) == pytest.approx(first, abs=1e-4)
    expect(page.locator(".meeting-caption b")).to_have_text("Cầu sập")
    page.keyboard.press("PageDown")
    settled(page)
    assert _view(page) == pytest.approx(second, abs=1e-4)
    page.keyboard.press("ArrowLeft")
    settled(page)
    assert _view(page) == pytest.approx(first, abs=1e-4)
    page.reload()  # the list is still there
    page.wait_for_selector(".meeting-bar", state="attached")
    expect(page.locator(".places-open")).to_have_text("Địa điểm (2)")


def test_the_list_is_on_every_presenters_screen_and_outlives_a_dead_line(screen: Screen) -> None:
    lan = screen("Lan", f"lang=vi&event={REAL}&{FLOWN}&meet=on")
    touch(lan.locator(".places-open"))
    lan.locator(".places-new input").fill("Cầu sập")
    lan.locator(".places-new button").click()
    expect(lan.locator(".place-go")).to_have_text("1. Cầu sập")
    minh, hoa = (screen(name, f"lang=vi&event={REAL}&{FLOWN}&meet=on") for name in ("Minh", "Hoa"))
    touch(minh.locator(".places-open"))
    expect(minh.locator(".place-go")).to_have_text("1. Cầu sập")
    touch(hoa.locator(".places-open"))
    expect(hoa.locator(".place-go")).to_have_text("1. Cầu sập")
    expect(hoa.locator(".places-new")).to_be_hidden()
    minh.route("**/api/meeting/places**", lambda route: route.abort())
    minh.locator(".places-new input").fill("Trường học")
    minh.locator(".places-new button").click()
    expect(minh.locator(".place-go").last).to_have_text("2. Trường học")
    expect(minh.locator(".places-trouble")).to_contain_text(words("placesHere"))
    minh.unroute("**/api/meeting/places**")
    minh.reload()
    minh.wait_for_selector(".meeting-bar", state="attached")
    touch(minh.locator(".places-open"))
    expect(minh.locator(".place-go")).to_have_count(2)
    expect(minh.locator(".places-trouble")).to_be_hidden()
    # who did not see that adds to a list that is another by now: both are there, and that is said
    lan.locator(".places-new input").fill("Bãi đáp")
    lan.locator(".places-new button").click()
    expect(lan.locator(".places-trouble")).to_contain_text("đã được gộp")
    expect(lan.locator(".place-go")).to_have_text(["1. Cầu sập", "2. Trường học", "3. Bãi đáp"])


def test_a_drill_is_marked_on_the_wall(open_page: OpenPage) -> None:
    page = open_page(link=f"lang=vi&event={DRILL}&meet=on")
    expect(page.locator(".meeting-caption .drill-badge")).to_have_text("DIỄN TẬP")


def test_how_widely_it_may_be_shown_stands_on_the_wall_and_on_paper(
    open_page: OpenPage, house: House
) -> None:
    set_flight_classification(house.workspace, house.world.before, Classification.RESTRICTED, "Quản trị")
    page = open_page(link=f"lang=vi&event={REAL}&{FLOWN}&meet=on", url=house.url, token="Minh-token")
    expect(page.locator(".meeting-caption .level-badge")).to_have_text("HẠN CHẾ")  # of all in sight
    page.goto("about:blank")
    page.goto(f"{house.url}/#lang=vi&event={REAL}&{FLOWN}&meet=on&hidden={house.world.before}")
    expect(page.locator(".meeting-caption")).to_contain_text("10/09/2024")
    expect(page.locator(".meeting-caption .level-badge")).to_have_count(0)
    page.keyboard.press("Escape")
    page.locator(".print-open").click()
    expect(page.locator(".print-pictures")).to_contain_text("sau bão")
    expect(page.locator(".print-level .level-badge")).to_have_count(0)
    page.goto("about:blank")
    page.goto(f"{house.url}/#lang=vi&event={REAL}&{FLOWN}")
    page.locator(".print-open").click()
    expect(page.locator(".print-level .level-badge")).to_have_text("HẠN CHẾ")


def test_who_follows_sees_nothing_that_was_opened_or_looked_for_here(screen: Screen) -> None:
    hoa = screen("Hoa", f"lang=vi&event={REAL}&{FLOWN}")
    hoa.locator(".search input").fill("nam luc")
    hoa.locator(".search-hits button").first.click()
    assert _picked_pixels(hoa) > 200, "the line around what was looked for"
    hoa.locator("button.meet").click()
    touch(hoa.locator(".places-open"))
    expect(hoa.locator(".places")).to_be_visible()
    present(screen("Lan", f"lang=vi&event={REAL}&{FLOWN}"))
    hoa.locator(".meeting-call .follow").click()
    expect(hoa.locator(".meeting-bar")).to_contain_text("Đang theo Lan")
    expect(hoa.locator(".places")).to_be_hidden()
    until_seen(hoa, lambda: _picked_pixels(hoa) < 50)


def _picked_pixels(page: Page) -> int:
    return int((np.abs(settled(page).astype(int) - PICKED).max(-1) < 12).sum())
