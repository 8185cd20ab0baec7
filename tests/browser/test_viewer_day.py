"""A viewer's whole way, in one go: a code typed at the door, a commune found without accents, the board,
the strip of times, a pixel followed to its photo, a length and an area, coordinates copied, a meeting
followed on a second screen."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
import shapely
from playwright.sync_api import Browser, Page, expect

from flycam.catalog.tables import frames as frame_table
from flycam.geodata.crs import choose_work_crs, to_work
from flycam.model.access import Role
from flycam.model.board import LayerKind
from flycam.model.records import CommuneRecord
from flycam.mosaic.terrain_codec import encode_terrain
from flycam.storage import keys
from tests.attack.commands import Operator
from tests.attack.uploading import ServerProcess
from tests.browser.conftest import SIZES
from tests.browser.pages import (
    box_of,
    click_map,
    expect_painted,
    settled,
    sign_in,
    touch,
    until_seen,
    wait_for_place,
)
from tests.browser.test_measure import AGREES, begin, number, tap
from tests.browser.words import words
from tests.change.impacted import add_things
from tests.serve.test_photo_points import PLANE
from tests.serve.world import LAT, LON, REAL, World, add_account, make_world, mean_colour_around

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

FAR = (LON + 0.21, LAT + 0.21)
SEEN = (LON + 0.0042, LAT - 0.0015)
Screen = Callable[..., Page]


@dataclass(frozen=True)
class Room:
    """A command room: the house, the server on it, and who may come in."""

    box: Operator
    server: ServerProcess
    world: World


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    root = tmp_path / "dữ liệu"
    world = make_world(root)
    workspace = world.workspace
    workspace.store.put(keys.format_terrain_key(PLANE.dem_id), encode_terrain(PLANE))
    with workspace.catalog.frames._database.write() as connection:
        placed = frame_table.c.exterior.is_not(None)
        connection.execute(frame_table.update().where(placed).values(dem_id=PLANE.dem_id))
    outline = shapely.box(FAR[0] - 0.01, FAR[1] - 0.01, FAR[0] + 0.01, FAR[1] + 0.01)
    workspace.catalog.boundaries.put_communes(
        [
            CommuneRecord(
                code="99999",
                name="Yên Bình",
                valid_from=date(2024, 7, 1),
                wkb=shapely.to_wkb(outline),
                area_m2=4e6,
            )
        ]
    )
    village = [("Bản Lùng Phình", shapely.Point(SEEN))]
    add_things(workspace, tmp_path, "Thôn", LayerKind.SETTLEMENT, village)
    add_account(workspace, "Hoa", Role.VIEWER, "hoa-token")
    add_account(workspace, "Minh", Role.OPERATOR, "minh-token")
    add_account(workspace, "Bà Thắm", Role.ANALYST, "tham-token")
    box = Operator(root, {})
    server = ServerProcess(box)
    server.start()
    yield Room(box, server, world)
    server.end()


@pytest.fixture
def screen(browser: Browser) -> Iterator[Screen]:
    """Somebody's computer or phone, of its own."""
    contexts, troubles = [], []

    def open_one(size: str) -> Page:
        width, height = SIZES[size]
        is_phone = size == "phone"
        context = browser.new_context(
            viewport={"width": width, "height": height}, has_touch=is_phone, is_mobile=is_phone
        )
        context.on("weberror", lambda one: troubles.append(str(one.error)))
        contexts.append(context)
        return context.new_page()

    yield open_one
    for context in contexts:
        context.close()
    assert not troubles


def test_from_the_door_to_the_meeting(room: Room, screen: Screen, tmp_path: Path, screenshots: Path) -> None:
    page = screen("office")
    _come_in(page, room, screenshots)
    _find_without_accents(page, screenshots)
    _read_the_board(page, screenshots)
    _go_back_in_time(page, room)
    _follow_a_pixel_to_its_photo(page, room, screenshots)
    _measure(page, screenshots)
    _follow_the_meeting(page, room, screen, screenshots)
    _take_the_pack_away(page, room, screen, tmp_path, screenshots)
    _look_again_on_the_phone(room, screen, screenshots)


