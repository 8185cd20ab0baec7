"""Planner of what a peer lacks: the offer, and its steps, or all in one bundle.

A step's manifest begins at the cursor that the step before left, so the receiver's cursor is the only
state. Order: records of flights without tiles to come, the records of the others with their coarse
previews (of a flight from video with its initial records), finer previews, the rest of such records,
tiles in log order with the terrain under them, other terrain, photos.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.catalog.mosaics import Tiles
from flycam.catalog.retention import select_active_purges
from flycam.errors import ObjectMissing
from flycam.geometry.grid import TileId, TileRange, compute_ground_pixel_m
from flycam.model.flight import Flight
from flycam.model.frame import MosaicTile, TileRecord
from flycam.model.records import FrameRecord, FrameStatus, MosaicInfo
from flycam.mosaic.terrain_codec import decode_terrain
from flycam.mosaic.tiles.codec import decode_tile, read_tile
from flycam.mosaic.tiles.peers import PeerCursor, encode_preview, has_peer_tiles
from flycam.mosaic.tiles.writer import DAMAGE, rebuild_parent
from flycam.storage import keys
from flycam.sync.exchange import (
    DIGEST_PREFIX_DIGITS,
    EMPTY_DIGEST,
    HEAD_DIGITS,
    ExchangeManifest,
    ExchangeOffer,
    InventoryAnswer,
    InventoryQuery,
    LogCursor,
    LogRange,
    ManifestItem,
    ObjectKind,
    TileLogEntry,
    iterate_digests,
    require_log_covers,
    require_same_log,
)
from flycam.sync.node_keys import get_own_key
from flycam.sync.records import (
    FlightRecords,
    compute_record_delta,
    encode_flight_records,
    read_flight_records,
)
from flycam.workspace import Workspace

# -- Offer to a peer: what it lacks beyond its cursor ----------------------------------------------
#
# This is the sending side. Log and heads are read first, records after them, so that the records include at
# least the amendments that the tiles were made with.
#
# Damaged objects are deferred, and tiles that the peer has from elsewhere are left out.


# -- Integrity check of objects before sending -----------------------------------------------------
#
# Lost and damaged objects are skipped. A peer's cursor goes past the log line of a skipped base tile, so that
# everything else continues. The tile is deferred: once its object reads again (`flycam verify`), its line is
# logged once more, and every peer gets it.


_BLOCK_BYTES = 4 << 20
_LIVE = 0


class IntegrityFilter:
    """Reader of a node's objects that checks each hash before the object is offered.

    skipped  keys of those that are lost or damaged, as `flycam verify` names them, in the order met
    deferred_keys  of those that were deferred before and are not intact yet
    """

    def __init__(self, node: Workspace, deferred_keys: Iterable[str] = ()) -> None:
        self._node = node
        self._skipped: dict[str, None] = dict.fromkeys(deferred_keys)

    @property
    def skipped(self) -> tuple[str, ...]:
        return tuple(self._skipped)

    def size(self, line: TileRecord) -> int:
        """Return the bytes of a tile's object; 0 if it is lost."""
        try:
            return self._node.store.size(line.key)
        except ObjectMissing:
            return 0

    def tile(self, line: TileRecord) -> tuple[ManifestItem, bytes] | None:
        """Return a base tile; None if it is skipped, and deferred from now on.

        Raises ObjectMissing where the log advanced meanwhile and the tile was collected: query again.
        """
        try:
            data = self._node.store.get(line.key)
            decode_tile(data, line.tile_id, line.content_hash)
        except DAMAGE as error:
            head = self._node.catalog.tiles.head(line.mosaic_id, _LIVE, line.tile_id)
            if isinstance(error, ObjectMissing) and (head is None or head.key != line.key):
                raise
            self._node.store.put(
                keys.format_deferred_tile_key(line.mosaic_id, line.tile_id), b"", durable=True
            )
            self._skipped[line.key] = None
            return None
        return _build_tile_item(line, data, ObjectKind.TILE)

    def preview(self, mosaic: MosaicInfo, line: TileRecord) -> tuple[ManifestItem, bytes] | None:
        """Return a preview of a parent, rebuilt from its children if damaged; else None."""
        parent = self._read_parent(mosaic, line)
        if parent is None:
            return None
        return _build_tile_item(line, encode_preview(parent), ObjectKind.VIEW)

    def _read_parent(self, mosaic: MosaicInfo, line: TileRecord) -> MosaicTile | None:
        tiles = self._node.catalog.tiles

        def head_of(tile_id: TileId) -> TileRecord | None:
            return tiles.head(mosaic.mosaic_id, _LIVE, tile_id)

        try:
            return read_tile(self._node.store, line)
        except DAMAGE:
            self._skipped[line.key] = None
        with suppress(*DAMAGE):
            return rebuild_parent(self._node.store, head_of, line, mosaic.base_zoom)
        return None

    def terrain(self, dem_id: str) -> ManifestItem | None:
        """Return a recorded terrain; None if it is skipped."""
        key = keys.format_terrain_key(dem_id)
        try:
            data = self._node.store.get(key)
            if decode_terrain(data).dem_id == dem_id:
                return build_terrain_item(dem_id, data)
        except DAMAGE:
            pass
        self._skipped[key] = None
        return None

    def has_original(self, sha256: str) -> bool:
        """Check whether a photo's bytes match its hash, read to the end; if not, skip it."""
        key, store = keys.format_original_key(sha256), self._node.store
        digest = hashlib.sha256()
        with suppress(ObjectMissing):
            for start in range(0, store.size(key), _BLOCK_BYTES):
                digest.update(store.get_range(key, start, _BLOCK_BYTES))
            if digest.hexdigest() == sha256:
                return True
        self._skipped[key] = None
        return False


