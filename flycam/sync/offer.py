"""Offer to a peer: what it lacks beyond its cursor, and the bytes of that.

This is the sending side. Log and heads are read first, records after them, so that the records include at
least the amendments that the tiles were made with.

Damaged objects are deferred, and tiles that the peer has from elsewhere are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from flycam.catalog.mosaics import Tiles
from flycam.catalog.retention import select_active_purges
from flycam.errors import ObjectMissing
from flycam.geometry.grid import TileId
from flycam.model.flight import Flight
from flycam.model.frame import MosaicTile, TileRecord
from flycam.model.records import FrameRecord, FrameStatus, MosaicInfo
from flycam.mosaic.terrain_codec import decode_terrain
from flycam.mosaic.tiles.codec import decode_tile, read_tile
from flycam.mosaic.tiles.writer import DAMAGE, rebuild_parent
from flycam.storage import keys
from flycam.storage.base import ObjectStore
from flycam.sync.manifest import (
    DIGEST_PREFIX_DIGITS,
    EMPTY_DIGEST,
    ExchangeManifest,
    LogCursor,
    LogRange,
    ManifestItem,
    ObjectKind,
    TileLogEntry,
    iterate_digests,
    require_log_covers,
)
from flycam.sync.node import Node
from flycam.sync.records import FlightRecords, encode_flight_records, read_flight_records

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
    owed     those that were deferred before and are not intact yet
    """

    def __init__(self, node: Node, deferred_keys: Iterable[str] = ()) -> None:
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

    def tile(self, line: TileRecord) -> bytes | None:
        """Return a base tile's bytes; None if it is skipped, and deferred from now on.

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
        return data

    def parent(self, mosaic: MosaicInfo, line: TileRecord) -> MosaicTile | None:
        """Return a parent's state, rebuilt from its children if damaged; else None."""
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

    def terrain(self, dem_id: str) -> bytes | None:
        """Return a recorded terrain's bytes; None if it is skipped."""
        key = keys.format_terrain_key(dem_id)
        try:
            data = self._node.store.get(key)
            if decode_terrain(data).dem_id == dem_id:
                return data
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


def requeue_repaired_tiles(node: Node) -> list[str]:
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


# -- Selection of tiles to send, and their order ---------------------------------------------------
#
# Pure functions of log lines.


_KINDS = {kind: place for place, kind in enumerate(ObjectKind)}

TransferRank = tuple[int, int, str, int, int, int, int, str]


def select_last_lines(lines: Iterable[TileRecord]) -> dict[TileId, TileRecord]:
    """Return each tile's last line among lines of one mosaic revision, in any order."""
    last: dict[TileId, TileRecord] = {}
    for line in lines:
        before = last.get(line.tile_id)
        if before is None or line.seq > before.seq:
            last[line.tile_id] = line
    return last


def rank_by(newest_ns: Mapping[str, int]) -> Callable[[ManifestItem], TransferRank]:
    """Return a sort key of items.

    newest_ns  capture time (UTC ns) of each mosaic's newest frame

    Kinds as in `ObjectKind`. Tiles: newest mosaic first, its coarse zooms before fine ones (the shape of
    the valley is visible after some kilobytes), within a zoom the latest line first. Total: no two items
    are equal unless they are the same object at the same place.
    """

    def rank(item: ManifestItem) -> TransferRank:
        kind = _KINDS[item.kind]
        if item.tile is None:
            return (kind, 0, item.name, 0, 0, 0, 0, item.sha256)
        line, tile = item.tile, item.tile.tile_id
        newest = newest_ns.get(line.mosaic_id, 0)
        return (kind, -newest, line.mosaic_id, tile.z, -line.seq, tile.y, tile.x, item.sha256)

    return rank


def sort_items(items: Iterable[ManifestItem], newest_ns: Mapping[str, int]) -> tuple[ManifestItem, ...]:
    """Return the items in the order they are sent, each once."""
    return tuple(sorted(set(items), key=rank_by(newest_ns)))


# -- Mosaic log beyond a peer's cursor, which advances as steps are imported -----------------------


_LINES_AT_ONCE = 5000


LogPosition = tuple[int, str]
"""A line of a log and the digest after it; both are immutable."""

LOG_START: LogPosition = (0, EMPTY_DIGEST)


def iterate_log_lines(
    tiles: Tiles, mosaic_id: str, until: int, after: LogPosition = LOG_START
) -> Iterator[tuple[TileRecord, str]]:
    """Yield a mosaic's log lines up to `until`, each with the digest after it."""
    seq, digest = after
    while seq < until:
        some = tiles.log_since(mosaic_id, seq, min(_LINES_AT_ONCE, until - seq))
        for line, digest_after in zip(some, iterate_digests(digest, some), strict=True):
            digest = digest_after
            yield line, digest
        seq = some[-1].seq


