"""`flycam live` with all that stands beside it in a small command room: the server and one browser, on the
same two cores.

A film as that of `live-speed`, but long, and so of a draped texture, at its own speed. A page of Chromium,
open before the flight, follows it with its map; a subscriber follows the events as the page does and fetches
a tile of the finest zoom that each tells of. Of every picture it is known when it came and by which line of
the log all its tiles are named (`told_live`); it is at the subscriber with the first tile fetched of an event
that tells of that line. Both clocks are the machine's monotonic one.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from bench.draped_film import draped_film
from bench.flights import ROOT
from bench.live_speed import FPS, LOADED, PLAN, SIZE_PX, first_tile_row, laid_film
from bench.processes import serving
from bench.table import Row
from bench.told_live import told_live
from tests.browser.conftest import CHROMIUM, FLAGS, SIZES

SECONDS = 600.0
LIMITS_MS = (("p50", 500.0), ("p95", 1000.0))
_CELL_M = 0.07
_LOOKED_EVERY_S = 0.5


@dataclass(slots=True)
class Subscriber:
    """Reads the events of a server in a thread of its own.

    seen    (log line, monotonic ns) of each event whose tile it has
    failed  what could not be fetched
    """

    seen: list[tuple[int, int]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def follow(self, url: str) -> None:
        """Until the server ends the stream."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/events", timeout=60.0) as events:
            name = ""
            for line in events:
                head, _, said = line.decode().strip().partition(": ")
                if head == "event":
                    name = said
                elif head == "data" and name == "tiles":
                    self._fetch(url, json.loads(said))

    def _fetch(self, url: str, moved: dict) -> None:
        if not moved["tiles"]:
            return
        z, x, y, seq = max(moved["tiles"])
        try:
            tile = f"{url}/tiles/{moved['mosaic_id']}/{z}/{x}/{y}?v={seq}"
            urllib.request.urlopen(tile, timeout=30.0).read()
        except OSError as error:
            self.failed.append(str(error))
            return
        self.seen.append((moved["seq"], time.monotonic_ns()))


def measure(seconds: float = SECONDS) -> list[Row]:
    """Rows of one flight; the film is rendered into `.bench/` once."""
    plan = replace(PLAN, seconds=seconds, strips=round(PLAN.strips * seconds / PLAN.seconds))
    film = draped_film("watched", plan, SIZE_PX, cell_m=_CELL_M)
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        data, subscriber, load = Path(folder), Subscriber(), os.getloadavg()[0]
        with serving(data) as (_, port), _page(f"http://127.0.0.1:{port}") as page:
            following = threading.Thread(target=subscriber.follow, args=(f"http://127.0.0.1:{port}",))
            following.start()
            laid = laid_film(film, data, "--realtime", program=told_live(data / "pictures"))
            told = json.loads(laid.stdout.splitlines()[-1])
            time.sleep(2.0)  # what was told last is fetched
        following.join(60.0)
        late_ms = _late_ms(data / "pictures", subscriber)
    said = (
        f"left out: {', '.join(f'{n} {why}' for why, n in told['dropped'].items()) or 'none'}",
        f"{len(subscriber.seen)} events with tiles, {len(subscriber.failed)} tiles failed; {page['said']}",
        f"load {load:.1f} as it began; {LOADED}",
    )
    return _rows(seconds, told, late_ms, said)


def _rows(seconds: float, told: dict, late_ms: np.ndarray, said: tuple[str, ...]) -> list[Row]:
    what, pictures = f"1080p30 for {seconds:g} s, server and a browser beside", seconds * FPS
    rows = [
        Row(
            what=f"{what}, real-time factor",
            measured=f"{told['decoded']} of {pictures:.0f} pictures in {told['seconds']:.1f} s",
            peer=f"{seconds:g} s of film",
            ratio=told["decoded"] / pictures * min(1.0, (seconds + 2.0) / told["seconds"]),
            required=0.99,
            sense="at least",
            notes=said,
            figures=told,
        ),
        Row(
            what=f"{what}, pictures a second on the map",
            measured=f"{told['new']}",
            peer=f"{told['chosen']} chosen",
            ratio=told["new"] / seconds,
            required=5.0,
            sense="at least",
            notes=said,
        ),
        first_tile_row(what, told, said),
    ]
    for (which, limit_ms), at_subscriber_ms in zip(LIMITS_MS, np.percentile(late_ms, [50, 95]), strict=True):
        rows.append(
            Row(
                what=f"{what}, a picture's arrival to its tile at a subscriber, {which}",
                measured=f"{told['latency_ms'][which]:.0f} ms to the log",
                peer="-",
                ratio=float(at_subscriber_ms),
                required=limit_ms,
                sense="at most",
                notes=(f"{np.isfinite(late_ms).sum()} of {len(late_ms)} pictures were seen there", *said),
            )
        )
    return rows


def _late_ms(pictures: Path, subscriber: Subscriber) -> np.ndarray:
    """Of each picture on the map, from its arrival until the subscriber had a tile of an event that tells of
    the last of its tiles; infinite where it never had."""
    arrived_ns, line = np.array(json.loads(pictures.read_text())).T
    lines, seen_ns = np.array(sorted(subscriber.seen)).T
    at = np.searchsorted(lines, line)
    # an event that tells of more may have been fetched before one that tells of less
    first_ns = np.append(np.minimum.accumulate(seen_ns[::-1])[::-1].astype(float), np.inf)
    return (first_ns[at] - arrived_ns) / 1e6


@contextlib.contextmanager
def _page(url: str) -> Iterator[dict[str, str]]:
    """A map of office size in a browser, in a thread of its own; at last `said` tells what it shows."""
    told, over, ready = {"said": "no browser"}, threading.Event(), threading.Event()

    def look() -> None:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            width, height = SIZES["office"]
            page = chromium.new_page(viewport={"width": width, "height": height})
            tiles: list[str] = []
            page.on("response", lambda answer: tiles.append(answer.url) if "/tiles/" in answer.url else None)
            page.goto(f"{url}/#lang=vi")
            page.wait_for_load_state("load")
            ready.set()
            while not over.is_set():
                page.wait_for_timeout(1e3 * _LOOKED_EVERY_S)
            told["said"] = f"the page fetched {len(tiles)} tiles, at {page.url.partition('#')[2]}"
            page.screenshot(path=ROOT / "live-watched.png")
            chromium.close()

    looking = threading.Thread(target=look)
    looking.start()
    try:
        ready.wait(60.0)
        yield told
    finally:
        over.set()
        looking.join(60.0)
