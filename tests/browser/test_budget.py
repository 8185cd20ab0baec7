"""How little has to come over a thin line before the first picture, and how few requests wait for others."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import SIZES
from tests.chains import Requests
from tests.serve.world import LAT, LON, REAL

pytestmark = pytest.mark.browser

MOST_BYTES, MOST_CHAINED = 180_000, 3
VIEW = f"#lang=vi&event={REAL}&map=17/{LAT}/{LON + 0.004}"


@dataclass
class Watched:
    """A page, what it asks for, and the bytes of what came (by address) before it asked for a tile."""

    page: Page
    requests: Requests = field(default_factory=Requests)
    sizes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        line = self.page.context.new_cdp_session(self.page)
        line.send("Network.enable")
        self.requests.add_listener(line)
        line.on("Network.loadingFinished", self._came)

    def _came(self, event: dict) -> None:
        if not self.has_asked_a_tile():
            self.sizes[self.requests.asked[event["requestId"]].url] = int(event["encodedDataLength"])

    def has_asked_a_tile(self) -> bool:
        return any(_is_tile(one.url) for one in self.requests.asked.values())

    def until_a_tile(self) -> list[str]:
        """The longest chain of requests before it."""
        for _ in range(1200):
            if self.has_asked_a_tile():
                return self.requests.before(_is_tile)
            self.page.wait_for_timeout(50)
        raise AssertionError("no tile was asked for")


def _is_tile(url: str) -> bool:
    return "/tiles/" in url


def _watched(browser: Browser) -> Watched:
    width, height = SIZES["office"]
    return Watched(browser.new_page(viewport={"width": width, "height": height}))


def test_the_first_tile_is_asked_for_after_few_bytes_and_three_requests_in_a_chain(
    browser: Browser, address: str
) -> None:
    """page, program, lists: then tiles. Who is there is asked with the page, not by its program."""
    seen = _watched(browser)
    seen.page.goto(f"{address}/{VIEW}")
    chain = seen.until_a_tile()
    seen.page.close()
    assert 2 < len(chain) <= MOST_CHAINED, chain
    assert sum(seen.sizes.values()) <= MOST_BYTES, seen.sizes
    programs = [name for name in seen.sizes if name.endswith(".js")]
    assert not any(re.search("/(stage|room)-", name) for name in programs), "what is opened later comes later"
    sessions = [one for one in seen.requests.asked.values() if one.url.endswith("/api/session")]
    assert len(sessions) == 1, "what was asked for with the page is not asked again by its program"
