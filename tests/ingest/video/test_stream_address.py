"""Addresses of streams: called, waited at, stopped, refused with what helps; no secret said."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from flycam.errors import Cancelled, SourceUnreadable, StreamUnreadable, get_exit_code
from flycam.ingest.video.stream import (
    find_listen_error,
    is_listen_address,
    make_listen_error,
    to_open_arguments,
)
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
            line = "qtdemux ! h264parse ! flvmux streamable=true ! rtmp2sink"
            command = ["gst-launch-1.0", "-q", "filesrc", f"location={film}", "!", *line.split()]
            senders.enter_context(
                streaming.running([*command, f"location=rtmp://127.0.0.1:{port}/live/{KEY}"])
            )

        sender = threading.Thread(target=send)
        sender.start()
        seen = first_pictures(f"rtmp://:{port}/live/{KEY}")
        sender.join()
    assert in_order_and_in_time(seen)


def test_srt_is_refused_with_what_hands_it_on() -> None:
    url = f"srt://127.0.0.1:{free_port()}"
    with pytest.raises(SourceUnreadable) as raised, VideoSource(f"{url}?passphrase={KEY}"):
        pass
    for language in ("en", "vi"):
        text = raised.value.message.in_language(language)
        assert f'"{url}" udp://127.0.0.1:5600' in text and KEY not in text


def test_an_rtmp_address_without_a_machine_is_waited_at() -> None:
    for url in ("rtmp://:1935/live/bay", "rtmp://0.0.0.0/live/bay", "RTMP://:1935/live"):
        assert is_listen_address(url)
    for url in ("rtmp://10.0.0.1/live/bay", "rtmp://me:x@cam/live", "rtsp://:554/live", "/card/a.mp4"):
        assert not is_listen_address(url)
    address, options, open_ms = to_open_arguments("rtmp://:1936/live/bay")
    assert address == "rtmp://0.0.0.0:1936/live/bay" and "listen;1" in options and open_ms == 60_000
    assert to_open_arguments("rtmp://0.0.0.0/live/bay")[0] == "rtmp://0.0.0.0/live/bay"
    assert "listen" not in to_open_arguments("rtmp://10.0.0.1/live/bay")[1]


_SECRET = "S3cr3t-9f2c"


def test_an_address_with_a_password_is_not_said_by_the_video_library(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with (
        pytest.raises(StreamUnreadable) as raised,
        VideoSource(f"tcp://user:{_SECRET}@127.0.0.1:9"),
    ):
        pass
    written = "".join(capfd.readouterr())
    assert _SECRET not in written and "127.0.0.1:9" not in written
    assert _SECRET not in f"{raised.value} {raised.value.message.in_language('vi')}"


def test_what_opens_can_be_stopped() -> None:
    source = VideoSource(f"udp://@:{free_port()}")
    threading.Timer(1.0, source.stop).start()
    with pytest.raises(Cancelled) as raised, source:
        pass
    assert get_exit_code(raised.value) == 130


def test_a_port_that_is_taken_is_said_at_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", 0))
        port = other.getsockname()[1]
        with pytest.raises(StreamUnreadable, match=f"udp://:{port}: "), VideoSource(f"udp://@:{port}"):
            pass


def test_what_keeps_an_address_from_being_listened_at_is_told() -> None:
    with socket.create_server(("", 0)) as other:
        assert find_listen_error(f"rtmp://:{other.getsockname()[1]}/live/x") is not None
    port = free_port(socket.SOCK_DGRAM)
    assert find_listen_error(f"udp://@:{port}") is None
    assert find_listen_error(f"udp://127.0.0.1:{port}?x=1") is None
    for url in ("udp://@", "udp://@:no", "udp://@:99999", "udp://no-such-machine.invalid:5600"):
        error = find_listen_error(url)
        assert error is not None
        assert "udp://@:5600" in make_listen_error(url, error.errno or 0).message.in_language("vi")


def test_a_list_of_addresses_is_no_stream_and_none_of_them_is_requested() -> None:
    """HLS, as a host far away would send it to have addresses inside the network requested for."""
    requested: list[str] = []

    class Host(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            here = f"http://127.0.0.1:{self.server.server_address[1]}"
            listed = (
                f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{here}/inside.ts\n#EXT-X-ENDLIST\n".encode()
            )
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.apple.mpegurl")
            self.send_header("Content-Length", str(len(listed)))
            self.end_headers()
            self.wfile.write(listed)

        def log_message(self, *_said: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        with (
            pytest.raises(StreamUnreadable),
            VideoSource(f"http://127.0.0.1:{host.server_address[1]}/live.m3u8"),
        ):
            pass
        host.shutdown()
    assert "/live.m3u8" in requested and "/inside.ts" not in requested
