"""A command room and every commune office: viewers who each follow the events and fetch two tiles a second.

Three processes: `flycam serve` on a house of its own, account check on; one client that is all viewers
(plain asyncio, so that it costs little beside the server); and this one, which lays a tile every two
seconds, so that events have something to tell, and looks at the server's memory.

A tile is due at its time whether or not the one before has come, and is timed from then: a server that stalls
is not asked less often. A viewer whose tile is not there when the next is due counts the wait in both.

    python -m bench.viewers PORT SECONDS       the client, which prints what it saw
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np
import psutil

from bench.bench_tiles import ground_of
from bench.processes import BenchBroken, serving
from bench.table import Row
from flycam.catalog.access import hash_token
from flycam.catalog.catalog import open_catalog
from flycam.geometry.grid import TileRange
from flycam.model.access import Account, Role
from flycam.model.flight import Layer
from flycam.model.frame import OrthoPatch
from flycam.model.records import MosaicInfo
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.storage.stores import LocalStore

VIEWERS, TILES_S, SECONDS, WHOLE_S = 200, 2.0, 60.0, 300.0
MOST_P95_MS, GROWTH = 100.0, 1.1
_TOKEN, _MOSAIC = "viewers-token", "viewers-colour"
_ZOOM, _X, _Y, _SIDE = 18, 207400, 115000, 16
_TILE_BYTES = 12_000
_LAID_EVERY_S, _LOOK_EVERY_S = 2.0, 1.0
_GIVEN_UP_S = 30.0
_SETTLED = 0.2
"""Of the time, until caches and connections are what they will be."""


def measure(seconds: float = SECONDS) -> list[Row]:
    """Three rows: errors, the 95th percentile of tiles, memory at the end against the beginning."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_house(folder)
        with serving(folder) as (server, port):
            client = subprocess.Popen(
                [sys.executable, "-m", "bench.viewers", str(port), str(seconds)],
                stdout=subprocess.PIPE,
                text=True,
            )
            cpu_s = _cpu_s(server)
            sizes, laid = _watch(folder, server, client)
            cpu_s = _cpu_s(server) - cpu_s
            told, _ = client.communicate()
    if client.returncode != 0:
        raise BenchBroken(f"the client ended with {client.returncode}")
    return _rows(seconds, json.loads(told), sizes, laid, cpu_s)


def _rows(seconds: float, told: dict, sizes: list[int], laid: int, cpu_s: float) -> list[Row]:
    early = sizes[int(len(sizes) * _SETTLED) :][:5]
    start, end = float(np.median(early)), float(np.median(sizes[-5:]))
    asked, errors = told["asked"], told["errors"]
    what = f"{VIEWERS} viewers, events and {TILES_S:g} tiles/s each, {seconds:g} s"
    short = () if seconds >= WHOLE_S else (f"the number is for {WHOLE_S:g} s: --viewing {WHOLE_S:g}",)
    return [
        Row(
            what=f"{what}: tiles or streams that failed",
            measured=f"{errors}",
            peer=f"of {asked:,} tiles, {VIEWERS} streams",
            ratio=float(errors),
            required=0.0,
            sense="at most",
            notes=(
                f"{laid} tiles laid meanwhile; viewers heard of {told['heard_least']} to "
                f"{told['heard_most']} of those moves; first errors: {told['said'] or 'none'}",
                *short,
            ),
            figures=told,
        ),
        Row(
            what=f"{what}: 95th percentile of a tile",
            measured=f"{told['p95_ms']:.1f} ms",
            peer=f"{MOST_P95_MS:g} ms",
            ratio=told["p95_ms"] / MOST_P95_MS,
            required=1.0,
            sense="at most",
            notes=(
                f"median {told['p50_ms']:.1f} ms, 99th {told['p99_ms']:.1f} ms, longest "
                f"{told['most_ms']:.0f} ms; server {cpu_s:.0f} s of processor, client "
                f"{told['cpu_s']:.0f} s; the client itself woke {told['late_p95_ms']:.1f} ms late (95th), "
                "which is counted in",
            ),
        ),
        Row(
            what=f"{what}: the server's memory at the end against after {_SETTLED:.0%} of the time",
            measured=f"{end / 1e6:.0f} MB",
            peer=f"{start / 1e6:.0f} MB",
            ratio=end / start,
            required=GROWTH,
            sense="at most",
            notes=(f"at the beginning {sizes[0] / 1e6:.0f} MB, most {max(sizes) / 1e6:.0f} MB",),
            figures={"bytes": sizes},
        ),
    ]


# -- the house and its server ---------------------------------------------------------------------------


def _make_house(folder: Path) -> None:
    with open_catalog(f"sqlite:///{folder / 'catalog.sqlite'}") as catalog:
        catalog.accounts.put(
            Account(name="viewer", role=Role.VIEWER, token_hash=hash_token(_TOKEN), created_ns=0)
        )
        catalog.tiles.put_mosaic(
            MosaicInfo(
                mosaic_id=_MOSAIC, flight_id="viewers", layer=Layer.COLOUR, base_zoom=_ZOOM, min_zoom=_ZOOM
            )
        )
    _lay(folder, _SIDE, 1000)


