"""Who may come in: tokens, cookies, one-time links, and open access only where nobody else can reach."""

from __future__ import annotations

import os
import pickle
import re
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.http import guards
from flycam.http.guards import Authenticator, Services, is_same_user
from flycam.model.access import Account, Role
from tests.serve.running import running
from tests.serve.world import add_account, make_workspace
from tests.waiting import until

VIEWER, ADMIN = "viewer-token", "admin-token"


@pytest.fixture
def services(tmp_path: Path) -> Services:
    workspace = make_workspace(tmp_path)
    add_account(workspace, "Lan", Role.VIEWER, VIEWER)
    add_account(workspace, "Quản trị", Role.ADMIN, ADMIN)
    return Services(workspace=workspace)


@pytest.fixture
def guarded(services: Services) -> Iterator[httpx.Client]:
    with running(services) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def scope_of(authorization: str) -> dict[str, Any]:
    """A request as the server hands it to the door."""
    headers = [(b"host", b"x"), (b"authorization", authorization.encode())]
    return {"type": "http", "http_version": "1.1", "client": ("127.0.0.1", 9), "headers": headers}


def test_what_is_kept_of_credentials_is_small(services: Services) -> None:
    door = Authenticator(services)
    for number in range(300):
        assert door.authenticate(scope_of(f"Bearer {number:060000d}")) is None
        assert door.authenticate(scope_of(f"Bearer {number:04000d}")) is None
        assert door.authenticate(scope_of(f"Bearer {number:0200d}")) is None
    assert len(pickle.dumps(list(door._answers))) < 300 * 300


def test_the_form_gives_a_cookie_that_scripts_cannot_read(guarded: httpx.Client) -> None:
    assert guarded.post("/api/login", json={"token": "wrong"}).status_code == 401
    response = guarded.post("/api/login", json={"token": VIEWER})
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert guarded.get("/api/session").json()["account"]["name"] == "Lan"
    assert VIEWER not in response.headers["set-cookie"]
    guarded.post("/api/logout")
    assert guarded.get("/api/session").status_code == 401


def test_a_new_token_ends_old_sessions(services: Services) -> None:
    key, workspace = services.session_key, services.workspace
    lan = workspace.catalog.accounts.find_by_token(VIEWER)
    assert lan is not None
    word = guards.sign_value(key, guards.SESSION_KIND, lan, 2_000_000_000)
    assert guards.verify_signed_value(key, guards.SESSION_KIND, word, lan, 1_999_000_000)
    add_account(workspace, "Lan", Role.VIEWER, "another")
    renewed = workspace.catalog.accounts.find_by_token("another")
    assert renewed is not None
    assert guards.verify_signed_value(key, guards.SESSION_KIND, word, renewed, 1_999_000_000) is None


def test_a_link_that_was_used_opens_nothing_in_another_process_or_after_a_restart(services: Services) -> None:
    here, there = Authenticator(services), Authenticator(replace(services))
    link, other = here.create_link("Lan"), here.create_link("Lan")
    assert link is not None and other is not None
    used = here.use_link_code(link)
    assert used is not None and used.name == "Lan"
    assert (here.use_link_code(link), there.use_link_code(link)) == (None, None)
    assert there.use_link_code(other) is not None and here.use_link_code(other) is None


def test_a_session_that_was_signed_out_opens_nothing_in_any_process(services: Services) -> None:
    """Whoever has a copy of its cookie is out: at once where it was signed out, then wherever it is asked."""
    with (
        running(services) as here,
        running(replace(services)) as there,
        httpx.Client(base_url=here, timeout=60) as client,
    ):
        client.post("/api/login", json={"token": VIEWER}).raise_for_status()
        copied = {"Cookie": f"flycam={client.cookies['flycam']}"}
        client.post("/api/login", json={"token": VIEWER}).raise_for_status()
        other = {"Cookie": f"flycam={client.cookies['flycam']}"}
        client.cookies.clear()
        for url in (here, there):
            assert httpx.get(f"{url}/api/session", headers=copied).status_code == 200
        httpx.post(f"{here}/api/logout", headers=copied).raise_for_status()
        assert httpx.get(f"{here}/api/session", headers=copied).status_code == 401
        assert httpx.get(f"{here}/tiles/m/1/0/0", headers=copied).status_code == 401
        until(lambda: httpx.get(f"{there}/api/session", headers=copied).status_code == 401)
        assert httpx.get(f"{here}/api/session", headers=other).status_code == 200, "another session holds"
    with running(services) as again:
        assert httpx.get(f"{again}/api/session", headers=copied).status_code == 401


