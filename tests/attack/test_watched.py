"""A field and a province, each in a network of its own, and a browser at the province that watches what comes
while the link is cut and restored."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from flycam.drill.photo_drill import DrillReport
from flycam.http.guards import STATIC_DIR
from flycam.storage import keys
from tests.attack.commands import Operator
from tests.attack.exchanges import kept, masts
from tests.attack.places import Link, two_places
from tests.attack.test_places import ended, require_equal, tiles_given, wait_for
from tests.browser.conftest import CHROMIUM, FLAGS, SIZES
from tests.browser.pages import settled
from tests.waiting import until

_PORT = 8000
_COLOURED = 24

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1800)]


@contextmanager
def page_at(link: Link, folder: Path, token: str) -> Iterator[Page]:
    """The province's map in a browser that runs there, signed in."""
    if CHROMIUM is None or not (STATIC_DIR / "index.html").is_file():
        pytest.skip("no Chromium on this machine, or the map is not built")
    there = folder / "chromium-there"
    there.write_text(f'#!/bin/sh\nexec ip netns exec {link.province} "{CHROMIUM}" "$@"\n')
    there.chmod(0o755)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=there, args=list(FLAGS))
        width, height = SIZES["office"]
        page = chromium.new_page(viewport={"width": width, "height": height})
        page.goto(f"http://{link.address}:{_PORT}/#lang=vi")
        page.locator("#token").fill(token)
        page.locator(".login button").click()
        page.wait_for_selector(".map", state="attached")
        yield page
        chromium.close()


@dataclass(frozen=True)
class Seen:
    """share: of the map that photos cover (ground without them is grey); detail: how sharp they are."""

    share: float
    detail: float


class Watch:
    """What was seen, told as a log with seconds since it began; pictures go to a folder."""

    def __init__(self, page: Page, folder: Path) -> None:
        self._page, self._folder, self._began_s = page, folder, time.monotonic()
        self.seen: dict[str, Seen] = {}

    def note(self, what: str) -> None:
        print(f"{time.monotonic() - self._began_s:6.1f} s  {what}", flush=True)

    def look(self, name: str) -> Seen:
        """The page once it has come to rest."""
        shown = settled(self._page)
        cv2.imwrite(str(self._folder / f"{len(self.seen) + 1}-{name}.png"), shown[..., ::-1])
        box = self._page.locator(".map").bounding_box()
        assert box is not None
        inner = np.ascontiguousarray(shown[int(box["y"]) + 80 : -100, int(box["x"]) + 130 : -20])
        is_photo = np.ptp(inner.astype(np.int16), axis=-1) > _COLOURED
        edges = cv2.Laplacian(cv2.cvtColor(inner, cv2.COLOR_RGB2GRAY), cv2.CV_64F)
        detail = float(edges[is_photo].std()) if is_photo.any() else 0.0
        self.seen[name] = Seen(float(is_photo.mean()), detail)
        self.note(f"looked: {name}, photos on {self.seen[name].share:.0%} of the map, detail {detail:.1f}")
        return self.seen[name]


def test_what_a_browser_at_the_province_sees_while_the_link_comes_and_goes(
    drill: DrillReport, tmp_path: Path
) -> None:
    """The shape is there after the first kilobytes, detail comes; while the link is cut the map stays as it
    is; in the end it is the field's. WATCH_FOLDER keeps the pictures; WATCH_RATE, WATCH_CUT_S: a
    thinner line, longer cuts."""
    folder = Path(os.environ.get("WATCH_FOLDER", str(tmp_path)))
    rate, cut_s = os.environ.get("WATCH_RATE", "256kbit"), float(os.environ.get("WATCH_CUT_S", "4"))
    # in a thread of its own: Playwright's loop, kept by the browser tests of this process, is one to a thread
    with ThreadPoolExecutor(1, thread_name_prefix="watching") as own:
        seen = own.submit(_seen_over_the_link, drill, tmp_path, folder, rate, cut_s).result()
    nothing, early, cut, whole = (seen[name] for name in ("nothing", "early", "cut", "whole"))
    assert nothing.share < 0.02 and early.share > 0.6 * whole.share, "all of it is there at once, if coarse"
    assert cut.share > 0.9 * early.share, "what was there stays while the link is cut"
    assert whole.detail > 1.2 * early.detail


def _seen_over_the_link(
    drill: DrillReport, tmp_path: Path, folder: Path, rate: str, cut_s: float
) -> dict[str, Seen]:
    province = Operator(tmp_path / "province", {"FLYCAM_BOX": "province"}).with_ground(drill)
    assert province("layers", "add", masts(tmp_path / "masts.json", 200), "--kind", "mast").exit_code == 0
    box = province("user", "add", "box-1", "--role", "box").json["token"]
    viewer = province("user", "add", "Lan", "--role", "viewer").json["token"]
    field = Operator(tmp_path / "field", {"FLYCAM_BOX": "field", "FLYCAM_TOKEN": box})
    assert field("ingest", drill.photos, "--dem", drill.dem, "--name", "Bản Lầu").exit_code == 0
    with two_places(rate) as link:
        server = link.start(link.province, province, "serve", "--host", link.address, "--port", _PORT)
        with ended(server):
            _wait_until_served(link, server.poll)
            with page_at(link, tmp_path, viewer) as page:
                watch = Watch(page, folder)
                said = _watched(link, province, field, watch, page, cut_s)
    require_equal(province, field, said)
    return watch.seen


def _watched(
    link: Link, province: Operator, field: Operator, watch: Watch, page: Page, cut_s: float
) -> dict[str, object]:
    watch.look("nothing")
    sender = link.start(link.field, field, "sync", f"http://{link.address}:{_PORT}", "--once")
    watch.note("the field's box begins to send")
    page.wait_for_selector(".flight", state="attached", timeout=120_000)
    watch.note("its flight is listed")
    expect(page.locator(".flight").first).to_contain_text("Bản Lầu")
    wait_for(lambda: sender.poll() is not None or kept(province, keys.format_preview_prefix()))
    watch.note(f"views of coarse tiles have come, {tiles_given(province)} tiles")
    link.cut()  # nothing finer comes before these are drawn, and looked at
    until(lambda: watch.seen.get("early") == watch.look("early") and watch.seen["early"].share > 0.02)
    link.restore()
    for number in (1, 2):
        wait_for(lambda least=3 * number: sender.poll() is not None or tiles_given(province) >= least)
        if sender.poll() is not None:
            break
        link.cut()
        watch.note(f"the link is cut, {tiles_given(province)} tiles have come")
        if number == 1:
            watch.look("cut")
        time.sleep(cut_s)
        link.restore()
        watch.note("the link is back")
    out, err = sender.communicate(timeout=1500)
    assert sender.returncode == 0, err
    watch.note(f"all is there, {tiles_given(province)} tiles came")
    watch.look("whole")
    said: dict[str, object] = json.loads(out.strip().splitlines()[-1])
    return said


def _wait_until_served(link: Link, ended: Callable[[], int | None]) -> None:
    """Until something listens at the province's address, asked from there."""
    ask = ["ip", "netns", "exec", link.province, "bash", "-c", f"exec 3<>/dev/tcp/{link.address}/{_PORT}"]
    wait_for(
        lambda: ended() is not None or subprocess.run(ask, check=False, capture_output=True).returncode == 0
    )
    assert ended() is None
