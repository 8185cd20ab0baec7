"""An operator with a card: a laptop, a phone, a line that goes away, a killed tab, another address."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Error, Page, Route, expect

from flycam.drill.photo_drill import DrillReport
from flycam.drill.video_drill import VideoDrillReport
from tests.attack.commands import Operator
from tests.attack.test_uploads import assert_each_byte_once, assert_kept, padded
from tests.attack.uploading import ServerProcess, serving
from tests.browser.conftest import SIZES
from tests.browser.pages import hold, until_seen
from tests.browser.words import filled_words, words
from tests.houses import drilled

pytestmark = pytest.mark.browser

SLOW_BYTES_S = 600_000
_SOFTWARE, _APP1, _SCAN = 0x0131, 0xE1, 0xDA
ASLEEP_S = 5.0
_SMALLEST_PX = """Math.min(...[...document.querySelectorAll('#app *')]
    .filter(e => e.offsetParent && e.innerText).map(e => parseFloat(getComputedStyle(e).fontSize)))"""


@pytest.fixture
def operator(drill: DrillReport, tmp_path: Path) -> Operator:
    return Operator(tmp_path / "dữ liệu", {}).with_ground(drill)


@pytest.fixture
def server(operator: Operator) -> Iterator[ServerProcess]:
    server = ServerProcess(operator)
    server.start()
    yield server
    server.end()


@pytest.fixture
def card(drill: DrillReport, tmp_path: Path) -> Path:
    folder = tmp_path / "Bản Lầu"
    shutil.copytree(drill.photos, folder)
    padded(folder, 1_000_000)
    return folder


@pytest.fixture
def older(drill: DrillReport, tmp_path: Path) -> Path:
    """Another card, of fewer bytes."""
    folder = tmp_path / "Nậm Lúc"
    shutil.copytree(drill.photos, folder)
    padded(folder, 700_000)
    return folder


def upload_page(browser: Browser, url: str, size: str = "office", language: str = "vi") -> Page:
    width, height = SIZES[size]
    phone = size == "phone"
    page = browser.new_page(viewport={"width": width, "height": height}, has_touch=phone, is_mobile=phone)
    page.goto(f"{url}/upload.html#lang={language}")
    page.wait_for_selector(".picker, .login")
    return page


def choose(page: Page, card: Path) -> None:
    page.wait_for_selector(".picker")
    folder = page.locator("input[webkitdirectory]")
    if folder.count():
        folder.set_input_files(card)
    else:
        page.locator("input[type=file]").set_input_files(sorted(card.iterdir()))


def slowed(page: Page, bytes_s: int = SLOW_BYTES_S) -> None:
    line: dict[str, Any] = {"offline": False, "latency": 50, "downloadThroughput": -1}
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", {**line, "uploadThroughput": bytes_s})


def stopped_after(page: Page, pieces: int) -> None:
    """The line takes so many pieces of originals and no more, however late somebody looks."""
    sent = count(1)

    def take(route: Route) -> None:
        if route.request.method != "PATCH" or next(sent) <= pieces:
            route.continue_()

    page.route("**/files/**", take)


def until_sent(page: Page, percent: int) -> None:
    """Until more than so much of the originals was acknowledged. No script: the page forbids it."""
    bar = page.locator(".stage progress").nth(1)
    until_seen(page, lambda: float(bar.get_attribute("value") or 0) > percent)


def standing(server: ServerProcess) -> dict[str, Any]:
    (one,) = httpx.get(f"{server.url}/api/uploads").json()
    return dict(one)


def test_photos_chosen_on_a_phone_come_to_the_map_under_a_new_event(
    browser: Browser, server: ServerProcess, card: Path
) -> None:
    """In English. One by one: no folder names the flight; what is no photo is not sent."""
    (card / "ghi chú.txt").write_text("not sent")
    (card / "._DJI_0001.JPG").write_bytes(b"macOS")
    page = upload_page(browser, server.url, "phone", "en")
    storm = "Bão số 3 <b>"
    page.locator("#flight-event").fill(storm)
    held = hold(page, "**/files/**")
    choose(page, card)
    banner = page.locator(".banner")
    expect(banner).to_have_text(words("upload.sending", "en"))
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES["phone"][0]
    assert page.evaluate(_SMALLEST_PX) >= 14
    held.release()
    expect(banner).to_have_class("banner saved")
    upload = standing(server)
    assert upload["saved"] and upload["files"] == 6
    page.locator("a.button.large").click()
    expect(page.locator(".flight-name strong")).to_contain_text("Tải lên")
    assert [one["name"] for one in httpx.get(f"{server.url}/api/events").json()] == [storm]
    page.goto(f"{server.url}/upload.html")
    expect(page.locator("datalist option")).to_have_attribute("value", storm)
    page.close()


def test_a_card_with_one_odd_name(browser: Browser, server: ServerProcess, card: Path) -> None:
    """The rest goes through; the card is not said to be safe to take out, now or after a reload."""
    (card / "a:b.JPG").write_bytes(b"\xff\xd8\xff\xd9")
    (card / "empty.JPG").touch()
    page = upload_page(browser, server.url, "office", "vi")
    choose(page, card)
    banner, named = page.locator(".banner"), page.locator(".passed-over")
    expect(named).to_contain_text("a:b.JPG: tên tệp này")
    part = filled_words("upload.savedBut", 2)
    expect(banner).to_have_text(part)
    assert standing(server)["saved"]
    page.reload()
    expect(page.locator(".upload-state")).to_have_text(part)
    page.close()


def test_a_card_with_a_film_and_its_subtitles(
    browser: Browser,
    film: VideoDrillReport,
    tmp_path: Path,
) -> None:
    """Photos, a film with its subtitles and one without: one flight, and what is missing."""
    operator = Operator(tmp_path / "dữ liệu", {}).with_ground(film)
    photos = drilled(seed=2, photos=(1, 2), size_px=(480, 360), gsd_m=0.5, truth_rasters=False).photos
    card = tmp_path / "Nậm Lúc"
    shutil.copytree(photos, card)
    shutil.copy(film.video, card / "DJI_0001.MP4")
    shutil.copy(film.subtitles, card / "DJI_0001.SRT")
    (card / "DJI_0002.MP4").write_bytes(film.video.read_bytes() + b"\0\0\0\x08free")
    with serving(operator) as server:
        page = upload_page(browser, server.url, "office", "vi")
        slowed(page)
        choose(page, card)
        expect(page.locator(".look-films li")).to_have_count(2, timeout=120_000)
        expect(page.locator(".look-films .warning")).to_contain_text("DJI_0002.MP4")
        expect(page.locator(".banner")).to_have_class("banner saved", timeout=120_000)
        assert standing(server)["saved"]
        expect(page.locator(".films-said .warning")).to_contain_text("DJI_0002.MP4", timeout=240_000)
        width, _ = SIZES["office"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        laid = httpx.get(f"{server.url}/api/uploads/{standing(server)['upload_id']}").json()["laid"]
        assert laid["frames"]["used"] == 2 and laid["films"][0]["frames"] >= 8
        flights = httpx.get(f"{server.url}/api/flights").json()
        assert [one["flight_id"] for one in flights] == [laid["flight_id"]]
        page.close()
    assert_kept(operator, card)


def test_the_line_goes_away_and_comes_back(browser: Browser, server: ServerProcess, card: Path) -> None:
    page = upload_page(browser, server.url)
    slowed(page)
    choose(page, card)
    until_sent(page, 20)
    page.context.set_offline(True)
    notice = page.locator(".upload-body > .warning")
    expect(notice).to_contain_text(words("upload.noLine"))
    expect(page.locator(".banner")).to_contain_text("CHƯA RÚT THẺ")
    page.context.set_offline(False)
    expect(page.locator(".banner")).to_have_class("banner saved")
    page.close()


def test_a_line_that_stands_still_is_told_in_place_of_the_time_that_is_left(
    browser: Browser, server: ServerProcess, card: Path
) -> None:
    """It went on to promise a time, whether the browser was told of it or heard nothing any more."""
    page = upload_page(browser, server.url)
    slowed(page, SLOW_BYTES_S // 2)  # much is left when it is seen that some was sent
    choose(page, card)
    until_sent(page, 20)
    held = hold(page, "**/files/**")
    originals = page.locator(".stage").nth(1)
    expect(originals).to_contain_text(words("upload.leftWaits"))
    expect(originals).not_to_contain_text("còn khoảng")
    page.unroute_all(behavior="ignoreErrors")
    held.release()
    expect(page.locator(".banner")).to_have_class("banner saved", timeout=180_000)
    page.close()


def test_a_closed_lid_sends_no_byte_twice(
    browser: Browser, server: ServerProcess, operator: Operator, card: Path
) -> None:
    """The browser's processes are stopped as a sleeping laptop's are; its lines are dropped."""
    page = upload_page(browser, server.url)
    slowed(page, 400_000)
    choose(page, card)
    until_sent(page, 8)
    sent: list[tuple[int, int]] = []
    page.on("request", lambda r: sent.append((_file(r.url), _at(r.headers))) if r.method == "PATCH" else None)
    with asleep(browser):
        server.end()
        server.start()  # whoever sleeps is not told of it
        before = standing(server)
        acknowledged = _acknowledged(server, before["upload_id"], before["files"])
        assert 0 < sum(acknowledged) < before["bytes"]
        time.sleep(ASLEEP_S)
        assert standing(server)["bytes_received"] == before["bytes_received"], "who sleeps sends nothing"
        sent.clear()
    expect(page.locator(".banner")).to_have_class("banner saved")
    page.close()
    again = [(number, at) for number, at in sent if at < acknowledged[number]]
    assert sent and not again
    assert_each_byte_once(operator, card)
    assert_kept(operator, card)


@contextmanager
def asleep(browser: Browser) -> Iterator[None]:
    """All of a browser's processes stand still."""
    session = browser.new_browser_cdp_session()
    processes = [one["id"] for one in session.send("SystemInfo.getProcessInfo")["processInfo"]]
    assert len(processes) > 1
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


