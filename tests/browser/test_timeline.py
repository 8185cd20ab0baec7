"""The strip of times: the map as of any flight, and what is in the air."""

from __future__ import annotations

import itertools
import re
import time
from pathlib import Path

import cv2
import pytest
from playwright.sync_api import Route, expect

from flycam.catalog.live_flights import LinkState, LiveFlightReport
from flycam.http.services import Services
from tests.browser.conftest import SIZES, OpenPage
from tests.browser.pages import click_map, expect_painted, in_address, not_in_address, settled, until_seen
from tests.serve.running import running
from tests.serve.world import DRILL, LAT, LON, REAL, World, make_world, mean_colour_around

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
    expect(page.locator(f'[data-flight="{world.after}"]')).to_contain_text("Chụp sau thời điểm đang xem")
    in_address(page, "asof=2024-08-20")
    page.locator(".moment.now").click()
    expect_painted(page, mean_colour_around(MIDDLE, storm=True))
    not_in_address(page, "asof")


def test_a_flight_under_way_then_is_named_and_offers_no_moment_of_itself(
    open_page: OpenPage, world: World
) -> None:
    page = open_page(link=f"lang=vi&event={REAL}&asof=2024-09-10T03:00:00Z")

    def under_way(route: Route) -> None:
        answer = route.fetch()
        flights = answer.json()
        for flight in flights:
            if flight["flight_id"] == world.after:
                flight |= {"first": "2024-09-10T02:50:00Z", "state": "ingesting"}
        route.fulfill(response=answer, json=flights)

    page.route("**/api/flights?**", under_way)
    page.reload()
    notes = page.locator(".map-warnings .earlier")
    expect(notes).to_have_text(
        [
            "Đang xem như lúc 10/09/2024 10:00: 0 chuyến bay sau đó không hiện",
            "Đang bay lúc đó, không hiện: Thung lũng Nậm Lúc – sau bão",
        ]
    )
    expect(page.locator(f'[data-flight="{world.after}"]')).to_contain_text("Đang bay vào thời điểm đang xem")
    moments, now = page.locator(".moments .moment"), page.locator(".moment.now")
    expect(moments).to_have_text("20/08/2024 09:10")
    now.click()
    expect(notes).to_have_count(0)
    now.focus()
    page.keyboard.press("ArrowLeft")
    expect(moments).to_have_attribute("aria-pressed", "true")
    expect(notes).to_have_count(1)
    page.locator(".compare-open").click()
    options = page.locator(".compare-choice.before option")
    expect(options).to_have_count(2)  # by the first flight's end there was that one alone
    assert not [one for one in options.all_inner_texts() if "Như lúc" in one]


def test_keys_go_from_flight_to_flight(open_page: OpenPage) -> None:
    page = open_page(link=f"lang=vi&event={REAL}")
    now, first = page.locator(".moment.now"), page.locator(".moments .moment").first
    expect(now).to_have_attribute("aria-pressed", "true")
    now.focus()
    page.keyboard.press("ArrowLeft")
    expect(first).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowLeft")
    expect(first).to_have_attribute("aria-pressed", "true")
    first.focus()
    page.keyboard.press("End")
    expect(now).to_have_attribute("aria-pressed", "true")
    expect(now).to_be_focused()


def test_a_link_opens_the_map_as_of_then(open_page: OpenPage) -> None:
    page = open_page(link=f"lang=en&event={REAL}&asof=2024-09-01T00:00:00Z")
    expect(page.locator(".map-warnings")).to_contain_text("As of 01/09/2024 07:00")
    expect(page.locator(".timeline")).to_have_class(re.compile("past"))
    page.locator("select.event").select_option(DRILL)
    expect(page.locator(".timeline")).not_to_have_class(re.compile("past"))


@pytest.mark.parametrize("size", list(SIZES))
def test_it_is_a_strip_of_forty_pixels_under_the_map(open_page: OpenPage, size: str) -> None:
    page = open_page(size, f"lang=vi&event={REAL}")
    strip, map_box = page.locator(".timeline").bounding_box(), page.locator(".map").bounding_box()
    assert strip is not None and map_box is not None
    assert strip["height"] == 40
    assert strip["y"] + strip["height"] == SIZES[size][1]
    assert map_box["y"] + map_box["height"] == strip["y"]
    bar, panel = page.locator(".top").bounding_box(), page.locator(".panel").bounding_box()
    assert bar is not None
    if size == "office":
        assert bar["height"] == 48
        assert panel is not None and panel["width"] == 300
        page.locator(".list-fold").click()
        expect(page.locator(".panel")).to_be_hidden()
        expect(page.locator(".link-state")).to_have_attribute("title", "Đang nối")
    if size == "wall":
        assert panel is not None and panel["width"] == 360
        expect(page.locator(".link-state")).to_have_text("Đang nối")


def test_a_pause_that_is_scrolled_out_in_part_is_not_read_in_part(
    open_page: OpenPage, screenshots: Path
) -> None:
    page = open_page("phone", f"lang=vi&event={REAL}")
    line, gap = page.locator(".moments"), page.locator(".pause")
    expect(gap).to_have_text("21 ngày")
    page.screenshot(path=screenshots / "timeline-phone.png")
    page.set_viewport_size({"width": 340, "height": 844})
    cut = 0
    for left in range(0, 240, 12):
        line.evaluate("(e, left) => { e.scrollLeft = left; }", left)
        page.wait_for_timeout(120)
        around, box = line.bounding_box(), gap.bounding_box()
        assert around is not None and box is not None
        hidden = max(around["x"] - box["x"], box["x"] + box["width"] - around["x"] - around["width"], 0.0)
        if 3.0 < hidden < box["width"]:
            cut += 1
            expect(gap).to_have_css("color", "rgba(0, 0, 0, 0)")
        elif hidden == 0.0:
            expect(gap).not_to_have_css("color", "rgba(0, 0, 0, 0)")
            assert gap.evaluate("e => e.scrollWidth <= e.clientWidth")
    assert cut > 2


def test_on_a_wide_screen_the_evidence_stands_beside_the_map_on_others_over_it(
    open_page: OpenPage, screenshots: Path
) -> None:
    for size, is_docked in (("wall", True), ("office", False)):
        page = open_page(size, f"lang=vi&event={REAL}&map=17/{LAT}/{LON + 0.004}")
        settled(page)
        click_map(page)
        expect(page.locator(".card")).to_contain_text("Ảnh gốc tại điểm này")
        cv2.imwrite(str(screenshots / f"card-{size}.png"), settled(page)[..., ::-1])
        card, shown = page.locator(".card").bounding_box(), page.locator(".map").bounding_box()
        assert card is not None and shown is not None
        assert (shown["x"] + shown["width"] <= card["x"]) is is_docked
        if is_docked:
            assert card["x"] + card["width"] == SIZES[size][0]
            assert (card["y"], card["height"]) == (shown["y"], shown["height"])
        page.locator(".card .close").click()
        after = page.locator(".map").bounding_box()
        assert after is not None and after["x"] + after["width"] == SIZES[size][0]


def test_the_bar_says_that_the_server_is_lost(open_page: OpenPage, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with running(Services(workspace=world.workspace)) as url:
        page = open_page(link=f"lang=vi&event={REAL}", url=url)
        expect(page.locator(".link-state")).not_to_have_class(re.compile("lost"))
    expect(page.locator(".link-state")).to_have_class(re.compile("lost"))
    expect(page.locator(".link-state")).to_have_attribute("title", "Mất kết nối")


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
    expect(badge).to_have_text("máy chủ không trả lời")  # nobody knows more of the aircraft
