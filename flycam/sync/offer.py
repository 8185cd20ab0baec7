"""Offer to a peer: what it lacks beyond its cursor.

This is the sending side. Log and heads are read first, records after them, so that the records include at
least the amendments that the tiles were made with.

Damaged objects are deferred, and tiles that the peer has from elsewhere are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from flycam.catalog.mosaics import Tiles
from flycam.catalog.retention import select_active_purges
from flycam.errors import ObjectMissing
from flycam.geometry.grid import TileId
from flycam.model.flight import Flight
from flycam.model.frame import MosaicTile, TileRecord
from flycam.model.records import FrameRecord, FrameStatus, MosaicInfo
from flycam.mosaic.terrain_codec import decode_terrain
from flycam.mosaic.tiles.codec import decode_tile, read_tile
from flycam.mosaic.tiles.peers import encode_preview
from flycam.mosaic.tiles.writer import DAMAGE, rebuild_parent
from flycam.storage import keys
from flycam.sync.exchange import (
    DIGEST_PREFIX_DIGITS,
    EMPTY_DIGEST,
    LogRange,
    ManifestItem,
    ObjectKind,
    TileLogEntry,
    iterate_digests,
    require_log_covers,
)
from flycam.sync.records import FlightRecords
from flycam.workspace import Workspace

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
