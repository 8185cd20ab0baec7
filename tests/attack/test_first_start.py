"""A box that is started for the first time where there is no route, no DNS and no time server: the whole main
job, from an empty data folder to a tile."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flycam.drill.drill import DrillReport
from tests.attack.commands import Operator
from tests.attack.places import alone, start_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_ASK = "import sys, urllib.request as u; sys.stdout.buffer.write(u.urlopen(sys.argv[1], timeout=90).read())"


def said_by(place: str, operator: Operator, *words: object) -> dict[str, Any]:
    """What a command that succeeds there says."""
    out, err = start_in(place, operator, "flycam", *words, "--json").communicate(timeout=600)
    answer: dict[str, Any] = json.loads(out.strip().splitlines()[-1]) if out.strip() else {}
    assert "Traceback" not in err and "error" not in answer, (words, err)
    return answer


def asked_in(place: str, url: str) -> bytes:
    """What an address answers there; nothing where nobody listens."""
    command = ["ip", "netns", "exec", place, sys.executable, "-c", _ASK, url]
    return subprocess.run(command, capture_output=True, check=False).stdout


def test_the_main_job_without_any_network(drill: DrillReport, tmp_path: Path) -> None:
    operator = Operator(tmp_path / "never" / "made", {"FLYCAM_BOX": "box", "HOME": str(tmp_path / "home")})
    with alone() as place:
        reach = "import socket; socket.create_connection(('192.0.2.77', 80), 5)"
        tried = ["ip", "netns", "exec", place, sys.executable, "-c", reach]
        assert b"Network is unreachable" in subprocess.run(tried, capture_output=True, check=False).stderr
        said_by(place, operator, "dem", "add", drill.dem)
        said_by(place, operator, "communes", "add", drill.communes)
        laid = said_by(place, operator, "ingest", drill.photos, "--name", "alone")
        assert laid["frames"]["used"] == 6
        finished = said_by(place, operator, "finish", "alone", "--no-surface")
        assert finished["revision"] == 1
        port = 8000
        server = start_in(place, operator, "flycam", "serve", "--port", port)
        try:
            base = f"http://127.0.0.1:{port}"
            until_s = time.monotonic() + 300
            while not asked_in(place, f"{base}/healthz"):
                assert server.poll() is None and time.monotonic() < until_s, server.communicate()
                time.sleep(0.2)
            mosaic = f"{laid['flight_id']}-colour"
            tiles = operator.tiles(laid["flight_id"])
            for revision in (0, 1):
                shown = [
                    asked_in(place, f"{base}/tiles/{mosaic}/{one}.png?revision={revision}")
                    for one in sorted(tiles)[-1:]
                ]
                assert all(one.startswith(b"\x89PNG") and len(one) > 1000 for one in shown)
            assert b"<html" in asked_in(place, f"{base}/")
        finally:
            server.terminate()
            server.communicate(timeout=90)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()  # it listened there, not here