@dataclass(kw_only=True, slots=True)
class LogTail:
    """One mosaic's log beyond the peer's cursor.

    digests     after each line from `since` (itself first)
    is_queried  whether the peer was queried about tiles that it has from elsewhere
    """

    mosaic: MosaicInfo
    since: int
    digests: list[str]
    tiles: list[TileRecord] = field(default_factory=list)
    views: list[TileRecord] = field(default_factory=list)
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


def read_log_tail(
    tiles: Tiles,
    mosaic: MosaicInfo,
    since: int,
    until: int,
    seen: Collection[str],
    known_positions: dict[str, LogPosition],
) -> LogTail:
    """Read a mosaic's log beyond `since`, with the last line of each of its tiles.

    seen             first DIGEST_PREFIX_DIGITS digits of the content hashes of overview tiles whose
                     previews the peer has
    known_positions  by mosaic, a line before which nothing is read again; advanced to `since`
    """
    after = known_positions.get(mosaic.mosaic_id, LOG_START)
    after = after if after[0] <= since else LOG_START
    found = LogTail(mosaic=mosaic, since=since, digests=[after[1]])
    lines: list[TileRecord] = []
    for line, digest in iterate_log_lines(tiles, mosaic.mosaic_id, until, after):
        if line.seq == since:
            found.digests = [digest]
        elif line.seq > since:
            found.digests.append(digest)
            lines.append(line)
    known_positions[mosaic.mosaic_id] = (since, found.digests[0])
    last = select_last_lines(line for line in lines if line.revision == 0).values()
    found.tiles = sorted((one for one in last if one.tile_id.z == mosaic.base_zoom), key=lambda one: one.seq)
    parents = [one for one in last if one.tile_id.z < mosaic.base_zoom]
    found.views = [one for one in parents if one.content_hash[:DIGEST_PREFIX_DIGITS] not in seen]
    return found


# -- Offer of all that a peer lacks, and its bytes -------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class ExchangeOffer:
    """A manifest and its bytes: inline ones by SHA-256, others in the store by item.

    skipped  keys of what is lost or damaged and therefore not in it
    """

    manifest: ExchangeManifest
    inline_bytes: dict[str, bytes]
    store: ObjectStore
    skipped: tuple[str, ...] = ()

    def blocks(self, item: ManifestItem) -> Iterator[bytes]:
        """Yield the bytes of an item; ObjectMissing if the store lost it."""
        if item.sha256 in self.inline_bytes:
            yield self.inline_bytes[item.sha256]
        else:
            yield from _read_blocks(self.store, _build_object_key(item), item.size_bytes)


def build_offer(node: Node, since: LogCursor, *, originals: bool = False) -> ExchangeOffer:
    """Build an offer of all that a peer lacks whose cursor here is `since`.

    originals  originals too

    What is lost or damaged here is skipped (`ExchangeOffer.skipped`) and deferred. Raises StoreConflict
    if `since` is beyond the end of a log here (two nodes of one name, or this one was restored from an
    older backup), ObjectMissing if the log advanced meanwhile and a tile was collected.
    """
    readable = IntegrityFilter(node, requeue_repaired_tiles(node))
    stretches: dict[str, LogRange] = {}
    lines: list[TileRecord] = []
    fresh: set[str] = set()
    for mosaic in node.catalog.tiles.mosaics():
        if mosaic.revision != 0:
            continue
        stretch, after = _read_log_range(node, mosaic, since.get(mosaic.mosaic_id, 0))
        stretches[mosaic.mosaic_id] = stretch
        wanted = select_last_lines(after).values()
        lines.extend(one for one in wanted if one.tile_id.z == mosaic.base_zoom)
        if after:
            fresh.add(mosaic.flight_id)
    flights = node.catalog.flights.flights()
    records: dict[str, bytes] = {}
    grounds: list[str] = []
    photos: list[ManifestItem] = []
    for flight in flights:
        known = read_flight_records(node.catalog, flight)
        encoded = encode_flight_records(known)
        records[hashlib.sha256(encoded).hexdigest()] = encoded
        if flight.flight_id in fresh:
            grounds.extend(list_terrain_ids(node, known.frames))
        if originals:
            photos.extend(iterate_original_items(node, known))
    items = [
        *(
            ManifestItem(kind=ObjectKind.RECORDS, sha256=name, size_bytes=len(data))
            for name, data in records.items()
        ),
        *(build_tile_item(line, data) for line in lines if (data := readable.tile(line)) is not None),
    ]
    for dem_id in dict.fromkeys(grounds):
        if (data := readable.terrain(dem_id)) is not None:
            items.append(build_terrain_item(dem_id, data))
    items.extend(one for one in photos if readable.has_original(one.sha256))
    manifest = ExchangeManifest(
        box=node.box,
        log_ranges=stretches,
        items=sort_items(items, _find_newest_captures(node, flights)),
    )
    return ExchangeOffer(manifest=manifest, inline_bytes=records, store=node.store, skipped=readable.skipped)


