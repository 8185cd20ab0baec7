"""The giving side: what a peer with a given cursor lacks, and the bytes of it.

Log and heads are read first, records after them, so that the records know at least the amendments that the
tiles were made with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from flycam.catalog.records import FrameRecord, FrameStatus, MosaicInfo
from flycam.catalog.retention_records import standing_let_go
from flycam.frame.flight import Flight
from flycam.frame.tile import TileRecord
from flycam.store import keys
from flycam.store.base import ObjectStore
from flycam.sync.history import MARK_DIGITS, NOTHING, require_reached
from flycam.sync.house import House
from flycam.sync.log_beyond import lines_until
from flycam.sync.manifest import Cursor, Item, Kind, Manifest, Stretch, TileLine
from flycam.sync.order import in_order, last_lines
from flycam.sync.records import FlightRecords, records_of, records_to_bytes
from flycam.sync.whole import Readable, say_what_was_owed

_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A manifest, and where its bytes are: those held by SHA-256, everything else in the store by item.
    passed: keys of what is lost or damaged and therefore not in it."""

    manifest: Manifest
    held: dict[str, bytes]
    store: ObjectStore
    passed: tuple[str, ...] = ()

    def blocks(self, item: Item) -> Iterator[bytes]:
        """The bytes of an item, some at a time. ObjectMissing if the store lost it."""
        if item.sha256 in self.held:
            yield self.held[item.sha256]
        else:
            yield from _blocks(self.store, _key_of(item), item.size_bytes)


def offer(house: House, since: Cursor, *, originals: bool = False) -> Offer:
    """All that a peer lacks who has taken this box's logs in up to `since`.

    originals  photos and logs too

    What is lost or damaged here is passed over (`Offer.passed`) and owed. Raises StoreConflict if
    `since` is beyond the end of a log here (two boxes of one name, or this one went back to an older backup),
    ObjectMissing if the log moved on meanwhile and a tile was collected.
    """
    readable = Readable(house, say_what_was_owed(house))
    stretches: dict[str, Stretch] = {}
    lines: list[TileRecord] = []
    fresh: set[str] = set()
    for mosaic in house.catalog.tiles.mosaics():
        if mosaic.revision != 0:
            continue
        stretch, after = _stretch_of(house, mosaic, since.get(mosaic.mosaic_id, 0))
        stretches[mosaic.mosaic_id] = stretch
        wanted = last_lines(after).values()
        lines.extend(one for one in wanted if one.tile_id.z == mosaic.base_zoom)
        if after:
            fresh.add(mosaic.flight_id)
    flights = house.catalog.flights.flights()
    records: dict[str, bytes] = {}
    grounds: list[str] = []
    photos: list[Item] = []
    for flight in flights:
        known = records_of(house.catalog, flight)
        said = records_to_bytes(known)
        records[hashlib.sha256(said).hexdigest()] = said
        if flight.flight_id in fresh:
            grounds.extend(terrain_ids(house, known.frames))
        if originals:
            photos.extend(original_items(house, known))
    items = [
        *(Item(kind=Kind.RECORDS, sha256=name, size_bytes=len(data)) for name, data in records.items()),
        *(tile_item(line, data) for line in lines if (data := readable.tile(line)) is not None),
    ]
    for dem_id in dict.fromkeys(grounds):
        if (data := readable.terrain(dem_id)) is not None:
            items.append(terrain_item(dem_id, data))
    items.extend(one for one in photos if readable.has_original(one.sha256))
    manifest = Manifest(
        box=house.box,
        stretches=stretches,
        items=in_order(items, _newest(house, flights)),
        masks=bool(house.catalog.redactions.lines()),
    )
    return Offer(manifest=manifest, held=records, store=house.store, passed=readable.passed)


def _stretch_of(house: House, mosaic: MosaicInfo, since: int) -> tuple[Stretch, list[TileRecord]]:
    """Where a log stands, and its lines of the live revision after `since`."""
    until = house.catalog.tiles.last_seq(mosaic.mosaic_id)
    require_reached(house.box, mosaic.mosaic_id, since, until)
    since_digest = digest = NOTHING
    after: list[TileRecord] = []
    marks: list[str] = []
    for line, digest in lines_until(house.catalog.tiles, mosaic.mosaic_id, until):
        if line.seq <= since:
            since_digest = digest
            continue
        marks.append(digest[:MARK_DIGITS])
        if line.revision == 0:
            after.append(line)
    stretch = Stretch(
        since=since,
        until=until,
        since_digest=since_digest,
        until_digest=digest,
        marks="".join(marks),
    )
    return stretch, after


def _newest(house: House, flights: Iterable[Flight]) -> dict[str, int]:
    last = {flight.flight_id: flight.last_ns for flight in flights}
    return {one.mosaic_id: last.get(one.flight_id, 0) for one in house.catalog.tiles.mosaics()}


def tile_item(line: TileRecord, data: bytes, kind: Kind = Kind.TILE) -> Item:
    """What a log line names as it travels: its state, or an early view of it."""
    return Item(
        kind=kind,
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        tile=TileLine(
            mosaic_id=line.mosaic_id, tile_id=line.tile_id, seq=line.seq, content_hash=line.content_hash
        ),
    )


def terrain_ids(house: House, frames: Iterable[FrameRecord]) -> list[str]:
    """The recorded terrains that frames lie on and that are in the store."""
    named = {one.dem_id for one in frames if one.status is FrameStatus.USED and one.dem_id}
    return [dem_id for dem_id in sorted(named) if house.store.exists(keys.terrain(dem_id))]


def terrain_item(dem_id: str, data: bytes) -> Item:
    """A recorded terrain as it travels."""
    return Item(kind=Kind.TERRAIN, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data), name=dem_id)


def original_items(house: House, records: FlightRecords) -> Iterator[Item]:
    """Photos of a flight that are in the store, by the records that are handed on: of one that these do not
    name, the peer has nothing to know it by. One that was withdrawn, or let go on any box, is not handed on.
    """
    used = [one for one in records.frames if one.status is FrameStatus.USED]
    gone = standing_let_go(records.let_go)
    for sha256 in sorted({record.header.provenance.source_sha256 for record in used} - gone.keys()):
        if sha256 and house.store.exists(keys.evidence(sha256)):
            size = house.store.size(keys.evidence(sha256))
            yield Item(kind=Kind.ORIGINAL, sha256=sha256, size_bytes=size, name=sha256)


def _key_of(item: Item) -> str:
    if item.tile is not None:
        return keys.tile(item.tile.mosaic_id, 0, item.tile.tile_id, item.tile.content_hash)
    return keys.terrain(item.name) if item.kind is Kind.TERRAIN else keys.evidence(item.name)


def _blocks(store: ObjectStore, key: str, size_bytes: int) -> Iterator[bytes]:
    read = partial(store.get_range, key)
    for start in range(0, size_bytes, _BLOCK_BYTES):
        yield read(start, min(_BLOCK_BYTES, size_bytes - start))
