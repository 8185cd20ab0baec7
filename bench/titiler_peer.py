"""Tiles a second of one flight's map: `flycam serve`, account check on, against titiler on the same map.

titiler reads the GeoTIFF that `flycam export` writes of the flight; for the computed layers the two bands
that `flycam export --figures` writes, each coloured by a colour map. Each server is one process; a client in
this one asks both for the same tiles over the same number of connections, in turns. Each tile is asked for
once before it counts, for a server in use has its files open.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.flights import ROOT
from bench.house_of_flight import NAME, made_house
from bench.peers import installed
from bench.processes import FLYCAM, BenchBroken, run_process, serving
from bench.table import Row
from flycam.catalog.catalog import open_catalog
from flycam.geometry.grid import TileId
from flycam.model.flight import Layer
from tests.ports import free_port

VERSION = "2.4.0"
REQUIREMENT, VARIABLE = f"titiler.application[server]=={VERSION}", "FLYCAM_BENCH_TITILER"
CONNECTIONS, ROUNDS, TILES = 8, 3, 200
PICTURES, COMPUTED = 50.0, 5.0
COLOURED = (("expected errors", "error", "1", "0,5"), ("ages", "age", "2", "0,20000"))
"""What a computed layer says, its name here, the band of `export --figures`, and what is coloured of it (ages
in hours)."""


def measure(strips: int, per_strip: int) -> list[Row]:
    """Three rows: pictures, and the layers of expected errors and of ages. titiler is
    installed into `.bench/` once."""
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        data = Path(folder) / "data"
        token = made_house(data, strips, per_strip)
        pictures, figures = Path(folder) / "map.tif", Path(folder) / "figures.tif"
        run_process([*FLYCAM, "export", NAME, pictures, "--data", data])
        run_process([*FLYCAM, "export", NAME, figures, "--figures", "--data", data])
        mosaic_id, tiles = _tiles(data)
        with serving(data) as (_, ours), _titiler() as theirs:
            return [
                _row(
                    "tiles of a flight, account check on",
                    [f"/tiles/{mosaic_id}/{one.z}/{one.x}/{one.y}?v=0" for one in tiles],
                    _paths(tiles, pictures, {"format": "jpeg"}),
                    (ours, theirs),
                    token,
                    PICTURES,
                ),
                *(
                    _row(
                        f"tiles of {what}, account check on",
                        [f"/tiles/{mosaic_id}/{one.z}/{one.x}/{one.y}?layer={layer}&v=0" for one in tiles],
                        _paths(tiles, figures, {"bidx": band, "rescale": scale, "colormap_name": "rdylbu_r"}),
                        (ours, theirs),
                        token,
                        COMPUTED,
                    )
                    for what, layer, band, scale in COLOURED
                ),
            ]


def _tiles(data: Path) -> tuple[str, list[TileId]]:
    """The flight's mosaic, and tiles of it, of the three finest zooms, evenly."""
    with open_catalog(f"sqlite:///{data / 'catalog.sqlite'}") as catalog:
        (mosaic,) = [one for one in catalog.tiles.mosaics() if one.layer is Layer.COLOUR]
        zooms = range(mosaic.base_zoom - 2, mosaic.base_zoom + 1)
        found = [one.tile_id for z in zooms for one in catalog.tiles.heads(mosaic.mosaic_id, 0, z=z)]
    return mosaic.mosaic_id, found[:: max(1, len(found) // TILES)]


def _paths(tiles: Sequence[TileId], file: Path, options: dict[str, str]) -> list[str]:
    asked = urllib.parse.urlencode({"url": str(file), **options})
    return [f"/cog/tiles/WebMercatorQuad/{one.z}/{one.x}/{one.y}?{asked}" for one in tiles]


@contextmanager
def _titiler() -> Iterator[int]:
    """Its port, once it answers."""
    program = os.environ.get(VARIABLE) or installed("titiler", REQUIREMENT, "uvicorn", VARIABLE)
    port = free_port()
    command = [program, "titiler.application.main:app", "--port", str(port), "--log-level", "error"]
    environment = {**os.environ, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "VSI_CACHE": "TRUE"}
    environment.pop("PYTHONPATH", None)
    server = subprocess.Popen([str(part) for part in command], env=environment)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise BenchBroken("titiler did not start")
        yield port
    finally:
        server.terminate()
        server.wait()


def _row(
    what: str, ours: list[str], theirs: list[str], ports: tuple[int, int], token: str, least: float
) -> Row:
    def rate(paths: list[str], port: int, token: str) -> float:
        return asyncio.run(_asked(paths, port, token))

    rate(ours, ports[0], token), rate(theirs, ports[1], "")
    rounds = [(rate(ours, ports[0], token), rate(theirs, ports[1], "")) for _ in range(ROUNDS)]
    mine, peer = (statistics.median(column) for column in zip(*rounds, strict=True))
    return Row(
        what=what,
        measured=f"{mine:.0f} /s",
        peer=f"titiler {VERSION}: {peer:.1f} /s",
        ratio=statistics.median(one / other for one, other in rounds),
        required=least,
        sense="at least",
        notes=(
            f"{len(ours)} tiles of three zooms, {CONNECTIONS} connections, ratios of the rounds "
            + ", ".join(f"{one / other:.1f}" for one, other in rounds),
        ),
    )


async def _asked(paths: list[str], port: int, token: str) -> float:
    """Tiles a second; each connection asks for every CONNECTIONS-th path, one after the other."""
    began = time.perf_counter()
    await asyncio.gather(*(_connection(paths[n::CONNECTIONS], port, token) for n in range(CONNECTIONS)))
    return len(paths) / (time.perf_counter() - began)


async def _connection(paths: list[str], port: int, token: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    who = f"Authorization: Bearer {token}\r\n" if token else ""
    for path in paths:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{who}\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status, *lines = head.split(b"\r\n")
        if b" 200 " not in status:
            raise BenchBroken(f"{path}: {status.decode()}")
        length = next(line for line in lines if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
    writer.close()
