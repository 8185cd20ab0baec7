"""A flight over a thin line to a server: how soon there is something to see, and how many bytes it takes.

Real processes: `flycam ingest` of the drill's photos on a box, `flycam serve` as the province, `flycam sync`
between them through a relay (`tests/lines.py`). First at 64 kbit/s, 900 ms round trip, one packet in ten
sent again a round trip later, 30 s of outage; until the whole area is there at 1 m. The sender is
killed then, and the same command goes on over a faster line with outages until all is there, for the lossless
tiles take an hour of the first: only bytes are counted of that. With --hour it goes on over the first,
with 30 s of outage every ten minutes. Bytes are what passed in the relay both ways, headers of HTTP included.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from bench.flights import drill_flight
from bench.processes import FLYCAM, BenchBroken, run_process, serving
from bench.table import Row
from flycam.catalog.catalog import open_catalog
from flycam.geometry.grid import compute_ground_pixel_m
from flycam.model.records import MosaicInfo
from tests.lines import ThinLine

OVERVIEW_S, WHOLE_S, BYTES = 30.0, 300.0, 1.2
OVERVIEW_M = 2.5
"""A useful overview: the whole area at this many metres a pixel, where roads, houses and slides are seen."""
_THIN = {"bytes_s": 8000.0, "round_trip_s": 0.9, "loss": 0.1}
_FASTER = {"bytes_s": 1e6, "round_trip_s": 0.9}
_OUTAGES_S = ((5.0, 10.0), (20.0, 25.0), (40.0, 45.0))
_OUTAGE_S = (60.0, 90.0)
_EVERY_TEN_MINUTES_S = tuple((at_s, at_s + 30.0) for at_s in range(60, 4 * 3600, 600))
_LOOK_S = 0.25


def measure(strips: int, per_strip: int, *, hour: bool = False) -> list[Row]:
    """Three rows: overview, whole area at 1 m, application bytes; `hour`: all over the thin line."""
    first = {**_THIN, "outages": [_OUTAGE_S]}
    then = {**_THIN, "outages": _EVERY_TEN_MINUTES_S} if hour else {**_FASTER, "outages": _OUTAGES_S}
    flight = drill_flight(strips, per_strip)
    with tempfile.TemporaryDirectory(dir=flight.folder.parent) as temporary:
        box, province = Path(temporary, "box"), Path(temporary, "province")
        ingest = (*FLYCAM, "ingest", flight.photos, "--dem", flight.dem, "--data", box)
        run_process(ingest, environment={"FLYCAM_BOX": "box"})
        with serving(province, {"FLYCAM_BOX": "province"}) as (_, port):
            with ThinLine(port, **first) as line:
                reached = _until_whole(box, province, line)
            thin = sum(line.passed.values())
            with ThinLine(port, **then) as line:
                began_s = time.monotonic()
                rest = run_process(_command(box, line), environment={"FLYCAM_BOX": "box"})
                took_s = time.monotonic() - began_s
            passed = thin + sum(line.passed.values())
        tile_bytes = _tile_bytes(box)
        if json.loads(rest.stdout.splitlines()[-1])["left"] or _tiles(box) != _tiles(province):
            raise BenchBroken("the province has not the box's tiles")
        rest_mb = sum(line.passed.values()) / 1e6
        after = f"after the kill {rest_mb:.2f} MB in {took_s:.0f} s at {then['bytes_s']:.0f} bytes a second"
        return _rows(flight.strips * flight.per_strip, box, reached, (passed, tile_bytes, after))


def _rows(
    photos: int, box: Path, reached: dict[int, tuple[float, int]], whole: tuple[int, int, str]
) -> list[Row]:
    passed, tile_bytes, after = whole
    zooms = pixels_of(box)
    useful = min(zoom for zoom, pixel_m in zooms.items() if pixel_m <= OVERVIEW_M)
    fine = min(zoom for zoom, pixel_m in zooms.items() if pixel_m <= 1.0)
    times = "; ".join(
        f"{zooms[zoom]:.2f} m whole after {at_s:.0f} s, {size / 1e3:.0f} kB"
        for zoom, (at_s, size) in sorted(reached.items())
        if zooms[zoom] < 10 * OVERVIEW_M
    )
    what = f"{photos} photos over 64 kbit/s, 900 ms, 10 % loss, 30 s outage"
    return [
        Row(
            what=f"{what}: useful overview ({zooms[useful]:.1f} m)",
            measured=f"{reached[useful][0]:.0f} s",
            peer=f"{OVERVIEW_S:.0f} s",
            ratio=reached[useful][0] / OVERVIEW_S,
            required=1.0,
            sense="at most",
            notes=(times,),
        ),
        Row(
            what=f"{what}: whole area at 1 m ({zooms[fine]:.2f} m)",
            measured=f"{reached[fine][0]:.0f} s",
            peer=f"{WHOLE_S:.0f} s",
            ratio=reached[fine][0] / WHOLE_S,
            required=1.0,
            sense="at most",
        ),
        Row(
            what="application bytes of the whole transfer, both ways, a kill and outages included",
            measured=f"{passed / 1e6:.2f} MB",
            peer=f"tiles {tile_bytes / 1e6:.2f} MB",
            ratio=passed / tile_bytes,
            required=BYTES,
            sense="at most",
            notes=("tiles: the lossless states of the base zoom, as they lie in the box's store", after),
        ),
    ]


def _until_whole(box: Path, province: Path, line: ThinLine) -> dict[int, tuple[float, int]]:
    """When each zoom up to 1 m was whole at the province (s, bytes up by then); the sender is killed then."""
    wanted = counts_of(box)
    fine = min(zoom for zoom, pixel_m in pixels_of(box).items() if pixel_m <= 1.0)
    reached: dict[int, tuple[float, int]] = {}
    began_s = time.monotonic()
    sender = subprocess.Popen(
        [str(part) for part in _command(box, line)],
        env={**os.environ, "FLYCAM_BOX": "box"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while fine not in reached:
            if sender.poll() is not None or time.monotonic() - began_s > 3 * WHOLE_S:
                raise BenchBroken(f"sync ended with {sender.poll()} before the area was whole")
            time.sleep(_LOOK_S)
            for zoom, count in counts_of(province).items():
                if zoom not in reached and count >= wanted[zoom]:
                    reached[zoom] = (time.monotonic() - began_s, line.passed["up"])
    finally:
        sender.kill()
        sender.wait()
    return reached


def _command(box: Path, line: ThinLine) -> tuple[str | Path, ...]:
    return (*FLYCAM, "sync", line.url, "--once", "--json", "--data", box)


def counts_of(data: Path) -> dict[int, int]:
    """Tiles by zoom, as the catalogue has them now."""
    return dict(read_beside(data, "SELECT z, count(*) FROM tile_heads WHERE revision = 0 GROUP BY z"))


def read_beside(data: Path, query: str) -> list[tuple[int, ...]]:
    """Rows of a house's catalogue, beside programs that write it; none where it is not there yet."""
    with suppress(sqlite3.Error):
        database = sqlite3.connect(f"file:{data}/catalog.sqlite?mode=ro", uri=True)
        try:
            return list(database.execute(query))
        finally:
            database.close()
    return []