@pytest.mark.parametrize("expires", ["9" * 5000, "9" * 13, "²", "-1", ""])
def test_a_word_that_ends_in_no_second_there_is_opens_nothing(guarded: httpx.Client, expires: str) -> None:
    """Whoever knows a name of an account can write one."""
    for kind in "sl":
        word = f"{kind}.TGFu.{expires}.x.token.y"
        cookie = {"Cookie": f"flycam={word}".encode()}
        assert guarded.get("/api/session", headers=cookie).status_code == 401
        assert guarded.get("/tiles/m/1/0/0", headers=cookie).status_code == 401
        assert guarded.post(f"/login/{word}").status_code == 401


def test_a_session_is_no_link_and_a_link_no_session(services: Services) -> None:
    account = Account(name="Lan", role=Role.VIEWER, token_hash="h", created_ns=0)
    link = guards.sign_value(services.session_key, guards.LINK_KIND, account, 2_000_000_000)
    assert (
        guards.verify_signed_value(services.session_key, guards.SESSION_KIND, link, account, 1_999_999_000)
        is None
    )


def test_open_access_ends_with_the_first_account_and_is_for_this_machine_only(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    with running(Services(workspace=workspace)) as url, httpx.Client(base_url=url) as client:
        assert client.get("/api/session").json()["open"] is True
        assert client.get("/api/session", headers={"Host": "map.example.vn"}).status_code == 401
        assert client.get("/api/session", headers={"Host": "localhost:80"}).status_code == 200
    with running(Services(workspace=workspace, bound_to_loopback=False)) as url:
        assert httpx.get(f"{url}/api/session").status_code == 401
    add_account(workspace, "Lan", Role.VIEWER, VIEWER)
    with running(Services(workspace=workspace)) as url:
        assert httpx.get(f"{url}/api/session").status_code == 401


HANDED_ON = (
    "Forwarded: for=10.0.0.7",
    "X-Forwarded-For: 10.0.0.7",
    "x-forwarded-host: map.example.vn",
    "X-FORWARDED-PROTO: http",
    "X-Real-IP: 10.0.0.7",
    "Via: 1.1 proxy",
    "CF-Connecting-IP: 10.0.0.7",
    "X_Forwarded_For: 10.0.0.7",
    "X-Envoy-External-Address: 10.0.0.7",
    "Fastly-Client-IP: 10.0.0.7",
    "Forwarded-For: 10.0.0.7",
    "X-Appengine-User-Ip: 10.0.0.7",
    *(
        "X-Remote-IP: 10.0.0.7",
        "X-Remote-Addr: 10.0.0.7",
        "X-Client-IP: 10.0.0.7",
        "True-Client-IP: 10.0.0.7",
    ),
    *("X-Cluster-Client-IP: 10.0.0.7", "X-Azure-ClientIP: 10.0.0.7", "X-Original-Forwarded-For: 10.0.0.7"),
    *("CDN-Loop: cloudflare", "CF-Ray: 1-SIN", "X-Amzn-Trace-Id: Root=1", "X-Varnish: 1", "Max-Forwards: 9"),
    *("Tailscale-User-Login: a@example.vn", "X-Remote-User: a", "Remote-User: a", "X-Original-URL: /"),
    *(
        "X-Rewrite-URL: /",
        "Front-End-Https: on",
        "X-ARR-SSL: 2048",
        "Surrogate-Capability: a",
        "X-Request-Id: 1",
    ),
    *("Proxy-Connection: close", "Early-Data: 1", "traceparent: 00-1-1-01", "X-Nobody-Knows-This-One: 1"),
    "Origin: http://evil.example",
    "Sec-Fetch-Site: cross-site",
)


SENT_BY_CLIENTS = {
    "Chromium": """Connection: keep-alive
Cache-Control: max-age=0
sec-ch-ua: "Chromium";v="141"
sec-ch-ua-mobile: ?0
sec-ch-ua-platform: "Linux"
DNT: 1
Upgrade-Insecure-Requests: 1
User-Agent: Mozilla/5.0
Accept: text/html,*/*;q=0.8
Sec-Fetch-Site: none
Sec-Fetch-Mode: navigate
Sec-Fetch-User: ?1
Sec-Fetch-Dest: document
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: vi-VN,vi;q=0.9
Cookie: a=b
If-None-Match: "x"
""",
    "Firefox": """User-Agent: Mozilla/5.0
Accept: */*
Accept-Language: vi
Accept-Encoding: gzip
Referer: http://127.0.0.1/
Sec-GPC: 1
Priority: u=0, i
Pragma: no-cache
Last-Event-ID: 4
TE: trailers
""",
    "QGIS": """User-Agent: Mozilla/5.0 QGIS/34000
Accept-Language: vi-VN,en,*
Connection: Upgrade, HTTP2-Settings
Upgrade: h2c
HTTP2-Settings: AAMAAABk
Accept-Encoding: gzip
""",
    "curl": "User-Agent: curl/8.5.0\nAccept: */*\nRange: bytes=0-9\n",
    "ffmpeg": "User-Agent: Lavf/60\nAccept: */*\nRange: bytes=0-\nIcy-MetaData: 1\n",
    "requests": "User-Agent: python-requests/2\nAccept-Encoding: gzip\nAccept: */*\nConnection: keep-alive\n",
    "tus": "Tus-Resumable: 1.0.0\nUpload-Offset: 0\nContent-Type: application/offset+octet-stream\n",
}


def answered(url: str, request: str, from_port: int = 0) -> int:
    """The status of what is sent as it stands."""
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as line:
        line.settimeout(60)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        line.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )  # the port is free at once
        line.bind(("127.0.0.1", from_port))
        line.connect((host, int(port)))
        line.sendall(request.replace("\n", "\r\n").encode())
        return int(line.recv(4096).split()[1])


