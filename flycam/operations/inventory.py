"""Inventory of a node: its objects, and their verification one by one.

It holds every object that the catalogue names, and originals known to the store only. It is listed part by
part, so that a part can be read, copied and ticked off by itself: originals by the first two digits of their
hash, recorded terrain, data from peers, briefing packs, and each flight's tiles and products. Replaced tile
states, retired revisions and a live flight's latest thumbnail are no loss and are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from flycam.catalog.catalog import Catalog
from flycam.catalog.packs import PackState
from flycam.catalog.retention import get_original_key, select_active_purges
from flycam.errors import ObjectMissing, TileCorrupt
from flycam.model.flight import Flight, FlightState
from flycam.model.frame import TileRecord
from flycam.model.records import FrameStatus, MosaicInfo, RevisionRecord, RevisionState
from flycam.mosaic.terrain_codec import decode_terrain
from flycam.mosaic.tiles.codec import decode_tile
from flycam.mosaic.tiles.peers import has_peer_tiles, verify_peer_object
from flycam.originals import select_locally_purged, stream_blocks
from flycam.storage import keys
from flycam.storage.keys import ObjectStore
from flycam.workspace import Progress, Workspace

_LIVE = 0


class InventoryKind(StrEnum):
    """Kind of an object: decides how it is verified and made again."""

    PHOTO = "photo"
    DEM = "dem"
    LAYER = "layer"
    MARK_PHOTO = "mark_photo"
    RECORDING = "recording"
    FILE = "file"
    TERRAIN = "terrain"
    GIVEN = "given"
    TILE = "tile"
    CLIP = "clip"
    REPORT = "report"
    PACK = "pack"


REPLACEABLE_KINDS = frozenset({InventoryKind.TILE, InventoryKind.CLIP, InventoryKind.REPORT})
"""Kinds of objects that are replaced by others and then evicted: see `find_current_item`."""


@dataclass(frozen=True, slots=True)
class InventoryItem:
    """One object.

    flight_id  whose it is; "" for what belongs to the node
    name       for people: a photo's or a layer's name, a commune's code
    tile       its line in the log, of a tile
    """

    key: str
    kind: InventoryKind
    flight_id: str = ""
    name: str = ""
    tile: TileRecord | None = None


@dataclass(frozen=True, slots=True)
class InventoryPart:
    """Part of an inventory.

    name    under which it is ticked off
    digits  first two hex digits of the hashes, for originals
    flight  whose tiles and products these are
    """

    name: str
    digits: str = ""
    flight: Flight | None = None


_TERRAIN_PART, _INPUTS_PART, _PACKS_PART = (
    InventoryPart("terrain"),
    InventoryPart("given"),
    InventoryPart("packs"),
)


def list_inventory_parts(flights: Iterable[Flight]) -> list[InventoryPart]:
    """List the parts of a node with these flights.

    Originals and terrain first, as other objects are made again from them.
    """
    originals = [InventoryPart(f"originals/{n:02x}", digits=f"{n:02x}") for n in range(256)]
    flight_parts = [InventoryPart(f"flights/{flight.flight_id}", flight=flight) for flight in flights]
    return [*originals, _TERRAIN_PART, _INPUTS_PART, _PACKS_PART, *flight_parts]


class Inventory:
    """All objects of a catalogue and a store, part by part.

    About 500 bytes a photo in memory.

    let_go  keys of originals that this node purged under a retention term: they are left out, also while
            their bytes are still to be deleted
    """

    def __init__(self, catalog: Catalog, store: ObjectStore, box: str) -> None:
        self._catalog = catalog
        self._store = store
        active = select_active_purges(catalog.retention.lines())
        own = select_locally_purged(catalog, box, active).values()
        self.let_go = frozenset(get_original_key(one.kind, one.sha256) for one in own)
        may_miss = {get_original_key(one.kind, one.sha256) for lines in active.values() for one in lines}
        self._flights = catalog.flights.flights()
        self._finished = {
            (one.mosaic_id, one.revision): one
            for one in catalog.revisions.all()
            if one.state is RevisionState.PUBLISHED
        }
        self._given = {
            mosaic.flight_id
            for mosaic in catalog.tiles.mosaics()
            if mosaic.revision == _LIVE and has_peer_tiles(store, mosaic.mosaic_id)
        }
        self._flights_here = [flight for flight in self._flights if not self._is_announced(flight)]
        self._originals: dict[str, InventoryItem] = {}
        self._by_digits: dict[str, list[str]] = {}
        self._terrain: dict[str, InventoryItem] = {}
        for item in self._named():
            known = self._terrain if item.kind is InventoryKind.TERRAIN else self._originals
            known.setdefault(item.key, item)
        absent = self.let_go | self._find_never_received(may_miss)
        for key, item in self._originals.items():
            if key in absent or (key in may_miss and item.kind is not InventoryKind.PHOTO):
                continue
            self._by_digits.setdefault(keys.parse_hash(key)[:2], []).append(key)

    def list_parts(self) -> list[InventoryPart]:
        """List the parts, see `list_inventory_parts`."""
        return list_inventory_parts(self._flights)

    def list_items(self, part: InventoryPart) -> Iterator[InventoryItem]:
        """List the objects of a part, each once."""
        if part.flight is not None:
            return self._of_flight(part.flight)
        if part.digits:
            listed = (
                key
                for prefix in keys.format_original_prefixes(part.digits)
                for key in self._store.list(prefix)
                if key not in self.let_go
            )
            return _joined(self._originals, self._by_digits.get(part.digits, ()), listed, InventoryKind.FILE)
        if part == _INPUTS_PART:
            return (
                InventoryItem(key, InventoryKind.GIVEN) for key in self._store.list(keys.format_sync_prefix())
            )
        if part == _PACKS_PART:
            return iter(_packs_of(self._catalog))
        return _joined(
            self._terrain,
            self._terrain,
            self._store.list(keys.format_terrain_prefix()),
            InventoryKind.TERRAIN,
        )

    def estimate_size(self, part: InventoryPart) -> int:
        """Estimate a part's number of objects from the catalogue alone."""
        if part.flight is None:
            if part == _INPUTS_PART:
                return 0  # the catalogue names none of them
            if part == _PACKS_PART:
                return len(_packs_of(self._catalog))
            return len(self._by_digits.get(part.digits, ()) if part.digits else self._terrain)
        mosaics = self._mosaics_of(part.flight)
        return sum(self._catalog.tiles.count(mosaic.mosaic_id, mosaic.revision) for mosaic in mosaics)

    def _mosaics_of(self, flight: Flight) -> list[MosaicInfo]:
        """Return the live revision and the finished ones that may be shown."""
        return [
            one
            for one in self._catalog.tiles.mosaics(flight.flight_id)
            if one.revision == _LIVE or (one.mosaic_id, one.revision) in self._finished
        ]

    def _is_announced(self, flight: Flight) -> bool:
        """Return True if only records and coarse tiles of a flight are here.

        A peer sent those ahead. A flight's own photos are stored before its records are written (decision
        0003).
        """
        if flight.state is not FlightState.INGESTING or flight.flight_id in self._given:
            return False
        frames = self._catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
        originals = (keys.format_original_key(one.header.provenance.source_sha256) for one in frames)
        if any(map(self._store.exists, originals)):
            return False
        heads = self._catalog.tiles.heads
        return not any(heads(one.mosaic_id, one.revision, one.base_zoom) for one in self._mosaics_of(flight))

    def _find_never_received(self, purged_by_any: Collection[str]) -> set[str]:
        """Find keys of photos of which only a peer's records are here, as far as known.

        Where a peer sent tiles of a flight, a photo of it may be on that node alone, and one that the peer
        purged will not come any more. Photos that were here stay in the inventory, whoever purged them.
        """
        photos = {
            keys.parse_hash(key): key
            for key, item in self._originals.items()
            if item.kind is InventoryKind.PHOTO and (item.flight_id in self._given or key in purged_by_any)
        }
        kept = self._catalog.kept_originals.filter_known(photos)
        return {key for sha256, key in photos.items() if sha256 not in kept}

    def _named(self) -> Iterator[InventoryItem]:
        for flight in self._flights_here:
            yield from self._frames_of(flight)
            for piece in self._catalog.recordings.list_for_flight(flight.flight_id):
                if piece.let_go_ns is None:
                    yield InventoryItem(
                        keys.format_recording_key(piece.sha256), InventoryKind.RECORDING, flight.flight_id
                    )
        for record in self._finished.values():
            for key in _terrain_of(record):
                yield InventoryItem(
                    key, InventoryKind.TERRAIN, self._catalog.tiles.mosaic(record.mosaic_id).flight_id
                )
        for dem in self._catalog.terrain.dems():
            if dem.key is not None:
                yield InventoryItem(dem.key, InventoryKind.DEM, name=dem.name)
        for layer in self._catalog.layers.all():
            yield InventoryItem(keys.format_original_key(layer.sha256), InventoryKind.LAYER, name=layer.name)
        for area in self._catalog.restrictions.areas():
            yield InventoryItem(keys.format_original_key(area.sha256), InventoryKind.LAYER, name=area.name)
        for mark in self._catalog.marks.current(with_removed=True):
            for line in self._catalog.marks.history(mark.mark_id):
                if line.photo_sha256:
                    yield InventoryItem(
                        keys.format_original_key(line.photo_sha256),
                        InventoryKind.MARK_PHOTO,
                        name=line.note[:40],
                    )

    def _frames_of(self, flight: Flight) -> Iterator[InventoryItem]:
        # neither rejected photos nor ones withdrawn before they arrived are stored
        for record in self._catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED):
            source = record.header.provenance
            yield InventoryItem(
                keys.format_original_key(source.source_sha256),
                InventoryKind.PHOTO,
                flight.flight_id,
                source.source_name,
            )
            if record.dem_id is not None:
                yield InventoryItem(
                    keys.format_terrain_key(record.dem_id), InventoryKind.TERRAIN, flight.flight_id
                )

    def _of_flight(self, flight: Flight) -> Iterator[InventoryItem]:
        for mosaic in self._mosaics_of(flight):
            record = self._finished.get((mosaic.mosaic_id, mosaic.revision))
            for head in self._catalog.tiles.heads(mosaic.mosaic_id, mosaic.revision):
                name = f"{head.tile_id.z}/{head.tile_id.x}/{head.tile_id.y}"
                yield InventoryItem(head.key, InventoryKind.TILE, flight.flight_id, name, head)
            for name, key in ({} if record is None else record.reports).items():
                yield InventoryItem(key, InventoryKind.REPORT, flight.flight_id, name)
        for one in self._catalog.boundaries.coverage(flight.flight_id):
            if one.clip_key is not None:
                yield InventoryItem(one.clip_key, InventoryKind.CLIP, flight.flight_id, one.commune_code)