def _acknowledged(server: ServerProcess, upload_id: str, files: int) -> list[int]:
    """Bytes of each file that the server has."""
    by = {"Tus-Resumable": "1.0.0"}
    found = [httpx.head(f"{server.url}/files/{upload_id}/{n}", headers=by) for n in range(files)]
    return [_at(one.headers) for one in found]


def _file(url: str) -> int:
    return int(url.partition("?")[0].rpartition("/")[2])


def test_a_late_announcement_of_an_older_card_says_nothing_of_the_next(
    browser: Browser, server: ServerProcess, card: Path, older: Path
) -> None:
    """It is answered "saved" when the next card is on its way, which must not come out."""
    page = upload_page(browser, server.url)
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if route.request.method == "POST" and not held:
            held.append(route)
        else:
            route.continue_()

    page.route("**/api/uploads?*", hold_the_first)
    choose(page, older)
    page.get_by_role("button", name="Tạm dừng").click()
    page.get_by_role("button", name="Tải chuyến khác").click()
    slowed(page, 300_000)
    choose(page, card)
    until_sent(page, 5)
    with suppress(Error):  # the page may have let go of it
        answer = held[0].fetch()
        held[0].fulfill(response=answer, json={**answer.json(), "saved": True})
    assert_goes_on_sending(page)
    page.close()


