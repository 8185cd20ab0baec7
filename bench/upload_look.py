"""From a card chosen on the upload page until its footprints, gaps and blur are shown, over a thin line.

Chromium without a GPU at `flycam serve` through a relay of 1 Mbit/s and a round trip of 300 ms: the
heads of the photos go first, and what the server makes of them is drawn while the originals wait their turn.
"""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from bench.flights import ROOT, drill_flight
from bench.processes import FLYCAM, BenchBroken, run_process, serving
from bench.table import Row
from tests.browser.conftest import CHROMIUM, FLAGS, SIZES
from tests.lines import ThinLine

BYTES_S, ROUND_TRIP_S = 125_000.0, 0.3
MOST_S = 30.0
"""What is taken here for "within seconds"."""
_PATIENCE_S = 300.0
_PHOTOS = (".jpg", ".jpeg")


def measure(strips: int, per_strip: int, card: Path | None) -> list[Row]:
    """One row: of a folder of photos, without terrain; of none, of the drill flight on its own."""
    flight = None if card else drill_flight(strips, per_strip)
    folder = card or (flight.photos if flight else ROOT)
    photos = sorted(one for one in folder.iterdir() if one.suffix.lower() in _PHOTOS)
    with tempfile.TemporaryDirectory(dir=ROOT) as data:
        if flight:
            run_process([*FLYCAM, "dem", "add", flight.dem, "--data", data])
        with serving(Path(data)) as (_, port), ThinLine(port, BYTES_S, ROUND_TRIP_S) as line:
            took_s, facts, drawn, sent = _looked(line, photos)
    total = sum(one.stat().st_size for one in photos)
    return [
        Row(
            what=f"footprints, gaps, blur shown of a card of {len(photos)} photos, {total / 1e6:.0f} MB",
            measured=f"{took_s:.1f} s",
            peer=f"{MOST_S:g} s",
            ratio=took_s / MOST_S,
            required=1.0,
            sense="at most",
            notes=(
                f"1 Mbit/s, {1e3 * ROUND_TRIP_S:g} ms; {sent / 1e3:.0f} kB had gone up, "
                f"{100 * sent / total:.1f} % of the card; {drawn} footprints drawn",
                facts,
            ),
        )
    ]


def _looked(line: ThinLine, photos: list[Path]) -> tuple[float, str, int, int]:
    """(seconds, what stands there, footprints, bytes sent up until then)."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        width, height = SIZES["office"]
        page = chromium.new_page(viewport={"width": width, "height": height})
        page.goto(f"{line.url}/upload.html#lang=vi")
        page.locator("input[type=file]").last.wait_for(state="attached")
        before, began = line.passed["up"], time.monotonic()
        page.locator("input[type=file]").last.set_input_files(photos)
        facts = _until_all_are_seen(page, len(photos), began)
        took_s, sent = time.monotonic() - began, line.passed["up"] - before
        drawn = page.locator(".sketch polygon.photo").count()
        page.screenshot(path=ROOT / "upload-look.png")
        chromium.close()
    return took_s, facts, drawn, sent


def _until_all_are_seen(page: Page, count: int, began_s: float) -> str:
    """What the look says, once it is of all photos."""
    facts = page.locator(".look-facts")
    while time.monotonic() - began_s < _PATIENCE_S:
        said = facts.inner_text() if facts.count() else ""
        if re.search(rf"/ {count}\b", said):
            return " · ".join(said.splitlines())
        page.wait_for_timeout(50)
    raise BenchBroken("the heads were not all looked at")