def requeue_repaired_tiles(node: Workspace) -> list[str]:
    """Log repaired deferred base tiles again; return the keys of those still damaged.

    Interrupted in between, a line is logged twice, which changes nothing at any peer.
    """
    still_damaged: list[str] = []
    for key in list(node.store.list(keys.format_deferred_tile_prefix())):
        mosaic_id, tile_id = keys.parse_deferred_tile_key(key)
        head = node.catalog.tiles.head(mosaic_id, _LIVE, tile_id)
        if head is not None:
            try:
                read_tile(node.store, head)
            except DAMAGE:
                still_damaged.append(head.key)
                continue
            node.catalog.tiles.relog_heads(mosaic_id, _LIVE, [tile_id])
        node.store.delete(key)
    return still_damaged


# -- Mosaic log beyond a peer's cursor, which advances as steps are imported -----------------------


_LINES_AT_ONCE = 5000


LogPosition = tuple[int, str]
"""A line of a log and the digest after it; both are immutable."""

LOG_START: LogPosition = (0, EMPTY_DIGEST)


@dataclass(kw_only=True, slots=True)
class LogTail:
    """One mosaic's log beyond the peer's cursor, with the last line of each tile in it.

    digests     after each line from `since` (itself first)
    tiles       of the base zoom, in log order; views: overview tiles
    is_queried  whether the peer was queried about tiles that it has from elsewhere
    """

    mosaic: MosaicInfo
    since: int
    digests: list[str]
    tiles: list[TileRecord]
    views: list[TileRecord]
    is_queried: bool = False

    @property
    def until(self) -> int:
        return self.since + len(self.digests) - 1

    def build_range(self, until: int) -> LogRange:
        """Return the log range from the cursor to `until`; the cursor stays."""
        marks = (digest[:DIGEST_PREFIX_DIGITS] for digest in self.digests[1 : until - self.since + 1])
        return LogRange(
            since=self.since,
            until=until,
            since_digest=self.digests[0],
            until_digest=self.digests[until - self.since],
            marks="".join(marks),
        )

    def move_to(self, until: int) -> None:
        """Move the peer's cursor to `until`."""
        self.digests = self.digests[until - self.since :]
        self.since = until


def list_live_logs(node: Workspace) -> list[tuple[MosaicInfo, int]]:
    """Return each live mosaic and the last line of its log."""
    tiles = node.catalog.tiles
    return [(one, tiles.last_seq(one.mosaic_id)) for one in tiles.mosaics() if one.revision == 0]


