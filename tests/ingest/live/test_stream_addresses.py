"""What is given in place of a file and is no address either: said, with what is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flycam.errors import OptionUnusable
from flycam.ingest.live.inputs import LiveRequest, check_addresses
from flycam.ingest.live.workflow import orthorectify_video
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from tests.houses import House

_SECRET = "S3cr3t-9f2c"
VIDEO, LINK = "udp://@:5600", "udp://:14550"


@pytest.mark.parametrize(
    ("telemetry", "meant"),
    [
        ("127.0.0.1:14550", "udp://127.0.0.1:14550"),
        (":14550", "udp://:14550"),
        ("udpin:0.0.0.0:14550", "udp://0.0.0.0:14550"),
        ("/dev/ttyUSB0:57600", "serial:/dev/ttyUSB0:57600"),
    ],
)
def test_a_link_without_a_scheme_is_told_how_it_goes(telemetry: str, meant: str) -> None:
    with pytest.raises(OptionUnusable, match="its scheme is missing") as raised:
        check_addresses(VIDEO, telemetry)
    assert f"such as {meant}" in str(raised.value) and f"ví dụ {meant}" in raised.value.message.in_language(
        "vi"
    )


@pytest.mark.parametrize(
    ("video", "meant"),
    [("127.0.0.1:5600", "udp://127.0.0.1:5600"), (f"me:{_SECRET}@cam:554/live?k=1", "rtsp://cam:554/live")],
)
def test_a_stream_without_a_scheme_is_told_how_it_goes(video: str, meant: str) -> None:
    with pytest.raises(OptionUnusable, match="its scheme is missing") as raised:
        check_addresses(video, LINK)
    assert f"such as {meant}" in str(raised.value) and "udp://, srt://" in str(raised.value)
    assert _SECRET not in f"{raised.value} {raised.value.message.in_language('vi')}"


@pytest.mark.parametrize(
    "video", [f"rtsps://me:{_SECRET}@cam/live", "rtp://127.0.0.1:5004", "rtsp:://cam/live"]
)
def test_a_scheme_that_nobody_speaks_is_named_with_those_that_are_known(
    video: str, make_house: Callable[..., House]
) -> None:
    house = make_house()
    request = LiveRequest(video=video, telemetry=LINK)
    with pytest.raises(OptionUnusable, match=r"unknown scheme: give a file, or .* rtsp://, udp://") as raised:
        orthorectify_video(house.workspace, request, FlightLabels())
    assert "không hỗ trợ kiểu địa chỉ này" in raised.value.message.in_language("vi")
    assert _SECRET not in f"{raised.value} {raised.value.message.in_language('vi')}"


def test_files_are_files_whatever_they_are_called(tmp_path: Path) -> None:
    odd = tmp_path / "12:30"
    odd.write_bytes(b"")
    check_addresses(str(odd), str(odd))
    check_addresses("/card/DJI_0001.MP4", "/card/DJI_0001.SRT")
    check_addresses("DJI_0001.MP4", "bay 12:30.tlog")
    for video, link in (
        (VIDEO, LINK),
        ("RTSP://cam/live", "serial:/dev/ttyUSB0:57600"),
        ("srt://h:1", "tcp://h:2"),
    ):
        check_addresses(video, link)
