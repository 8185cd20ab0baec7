"""A server of its own, a line to it that is cut, and a sender that notes what was acknowledged."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import ClassVar

import httpx

from flycam.http.client import HttpReply, ServerConnection
from tests.attack.commands import Operator
from tests.ports import free_port
from tests.waiting import ENOUGH_S, START_S, until

_BLOCK = 4096


@dataclass
class ServerProcess:
    """`flycam serve` of an operator's house, which can be killed and started again at the same address."""

    operator: Operator
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = self.operator.start("serve", "--port", self.port)
        self.wait_until_it_answers()

    def wait_until_it_answers(self) -> None:

        def answers() -> bool:
            with suppress(httpx.HTTPError):
                return httpx.get(f"{self.url}/healthz").status_code == 200
            return False

        until(answers, "the server does not answer", within_s=START_S, every_s=0.1, of=self.process)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.communicate(timeout=ENOUGH_S)


@contextmanager
def serving(operator: Operator) -> Iterator[ServerProcess]:
    """A server for as long as a test needs one."""
    server = ServerProcess(operator)
    server.start()
    try:
        yield server
    finally:
        server.end()


class CuttingProxy:
    """Hands bytes on to a server and cuts all lines after a random number of bytes sent, `cuts` times."""

    def __init__(self, port: int, total: int, cuts: int, seed: int, bytes_s: float = 1e12) -> None:
        """total: about how many bytes will go through in all; bytes_s: how many a second of them at most."""
        self._bytes_s = bytes_s
        self._free_s = 0.0
        self._to = port
        self._lock = threading.Lock()
        self._at = sorted(random.Random(seed).sample(range(1, total), cuts))
        self.passed = 0
        self._pairs: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to), timeout=10)
            except OSError:
                return
            server.settimeout(None)
            with self._lock:
                self._pairs |= {client, server}
            threading.Thread(target=self._hand_on, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._hand_on, args=(server, client, False), daemon=True).start()

    def _hand_on(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_BLOCK):
                if counted and (kept := self._kept(len(data))) is not None:
                    sink.sendall(data[:kept])
                    self.cut()
                    return
                if counted:
                    time.sleep(self._due_s(len(data)))
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _due_s(self, length: int) -> float:
        """How long these bytes wait for those before them."""
        with self._lock:
            now = time.monotonic()
            self._free_s = max(self._free_s, now) + length / self._bytes_s
            return self._free_s - now

    def _kept(self, length: int) -> int | None:
        """How many of the next bytes pass before the cut that falls among them; None without one."""
        with self._lock:
            before, self.passed = self.passed, self.passed + length
            if not self._at or self._at[0] >= self.passed:
                return None
            self.cuts += 1
            return max(self._at.pop(0) - before, 0)

    def cut(self) -> None:
        """All lines that are open, at once."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for one in pairs:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


class NotingLine(ServerConnection):
    """Notes of each file which bytes were acknowledged, and how often a byte was sent again after that."""

    acknowledged: ClassVar[dict[str, int]] = {}
    sent_again = 0
    bodies = 0

    def request_once(self, method: str, path: str, body: bytes | None = None, **headers: str) -> HttpReply:
        if method == "PATCH":
            NotingLine.bodies += 1
            at = int(headers["Upload_Offset"])
            NotingLine.sent_again += max(NotingLine.acknowledged.get(path, 0) - at, 0)
        reply = super().request_once(method, path, body, **headers)
        if path.startswith("/files/") and "Upload-Offset" in reply.headers:
            at = int(reply.headers["Upload-Offset"])
            assert at >= NotingLine.acknowledged.get(path, 0), "an acknowledged byte was lost"
            NotingLine.acknowledged[path] = at
        return reply
