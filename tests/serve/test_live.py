"""While a film is laid, a screen that listens learns of its tiles and can fetch them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import httpx
import pytest

from flycam.drill.video import VideoDrillReport
from flycam.pipeline.laying.opening import Labels
from flycam.pipeline.live.given import LiveRequest
from flycam.pipeline.live.recipe import LiveReport, live
from flycam.serve.services import Services
from tests.houses import House
from tests.serve.running import running


@pytest.mark.slow
def test_tiles_reach_a_screen_while_the_aircraft_still_films(
    film: VideoDrillReport, make_house: Callable[..., House]
) -> None:
    house = make_house(film)
    reports: list[tuple[LiveReport, float]] = []

    def fly() -> None:
        request = LiveRequest(
            video=str(film.video), telemetry=str(film.subtitles), camera=film.camera, is_realtime=True
        )
        report = live(house.workspace, request, Labels())
        reports.append((report, time.monotonic()))

    heard: list[float] = []
    with (
        running(Services(workspace=house.workspace, follow_s=0.05)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
        client.stream("GET", "/events") as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        thread = threading.Thread(daemon=True, target=fly)
        thread.start()
        while len(heard) < 6:
            if next(lines) != "event: tiles":
                continue
            news = json.loads(next(lines).removeprefix("data: "))
            heard.append(time.monotonic())
            z, x, y, seq = news["tiles"][0]
            tile = httpx.get(f"{url}/tiles/{news['mosaic_id']}/{z}/{x}/{y}", params={"v": seq})
            assert tile.status_code == 200 and tile.headers["content-type"].startswith("image/")
        (one,) = client.get("/api/flights").json()
        assert one["state"] == "ingesting" and one["is_drill"] is True
        assert one["first"] < one["last"]  # the age of the newest picture is told while it is filmed
        thread.join(60.0)
    report, landed = reports[0]
    assert heard[-1] < landed - 2.0 and report.used >= 6
