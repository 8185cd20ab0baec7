"""Aircraft in the air on a real screen: told while they fly, and honest once nothing is told any more."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from flycam.catalog.catalog import Catalog
from flycam.catalog.flights import AircraftState, LinkState, LiveFlightPhase, LiveFlightReport, LonLat
from flycam.drill.video_drill import VideoDrillReport
from flycam.http.guards import Services
from flycam.model.flight import Event, EventKind
from tests.browser.conftest import House, OpenPage
from tests.browser.pages import box_of, settled, until_seen
from tests.browser.words import words
from tests.houses import House as OpenHouse
from tests.serve.running import running
from tests.serve.world import DRILL, LAT, LON, REAL

pytestmark = pytest.mark.browser

WANTED_S = 2.0  # printed beside what it took: a busy machine says nothing of the code
HERE = f"event={REAL}&map=16/{LAT - 0.02}/{LON + 0.03}"  # nothing was flown here: only an aircraft is orange
PLACE = (LON + 0.03, LAT - 0.02)
TAKEN_NS = 1_788_574_380_000_000_000  # 05/09/2026 09:13:00 in Việt Nam
_ORANGE = np.array([255, 138, 0])


def report(
    flight_id: str = "bay1", name: str = "Bay 1", place: LonLat = PLACE, **changes: object
) -> LiveFlightReport:
    values: dict[str, object] = {
        "flight_id": flight_id,
        "event_id": REAL,
        "name": name,
        "is_drill": False,
        "is_recording": False,
        "run": "a",
        "beat": 1,
        "told_ns": time.time_ns(),
        "aircraft": AircraftState(lonlat_deg=place, heading_deg=45.0, above_m=120.0, age_s=0.1),
        "track": (place, (place[0] + 0.001, place[1])),
        "picture_ns": TAKEN_NS,
        "picture_age_s": 0.1,
        "video": LinkState(silent_s=0.1, connections=1),
        "telemetry": LinkState(silent_s=0.1, connections=1),
    }
    return LiveFlightReport(**(values | changes))  # type: ignore[arg-type]


class Teller:
    """Tells of flights as often as a live flight does; `say` changes what is told of one."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog, self._told = catalog, dict[str, LiveFlightReport]()
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)

    def __enter__(self) -> Teller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def say(self, one: LiveFlightReport) -> None:
        with self._lock:
            self._told[one.flight_id] = one

    def kill(self, flight_id: str) -> None:
        with self._lock:
            del self._told[flight_id]

    def _tell(self) -> None:
        beat = 1
        while not self._over.wait(0.4):
            beat += 1
            with self._lock:
                for one in self._told.values():
                    self._catalog.airborne.put(replace(one, beat=beat, told_ns=time.time_ns()))


@pytest.fixture
def teller(house: House) -> Iterator[Teller]:
    with Teller(house.workspace.catalog) as one:
        yield one


def card_of(page: Page, flight_id: str) -> Locator:
    return page.locator(f'[data-airborne="{flight_id}"]')


def orange_near_the_middle(page: Page) -> int:
    """How many pixels of an aircraft's colour lie about the middle of the map."""
    picture, box = settled(page), box_of(page.locator(".map"))
    x, y = round(box["x"] + box["width"] / 2), round(box["y"] + box["height"] / 2)
    part = picture[y - 25 : y + 25, x - 25 : x + 25].astype(int)
    return int((np.abs(part - _ORANGE).max(axis=-1) < 12).sum())


