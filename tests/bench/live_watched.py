"""`flycam live` with all that stands beside it in a small command room: the server and one browser, on the
same two cores.

A film as that of `live-speed`, but long, and so of a draped texture, at its own speed. A page of Chromium,
open before the flight, follows it with its map; a subscriber follows the events as the page does and fetches
a tile of the finest zoom that each tells of. The command says how late a picture's tiles are in the log. From
there to the subscriber is counted from the moment that the last tile of its group was written, which is
before the group is in the log: the sums are a little too large.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from flycam.catalog.catalog import open_catalog
from flycam.frame.tile import TileRecord
from tests.bench.draped_film import draped_film
from tests.bench.flights import ROOT
from tests.bench.live_speed import FPS, LOADED, PLAN, SIZE_PX, first_tile_row, laid_film
from tests.bench.processes import serving
from tests.bench.table import Row
from tests.browser.conftest import CHROMIUM, FLAGS, SIZES

SECONDS = 600.0
LIMITS_MS = (("p50", 500.0), ("p95", 1000.0))
_CELL_M = 0.07
_LOOKED_EVERY_S = 0.5


@dataclass(slots=True)
class Subscriber:
    """Reads the events of a server in a thread of its own.

    seen    (mosaic, log line, ns of the clock) of each event whose tile it has
    failed  what could not be fetched
    """

    seen: list[tuple[str, int, int]] = field(default_factory=list)
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
        self.seen.append((moved["mosaic_id"], moved["seq"], time.time_ns()))


def measure(seconds: float = SECONDS) -> list[Row]:
    """Rows of one flight; the film is rendered into `.bench/` once."""
    plan = replace(PLAN, seconds=seconds, strips=round(PLAN.strips * seconds / PLAN.seconds))
    film = draped_film("watched", plan, SIZE_PX, cell_m=_CELL_M)
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        data, subscriber, load = Path(folder), Subscriber(), os.getloadavg()[0]
        with serving(data) as (_, port), _page(f"http://127.0.0.1:{port}") as page:
            following = threading.Thread(target=subscriber.follow, args=(f"http://127.0.0.1:{port}",))
            following.start()
            told = json.loads(laid_film(film, data, "--realtime").stdout.splitlines()[-1])
            time.sleep(2.0)  # what was told last is fetched
        following.join(60.0)
        later_ms = _from_written_ms(data, subscriber)
    said = (
        f"left out: {', '.join(f'{n} {why}' for why, n in told['dropped'].items()) or 'none'}",
        f"{len(subscriber.seen)} events with tiles, {len(subscriber.failed)} tiles failed; {page['said']}",
        f"load {load:.1f} as it began; {LOADED}",
    )
    return _rows(seconds, told, later_ms, said)


def _rows(seconds: float, told: dict, later_ms: np.ndarray, said: tuple[str, ...]) -> list[Row]:
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
    for (which, limit_ms), late_ms in zip(LIMITS_MS, np.percentile(later_ms, [50, 95]), strict=True):
        in_log_ms = told["latency_ms"][which]
        rows.append(
            Row(
                what=f"{what}, a picture's arrival to its tile at a subscriber, {which}",
                measured=f"{in_log_ms:.0f} ms to the log and {late_ms:.0f} ms from there",
                peer="-",
                ratio=in_log_ms + late_ms,
                required=limit_ms,
                sense="at most",
                notes=("the sum of both percentiles", *said),
            )
        )
    return rows


def _from_written_ms(data: Path, subscriber: Subscriber) -> np.ndarray:
    """Of each tile that an event told of, from the end of its group's writing until the subscriber had one of
    that event."""
    with open_catalog(f"sqlite:///{data / 'catalog.sqlite'}") as catalog:
        late_ns: list[int] = []
        at_line: dict[str, int] = {}
        for mosaic_id, seq, seen_ns in subscriber.seen:
            since = at_line.get(mosaic_id, 0)
            lines = catalog.tiles.log_since(mosaic_id, since, limit=max(seq - since, 1))
            told = [line for line in lines if line.seq <= seq]
            late_ns += [seen_ns - written_ns for written_ns in _written_ns(told)]
            at_line[mosaic_id] = seq
    return np.array(late_ns) / 1e6


def _written_ns(lines: Sequence[TileRecord]) -> Iterator[int]:
    """Of each line when the last tile of its group was written: a group's lines are one append, base tiles
    first and the coarsest parent last, so the next begins where the zoom becomes finer."""
    zooms = np.array([line.tile_id.z for line in lines])
    for group in np.split(np.arange(len(lines)), np.flatnonzero(np.diff(zooms) > 0) + 1):
        yield from [max(lines[at].written_ns for at in group)] * len(group)


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
