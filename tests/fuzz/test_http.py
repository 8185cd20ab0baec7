"""Raw bytes at a real server, over several connections at once: it goes on answering, and no fault of its own
is said. Some hundred conversations of a fixed seed; ten minutes of the server's processor time in a soak."""

from __future__ import annotations

import itertools
import os
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic

import httpx
import psutil
import pytest

from flycam.drill.photo_drill import DrillReport
from tests.attack.commands import Operator
from tests.attack.uploading import ServerProcess
from tests.fuzz.http_requests import make_bytes
from tests.ports import free_port
from tests.waiting import ENOUGH_S

_TALKERS = 4
_CONVERSATIONS = 100
_SOAK_S = 600.0
_MOST_BUSY_S = 1.0
_QUIET_S = 0.05
_FAULT = re.compile(rb"HTTP/1\.[01] 500 ")
_AT_ONCE = struct.pack("ii", 1, 0)


@dataclass
class Watch:
    """How long /healthz, asked ten times a second, was waited for at most: by the clock, and of the server's
    processor time meanwhile, which is what it was busy with whatever else the machine does."""

    process: psutil.Process
    longest_s: float = 0.0
    busiest_s: float = 0.0
    answers: Counter[int] = field(default_factory=Counter)

    def ask(self, url: str, over: threading.Event) -> None:
        """Until it is over."""
        with httpx.Client(base_url=url, timeout=ENOUGH_S) as client:
            while not over.wait(0.1):
                began_s, before_s = monotonic(), self.used_s()
                self.answers[client.get("/healthz").status_code] += 1
                self.longest_s = max(self.longest_s, monotonic() - began_s)
                self.busiest_s = max(self.busiest_s, self.used_s() - before_s)

    def used_s(self) -> float:
        """Processor time of the server."""
        used = self.process.cpu_times()
        return float(used.user + used.system)


@contextmanager
def watched(server: ServerProcess) -> Iterator[Watch]:
    """Ask it all the time."""
    assert server.process is not None
    watch, over = Watch(psutil.Process(server.process.pid)), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(watch.ask, server.url, over)
        try:
            yield watch
        finally:
            over.set()
        asking.result()
    assert set(watch.answers) == {200}


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


def talk_at_once(port: int, seed: str, is_over: Callable[[int], bool]) -> list[str]:
    """Conversations of several, each until it is over by how many it had: seeds of those told of a fault."""

    def one(talker: int) -> list[str]:
        numbers = itertools.takewhile(lambda number: not is_over(number), itertools.count())
        names = (f"{seed} {talker} {number}" for number in numbers)
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
    with fuzzed(operator, tmp_path / "said") as server, watched(server) as watch:
        faults = talk_at_once(server.port, "1", lambda number: number >= _CONVERSATIONS)
    print(f"waited {watch.longest_s:.2f} s at most, of which it was busy {watch.busiest_s:.2f} s")
    assert faults == []


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_ten_minutes_of_processor_time_and_no_freeze(operator: Operator, tmp_path: Path) -> None:
    """FUZZ_SECONDS for less; FUZZ_SEED for other bytes."""
    most_s, seed = float(os.environ.get("FUZZ_SECONDS", _SOAK_S)), os.environ.get("FUZZ_SEED", "1")
    with fuzzed(operator, tmp_path / "said") as server, watched(server) as watch:
        faults = talk_at_once(server.port, seed, lambda _number: watch.used_s() >= most_s)
        print(f"waited {watch.longest_s:.2f} s at most, of which it was busy {watch.busiest_s:.2f} s")
    assert faults == []
    assert watch.busiest_s < _MOST_BUSY_S
