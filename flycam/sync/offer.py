"""The sending side: what a peer with a given cursor lacks, and its bytes.

Log and heads are read first, records after them, so that the records include at least the amendments that
the tiles were made with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from flycam.catalog.records import FrameRecord, FrameStatus, MosaicInfo
from flycam.catalog.retention_records import select_active_purges
from flycam.frame.flight import Flight
from flycam.frame.tile import TileRecord
from flycam.store import keys
from flycam.store.base import ObjectStore
from flycam.sync.flight_records import FlightRecords, encode_flight_records, read_flight_records
from flycam.sync.integrity import IntegrityFilter, requeue_repaired_tiles
from flycam.sync.log_digest import DIGEST_PREFIX_DIGITS, EMPTY_DIGEST, require_log_covers
from flycam.sync.log_tail import iterate_log_lines
from flycam.sync.manifest import ExchangeManifest, LogCursor, LogRange, ManifestItem, ObjectKind, TileLogEntry
from flycam.sync.node import Node
from flycam.sync.transfer_order import select_last_lines, sort_items

_BLOCK_BYTES = 4 << 20


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
        said = encode_flight_records(known)
        records[hashlib.sha256(said).hexdigest()] = said
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
        honours_redactions=bool(node.catalog.redactions.lines()),
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
    gone = select_active_purges(records.purges)
    for sha256 in sorted({record.header.provenance.source_sha256 for record in used} - gone.keys()):
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
