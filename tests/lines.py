"""A thin line between two programs of one machine: delay, rate, outages. A relay of TCP, in a thread.

Bytes leave at the rate, one after another whatever connection they are of, and arrive after the delay. In
an outage nothing leaves; connections stay open, as they do where a mast has no power. Packets that are lost
and sent again look the same from above TCP: short outages, which `loss` draws.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

_BLOCK = 1024
_BUFFER = 8 << 10


@dataclass
class ThinLine:
    """A line to a port on this machine, for as long as the context is open.

    bytes_s   each way; round_trip_s: of which each way takes half
    outages   (from, to) in seconds since the start
    loss      share of blocks of 1 KB that take another round trip (and hold up those behind them)
    port      here; 0: any
    held_at   bytes of a way ("up", "down") after which nothing more passes, until there is no such number
    """

    to_port: int
    bytes_s: float = 8000.0
    round_trip_s: float = 0.9
    outages: Sequence[tuple[float, float]] = ()
    loss: float = 0.0
    seed: int = 1
    port: int = 0
    to_host: str = "127.0.0.1"
    passed: dict[str, int] = field(default_factory=lambda: {"up": 0, "down": 0})
    held_at: dict[str, int] = field(default_factory=dict)

    def __enter__(self) -> ThinLine:
        self._loop = asyncio.new_event_loop()
        self._random = random.Random(self.seed)
        self._free_s = {"up": 0.0, "down": 0.0}
        self._began_s = time.monotonic()
        ready = threading.Event()

        async def run() -> None:
            server = await asyncio.start_server(self._pair, "127.0.0.1", self.port, limit=_BUFFER)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            self._over = asyncio.Event()
            await self._over.wait()
            server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(run()), daemon=True)
        self._thread.start()
        assert ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(60)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def drop_out(self, seconds: float) -> None:
        """An outage from now on."""
        now_s = time.monotonic() - self._began_s
        self.outages = [*self.outages, (now_s, now_s + seconds)]

    async def _pair(self, near: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self.round_trip_s)  # the handshake of the far side
        try:
            far, far_out = await asyncio.open_connection(self.to_host, self.to_port, limit=_BUFFER)
        except OSError:
            near_out.close()
            return
        with suppress(asyncio.CancelledError):
            await asyncio.gather(
                self._carry("up", near, far_out), self._carry("down", far, near_out), return_exceptions=True
            )

    async def _carry(self, way: str, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Bytes of one way: sent one after another, each arriving half a round trip after it left."""
        arriving: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def arrive() -> None:
            while True:
                at_s, data = await arriving.get()
                await asyncio.sleep(max(at_s - time.monotonic(), 0.0))
                if not data:
                    sink.close()
                    return
                sink.write(data)
                await sink.drain()

        landing = asyncio.ensure_future(arrive())
        try:
            while data := await source.read(_BLOCK):
                while self.passed[way] >= self.held_at.get(way, sys.maxsize):
                    await asyncio.sleep(0.02)
                left_s = self._leaves_s(way, len(data))
                await asyncio.sleep(max(left_s - time.monotonic(), 0.0))
                self.passed[way] += len(data)
                arriving.put_nowait((left_s + self.round_trip_s / 2, data))
        except OSError:
            pass
        arriving.put_nowait((time.monotonic() + self.round_trip_s / 2, b""))
        await landing

    def _leaves_s(self, way: str, length: int) -> float:
        """When the last of these bytes has left."""
        at_s = max(self._free_s[way], time.monotonic())
        if self._random.random() < self.loss:
            at_s += self.round_trip_s
        for begin_s, end_s in self.outages:
            if begin_s <= at_s - self._began_s < end_s:
                at_s = self._began_s + end_s
        self._free_s[way] = at_s + length / self.bytes_s
        return self._free_s[way]


def main(port: str, to: str, round_trip_s: str, loss: str) -> None:
    """A relay of its own, until it is ended: `python -m tests.lines PORT HOST:PORT ROUND_TRIP_S LOSS`."""
    host, _, to_port = to.rpartition(":")
    line = ThinLine(int(to_port), 1e9, float(round_trip_s), loss=float(loss), port=int(port), to_host=host)
    with line:
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