def test_a_flight_is_drawn_with_the_age_of_its_picture_and_goes_when_it_has_ended(
    open_page: OpenPage, house: House, teller: Teller
) -> None:
    page = open_page("office", f"lang=vi&{HERE}", url=house.url)
    until_seen(page, lambda: orange_near_the_middle(page) == 0)
    teller.say(report())
    card = card_of(page, "bay1")
    expect(card).to_contain_text(re.compile("hình cách đây [12] giây", re.IGNORECASE))
    expect(card).to_contain_text("Hình cuối: 05/09/2026 09:13:00")
    expect(card).to_contain_text("Hình: tốt · số liệu bay: tốt")
    until_seen(page, lambda: orange_near_the_middle(page) > 100)
    box, width = box_of(card), page.viewport_size
    assert width is not None and box["x"] + box["width"] <= width["width"]
    teller.say(report(phase=LiveFlightPhase.CLOSING))
    expect(card).to_contain_text("đang trải nốt")
    teller.say(report(phase=LiveFlightPhase.ENDED))
    expect(card).to_contain_text("Đã bay xong")
    expect(card).not_to_contain_text("cách đây")
    until_seen(page, lambda: orange_near_the_middle(page) == 0)


def test_no_card_of_an_aircraft_lies_over_what_the_map_warns_of(
    open_page: OpenPage, house: House, teller: Teller
) -> None:
    """Also where the cards stepped aside from an aircraft's sign."""
    page = open_page("phone", f"lang=vi&event={REAL}&map=15/{LAT}/{LON}", url=house.url)
    warnings = page.locator(".map-warnings")
    expect(warnings).to_be_visible()
    degrees_a_pixel = 360.0 / 256 / 2**15 * math.cos(math.radians(LAT))
    for name, up_px in (("bay1", 250), ("bay2", 200)):
        teller.say(report(name, name, (LON, LAT + up_px * degrees_a_pixel), track=()))
        expect(card_of(page, name)).to_be_visible()
    expect(page.locator(".airborne")).to_have_class(re.compile("aside"))
    strip, cards = box_of(warnings), box_of(page.locator(".airborne"))
    is_beside = strip["x"] + strip["width"] <= cards["x"] or cards["x"] + cards["width"] <= strip["x"]
    assert is_beside or cards["y"] + cards["height"] <= strip["y"]


def test_a_map_that_waits_for_a_first_flight_goes_to_it_and_on_with_it_until_it_is_touched(
    open_page: OpenPage, house: House, teller: Teller
) -> None:
    house.workspace.catalog.flights.put_event(
        Event(event_id="evt-new", name="Bão mới", kind=EventKind.STORM, is_drill=False)
    )
    page = open_page(link="lang=vi&event=evt-new", url=house.url, wait=False)
    expect(page.locator("select.event")).to_have_value("evt-new")
    settled(page)
    expect(page.locator(".checklist")).to_be_visible()
    teller.say(report(event_id="evt-new", is_matching=True))
    expect(card_of(page, "bay1")).to_contain_text(words("aloftMatching"))
    expect(page.locator(".flights .empty")).to_contain_text(words("aloftTitle"))
    expect(page.locator(".checklist")).to_have_count(0)
    for moved_deg in (0.0, 0.2):
        teller.say(report(event_id="evt-new", place=(PLACE[0] + moved_deg, PLACE[1])))
        expect(card_of(page, "bay1")).to_be_visible()
        until_seen(page, lambda: orange_near_the_middle(page) > 100)
    settled(page)
    page.keyboard.press("Shift")
    before = page.url  # it tells where the map stands
    assert "map=" in before
    teller.say(report(event_id="evt-new", place=(PLACE[0] + 0.4, PLACE[1])))
    page.wait_for_timeout(2500)
    assert page.url == before


def test_each_lost_link_is_named_with_the_time_of_the_last_picture(
    open_page: OpenPage,
    house: House,
    teller: Teller,
) -> None:
    page = open_page(link=f"lang=vi&{HERE}", url=house.url)
    lost = LinkState(silent_s=7.0, is_lost=True, connections=1)
    card = card_of(page, "bay1")
    teller.say(report(video=lost))
    expect(card).to_contain_text(re.compile("Mất hình", re.IGNORECASE))
    expect(card).to_contain_text("Hình cuối: 05/09/2026 09:13:00")
    until_seen(page, lambda: orange_near_the_middle(page) == 0)  # grey: it may be elsewhere by now
    teller.say(report(telemetry=lost))
    expect(card).to_contain_text(re.compile("Mất số liệu bay", re.IGNORECASE))
    teller.say(report())
    expect(card).not_to_have_class(re.compile("lost"))


