"""A real RTSP server plays a film while a real UDP link tells its telemetry: laid as it is flown."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flycam.drill.flight import VideoPlan
from flycam.drill.photo_drill import read_truth
from flycam.drill.video_drill import VideoDrillReport, write_video_drill
from flycam.errors import FlycamError, OptionUnusable, PositionMissing
from flycam.ingest.live import telemetry as live_telemetry
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.ingest.telemetry.mavlink_link import parse_signing_key
from flycam.media.pixels import open_pixels
from flycam.model.flight import FlightState
from flycam.model.frame import format_video_frame_name
from flycam.model.records import FrameStatus
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.originals import fetch_local_copy
from flycam.workspace import ignore_progress
from tests.houses import House
from tests.ingest.video.streaming import on_air, rtsp_server
from tests.ports import free_port
from tests.waiting import ENOUGH_S

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
        truth_rasters=False,
    )


@pytest.mark.slow
def test_a_stream_and_a_link_become_a_flight_with_the_clock_found_and_no_password_of_theirs_in_it(
    exact_film: VideoDrillReport, make_house: Callable[..., House]
) -> None:
    house, link_port = make_house(exact_film), free_port(socket.SOCK_DGRAM)
    with on_air(exact_film, link_port, after_s=1.0) as air:
        request = LiveRequest(
            video=f"{air.url.replace('rtsp://', f'rtsp://admin:{_SECRET}@')}?key={_SECRET}",
            telemetry=f"udp://gcs:{_SECRET}@127.0.0.1:{link_port}",
            camera=exact_film.camera,
            is_drill=True,
        )
        report = orthorectify_video(
            house.workspace, request, FlightLabels(), ignore_progress, lambda: air.seconds > 26.0
        )
    assert _SECRET not in repr(report)
    files = [one for one in house.root.rglob("*") if one.is_file()]
    assert files and not [one for one in files if _SECRET.encode() in one.read_bytes()]
    assert report.flight.state is FlightState.READY and report.used >= 6
    assert report.clock.is_known and abs(report.clock.offset_s) < 5.0
    clock_s, beside_m, placed_m = _off(house, report, exact_film)
    assert abs(clock_s) < 0.05 and abs(clock_s) < 2.0 * report.clock.sigma_s
    assert len(beside_m) == report.used and np.median(beside_m) < 0.05
    # how far fitting pictures to each other drifts hangs on which of them were chosen
    assert np.median(placed_m) < 2.0 * _PIXEL_M


def test_the_password_of_a_camera_that_does_not_answer_is_not_said(
    clip: VideoDrillReport, make_house: Callable[..., House], capfd: pytest.CaptureFixture[str]
) -> None:
    house = make_house(clip)
    addresses = [
        (f"rtsp://admin:{_SECRET}@127.0.0.1:{free_port()}/live?key={_SECRET}", "udp://127.0.0.1:0"),
        (f"rtsp://admin:{_SECRET}@127.0.0.1:1/live", str(clip.subtitles)),
        (f"rtsps://admin:{_SECRET}@127.0.0.1:1/live", str(clip.subtitles)),
        ("rtsp://127.0.0.1:1/live", f"tcp://gcs:{_SECRET}@127.0.0.1"),
        ("rtsp://127.0.0.1:1/live", f"tcp://gcs:{_SECRET}@127.0.0.1:1"),
    ]
    for video, telemetry in addresses:
        request = LiveRequest(video=video, telemetry=telemetry, camera=clip.camera)
        with pytest.raises(FlycamError, match=r"127\.0\.0\.1|live") as raised:
            orthorectify_video(house.workspace, request, FlightLabels())
        assert _SECRET not in f"{raised.value} {raised.value.message.in_language('vi')}"
    assert _SECRET not in "".join(capfd.readouterr())


def _off(house: House, report: VideoReport, film: VideoDrillReport) -> tuple[float, np.ndarray, np.ndarray]:
    """Return how late the clock has all frames (s), how far beside that each was told from where its picture
    was truly taken, and how far from there it was laid, level metres: the picture tells which it is."""
    truth, video, pictures = read_truth(film.truth.parent), cv2.VideoCapture(str(film.video)), []
    while (read := video.read())[0]:
        pictures.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2GRAY).astype(np.int16))
    names = [format_video_frame_name(film.video.name, round(k / _FPS * 1e9)) for k in range(len(pictures))]
    path_m = np.array([truth.exteriors[name].projection_centre_m[:2] for name in names])
    path_speed_ms, off = np.gradient(path_m, 1.0 / _FPS, axis=0), []
    for record in house.workspace.catalog.frames.list_for_flight(report.flight.flight_id, FrameStatus.USED):
        provenance = record.header.provenance
        picture = open_pixels(
            fetch_local_copy(house.workspace, provenance.source_sha256, provenance.source_name)
        )
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.int16)
        number = int(np.argmin([np.abs(grey - one).mean() for one in pictures]))
        told, laid = (
            pose.projection_centre_m[:2] - path_m[number]
            for pose in (record.header.exterior_prior, record.exterior)
        )
        off.append([told, laid, path_speed_ms[number]])
    told_m, laid_m, speed_ms = np.moveaxis(off, 1, 0)
    # the median, for a frame may be taken for its neighbour
    late_s = float(np.median((told_m * speed_ms).sum(axis=1) / (speed_ms**2).sum(axis=1)))
    return late_s, np.hypot(*(told_m - late_s * speed_ms).T), np.hypot(*laid_m.T)


def test_a_link_that_tells_nothing_and_a_stream_without_a_link_are_said(
    clip: VideoDrillReport, make_house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_telemetry, "_FIRST_POSITION_S", 1.0)
    house = make_house(clip)
    request = LiveRequest(video=str(clip.video), telemetry="udp://127.0.0.1:14999", camera=clip.camera)
    with pytest.raises(OptionUnusable, match="recorded"):
        orthorectify_video(house.workspace, request, FlightLabels())
    with rtsp_server(clip.video, free_port()) as url:
        port = free_port(socket.SOCK_DGRAM)
        silent_link = LiveRequest(video=url, telemetry=f"udp://127.0.0.1:{port}", camera=clip.camera)
        with pytest.raises(PositionMissing, match="no position"):
            orthorectify_video(house.workspace, silent_link, FlightLabels())
    assert house.workspace.catalog.flights.flights() == []


@pytest.mark.slow
def test_what_is_unsigned_or_repeated_is_counted_and_moves_no_frame(
    clip: VideoDrillReport, make_house: Callable[..., House], tmp_path: Path
) -> None:
    """Somebody repeats what the aircraft signs, and makes up places 10 km away."""
    (tmp_path / "key.txt").write_text(_SECRET + "\n", encoding="utf-8")
    parser, signer, liar = (mavlink.MAVLink(None, srcSystem=1, srcComponent=1) for _ in range(3))
    signer.signing.secret_key, signer.signing.sign_outgoing = parse_signing_key(_SECRET), True
    signer.signing.timestamp = int((time.time() - 1_420_070_400) * 1e5)
    house, link, came = make_house(clip), ("127.0.0.1", free_port(socket.SOCK_DGRAM)), [0]
    signed: list[bytes] = []
    false: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:

        def send(data: bytes) -> None:
            message = parser.decode(bytearray(data))
            signed.append(bytes(message.pack(signer)))
            out.sendto(signed[-1], link)
            if message.get_type() == "GLOBAL_POSITION_INT" and len(signed) > 2:
                fields = {name: getattr(message, name) for name in message.fieldnames}
                lie = mavlink.MAVLink_global_position_int_message(**fields | {"lat": message.lat + 900_000})
                for packet in (bytes(lie.pack(liar)), signed[len(signed) // 2]):
                    out.sendto(packet, link)
                    false.append(packet)

        with on_air(clip, send) as air:
            request = LiveRequest(
                video=air.url,
                telemetry=f"udp://127.0.0.1:{link[1]}",
                mavlink_key=tmp_path / "key.txt",
                camera=clip.camera,
                is_drill=True,
                clock_offset_s=0.0,
            )
            report = orthorectify_video(
                house.workspace,
                request,
                FlightLabels(),
                lambda _, done, __: came.append(done),
                lambda: came[-1] > 45 or air.seconds > ENOUGH_S,
            )
    assert report.used >= 3 and "jump" not in report.dropped
    assert 0.5 * len(false) <= report.dropped["bad_signature"] <= len(false)
    frames = house.workspace.catalog.frames.list_for_flight(report.flight.flight_id, FrameStatus.USED)
    north = np.array([one.exterior.projection_centre_m[1] for one in frames if one.exterior is not None])
    assert len(north) == report.used and np.ptp(north) < 2_000.0
