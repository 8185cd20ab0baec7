"""What an aircraft filmed, beside the map: its newest picture, and its recorded video in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from playwright.sync_api import Locator, expect

from flycam.drill.video_drill import VideoDrillReport
from flycam.ingest.live.recording import StreamRecording
from flycam.ingest.live.status import encode_thumbnail
from flycam.ingest.video.decoder_process import Recorder
from flycam.storage import keys
from tests.browser.conftest import House, OpenPage
from tests.browser.pages import box_of, settled, until_seen
from tests.browser.test_airborne import HERE, Teller, card_of, report
from tests.browser.words import words
from tests.ingest.video.test_recorder import packets_of

pytestmark = pytest.mark.browser

SIZE_PX = (320, 180)


@pytest.fixture
def teller(house: House) -> Iterator[Teller]:
    with Teller(house.workspace.catalog) as one:
        yield one


def record(house: House, film: Path, pictures: int, piece_s: float = 4.0, flight_id: str = "bay1") -> None:
    """A film's pictures recorded as a stream that ends now."""
    with StreamRecording(house.workspace) as recording:
        assert recording.order is not None
        recorder = Recorder(replace(recording.order, segment_s=piece_s), SIZE_PX, lambda *_: None)
        packets = packets_of(film, pictures)
        began_ns = time.time_ns() - packets[-1].pts_ns
        for packet in packets:
            recorder.put(replace(packet, arrived_utc_ns=began_ns + packet.pts_ns))
        recorder.close(20.0)
        recording.assign_flight(flight_id)


def newest(house: House, film: Path, number: int, flight_id: str = "bay1") -> str:
    """A picture of the film shown as the newest; its key."""
    video = cv2.VideoCapture(str(film))
    for _ in range(number + 1):
        _, bgr = video.read()
    key = keys.format_latest_image_key(flight_id, number)
    house.workspace.store.put(key, encode_thumbnail(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)))
    return key


def seconds_of(card: Locator) -> int:
    """What the player says of when its picture was taken: seconds of the day."""
    found = re.search(r"(\d\d):(\d\d):(\d\d)", card.locator(".video-pieces span").inner_text())
    return (
        sum(int(part) * each for part, each in zip(found.groups(), (3600, 60, 1), strict=True))
        if found
        else -1
    )


def test_the_newest_picture_is_beside_the_map_and_changes(
    open_page: OpenPage, house: House, teller: Teller, film: VideoDrillReport
) -> None:
    page = open_page(size="phone", link=f"lang=vi&{HERE}", url=house.url)
    teller.say(report(picture_key=newest(house, film.video, 20), recorded_s=12.0))
    card = card_of(page, "bay1")
    expect(card.locator("img")).to_be_hidden()  # the map goes first
    card.locator("summary").click()
    expect(card.locator("img")).to_be_visible()
    first = card.locator("img").get_attribute("src")
    seen = card.locator("img").screenshot()
    teller.say(report(picture_key=newest(house, film.video, 150), recorded_s=14.0))
    until_seen(page, lambda: card.locator("img").get_attribute("src") != first)
    until_seen(page, lambda: card.locator("img").screenshot() != seen)
    expect(card.get_by_role("button", name="Xem lại video")).to_be_visible()
    box, view = box_of(card), page.viewport_size
    assert view is not None and box["x"] >= 0 and box["x"] + box["width"] <= view["width"]
    settled(page)


def test_the_recorded_video_plays_on_from_piece_to_piece(
    open_page: OpenPage, house: House, teller: Teller, film: VideoDrillReport
) -> None:
    record(house, film.video, pictures=120)
    page = open_page(size="office", link=f"lang=vi&{HERE}", url=house.url)
    teller.say(report(picture_key=newest(house, film.video, 20), recorded_s=12.0))
    card = card_of(page, "bay1")
    card.get_by_role("button", name="Xem lại video").click()
    expect(card.locator("video")).to_be_visible()
    expect(card.locator("img")).to_be_hidden()
    slider = card.locator(".video-pieces input")
    expect(slider).to_have_attribute("max", "2")
    until_seen(page, lambda: seconds_of(card) > 0)
    began = seconds_of(card)
    page.wait_for_timeout(1500)
    until_seen(page, lambda: seconds_of(card) >= began + 6)  # over the end of the first piece
    assert int(slider.input_value()) >= 1
    # at its end it waits, and goes on once there is more
    expect(card).to_contain_text(words("videoEnd"))
    record(house, film.video, pictures=60, piece_s=60.0)
    expect(slider).to_have_attribute("max", "3")
    until_seen(page, lambda: slider.input_value() == "3")
    card.get_by_role("button", name="Đóng video").click()
    expect(card.locator("video")).to_be_hidden()
    expect(card.locator("img")).to_be_visible()


def test_what_the_browser_cannot_play_is_said_and_can_be_downloaded(
    open_page: OpenPage, house: House, teller: Teller, film: VideoDrillReport
) -> None:
    record(house, film.video, pictures=40)
    (piece,) = house.workspace.catalog.recordings.list_for_flight("bay1")
    house.workspace.catalog.recordings.put(
        replace(piece, sha256="0" * 64, flight_id="bay2", codec="hvc1.1.6.L120.90")
    )
    page = open_page(link=f"lang=vi&{HERE}", url=house.url)
    teller.say(report("bay2", "Bay 2", recorded_s=4.0))
    teller.say(report("bay3", "Bay 3", recorded_s=4.0))
    card = card_of(page, "bay2")
    card.get_by_role("button", name="Xem lại video").click()
    expect(card).to_contain_text("Trình duyệt này không phát được video H.265")
    expect(card.get_by_role("link", name="Tải đoạn này")).to_have_attribute(
        "href", re.compile("bay2/0{64}.mp4")
    )
    other = card_of(page, "bay3")
    other.get_by_role("button", name="Xem lại video").click()
    expect(other).to_contain_text(words("videoNone"))
    page.locator(".language").click()
    expect(other).to_contain_text(words("videoNone", "en"))


def test_the_video_of_a_flight_that_has_landed_is_played_from_the_list(
    open_page: OpenPage, house: House, film: VideoDrillReport
) -> None:
    record(house, film.video, pictures=120, flight_id=house.world.after)
    page = open_page(size="phone", link="lang=vi", url=house.url)
    page.get_by_role("button", name="Danh sách").click()
    listed = page.locator(f'[data-flight="{house.world.after}"]')
    expect(page.locator(".flight-actions").get_by_role("button", name="Video")).to_have_count(1)
    listed.get_by_role("button", name="Video").click()
    card = page.locator(".film-card")
    expect(card.locator("video")).to_be_visible()
    expect(card).to_contain_text("Thung lũng Nậm Lúc – sau bão")
    until_seen(page, lambda: seconds_of(card) > 0)
    began = seconds_of(card)
    until_seen(page, lambda: seconds_of(card) >= began + 5)  # from its beginning over the first piece's end
    box, view = box_of(card), page.viewport_size
    assert view is not None and box["x"] >= 0 and box["y"] >= 0
    assert box["x"] + box["width"] <= view["width"] and box["y"] + box["height"] <= view["height"]
    menu = box_of(page.get_by_role("button", name="Danh sách"))
    assert box["y"] + box["height"] <= menu["y"]
    card.get_by_role("button", name="Đóng video").click()
    expect(card).to_be_hidden()