def _come_in(page: Page, room: Room, screenshots: Path) -> None:
    code = room.box("account", "code", "Hoa").json["code"]
    page.goto(f"{room.server.url}/#lang=vi&event={REAL}")
    page.locator("#token").click()
    page.get_by_label("Hiện chữ đang gõ").check()
    page.locator("#token").click()
    page.keyboard.type(code.lower().replace("-", ""))
    expect(page.locator("#token")).to_have_attribute("type", "text")
    page.screenshot(path=screenshots / "viewer-1-door.png")
    page.keyboard.press("Enter")
    page.wait_for_selector(".flight", state="attached")
    expect(page.locator("button.account")).to_have_attribute("title", "Hoa (người xem)")
    settled(page)
    page.screenshot(path=screenshots / "viewer-2-map.png")


def _find_without_accents(page: Page, screenshots: Path) -> None:
    """By the keyboard alone: a commune nobody has flown, then a village."""
    search = page.locator(".search input")
    search.click()
    page.keyboard.type("yen binh")
    expect(page.locator(".search-hits")).to_contain_text("Yên Bình")
    page.screenshot(path=screenshots / "viewer-3-search.png")
    page.keyboard.press("Enter")
    wait_for_place(page, FAR[0], within=0.02)
    expect(page.locator(".card")).to_contain_text("Chưa bay chụp")
    search.fill("")
    search.click()
    page.keyboard.type("ban lung phinh")
    expect(page.locator(".search-hits")).to_contain_text("Bản Lùng Phình")
    page.keyboard.press("Enter")
    wait_for_place(page, SEEN[0], within=0.001)


def _read_the_board(page: Page, screenshots: Path) -> None:
    page.get_by_role("tab", name="Bảng xã").click()
    rows = page.locator(".board tbody tr")
    expect(rows).to_have_count(5)
    expect(page.locator(".board-sum")).to_have_text(
        re.compile(r"^Đã chụp .*%\s?diện tích 5 xã, phường; 4 nơi có ảnh$")
    )
    far = rows.filter(has_text="Yên Bình")
    expect(far.locator(".not-flown")).to_have_text("chưa bay chụp")
    assert "0" not in far.inner_text()
    settled(page)
    page.screenshot(path=screenshots / "viewer-4-board.png")
    page.locator(".board input").fill("nam luc")
    expect(rows).to_have_count(1)
    page.locator(".board tbody button").click()
    page.get_by_role("tab", name="Danh sách").click()


def _go_back_in_time(page: Page, room: Room) -> None:
    page.goto(f"{room.server.url}/#lang=vi&event={REAL}&map=18/{SEEN[1]}/{SEEN[0]}")
    page.wait_for_selector(".flight", state="attached")
    expect_painted(page, mean_colour_around(SEEN, storm=True))
    now = page.locator(".moment.now")
    now.focus()
    page.keyboard.press("ArrowLeft")  # the storm's own flight hides nothing: it is the newest
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".map-warnings")).to_contain_text("Đang xem như lúc 20/08/2024 09:10")
    expect_painted(page, mean_colour_around(SEEN, storm=False))
    page.keyboard.press("End")
    expect(page.locator(".map-warnings")).not_to_contain_text("Đang xem như lúc")


