"""Addresses that others choose, to have this machine speak with what only it reaches: none is called."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from joserfc.jwk import RSAKey

from flycam.access import openid
from flycam.access.openid import OpenIdProvider
from flycam.config import OpenIdClient
from flycam.errors import SignInUnavailable, SourceUnreadable
from flycam.ingest.video.video_source import VideoSource
from tests.attack.commands import Operator
from tests.certificates import self_signed


class Inside:
    """A service of this machine, over TCP and UDP, that notes whoever speaks to it."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self._tcp.getsockname()[1]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        for listen in (self._accept, self._receive):
            threading.Thread(target=listen, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._tcp.accept()
            except OSError:
                return
            with line:
                line.settimeout(1.0)
                self.calls.append(b"TCP")

    def _receive(self) -> None:
        while True:
            try:
                data = self._udp.recv(2048)
            except OSError:
                return
            self.calls.append(b"UDP" + data)

    def close(self) -> None:
        self._tcp.close()
        self._udp.close()


@pytest.fixture
def inside() -> Iterator[Inside]:
    service = Inside()
    yield service
    service.close()


SLOW = 299
"""Of an answer that never ends, a byte now and then."""
Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def web_host(
    answer: Callable[[str], Answer], certificate: tuple[Path, Path] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """A machine far away: what it is asked for, and what it answers; over TLS where it has a certificate."""
    asked: list[str] = []

    class Host(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, headers, body = answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != SLOW:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                for at in range(0, len(body), 1 << 16):
                    self.wfile.write(body[at : at + (1 << 16)])
                if status == SLOW:
                    while True:
                        self.wfile.write(b" ")
                        time.sleep(0.05)
            except OSError:
                pass

        do_POST = do_GET  # noqa: N815  the name that http.server calls

        def log_message(self, *_said: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as host:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            host.socket = context.wrap_socket(host.socket, server_side=True)
        threading.Thread(target=host.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{host.server_address[1]}", asked
        host.shutdown()


@contextmanager
def line_host(data: bytes) -> Iterator[str]:
    """A sender over plain TCP, or one that speaks RTSP: it says this to each that calls, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                with line:
                    line.sendall(data)
                    line.shutdown(socket.SHUT_WR)
                    line.settimeout(2.0)
                    try:
                        while line.recv(4096):
                            pass
                    except OSError:
                        pass

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


LISTS = {
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{there}/a.ts\n#EXT-X-ENDLIST\n",
    "HLS of a file": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "HLS key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{there}/k"\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n',
    "ffconcat": "ffconcat version 1.0\nfile '{there}/a.mp4'\n",
    "DASH": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
    "<Period><BaseURL>{there}/</BaseURL></Period></MPD>",
    "SDP": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=a\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=video {port} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:rtsp://127.0.0.1:{port}/a\r\n",
    "ASX": '<asx version="3.0"><entry><ref href="{there}/a.mp4"/></entry></asx>',
    "subfile": "subfile,,start,0,end,99,,:/etc/passwd",
    "RealMedia list": "rtsp://127.0.0.1:{port}/a\n",
}


def is_refused(url: str) -> None:
    with pytest.raises(SourceUnreadable), VideoSource(url) as source:
        next(iter(source.frames()))


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("scheme", ["http", "tcp"])
def test_what_a_stream_sends_names_no_address(inside: Inside, name: str, scheme: str) -> None:
    data = LISTS[name].format(there=f"http://127.0.0.1:{inside.port}", port=inside.port).encode()
    with ExitStack() as hosts:
        if scheme == "http":
            place, _ = hosts.enter_context(web_host(lambda _: (200, {"Content-Type": "video/mp4"}, data)))
        else:
            place = hosts.enter_context(line_host(data))
        is_refused(f"{scheme}://{place}/a.mp4")
    assert inside.calls == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_stream_sends_on_to_another_address(inside: Inside, status: int) -> None:
    for there in ("http", "rtsp", "rtmp", "tcp", "udp"):
        moved = {"Location": f"{there}://127.0.0.1:{inside.port}/a"}
        with web_host(lambda _, moved=moved: (status, moved, b"")) as (place, asked):  # type: ignore[misc]
            is_refused(f"http://{place}/a.mp4")
        assert asked and inside.calls == [], there


@pytest.mark.parametrize("there", ["http", "tcp", "udp", "rtmp", "file", "concat:http"])
def test_no_camera_sends_on_to_another_kind_of_address(inside: Inside, there: str) -> None:
    """To another RTSP address FFmpeg lets it, see docs/security.md."""
    moved = f"RTSP/1.0 302 Moved\r\nCSeq: 1\r\nLocation: {there}://127.0.0.1:{inside.port}/a\r\n\r\n"
    with line_host(moved.encode()) as place:
        is_refused(f"rtsp://{place}/a")
    assert inside.calls == []


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "sdp", "ffconcat"])
def test_no_film_of_a_card_names_an_address(inside: Inside, name: str, suffix: str, tmp_path: Path) -> None:
    film = tmp_path / f"DJI_0001.{suffix}"
    film.write_text(LISTS[name].format(there=f"http://127.0.0.1:{inside.port}", port=inside.port))
    is_refused(str(film))
    assert inside.calls == []


ASKED = {"state": "s", "nonce": "n", "verifier": "v" * 43}
EXCHANGED = {"code": "c", "nonce": "n", "verifier": "v" * 43}
_KEYS = json.dumps({"keys": [RSAKey.generate_key(2048).as_dict(private=False)]}).encode()


def document(issuer: str, **other: str) -> bytes:
    ways = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/keys",
    }
    return json.dumps(ways | other).encode()


def service_at(issuer: str) -> OpenIdProvider:
    return OpenIdProvider(
        OpenIdClient(issuer=issuer, client_id="c", secret="s", address="http://127.0.0.1:1")
    )


@pytest.mark.parametrize("moved", ["/.well-known/openid-configuration", "/keys", "/token"])
@pytest.mark.parametrize("status", [301, 307])
def test_no_sign_in_service_sends_on(inside: Inside, moved: str, status: int) -> None:
    place = ""

    def answer(path: str) -> Answer:
        if path == moved:
            return status, {"Location": f"http://127.0.0.1:{inside.port}/"}, b"{}"
        return (
            200,
            {},
            _KEYS if path == "/keys" else document(f"http://{place}"),
        )

    with web_host(answer) as (there, asked), pytest.raises(SignInUnavailable):
        place = there
        service_at(f"http://{place}").fetch_claims(**EXCHANGED)
    assert asked[-1] == moved and inside.calls == []


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_a_sign_in_service_elsewhere_names_nothing_on_this_machine(
    inside: Inside, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.0.0.0 is no loopback address, and reaches this machine all the same."""
    certificate, key, _ = self_signed(tmp_path, address="0.0.0.0")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    issuer, named = "", {}

    def answer(path: str) -> Answer:
        return (
            200,
            {},
            _KEYS if path == "/keys" else document(issuer, **named),
        )

    with web_host(answer, (certificate, key)) as (place, _asked):
        issuer = f"https://0.0.0.0:{place.rpartition(':')[2]}"
        assert service_at(issuer).begin(**ASKED).startswith(f"{issuer}/authorize?")
        for there in (
            "http://127.0.0.1",
            "https://127.0.0.1",
            "http://[::1]",
            "http://localhost",
            "https://127.9.9.9",
        ):
            named = {name: f"{there}:{inside.port}/"}
            with pytest.raises(SignInUnavailable):
                service_at(issuer).begin(**ASKED)
    assert inside.calls == []


@pytest.mark.parametrize(
    "body", [b" " * (2 << 20), b"[" * (1 << 20), b"[]", b"7", b"\xff", b"", b'{"issuer":' * 9]
)
def test_what_a_sign_in_service_says_is_bounded_and_read_as_nothing_else(body: bytes) -> None:
    with web_host(lambda _: (200, {}, body)) as (place, _), pytest.raises(SignInUnavailable):
        service_at(f"http://{place}").begin(**ASKED)


def test_a_sign_in_service_that_never_ends_its_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openid, "_MAX_ANSWER_S", 0.5)
    with web_host(lambda _: (SLOW, {}, b"{")) as (place, _), pytest.raises(SignInUnavailable):
        service_at(f"http://{place}").begin(**ASKED)


def test_no_server_of_an_exchange_sends_on(inside: Inside, operator: Operator, card: Path) -> None:
    """With a box's records, or a card's photos."""
    for status in (301, 302, 303, 307, 308):
        moved = {"Location": f"http://127.0.0.1:{inside.port}/"}
        with web_host(lambda _, status=status, moved=moved: (status, moved, b"")) as (place, asked):  # type: ignore[misc]
            for words in (("sync", f"http://{place}", "--once"), ("upload", f"http://{place}", card)):
                asked.clear()
                assert operator(*words).exit_code != 0 and asked, words
    assert inside.calls == []