def was_purged(workspace: Workspace, item: InventoryItem) -> bool:
    """Return True if a missing object was deleted on purpose during the read.

    A recording to free space, data from a peer for what it sent later, an original under a retention term of
    this node, or a replaced pack.
    """
    catalog, store = workspace.catalog, workspace.store
    if item.kind is InventoryKind.GIVEN:
        return not store.exists(item.key)
    if item.key.startswith(keys.list_original_prefixes()):
        sha256 = keys.parse_hash(item.key)
        if select_locally_purged(
            catalog, workspace.box, select_active_purges(catalog.retention.list_for_originals([sha256]))
        ):
            return not store.exists(item.key)
    if item.kind is InventoryKind.PACK:
        return item not in _packs_of(catalog)
    if item.kind is not InventoryKind.RECORDING:
        return False
    kept = [one for one in catalog.recordings.list_for_flight(item.flight_id) if one.let_go_ns is None]
    return keys.parse_hash(item.key) not in {one.sha256 for one in kept}


def find_current_item(catalog: Catalog, item: InventoryItem) -> InventoryItem | None:
    """Return the object that now is in the place of a tile, clip or report.

    See `REPLACEABLE_KINDS`. None if the catalogue names none, or does not show its revision.
    """
    if item.kind is InventoryKind.CLIP:
        clips = {one.commune_code: one.clip_key for one in catalog.boundaries.coverage(item.flight_id)}
        key = clips.get(item.name)
        return None if key is None else replace(item, key=key)
    if item.tile is not None:
        line = item.tile
        head = catalog.tiles.head(line.mosaic_id, line.revision, line.tile_id)
        is_shown = line.revision == _LIVE or _is_published(catalog, line.mosaic_id, line.revision)
        return replace(item, key=head.key, tile=head) if head is not None and is_shown else None
    for mosaic in catalog.tiles.mosaics(item.flight_id):
        if item.key.startswith(keys.format_product_prefix(mosaic.mosaic_id, mosaic.revision)):
            key = catalog.revisions.get(mosaic.mosaic_id, mosaic.revision).reports.get(item.name)
            is_shown = _is_published(catalog, mosaic.mosaic_id, mosaic.revision)
            return replace(item, key=key) if key is not None and is_shown else None
    return None


