"""Serving until told to stop."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import httpx
import pytest

from flycam.config import read_settings
from flycam.errors import OptionUnusable
from flycam.http.guards import Services
from flycam.model.access import Role
from tests.serve.running import running
from tests.serve.world import add_account, make_workspace
from tests.waiting import ENOUGH_S


@pytest.mark.parametrize(
    ("named", "is_believed"),
    [(("10.9.9.9",), False), (("10.0.0.0/8",), False), (("127.0.0.1",), True), (("127.0.0.0/8",), True)],
)
def test_a_proxy_that_is_named_says_whether_it_is_https_and_who_asks(
    tmp_path: Path, named: tuple[str, ...], is_believed: bool
) -> None:
    workspace = make_workspace(tmp_path)
    add_account(workspace, "Lan", Role.OPERATOR, "right")
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7", "Host": "map.example.vn"}
    with running(Services(workspace=workspace, trusted_proxies=named)) as url:
        entered = httpx.post(f"{url}/api/login", json={"token": "right"}, headers=forwarded)
        assert ("secure" in entered.headers["set-cookie"].lower()) is is_believed
        by = {**forwarded, "Authorization": "Bearer right"}
        links = httpx.get(f"{url}/ogc", headers=by).json()["links"]
        scheme = "https" if is_believed else "http"
        assert links and all(one["href"].startswith(f"{scheme}://map.example.vn/") for one in links)
    (line,) = [one for one in workspace.catalog.audit.lines() if one.what == "login"]
    assert line.subject == ("203.0.113.7" if is_believed else "127.0.0.1")


def test_proxies_are_named_in_the_environment() -> None:
    settings = read_settings({"FLYCAM_TRUSTED_PROXIES": " 10.0.0.5, 10.1.0.0/24 ,::1"})
    assert settings.trusted_proxies == ("10.0.0.5", "10.1.0.0/24", "::1")
    assert read_settings({}).trusted_proxies is None
    for wrong in ("*", "proxy.laocai.gov.vn", "10.0.0", "10.1.0.7/24", "10.0.0.0/99"):
        with pytest.raises(OptionUnusable, match="FLYCAM_TRUSTED_PROXIES"):
            read_settings({"FLYCAM_TRUSTED_PROXIES": wrong})


def test_a_screen_that_listens_is_let_go_when_the_server_stops(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Before, its stream was cut off after the grace, with a page of trace on the operator's terminal."""
    services = Services(workspace=make_workspace(tmp_path), follow_s=0.1)
    ended: list[str] = []

    def listen(url: str, begun: threading.Event) -> None:
        with httpx.stream("GET", f"{url}/events", timeout=90.0) as stream:
            for line in stream.iter_lines():
                ended.append(line)
                begun.set()
        ended.append("ended in peace")

    for _ in range(2):  # served again, it streams again
        ended.clear()
        begun = threading.Event()
        with running(services) as url, caplog.at_level(logging.INFO):
            screen = threading.Thread(daemon=True, target=listen, args=(url, begun))
            screen.start()
            assert begun.wait(ENOUGH_S)
        screen.join(ENOUGH_S)
        assert ended[0].startswith("retry") and ended[-1] == "ended in peace"
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]
