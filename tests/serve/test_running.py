"""Serving until told to stop."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import httpx
import pytest

from flycam.serve.services import Services
from tests.serve.running import running
from tests.serve.world import make_workspace


def test_a_screen_that_listens_is_let_go_when_the_server_stops(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Before, its stream was cut off after the grace, with a page of trace on the operator's terminal."""
    services = Services(workspace=make_workspace(tmp_path), follow_s=0.1)
    ended: list[str] = []

    def listen(url: str, begun: threading.Event) -> None:
        with httpx.stream("GET", f"{url}/events", timeout=30.0) as stream:
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
            assert begun.wait(20.0)
        screen.join(20.0)
        assert ended[0].startswith("retry") and ended[-1] == "ended in peace"
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]
