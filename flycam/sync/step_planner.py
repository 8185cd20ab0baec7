"""Planner of steps: each is a small exchange of its own, whole or not at all.

A step's manifest begins at the cursor that the step before left, so the receiver's cursor is the only
state. Order: records of flights without tiles to come, the records of the others with their coarse
previews (of a flight from video with its initial records), finer previews, the rest of such records,
tiles in log order with the terrain under them, other terrain, photos.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import zstandard
from numpy.typing import NDArray

from flycam.errors import SourceUnreadable
from flycam.geometry.grid import TileId, TileRange, compute_ground_pixel_m
from flycam.messages import _
from flycam.model.flight import Flight
from flycam.model.records import FrameRecord, FrameStatus
from flycam.mosaic.tiles.peers import PeerCursor, encode_preview, has_peer_tiles
from flycam.storage.files import decompress_bounded
from flycam.sync.manifest import (
    EMPTY_DIGEST,
    EXCHANGE_FORMAT,
    INVENTORY_KEYS,
    ExchangeManifest,
    LogRange,
    ManifestItem,
    MissingObjects,
    ObjectKind,
    decode_manifest,
    encode_manifest,
    require_log_covers,
    require_same_log,
)
from flycam.sync.node import Node
from flycam.sync.offer import (
    ExchangeOffer,
    IntegrityFilter,
    LogPosition,
    LogTail,
    MissingHeadsQuery,
    build_terrain_item,
    build_tile_item,
    drop_known_tiles,
    iterate_original_items,
    list_terrain_ids,
    read_log_tail,
    requeue_repaired_tiles,
)
from flycam.sync.records import (
    FlightRecords,
    compute_record_delta,
    encode_flight_records,
    read_flight_records,
)

# -- Cache of records sent to a peer, so that the next ones can be sent as deltas ------------------
#
#     <cache>/sent/FLIGHT.NUMBER.SHA256   as they were sent
#
# Without it the next records of each flight are sent whole once.


_MAX_RECORDS = 4
"""Of one flight: the peer has one of them; later ones were sent and not answered."""


class SentRecordCache:
    """Sent records by flight, oldest first.

    Those that cannot be written or read count as not sent.
    """

    def __init__(self, cache_dir: Path) -> None:
        self._folder = cache_dir / "sent"
        self._names: dict[str, list[tuple[int, str]]] = {}
        with suppress(OSError):
            for path in self._folder.iterdir():
                parts = path.name.rsplit(".", 2)
                if len(parts) == 3 and parts[1].isdigit():
                    self._names.setdefault(parts[0], []).append((int(parts[1]), parts[2]))
        for some in self._names.values():
            some.sort()

    def list_sha256(self, flight_id: str) -> list[str]:
        """Return the SHA-256 of a flight's cached records."""
        return [sha256 for __, sha256 in self._names.get(flight_id, ())]

    def read(self, flight_id: str, sha256: str) -> bytes | None:
        """Return cached records; None if they are not whole."""
        for number, name in self._names.get(flight_id, ()):
            if name == sha256:
                with suppress(OSError):
                    data = self._path(flight_id, number, name).read_bytes()
                    return data if hashlib.sha256(data).hexdigest() == sha256 else None
        return None

    def keep(self, flight_id: str, sha256: str, data: bytes) -> None:
        """Add records; of too many the second oldest goes.

        The oldest may be those that the peer has.
        """
        some = self._names.setdefault(flight_id, [])
        if any(name == sha256 for __, name in some):
            return
        number = some[-1][0] + 1 if some else 0
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path(flight_id, number, sha256).write_bytes(data)
            some.append((number, sha256))
        if len(some) > _MAX_RECORDS:
            self._forget(flight_id, some[1:2])

    def keep_only(self, flight_id: str, sha256: str, data: bytes) -> None:
        """Keep only these records, which the peer has."""
        self.keep(flight_id, sha256, data)
        self._forget(flight_id, [one for one in self._names[flight_id] if one[1] != sha256])

    def _forget(self, flight_id: str, some: Iterable[tuple[int, str]]) -> None:
        for number, sha256 in list(some):
            self._names[flight_id].remove((number, sha256))
            with suppress(OSError):
                self._path(flight_id, number, sha256).unlink()

    def _path(self, flight_id: str, number: int, sha256: str) -> Path:
        return self._folder / f"{flight_id}.{number}.{sha256}"


