"""A box that is started for the first time where there is no route, no DNS and no time server: the whole main
job, from an empty data folder to a map, an upload and a pack."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flycam.drill.photo_drill import DrillReport
from tests.attack.commands import Operator
from tests.attack.places import alone, start_in
from tests.waiting import START_S, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_PORT = 8000
_ASK = "import sys, urllib.request as u; sys.stdout.buffer.write(u.urlopen(sys.argv[1], timeout=90).read())"


def said_by(place: str, operator: Operator, *words: object) -> dict[str, Any]:
    """What a command that succeeds there says."""
    out, err = start_in(place, operator, "flycam", *words, "--json").communicate(timeout=600)
    answer: dict[str, Any] = json.loads(out.strip().splitlines()[-1]) if out.strip() else {}
    assert "Traceback" not in err and "error" not in answer, (words, err)
    return answer


def answer_in(place: str, url: str) -> bytes:
    """What an address answers there; nothing where nobody listens."""
    command = ["ip", "netns", "exec", place, sys.executable, "-c", _ASK, url]
    return subprocess.run(command, capture_output=True, check=False).stdout


@contextmanager
def served(place: str, operator: Operator) -> Iterator[str]:
    """The address of its server there."""
    server = start_in(place, operator, "flycam", "serve", "--port", _PORT)
    try:
        base = f"http://127.0.0.1:{_PORT}"
        until(lambda: answer_in(place, f"{base}/healthz"), "it does not answer", within_s=START_S, of=server)
        yield base
    finally:
        server.terminate()
        server.communicate(timeout=90)


def test_the_main_job_without_any_network(drill: DrillReport, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path / "home")}
    operator = Operator(tmp_path / "never" / "made", {"FLYCAM_BOX": "box", **home})
    with alone() as place:
        reach = "import socket; socket.create_connection(('192.0.2.77', 80), 5)"
        tried = ["ip", "netns", "exec", place, sys.executable, "-c", reach]
        assert b"Network is unreachable" in subprocess.run(tried, capture_output=True, check=False).stderr
        laid = said_by(place, operator, "ingest", drill.photos, "--name", "alone", "--dem", drill.dem)
        assert laid["frames"]["used"] == 6
        tiles = operator.tiles(laid["flight_id"])
        with served(place, operator) as base:
            shown = answer_in(place, f"{base}/tiles/{laid['flight_id']}-colour/{max(tiles)}.png")
            assert shown.startswith(b"\x89PNG") and len(shown) > 1000
            assert b"<html" in answer_in(place, f"{base}/")
            sent = said_by(place, operator, "upload", base, drill.photos)
            assert sent["flight_id"] == laid["flight_id"], "the card is known there"
        said_by(place, operator, "pack", "alone", "--out", tmp_path / "pack")
        assert (tmp_path / "pack" / "index.html").stat().st_size > 0
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", _PORT), 1).close()  # it listened there, not here
