"""The map as a person meets it: in Vietnamese and English, on an office PC, a wall screen and a phone."""

from __future__ import annotations

import itertools
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from flycam.catalog.flights import LinkState, LiveFlightReport
from flycam.config import PowerMode
from flycam.http.guards import Services
from flycam.model.access import Role
from flycam.model.flight import Event, EventKind
from flycam.model.warning import NO_TERRAIN, describe_warning_briefly
from flycam.power import Battery, Power
from flycam.serve import app
from tests.browser.conftest import SIZES, OpenPage
from tests.browser.pages import (
    box_of,
    click_map,
    expect_painted,
    in_address,
    not_in_address,
    settled,
    settled_compare,
    until_seen,
    wait_for_zoom,
)
from tests.browser.words import filled_words, words
from tests.serve.running import running
from tests.serve.world import (
    DRILL,
    LAT,
    LON,
    REAL,
    World,
    add_account,
    add_communes,
    add_flight,
    make_workspace,
    make_world,
    mean_colour_around,
)

pytestmark = pytest.mark.browser

MIDDLE = (LON + 0.0042, LAT - 0.0015)
THUMB_PX = 48
FLOWN = f"map=18/{MIDDLE[1]}/{MIDDLE[0]}"


@pytest.mark.parametrize(("size", "language"), [("office", "vi"), ("wall", "en"), ("phone", "en")])
def test_nothing_overflows_and_all_is_legible(
    open_page: OpenPage, world: World, address: str, size: str, language: str
) -> None:
    page = open_page(size, f"lang={language}&event={REAL}")
    picture = settled(page)
    width, height = SIZES[size]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.documentElement.scrollHeight") <= height
    too_small = page.evaluate(
        """[...document.querySelectorAll('#app *')].filter(e => e.offsetParent && e.innerText)
           .filter(e => parseFloat(getComputedStyle(e).fontSize) < 14).map(e => e.outerHTML.slice(0, 200))"""
    )
    assert too_small == []
    # imagery is on the screen: green fields and forest, not only the hatch
    red, green, blue = (picture[..., band].astype(int) for band in range(3))
    assert ((green > red + 8) & (green > blue + 20)).mean() > 0.08
    for room in ("tab=board", f"{FLOWN}&meet=on", f"{FLOWN}&cmp=side~{world.before}~{world.after}~50"):
        page.goto("about:blank")
        page.goto(f"{address}/#lang={language}&event={REAL}&{room}")
        settled_compare(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, room


def test_the_newest_flight_lies_on_top_and_can_be_taken_off(open_page: OpenPage, world: World) -> None:
    page = open_page(link=f"event={REAL}&{FLOWN}")
    names = page.locator(".flight-name strong").all_inner_texts()
    assert names == ["Thung lũng Nậm Lúc – sau bão", "Thung lũng Nậm Lúc – trước bão"]
    expect_painted(page, mean_colour_around(MIDDLE, storm=True))
    page.locator(f'[data-flight="{world.after}"] input').uncheck()
    expect_painted(page, mean_colour_around(MIDDLE, storm=False))
    assert world.after in page.url


def test_a_warning_is_said_once_and_its_cure_to_who_can_give_it(open_page: OpenPage, tmp_path: Path) -> None:
    """On the map; its command to who uploads. A viewer has no command line, and looks at the map."""
    world = make_world(tmp_path)
    for name, role in (("Lan", Role.OPERATOR), ("Hoa", Role.VIEWER)):
        add_account(world.workspace, name, role, f"{name}-token")
    with running(Services(workspace=world.workspace)) as url:
        for name, is_cured in (("Lan", True), ("Hoa", False)):
            page = open_page(link=f"lang=vi&event={REAL}", url=url, wait=False)
            assert page.context.request.post(f"{url}/api/login", data={"token": f"{name}-token"}).ok
            page.reload()
            flight = page.locator(f'[data-flight="{world.before}"]')
            flight.locator("button[aria-expanded]").click()
            detail = flight.locator(".flight-detail")
            expect(detail).to_contain_text("mô hình độ cao")
            assert ("flycam" in detail.inner_text()) == is_cured
            expect(flight.locator(".warning")).to_have_count(0)
            expect(page.locator(".map-warnings li")).to_have_count(1)
    page = open_page(link=f"lang=vi&event={REAL}")
    strip, stage = box_of(page.locator(".map-warnings")), box_of(page.locator(".map"))
    assert strip["height"] < 0.05 * stage["height"]


def test_a_warning_stands_on_the_map_while_its_flight_is_in_sight(open_page: OpenPage, world: World) -> None:
    page = open_page(link=f"lang=vi&event={REAL}")
    strip, no_terrain = page.locator(".map-warnings"), describe_warning_briefly(NO_TERRAIN)
    expect(strip).to_contain_text(f"trước bão: {no_terrain.in_language('vi')}")
    page.locator("button.language").click()
    expect(strip).to_contain_text(f"trước bão: {no_terrain}")
    page.locator(f'[data-flight="{world.before}"] input').uncheck()
    expect(strip).to_be_hidden()


def test_not_flown_is_said_as_not_flown(open_page: OpenPage) -> None:
    page = open_page(link=f"lang=vi&event={REAL}&map=17/{LAT + 0.02}/{LON + 0.02}")
    with_hatch = settled(page)
    click_map(page)
    expect(page.locator(".card")).to_contain_text("Chưa bay chụp")
    page.locator(".card .close").click()
    page.locator('[data-layer="notFlown"]').uncheck()
    without = settled(page)
    middle = np.s_[300:500, 700:1000]
    # the sign lies on the ground itself: taking it off changes what is drawn there
    assert np.abs(with_hatch[middle].astype(int) - without[middle]).mean() > 2


def test_a_drill_is_marked_everywhere_and_never_mixed_with_a_real_event(open_page: OpenPage) -> None:
    page = open_page(link=f"lang=vi&event={DRILL}")
    expect(page.locator(".drill-frame")).to_contain_text("DIỄN TẬP")
    expect(page.locator(".top .drill-badge")).to_have_text("DIỄN TẬP")
    assert page.locator(".flight-name strong").all_inner_texts() == ["Diễn tập – tổ bay 1"]
    expect(page.locator(".flight .drill-badge")).to_have_text("DIỄN TẬP")
    page.locator("select.event").select_option(REAL)
    expect(page.locator(".drill-frame")).to_be_hidden()
    assert len(page.locator(".flight-name strong").all_inner_texts()) == 2


def test_nothing_lies_on_the_strip_that_says_drill(open_page: OpenPage) -> None:
    page = open_page("office", f"lang=vi&event={DRILL}&map=15/{LAT}/{LON}&tab=board")
    strip = box_of(page.locator(".drill-frame"))
    page.locator(".measure-open").click()
    page.wait_for_selector(".measure")
    boxes = [page.locator(".measure").bounding_box()]
    page.keyboard.press("Escape")
    expect(page.locator(".measure")).to_be_hidden()
    others = ".ol-zoom, .moves, .moves > *, .mark-begin, .measure-open, .card, .airborne"
    boxes += [one.bounding_box() for one in page.locator(others).all()]
    shown = [box for box in boxes if box is not None and box["height"] > 0]
    assert len(shown) > 4
    for box in shown:
        apart = box["y"] >= strip["y"] + strip["height"] or box["x"] + box["width"] <= strip["x"]
        assert apart or box["x"] >= strip["x"] + strip["width"]


def test_without_a_link_the_real_event_opens_although_a_drill_is_newer(open_page: OpenPage) -> None:
    page = open_page()
    expect(page.locator("select.event")).to_have_value(REAL)


def test_one_click_to_english_and_back(open_page: OpenPage) -> None:
    page = open_page(link="lang=vi")
    expect(page.locator("h2").first).to_contain_text("Chuyến bay")
    page.locator("button.language").click()
    expect(page.locator("h2").first).to_contain_text("Flights")
    assert page.evaluate("document.documentElement.lang") == "en"


def test_details_give_counts_reasons_and_coverage(open_page: OpenPage) -> None:
    page = open_page(link=f"lang=vi&event={REAL}")
    page.locator(".flight button[aria-expanded]").first.click()
    detail = page.locator(".flight-detail")
    expect(detail).to_contain_text("1 (mờ, nhoè 1)")
    expect(detail.locator(".coverage")).to_contain_text("Bản Liền")


def test_an_empty_house_says_what_is_missing_and_opens_the_drill_once_there_is_one(
    open_page: OpenPage, tmp_path: Path
) -> None:
    workspace = make_workspace(tmp_path)
    add_communes(workspace)
    with running(Services(workspace=workspace, follow_s=0.1)) as url:
        page = open_page(link="lang=vi", url=url, wait=False)
        rows = page.locator(".checklist li")
        expect(rows.nth(0)).to_have_attribute("data-there", "true")
        expect(rows.nth(1)).to_have_attribute("data-there", "false")
        expect(rows.nth(1)).to_contain_text("flycam dem add")
        expect(rows.nth(2)).to_contain_text("Chuyến bay")
        page.locator(".drill-open").click()  # not among real communes
        expect(page.locator(".checklist [role=alert]")).to_contain_text("flycam demo --data")
        storm = Event(event_id="storm", name="Bão số 9", kind=EventKind.STORM, is_drill=False)
        drill = Event(event_id="drill", name="Diễn tập 2026", kind=EventKind.DRILL, is_drill=True)
        for event in (storm, drill):
            workspace.catalog.flights.put_event(event)
        add_flight(workspace, "drill", "Bay tập", "2024-10-11 01:00", shift=(0, 0))
        page = open_page(link="lang=vi&event=storm", url=url, wait=False)
        page.locator(".drill-open").click()
        expect(page.locator(".flight-name strong")).to_have_text("Bay tập")
        expect(page.locator(".top .drill-badge")).to_have_text("DIỄN TẬP")


MAKES_A_DRILL = """
from pathlib import Path
from flycam.model.flight import Event, EventKind
from tests.serve.world import add_flight, make_workspace
workspace = make_workspace(Path("{root}"))
event = Event(event_id="drill", name="Diễn tập 2026", kind=EventKind.DRILL, is_drill=True)
workspace.catalog.flights.put_event(event)
add_flight(workspace, "drill", "Bay tập", "2024-10-11 01:00", shift=(0, 0))
"""


def test_an_empty_house_makes_its_drill_by_one_button_and_opens_it(
    open_page: OpenPage, tmp_path: Path
) -> None:
    command = (sys.executable, "-c", MAKES_A_DRILL.format(root=tmp_path))
    with running(Services(workspace=make_workspace(tmp_path), follow_s=0.1, drill_command=command)) as url:
        page = open_page(link="lang=vi", url=url, wait=False)
        button = page.locator(".drill-open")
        button.click()
        expect(page.locator(".checklist [role=status]")).to_contain_text(words("empty.drillMaking"))
        expect(page.locator(".flight-name strong")).to_have_text("Bay tập")
        expect(page.locator(".top .drill-badge")).to_be_visible()


def test_vn_2000_stands_beside_wgs_84(open_page: OpenPage) -> None:
    page = open_page("phone", "lang=en")
    settled(page)
    box = box_of(page.locator(".map"))
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    readout = page.locator(".position")
    expect(readout).to_contain_text("VN-2000")
    numbers = r"^\d+\.\d{6}° N\s+\d+\.\d{6}° E\nX 2,\d{3},\d{3} N  Y \d{3},\d{3} E  VN-2000 CM 104°45′$"
    assert re.match(numbers, readout.inner_text()), readout.inner_text()
    placed = box_of(readout)
    assert placed["x"] >= 0 and placed["x"] + placed["width"] <= 390
    assert page.locator(".position span").nth(1).evaluate("e => e.scrollWidth <= e.clientWidth")


def test_a_link_to_no_place_on_earth_shows_the_event(open_page: OpenPage) -> None:
    page = open_page(link="map=11/104.8/21.9")  # latitude and longitude exchanged
    settled(page)
    assert "NaN" not in page.locator(".position").inner_text()
    wait_for_zoom(page, 12)


def test_an_idle_page_is_left_alone(open_page: OpenPage) -> None:
    """While nothing happens the clock must not draw the lists anew: an open choice would close."""
    page = open_page(link=f"lang=vi&event={REAL}&{FLOWN}")
    page.clock.install()
    page.reload()
    settled(page)
    click_map(page)
    expect(page.locator(".card img")).to_be_visible()
    marks = [page.locator(one).first for one in (".flight", ".card img", ".layers select", "select.event")]
    for mark in marks:
        mark.evaluate("e => { e.dataset.kept = 'yes'; }")
    page.clock.fast_forward(25_000)  # the clock ticks every 20 s
    page.wait_for_timeout(500)
    for mark in marks:
        expect(mark).to_have_attribute("data-kept", "yes")


def test_a_dead_server_is_said_in_words(open_page: OpenPage, tmp_path: Path) -> None:
    with running(Services(workspace=make_workspace(tmp_path))) as url:
        page = open_page(link="lang=vi", url=url, wait=False)
        page.route("**/api/**", lambda route: route.abort())
        page.reload()
        expect(page.locator(".fatal")).to_contain_text(words("noAnswer"))


def test_a_thumb_finds_the_upload_and_chooses_photos(browser: Browser, address: str) -> None:
    """By touch alone: from the map to the card's photos."""
    width, height = SIZES["phone"]
    context = browser.new_context(viewport={"width": width, "height": height}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{address}/#lang=vi&event={REAL}")
    settled(page)
    button = box_of(page.locator(".upload-link"))
    assert button["height"] >= THUMB_PX and button["width"] >= 0.25 * width
    assert height / 2 < button["y"] <= height - button["height"], "within a thumb's reach"
    page.locator(".upload-link").tap()
    picker = page.locator(".picker.large")
    picker.wait_for()
    large = box_of(picker)
    assert large["height"] >= THUMB_PX and large["width"] >= 0.8 * width
    with page.expect_file_chooser() as chosen:
        picker.tap()
    assert chosen.value.is_multiple()
    context.close()


def test_choosing_a_flight_hides_what_was_captured_later(open_page: OpenPage, world: World) -> None:
    page = open_page(link=f"lang=vi&event={REAL}&{FLOWN}")
    moments = page.locator(".moments .moment")
    expect(moments).to_have_text(["20/08/2024 09:10", "10/09/2024 10:15"])
    expect(page.locator(".pause")).to_have_text("21 ngày")
    expect_painted(page, mean_colour_around(MIDDLE, storm=True))
    moments.first.click()
    expect_painted(page, mean_colour_around(MIDDLE, storm=False))
    expect(page.locator(".map-warnings")).to_contain_text(filled_words("earlier", "20/08/2024 09:10", 1))
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


def test_a_box_on_its_battery_says_so_and_how_long(open_page: OpenPage, world: World) -> None:
    power = Power(PowerMode.FULL, lambda: Battery(17.0, True, 4500.0))
    power.poll()
    services = Services(workspace=replace(world.workspace, power=power))
    with running(services) as url:
        page = open_page(link="lang=vi", url=url)
        badge = page.locator(".battery")
        expect(badge).to_have_text("Pin 17 %")
        expect(badge).to_have_attribute(
            "title", f"{words('batteryNote')}; {filled_words('batteryLeft', '1,2')}"
        )
        page.locator(".language").click()
        expect(badge).to_have_text("Battery 17 %")


def test_a_box_whose_disk_is_nearly_full_says_so(
    open_page: OpenPage, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = int(world.workspace.store.free_bytes() or 0)
    monkeypatch.setattr(app, "LOW_SPACE_BYTES", free + (1 << 40))
    with running(Services(workspace=world.workspace)) as url:
        page = open_page(link="lang=vi", url=url)
        expect(page.locator(".disk-room")).to_have_text(re.compile(r"Ổ đĩa còn [\d.,]+ GB"))
        page.locator(".language").click()
        expect(page.locator(".disk-room")).to_have_text(re.compile(r"[\d.,]+ GB of disk left"))
