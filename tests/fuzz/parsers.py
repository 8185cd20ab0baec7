"""Each parser of foreign bytes as one function of bytes: it reads them, or says in a typed error why not."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import zstandard
from pyproj import CRS

from flycam.catalog.catalog import open_catalog
from flycam.errors import FlycamError, SourceUnreadable, UnexpectedSource
from flycam.geodata.control_points import read_ground_control
from flycam.geodata.vector_file import read_layer
from flycam.ingest.live.recording import read_segment
from flycam.ingest.photos.photo_reader import read_metadata
from flycam.ingest.poses.external_poses import read_poses
from flycam.ingest.telemetry.log_files import read_flight_log
from flycam.ingest.upload import routes
from flycam.ingest.video.video_source import is_exercise_video, read_creation_ns
from flycam.model.board import LayerKind
from flycam.mosaic.terrain_codec import decode_terrain
from flycam.mosaic.tiles import codec
from flycam.storage.stores import MemoryStore
from flycam.sync import exchange, records, reference_feed, server
from flycam.sync.bundle import BundleParts
from flycam.sync.records import describe_unreadable_records
from flycam.workspace import Workspace
from tests.fuzz.corpus import BASE, TILE, part_of

Read = Callable[[bytes], None]


def _from_file(name: str, read: Callable[[Path], object]) -> Read:
    """Of a file with this name."""

    def from_bytes(data: bytes) -> None:
        path = _folder() / name
        path.write_bytes(data)
        try:
            read(path)
        except UnexpectedSource:
            raise  # people hear that the file is damaged; here it is an error of ours
        except FlycamError:
            pass

    return from_bytes


@cache
def _folder() -> Path:
    """In memory where there is such a place: a fuzzer writes thousands of files a second."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if memory.is_dir() else None))


@cache
def _house() -> Workspace:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    catalog = open_catalog(f"sqlite:///{folder / 'catalog.sqlite'}")
    return Workspace(store=MemoryStore(), catalog=catalog, box="province", cache_dir=folder, operator="")


def _read_table(path: Path) -> None:
    path.with_suffix(".prj").write_text(CRS("EPSG:32648").to_wkt())
    read_poses(path, vertical_datum="EGM96")


_read_gcp = _from_file("gcp_list.txt", read_ground_control)


def _read_bundle(data: bytes) -> None:
    path = _folder() / "field.fcb"
    path.write_bytes(data[1:] if data[:1] == b"\0" else part_of(data[1:]))
    with suppress(FlycamError), BundleParts(path) as parts:
        exchange.read_manifest(parts, 1 << 20, parts.seal.bundle_id)


def _read_headers(data: bytes) -> None:
    text = data.decode("latin-1")  # as a server hands headers on
    with suppress(FlycamError):
        routes._parse_metadata(text)
    with suppress(FlycamError):
        routes._parse_checksum(text)


def _read_sync(data: bytes) -> None:
    kind, body = data[0] if data else 0, data[1:]
    if kind in (0, 1, 2, 8):
        body = zstandard.ZstdCompressor(level=1).compress(body)
    with suppress(FlycamError):
        _READ_SYNC[kind % len(_READ_SYNC)](body)


def _read_tile(data: bytes) -> None:
    for read in (codec.decode_tile, codec.decode_rgb, codec.decode_mask):
        with suppress(FlycamError):
            read(data, TILE)


def _read_terrain(data: bytes) -> None:
    with suppress(FlycamError):
        decode_terrain(data)


def _read_film(path: Path) -> None:
    read_creation_ns(path)
    is_exercise_video(path)
    piece = path.with_name("1790000000000000000.mp4")
    piece.write_bytes(path.read_bytes())
    read_segment(piece)


def _read_vector(data: bytes) -> None:
    kind, body = data[0] % 3 if data else 0, data[1:]
    path = _folder() / ("layer.kml" if kind == 0 else "layer.kmz")
    path.write_bytes(body)
    if kind == 2:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("doc.kml", body)
    with suppress(FlycamError):
        read_layer(path, LayerKind.MAST)


def _read_records(body: bytes) -> None:
    values = records.decode_record_values(body, "records")
    try:
        records.parse_flight_records(values, "records")
    except SourceUnreadable as error:
        describe_unreadable_records("field", values, error)


def _read_change(body: bytes) -> None:
    made = records.apply_record_delta(body, lambda _sha256: BASE, "change")
    records.decode_flight_records(made, "records")


def _read_step(body: bytes) -> None:
    path = _folder() / "step"
    path.write_bytes(len(body).to_bytes(4, "little") + body)
    server.open_step(path)[0].close()


def _answer(body: bytes) -> None:
    with suppress(ValueError, RecursionError):  # the server refuses what is no JSON before
        question = json.loads(body)
        if isinstance(question, dict):
            server.answer_inventory_query(_house(), question, "1")


_READ_SYNC: tuple[Callable[[bytes], object], ...] = (
    _read_records,
    _read_step,
    lambda body: reference_feed.decode_feed_listing(body, "list"),
    _answer,
    _answer,  # 4 stood for something that went: kept inputs go on meaning what they meant
    _read_records,
    _read_step,
    lambda body: reference_feed.decode_feed_listing(body, "list"),
    _read_change,
    _read_change,
)

PARSERS: dict[str, Read] = {
    "photo": _from_file("DJI_0001.JPG", read_metadata),
    "srt": _from_file("DJI_0001.SRT", read_flight_log),
    "tlog": _from_file("flight.tlog", read_flight_log),
    "dataflash": _from_file("flight.bin", read_flight_log),
    "airdata": _from_file("flight.csv", read_flight_log),
    "ulog": _from_file("flight.ulg", read_flight_log),
    "klv": _from_file("flight.klv", read_flight_log),
    "gpmf": _from_file("telemetry.mp4", read_flight_log),
    "ts": _from_file("flight.ts", read_flight_log),
    "csv": _from_file("poses.csv", _read_table),
    "geojson": _from_file("layer.geojson", lambda path: read_layer(path, LayerKind.MAST)),
    "gcp": lambda data: _read_gcp(b"EPSG:32648\n" + data),
    "crs": lambda data: _read_gcp(data + b"\n400100.5 2400200.25 812.4 100.5 200.5 DJI_0001.JPG A\n"),
    "bundle": _read_bundle,
    "tus": _read_headers,
    "sync": _read_sync,
    "tile": _read_tile,
    "terrain": _read_terrain,
    "mp4": _from_file("flight.mp4", _read_film),
    "vector": _read_vector,
}

SLOW = frozenset({"crs"})
"""Tried with a tenth of the inputs, where these are counted: to look up a system that nobody knows takes a
thousand times as long as to read a mark."""
