"""What is given in place of a file and is no address either: refused, with what is meant."""

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
    ("video", "telemetry", "meant"),
    [
        (VIDEO, "127.0.0.1:14550", "udp://127.0.0.1:14550"),
        (VIDEO, "udpin:0.0.0.0:14550", "udp://0.0.0.0:14550"),
        (VIDEO, "/dev/ttyUSB0:57600", "serial:/dev/ttyUSB0:57600"),
        ("127.0.0.1:5600", LINK, "udp://127.0.0.1:5600"),
        (f"me:{_SECRET}@cam:554/live?k=1", LINK, "rtsp://cam:554/live"),
        (f"rtsps://me:{_SECRET}@cam/live", LINK, "rtsp://"),
        ("rtp://127.0.0.1:5004", LINK, "udp://"),
    ],
)
def test_an_address_of_no_known_scheme_is_refused_with_what_is_meant_and_without_its_password(
    video: str, telemetry: str, meant: str, make_house: Callable[..., House]
) -> None:
    request = LiveRequest(video=video, telemetry=telemetry)
    with pytest.raises(OptionUnusable) as raised:
        orthorectify_video(make_house().workspace, request, FlightLabels())
    for language in ("en", "vi"):
        text = raised.value.message.in_language(language)
        assert meant in text and _SECRET not in text


def test_files_are_files_whatever_they_are_called(tmp_path: Path) -> None:
    odd = tmp_path / "12:30"
    odd.write_bytes(b"")
    for video, link in (
        (str(odd), str(odd)),
        ("/card/DJI_0001.MP4", "bay 12:30.tlog"),
        (VIDEO, LINK),
        ("RTSP://cam/live", "serial:/dev/ttyUSB0:57600"),
        ("srt://h:1", "tcp://h:2"),
    ):
        check_addresses(video, link)