def assert_goes_on_sending(page: Page) -> None:
    """For two seconds."""
    for _ in range(20):
        assert page.locator(".banner").inner_text() == words("upload.sending")
        page.wait_for_timeout(100)


def test_a_plain_http_address_has_no_subtle_crypto(
    browser: Browser, server: ServerProcess, operator: Operator, card: Path
) -> None:
    """The page's own SHA-256 is what the server checks every piece against."""
    width, height = SIZES["office"]
    page = browser.new_page(viewport={"width": width, "height": height})
    page.add_init_script("Object.defineProperty(Crypto.prototype, 'subtle', {get: () => undefined})")
    page.goto(f"{server.url}/upload.html")
    page.wait_for_selector(".picker")
    choose(page, card)
    expect(page.locator(".banner")).to_have_class("banner saved")
    page.close()
    assert_kept(operator, card)


def test_who_may_not_upload_is_told_and_who_signs_in_goes_on(
    browser: Browser, server: ServerProcess, operator: Operator, card: Path
) -> None:
    tokens = {
        role: operator("user", "add", role, "--role", role).json["token"] for role in ("viewer", "operator")
    }
    page = upload_page(browser, server.url)
    page.locator("#token").fill(tokens["viewer"])
    page.locator(".login button").click()
    expect(page.locator(".warning")).to_contain_text("không có quyền")
    page.close()
    page = upload_page(browser, server.url)
    page.locator("#token").fill(tokens["operator"])
    page.locator(".login button").click()
    slowed(page)
    choose(page, card)
    until_sent(page, 10)
    fresh = operator("user", "add", "operator", "--role", "operator").json["token"]  # ends the session
    expect(page.get_by_role("dialog", name="Đăng nhập")).to_contain_text("tài khoản operator")
    page.locator("#token").fill(fresh)
    page.locator(".login button").click()
    expect(page.locator(".banner")).to_have_class("banner saved")
    page.close()


def test_somebody_else_who_signs_in_sends_no_card_of_whoever_was_here(
    browser: Browser, server: ServerProcess, operator: Operator, card: Path
) -> None:
    tokens = {
        name: operator("user", "add", name, "--role", "operator").json["token"] for name in ("Lan", "Minh")
    }
    page = upload_page(browser, server.url)
    page.locator("#token").fill(tokens["Lan"])
    page.locator(".login button").click()
    slowed(page)
    choose(page, card)
    until_sent(page, 5)
    operator("user", "add", "Lan", "--role", "operator")  # ends the session
    page.locator("#token").fill(tokens["Minh"])
    page.locator(".login button").click()
    page.wait_for_selector(".picker")
    expect(page.locator(".banner")).to_have_count(0)
    minh = {"Authorization": f"Bearer {tokens['Minh']}"}
    assert httpx.get(f"{server.url}/api/uploads", headers=minh).json() == []
    page.close()


def _at(headers: dict[str, str]) -> int:
    return int(headers["upload-offset"])
