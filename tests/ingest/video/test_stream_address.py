"""Addresses of streams: RTMP called for and called by, over a real peer; SRT refused with what helps."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from flycam.errors import SourceUnreadable
from flycam.ingest.video.stream import is_listen_address, to_open_arguments
from flycam.ingest.video.video_source import VideoFrame, VideoSource
from tests.ingest.video import streaming
from tests.ports import free_port
from tests.waiting import until

FPS = 30
KEY = "khoa-9f2c"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds."""
    return streaming.write_film(tmp_path_factory.mktemp("film") / "film.mp4", pictures=240, fps=FPS)


def first_pictures(url: str, many: int = 60) -> list[VideoFrame]:
    seen: list[VideoFrame] = []
    with VideoSource(url) as source:
        assert KEY not in source.name
        for picture in source.frames():
            seen.append(picture)
            if len(seen) == many:
                break
    return seen


def in_order_and_in_time(seen: list[VideoFrame]) -> bool:
    """Whether nearly no picture is missing, and each is dated by the film's own time from the first on, but
    where it was said that later ones are dated anew."""
    number = np.array([streaming.number_of(one.pixels) for one in seen])
    dated_s = np.array([one.t_utc_ns for one in seen]) / 1e9
    off_s = dated_s - number / FPS
    breaks = np.array([one.breaks for one in seen])
    is_in_time = all(np.ptp(off_s[breaks == one]) < 0.1 for one in set(breaks.tolist()))
    return bool((np.diff(number) > 0).all() and number[0] < 30 and is_in_time)


def test_an_aircraft_that_sends_rtmp_is_waited_for(film: Path) -> None:
    """A real sender, as a remote control is one: it calls a server, and gives up where there is none."""
    port = free_port()
    with ExitStack() as senders:

        def send() -> None:
            until(lambda: streaming.is_listening(port))
            command = [
                "gst-launch-1.0",
                "-q",
                "filesrc",
                f"location={film}",
                "!",
                "qtdemux",
                "!",
                "h264parse",
            ]
            command += ["!", "flvmux", "streamable=true", "!", "rtmp2sink"]
            senders.enter_context(
                streaming.running([*command, f"location=rtmp://127.0.0.1:{port}/live/{KEY}"])
            )

        sender = threading.Thread(target=send)
        sender.start()
        seen = first_pictures(f"rtmp://:{port}/live/{KEY}")
        sender.join()
    assert in_order_and_in_time(seen)


def test_srt_is_refused_with_what_hands_it_on(film: Path) -> None:
    """There is a real SRT sender at that address."""
    port = free_port()
    command = ["gst-launch-1.0", "-q", "filesrc", f"location={film}", "!", "qtdemux", "!", "h264parse"]
    command += ["config-interval=-1", "!", "mpegtsmux", "alignment=7", "!", "srtsink"]
    url = f"srt://127.0.0.1:{port}"
    with (
        streaming.running([*command, f"uri=srt://:{port}"]),
        pytest.raises(SourceUnreadable, match="speaks no SRT: let srt-live-transmit") as raised,
        VideoSource(f"{url}?passphrase={KEY}"),
    ):
        pass
    assert f'"{url}" udp://127.0.0.1:5600' in str(raised.value)
    assert "không đọc SRT" in raised.value.message.in_language("vi")
    assert KEY not in f"{raised.value} {raised.value.message.in_language('vi')}"


def test_an_rtmp_address_without_a_machine_is_waited_at() -> None:
    for url in ("rtmp://:1935/live/bay", "rtmp://0.0.0.0/live/bay", "RTMP://:1935/live"):
        assert is_listen_address(url)
    for url in ("rtmp://10.0.0.1/live/bay", "rtmp://me:x@cam/live", "rtsp://:554/live", "/card/a.mp4"):
        assert not is_listen_address(url)
    address, options, open_ms = to_open_arguments("rtmp://:1936/live/bay")
    assert address == "rtmp://0.0.0.0:1936/live/bay" and "listen;1" in options and open_ms == 60_000
    assert to_open_arguments("rtmp://0.0.0.0/live/bay")[0] == "rtmp://0.0.0.0/live/bay"
    assert "listen" not in to_open_arguments("rtmp://10.0.0.1/live/bay")[1]
