"""A province's years in one house: 10, 100, 1,000 flights of 100 photos, and what one more costs then.

Flights lie side by side over the province, each with 100 photos and the lines of its tile log. Of a flight's
tiles one is a real object, for what grows is the catalogue. The same questions are asked of each size,
through the catalogue and through a real `flycam serve`. Times are medians of several askings; what an answer
holds for each flight is counted for each flight of it.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import psutil
import shapely

from bench.processes import serving
from bench.table import Row
from flycam.geometry.grid import TileId, TileRange, get_range_bounds, mercator_to_lonlat
from flycam.model.flight import Flight
from flycam.model.frame import MosaicTile, TileRecord, derive_flight_id, derive_frame_id
from flycam.model.records import FrameRecord, MosaicInfo
from flycam.mosaic.tiles.codec import compute_content_hash, decode_tile, encode_tile
from flycam.storage import keys
from flycam.workspace import Workspace
from tests.serve.world import REAL, build_world

SIZES = (10, 100, 1000)
PHOTOS_A_SIDE = 10
SLOWER = 2.0
"""From 1,000 to 100,000 photos the logarithm grows 1.67 times."""

_SIDE_TILES = 2 * PHOTOS_A_SIDE + 1
_ROWS = 32
_SHOWN = 55
"""Of a flight's photos, whose middle tile is real."""

_ASKED = 15
_DAY_NS = 86_400 * 10**9


@dataclass(slots=True)
class Grown:
    """At one size: seconds by question; bytes of the catalogue, resident bytes of the server."""

    flights: int
    seconds: dict[str, float] = field(default_factory=dict)
    catalogue_bytes: int = 0
    server_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A real flight of the tests' valley: its record, its first photo's, a tile with its line."""

    flight: Flight
    frame: FrameRecord
    mosaic: MosaicInfo
    tile: TileRecord
    state: MosaicTile


def measure() -> list[Row]:
    """A row for each question: at 100,000 photos over at 1,000."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        workspace = build_world(root).workspace
        pattern = _pattern(workspace)
        grown, made = [], 0
        for size in SIZES:
            cost = _grow(workspace, pattern, made, size)
            made = size
            grown.append(_asked(workspace, root, pattern, size, cost))
        workspace.catalog.close()
    return _rows(grown)


def _pattern(workspace: Workspace) -> _Pattern:
    (first, *_) = workspace.catalog.flights.flights(REAL)
    (mosaic,) = workspace.catalog.tiles.mosaics(first.flight_id)
    frame = workspace.catalog.frames.list_for_flight(first.flight_id)[0]
    tile = workspace.catalog.tiles.get_heads(mosaic.mosaic_id, 0, list(frame.tiles or ()))[_middle(frame)]
    return _Pattern(first, frame, mosaic, tile, decode_tile(workspace.store.get(tile.key), tile.tile_id))


def _grow(workspace: Workspace, pattern: _Pattern, have: int, want: int) -> dict[str, float]:
    """Add flights; seconds a photo and a tile's line of the last ten, at least."""
    photo_s: list[float] = []
    tile_s: list[float] = []
    for number in range(have, want):
        flight, frames, mosaic, lines = _flown(pattern, number)
        real = _real_tile(pattern, frames[_SHOWN])
        head = replace(
            pattern.tile,
            mosaic_id=mosaic.mosaic_id,
            tile_id=real.tile_id,
            content_hash=compute_content_hash(real),
        )
        head = replace(head, key=keys.format_tile_key(mosaic.mosaic_id, 0, real.tile_id, head.content_hash))
        workspace.store.put(head.key, encode_tile(real))
        lines = [head if line.tile_id == head.tile_id else line for line in lines]
        workspace.catalog.flights.put_flight(flight)
        began = time.perf_counter()
        workspace.catalog.frames.put(frames)
        photo_s.append((time.perf_counter() - began) / len(frames))
        workspace.catalog.tiles.put_mosaic(mosaic)
        began = time.perf_counter()
        workspace.catalog.tiles.append(lines, {})
        tile_s.append((time.perf_counter() - began) / len(lines))
    return {
        "a photo's record": statistics.median(photo_s[-10:]),
        "a tile's line in the log": statistics.median(tile_s[-10:]),
    }


