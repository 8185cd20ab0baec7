"""A rehearsal from end to end on the map of a browser, as a series of pictures to be looked at.

`flycam live` as a process of its own, fed by a real RTSP server and a MAVLink link over UDP with the drill's
film; `flycam serve`, Chromium. Pictures: first tile, mid flight, link lost, after landing, in both languages.

    python -m pytest -m browser -s tests/browser/test_live_drill.py --basetemp FOLDER
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from flycam.drill.flight import VideoPlan
from flycam.drill.ground_truth import read_truth
from flycam.drill.video_drill import VideoDrillReport, write_video_drill
from tests.browser.conftest import OpenPage
from tests.browser.pages import settled
from tests.browser.test_airborne import WANTED_S, seconds_until_lost
from tests.browser.words import words
from tests.ingest.video.streaming import is_listening, replayed, rtsp_server, start_s_of
from tests.ports import free_port
from tests.waiting import START_S, until

pytestmark = [pytest.mark.browser, pytest.mark.soak]

SECONDS = 40.0
AT_THE_FLIGHT = re.compile(r"map=1[4-9]")


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> VideoDrillReport:
    return write_video_drill(
        tmp_path_factory.mktemp("film") / "d",
        seed=3,
        plan=VideoPlan(seconds=SECONDS, fps=15, strips=3, gsd_m=0.4),
        size_px=(640, 360),
    )


class Series:
    """Pictures of one flight, numbered, of each page."""

    def __init__(self, folder: Path, pages: dict[str, Page]) -> None:
        self._folder, self._pages, self._number = folder, pages, 0

    def take(self, name: str, *, at_rest: bool = False) -> None:
        self._number += 1
        for language, page in self._pages.items():
            if at_rest:
                settled(page)
            page.screenshot(path=self._folder / f"{self._number}-{name}-{language}.png")


def test_a_rehearsal_is_seen_from_the_first_tile_to_after_landing(
    open_page: OpenPage, long_film: VideoDrillReport, tmp_path: Path, screenshots: Path
) -> None:
    data, link, web = tmp_path / "data", free_port(socket.SOCK_DGRAM), free_port()
    flycam = [sys.executable, "-m", "flycam"]
    with ExitStack() as stack:
        film = stack.enter_context(ExitStack())
        played, over = threading.Event(), threading.Event()
        stream = film.enter_context(rtsp_server(long_film.video, free_port(), played))
        stack.enter_context(program([*flycam, "serve", "--data", data, "--port", web]))
        url = f"http://127.0.0.1:{web}"
        until(lambda: is_listening(web), within_s=START_S)
        inputs = ["--video", stream, "--telemetry", f"udp://127.0.0.1:{link}", "--clock-offset", 0, "--drill"]
        inputs += ["--camera", long_film.camera, "--dem", long_film.dem, "--event", "Diễn tập", "--json"]
        flight = stack.enter_context(program([*flycam, "live", "--data", data, *inputs]))

        def tell() -> None:
            played.wait(START_S)
            start_s = start_s_of(read_truth(long_film.truth.parent).facts)
            replayed(long_film.telemetry, link, time.monotonic(), start_s, over)

        telling = threading.Thread(target=tell, daemon=True)
        telling.start()
        stack.callback(over.set)
        pages = {
            language: open_page(link=f"lang={language}", url=url, wait=False) for language in ("vi", "en")
        }
        series = Series(screenshots, pages)
        page = pages["vi"]
        expect(page.locator(".flight")).to_be_attached()
        expect(page).to_have_url(AT_THE_FLIGHT)  # a room that was open before goes there by itself
        series.take("first-tile")
        page.wait_for_timeout(20_000)
        series.take("mid-flight")
        card = page.locator(".airborne-card")
        expect(card).to_contain_text("Hình: tốt · số liệu bay: tốt")
        film.close()
        lost_s = seconds_until_lost(page)
        series.take("link-lost")
        expect(card).to_contain_text("MẤT HÌNH")
        page.wait_for_timeout(3_000)
        series.take("link-lost-later")
        flight.send_signal(signal.SIGINT)
        answer = json.loads(flight.communicate(timeout=90)[0].splitlines()[-1])
        expect(card).to_contain_text("Đã bay xong")
        expect(pages["en"].locator(".airborne-card")).to_contain_text(words("aloftEnded", "en"))
        series.take("after-landing", at_rest=True)
        shown = settled(page).astype(int)
    assert flight.returncode == 0 and answer["new"] >= 8
    middle = shown[shown.shape[0] // 3 : -shown.shape[0] // 3, shown.shape[1] // 3 : -shown.shape[1] // 3]
    assert np.ptp(middle.mean(-1)) > 60  # ground, not an empty map
    assert re.fullmatch(r"[0-9a-z-]+", answer["flight_id"])
    print(f"lost on the screen after {lost_s:.2f} s, of {WANTED_S} wanted; pictures in {screenshots}")
    print(json.dumps({key: answer[key] for key in ("new", "first_tile_s", "latency_ms", "dropped")}))


def program(words: list[object]) -> subprocess.Popen[bytes]:
    return _Program([str(word) for word in words], stdout=subprocess.PIPE)


class _Program(subprocess.Popen[bytes]):
    """Killed, by its own number, where it still runs."""

    def __exit__(self, *inputs: object) -> None:
        self.kill()
        super().__exit__(*inputs)