def _is_published(catalog: Catalog, mosaic_id: str, revision: int) -> bool:
    return catalog.revisions.get(mosaic_id, revision).state is RevisionState.PUBLISHED


def _packs_of(catalog: Catalog) -> list[InventoryItem]:
    made = [one for one in catalog.packs.all() if one.state is PackState.MADE]
    return [
        InventoryItem(keys.format_pack_key(one.pack_id, one.sha256), InventoryKind.PACK, name=one.pack_id)
        for one in made
    ]


def _terrain_of(record: RevisionRecord) -> Iterator[str]:
    surface = record.stats.get("surface") or {}
    for dem_id in (record.dem_id, surface.get("terrain_id")):
        if dem_id:
            yield keys.format_terrain_key(dem_id)
    if record.support_key is not None:
        yield record.support_key


def _joined(
    known: Mapping[str, InventoryItem], named: Iterable[str], listed: Iterable[str], kind: InventoryKind
) -> Iterator[InventoryItem]:
    """Yield listed objects, then those that are named but not listed: the lost."""
    left = set(named)
    for key in listed:
        left.discard(key)
        yield known.get(key) or InventoryItem(key, kind)
    for key in sorted(left):
        yield known[key]


# -- Verification of one object against the hash in its key ----------------------------------------


_DECODED = frozenset({InventoryKind.TILE, InventoryKind.TERRAIN, InventoryKind.GIVEN})
"""Kinds that are decoded, because their hash is of the content and not of the bytes."""

