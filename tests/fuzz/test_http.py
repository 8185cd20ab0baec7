"""Raw bytes at a real server, over several connections at once: it goes on answering, and no fault of its own
is said. Some hundred conversations of a fixed seed."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import httpx
import pytest

from flycam.drill.photo_drill import DrillReport
from tests.attack.commands import Operator
from tests.attack.uploading import ServerProcess
from tests.fuzz.http_requests import make_bytes
from tests.ports import free_port
from tests.waiting import ENOUGH_S

_TALKERS = 4
_CONVERSATIONS = 100
_QUIET_S = 0.05
_FAULT = re.compile(rb"HTTP/1\.[01] 500 ")
_AT_ONCE = struct.pack("ii", 1, 0)


def talk(port: int, chance: Random) -> bytes:
    """One conversation: what was answered until it fell silent."""
    data, heard = make_bytes(chance), b""
    size = 1 + len(data) // chance.choice([1, 1, 7, 40])
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), ENOUGH_S) as line:
        line.settimeout(_QUIET_S)
        with suppress(TimeoutError):
            for at in range(0, len(data), size):
                line.sendall(data[at : at + size])
        end = chance.choice(["listen", "listen", "half", "reset"])
        if end == "half":
            line.shutdown(socket.SHUT_WR)
        if end == "reset":
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            return heard
        while more := line.recv(1 << 16):
            heard += more
    return heard


def talk_at_once(port: int, seed: str) -> list[str]:
    """Conversations of several: seeds of those told of a fault."""

    def one(talker: int) -> list[str]:
        names = (f"{seed} {talker} {number}" for number in range(_CONVERSATIONS))
        return [name for name in names if _FAULT.search(talk(port, Random(name)))]

    with ThreadPoolExecutor(_TALKERS) as pool:
        return [name for faults in pool.map(one, range(_TALKERS)) for name in faults]


@contextmanager
def fuzzed(operator: Operator, said: Path) -> Iterator[ServerProcess]:
    """A server that counts no fault of its own. said: what it writes meanwhile."""
    port = free_port()
    with said.open("wb") as log:
        server = ServerProcess(operator, port)
        server.process = operator.start("serve", "--port", port, stderr=log)
        try:
            server.wait_until_it_answers()
            yield server
            counted = httpx.get(f"{server.url}/metrics", timeout=ENOUGH_S).text
        finally:
            server.end()
    assert 'status="500"' not in counted
    assert b"Traceback" not in said.read_bytes()  # as where an answer goes to a connection that was ended


@pytest.fixture
def operator(drill: DrillReport, tmp_path: Path) -> Operator:
    """A small house that anybody on this machine may enter."""
    return Operator(tmp_path / "house", {"FLYCAM_BOX": "field"}).with_flight(drill)


@pytest.mark.slow
def test_whatever_comes_it_goes_on_answering(operator: Operator, tmp_path: Path) -> None:
    with fuzzed(operator, tmp_path / "said") as server:
        assert talk_at_once(server.port, "1") == []
        assert httpx.get(f"{server.url}/healthz", timeout=ENOUGH_S).status_code == 200