def read_log_tail(
    node: Workspace,
    mosaic: MosaicInfo,
    since: int,
    until: int,
    known_positions: dict[str, LogPosition] | None = None,
) -> LogTail:
    """Read a mosaic's log beyond `since`.

    known_positions  by mosaic, a line before which nothing is read again; advanced to `since`

    Raises StoreConflict if `since` is beyond `until`.
    """
    require_log_covers(node.box, mosaic.mosaic_id, since, until)
    positions = {} if known_positions is None else known_positions
    after = positions.get(mosaic.mosaic_id, LOG_START)
    after = after if after[0] <= since else LOG_START
    digests = [after[1]]
    last: dict[TileId, TileRecord] = {}
    for line, digest in _iterate_log_lines(node.catalog.tiles, mosaic.mosaic_id, until, after):
        if line.seq <= since:
            digests = [digest]
            continue
        digests.append(digest)
        if line.revision == 0:
            last[line.tile_id] = line
    positions[mosaic.mosaic_id] = (since, digests[0])
    return LogTail(
        mosaic=mosaic,
        since=since,
        digests=digests,
        tiles=sorted((one for one in last.values() if one.tile_id.z == mosaic.base_zoom), key=_get_seq),
        views=[one for one in last.values() if one.tile_id.z < mosaic.base_zoom],
    )


def _iterate_log_lines(
    tiles: Tiles, mosaic_id: str, until: int, after: LogPosition
) -> Iterator[tuple[TileRecord, str]]:
    """Yield a mosaic's log lines up to `until`, each with the digest after it."""
    seq, digest = after
    while seq < until:
        some = tiles.log_since(mosaic_id, seq, min(_LINES_AT_ONCE, until - seq))
        for line, digest_after in zip(some, iterate_digests(digest, some), strict=True):
            digest = digest_after
            yield line, digest
        seq = some[-1].seq


def _get_seq(line: TileRecord) -> int:
    return line.seq


# -- Objects and their manifest items --------------------------------------------------------------


def list_newest_flights(node: Workspace) -> list[Flight]:
    """Return all flights, the newest first."""
    return sorted(node.catalog.flights.flights(), key=lambda one: (-one.last_ns, one.flight_id))


def build_records_item(data: bytes) -> tuple[ManifestItem, bytes]:
    """Return the manifest item of encoded records, and these."""
    sha256 = hashlib.sha256(data).hexdigest()
    return ManifestItem(kind=ObjectKind.RECORDS, sha256=sha256, size_bytes=len(data)), data


def _build_tile_item(line: TileRecord, data: bytes, kind: ObjectKind) -> tuple[ManifestItem, bytes]:
    """Return the manifest item of a log line's state, or of a preview of it, and its bytes."""
    tile = TileLogEntry(
        mosaic_id=line.mosaic_id, tile_id=line.tile_id, seq=line.seq, content_hash=line.content_hash
    )
    sha256 = hashlib.sha256(data).hexdigest()
    return ManifestItem(kind=kind, sha256=sha256, size_bytes=len(data), tile=tile), data


def list_terrain_ids(node: Workspace, frames: Iterable[FrameRecord]) -> list[str]:
    """Return the ids of recorded terrains of these frames that are in the store."""
    named = {one.dem_id for one in frames if one.status is FrameStatus.USED and one.dem_id}
    return [dem_id for dem_id in sorted(named) if node.store.exists(keys.format_terrain_key(dem_id))]


def build_terrain_item(dem_id: str, data: bytes) -> ManifestItem:
    """Return the manifest item of a recorded terrain."""
    return ManifestItem(
        kind=ObjectKind.TERRAIN, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data), name=dem_id
    )


def iterate_original_items(node: Workspace, records: FlightRecords) -> Iterator[ManifestItem]:
    """Yield the items of a flight's photos that are in the store.

    Only of frames in the records that are sent, for the peer could not identify others. Withdrawn ones,
    and those purged on any node, are not sent.
    """
    used = [one for one in records.frames if one.status is FrameStatus.USED]
    purged = select_active_purges(records.purges)
    for sha256 in sorted({record.header.provenance.source_sha256 for record in used} - purged.keys()):
        if sha256 and node.store.exists(keys.format_original_key(sha256)):
            size = node.store.size(keys.format_original_key(sha256))
            yield ManifestItem(kind=ObjectKind.ORIGINAL, sha256=sha256, size_bytes=size, name=sha256)


