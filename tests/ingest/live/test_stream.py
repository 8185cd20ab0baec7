"""A real RTSP server plays a film while a real UDP link tells its telemetry: laid as it is flown."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from flycam.drill.flight import VideoPlan
from flycam.drill.ground_truth import read_truth
from flycam.drill.video_drill import VideoDrillReport, write_video_drill
from flycam.drill.video_stream import stream_drill
from flycam.errors import FlycamError, OptionUnusable, PositionMissing
from flycam.ingest.live import telemetry as live_telemetry
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.media.pixels import open_pixels
from flycam.model.flight import FlightState
from flycam.model.frame import format_video_frame_name
from flycam.model.records import FrameStatus
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.originals import fetch_local_copy
from flycam.workspace import ignore_progress
from tests.houses import House
from tests.ingest.video.streaming import is_listening, on_air, rtsp_server
from tests.ports import free_port
from tests.waiting import ENOUGH_S, until

_SECONDS, _FPS, _PIXEL_M = 30.0, 10, 0.8

_SECRET = "mat-khau-9f2c"


@pytest.fixture(scope="module")
def exact_film(tmp_path_factory: pytest.TempPathFactory) -> VideoDrillReport:
    """Thirty seconds with a turn, told without noise."""
    return write_video_drill(
        tmp_path_factory.mktemp("film") / "d",
        seed=2,
        noise=0.0,
        plan=VideoPlan(seconds=_SECONDS, fps=_FPS, strips=2, gsd_m=_PIXEL_M),
        size_px=(320, 180),
    )


@pytest.mark.slow
def test_a_stream_and_a_link_become_a_flight_with_the_clock_found(
    exact_film: VideoDrillReport, make_house: Callable[..., House]
) -> None:
    house, link_port = make_house(exact_film), free_port(socket.SOCK_DGRAM)
    with on_air(exact_film, link_port, after_s=1.0) as air:
        request = LiveRequest(
            video=air.url,
            telemetry=f"udp://127.0.0.1:{link_port}",
            camera=exact_film.camera,
            is_drill=True,
        )
        report = orthorectify_video(
            house.workspace, request, FlightLabels(), ignore_progress, lambda: air.seconds > 26.0
        )
    assert report.flight.state is FlightState.READY and report.used >= 6
    assert report.clock.is_known and abs(report.clock.offset_s) < 5.0
    told_m, laid_m = _off(house, report, exact_film)
    assert len(told_m) == report.used and np.median(told_m) < 0.15  # 20 ms of flight
    # how far fitting pictures to each other drifts hangs on which of them were chosen
    assert np.median(laid_m) < 2.0 * _PIXEL_M


def test_the_password_of_a_camera_that_does_not_answer_is_not_said(
    exact_film: VideoDrillReport, make_house: Callable[..., House], capfd: pytest.CaptureFixture[str]
) -> None:
    house = make_house(exact_film)
    given = [
        (f"rtsp://admin:{_SECRET}@127.0.0.1:{free_port()}/live?key={_SECRET}", "udp://127.0.0.1:0"),
        (f"rtsp://admin:{_SECRET}@127.0.0.1:1/live", str(exact_film.subtitles)),
        (f"rtsps://admin:{_SECRET}@127.0.0.1:1/live", str(exact_film.subtitles)),
        ("rtsp://127.0.0.1:1/live", f"tcp://gcs:{_SECRET}@127.0.0.1"),
        ("rtsp://127.0.0.1:1/live", f"tcp://gcs:{_SECRET}@127.0.0.1:1"),
    ]
    for video, telemetry in given:
        request = LiveRequest(video=video, telemetry=telemetry, camera=exact_film.camera)
        with pytest.raises(FlycamError, match=r"127\.0\.0\.1|live") as raised:
            orthorectify_video(house.workspace, request, FlightLabels())
        assert _SECRET not in f"{raised.value} {raised.value.message.in_language('vi')}"
    assert _SECRET not in "".join(capfd.readouterr())


@pytest.mark.soak
@pytest.mark.slow
def test_a_command_room_rehearses_on_what_the_drill_sends(
    exact_film: VideoDrillReport, make_house: Callable[..., House]
) -> None:
    house = make_house(exact_film)
    video_port, link_port = (free_port(socket.SOCK_DGRAM) for _ in range(2))
    begun: list[float] = []

    def send() -> None:
        until(lambda: is_listening(video_port, "udp") and is_listening(link_port, "udp"))
        begun.append(time.monotonic())
        stream_drill(exact_film.truth.parent, ("127.0.0.1", video_port), ("127.0.0.1", link_port))

    sender = threading.Thread(daemon=True, target=send)
    sender.start()
    totals: set[int] = set()
    request = LiveRequest(
        video=f"udp://127.0.0.1:{video_port}",
        telemetry=f"udp://127.0.0.1:{link_port}",
        camera=exact_film.camera,
        is_drill=True,
    )
    report = orthorectify_video(
        house.workspace,
        request,
        FlightLabels(),
        lambda stage, _, total: totals.add(total) if stage == "live" else None,
        lambda: bool(begun) and time.monotonic() > begun[0] + 32.0,
    )
    sender.join(ENOUGH_S)
    assert report.flight.state is FlightState.READY and report.used >= 6
    assert report.clock.is_known
    assert totals == {0}, "nobody knows how long a stream will be"
    told_m, _ = _off(house, report, exact_film)
    assert np.median(told_m) < 0.15


def _off(house: House, report: VideoReport, film: VideoDrillReport) -> tuple[np.ndarray, np.ndarray]:
    """How far each frame was told, and was laid, from where its picture was truly taken, level metres: the
    picture itself tells which of the film it is."""
    truth, video, pictures = read_truth(film.truth.parent), cv2.VideoCapture(str(film.video)), []
    while (read := video.read())[0]:
        pictures.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2GRAY).astype(np.int16))
    off = []
    for record in house.workspace.catalog.frames.list_for_flight(report.flight.flight_id, FrameStatus.USED):
        provenance = record.header.provenance
        kept = open_pixels(
            fetch_local_copy(house.workspace, provenance.source_sha256, provenance.source_name)
        )
        grey = cv2.cvtColor(kept, cv2.COLOR_RGB2GRAY).astype(np.int16)
        number = int(np.argmin([np.abs(grey - one).mean() for one in pictures]))
        true = truth.exteriors[format_video_frame_name(film.video.name, round(number / _FPS * 1e9))]
        off.append(
            [
                np.hypot(*np.subtract(pose.projection_centre_m, true.projection_centre_m)[:2])
                for pose in (record.header.exterior_prior, record.exterior)
            ]
        )
    told_m, laid_m = np.array(off).T
    return told_m, laid_m


def test_a_link_that_tells_nothing_and_a_stream_without_a_link_are_said(
    exact_film: VideoDrillReport, make_house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_telemetry, "_FIRST_POSITION_S", 1.0)
    house = make_house(exact_film)
    request = LiveRequest(
        video=str(exact_film.video), telemetry="udp://127.0.0.1:14999", camera=exact_film.camera
    )
    with pytest.raises(OptionUnusable, match="recorded"):
        orthorectify_video(house.workspace, request, FlightLabels())
    with rtsp_server(exact_film.video, free_port()) as url:
        port = free_port(socket.SOCK_DGRAM)
        silent_link = LiveRequest(video=url, telemetry=f"udp://127.0.0.1:{port}", camera=exact_film.camera)
        with pytest.raises(PositionMissing, match="no position"):
            orthorectify_video(house.workspace, silent_link, FlightLabels())
    assert house.workspace.catalog.flights.flights() == []
