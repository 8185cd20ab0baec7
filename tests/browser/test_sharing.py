"""Guest links on the page: made with a QR code, listed, revoked; and what is restricted from whom."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from flycam.access.accounts import invite_guest, revoke_guest
from flycam.access.restrictions import add_restricted_area, set_flight_classification
from flycam.model.access import Role
from flycam.model.flight import Classification
from tests.browser.conftest import SIZES, House, OpenPage, serving
from tests.browser.pages import begin_mark, box_of, open_doors, settled, sign_in
from tests.browser.words import words
from tests.serve.world import LAT, LON, REAL, add_account, make_world

pytestmark = pytest.mark.browser

WEST, NORTH = LON + 0.012, LAT - 0.003
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = tmp_path_factory.mktemp("sharing")
    world = make_world(root)
    for role in (Role.VIEWER, Role.OPERATOR, Role.ANALYST):
        add_account(world.workspace, role.value, role, f"{role.value}-token")
    east, south = WEST + 0.002, NORTH - 0.002
    ring = [[WEST, south], [east, south], [east, NORTH], [WEST, NORTH], [WEST, south]]
    area = root / "area.geojson"
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}), encoding="utf-8")
    add_restricted_area(world.workspace, area, "analyst,admin", f"Doanh trại {SCRIPT}", "admin")
    set_flight_classification(world.workspace, world.before, Classification.INTERNAL, "admin")
    with serving(world) as served:
        yield served


def entered(
    open_page: OpenPage, house: House, role: Role, size: str = "office", language: str = "vi"
) -> Page:
    """The map as somebody sees it who has signed in."""
    page = open_page(size, f"lang={language}&event={REAL}", url=house.url, wait=False)
    sign_in(page, f"{role.value}-token")
    return page


def read_code(page: Page) -> str:
    """What a phone reads off the screen: held nearer and farther until it reads something."""
    shot = np.frombuffer(page.locator(".sharing-code").screenshot(), np.uint8)
    picture = cv2.imdecode(shot, cv2.IMREAD_COLOR)
    assert picture is not None
    for scale in (1.0, 2.0, 1.5, 3.0, 0.75):
        seen = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        text, _, _ = cv2.QRCodeDetector().detectAndDecode(seen)
        if text:
            break
    return text


def test_a_link_is_made_read_by_a_phone_opened_and_revoked(open_page: OpenPage, house: House) -> None:
    page = entered(open_page, house, Role.OPERATOR, "office")
    open_doors(page)
    expect(page.get_by_role("button", name="Thoát")).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Mời xem").click()
    room = page.get_by_role("dialog", name="Mời xem và hạn chế")
    expect(room).to_contain_text(words("sharing.none"))
    room.get_by_label("Trong").select_option(label="1 giờ")
    room.get_by_label("Chỉ các xã, phường").fill("Bản Liền")
    room.get_by_role("button", name="Tạo liên kết").click()
    address = room.get_by_label("Địa chỉ liên kết").input_value()
    assert re.fullmatch(rf"{re.escape(house.url)}/guest/[\w-]{{40,}}", address), "an address and nothing else"
    assert read_code(page) == address
    expect(room).to_contain_text(words("onlyHere"))
    (row,) = room.locator("[data-guest]").all()
    expect(row).to_contain_text("xã, phường: Bản Liền · do operator tạo")
    expect(row).to_contain_text(re.compile(r"đến \d\d/\d\d/\d{4} \d\d:\d\d"))
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES["office"][0]
    guest = page.context.browser.new_context()  # type: ignore[union-attr]
    try:
        seen = guest.new_page()
        seen.goto(address)
        seen.get_by_role("button").click()
        seen.wait_for_selector(".flight", state="attached")
        assert seen.url.startswith(f"{house.url}/#") and "token" not in seen.url
        expect(seen.get_by_role("button", name="Mời xem")).to_have_count(0)
        row.get_by_role("button", name=re.compile("Thu hồi liên kết")).click()
        expect(room).to_contain_text(words("sharing.none"))
        expect(room.get_by_label("Địa chỉ liên kết")).to_have_count(0), "what opens nothing is not shown on"
        assert guest.request.get(f"{house.url}/api/guests").status in (401, 403)
        assert guest.request.post(address).status == 401
    finally:
        guest.close()
    page.keyboard.press("Escape")
    expect(room).to_have_count(0)
    door = page.get_by_role("button", name="Mời xem")
    expect(door).to_be_focused()


def test_a_guests_screen_has_a_caption_and_offers_nothing_that_is_not_theirs(
    open_page: OpenPage, house: House
) -> None:
    _, secret = invite_guest(house.workspace, 2.0, REAL, "analyst")
    page = open_page("office", "", url=house.url, wait=False)
    page.goto(f"{house.url}/guest/{secret}")
    page.get_by_role("button").click()
    page.wait_for_selector(".flight", state="attached")
    page.goto("about:blank")
    page.goto(f"{house.url}/#lang=vi&event={REAL}&tab=board&map=17.50/{LAT - 0.0015:.6f}/{LON + 0.0042:.6f}")
    expect(page.locator(".flight-actions").first).to_be_visible()
    expect(page.get_by_role("tab")).to_have_count(0)
    page.get_by_role("button", name="Chi tiết").first.click()
    expect(page.locator(".flight-detail")).to_contain_text("Bản Liền")
    expect(page.locator("body")).not_to_contain_text("Đang tải")
    middle = box_of(page.locator(".map canvas").first)
    page.mouse.click(middle["x"] + middle["width"] / 2, middle["y"] + middle["height"] / 2)
    expect(page.locator(".card")).to_contain_text("10/09/2024")
    expect(page.locator(".card img")).to_have_count(0)
    page.locator("button.meet").click()
    caption = page.locator(".meeting-caption")
    expect(caption).to_contain_text(re.compile(r"10/09/2024\s10:15.*±"))


def test_a_guest_whose_link_was_revoked_is_told_so_and_keeps_no_picture(
    open_page: OpenPage, house: House
) -> None:
    workspace = house.workspace
    guest, secret = invite_guest(workspace, 2.0, REAL, "analyst")
    page = open_page("office", "", url=house.url, wait=False)
    page.goto(f"{house.url}/guest/{secret}")
    page.get_by_role("button").click()
    page.wait_for_selector(".flight", state="attached")
    settled(page)
    revoke_guest(workspace, guest.guest_id, "analyst")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(words("guestEnded"))
    expect(page.locator(".map")).to_have_count(0)
    expect(page.locator("body")).not_to_contain_text("Mất kết nối")


def session_ends_at(page: Page, method: str, addresses: str) -> None:
    """The session ends with the first such request, whatever the page asks by itself around it."""
    waiting = [None]

    def end(route: Route) -> None:
        if route.request.method == method and waiting:
            waiting.clear()
            page.context.clear_cookies()
        route.continue_()

    page.route(addresses, end)


def test_what_is_typed_stays_when_the_session_ends_and_is_saved_after(
    open_page: OpenPage, house: House
) -> None:
    """The door stands over the page; the request that was refused is made again."""
    page = entered(open_page, house, Role.OPERATOR, "office")
    settled(page)
    begin_mark(page, "Hai người trên mái nhà (office)")
    session_ends_at(page, "PUT", "**/api/marks/**")
    page.locator(".mark-form .save").click()
    door = page.get_by_role("dialog", name="Đăng nhập")
    expect(door).to_contain_text(words("sessionEnded"))
    expect(door).to_contain_text("tài khoản operator")
    box = box_of(door)
    width, height = SIZES["office"]
    assert (box["x"], box["y"]) == (0, 0)
    assert box["width"] >= width and box["height"] >= height, "it shows nothing of the page below"
    page.keyboard.press("Escape")
    expect(door).to_be_visible()
    page.locator("#token").fill("not it")
    page.locator(".login button").click()
    expect(door.get_by_role("alert")).to_be_visible()
    page.locator("#token").fill("operator-token")
    page.locator(".login button").click()
    expect(door).to_have_count(0)
    expect(page.locator(".card")).to_contain_text("Hai người trên mái nhà (office)")
    notes = [one.note for one in house.workspace.catalog.marks.current(REAL)]
    assert notes.count("Hai người trên mái nhà (office)") == 1


def test_somebody_else_who_signs_in_there_sees_nothing_of_it(open_page: OpenPage, house: House) -> None:
    page = entered(open_page, house, Role.OPERATOR)
    settled(page)
    begin_mark(page, "chỉ mình tôi")
    session_ends_at(page, "PUT", "**/api/marks/**")
    page.locator(".mark-form .save").click()
    page.get_by_role("dialog", name="Đăng nhập").wait_for()
    page.locator("#token").fill("analyst-token")
    page.locator(".login button").click()
    expect(page.locator("button.account")).to_have_attribute("title", re.compile("^analyst"))
    expect(page.locator(".mark-form")).to_have_count(0)
    assert "chỉ mình tôi" not in [one.note for one in house.workspace.catalog.marks.current(REAL)]


def test_what_is_restricted_is_listed_for_those_who_see_it(open_page: OpenPage, house: House) -> None:
    page = entered(open_page, house, Role.ANALYST, language="en")
    page.get_by_role("button", name="Invite").click()
    room = page.get_by_role("dialog", name="Guests and restrictions")
    expect(room.locator("[data-area]")).to_contain_text(f"Doanh trại {SCRIPT}")
    expect(room.locator("[data-area]")).to_contain_text("seen by administrators, analysts only")
    expect(room.locator(f'[data-level="{house.world.before}"] .level-badge')).to_have_text("INTERNAL")
    page.get_by_role("button", name="Close").click()
    # the strip has every button now
    expect(page.get_by_role("button", name="Sign out")).to_be_in_viewport(ratio=1)
    operator = entered(open_page, house, Role.OPERATOR)
    operator.get_by_role("button", name="Mời xem").click()
    expect(operator.get_by_role("dialog")).to_contain_text(words("sharing.areasNone"))
    viewer = entered(open_page, house, Role.VIEWER)
    expect(viewer.get_by_role("button", name="Mời xem")).to_have_count(0)


def test_tab_stays_in_the_room(open_page: OpenPage, house: House) -> None:
    page = entered(open_page, house, Role.OPERATOR)
    settled(page)
    page.get_by_role("button", name="Mời xem").click()
    room = page.get_by_role("dialog")
    expect(room.get_by_role("button", name="Tạo liên kết")).to_be_enabled()
    for key in ["Tab"] * 12 + ["Shift+Tab"] * 14:
        page.keyboard.press(key)
        assert page.evaluate("document.querySelector('[role=dialog]').contains(document.activeElement)"), key