def test_of_two_flights_at_once_only_the_one_that_is_silent_is_lost(
    open_page: OpenPage, house: House, teller: Teller
) -> None:
    page = open_page(link=f"lang=vi&{HERE}", url=house.url)
    teller.say(report())
    teller.say(report("bay2", "Bay 2", (PLACE[0] + 0.002, PLACE[1])))
    first, second = card_of(page, "bay1"), card_of(page, "bay2")
    expect(first).to_contain_text("Bay 1")
    expect(second).to_contain_text("Bay 2")
    teller.kill("bay2")
    expect(second).to_contain_text(words("aloftLostProgram"))
    expect(second).to_contain_text("Hình cuối: 05/09/2026 09:13:00 (hình cách đây")
    expect(first).not_to_have_class(re.compile("lost"))


def test_a_page_that_hears_nothing_from_the_server_says_so_and_counts_on(
    open_page: OpenPage, house: House, teller: Teller
) -> None:
    with running(Services(workspace=house.workspace)) as url:
        page = open_page(link=f"lang=vi&{HERE}", url=url)
        teller.say(report())
        card = card_of(page, "bay1")
        expect(card).to_contain_text("Hình: tốt")
        page.context.set_offline(True)
        page.wait_for_timeout(200)
    expect(card).to_contain_text(words("aloftLostServer"))
    expect(card).not_to_contain_text("Hình: ")
    expect(card).to_contain_text(re.compile("hình cách đây ([4-9]|[1-9]\\d) giây"))


def test_a_recording_and_a_drill_are_never_taken_for_an_aircraft_in_the_air(
    open_page: OpenPage, house: House, teller: Teller
) -> None:
    page = open_page(link=f"lang=vi&event={DRILL}", url=house.url)
    teller.say(report(event_id=DRILL, is_drill=True, is_recording=True))
    card = card_of(page, "bay1")
    expect(card).to_contain_text("DIỄN TẬP · PHÁT LẠI")
    card.locator("summary").click()
    expect(card).to_contain_text(words("aloftRecording"))


@contextmanager
def flying(house: OpenHouse, film: VideoDrillReport) -> Iterator[subprocess.Popen[bytes]]:
    """`flycam live --realtime` in a process of its own."""
    inputs = ["--video", film.video, "--telemetry", film.subtitles, "--camera", film.camera]
    words = [sys.executable, "-m", "flycam", "live", *inputs, "--realtime", "--data", house.root]
    with subprocess.Popen([str(word) for word in words], stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_a_killed_flight_is_said_to_be_lost_and_its_tiles_came_while_it_flew(
    open_page: OpenPage, film: VideoDrillReport, make_house: Callable[..., OpenHouse]
) -> None:
    house = make_house(film)
    versions: set[str] = set()
    with running(Services(workspace=house.workspace)) as url:
        page = open_page(link="lang=vi", url=url, wait=False)
        page.on("request", lambda asked: versions.update(re.findall(r"/tiles/.*[?&]v=(\d+)", asked.url)))
        with flying(house, film) as process:
            card = page.locator(".airborne-card")
            expect(card).to_contain_text("Hình: tốt")
            expect(page.locator(".flight")).to_be_attached()
            until_seen(page, lambda: len(versions) > 5)  # tiles are asked for as they come
            os.kill(process.pid, signal.SIGKILL)
            lost_s = seconds_until_lost(page)
        expect(card).to_contain_text(re.compile(r"Hình cuối: \d\d/\d\d/\d{4} \d\d:\d\d:\d\d \(hình cách đây"))
        expect(page.locator(".flight")).to_contain_text("chưa đủ ảnh")
    print(f"lost on the screen after {lost_s:.2f} s, of {WANTED_S} wanted")


def seconds_until_lost(page: Page) -> float:
    began_s = time.monotonic()
    page.wait_for_selector(".airborne-card.lost")
    lost_s = time.monotonic() - began_s
    print(f"said to be lost after {lost_s:.2f} s")
    return lost_s