def pixels_of(data: Path) -> dict[int, float]:
    """Metres a pixel, by zoom."""
    with open_catalog(f"sqlite:///{data}/catalog.sqlite") as catalog:
        (mosaic,) = _live(catalog.tiles.mosaics())
        _, south, _, north = catalog.flights.flights()[0].bounds_lonlat_deg or (0.0, 0.0, 0.0, 0.0)
        zooms = range(mosaic.min_zoom, mosaic.base_zoom)
        return {zoom: compute_ground_pixel_m(zoom, (south + north) / 2) for zoom in zooms}


def _tiles(data: Path) -> dict[str, str]:
    with open_catalog(f"sqlite:///{data}/catalog.sqlite") as catalog:
        (mosaic,) = _live(catalog.tiles.mosaics())
        return {str(one.tile_id): one.content_hash for one in catalog.tiles.heads(mosaic.mosaic_id, 0)}


def _tile_bytes(data: Path) -> int:
    with open_catalog(f"sqlite:///{data}/catalog.sqlite") as catalog:
        (mosaic,) = _live(catalog.tiles.mosaics())
        heads = catalog.tiles.heads(mosaic.mosaic_id, 0, z=mosaic.base_zoom)
        return sum((data / "store" / one.key).stat().st_size for one in heads)


def _live(mosaics: list[MosaicInfo]) -> list[MosaicInfo]:
    return [one for one in mosaics if one.revision == 0]
