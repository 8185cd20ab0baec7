"""Clients that are slow on purpose, on bare sockets: nothing that anybody may open is held for ever."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.http import protocol
from flycam.http.guards import Services
from flycam.model.access import Role
from flycam.operations.certificate_authority import OwnTlsCertificate
from flycam.serve import app, limits
from flycam.serve.limits import Connections
from tests.serve.running import running
from tests.serve.world import add_account, make_workspace
from tests.waiting import until

ENOUGH_S = 60.0
"""So long a test goes on dripping before it says that nobody let it go."""
TOKEN = "Lan-token"
FILE = "/assets/film.bin"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    workspace = make_workspace(tmp_path / "data")
    add_account(workspace, "Lan", Role.OPERATOR, TOKEN)
    page = tmp_path / "page"
    (page / "assets").mkdir(parents=True)
    (page / "index.html").write_text("<!doctype html>")
    (page / FILE[1:]).write_bytes(bytes(24 << 20))  # more than the kernel keeps for whoever reads it
    with running(Services(workspace=workspace, static_dir=page)) as address:
        yield address


@contextmanager
def line_to(url: str) -> Iterator[socket.socket]:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:
        line.settimeout(ENOUGH_S)
        yield line


def is_let_go(line: socket.socket) -> bool:
    """Whether the server ends the connection."""
    with suppress(ConnectionError):
        while line.recv(4096):
            pass
    return True


def drips(line: socket.socket, drop: bytes) -> bytes:
    """Send a little again and again until the server answers or ends the connection: its answer."""
    line.settimeout(0.05)
    until_s = time.monotonic() + ENOUGH_S
    while time.monotonic() < until_s:
        try:
            line.sendall(drop)
            return line.recv(4096)
        except TimeoutError:
            continue
        except ConnectionError:
            return b""
    raise AssertionError("the server waits for ever")


def test_who_says_nothing_is_let_go(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEAD_TIMEOUT_S", 0.3)
    before = limits.ENDED_CONNECTIONS["head"]
    with line_to(url) as line:
        assert is_let_go(line)
    assert limits.ENDED_CONNECTIONS["head"] == before + 1


@pytest.mark.parametrize("begun", [b"GET /", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_drips_is_not_waited_for(url: str, begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEAD_TIMEOUT_S", 0.5)
    with line_to(url) as line:
        with suppress(ConnectionError):  # it may be let go by then
            line.sendall(begun)
        assert drips(line, b"x" if begun.count(b"\r") < 2 else b"x: y\r\n") == b""
    assert httpx.get(f"{url}/healthz").status_code == 200


def answered(line: socket.socket) -> None:
    line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 200 " in line.recv(4096).split(b"\r\n")[0]


def test_a_head_is_no_place_for_a_book(url: str) -> None:
    before = limits.ENDED_CONNECTIONS["large head"]
    with line_to(url) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        with suppress(ConnectionError):
            for number in range(2000):
                line.sendall(b"x-%d: %s\r\n" % (number, b"y" * 200))
            assert line.recv(4096) == b""
    assert limits.ENDED_CONNECTIONS["large head"] == before + 1


def test_a_trailer_has_no_more_fields_than_a_head(url: str) -> None:
    """Each costs a call, and thousands of them come in one piece."""
    before = limits.ENDED_CONNECTIONS["large head"]
    with line_to(url) as line, suppress(ConnectionError):
        line.sendall(CHUNKED + b"0\r\n" + b"y:\r\n" * limits.MAX_HEADER_FIELDS)
        is_let_go(line)
    until(lambda: limits.ENDED_CONNECTIONS["large head"] == before + 1)


LINES = {
    "an address": (b"a/" * 5000, b"", 414),
    "all a head may be": (b"a/" * 40000, b"", 414),
    "a query of many names": (b"healthz?" + b"%e1=&" * 200, b"", 414),
    "a header": (b"", b"Accept-Encoding: " + b"," * 9000 + b"\r\n", 431),
    "a cookie of semicolons": (b"api/session", b"Cookie: " + b";" * 9000 + b"\r\n", 431),
    "the usual": (b"healthz?" + b"a=&" * 99, b"Cookie: " + b"a=b; " * 200 + b"\r\n", 200),
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_has_a_bound_of_its_own(url: str, line: str) -> None:
    """What reads it splits or decodes it on the event loop: 64 KB took from 12 to 190 ms."""
    target, header, status = LINES[line]
    before = limits.ENDED_CONNECTIONS["large head"]
    with line_to(url) as to:
        to.sendall(b"GET /%b HTTP/1.1\r\nHost: x\r\n%b\r\n" % (target, header))
        assert int(to.recv(4096).split(b" ")[1]) == status
    assert limits.ENDED_CONNECTIONS["large head"] == before + (status != 200)


def test_a_refusal_takes_no_answer_of_another_place(url: str) -> None:
    """What stands before several clients would give it to the one that asked before."""
    with line_to(url) as line:
        asked = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        line.sendall(asked + b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a/" * 5000))
        said = b""
        with suppress(ConnectionError):
            while part := line.recv(4096):
                said += part
    assert b" 414 " not in said


CHUNKED = b"POST /api/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "a header's value": (b"GET / HTTP/1.1\r\nHost: x\r\nx: ", b"y" * 1024),
    "a header's name": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"y" * 1024),
    "an address": (b"GET /", b"y" * 1024),
    "a trailer": (CHUNKED + b"1\r\n{\r\n0\r\nx: ", b"y" * 1024),
    "an extension of a chunk": (CHUNKED + b"1;x=", b"y" * 1024),
    "chunks of one byte": (CHUNKED, b"1\r\n \r\n" * 160),
    "headers of one byte": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"y:\r\n" * 250),
    "trailers of one byte": (CHUNKED + b"1\r\n{\r\n0\r\n", b"y:\r\n" * 250),
}


@pytest.mark.parametrize("begun", ENDLESS)
def test_what_never_ends_is_ended(url: str, begun: str) -> None:
    """The parser copies an unfinished line with each piece of it: a few megabytes froze the server."""
    before = limits.ENDED_CONNECTIONS["large head"]
    first, piece = ENDLESS[begun]
    sent = len(first)
    with line_to(url) as line, suppress(ConnectionError):
        line.sendall(first)
        while sent < 8 << 20:
            line.sendall(piece)
            sent += len(piece)
    until(lambda: limits.ENDED_CONNECTIONS["large head"] == before + 1)
    assert httpx.get(f"{url}/healthz").status_code == 200


def test_of_too_many_requests_ahead_none_is_begun(url: str) -> None:
    """Whoever sends them so connects again at once: each began one, in a thread."""
    before = limits.ENDED_CONNECTIONS["pipelined requests"]
    with line_to(url) as line, suppress(ConnectionError):
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * (limits.MAX_PIPELINED + 2))
        is_let_go(line)
    until(lambda: limits.ENDED_CONNECTIONS["pipelined requests"] == before + 1)
    told = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    assert 'address="/healthz"' not in told


def test_a_trailer_lets_nobody_in(url: str) -> None:
    """It joined the headers: what the door had read was not what routes read."""
    who = b"authorization: Bearer " + TOKEN.encode()
    with line_to(url) as line:
        line.sendall(b"PUT /api/meeting HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n")
        line.sendall(b"Content-Type: application/json\r\n\r\n2\r\n{}\r\n0\r\n" + who + b"\r\n\r\n")
        assert b" 401 " in line.recv(4096).split(b"\r\n")[0]


@pytest.mark.parametrize("host", ["Host: 127.0.0.1\r\n", ""])
def test_the_target_names_the_host_before_the_line(tmp_path: Path, host: str) -> None:
    """A house without accounts is open to the names of this machine: a proxy that was asked for another
    passes that on in the target."""
    with running(Services(workspace=make_workspace(tmp_path / "data"))) as url:
        for target, status in (
            ("/", b" 200 "),
            ("http://127.0.0.1:80/", b" 200 "),
            ("http://a.example/", b" 401 "),
        ):
            if host or target != "/":
                with line_to(url) as line:
                    line.sendall(f"GET {target}api/flights HTTP/1.1\r\n{host}\r\n".encode())
                    assert status in line.recv(4096).split(b"\r\n")[0], target


@pytest.mark.parametrize("size", ["Content-Length: 43", "Transfer-Encoding: chunked", ""])
def test_what_follows_an_upgrade_is_no_request(url: str, size: str) -> None:
    """The parser took it for one, its body too: by way of a proxy the next client got the answer."""
    inner = b"GET /api/sign-in HTTP/1.1\r\nHost: inner\r\n\r\n"
    with line_to(url) as line:
        head = [
            "GET /healthz HTTP/1.1",
            "Host: x",
            "Connection: Upgrade",
            "Upgrade: x",
            *filter(None, [size]),
        ]
        line.sendall("\r\n".join([*head, "", ""]).encode())
        said = b"" if size else line.recv(1 << 16)
        with suppress(ConnectionError):
            line.sendall(inner)
            while part := line.recv(1 << 16):
                said += part
    assert said.count(b"HTTP/1.1 ") == (0 if size else 1)
    assert size or b" 200 " in said.split(b"\r\n")[0]


def test_a_handshake_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "HEAD_TIMEOUT_S", 0.3)
    before = limits.ENDED_CONNECTIONS["handshake"]
    services = Services(workspace=make_workspace(tmp_path / "data"))
    with running(services, encryption=OwnTlsCertificate(tmp_path / "tls", "127.0.0.1")) as url:
        with line_to(url.replace("https", "http")) as line:
            assert is_let_go(line)
        with line_to(url.replace("https", "http")) as line:
            line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert is_let_go(line)
        assert limits.ENDED_CONNECTIONS["handshake"] == before + 2
        assert is_served(url)


def test_an_address_has_so_many_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CONNECTIONS_PER_NETWORK", 3)
    before = limits.ENDED_CONNECTIONS["too many connections"]
    services = Services(workspace=make_workspace(tmp_path / "data"), trusted_proxies=())
    with running(services) as url, ExitStack() as lines:
        held = [lines.enter_context(line_to(url)) for _ in range(3)]
        for line in held:
            answered(line)
        with line_to(url) as one_more:
            assert is_let_go(one_more)
        assert limits.ENDED_CONNECTIONS["too many connections"] == before + 1
        held[0].close()
        until(lambda: is_served(url))


def is_served(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/healthz", verify=False).status_code == 200
    return False


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["10.0.0.1", "::1", "2001:db8::1", "2001:db8::2"]))))
def test_connections_are_counted_and_forgotten(moves: list[tuple[bool, str]]) -> None:
    connections = Connections(max_open=5, proxies=["::1"])
    held: list[str] = []
    for comes, address in moves:
        if comes:
            is_room = len(held) < 5
            assert connections.admit(address) is is_room
            held += [address] * is_room
        elif address in held:
            held.remove(address)
            connections.release(address)


def test_a_proxy_is_many_people_and_a_network_is_one() -> None:
    connections = Connections(max_open=10**6, proxies=["10.1.0.0/16"])
    each = limits.MAX_CONNECTIONS_PER_NETWORK
    assert all(connections.admit("10.1.2.3") for _ in range(2 * each))
    assert all(connections.admit(f"2001:db8::{n:x}") for n in range(each))
    assert not connections.admit("2001:db8::ffff")
    assert connections.admit("2001:db8:1::1")


@pytest.mark.parametrize("path", ["/api/login", "/files/0/0"])
def test_a_body_that_drips_is_refused(url: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part comes in time; all of it never would."""
    monkeypatch.setattr(protocol, "IDLE_TIMEOUT_S", 1.0)
    method = "POST" if path == "/api/login" else "PATCH"
    with line_to(url) as line:
        said = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        line.sendall(f"{said}Content-Type: application/json\r\nContent-Length: 4000\r\n\r\n".encode())
        answer = drips(line, b" ")
    status = answer.split(b"\r\n")[0]
    assert b" 408 " in status if path == "/api/login" else b" 4" in status, answer