# -- Records reduced for a slow connection ---------------------------------------------------------


_FIRST_FRAMES = 32
_METRES_IN_DEGREE = 111_000.0
# of a double of about 100 degrees: less than a centimetre
_LOW_BITS = np.uint64((1 << 22) - 1)


def simplify_footprints(records: FlightRecords) -> FlightRecords:
    """Return the records with footprints (lon, lat in degrees) simplified to a pixel.

    Most of the bytes are vertices and digits without visible effect. A placement's id does not cover
    them.
    """
    return replace(
        records,
        frames=tuple(
            one
            if one.footprint_wkb is None
            else replace(one, footprint_wkb=_quantise_polygon(one.footprint_wkb, one.gsd_m))
            for one in records.frames
        ),
    )


def select_initial_records(records: FlightRecords) -> FlightRecords:
    """Return the records that are sent before a flight's first preview.

    Ten minutes of video are thousands of frames, megabytes of records. Sent are the first frames,
    redacted ones, and everything else but frames; a flight with few frames or of photos whole: the peer
    matches a flight by any of its photos, and a video's by its id.
    """
    frames = records.frames
    if len(frames) <= 2 * _FIRST_FRAMES or any(one.header.provenance.film is None for one in frames):
        return records
    masked = {line.frame_id for line in records.redactions}
    kept = [one for at, one in enumerate(frames) if at < _FIRST_FRAMES or one.frame_id in masked]
    names = {one.frame_id for one in kept}
    return replace(
        records,
        frames=tuple(kept),
        placements=tuple(one for one in records.placements if one.frame_id in names),
    )


