"""The first useful map on an old PC and a thin line: Chromium without a GPU, its processor slowed four times,
1 Mbit/s and 300 ms, nothing cached, signing in included.

The browser's own throttling: each request waits 300 ms, and bytes come at 1 Mbit/s. Who types is not timed:
the token is put in as soon as the form is there. The map is useful once a tile of the flight is drawn, its
age stands in the list and the search box can be typed into. Then the map is made larger by the wheel, all of
it waited for, and dragged to ground that was not on it: the first tile of that is waited for.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import CDPSession, Page, sync_playwright

from bench.flights import ROOT
from bench.house_of_flight import made_house
from bench.processes import serving
from bench.table import Row
from tests.browser.conftest import CHROMIUM, FLAGS, SIZES
from tests.chains import Requests

BITS_S, ROUND_TRIP_MS, SLOWER, ROUNDS = 1e6, 300.0, 4.0, 5
FIRST_S, PAN_S, BYTES, CHAIN = 4.5, 1.0, 180_000, 3
_PATIENCE_MS = 60_000
_ZOOMS = 4


@dataclass(slots=True)
class Seen:
    """first_s, pan_s  seconds; bytes_before: that came before the first tile was asked for; chain: addresses
    of requests each of which waited for the one before, until that."""

    first_s: float
    pan_s: float
    bytes_before: int
    chain: list[str]


class _Line:
    """What goes over the line of one page."""

    def __init__(self, page: Page) -> None:
        self._session: CDPSession = page.context.new_cdp_session(page)
        self._names: dict[str, str] = {}
        self.requests = Requests()
        self.bytes_before = 0
        self.tiles: list[float] = []
        self._asked_a_tile = False
        self._session.send("Network.enable")
        self._session.send(
            "Network.emulateNetworkConditions",
            {
                "offline": False,
                "latency": ROUND_TRIP_MS,
                "downloadThroughput": BITS_S / 8,
                "uploadThroughput": BITS_S / 8,
            },
        )
        self._session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        self.requests.add_listener(self._session)
        self._session.on("Network.requestWillBeSent", self._sent)
        self._session.on("Network.loadingFinished", self._came)

    def _sent(self, event: dict) -> None:
        url = event["request"]["url"]
        self._names[event["requestId"]] = url
        self._asked_a_tile |= "/tiles/" in url

    def _came(self, event: dict) -> None:
        if "/tiles/" in self._names.get(event["requestId"], ""):
            self.tiles.append(float(event["timestamp"]))
        elif not self._asked_a_tile:
            self.bytes_before += int(event["encodedDataLength"])


def measure(strips: int, per_strip: int) -> list[Row]:
    """Four rows; medians of some rounds, each in a browser of its own, the most of bytes and requests."""
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        token = made_house(Path(folder), strips, per_strip)
        with serving(Path(folder)) as (_, port):
            seen = [_looked(f"http://127.0.0.1:{port}", token) for _ in range(ROUNDS)]
    said = f"1 Mbit/s, {ROUND_TRIP_MS:g} ms, processor / {SLOWER:g}, cold cache, {ROUNDS} rounds"
    first, pan = ([getattr(one, name) for one in seen] for name in ("first_s", "pan_s"))
    return [
        _row(f"first useful map, signing in included, {said}", first, FIRST_S),
        _row(f"pan to new ground until its first tile, {said}", pan, PAN_S),
        Row(
            what="bytes before the first tile is asked for, signing in included",
            measured=f"{max(one.bytes_before for one in seen) / 1e3:.0f} kB",
            peer=f"{BYTES / 1e3:g} kB",
            ratio=max(one.bytes_before for one in seen) / BYTES,
            required=1.0,
            sense="at most",
        ),
        _chained(max((one.chain for one in seen), key=len)),
    ]


def _chained(chain: list[str]) -> Row:
    return Row(
        what="requests one after the other before the first tile is asked for, signing in included",
        measured=f"{len(chain)}",
        peer=f"{CHAIN}",
        ratio=len(chain) / CHAIN,
        required=1.0,
        sense="at most",
        notes=(" → ".join(f"/{url.split('/', 3)[-1].partition('?')[0]}" for url in chain),),
    )


def _row(what: str, seconds: list[float], most: float) -> Row:
    return Row(
        what=what,
        measured=f"{statistics.median(seconds):.2f} s",
        peer=f"{most:g} s",
        ratio=statistics.median(seconds) / most,
        required=1.0,
        sense="at most",
        notes=(", ".join(f"{one:.2f}" for one in sorted(seconds)),),
    )


def _looked(url: str, token: str) -> Seen:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        width, height = SIZES["office"]
        page = chromium.new_page(viewport={"width": width, "height": height})
        line = _Line(page)
        began = page.evaluate("Date.now()")
        page.goto(f"{url}/#lang=vi", wait_until="commit")
        page.wait_for_selector("#token", timeout=_PATIENCE_MS)
        page.evaluate(
            "token => { const field = document.querySelector('#token'); field.value = token;"
            " field.form.requestSubmit(); }",
            token,
        )
        page.wait_for_selector(".flight .age", timeout=_PATIENCE_MS)
        page.wait_for_selector("input[type=search]:enabled", timeout=_PATIENCE_MS)
        _until_tiles(page, line, 1)
        first_s = (page.evaluate("Date.now()") - began) / 1e3
        middle = (0.65 * width, 0.5 * height)
        page.mouse.move(*middle)
        for _ in range(_ZOOMS):
            page.mouse.wheel(0, -400)
            page.wait_for_timeout(1_000)
        page.wait_for_timeout(10_000)  # all that belongs to this view is there
        before = len(line.tiles)
        page.mouse.down()
        page.mouse.move(middle[0] - 0.4 * width, middle[1], steps=4)
        page.mouse.up()
        let_go = page.evaluate("Date.now()")
        _until_tiles(page, line, before + 1)
        pan_s = (page.evaluate("Date.now()") - let_go) / 1e3
        page.screenshot(path=ROOT / "thin-line.png")
        chromium.close()
    return Seen(first_s, pan_s, line.bytes_before, line.requests.before(lambda url: "/tiles/" in url))


def _until_tiles(page: Page, line: _Line, count: int) -> None:
    for _ in range(_PATIENCE_MS // 20):
        if len(line.tiles) >= count:
            return
        page.wait_for_timeout(20)
    raise TimeoutError(f"{count} tiles did not come")
