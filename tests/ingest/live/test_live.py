"""While a film is laid, a screen that listens learns of its tiles and can fetch them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import httpx
import pytest

from flycam.drill.video_drill import VideoDrillReport
from flycam.http.guards import Services
from flycam.ingest.live.frame_pipeline import PROGRESS_STAGE
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from tests.houses import House
from tests.serve.running import running
from tests.waiting import ENOUGH_S, until

_AT = (60, 110, 160)


@pytest.mark.slow
def test_tiles_reach_a_screen_while_the_aircraft_still_films(
    film: VideoDrillReport, make_house: Callable[..., House]
) -> None:
    """The film goes on past each of three pictures once the screen has heard of tiles as often, and ends once
    all was looked at."""
    house, heard, looked = make_house(film), list[int](), threading.Event()
    reports: list[VideoReport] = []

    def hold(stage: str, done: int, _of: int) -> None:
        if stage == PROGRESS_STAGE and done in _AT:
            until(lambda: len(heard) > _AT.index(done))
        if stage == PROGRESS_STAGE and done > _AT[-1]:
            assert looked.wait(ENOUGH_S)

    def fly() -> None:
        request = LiveRequest(video=str(film.video), telemetry=str(film.subtitles), camera=film.camera)
        reports.append(orthorectify_video(house.workspace, request, FlightLabels(), hold))

    with (
        running(Services(workspace=house.workspace, follow_s=0.05)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
        client.stream("GET", "/events") as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        thread = threading.Thread(daemon=True, target=fly)
        thread.start()
        while len(heard) < len(_AT):
            if next(lines) != "event: tiles":
                continue
            news = json.loads(next(lines).removeprefix("data: "))
            z, x, y, seq = news["tiles"][0]
            tile = httpx.get(f"{url}/tiles/{news['mosaic_id']}/{z}/{x}/{y}", params={"v": seq})
            assert tile.status_code == 200 and tile.headers["content-type"].startswith("image/")
            heard.append(seq)
        (one,) = client.get("/api/flights").json()
        assert one["state"] == "ingesting" and one["is_drill"] is True
        assert one["first"] < one["last"]  # the age of the newest picture is told while it is filmed
        assert not reports
        looked.set()
        thread.join(ENOUGH_S)
    (report,) = reports
    assert report.used >= 6