def _quantise_polygon(wkb: bytes, gsd_m: float | None) -> bytes:
    def cut(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
        bits = np.ascontiguousarray(degrees, dtype=np.float64).view(np.uint64)
        return (bits & ~_LOW_BITS).view(np.float64)

    footprint = shapely.simplify(shapely.from_wkb(wkb), (gsd_m or 0.0) / _METRES_IN_DEGREE)
    return bytes(shapely.to_wkb(shapely.transform(footprint, cut)))


# -- Records that a peer may lack, to be sent whole, as a delta, or not at all ---------------------


@dataclass(frozen=True, slots=True)
class EncodedRecords:
    """Records as bytes, and their SHA-256."""

    flight_id: str
    sha256: str
    data: bytes


class RecordOffer:
    """Records of each flight, all and, for a video's first preview, the initial ones.

    as_changes  whether they may be sent as deltas
    """

    def __init__(self, node: Node, *, as_changes: bool = True) -> None:
        self._sent = SentRecordCache(node.cache_dir)
        self._as_changes = as_changes
        self._all_records: dict[str, EncodedRecords] = {}
        self._begun: dict[str, EncodedRecords] = {}
        self._there: set[str] = set()
        self._last: tuple[str, str, bytes] = ("", "", b"")

    def add(self, records: FlightRecords) -> None:
        """Add the records of one flight."""
        flight_id, thin = records.flight.flight_id, simplify_footprints(records)
        self._all_records[flight_id] = _encode_records(flight_id, thin)
        if (begun := select_initial_records(thin)) is not thin:
            self._begun[flight_id] = _encode_records(flight_id, begun)

    @property
    def names(self) -> set[str]:
        """SHA-256 of all records about which the peer is queried.

        Those sent before are included, for the peer deletes records that are not named.
        """
        before = {sha256 for flight_id in self._all_records for sha256 in self._sent.list_sha256(flight_id)}
        return {one.sha256 for some in (self._all_records, self._begun) for one in some.values()} | before

    def note_missing(self, missing: MissingObjects) -> None:
        """Note which of these the peer lacks."""
        self._there = self.names - set(missing.records)
        for encoded in self._all_records.values():
            if encoded.sha256 in self._there:
                self._sent.keep_only(encoded.flight_id, encoded.sha256, encoded.data)

    def get_all(self, flight_id: str) -> EncodedRecords:
        """Return all records of a flight."""
        return self._all_records[flight_id]

    def get_initial(self, flight_id: str) -> EncodedRecords:
        """Return the records that are sent with previews: all, if the peer has them."""
        all_records = self._all_records[flight_id]
        return all_records if self.is_known_to_peer(all_records) else self._begun.get(flight_id, all_records)

    def is_known_to_peer(self, records: EncodedRecords) -> bool:
        """Return True if the peer has them."""
        return records.sha256 in self._there

    def size_bytes(self, records: EncodedRecords) -> int:
        """Return the bytes to be sent, whole or as a delta."""
        return self._encode_outgoing(records)[0].size_bytes

    def take_item(self, records: EncodedRecords) -> tuple[ManifestItem, bytes]:
        """Return the item to be sent and its bytes; note that the peer has it."""
        outgoing = self._encode_outgoing(records)
        self._sent.keep(records.flight_id, records.sha256, records.data)
        self._there.add(records.sha256)
        return outgoing

    def _encode_outgoing(self, full: EncodedRecords) -> tuple[ManifestItem, bytes]:
        base = self._find_base(full)
        if base is not None:
            change = self._encode_delta(full, base)
            if 0 < len(change) < len(full.data):
                sha256 = hashlib.sha256(change).hexdigest()
                return ManifestItem(
                    kind=ObjectKind.RECORD_DELTA, sha256=sha256, size_bytes=len(change), name=full.sha256
                ), change
        return ManifestItem(kind=ObjectKind.RECORDS, sha256=full.sha256, size_bytes=len(full.data)), full.data

    def _encode_delta(self, records: EncodedRecords, base: str) -> bytes:
        """Return the delta from earlier records; empty if these are not whole any more.

        The last one is cached, for its size is compared before it is sent.
        """
        if self._last[:2] != (records.sha256, base):
            earlier = self._sent.read(records.flight_id, base)
            self._last = (
                records.sha256,
                base,
                b"" if earlier is None else compute_record_delta(records.data, earlier),
            )
        return self._last[2]

    def _find_base(self, records: EncodedRecords) -> str | None:
        """Return the SHA-256 of the last records that were sent and that the peer has."""
        before = [one for one in self._sent.list_sha256(records.flight_id) if one in self._there]
        return before[-1] if before and self._as_changes else None


def _encode_records(flight_id: str, records: FlightRecords) -> EncodedRecords:
    data = encode_flight_records(records)
    return EncodedRecords(flight_id, hashlib.sha256(data).hexdigest(), data)


# -- One step as sent: `u32 length · manifest, compressed · objects`, little-endian ----------------
#
# It is named by the SHA-256 of these bytes (docs/formats/sync.md).


_LENGTH = struct.Struct("<I")
_LEVEL = 9
_MAX_MANIFEST_BYTES = 16 << 20


class SyncStep:
    """One step, built when it is due. Its bytes can be read again from any offset."""

    def __init__(self, offered: ExchangeOffer) -> None:
        compressed = zstandard.ZstdCompressor(level=_LEVEL).compress(encode_manifest(offered.manifest))
        self._head = _LENGTH.pack(len(compressed)) + compressed
        self._offered = offered
        self.size_bytes = len(self._head) + offered.manifest.size_bytes
        digest = hashlib.sha256()
        for block in self.blocks(0):
            digest.update(block)
        self.sha256 = digest.hexdigest()

    @property
    def manifest(self) -> ExchangeManifest:
        return self._offered.manifest

    def blocks(self, start: int) -> Iterator[bytes]:
        """Yield its bytes from `start` on; ObjectMissing if the store lost an object."""
        for block in self._all():
            if start < len(block):
                yield block[start:] if start else block
            start = max(start - len(block), 0)

    def _all(self) -> Iterator[bytes]:
        yield self._head
        for item in self._offered.manifest.items:
            yield from self._offered.blocks(item)


def read_step_manifest(path: Path, place: str) -> tuple[ExchangeManifest, int]:
    """Return the manifest of a step in a file and the first object's offset.

    Raises SourceUnreadable.
    """
    try:
        with path.open("rb") as file:
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            compressed = file.read(min(length, _MAX_MANIFEST_BYTES))
        plain = decompress_bounded(compressed, _MAX_MANIFEST_BYTES)
    except (struct.error, ValueError, zstandard.ZstdError) as error:
        raise SourceUnreadable(
            _(
                "{place}: the received data are not a step ({error}); bring both nodes to the same version",
                place=place,
                error=error,
            )
        ) from error
    return decode_manifest(plain, place), _LENGTH.size + length


# -- Terrains of a flight's frames, sent with the tiles that were made on them ---------------------
#
# A peer that has the photos may have to rebuild such a tile at once, as where a frame has another placement
# there: the terrain it needs for that must not come later. A flight from video has a terrain for each frame.


class TerrainSchedule:
    """Terrains of all flights of a node; names: ids of all that are here."""

    def __init__(self, node: Node, readable: IntegrityFilter) -> None:
        self._node, self._readable = node, readable
        self._under: dict[str, list[tuple[TileRange, str]]] = {}
        self._missing: set[str] = set()
        self.names: set[str] = set()

    def add(self, flight_id: str, frames: Collection[FrameRecord]) -> None:
        """Add the terrains of a flight's frames."""
        here = set(list_terrain_ids(self._node, frames))
        self.names |= here
        self._under[flight_id] = [
            (one.tiles, one.dem_id)
            for one in frames
            if one.status is FrameStatus.USED and one.tiles is not None and one.dem_id in here
        ]

    def note_missing(self, missing: Iterable[str]) -> None:
        """Note which of them the peer lacks."""
        self._missing = set(missing)
        for flight_id, under in self._under.items():
            self._under[flight_id] = [one for one in under if one[1] in self._missing]

    def select_for_tiles(self, flight_id: str, tile_ids: Set[TileId]) -> list[ManifestItem]:
        """Return the terrains under these tiles that were not sent before."""
        found = {
            dem_id
            for tiles, dem_id in self._under[flight_id]
            if dem_id in self._missing and any(tile_id in tiles for tile_id in tile_ids)
        }
        self._missing -= found
        return list(self._items(sorted(found)))

    def iterate_remaining(self, target: Callable[[], int]) -> Iterator[list[ManifestItem]]:
        """Yield the remaining terrains, about `target()` bytes at a time."""
        some: list[ManifestItem] = []
        size = 0
        for item in self._items(sorted(self._missing)):
            some.append(item)
            size += item.size_bytes
            if size >= target():
                yield some
                some, size = [], 0
        if some:
            yield some

    def _items(self, dem_ids: Iterable[str]) -> Iterator[ManifestItem]:
        for dem_id in dem_ids:
            if (data := self._readable.terrain(dem_id)) is not None:
                yield build_terrain_item(dem_id, data)


# -- Planner of steps: queries first, then steps ---------------------------------------------------


ByteBudget = Callable[[], int]
"""Bytes, evaluated anew for each step."""

# pixel size of the previews of the whole area that go before any finer one
_OVERVIEW_M = 1.0
_INLINE_RECORDS_BYTES = 24 << 10
# hashes of about 270 KB; a request holds 4 MiB
_MAX_QUERY_NAMES = 4000
_EMPTY_QUERY: Mapping[str, Any] = {"mosaics": [], **{word: [] for word in INVENTORY_KEYS.values()}}


class StepPlanner:
    """All that a peer may lack in the current state: queries about it, then steps.

    Ends of the logs are read first and the records after them, as for a bundle.
    """

    def __init__(
        self,
        node: Node,
        *,
        originals: bool = False,
        reached: dict[str, LogPosition] | None = None,
        record_changes: bool = True,
    ) -> None:
        """Read the ends of the logs, then the records.

        reached         kept by the caller from one planner to the next: logs are read from there
        record_changes  whether records may be sent as deltas
        """
        self._node, self._reached = node, {} if reached is None else reached
        self.readable = IntegrityFilter(node, requeue_repaired_tiles(node))
        self._ends = {
            one.mosaic_id: (one, node.catalog.tiles.last_seq(one.mosaic_id))
            for one in node.catalog.tiles.mosaics()
            if one.revision == 0
        }
        flights = node.catalog.flights.flights()
        self._flights = sorted(flights, key=lambda one: (-one.last_ns, one.flight_id))
        self._records = RecordOffer(node, as_changes=record_changes)
        self._originals: dict[str, tuple[ManifestItem, str]] = {}
        self._grounds = TerrainSchedule(node, self.readable)
        self._withdrawn_in: set[str] = set()
        for flight in self._flights:
            records = read_flight_records(node.catalog, flight)
            self._grounds.add(flight.flight_id, records.frames)
            if records.withdrawals:
                self._withdrawn_in.add(flight.flight_id)
            self._records.add(records)
            for item in iterate_original_items(node, records) if originals else ():
                self._originals[item.sha256] = (item, flight.flight_id)
        self._logs: dict[str, list[LogTail]] = {}
        self.left_out_bytes = 0
        """Of tiles that the peer turned out to have from elsewhere."""
        self.conflicts: set[str] = set()
        """Flights that the peer cannot merge: nothing more of them is sent."""

    def build_query(self) -> dict[str, object]:
        """Return the first query to the peer."""
        return {
            "format": EXCHANGE_FORMAT,
            "box": self._node.box,
            "mosaics": sorted(self._ends),
            "records": sorted(self._records.names),
            **{word: [] for word in INVENTORY_KEYS.values()},
        }

    def build_name_queries(
        self, kind: ObjectKind, question: Mapping[str, object], queried: Collection[str]
    ) -> Iterator[dict[str, Any]]:
        """Yield queries about names of a kind not queried yet, each of bounded size.

        question  as first sent; the peer deletes records that a query does not name
        """
        left = sorted(self.names(kind) - set(queried))
        for start in range(0, len(left), _MAX_QUERY_NAMES):
            yield {**question, **_EMPTY_QUERY, INVENTORY_KEYS[kind]: left[start : start + _MAX_QUERY_NAMES]}

    def build_heads_query(self, mosaic_id: str, heads: Sequence[str]) -> dict[str, Any]:
        """Return a query about heads of one mosaic.

        It names no records, and none of them are deleted.
        """
        header = {"format": EXCHANGE_FORMAT, "box": self._node.box}
        return {**header, **_EMPTY_QUERY, "heads": {mosaic_id: heads}}

    def note_missing(self, missing: MissingObjects) -> None:
        """Note what the peer lacks.

        Raises StoreConflict where what it imported under this node's name is another log, or more of it
        than there is.
        """
        self._records.note_missing(missing)
        self._logs = {}
        seen = frozenset(missing.views)
        for mosaic, until in self._ends.values():
            known = missing.cursors.get(mosaic.mosaic_id, PeerCursor(seq=0, digest=EMPTY_DIGEST))
            require_log_covers(self._node.box, mosaic.mosaic_id, known.seq, until)
            log = read_log_tail(self._node.catalog.tiles, mosaic, known.seq, until, seen, self._reached)
            require_same_log(self._node.box, mosaic.mosaic_id, known.seq, known.digest, log.digests[0])
            if log.until > log.since:
                self._logs.setdefault(mosaic.flight_id, []).append(log)

    def is_current(self) -> bool:
        """Return True if the logs still end where they ended when this was built."""
        tiles = self._node.catalog.tiles
        return all(tiles.last_seq(name) == until for name, (__, until) in self._ends.items())

    def tile_bytes(self) -> int:
        """Return the bytes of tiles that the peer lacks, without records and previews."""
        return sum(
            self.readable.size(line)
            for logs in self._logs.values()
            for log in logs
            for line in log.tiles
            if line.seq > log.since
        )

    def count_bytes(self, kind: ObjectKind, names: Iterable[str]) -> int:
        """Return the bytes of these photos that may be sent; 0 for terrain."""
        return (
            sum(item.size_bytes for item in self._iterate_photos(names)) if kind is ObjectKind.ORIGINAL else 0
        )

    def names(self, kind: ObjectKind) -> Set[str]:
        """Return the names of a kind: SHA-256 of photos, ids of terrain."""
        return self._originals.keys() if kind is ObjectKind.ORIGINAL else self._grounds.names

    def steps(
        self,
        missing: MissingObjects,
        target: ByteBudget,
        limit: ByteBudget = lambda: sys.maxsize,
        *,
        heads: MissingHeadsQuery = lambda _mosaic_id, heads: heads,
        has_tiles: bool = True,
    ) -> Iterator[SyncStep]:
        """Yield the steps, each built when it is due and of about `target()` bytes.

        When the next is requested, the one before was imported.

        limit      upper bound of several tiles or previews together; also twice the target
        heads      queries the peer, when due, which tiles it lacks
        has_tiles  False: records and previews alone, for a metered connection
        """

        def most() -> int:
            return min(2 * target(), limit())

        fresh = [one for one in self._flights if one.flight_id in self._logs]
        yield from self._iterate_known_flights(target)
        for flight in fresh:
            for log in self._logs[flight.flight_id]:
                # the peer may have it from another node, or have rebuilt it itself without withdrawn
                # frames
                name = log.mosaic.mosaic_id
                if flight.flight_id in self._withdrawn_in or has_peer_tiles(self._node.store, name):
                    self._drop_known(log, heads, views=True)
            yield from self._iterate_views(flight, target, most, coarse=True)
        for flight in fresh:
            yield from self._iterate_views(flight, target, most, coarse=False)
        for flight in fresh:
            yield from self._iterate_remaining_records(flight)
        if not has_tiles:
            return
        self._grounds.note_missing(missing.terrain)
        for flight in fresh:
            for log in self._logs[flight.flight_id]:
                yield from self._iterate_tiles(flight, log, target, most, heads)
        yield from (self._build_step(some, {}) for some in self._grounds.iterate_remaining(target))
        for item in self._iterate_photos(missing.originals):
            if self.readable.has_original(item.sha256):
                yield self._build_step([item], {})

    def _iterate_photos(self, names: Iterable[str]) -> Iterator[ManifestItem]:
        """Yield these photos unless the peer does not import their flights' records."""
        for name in names:
            item, flight_id = self._originals.get(name, (None, ""))
            if item is not None and flight_id not in self.conflicts:
                yield item

    def _iterate_known_flights(self, target: ByteBudget) -> Iterator[SyncStep]:
        """Yield steps of records of flights without tiles to come, many in a step.

        They go first, for withdrawals are among them.
        """
        waiting = [
            one
            for one in self._flights
            if one.flight_id not in self._logs
            and not self._records.is_known_to_peer(self._records.get_all(one.flight_id))
        ]
        while waiting:
            items: list[ManifestItem] = []
            inline: dict[str, bytes] = {}
            size = 0
            while waiting and (not items or size < target()):
                item, data = self._records.take_item(self._records.get_all(waiting.pop(0).flight_id))
                items.append(item)
                inline[item.sha256] = data
                size += len(data)
            yield self._build_step(items, inline)

    def _iterate_views(
        self, flight: Flight, target: ByteBudget, most: ByteBudget, *, coarse: bool
    ) -> Iterator[SyncStep]:
        """Yield previews of a flight's parents, coarse zooms first, with missing records."""
        waiting = [
            line
            for log in self._logs[flight.flight_id]
            for line in log.views
            if _is_coarse(line.tile_id.z, flight) == coarse
        ]
        mosaics = {log.mosaic.mosaic_id: log.mosaic for log in self._logs[flight.flight_id]}
        has_records = self._records.is_known_to_peer(self._records.get_initial(flight.flight_id))
        while (waiting or not has_records) and flight.flight_id not in self.conflicts:
            items: list[ManifestItem] = []
            inline: dict[str, bytes] = {}
            size = 0
            # records of many photos fill a step: some previews go with them, so that there is something
            # to see
            own = 0 if has_records else self._records.size_bytes(self._records.get_initial(flight.flight_id))
            room = max(target() - own, min(target(), _INLINE_RECORDS_BYTES))
            waiting.sort(key=lambda one: (one.tile_id.z, -one.seq))
            while waiting and (not items or size < room):
                line = waiting[0]
                parent = self.readable.parent(mosaics[line.mosaic_id], line)
                view = b"" if parent is None else encode_preview(parent)
                if items and size + len(view) > max(most() - own, room):
                    break
                waiting.pop(0)
                if parent is None:
                    continue
                item = build_tile_item(line, view, ObjectKind.VIEW)
                items.append(item)
                inline[item.sha256] = view
                size += len(view)
            here = {log.mosaic.mosaic_id: log.build_range(log.since) for log in self._logs[flight.flight_id]}
            if items or not has_records:
                records = self._records.get_initial(flight.flight_id)
                yield self._build_flight_step(flight, items, inline, here, records)
            has_records = True

    def _iterate_remaining_records(self, flight: Flight) -> Iterator[SyncStep]:
        """Yield the records of a flight whose previews went with the initial ones."""
        all_records = self._records.get_all(flight.flight_id)
        if not self._records.is_known_to_peer(all_records) and flight.flight_id not in self.conflicts:
            here = {log.mosaic.mosaic_id: log.build_range(log.since) for log in self._logs[flight.flight_id]}
            yield self._build_flight_step(flight, [], {}, here, all_records)

    def _drop_known(self, log: LogTail, heads: MissingHeadsQuery, *, views: bool = False) -> None:
        self.left_out_bytes += sum(map(self.readable.size, drop_known_tiles(log, heads, views=views)))

    def _iterate_tiles(
        self, flight: Flight, log: LogTail, target: ByteBudget, most: ByteBudget, heads: MissingHeadsQuery
    ) -> Iterator[SyncStep]:
        """Yield base tiles in log order: each step ends where the cursor may be after it."""
        self._drop_known(log, heads)
        waiting = list(log.tiles)
        end = log.until
        while log.since < end and flight.flight_id not in self.conflicts:
            items: list[ManifestItem] = []
            tiles: set[TileId] = set()
            inline: dict[str, bytes] = {}
            size, reached = 0, log.since
            while waiting and (not items or size < target()):
                line = waiting[0]
                data = self.readable.tile(line)
                if data is not None and items and size + len(data) > most():
                    break
                waiting.pop(0)
                reached = line.seq
                if data is None:
                    continue
                item = build_tile_item(line, data)
                items.append(item)
                tiles.add(line.tile_id)
                inline[item.sha256] = data
                size += len(data)
            until = reached if waiting else end
            items = [*self._grounds.select_for_tiles(flight.flight_id, tiles), *items]
            stretch = {log.mosaic.mosaic_id: log.build_range(until)}
            yield self._build_flight_step(
                flight, items, inline, stretch, self._records.get_all(flight.flight_id)
            )
            log.move_to(until)

    def _build_flight_step(
        self,
        flight: Flight,
        items: Sequence[ManifestItem],
        inline: Mapping[str, bytes],
        stretches: Mapping[str, LogRange],
        records: EncodedRecords,
    ) -> SyncStep:
        """Return a step of one flight: the first has its records, later ones name them."""
        known = (records.sha256,) if self._records.is_known_to_peer(records) else ()
        if not known:
            item, data = self._records.take_item(records)
            items, inline = [item, *items], {**inline, item.sha256: data}
        reached = {name: one.until for name, one in stretches.items()}
        unfinished = {
            log.mosaic.mosaic_id
            for log in self._logs[flight.flight_id]
            if reached.get(log.mosaic.mosaic_id, log.since) < log.until
        }
        manifest = ExchangeManifest(
            box=self._node.box,
            log_ranges=stretches,
            items=tuple(items),
            known_records=known,
            unfinished_mosaics=frozenset(unfinished),
        )
        return SyncStep(ExchangeOffer(manifest=manifest, inline_bytes=dict(inline), store=self._node.store))

    def _build_step(self, items: Sequence[ManifestItem], inline: Mapping[str, bytes]) -> SyncStep:
        manifest = ExchangeManifest(box=self._node.box, items=tuple(items))
        return SyncStep(ExchangeOffer(manifest=manifest, inline_bytes=dict(inline), store=self._node.store))


def _is_coarse(zoom: int, flight: Flight) -> bool:
    """Return True for overview zooms: up to the first of at most _OVERVIEW_M a pixel."""
    bounds = flight.bounds_lonlat_deg
    latitude_deg = 0.0 if bounds is None else (bounds[1] + bounds[3]) / 2
    return zoom == 0 or compute_ground_pixel_m(zoom - 1, latitude_deg) > _OVERVIEW_M