def _read_log_range(node: Node, mosaic: MosaicInfo, since: int) -> tuple[LogRange, list[TileRecord]]:
    """Return a log's range after `since`, and its lines of the live revision."""
    until = node.catalog.tiles.last_seq(mosaic.mosaic_id)
    require_log_covers(node.box, mosaic.mosaic_id, since, until)
    since_digest = digest = EMPTY_DIGEST
    after: list[TileRecord] = []
    marks: list[str] = []
    for line, digest in iterate_log_lines(node.catalog.tiles, mosaic.mosaic_id, until):
        if line.seq <= since:
            since_digest = digest
            continue
        marks.append(digest[:DIGEST_PREFIX_DIGITS])
        if line.revision == 0:
            after.append(line)
    stretch = LogRange(
        since=since,
        until=until,
        since_digest=since_digest,
        until_digest=digest,
        marks="".join(marks),
    )
    return stretch, after


def _find_newest_captures(node: Node, flights: Iterable[Flight]) -> dict[str, int]:
    last = {flight.flight_id: flight.last_ns for flight in flights}
    return {one.mosaic_id: last.get(one.flight_id, 0) for one in node.catalog.tiles.mosaics()}


def build_tile_item(line: TileRecord, data: bytes, kind: ObjectKind = ObjectKind.TILE) -> ManifestItem:
    """Return the manifest item of a log line's state, or of a preview of it."""
    return ManifestItem(
        kind=kind,
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        tile=TileLogEntry(
            mosaic_id=line.mosaic_id, tile_id=line.tile_id, seq=line.seq, content_hash=line.content_hash
        ),
    )


def list_terrain_ids(node: Node, frames: Iterable[FrameRecord]) -> list[str]:
    """Return the ids of recorded terrains of these frames that are in the store."""
    named = {one.dem_id for one in frames if one.status is FrameStatus.USED and one.dem_id}
    return [dem_id for dem_id in sorted(named) if node.store.exists(keys.format_terrain_key(dem_id))]


def build_terrain_item(dem_id: str, data: bytes) -> ManifestItem:
    """Return the manifest item of a recorded terrain."""
    return ManifestItem(
        kind=ObjectKind.TERRAIN, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data), name=dem_id
    )


def iterate_original_items(node: Node, records: FlightRecords) -> Iterator[ManifestItem]:
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


def _build_object_key(item: ManifestItem) -> str:
    if item.tile is not None:
        return keys.format_tile_key(item.tile.mosaic_id, 0, item.tile.tile_id, item.tile.content_hash)
    return (
        keys.format_terrain_key(item.name)
        if item.kind is ObjectKind.TERRAIN
        else keys.format_original_key(item.name)
    )


def _read_blocks(store: ObjectStore, key: str, size_bytes: int) -> Iterator[bytes]:
    read = partial(store.get_range, key)
    for start in range(0, size_bytes, _BLOCK_BYTES):
        yield read(start, min(_BLOCK_BYTES, size_bytes - start))


# -- Deduplication of tiles that the peer already has from elsewhere -------------------------------
#
# A node that read the server's bundle, or another node's, has their flights in logs of its own; a server may
# have orthorectified the same memory card, or have rebuilt a flight without withdrawn frames. The peer is
# queried when the tiles are due: what it once sent it may have lost since, restored from an older backup.


HEAD_DIGITS = 16
"""Digits of a content hash, which covers the tile's address too."""

_MAX_HEADS_PER_QUERY = 1000

MissingHeadsQuery = Callable[[str, Sequence[str]], Collection[str]]
"""Of these heads of a live mosaic (HEAD_DIGITS digits of content hashes) return those that a peer lacks."""


def drop_known_tiles(log: LogTail, missing: MissingHeadsQuery, *, views: bool = False) -> list[TileRecord]:
    """Remove the tiles that the peer has from a log; return the base tiles removed.

    Overview tiles too if `views`, where they are still to be sent. The peer is queried once.
    """
    if log.is_queried:
        return []
    log.is_queried = True
    lines = (*log.views, *log.tiles) if views else log.tiles
    heads = [line.content_hash[:HEAD_DIGITS] for line in lines]
    wanted: set[str] = set()
    for start in range(0, len(heads), _MAX_HEADS_PER_QUERY):
        wanted.update(missing(log.mosaic.mosaic_id, heads[start : start + _MAX_HEADS_PER_QUERY]))
    out = [one for one in log.tiles if one.content_hash[:HEAD_DIGITS] not in wanted]
    log.tiles = [one for one in log.tiles if one.content_hash[:HEAD_DIGITS] in wanted]
    log.views = [one for one in log.views if one.content_hash[:HEAD_DIGITS] in wanted] if views else []
    return out


def find_missing_heads(node: Node, mosaic_id: str, wanted_heads: Iterable[str]) -> list[str]:
    """Return the heads that the mosaic here lacks: `drop_known_tiles` at the peer."""
    here = {head.content_hash[:HEAD_DIGITS] for head in node.catalog.tiles.heads(mosaic_id, 0)}
    return [one for one in wanted_heads if one not in here]
