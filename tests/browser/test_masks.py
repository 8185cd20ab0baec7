"""A part of a photo is covered on the page: drawn by mouse and by finger, seen, taken back."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import httpx
import numpy as np
import pytest
import shapely
from playwright.sync_api import Page, expect

from flycam.catalog.access import select_active_redactions
from flycam.drill.photo_drill import DrillReport
from flycam.http.guards import Services
from flycam.model.access import Role
from flycam.model.records import FrameRecord
from flycam.serve.pixels import FILL_GREY
from flycam.workspace import Workspace
from tests.browser.conftest import OpenPage
from tests.browser.pages import box_of, on_screen, sign_in
from tests.browser.test_axe import severe
from tests.browser.words import words
from tests.finished_house import ingested
from tests.serve.running import running
from tests.serve.world import add_account
from tests.waiting import until

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class House:
    workspace: Workspace
    url: str


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, drill: DrillReport) -> Iterator[House]:
    """A rehearsal flight, ingested, with accounts."""
    workspace = ingested(tmp_path_factory.mktemp("masks") / "house", drill)
    for role in (Role.VIEWER, Role.OPERATOR, Role.ANALYST):
        add_account(workspace, role.value, role, f"{role.value}-token")
    with running(Services(workspace=workspace, follow_s=0.2)) as url:
        yield House(workspace, url)


def at_card(open_page: OpenPage, house: House, role: Role, language: str = "vi") -> tuple[Page, FrameRecord]:
    """The card of the photo in the flight's middle, as somebody sees it who has signed in."""
    page = open_page("office", f"lang={language}", url=house.url, wait=False)
    sign_in(page, f"{role.value}-token")
    page.wait_for_selector('.map[aria-busy="false"]', state="attached")
    expect(page).to_have_url(re.compile(r"map="))
    (flight,) = house.workspace.catalog.flights.flights()
    assert flight.bounds_lonlat_deg is not None
    middle = shapely.box(*flight.bounds_lonlat_deg).centroid
    page.mouse.click(*on_screen(page, middle.x, middle.y))
    card = page.locator(".card")
    expect(card.locator("img")).to_be_visible()
    sha256 = str(card.locator("img").get_attribute("src"))
    frames = house.workspace.catalog.frames.list_for_flight(flight.flight_id)
    return page, next(one for one in frames if one.header.provenance.source_sha256 in sha256)


def tap_corners(page: Page, shares: list[tuple[float, float]]) -> None:
    box = box_of(page.locator(".mask-photo svg"))
    for across, down in shares:
        page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])


def test_a_home_is_covered_and_uncovered_on_the_page(open_page: OpenPage, house: House) -> None:
    page, photo = at_card(open_page, house, Role.OPERATOR)
    page.get_by_role("button", name="Che một phần ảnh").click()
    room = page.get_by_role("dialog", name=re.compile("Che một phần ảnh"))
    expect(room).to_contain_text(words("redactions.none"))
    save = room.get_by_role("button", name="Che chỗ này")
    expect(save).to_be_disabled()
    drawn = [(0.1, 0.1), (0.3, 0.1), (0.3, 0.35), (0.12, 0.33)]
    tap_corners(page, [*drawn, (0.9, 0.9), (0.9, 0.8)])
    room.get_by_role("button", name="Bỏ đỉnh cuối").click()
    page.keyboard.press("Backspace")
    expect(room).to_contain_text("4 đỉnh")
    room.get_by_role("combobox").select_option(label="nạn nhân")
    assert not severe(page)
    room.locator("#mask-title").click()
    page.keyboard.press("Enter")  # ends it, as wherever something is drawn
    expect(room).to_contain_text("Đã che.")
    expect(room.locator("[data-mask]")).to_contain_text("nạn nhân")
    expect(room.locator("[data-mask]")).to_contain_text("operator")
    expect(room).to_contain_text(words("redactions.takeBackBy"))
    assert not severe(page)
    (mask,) = select_active_redactions(house.workspace.catalog.redactions.list_for_photo(photo.frame_id))
    size = np.array(photo.header.interior.image_size_px)
    corners = shapely.get_coordinates(shapely.from_wkb(mask.wkb))[:-1] / size
    assert np.abs(corners - drawn).max() < 0.01, "drawn where it was tapped"
    with running(Services(workspace=house.workspace)) as url:
        headers = {"Authorization": "Bearer operator-token"}
        jpeg = httpx.get(f"{url}/api/evidence/{photo.header.provenance.source_sha256}", headers=headers)
    seen = cv2.imdecode(np.frombuffer(jpeg.content, np.uint8), cv2.IMREAD_COLOR)
    x, y = (np.array([0.2, 0.2]) * size).astype(int)
    assert np.abs(seen[y, x].astype(int) - FILL_GREY).max() <= 16
    page.keyboard.press("Escape")
    expect(room).to_have_count(0)

    analyst, same = at_card(open_page, house, Role.ANALYST, "en")
    assert same.frame_id == photo.frame_id
    analyst.get_by_role("button", name="Cover a part").click()
    theirs = analyst.get_by_role("dialog", name=re.compile(words("redactions.room", "en")))
    theirs.get_by_role("button", name=re.compile("Uncover mask")).click()
    expect(theirs).to_contain_text(words("redactions.none", "en"))
    assert select_active_redactions(house.workspace.catalog.redactions.list_for_photo(photo.frame_id)) == []


def test_who_only_looks_covers_nothing_and_opens_no_original(open_page: OpenPage, house: House) -> None:
    page, _ = at_card(open_page, house, Role.VIEWER)
    expect(page.get_by_role("button", name="Che một phần ảnh")).to_have_count(0)
    expect(page.locator(".card a")).to_have_count(0)
    operator, _ = at_card(open_page, house, Role.OPERATOR)
    expect(operator.get_by_role("link", name="Mở ảnh gốc")).to_be_visible()


def test_a_page_that_is_open_drops_what_it_shows_when_something_is_covered(
    open_page: OpenPage, house: House
) -> None:
    page, photo = at_card(open_page, house, Role.VIEWER)
    image = page.locator(".card img")
    before = str(image.get_attribute("src"))
    rules = before.rpartition("w=")[2]
    assert rules
    width, height = photo.header.interior.image_size_px
    corners = [[10, 10], [width / 3, 10], [width / 3, height / 3], [10, height / 3]]
    drawn = {"photo": photo.header.provenance.source_sha256, "reason": "home", "corners": corners}
    with page.expect_request(lambda one: "/tiles/" in one.url and f"w={rules}" not in one.url) as sent:
        made = httpx.put(
            f"{house.url}/api/redactions/mask-00000b0b",
            json=drawn,
            headers={"Authorization": "Bearer operator-token"},
        )
        assert made.status_code == 200
    others = sent.value.url.rpartition("w=")[2]
    expect(page.locator(f".card img[src$='w={rules}']")).to_have_count(0)
    late: list[str] = []
    page.on("request", lambda one: late.append(one.url) if "/tiles/" in one.url else None)
    heights = itertools.cycle((-400, 800, 800, -400))

    def asks_for_tiles() -> bool:
        # a turn of the wheel may be answered from what the page holds, or be one with the next
        page.mouse.wheel(0, next(heights))
        return bool(late)

    until(asks_for_tiles, every_s=0.5, pause=lambda seconds: page.wait_for_timeout(1000.0 * seconds))
    assert all(one.endswith(f"w={others}") for one in late), "nothing is asked for as it was before"
    headers = {"Authorization": "Bearer analyst-token"}
    gone = httpx.delete(f"{house.url}/api/redactions/mask-00000b0b", headers=headers)
    assert gone.status_code == 200
