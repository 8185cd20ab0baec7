"""Streams that are sent here when somebody begins to: waited for, stopped, port taken; no secret said."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flycam.errors import Cancelled, StreamUnreadable, format_error, get_exit_code
from flycam.ingest.video.stream import (
    find_listen_error,
    make_listen_error,
)
from flycam.ingest.video.video_source import VideoSource
from tests.ports import free_port

_SECRET = "S3cr3t-9f2c"


def test_an_address_with_a_password_is_not_said_by_the_video_library(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with (
        pytest.raises(StreamUnreadable, match="nothing that can be read comes from there") as raised,
        VideoSource(f"tcp://user:{_SECRET}@127.0.0.1:9"),
    ):
        pass
    said = "".join(capfd.readouterr())
    assert _SECRET not in said and "127.0.0.1:9" not in said
    assert _SECRET not in f"{raised.value} {raised.value.message.in_language('vi')}"
    assert "original" not in str(raised.value) and "tệp" not in format_error(raised.value).in_language("vi")


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
        with (
            pytest.raises(StreamUnreadable, match="the port is in use") as raised,
            VideoSource(f"udp://@:{port}"),
        ):
            pass
    assert f"udp://:{port}: " in str(raised.value) and "cổng đang bị" in raised.value.message.in_language(
        "vi"
    )


def test_what_keeps_an_address_from_being_listened_at_is_told() -> None:
    with socket.create_server(("", 0)) as other:
        assert find_listen_error(f"rtmp://:{other.getsockname()[1]}/live/x") is not None
    port = free_port(socket.SOCK_DGRAM)
    assert (
        find_listen_error(f"udp://@:{port}") is None
        and find_listen_error(f"udp://127.0.0.1:{port}?x=1") is None
    )
    for url in ("udp://@", "udp://@:no", "udp://@:99999", "udp://no-such-machine.invalid:5600"):
        error = find_listen_error(url)
        assert error is not None
        said = make_listen_error(url, error.errno or 0)
        assert "cannot be listened at" in str(
            said
        ) and "hãy ghi như udp://@:5600" in said.message.in_language("vi")


def test_a_list_of_addresses_is_no_stream_and_none_of_them_is_asked() -> None:
    """HLS, as a host far away would send it to have addresses inside the network asked for."""
    asked: list[str] = []

    class Host(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
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
    assert "/live.m3u8" in asked and "/inside.ts" not in asked
