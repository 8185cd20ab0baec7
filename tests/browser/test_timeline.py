"""The strip of times: the map as of any flight, and what is in the air."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from flycam.catalog.live_flights import LinkState, LiveFlightReport
from flycam.http.services import Services
from tests.browser.conftest import OpenPage
from tests.browser.pages import expect_painted, in_address, not_in_address, until_seen
from tests.browser.words import words
from tests.serve.running import running
from tests.serve.world import LAT, LON, REAL, World, make_world, mean_colour_around

pytestmark = pytest.mark.browser

MIDDLE = (LON + 0.0042, LAT - 0.0015)
FLOWN = f"map=18/{MIDDLE[1]}/{MIDDLE[0]}"


def test_choosing_a_flight_hides_what_was_captured_later(open_page: OpenPage, world: World) -> None:
    page = open_page(link=f"lang=vi&event={REAL}&{FLOWN}")
    moments = page.locator(".moments .moment")
    expect(moments).to_have_text(["20/08/2024 09:10", "10/09/2024 10:15"])
    expect(page.locator(".pause")).to_have_text("21 ngày")
    expect_painted(page, mean_colour_around(MIDDLE, storm=True))
    moments.first.click()
    expect_painted(page, mean_colour_around(MIDDLE, storm=False))
    expect(page.locator(".map-warnings")).to_contain_text(
        "Đang xem như lúc 20/08/2024 09:10: 1 chuyến bay sau đó không hiện"
    )
    expect(page.locator(f'[data-flight="{world.after}"]')).to_contain_text(words("capturedLater"))
    in_address(page, "asof=2024-08-20")
    page.locator(".moment.now").click()
    expect_painted(page, mean_colour_around(MIDDLE, storm=True))
    not_in_address(page, "asof")


def test_what_is_in_the_air_is_live_or_lost_since(open_page: OpenPage, tmp_path: Path) -> None:
    world = make_world(tmp_path)

    def tell(beat: int, video: LinkState) -> None:
        world.workspace.catalog.airborne.put(
            LiveFlightReport(
                flight_id="up",
                event_id=REAL,
                name="Đang bay",
                is_drill=False,
                is_recording=False,
                run="1",
                beat=beat,
                told_ns=time.time_ns(),
                video=video,
                telemetry=LinkState(silent_s=0.1),
            )
        )

    with running(Services(workspace=world.workspace, follow_s=0.1)) as url:
        page = open_page(link=f"lang=vi&event={REAL}", url=url)
        page.add_init_script("const now = Date.now; Date.now = () => now.call(Date) - 5 * 3600e3;")
        page.reload()  # on a computer whose clock is five hours behind
        badge = page.locator(".live-badge")
        expect(badge).to_have_count(0)
        beats = itertools.count()

        def is_live() -> bool:
            tell(next(beats), LinkState(silent_s=0.1))
            seen = badge.count() and (badge.inner_text(), badge.get_attribute("class"))
            return seen == ("TRỰC TIẾP", "live-badge")

        def is_lost() -> bool:
            tell(next(beats), LinkState(silent_s=3600.0, is_lost=True))
            lost_s = time.time() - 3600.0 + 7 * 3600.0  # Việt Nam is seven hours ahead
            hours = {time.strftime("%H:%M", time.gmtime(lost_s + late_s)) for late_s in (-30, 0)}
            return badge.inner_text() in {f"mất tín hiệu từ {hour}" for hour in hours}

        until_seen(page, is_live)
        until_seen(page, is_lost)
    expect(badge).to_have_text(words("noAnswer"))  # nobody knows more of the aircraft