def test_open_access_is_for_what_came_straight_from_this_machine(tmp_path: Path) -> None:
    """A proxy on this machine asks from 127.0.0.1 too, and may name it as the host."""
    with running(Services(workspace=make_workspace(tmp_path))) as url:
        for path in ("/api/session", "/tiles/m/1/0/0"):
            here = f"GET {path} HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n"
            assert answered(url, f"{here}\n") == (200 if path == "/api/session" else 404)
            assert {one for one in HANDED_ON if answered(url, f"{here}{one}\n\n") != 401} == set()
            assert answered(url, f"GET {path} HTTP/1.0\n\n") == 401
            assert answered(url, f"GET {path} HTTP/1.0\nHost: 127.0.0.1\n\n") == 401, "nginx as it comes"
            assert answered(url, f"GET {path} HTTP/1.1\n\n") == 400


def test_open_access_is_for_every_program_that_people_have_here(tmp_path: Path) -> None:
    with running(Services(workspace=make_workspace(tmp_path))) as url:
        for program, headers in SENT_BY_CLIENTS.items():
            said = answered(url, f"GET /api/session HTTP/1.1\nHost: 127.0.0.1\n{headers}\n")
            assert said == 200, program


def test_open_access_is_for_programs_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that says nothing of whom it speaks for, as nginx does by default, runs as another user."""
    with running(Services(workspace=make_workspace(tmp_path))) as url:
        assert httpx.get(f"{url}/api/flights").status_code == 200
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        assert httpx.get(f"{url}/api/flights").status_code == 401


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's table of connections is Linux's")
@pytest.mark.parametrize(
    ("listens_on", "family", "asks_at"),
    [
        ("127.0.0.1", socket.AF_INET, "127.0.0.1"),
        ("127.0.0.1", socket.AF_INET6, "::ffff:127.0.0.1"),
        ("::ffff:127.0.0.1", socket.AF_INET, "127.0.0.1"),
        ("::1", socket.AF_INET6, "::1"),
    ],
)
@pytest.mark.parametrize("ends", ["closed", "half closed", "reset"])
def test_who_is_at_no_end_of_a_connection_is_no_user(
    listens_on: str, family: int, asks_at: str, ends: str
) -> None:
    """To the kernel what nobody has open any more is root's: whoever asked and left at once was root."""
    listener = socket.socket(socket.AF_INET6 if ":" in listens_on else socket.AF_INET)
    with listener, socket.socket(family) as asking:
        listener.bind((listens_on, 0))
        listener.listen()
        asking.connect((asks_at, listener.getsockname()[1]))
        line, _ = listener.accept()
        with line:
            assert is_same_user(line)
            if ends == "half closed":
                asking.shutdown(socket.SHUT_WR)
            else:
                asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", ends == "reset", 0))
                asking.close()
            until(lambda: not is_same_user(line), every_s=0.01)
        assert not is_same_user(line)