# -- Planner of what a peer lacks: steps, each a small exchange of its own, or all in one bundle ---


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
                flight_id, number, sha256 = ([*path.name.rsplit(".", 2), "", ""])[:3]
                if number.isdigit():
                    self._names.setdefault(flight_id, []).append((int(number), sha256))
        for some in self._names.values():
            some.sort()

    def list_sha256(self, flight_id: str) -> list[str]:
        """Return the SHA-256 of a flight's cached records."""
        return [sha256 for __, sha256 in self._names.get(flight_id, ())]

    def read(self, flight_id: str, sha256: str) -> bytes:
        """Return cached records; empty if they are not whole."""
        for number, name in self._names.get(flight_id, ()):
            if name == sha256:
                with suppress(OSError):
                    data = self._locate(flight_id, number, name).read_bytes()
                    return data if hashlib.sha256(data).hexdigest() == sha256 else b""
        return b""

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
            self._locate(flight_id, number, sha256).write_bytes(data)
            some.append((number, sha256))
        if len(some) > _MAX_RECORDS:
            self._forget(flight_id, some[1:2])

    def keep_only(self, flight_id: str, sha256: str, data: bytes) -> None:
        """Keep only these records, which the peer has."""
        self.keep(flight_id, sha256, data)
        self._forget(flight_id, [one for one in self._names[flight_id] if one[1] != sha256])

    def _forget(self, flight_id: str, some: Sequence[tuple[int, str]]) -> None:
        for number, sha256 in some:
            self._names[flight_id].remove((number, sha256))
            with suppress(OSError):
                self._locate(flight_id, number, sha256).unlink()

    def _locate(self, flight_id: str, number: int, sha256: str) -> Path:
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


class RecordOffer:
    """Records of each flight, all and, for a video's first preview, the initial ones.

    Those to be sent are encoded, and named by their SHA-256.

    as_deltas  whether they may be sent as deltas
    """

    def __init__(self, node: Workspace, *, as_deltas: bool = True) -> None:
        self._sent = SentRecordCache(node.cache_dir)
        self._as_deltas = as_deltas
        self._encoded: dict[str, tuple[str, ManifestItem, bytes]] = {}
        self._all: dict[str, str] = {}
        self._initial: dict[str, str] = {}
        self._there: set[str] = set()
        self._deltas: dict[tuple[str, str], bytes] = {}

    def add(self, records: FlightRecords) -> None:
        """Add the records of one flight."""
        flight_id, thin = records.flight.flight_id, simplify_footprints(records)
        self._all[flight_id] = self._encode(thin)
        if (initial := select_initial_records(thin)) is not thin:
            self._initial[flight_id] = self._encode(initial)

    def _encode(self, records: FlightRecords) -> str:
        item, data = build_records_item(encode_flight_records(records))
        self._encoded[item.sha256] = (records.flight.flight_id, item, data)
        return item.sha256

    @property
    def names(self) -> set[str]:
        """SHA-256 of all records about which the peer is queried.

        Those sent before are included, for the peer deletes records that are not named.
        """
        before = {sha256 for flight_id in self._all for sha256 in self._sent.list_sha256(flight_id)}
        return self._encoded.keys() | before

    def note_missing(self, missing: Collection[str]) -> None:
        """Note which of these the peer lacks."""
        self._there = self.names - set(missing)
        for flight_id, sha256 in self._all.items():
            if sha256 in self._there:
                self._sent.keep_only(flight_id, sha256, self._encoded[sha256][2])

    def get_all(self, flight_id: str) -> str:
        """Return all records of a flight."""
        return self._all[flight_id]

    def get_initial(self, flight_id: str) -> str:
        """Return the records that are sent with previews: all, if the peer has them."""
        every = self._all[flight_id]
        return every if self.is_known_to_peer(every) else self._initial.get(flight_id, every)

    def is_known_to_peer(self, sha256: str) -> bool:
        """Return True if the peer has them."""
        return sha256 in self._there

    def get_full_item(self, sha256: str) -> tuple[ManifestItem, bytes]:
        """Return the item of whole records, and its bytes."""
        return self._encoded[sha256][1:]

    def take_item(self, sha256: str) -> tuple[ManifestItem, bytes]:
        """Return the item to be sent and its bytes; note that the peer has it."""
        outgoing = self.get_item(sha256)
        flight_id, __, data = self._encoded[sha256]
        self._sent.keep(flight_id, sha256, data)
        self._there.add(sha256)
        return outgoing

    def get_item(self, sha256: str) -> tuple[ManifestItem, bytes]:
        """Return the item to be sent, whole or a delta to the last that the peer has."""
        flight_id, item, data = self._encoded[sha256]
        before = [one for one in self._sent.list_sha256(flight_id) if one in self._there]
        if before and self._as_deltas:
            delta = self._compute_delta(flight_id, sha256, before[-1], data)
            if 0 < len(delta) < len(data):
                name = hashlib.sha256(delta).hexdigest()
                return ManifestItem(
                    kind=ObjectKind.RECORD_DELTA, sha256=name, size_bytes=len(delta), name=sha256
                ), delta
        return item, data

    def _compute_delta(self, flight_id: str, sha256: str, base: str, data: bytes) -> bytes:
        """Return the delta from earlier records; empty if these are not whole any more.

        The last one is kept, for its size is compared before it is sent.
        """
        if (sha256, base) not in self._deltas:
            earlier = self._sent.read(flight_id, base)
            self._deltas = {(sha256, base): compute_record_delta(data, earlier) if earlier else b""}
        return self._deltas[sha256, base]