BLOCK_BYTES = 4 << 20
"""Bytes of an original or a product in memory at once, for each worker."""


class ObjectState(StrEnum):
    """Result of a verification."""

    WHOLE = "whole"
    DAMAGED = "damaged"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class ReadResult:
    """A verified object; size: bytes that were read."""

    item: InventoryItem
    state: ObjectState
    size: int = 0


def verify_object(store: ObjectStore, item: InventoryItem) -> ReadResult:
    """Read an object to its end and verify it.

    Raises StorageFailed if the store does not answer.
    """
    size = 0
    try:
        if item.kind in _DECODED:
            data = store.get(item.key)
            size = len(data)
            is_whole = _decodes(data, item)
        else:
            digest = hashlib.sha256()
            for block in stream_blocks(store, item.key, BLOCK_BYTES):
                digest.update(block)
                size += len(block)
            is_whole = _has_hash(item, digest.hexdigest())
    except ObjectMissing:
        return ReadResult(item, ObjectState.LOST)
    return ReadResult(item, ObjectState.WHOLE if is_whole else ObjectState.DAMAGED, size)


def is_intact(path: Path, item: InventoryItem) -> bool:
    """Return True if a file's bytes are those of the object. Raises OSError."""
    if item.kind in _DECODED:
        return _decodes(path.read_bytes(), item)
    with path.open("rb") as file:
        return _has_hash(item, hashlib.file_digest(file, "sha256").hexdigest())


def _has_hash(item: InventoryItem, sha256: str) -> bool:
    return sha256.startswith(keys.parse_hash(item.key))


def _decodes(data: bytes, item: InventoryItem) -> bool:
    try:
        if item.tile is not None:
            decode_tile(data, item.tile.tile_id, item.tile.content_hash)
            return True
        if item.kind is InventoryKind.GIVEN:
            return verify_peer_object(item.key, data)
        return decode_terrain(data).dem_id == keys.parse_terrain_key(item.key)
    except TileCorrupt:
        return False


# -- Progress over many small objects, of approximately known number -------------------------------


_STEP = 100


class ProgressCounter:
    """Counts objects and bytes, and reports progress at intervals.

    total: estimated.
    """

    def __init__(self, stage: str, total: int, progress: Progress) -> None:
        self._stage, self._whole, self._progress = stage, total, progress
        self.done = self.size = 0

    def count(self, size: int = 0) -> None:
        """Count one object of so many bytes."""
        self.done, self.size = self.done + 1, self.size + size
        if self.done % _STEP == 0 and self.done < self._whole:
            self._progress(self._stage, self.done, self._whole)

    def finish(self) -> None:
        """Report completion, with the number that was counted."""
        self._progress(self._stage, self.done, self.done)