def _follow_a_pixel_to_its_photo(page: Page, room: Room, screenshots: Path) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    settled(page)
    with page.expect_response("**/api/pixel**") as answered:
        click_map(page)
    pixel = answered.value.json()
    card = page.locator(".card")
    expect(card).to_contain_text(words("evidenceTitle"))
    for said in ("10/09/2024 10:15", "Tổ bay 2", pixel["source_name"], "52 cm", "± ", "VN-2000 KTT 104°45′"):
        expect(card).to_contain_text(said)
    originals = [
        one
        for one in card.locator("a").all()
        if (one.get_attribute("href") or "").endswith(pixel["source_sha256"])
    ]
    assert not originals, "viewers get no originals"
    answer = page.context.request.get(f"{room.server.url}/api/evidence/{pixel['source_sha256']}")
    assert answer.status == 403
    settled(page)
    page.screenshot(path=screenshots / "viewer-5-card.png")
    card.locator(".copy").nth(1).click()
    expect(card.locator(".copy").nth(1)).to_have_attribute("data-said", "đã chép")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(r"X 24\d{5}\.\d\d Y 50\d{4}\.\d\d VN-2000 KTT 104°45′", copied), copied
    page.locator(".spot-open").click()
    expect(page.locator(".spot-frame img")).to_be_visible()
    expect(page.locator(".spot-cross")).to_be_visible()
    settled(page)
    page.screenshot(path=screenshots / "viewer-6-spot.png")
    page.keyboard.press("Escape")
    card.locator(".close").click()


def _measure(page: Page, screenshots: Path) -> None:
    settled(page)
    begin(page)
    corners = [
        (SEEN[0] + dx, SEEN[1] + dy) for dx, dy in ((-0.001, -0.0005), (0.001, -0.0005), (0.001, 0.0005))
    ]
    work = to_work(tap(page, tuple(corners)), choose_work_crs(LON, LAT))
    said = page.locator(".measure-length")
    assert number(said.inner_text()) == pytest.approx(shapely.LineString(work).length, rel=AGREES)
    area = shapely.Polygon(work).area
    assert number(page.locator(".measure-area").inner_text()) == pytest.approx(area / 1e4, abs=0.06)
    settled(page)
    page.screenshot(path=screenshots / "viewer-7-measure.png")
    for _ in range(len(corners) + 1):  # a point each, then the tool
        page.keyboard.press("Escape")
    expect(page.locator(".measure")).to_have_count(0)


def _follow_the_meeting(page: Page, room: Room, screen: Screen, screenshots: Path) -> None:
    """Minh presents; Hoa's desk and the wall follow, in the picture and in its words."""
    minh = screen("office")
    minh.goto(f"{room.server.url}/#lang=vi&event={REAL}&map=17/{SEEN[1]}/{SEEN[0]}")
    sign_in(minh, "minh-token")
    minh.locator("button.meet").click()
    touch(minh.locator(".meeting-bar .present"))
    expect(minh.locator(".on-air")).to_have_text("ĐANG TRÌNH BÀY")

    expect(page.locator("button.meet")).to_have_attribute("title", "Minh đang trình bày")
    page.locator("button.meet").click()
    expect(page.locator(".meeting-bar")).to_contain_text("Đang theo Minh")
    wall = page.context.new_page()
    wall.set_viewport_size({"width": SIZES["wall"][0], "height": SIZES["wall"][1]})
    wall.goto(f"{room.server.url}/#meet=follow")
    for one in (page, wall):
        expect(one.locator(".meeting-caption")).to_contain_text("10/09/2024 10:15")
        expect(one.locator(".meeting-bar .present")).to_have_count(0)
    before = wall.url
    box = box_of(minh.locator(".map"))
    minh.mouse.move(box["width"] / 2, box["height"] / 2)
    minh.mouse.wheel(0, -240)
    for one in (page, wall):
        # hard cuts follow the presenter
        until_seen(one, lambda one=one: one.url != before and _zoom(one) > 17.2)
    settled(wall)
    wall.screenshot(path=screenshots / "viewer-8-wall.png")
    settled(page)
    page.screenshot(path=screenshots / "viewer-9-desk-follows.png")
    touch(minh.locator(".meeting-bar .leave"))
    expect(wall.locator(".meeting-caption")).to_contain_text(words("meetingWaits"))
    page.mouse.move(310, 310)
    page.keyboard.press("Escape")
    expect(page.locator(".top")).to_be_visible()
    wall.close()