# -- Terrains of a flight's frames, sent with the tiles that were made on them ---------------------
#
# A peer that has the photos may have to rebuild such a tile at once, as where a frame has another placement
# there: the terrain it needs for that must not come later. A flight from video has a terrain for each frame.


class TerrainSchedule:
    """Terrains of all flights of a node; names: ids of all that are here."""

    def __init__(self, node: Workspace, readable: IntegrityFilter) -> None:
        self._node, self._readable = node, readable
        self._under: dict[str, list[tuple[TileRange, str]]] = {}
        self.missing: set[str] = set()
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

    def list_for_flights(self, flight_ids: Set[str]) -> set[str]:
        """Return the ids of the terrains of these flights."""
        return {dem_id for flight_id in flight_ids for __, dem_id in self._under[flight_id]}

    def take_for_tiles(self, flight_id: str, tile_ids: Set[TileId]) -> Iterator[ManifestItem]:
        """Yield the missing terrains under these tiles."""
        found = {
            dem_id
            for tiles, dem_id in self._under[flight_id]
            if dem_id in self.missing and any(tile_id in tiles for tile_id in tile_ids)
        }
        yield from self.take(found)

    def take(self, dem_ids: Set[str]) -> Iterator[ManifestItem]:
        """Yield these terrains, which the peer has then, unless they are damaged here."""
        for dem_id in sorted(dem_ids):
            self.missing.discard(dem_id)
            if (item := self._readable.terrain(dem_id)) is not None:
                yield item


# -- Steps, each built when it is due --------------------------------------------------------------


ByteBudget = Callable[[], int]
"""Bytes, evaluated anew for each step."""

# pixel size of the previews of the whole area that go before any finer one
_OVERVIEW_M = 1.0
_INLINE_RECORDS_BYTES = 24 << 10
# hashes of about 270 KB; a request holds 4 MiB
_MAX_QUERY_NAMES = 4000
_MAX_HEADS_PER_QUERY = 1000

MissingHeadsQuery = Callable[[str, Sequence[str]], Collection[str]]
"""Of these heads of a live mosaic (HEAD_DIGITS digits of content hashes) return those that a peer lacks."""


@dataclass(slots=True)
class _Batch:
    """Objects of a step, gathered until they are about a target."""

    items: list[ManifestItem] = field(default_factory=list)
    inline_bytes: dict[str, bytes] = field(default_factory=dict)
    size_bytes: int = 0

    def add(self, item: ManifestItem, data: bytes | None = None) -> None:
        """Add an object, its bytes if they are not read from the store."""
        self.items.append(item)
        self.size_bytes += item.size_bytes
        if data is not None:
            self.inline_bytes[item.sha256] = data

    def has_room(self, more_bytes: int, limit_bytes: int) -> bool:
        """Return True if an object fits; the first always does."""
        return not self.items or self.size_bytes + more_bytes <= limit_bytes


