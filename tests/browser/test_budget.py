"""How little has to come over a thin line before the first picture."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import SIZES
from tests.serve.world import LAT, LON, REAL

pytestmark = pytest.mark.browser

MOST_BYTES = 180_000


def test_the_first_tile_is_asked_for_after_few_bytes_and_three_requests_in_a_chain(
    browser: Browser, address: str
) -> None:
    """page, program, lists: then tiles. Who is there is asked beside the lists, not before them."""
    width, height = SIZES["office"]
    page = browser.new_page(viewport={"width": width, "height": height})
    order: list[str] = []
    sizes: dict[str, int] = {}
    line = page.context.new_cdp_session(page)
    line.send("Network.enable")
    names: dict[str, str] = {}

    def asked(event: dict) -> None:
        names[event["requestId"]] = event["request"]["url"].removeprefix(address).partition("?")[0]
        order.append(names[event["requestId"]])

    def came(event: dict) -> None:
        name = names[event["requestId"]]
        if not any(one.startswith("/tiles/") for one in order):
            sizes[name] = int(event["encodedDataLength"])
            order.append(f"{name} came")

    line.on("Network.requestWillBeSent", asked)
    line.on("Network.loadingFinished", came)
    page.goto(f"{address}/#lang=vi&event={REAL}&map=17/{LAT}/{LON + 0.004}")
    for _ in range(200):
        if any(one.startswith("/tiles/") for one in order):
            break
        page.wait_for_timeout(50)
    page.close()
    assert any(one.startswith("/tiles/") for one in order)
    assert sum(sizes.values()) <= MOST_BYTES, sizes
    assert order.index("/api/flights") < order.index("/api/session came")
    programs = [name for name in sizes if name.endswith(".js")]
    assert not any(re.search("/(stage|room)-", name) for name in programs), "what is opened later comes later"
