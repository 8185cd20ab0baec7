"""A server that does not answer: nothing is claimed of what was asked; it is asked again when it is back."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Request, Route, expect

from flycam.http.guards import Services
from tests.browser.conftest import OpenPage
from tests.browser.pages import box_of, click_map, on_screen, settled
from tests.browser.words import words
from tests.serve.running import running
from tests.serve.world import LAT, LON, REAL, World

pytestmark = pytest.mark.browser

FLOWN = f"map=18/{LAT - 0.0015}/{LON + 0.0042}"
BACK_MS = 30_000
"""A page notices within seconds; the machine may be busy."""


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def test_a_click_while_the_server_is_down_is_no_word_on_what_was_flown(
    open_page: OpenPage, world: World
) -> None:
    services = Services(workspace=world.workspace, follow_s=0.2)
    with running(services) as url:
        page = open_page(link=f"lang=vi&event={REAL}&{FLOWN}", url=url)
        settled(page)
    click_map(page)
    card = page.locator(".card")
    expect(card).to_contain_text(words("noAnswerTitle"))
    expect(card).not_to_contain_text("Chưa bay chụp")
    with running(services, _port(url)):
        expect(card).to_contain_text(words("evidenceTitle"), timeout=BACK_MS)
        expect(page.locator(".notice")).to_be_hidden()


def test_a_network_that_was_off_is_noticed_by_a_click_and_the_answer_covers_no_point(
    open_page: OpenPage,
) -> None:
    page = open_page("phone", f"lang=vi&event={REAL}&{FLOWN}")
    settled(page)
    page.context.set_offline(True)
    click_map(page, 0.5, 0.65)
    card = page.locator(".card")
    expect(card).to_contain_text(words("noAnswerTitle"))
    expect(page.locator(".notice")).to_contain_text("Mất kết nối")
    page.context.set_offline(False)
    expect(card).to_contain_text(words("evidenceTitle"), timeout=BACK_MS)
    settled(page)
    at = re.search(r"at=([\d.]+)%2F([\d.]+)", page.url)
    box = box_of(card)
    assert at is not None and box is not None
    _, y = on_screen(page, float(at[2]), float(at[1]))
    assert y < box["y"] - 8, "the answer is taller than the question was"


@pytest.mark.parametrize(
    ("status", "content_type", "body", "note"),
    [
        (200, "text/html", "<p>Sign in to the network</p>", words("noAnswerTitle")),
        (502, "text/html", "<p>Bad gateway</p>", words("noAnswerTitle")),
        (500, "application/json", '{"message": "Kho ảnh hỏng."}', "Kho ảnh hỏng."),
    ],
)
def test_what_is_not_an_answer_is_not_taken_for_one(
    open_page: OpenPage, status: int, content_type: str, body: str, note: str
) -> None:
    page = open_page(link=f"lang=vi&event={REAL}&{FLOWN}")
    settled(page)
    page.route(
        "**/api/pixel*",
        lambda route: route.fulfill(status=status, content_type=content_type, body=body),
    )
    click_map(page)
    expect(page.locator(".card")).to_contain_text(note)
    expect(page.locator(".card")).to_contain_text(words("evidenceUnknown"))
    expect(page.locator(".card")).not_to_contain_text("Chưa bay chụp")


def test_gaps_that_were_not_answered_are_not_drawn_as_none(open_page: OpenPage) -> None:
    page = open_page(link=f"lang=vi&event={REAL}&{FLOWN}")
    settled(page)
    page.route("**/gaps?*", lambda route: route.abort())
    page.locator('[data-layer="gaps"]').check()
    row = page.locator(".layers li", has=page.locator('[data-layer="gaps"]'))
    expect(row).to_contain_text(words("layerUnread"))
    page.unroute("**/gaps?*")
    expect(row).not_to_contain_text(words("noAnswer"), timeout=BACK_MS)


def test_tiles_that_failed_are_fetched_when_the_server_is_back(open_page: OpenPage, world: World) -> None:
    services = Services(workspace=world.workspace, follow_s=0.2)
    failed: set[str] = set()
    came: set[str] = set()

    def note(request: Request) -> None:
        if "/tiles/" in request.url:
            came.add(request.url)

    with running(services) as url:
        page: Page = open_page(link=f"lang=vi&event={REAL}&map=15/{LAT - 0.0015}/{LON + 0.0042}", url=url)
        settled(page)
    page.on("requestfailed", lambda request: failed.add(request.url) if "/tiles/" in request.url else None)
    page.on("requestfinished", note)
    for _ in range(2):  # nearer: finer tiles, none of which was loaded
        page.locator(".ol-zoom-in").click()
        settled(page)
    assert failed, "tiles were asked for while nobody was there"
    with running(services, _port(url)):
        expect(page.locator(".notice")).to_be_hidden(timeout=BACK_MS)
        settled(page)
        last_level = {one for one in failed if _level(one) == max(map(_level, failed))}
        assert last_level <= came


def test_a_single_tile_that_got_lost_is_fetched_again_while_all_else_is_answered(open_page: OpenPage) -> None:
    lost: list[str] = []

    def lose_the_first(route: Route) -> None:
        if not lost:
            lost.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    page = open_page(link=f"lang=vi&event={REAL}&map=15/{LAT - 0.0015}/{LON + 0.0042}")
    settled(page)
    page.route("**/tiles/**", lose_the_first)
    with page.expect_response(lambda answer: answer.url in lost and answer.ok, timeout=BACK_MS):
        page.locator(".ol-zoom-in").click()
    expect(page.locator(".notice")).to_be_hidden()


def _level(tile_url: str) -> int:
    return int(urlsplit(tile_url).path.split("/")[3])