def test_a_slow_line_that_goes_on_sending_is_waited_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of its own: each part takes nearly as long as one may take."""
    tells = itertools.count(0.0, 0.9 * ENOUGH_S)
    monkeypatch.setattr(protocol, "time", SimpleNamespace(**vars(time) | {"monotonic": tells.__next__}))
    monkeypatch.setattr(protocol, "IDLE_TIMEOUT_S", ENOUGH_S)
    monkeypatch.setattr(protocol, "MIN_BYTES_PER_S", 3.0 / ENOUGH_S)
    body = b'{"token": "' + TOKEN.encode() + b'"' + b" " * 60 + b"}"
    with line_to(url) as line:
        said = f"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        line.sendall(f"{said}Content-Type: application/json\r\n\r\n".encode())
        for at in range(0, len(body), 3):
            line.sendall(body[at : at + 3])
            time.sleep(0.03)
        assert b" 200 " in line.recv(4096).split(b"\r\n")[0]


def test_who_asks_and_does_not_read_is_let_go(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "READER_TIMEOUT_S", 0.5)
    before = limits.ENDED_CONNECTIONS["reader"]
    with line_to(url) as line:
        line.sendall(f"GET {FILE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        until(lambda: limits.ENDED_CONNECTIONS["reader"] > before)
        assert is_let_go(line)
    assert limits.ENDED_CONNECTIONS["reader"] == before + 1
