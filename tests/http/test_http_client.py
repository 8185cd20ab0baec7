"""What a server may answer: whatever it sends, the box that asks lives."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flycam.http import client
from flycam.http.client import ConnectionLost, ServerConnection

DEEP = b"[" * 200_000


class Hostile(BaseHTTPRequestHandler):
    """Answers by the path."""

    def do_GET(self) -> None:  # the library's name for it
        self.send_response(500 if "500" in self.path else 200)
        if "packed" in self.path:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        try:
            if "endless" in self.path:
                while True:
                    self.wfile.write(bytes(1 << 16))
            self.wfile.write(gzip.compress(bytes(32 << 20)) if "packed" in self.path else DEEP)
        except ConnectionError:
            pass

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerConnection]:
    monkeypatch.setattr(client, "MAX_ANSWER_BYTES", 1 << 20)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield ServerConnection(f"http://127.0.0.1:{server.server_port}", None, 1.0, "en", lambda _why: None)
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_answer_without_an_end_is_none(line: ServerConnection) -> None:
    with pytest.raises(ConnectionLost):
        line.request_once("GET", "/endless")
    with pytest.raises(ConnectionLost):
        line.download("GET", "/endless/500", lambda _block: None, 1 << 30)


def test_of_a_body_no_more_is_heard_than_was_asked_for(line: ServerConnection) -> None:
    for _ in range(2):  # the connection is left behind, not read to the end
        heard: list[bytes] = []
        assert line.download("GET", "/endless", heard.append, 10_001).status == 200
        assert sum(map(len, heard)) == 10_001
        assert [len(block) for block in heard].count(0) == 1, "an empty block says that it has begun"


@pytest.mark.parametrize(
    ("begins", "goes_on"),
    [(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500), (b"", b"H"), (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n")],
)
def test_a_head_without_an_end_is_no_answer(
    monkeypatch: pytest.MonkeyPatch, begins: bytes, goes_on: bytes
) -> None:
    """Each byte of it began the wait anew: a server held whoever asked for as long as it liked."""
    monkeypatch.setattr(client, "_CONNECT_TIMEOUT_S", 0.5)
    ended = threading.Event()

    def answer() -> None:
        while not ended.is_set():
            with suppress(OSError), listener.accept()[0] as there:
                there.settimeout(1.0)
                there.recv(65536)
                there.sendall(begins)
                while not ended.wait(0.05):
                    there.sendall(goes_on)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        server = threading.Thread(target=answer)
        server.start()
        try:
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            line = ServerConnection(address, None, 0.5, "en", lambda _why: None)
            with pytest.raises(ConnectionLost):
                line.request_once("GET", "/")
        finally:
            ended.set()
            server.join()


def test_what_was_not_asked_to_be_packed_is_not_unpacked(line: ServerConnection) -> None:
    assert len(line.request_once("GET", "/packed").body) < 1 << 20
