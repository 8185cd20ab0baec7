"""What viewers wait while somebody without an account sends 10 MB/s of anything to the server.

A server as `flycam serve` runs it, 20 viewers who ask for a tile four times a second and one who asks
`/healthz` ten times a second, and a process that sends each shape of traffic over one connection, then eight.

    python -m bench.flood [--seconds 60] [--shape NAME]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import psutil

from bench.bench_tiles import answer_of, make_house, open_house, request_for
from bench.table import Row
from flycam.http.guards import Services
from flycam.serve.app import open_listener, serve_until_stopped

SECONDS = 6.0
BYTES_S = 10e6
VIEWERS = 20
CONNECTIONS = (1, 8)
MOST_P95_MS = 250.0
MOST_MORE_BYTES = 64 << 20
_PIECE_BYTES = 16 << 10

_GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
_POST = b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
_BODY = _POST + b"Content-Length: 4000\r\n\r\n" + b"[" * 4000
_GUARDED = _BODY.replace(b"POST /api/login", b"PUT /api/changes/steps/0")


def _asked(line: bytes, *headers: bytes) -> bytes:
    """Put a request together that has no body."""
    return b"\r\n".join((line + b" HTTP/1.1", b"Host: x", *headers, b"", b""))


Shape = tuple[bytes, bytes]
"""What a connection sends first, and then again and again."""
SHAPES: dict[str, Shape] = {
    "header value": (_GET + b"x: ", b"y" * _PIECE_BYTES),
    "header name": (_GET, b"y" * _PIECE_BYTES),
    "short headers": (_GET, b"y:\r\n" * (_PIECE_BYTES // 4)),
    "address": (b"GET /", b"y" * _PIECE_BYTES),
    "trailer": (_CHUNKED + b"1\r\n{\r\n0\r\nx: ", b"y" * _PIECE_BYTES),
    "trailer names": (_CHUNKED + b"1\r\n{\r\n0\r\n", b"y:\r\n" * (_PIECE_BYTES // 4)),
    "chunks of one byte": (_CHUNKED, b"1\r\n \r\n" * (_PIECE_BYTES // 6)),
    "large chunks": (_CHUNKED, b"%x\r\n%b\r\n" % (_PIECE_BYTES, b" " * _PIECE_BYTES)),
    "chunk extension": (_CHUNKED + b"1;x=", b"y" * _PIECE_BYTES),
    "body": (_POST + b"Content-Length: 4194304\r\n\r\n", b"[" * _PIECE_BYTES),
    "bodies that fit": (b"", _BODY * 4),
    "guarded bodies": (b"", _GUARDED * 4),
    "whole requests": (b"", (_GET + b"\r\n") * 400),
    "description of the API": (b"", _asked(b"GET /api/openapi.json")),
    "long addresses": (b"", _asked(b"HEAD /" + b"a/" * 4000)),
    "too long addresses": (b"", _asked(b"HEAD /" + b"a/" * 32000)),
    "names in a query": (b"", _asked(b"GET /healthz?" + b"%e1=&" * 100)),
    "too many names in a query": (b"", _asked(b"GET /healthz?" + b"%e1=&" * 12600)),
    "cookies": (b"", _asked(b"GET /tiles/x/1/1/1", b"Cookie: " + b"a=b; " * 250)),
    "too many cookies": (b"", _asked(b"GET /tiles/x/1/1/1", b"Cookie: " + b";" * 63000)),
    "garbage": (b"", random.Random(7).randbytes(_PIECE_BYTES)),
}


def serve_house(root: str, ready: Connection) -> None:
    """Process: the server."""
    listener = open_listener("127.0.0.1", 0)
    ready.send(listener.getsockname()[1])
    serve_until_stopped(Services(workspace=open_house(Path(root)), trusted_proxies=()), listener)


def flood(port: int, parent: Connection) -> None:
    """Process: send BYTES_S in all, as told (shape, connections, end); tell how many bytes went."""
    while True:
        parent.send(None)
        shape, connections, until_s = parent.recv()
        parent.send(asyncio.run(_flood(port, SHAPES[shape], connections, until_s)))


async def _flood(port: int, shape: Shape, connections: int, until_s: float) -> int:
    each_s = BYTES_S / connections
    return sum(await asyncio.gather(*(_send(port, shape, each_s, until_s) for _ in range(connections))))


async def _send(port: int, shape: Shape, bytes_s: float, until_s: float) -> int:
    first, again = shape
    began_s, sent = time.monotonic(), 0
    while time.monotonic() < until_s:
        with suppress(OSError, TimeoutError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            drain = asyncio.ensure_future(_read_past(reader))
            writer.write(first)
            try:
                while time.monotonic() < until_s and not drain.done():
                    writer.write(again)
                    await asyncio.wait_for(writer.drain(), max(until_s - time.monotonic(), 0.01))
                    sent += len(again)
                    await asyncio.sleep(max(began_s + sent / bytes_s - time.monotonic(), 0))
            finally:
                drain.cancel()
                writer.transport.abort()
        sent += len(first) + 1000  # a connection is not free either
        await asyncio.sleep(max(began_s + sent / bytes_s - time.monotonic(), 0))
    return sent


async def _read_past(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while await reader.read(1 << 16):
            pass


async def _ask(port: int, request: bytes, every_s: float, until_s: float, waits_s: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.monotonic() < until_s:
        began_s = time.monotonic()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(one for one in head.lower().split(b"\r\n") if one.startswith(b"content-length"))
        await reader.readexactly(int(length.split(b":")[1]))
        waits_s.append(time.monotonic() - began_s)
        await asyncio.sleep(max(every_s - waits_s[-1], 0))
    writer.close()


async def _watch(port: int, until_s: float) -> tuple[list[float], list[float]]:
    health: list[float] = []
    tiles: list[float] = []
    plain = _GET + b"\r\n"
    viewers = (_ask(port, request_for(port), 0.25, until_s, tiles) for _ in range(VIEWERS))
    await asyncio.gather(_ask(port, plain, 0.1, until_s, health), *viewers)
    return health, tiles


@contextmanager
def _process(target: Callable[..., None], *arguments: object) -> Iterator[tuple[int, Connection]]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(*arguments, theirs), daemon=True)
    process.start()
    assert process.pid is not None
    try:
        yield process.pid, ours
    finally:
        process.terminate()
        process.join(10)


def measure(seconds: float = SECONDS, shapes: tuple[str, ...] = tuple(SHAPES)) -> list[Row]:
    """One row for each shape of traffic and number of connections."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        make_house(Path(folder)).catalog.close()
        with _process(serve_house, folder) as (pid, ready):
            port: int = ready.recv()
            for _ in range(400):
                with suppress(OSError):
                    answer_of(port)
                    break
                time.sleep(0.05)
            server = psutil.Process(pid)
            asyncio.run(_watch(port, time.monotonic() + 2.0))
            with _process(flood, port) as (_, flooding):
                for shape, count in itertools.product(shapes, CONNECTIONS):
                    rows.append(_row(server, port, flooding, shape, count, seconds))
                    print(*rows[-1].cells(), *rows[-1].notes, sep=" | ", flush=True)
    return rows