def _lay(folder: Path, side: int, quality: int) -> None:
    """Lay `side`×`side` tiles, as any writer does, over what is there with less quality."""
    with (
        open_catalog(f"sqlite:///{folder / 'catalog.sqlite'}") as catalog,
        MosaicWriter(
            LocalStore(folder / "store"),
            catalog.tiles,
            catalog.tiles.mosaic(_MOSAIC),
            origin="viewers",
            clock_ns=time.time_ns,
        ) as writer,
    ):
        writer.add(
            OrthoPatch(
                tiles=TileRange(z=_ZOOM, x_start=_X, y_start=_Y, x_stop=_X + side, y_stop=_Y + side),
                rgb=np.tile(ground_of(_TILE_BYTES), (side, side, 1)),
                quality=np.full((256 * side, 256 * side), quality, np.uint16),
                frame_id=f"{quality:032x}",
                exterior_version=0,
                dem_id="bench",
            )
        )


def _watch(folder: Path, server: psutil.Popen, client: subprocess.Popen[str]) -> tuple[list[int], int]:
    """(the server's memory, bytes, once a second; tiles laid) until the client has ended."""
    sizes: list[int] = []
    laid, due = 0, time.monotonic() + _LAID_EVERY_S
    while client.poll() is None:
        sizes.append(server.memory_info().rss)
        if time.monotonic() >= due:
            laid += 1
            due += _LAID_EVERY_S
            _lay(folder, 1, 1000 + laid)
        time.sleep(_LOOK_EVERY_S)
    return sizes, laid


def _cpu_s(process: psutil.Popen) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


# -- the client -----------------------------------------------------------------------------------------


@dataclass
class _Seen:
    """What all viewers saw."""

    asked: int = 0
    took_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    heard: list[int] = field(default_factory=list)
    errors: int = 0
    said: list[str] = field(default_factory=list)

    def failed(self, what: str) -> None:
        self.errors += 1
        if len(self.said) < 3:
            self.said.append(what)


async def _view(port: int, number: int, seconds: float, seen: _Seen) -> None:
    """One viewer, for so long. All begin within the time between two tiles, spread over it."""
    began_s = asyncio.get_running_loop().time() + number / VIEWERS / TILES_S
    stream = asyncio.create_task(_follow(port, seen))
    await _fetch(port, number, began_s, seconds, seen)
    if stream.done():
        seen.failed(f"a stream of events ended: {stream.exception()!r}")
    stream.cancel()
    with suppress(asyncio.CancelledError, OSError):
        await stream


async def _follow(port: int, seen: _Seen) -> None:
    """Counts the events that tell of tiles, until it is ended."""
    place = len(seen.heard)
    seen.heard.append(0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_request("/events", port))
        if b" 200 " not in (head := await reader.readuntil(b"\r\n\r\n")):
            seen.failed(head.partition(b"\r\n")[0].decode())
        while line := await reader.readline():
            seen.heard[place] += line.startswith(b"event: tiles")
    finally:
        writer.close()


async def _fetch(port: int, number: int, began_s: float, seconds: float, seen: _Seen) -> None:
    """Tiles over one connection, each at its time; one that failed is not asked again, its connection is."""
    loop, rng = asyncio.get_running_loop(), np.random.default_rng(number)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for turn in count():
            due_s = began_s + turn / TILES_S
            if due_s - began_s >= seconds:
                return
            if (wait_s := due_s - loop.time()) > 0.0:
                await asyncio.sleep(wait_s)
                seen.late_s.append(loop.time() - due_s)
            x, y = rng.integers(_SIDE, size=2)
            seen.asked += 1
            try:
                # another version each time: what a browser keeps is not asked for at all
                writer.write(_request(f"/tiles/{_MOSAIC}/{_ZOOM}/{_X + x}/{_Y + y}?v={turn}", port))
                async with asyncio.timeout(_GIVEN_UP_S):
                    await _answer(reader)
            except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
                seen.failed(repr(error)[:200])
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            seen.took_s.append(loop.time() - due_s)
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> None:
    """One whole picture. Raises ValueError for another answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    lines = head.split(b"\r\n")
    length = next((int(one.split(b":")[1]) for one in lines if one.startswith(b"content-length:")), 0)
    await reader.readexactly(length)
    if b" 200 " not in lines[0] or b"content-type: image/" not in head:
        raise ValueError(lines[0].decode())


def _request(path: str, port: int) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {_TOKEN}\r\n"
        "Accept: image/avif,image/webp,*/*\r\nConnection: keep-alive\r\n\r\n"
    ).encode()


async def _everybody(port: int, seconds: float) -> _Seen:
    seen = _Seen()
    await asyncio.gather(*(_view(port, number, seconds, seen) for number in range(VIEWERS)))
    return seen


def main(port: int, seconds: float) -> None:
    """The client: prints what it saw as JSON."""
    seen = asyncio.run(_everybody(port, seconds))
    p50, p95, p99 = np.percentile(seen.took_s, [50, 95, 99]) * 1e3
    cpu = psutil.Process().cpu_times()
    told = {
        "asked": seen.asked,
        "errors": seen.errors,
        "said": seen.said,
        "p50_ms": round(float(p50), 2),
        "p95_ms": round(float(p95), 2),
        "p99_ms": round(float(p99), 2),
        "most_ms": round(max(seen.took_s) * 1e3, 1),
        "late_p95_ms": round(float(np.percentile(seen.late_s or [0.0], 95)) * 1e3, 2),
        "heard_least": min(seen.heard),
        "heard_most": max(seen.heard),
        "cpu_s": round(cpu.user + cpu.system, 1),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