def _zoom(page: Page) -> float:
    found = re.search(r"map=([\d.]+)", page.url)
    return float(found.group(1)) if found else 0.0


def _take_the_pack_away(page: Page, room: Room, screen: Screen, folder: Path, screenshots: Path) -> None:
    """Minh asks for one of both flights on A3, Bà Thắm approves it by name, Hoa takes it to the meeting."""
    minh, judge = screen("office"), screen("wall")
    for one, token in ((minh, "minh-token"), (judge, "tham-token")):
        one.goto(f"{room.server.url}/#lang=vi&event={REAL}")
        sign_in(one, token)
    minh.locator("#pack-paper").select_option("a3")
    minh.locator(".pack-shown").click()
    expect(minh.locator(".pack-desk .pack-line")).to_contain_text("Bản dự thảo", timeout=200_000)
    minh.screenshot(path=screenshots / "viewer-10-pack-draft.png")
    expect(minh.locator(".pack-approve")).to_have_count(0)
    drafts = judge.locator(".pack-desk details")
    drafts.locator("summary").click()
    judge.on("dialog", lambda one: one.accept())
    expect(drafts).to_contain_text("Của Minh")
    judge.locator(".pack-desk .pack-approve").click()
    expect(page.locator(".pack-desk")).to_contain_text("Đã phê duyệt: Bà Thắm", timeout=200_000)
    expect(judge.locator(".pack-approve"), "its draft is not approved twice").to_have_count(0)
    settled(page)
    page.screenshot(path=screenshots / "viewer-11-pack-approved.png")
    expect(page.locator(".pack-shown")).to_have_count(0)
    with page.expect_download() as fetched:
        page.locator(".pack-desk a").click()
    with zipfile.ZipFile(fetched.value.path()) as archive:
        archive.extractall(folder / "gói")
    pack = folder / "gói" / "goi-hop"
    with zipfile.ZipFile(pack / "bao-cao-nhanh.docx") as paper:
        text = re.sub(r"<[^>]+>", "", paper.read("word/document.xml").decode())
    assert "Bà Thắm" in text and "Thung lũng Nậm Lúc – trước bão" in text
    assert "DỰ THẢO" not in text
    assert (pack / "bao-cao-nhanh.pdf").read_bytes().startswith(b"%PDF")
    shutil.copytree(pack, screenshots / "pack")
    said = [(one.who, one.what) for one in room.world.workspace.catalog.audit.lines()]
    assert ("Bà Thắm", "pack approved") in said and ("Hoa", "pack fetched") in said


def _look_again_on_the_phone(room: Room, screen: Screen, screenshots: Path) -> None:
    hand = screen("phone")
    hand.goto(f"{room.server.url}/#lang=vi&event={REAL}&map=17/{SEEN[1]}/{SEEN[0]}")
    hand.locator("#token").fill("hoa-token")
    hand.locator(".login button").tap()
    hand.wait_for_selector(".flight", state="attached")
    settled(hand)
    hand.screenshot(path=screenshots / "viewer-12-phone-map.png")
    box = box_of(hand.locator(".map"))
    hand.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(hand.locator(".card")).to_contain_text(words("evidenceTitle"))
    settled(hand)
    hand.screenshot(path=screenshots / "viewer-13-phone-card.png")
    hand.locator(".card .close").tap()
    hand.locator(".panel-switch").tap()
    hand.get_by_role("tab", name="Bảng xã").tap()
    expect(hand.locator(".board tbody tr")).to_have_count(5)
    hand.screenshot(path=screenshots / "viewer-14-phone-board.png")
    assert hand.evaluate("document.documentElement.scrollWidth") <= SIZES["phone"][0]