def _row(
    server: psutil.Process, port: int, flooding: Connection, shape: str, connections: int, seconds: float
) -> Row:
    flooding.recv()
    before, handles = server.memory_info().rss, server.num_fds()
    until_s = time.monotonic() + seconds
    flooding.send((shape, connections, until_s))
    health, tiles = asyncio.run(_watch(port, until_s))
    sent: int = flooding.recv()
    more = server.memory_info().rss - before
    for _ in range(100):
        if server.num_fds() <= handles:
            break
        time.sleep(0.1)
    p95 = [1e3 * float(np.percentile(waits, 95)) for waits in (health, tiles)]
    longest = 1e3 * max(*health, *tiles)
    return Row(
        what=f"{shape}, {connections} connection{'s' * (connections > 1)}: what viewers wait",
        measured=f"p95 {p95[0]:.0f} ms health, {p95[1]:.0f} ms tiles, longest {longest:.0f} ms",
        peer=f"{MOST_P95_MS:.0f} ms, {MOST_MORE_BYTES >> 20} MiB",
        ratio=max(max(p95) / MOST_P95_MS, more / MOST_MORE_BYTES),
        required=1.0,
        sense="at most",
        notes=(
            f"{sent / seconds / 1e6:.1f} MB/s offered; memory {more / 1e6:+.0f} MB; handles "
            f"{server.num_fds() - handles:+d}",
        ),
        figures={"more_bytes": more, "more_handles": server.num_fds() - handles, "longest_ms": longest},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--shape", nargs="*", choices=list(SHAPES), default=list(SHAPES))
    options = parser.parse_args()
    measure(options.seconds, tuple(options.shape))