def _middle(frame: FrameRecord) -> TileId:
    assert frame.tiles is not None
    return TileId(z=frame.tiles.z, x=frame.tiles.x_start + 1, y=frame.tiles.y_start + 1)


def _real_tile(pattern: _Pattern, frame: FrameRecord) -> MosaicTile:
    """The pattern's tile in the middle of a photo, all of it of that photo."""
    state = pattern.state
    return replace(
        state,
        tile_id=_middle(frame),
        source=(state.quality > 0).astype(np.uint16),
        frames=(frame.frame_id,),
    )


def _flown(pattern: _Pattern, number: int) -> tuple[Flight, list[FrameRecord], MosaicInfo, list[TileRecord]]:
    """The flight of that number: beside the others, a day after the one before it."""
    base, later_ns = pattern.mosaic.base_zoom, (number + 1) * _DAY_NS
    x = 207_000 + (number // _ROWS) * (_SIDE_TILES + 2)
    y = 114_000 + (number % _ROWS) * (_SIDE_TILES + 2)
    ids = [
        hashlib.sha256(f"{number}:{photo}".encode()).hexdigest()
        for photo in range(PHOTOS_A_SIDE * PHOTOS_A_SIDE)
    ]
    flight_id = derive_flight_id([derive_frame_id(one) for one in ids])
    frames = []
    for photo, sha256 in enumerate(ids):
        column, row = photo % PHOTOS_A_SIDE, photo // PHOTOS_A_SIDE
        tiles = TileRange(
            z=base,
            x_start=x + 2 * column,
            y_start=y + 2 * row,
            x_stop=x + 2 * column + 3,
            y_stop=y + 2 * row + 3,
        )
        header = replace(
            pattern.frame.header,
            frame_id=derive_frame_id(sha256),
            captured_ns=pattern.frame.header.captured_ns + later_ns + photo * 2 * 10**9,
            provenance=replace(pattern.frame.header.provenance, source_sha256=sha256),
        )
        frames.append(
            replace(
                pattern.frame,
                header=header,
                flight_id=flight_id,
                tiles=tiles,
                footprint_wkb=shapely.to_wkb(shapely.box(*_bounds(tiles))),
            )
        )
    whole = TileRange(z=base, x_start=x, y_start=y, x_stop=x + _SIDE_TILES, y_stop=y + _SIDE_TILES)
    flight = replace(
        pattern.flight,
        flight_id=flight_id,
        name=f"Chuyến {number}",
        first_ns=frames[0].header.captured_ns,
        last_ns=frames[-1].header.captured_ns,
        bounds_lonlat_deg=_bounds(whole),
    )
    mosaic = replace(pattern.mosaic, mosaic_id=f"{flight_id}-colour", flight_id=flight_id)
    lines = [
        replace(pattern.tile, mosaic_id=mosaic.mosaic_id, tile_id=tile)
        for tile in _with_parents(whole, mosaic)
    ]
    return flight, frames, mosaic, lines


def _with_parents(whole: TileRange, mosaic: MosaicInfo) -> list[TileId]:
    tiles = list(whole)
    for up in range(1, mosaic.base_zoom - mosaic.min_zoom + 1):
        tiles += sorted({TileId(z=mosaic.base_zoom - up, x=one.x >> up, y=one.y >> up) for one in whole})
    return tiles


def _bounds(tiles: TileRange) -> tuple[float, float, float, float]:
    west, south, east, north = get_range_bounds(tiles)
    (left, bottom), (right, top) = mercator_to_lonlat([[west, south], [east, north]]).tolist()
    return left, bottom, right, top


def _asked(workspace: Workspace, root: Path, pattern: _Pattern, size: int, cost: dict[str, float]) -> Grown:
    """Every question, of flights spread over all there are."""
    grown = Grown(size, dict(cost))
    numbers = [round(share * (size - 1) / (_ASKED - 1)) for share in range(_ASKED)]
    flown = [_flown(pattern, number) for number in numbers]
    catalog = workspace.catalog

    def timed(what: str, ask: Callable[[int], object], of: int = 1) -> None:
        took = []
        for turn in range(_ASKED):
            began = time.perf_counter()
            ask(turn)
            took.append((time.perf_counter() - began) / of)
        grown.seconds[what] = statistics.median(took)

    def middle(turn: int) -> TileId:
        return _middle(flown[turn][1][_SHOWN])

    timed(
        "photos that touch a tile",
        lambda n: catalog.frames.list_touching_tile(flown[n][0].flight_id, middle(n)),
    )
    timed("one photo by its id", lambda n: catalog.frames.get(flown[n][1][7].frame_id))
    timed("a flight's photos", lambda n: catalog.frames.list_for_flight(flown[n][0].flight_id))
    timed("a tile's head", lambda n: catalog.tiles.head(flown[n][2].mosaic_id, 0, middle(n)))
    timed("news of a mosaic", lambda n: catalog.tiles.log_since(flown[n][2].mosaic_id, 400))
    timed("the list of flights, a flight", lambda _: catalog.flights.flights(REAL), size)
    with serving(root) as (process, port):

        def get(path: str) -> bytes:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
                return bytes(answer.read())

        def point(n: int) -> str:
            tile = middle(n)
            one = TileRange(z=tile.z, x_start=tile.x, y_start=tile.y, x_stop=tile.x + 1, y_stop=tile.y + 1)
            west, south, east, north = _bounds(one)
            where = f"lon={(west + east) / 2}&lat={(south + north) / 2}"
            return f"{where}&flight={flown[n][0].flight_id}"

        get(f"/api/flights?event={REAL}")
        timed("served: a tile", lambda n: get(f"/tiles/{flown[n][2].mosaic_id}/{_path(middle(n))}.webp"))
        timed(
            "served: the evidence of a pixel",
            lambda n: get(f"/api/pixel?{point(n)}&flight={flown[n][0].flight_id}"),
        )
        timed("served: the list of flights, a flight", lambda _: get(f"/api/flights?event={REAL}"), size)
        timed("served: the board of communes, a flight", lambda _: get(f"/api/board?event={REAL}"), size)
        grown.server_bytes = psutil.Process(process.pid).memory_info().rss
    grown.catalogue_bytes = sum(file.stat().st_size for file in root.glob("catalog.sqlite*"))
    return grown


def _path(tile: TileId) -> str:
    return f"{tile.z}/{tile.x}/{tile.y}"


def _rows(grown: list[Grown]) -> list[Row]:
    few, many = grown[1] if len(grown) > 2 else grown[0], grown[-1]
    photos = PHOTOS_A_SIDE * PHOTOS_A_SIDE
    rows = [
        Row(
            what=f"{what}, {photos * many.flights:,} photos over {photos * few.flights:,}",
            measured=f"{1e3 * seconds:.3f} ms",
            peer=f"{1e3 * few.seconds[what]:.3f} ms",
            ratio=seconds / few.seconds[what],
            required=SLOWER,
            sense="at most",
            notes=tuple(
                f"{photos * one.flights:,} photos: {1e3 * one.seconds[what]:.3f} ms" for one in grown
            ),
        )
        for what, seconds in many.seconds.items()
    ]
    for what, bytes_of in (("catalogue", "catalogue_bytes"), ("the server's memory", "server_bytes")):
        last, first = (getattr(one, bytes_of) / (photos * one.flights) for one in (many, few))
        rows.append(
            Row(
                what=f"{what}, bytes a photo",
                measured=f"{last:,.0f} B",
                peer=f"{first:,.0f} B",
                ratio=last / first,
                required=SLOWER,
                sense="at most",
                notes=tuple(
                    f"{photos * one.flights:,} photos: {getattr(one, bytes_of) / 1e6:,.1f} MB"
                    for one in grown
                ),
            )
        )
    return rows