@pytest.mark.parametrize("path", ["login", "logout", "setup"])
def test_an_origin_that_is_no_address_is_a_page_of_another_site(guarded: httpx.Client, path: str) -> None:
    asked = {"token": "x", "code": "x", "name": "x"}
    said = guarded.post(f"/api/{path}", json=asked, headers={"Origin": "http://[x"})
    assert (said.status_code, said.json()["error"]) == (403, "AccessDenied")


@pytest.mark.parametrize("origins", [frozenset(), frozenset({"https://gis.example.vn"})])
def test_two_hosts_are_no_request(services: Services, origins: frozenset[str]) -> None:
    with running(replace(services, origins=origins)) as url:
        assert answered(url, "GET /healthz HTTP/1.1\n\n") == 400  # nor is none
        assert answered(url, "GET /healthz%0a HTTP/1.1\nHost: x\n\n") == 400
        for start in ("GET /healthz", "GET /", "POST /api/login", "GET /tiles/m/1/0/0", "OPTIONS /ogc"):
            for version in ("1.1", "1.0"):
                for again in ("HOST: 127.0.0.1", "host: evil.example"):
                    asking = "Origin: https://gis.example.vn\nAccess-Control-Request-Method: GET"
                    said = f"{start} HTTP/{version}\nHost: 127.0.0.1\n{asking}\n{again}\n\n"
                    assert answered(url, said) == 400, said


def test_the_key_file_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "session.key"
    key = guards.read_key(path)
    assert guards.read_key(path) == key
    assert path.stat().st_mode & 0o077 == 0
    path.write_bytes(b"")
    assert len(guards.read_key(path)) == len(key)


@given(word=st.one_of(st.text(max_size=80), st.from_regex(re.compile(r"s\.TGFu\.[0-9]{1,6}\.\w+\.\w*\.\w+"))))
def test_no_made_up_word_opens(word: str) -> None:
    account = Account(name="Lan", role=Role.ADMIN, token_hash="h", created_ns=0)
    assert guards.verify_signed_value(b"k" * 32, guards.SESSION_KIND, word, account, 0) is None


@given(
    name=st.text(min_size=1, max_size=40),
    now_s=st.integers(0, 2**40),
    left_s=st.one_of(st.integers(-(2**40), 2**40), st.integers(-2, 32 * 86_400)),
)
def test_a_signed_word_opens_exactly_until_it_expires(name: str, now_s: int, left_s: int) -> None:
    """And not before it can have been made: a clock that was a day ahead is borne."""
    expires_s = max(0, now_s + left_s)
    account = Account(name=name, role=Role.VIEWER, token_hash="h", created_ns=0)
    word = guards.sign_value(b"k" * 32, guards.SESSION_KIND, account, expires_s)
    opened = guards.verify_signed_value(b"k" * 32, guards.SESSION_KIND, word, account, now_s)
    assert (opened is not None) == (0 <= expires_s - now_s <= 31 * 86_400)
    forged = word[:-1] + ("A" if word[-1] != "A" else "B")
    assert guards.verify_signed_value(b"k" * 32, guards.SESSION_KIND, forged, account, now_s) is None