class StepPlanner:
    """All that a peer may lack in the current state: queries about it, then steps.

    Ends of the logs are read first and the records after them, as for a bundle.
    """

    def __init__(
        self,
        node: Workspace,
        *,
        originals: bool = False,
        reached: dict[str, LogPosition] | None = None,
        as_deltas: bool = True,
    ) -> None:
        """Read the ends of the logs, then the records.

        reached    kept by the caller from one planner to the next: logs are read from there
        as_deltas  whether records may be sent as deltas
        """
        self._node, self._reached = node, {} if reached is None else reached
        self.readable = IntegrityFilter(node, requeue_repaired_tiles(node))
        self._ends = list_live_logs(node)
        self._flights = list_newest_flights(node)
        self._records = RecordOffer(node, as_deltas=as_deltas)
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

    def build_query(self) -> InventoryQuery:
        """Return the first query to the peer."""
        return InventoryQuery(
            box=self._node.box,
            key=get_own_key(self._node),
            mosaics=tuple(sorted(one.mosaic_id for one, __ in self._ends)),
            records=tuple(sorted(self._records.names)),
        )

    def build_name_queries(self, kind: ObjectKind, queried: Collection[str]) -> Iterator[InventoryQuery]:
        """Yield queries about names of a kind not queried yet, each of bounded size."""
        left = sorted(self.get_names(kind) - set(queried))
        for start in range(0, len(left), _MAX_QUERY_NAMES):
            names = tuple(left[start : start + _MAX_QUERY_NAMES])
            query = InventoryQuery(box=self._node.box)
            is_terrain = kind is ObjectKind.TERRAIN
            yield replace(query, terrain=names) if is_terrain else replace(query, originals=names)

    def note_missing(self, missing: InventoryAnswer) -> None:
        """Note what the peer lacks.

        Raises StoreConflict where what it imported under this node's name is another log, or more of it
        than there is.
        """
        self._records.note_missing(missing.records)
        self._logs = {}
        for mosaic, until in self._ends:
            known = missing.cursors.get(mosaic.mosaic_id, PeerCursor(seq=0, digest=EMPTY_DIGEST))
            log = read_log_tail(self._node, mosaic, known.seq, until, self._reached)
            require_same_log(self._node.box, mosaic.mosaic_id, known.seq, known.digest, log.digests[0])
            if log.until > log.since:
                there = missing.views
                log.views = [one for one in log.views if one.content_hash[:DIGEST_PREFIX_DIGITS] not in there]
                self._logs.setdefault(mosaic.flight_id, []).append(log)

    def is_current(self) -> bool:
        """Return True if the logs still end where they ended when this was built."""
        tiles = self._node.catalog.tiles
        return all(tiles.last_seq(one.mosaic_id) == until for one, until in self._ends)

    def measure_tiles(self) -> int:
        """Return the bytes of tiles that the peer lacks, without records and previews."""
        return sum(
            self.readable.size(line)
            for logs in self._logs.values()
            for log in logs
            for line in log.tiles
            if line.seq > log.since
        )

    def count_bytes(self, names: Iterable[str]) -> int:
        """Return the bytes of these photos that may be sent; 0 for terrain."""
        return sum(item.size_bytes for item in self._iterate_photos(names))

    def get_names(self, kind: ObjectKind) -> Set[str]:
        """Return the names of a kind: SHA-256 of photos, ids of terrain."""
        return self._originals.keys() if kind is ObjectKind.ORIGINAL else self._grounds.names

    def steps(
        self,
        target: ByteBudget,
        limit: ByteBudget = lambda: sys.maxsize,
        *,
        terrain: Iterable[str] = (),
        originals: Iterable[str] = (),
        heads: MissingHeadsQuery = lambda _mosaic_id, heads: heads,
        has_tiles: bool = True,
    ) -> Iterator[ExchangeOffer]:
        """Yield the steps, each built when it is due and of about `target()` bytes.

        When the next is requested, the one before was imported.

        limit      upper bound of several tiles or previews together; also twice the target
        terrain    ids, originals: SHA-256, that the peer lacks; read when they are due
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
        self._grounds.missing = set(terrain)
        for flight in fresh:
            for log in self._logs[flight.flight_id]:
                yield from self._iterate_tiles(flight, log, target, most, heads)
        yield from self._iterate_batches(
            ((one, None) for one in self._grounds.take(self._grounds.missing)), target
        )
        for item in self._iterate_photos(originals):
            if self.readable.has_original(item.sha256):
                yield self._build_step(_Batch([item]))

    def build_bundle(self, since: LogCursor) -> ExchangeOffer:
        """Return all that a peer lacks whose cursor here is `since` in one offer, without previews.

        What is lost or damaged here is skipped (`ExchangeOffer.skipped`) and deferred. Raises StoreConflict
        if `since` is beyond the end of a log here (two nodes of one name, or this one was restored from an
        older backup), ObjectMissing if the log advanced meanwhile and a tile was collected.
        """
        logs = [
            read_log_tail(self._node, mosaic, since.get(mosaic.mosaic_id, 0), until)
            for mosaic, until in self._ends
        ]
        batch = _Batch()
        for flight in self._flights:
            batch.add(*self._records.get_full_item(self._records.get_all(flight.flight_id)))
        for line in (line for log in logs for line in log.tiles):
            if (tile := self.readable.tile(line)) is not None:
                # a bundle may be larger than the memory: the bytes are read again as they are written
                batch.add(tile[0])
        fresh = {log.mosaic.flight_id for log in logs if log.until > log.since}
        batch.items += self._grounds.take(self._grounds.list_for_flights(fresh))
        batch.items += [
            item for item, __ in self._originals.values() if self.readable.has_original(item.sha256)
        ]
        ranges = {log.mosaic.mosaic_id: log.build_range(log.until) for log in logs}
        return self._build_step(batch, log_ranges=ranges)

    def _iterate_photos(self, names: Iterable[str]) -> Iterator[ManifestItem]:
        """Yield these photos unless the peer does not import their flights' records."""
        for name in names:
            item, flight_id = self._originals.get(name, (None, ""))
            if item is not None and flight_id not in self.conflicts:
                yield item

    def _iterate_batches(
        self, objects: Iterable[tuple[ManifestItem, bytes | None]], target: ByteBudget
    ) -> Iterator[ExchangeOffer]:
        """Yield steps of objects of no log, many in a step."""
        batch = _Batch()
        for item, data in objects:
            batch.add(item, data)
            if batch.size_bytes >= target():
                yield self._build_step(batch)
                batch = _Batch()
        if batch.items:
            yield self._build_step(batch)

    def _iterate_known_flights(self, target: ByteBudget) -> Iterator[ExchangeOffer]:
        """Yield steps of records of flights without tiles to come.

        They go first, for withdrawals are among them.
        """
        waiting = [
            self._records.get_all(one.flight_id) for one in self._flights if one.flight_id not in self._logs
        ]
        lacking = [one for one in waiting if not self._records.is_known_to_peer(one)]
        yield from self._iterate_batches(map(self._records.take_item, lacking), target)

    def _iterate_views(
        self, flight: Flight, target: ByteBudget, most: ByteBudget, *, coarse: bool
    ) -> Iterator[ExchangeOffer]:
        """Yield previews of a flight's parents, coarse zooms first, with missing records."""
        logs = self._logs[flight.flight_id]
        views = [
            (line, log.mosaic)
            for log in logs
            for line in log.views
            if _is_coarse(line.tile_id.z, flight) == coarse
        ]
        waiting = sorted(views, key=lambda one: (-one[0].tile_id.z, one[0].seq))
        has_records = self._records.is_known_to_peer(self._records.get_initial(flight.flight_id))
        while (waiting or not has_records) and flight.flight_id not in self.conflicts:
            batch = _Batch()
            records = self._records.get_initial(flight.flight_id)
            # records of many photos fill a step: some previews go with them, so that there is something
            # to see
            own = 0 if has_records else self._records.get_item(records)[0].size_bytes
            room = max(target() - own, min(target(), _INLINE_RECORDS_BYTES))
            while waiting and batch.has_room(1, room):
                line, mosaic = waiting[-1]
                view = self.readable.preview(mosaic, line)
                if view is not None and not batch.has_room(len(view[1]), max(most() - own, room)):
                    break
                waiting.pop()
                if view is not None:
                    batch.add(*view)
            if batch.items or not has_records:
                yield self._build_flight_step(flight, batch, self._get_ranges(logs), records)
            has_records = True

    def _iterate_remaining_records(self, flight: Flight) -> Iterator[ExchangeOffer]:
        """Yield the records of a flight whose previews went with the initial ones."""
        records = self._records.get_all(flight.flight_id)
        if not self._records.is_known_to_peer(records) and flight.flight_id not in self.conflicts:
            ranges = self._get_ranges(self._logs[flight.flight_id])
            yield self._build_flight_step(flight, _Batch(), ranges, records)

    @staticmethod
    def _get_ranges(logs: Iterable[LogTail]) -> dict[str, LogRange]:
        """Return the empty ranges at the peer's cursors."""
        return {log.mosaic.mosaic_id: log.build_range(log.since) for log in logs}

    def _drop_known(self, log: LogTail, missing: MissingHeadsQuery, *, views: bool = False) -> None:
        """Remove the tiles that the peer has from elsewhere from a log, of which it is queried once.

        Overview tiles too if `views`, where they are still to be sent. A node that read the server's
        bundle, or another node's, has their flights in logs of its own; a server may have orthorectified
        the same memory card, or have rebuilt a flight without withdrawn frames. What it once sent the peer
        may have lost since, restored from an older backup: so it is asked when the tiles are due.
        """
        if log.is_queried:
            return
        log.is_queried = True
        heads = [
            line.content_hash[:HEAD_DIGITS] for line in ((*log.views, *log.tiles) if views else log.tiles)
        ]
        wanted: set[str] = set()
        for start in range(0, len(heads), _MAX_HEADS_PER_QUERY):
            wanted.update(missing(log.mosaic.mosaic_id, heads[start : start + _MAX_HEADS_PER_QUERY]))
        known = [one for one in log.tiles if one.content_hash[:HEAD_DIGITS] not in wanted]
        self.left_out_bytes += sum(map(self.readable.size, known))
        log.tiles = [one for one in log.tiles if one.content_hash[:HEAD_DIGITS] in wanted]
        log.views = [one for one in log.views if one.content_hash[:HEAD_DIGITS] in wanted] if views else []

    def _iterate_tiles(
        self, flight: Flight, log: LogTail, target: ByteBudget, most: ByteBudget, heads: MissingHeadsQuery
    ) -> Iterator[ExchangeOffer]:
        """Yield base tiles in log order: each step ends where the cursor may be after it."""
        self._drop_known(log, heads)
        waiting = log.tiles[::-1]
        end = log.until
        while log.since < end and flight.flight_id not in self.conflicts:
            batch, reached = _Batch(), log.since
            while waiting and batch.has_room(1, target()):
                line = waiting[-1]
                tile = self.readable.tile(line)
                if tile is not None and not batch.has_room(len(tile[1]), most()):
                    break
                reached = waiting.pop().seq
                if tile is not None:
                    batch.add(*tile)
            until = reached if waiting else end
            tile_ids = {one.tile.tile_id for one in batch.items if one.tile is not None}
            batch.items[:0] = self._grounds.take_for_tiles(flight.flight_id, tile_ids)
            ranges = {log.mosaic.mosaic_id: log.build_range(until)}
            yield self._build_flight_step(flight, batch, ranges, self._records.get_all(flight.flight_id))
            log.move_to(until)

    def _build_flight_step(
        self, flight: Flight, batch: _Batch, ranges: Mapping[str, LogRange], records: str
    ) -> ExchangeOffer:
        """Return a step of one flight: the first has its records, later ones name them."""
        known = (records,) if self._records.is_known_to_peer(records) else ()
        if not known:
            item, data = self._records.take_item(records)
            batch.items.insert(0, item)
            batch.inline_bytes[item.sha256] = data
        reached = {name: one.until for name, one in ranges.items()}
        unfinished = {
            log.mosaic.mosaic_id
            for log in self._logs[flight.flight_id]
            if reached.get(log.mosaic.mosaic_id, log.since) < log.until
        }
        return self._build_step(
            batch, log_ranges=ranges, known_records=known, unfinished_mosaics=frozenset(unfinished)
        )

    def _build_step(self, batch: _Batch, **others: Any) -> ExchangeOffer:
        manifest = ExchangeManifest(box=self._node.box, items=tuple(batch.items), **others)
        return ExchangeOffer(manifest, batch.inline_bytes, self._node.store, self.readable.skipped)


def _is_coarse(zoom: int, flight: Flight) -> bool:
    """Return True for overview zooms: up to the first of at most _OVERVIEW_M a pixel."""
    bounds = flight.bounds_lonlat_deg
    latitude_deg = 0.0 if bounds is None else (bounds[1] + bounds[3]) / 2
    return zoom == 0 or compute_ground_pixel_m(zoom - 1, latitude_deg) > _OVERVIEW_M
