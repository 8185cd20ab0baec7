"""Tiles a second from one process, account check on, against the bare ASGI server sending the same bytes.

Both servers are uvicorn with the same settings, each in its own process on loopback; a client in a third
sends the same bounded number of requests over the same number of connections to one, then the other, in
turns. Run: python -m bench.bench_tiles
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import platform
import socket
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import uvicorn

from flycam.catalog.access import hash_token
from flycam.catalog.catalog import open_catalog
from flycam.geometry.grid import TileRange
from flycam.http.guards import Services
from flycam.model.access import Account, Role
from flycam.model.flight import Layer
from flycam.model.frame import OrthoPatch
from flycam.model.records import MosaicInfo
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.serve.app import create_app
from flycam.storage.stores import LocalStore
from flycam.workspace import Workspace

TARGET_BYTES = 12_000
REQUESTS = 6_000
CONNECTIONS = 16
ROUNDS = 5
LEAST_RATIO = 0.7
_TOKEN = "bench-token"
_PATH = "/tiles/bench-colour/18/207400/115000"


def ground_of(target_bytes: int) -> np.ndarray:
    """256×256×3 ground whose JPEG view has about this many bytes."""
    rng = np.random.default_rng(7)
    coarse = cv2.resize(rng.normal(110, 34, (24, 24, 3)), (256, 256), interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 1, (256, 256, 1))
    low, high = 0.0, 60.0
    for _ in range(12):
        middle = (low + high) / 2
        picture = np.clip(coarse + middle * grain, 0, 255).astype(np.uint8)
        size = len(cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1])
        low, high = (low, middle) if size > target_bytes else (middle, high)
    return picture


def open_house(root: Path) -> Workspace:
    """The house at `root`, new or not."""
    return Workspace(
        store=LocalStore(root / "store"),
        catalog=open_catalog(f"sqlite:///{root / 'catalog.sqlite'}"),
        box="bench",
        cache_dir=root / "cache",
    )


def make_house(root: Path) -> Workspace:
    """A catalogue and a store with one tile, one account, written the way every tile is."""
    workspace = open_house(root)
    mosaic = MosaicInfo(
        mosaic_id="bench-colour", flight_id="bench", layer=Layer.COLOUR, base_zoom=18, min_zoom=18
    )
    workspace.catalog.tiles.put_mosaic(mosaic)
    workspace.catalog.accounts.put(
        Account(name="bench", role=Role.VIEWER, token_hash=hash_token(_TOKEN), created_ns=0)
    )
    tiles = TileRange(z=18, x_start=207400, y_start=115000, x_stop=207401, y_stop=115001)
    patch = OrthoPatch(
        tiles=tiles,
        rgb=ground_of(TARGET_BYTES),
        quality=np.full((256, 256), 1000, np.uint16),
        frame_id="f" * 32,
        exterior_version=0,
        dem_id="bench",
    )
    with MosaicWriter(
        workspace.store, workspace.catalog.tiles, mosaic, origin="bench", clock_ns=time.time_ns
    ) as writer:
        writer.add(patch)
    return workspace


class BareApp:
    """The least an ASGI application can do: the same body, content type and length."""

    def __init__(self, body: bytes) -> None:
        headers = [(b"content-type", b"image/jpeg"), (b"content-length", str(len(body)).encode())]
        self._start = {"type": "http.response.start", "status": 200, "headers": headers}
        self._body = {"type": "http.response.body", "body": body}

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send(self._start)
            await send(self._body)


def _run(app: Any, ready: Connection) -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    ready.send(listener.getsockname()[1])
    config = uvicorn.Config(app, access_log=False, log_level="error", lifespan="off", server_header=False)
    uvicorn.Server(config).run(sockets=[listener])


def serve_flycam(root: str, ready: Connection) -> None:
    """Process: flycam on the house at `root`."""
    _run(create_app(Services(workspace=open_house(Path(root)))), ready)


def serve_bare(body: bytes, ready: Connection) -> None:
    """Process: the bare server."""
    _run(BareApp(body), ready)


def _started(target: Any, argument: Any) -> tuple[BaseProcess, int]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(argument, theirs), daemon=True)
    process.start()
    if not ours.poll(60):
        raise RuntimeError("the server did not start within a minute")
    return process, ours.recv()


def request_for(port: int) -> bytes:
    """One tile request as a browser sends it, with its token."""
    return (
        f"GET {_PATH}?v=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {_TOKEN}\r\n"
        "Accept: image/avif,image/webp,*/*\r\nAccept-Encoding: gzip, deflate\r\n"
        "User-Agent: flycam-bench\r\nConnection: keep-alive\r\n\r\n"
    ).encode()


def answer_of(port: int) -> tuple[bytes, bytes]:
    """(head, body) of one tile request."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request_for(port))
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = int(next(line for line in lines if line.startswith(b"content-length")).split(b":")[1])
        while len(body) < length:
            body += connection.recv(65536)
    return head, body


class _Asking(asyncio.Protocol):
    """One connection: asks again as soon as it has the answer, `times` times."""

    def __init__(self, request: bytes, answer_bytes: int, times: int, done: asyncio.Future[None]) -> None:
        self._request, self._answer_bytes, self._left, self._done = request, answer_bytes, times, done
        self._waiting = answer_bytes
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._waiting -= len(data)
        if self._waiting > 0:
            return
        self._left -= 1
        self._waiting = self._answer_bytes
        if self._left:
            self._transport.write(self._request)
        elif not self._done.done():
            self._done.set_result(None)
            self._transport.close()


async def _measure(port: int, answer_bytes: int) -> float:
    loop = asyncio.get_running_loop()
    finished = [loop.create_future() for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    for done in finished:
        await loop.create_connection(
            lambda done=done: _Asking(request_for(port), answer_bytes, REQUESTS // CONNECTIONS, done),
            "127.0.0.1",
            port,
        )
    await asyncio.wait_for(asyncio.gather(*finished), 120)
    return REQUESTS // CONNECTIONS * CONNECTIONS / (time.perf_counter() - began)


def requests_a_second(port: int) -> float:
    """Answered requests a second over one round. Every answer has the length of the first, date included."""
    head, body = answer_of(port)
    return asyncio.run(_measure(port, len(head) + 4 + len(body)))


def run() -> dict[str, Any]:
    """Both servers measured in turns; medians and the median of the rounds' ratios."""
    with tempfile.TemporaryDirectory() as folder:
        make_house(Path(folder)).catalog.close()
        ours, our_port = _started(serve_flycam, folder)
        head, body = answer_of(our_port)
        assert head.startswith(b"HTTP/1.1 200"), head
        bare, bare_port = _started(serve_bare, body)
        try:
            assert answer_of(bare_port)[1] == body
            requests_a_second(our_port), requests_a_second(bare_port)
            rounds = [(requests_a_second(our_port), requests_a_second(bare_port)) for _ in range(ROUNDS)]
        finally:
            for process in (ours, bare):
                process.terminate()
                process.join(10)
    ratios = [mine / theirs for mine, theirs in rounds]
    return {
        "what": "tiles served by one process, account check on, against the bare ASGI server",
        "machine": platform.node(),
        "python": platform.python_version(),
        "bytes": len(body),
        "requests": REQUESTS * ROUNDS,
        "connections": CONNECTIONS,
        "flycam_per_s": round(statistics.median(mine for mine, _ in rounds)),
        "bare_per_s": round(statistics.median(theirs for _, theirs in rounds)),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "at_least": LEAST_RATIO,
    }


if __name__ == "__main__":
    result = run()
    print(json.dumps(result))
    sys.exit(result["ratio"] < LEAST_RATIO)
