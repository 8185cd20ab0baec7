"""What axe finds on the pages: nothing that keeps somebody from using them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from flycam.access.accounts import invite_guest
from flycam.board.layers import LayerRequest, add_layer
from flycam.board.marks import MarkEdit, write_mark
from flycam.http.guards import Services
from flycam.model.access import Role
from flycam.model.board import LayerKind, MarkKind, MarkStatus
from tests.browser.conftest import SIZES
from tests.browser.pages import click_map, open_doors, settled
from tests.browser.test_changes import with_candidates
from tests.browser.words import words
from tests.serve.running import running
from tests.serve.world import LAT, LON, REAL, add_account

pytestmark = pytest.mark.browser

AXE = Path(__file__).resolve().parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
RUN = "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations)"
SEVERE = {"serious", "critical"}
VIEW = f"lang=vi&event={REAL}&map=17/{LAT - 0.0015}/{LON + 0.0042}"
Sized = Callable[[str], Page]
PLACE = (LON + 0.003, LAT - 0.001)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A house in which every room of the page has something to show."""
    if not AXE.is_file():
        pytest.skip("axe-core is not there: make map")
    root = tmp_path_factory.mktemp("axe")
    workspace = with_candidates(root / "world").workspace
    add_account(workspace, "Quản trị", Role.ADMIN, "admin-token")
    invite_guest(workspace, 6.0, None, "Quản trị")
    mast = {"type": "Feature", "properties": {"ten_tram": "YBI0123", "tinh_trang": "Mất sóng"}}
    mast["geometry"] = {"type": "Point", "coordinates": list(PLACE)}
    file = root / "masts.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": [mast]}), encoding="utf-8")
    request = LayerRequest(
        source=str(file), kind=LayerKind.MAST, name="Trạm BTS", owner="Viettel", valid_ns=1
    )
    add_layer(workspace, request, "Lan")
    mark = MarkEdit(
        mark_id="mark-0123456789abcdef",
        based_on=0,
        event_id=REAL,
        kind=MarkKind.RESCUE,
        status=MarkStatus.OPEN,
        note="trên mái",
        places=[PLACE],
    )
    write_mark(workspace, mark, "Lan")
    services = Services(workspace=workspace, follow_s=0.2, uploads_dir=root / "uploads")
    with running(services) as address:
        yield address


def open_map(page: Page) -> None:
    settled(page)


def open_card(page: Page) -> None:
    click_map(page)
    page.wait_for_selector(".card")


def open_board(page: Page) -> None:
    if page.locator(".panel-switch").is_visible():
        page.locator(".panel-switch").click()
    page.get_by_role("tab", name="Bảng xã").click()
    page.wait_for_selector(".board tbody th")


def open_meeting(page: Page) -> None:
    page.locator("button.meet").click()
    page.wait_for_selector(".meeting-caption")


def open_sharing(page: Page) -> None:
    open_doors(page)
    page.get_by_role("button", name="Mời xem").click()
    page.get_by_role("dialog").get_by_role("button", name="Tạo liên kết").click()
    page.wait_for_selector(".sharing-code")


def open_review(page: Page) -> None:
    page.locator(".review-door").click()
    expect(page.locator(".review-row")).to_have_count(3)


def open_compare(page: Page) -> None:
    page.locator(".compare-open").click()
    expect(page.locator('.compared-map[aria-busy="false"]')).to_have_count(2)


def open_sheet(page: Page) -> None:
    page.locator(".print-open").click()
    page.wait_for_selector('.print-room[aria-busy="false"]')


ROOMS = [open_map, open_card, open_board, open_meeting, open_sharing, open_compare, open_review, open_sheet]


@pytest.fixture
def sized(browser: Browser) -> Iterator[Sized]:
    """A page of that size, of nobody yet."""
    contexts = []

    def open_one(size: str) -> Page:
        width, height = SIZES[size]
        contexts.append(browser.new_context(viewport={"width": width, "height": height}))
        return contexts[-1].new_page()

    yield open_one
    for context in contexts:
        context.close()


def severe(page: Page) -> list[str]:
    """What of it hinders people, where, and why. By the debugger: the page's policy lets no script in."""
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    answer = session.send(
        "Runtime.evaluate", {"expression": RUN, "awaitPromise": True, "returnByValue": True}
    )
    assert "exceptionDetails" not in answer, answer["exceptionDetails"]
    found: list[dict[str, Any]] = answer["result"]["value"]
    return [
        f"{one['id']} ({one['impact']}): {node['target']}: {node['failureSummary']}"
        for one in found
        if one["impact"] in SEVERE
        for node in one["nodes"]
    ]


def signed_in(page: Page, url: str) -> None:
    assert page.context.request.post(f"{url}/api/login", data={"token": "admin-token"}).ok


@pytest.mark.parametrize(("size", "rooms"), [("office", ROOMS), ("phone", [open_map, open_board])])
def test_no_room_of_the_map_shuts_anybody_out(
    sized: Sized, url: str, size: str, rooms: list[Callable[[Page], None]]
) -> None:
    page = sized(size)
    signed_in(page, url)
    for enter in rooms:
        page.goto("about:blank")
        page.goto(f"{url}/#{VIEW}")
        page.wait_for_selector(".flight", state="attached")
        page.wait_for_load_state("load")
        enter(page)
        assert not severe(page), enter.__name__


def test_neither_does_the_door_nor_the_upload_page(sized: Sized, url: str) -> None:
    page = sized("office")
    page.goto(f"{url}/#lang=vi")
    page.wait_for_selector(".login")
    assert not severe(page)
    signed_in(page, url)
    page.goto(f"{url}/upload.html#lang=vi")
    page.wait_for_selector(".picker")
    assert not severe(page)


def test_neither_does_an_upload_under_way(sized: Sized, url: str, tmp_path: Path) -> None:
    """Whose bytes do not get through: a film and its subtitles beside a photo, then paused."""
    page = sized("office")
    signed_in(page, url)
    page.goto(f"{url}/upload.html#lang=vi")
    page.wait_for_selector(".picker")
    page.route("**/files/**", lambda route: None)  # never answered
    names = ("office.jpg", "office.mp4", "office.srt")
    for name in names:
        (tmp_path / name).write_bytes(bytes(1000))
    page.locator("input[type=file]:not([webkitdirectory])").set_input_files([tmp_path / one for one in names])
    expect(page.locator(".banner")).to_have_text(words("upload.sending"))
    expect(page.locator(".stage")).to_have_count(4)
    assert not severe(page)
    page.get_by_role("button", name="Tạm dừng").click()
    expect(page.locator(".banner")).to_contain_text("TẠM DỪNG")
    assert not severe(page)


def test_what_shuts_people_out_is_found(sized: Sized, url: str) -> None:
    """The search itself works on these pages: a button of which nobody says what it does."""
    page = sized("office")
    page.goto(f"{url}/#lang=vi")
    page.wait_for_selector(".login")
    page.evaluate("document.querySelector('.login').append(document.createElement('button'))")
    assert [one.split(" ")[0] for one in severe(page)] == ["button-name"]
