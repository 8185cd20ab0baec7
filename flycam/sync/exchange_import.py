"""Import of an exchange, from a connection or a bundle.

every object verified -> each flight matched here -> objects stored -> `exchange_merge.merge_exchange`
"""

from __future__ import annotations

import hashlib
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from flycam.catalog.retention import select_active_purges
from flycam.errors import ObjectMissing, RecordsMissing, SourceUnreadable, StorageFailed, TileCorrupt
from flycam.geometry.grid import TileId
from flycam.messages import _
from flycam.mosaic.terrain_codec import decode_terrain, encode_terrain
from flycam.mosaic.tiles.codec import decode_tile
from flycam.mosaic.tiles.peers import (
    PeerCursor,
    decode_preview,
    put_peer_placements,
    put_peer_state,
    read_peer_cursors,
)
from flycam.storage import keys
from flycam.storage.files import read_decompressed_size
from flycam.sync.exchange_merge import (
    ApplyHooks,
    ApplyReport,
    PreviewImages,
    find_outdated_mosaics,
    merge_exchange,
)
from flycam.sync.manifest import (
    EMPTY_DIGEST,
    ExchangeManifest,
    ManifestItem,
    ObjectKind,
    TileLogEntry,
    require_same_log,
)
from flycam.sync.node import ExchangeSource, Node, build_hash_mismatch_error, iterate_objects, read_object
from flycam.sync.record_import import (
    FlightConflict,
    FlightMatch,
    UnreadableFlight,
    describe_unreadable_records,
    map_frame_placements,
    match_flight,
)
from flycam.sync.records import (
    FlightRecords,
    apply_record_delta,
    decode_flight_records,
    decode_record_values,
    parse_flight_records,
)

# -- Expansion of record deltas --------------------------------------------------------------------
#
# After it, the import handles whole records only.


_MAX_DELTA_BYTES = 1 << 26
"""Of one delta, compressed."""


def expand_deltas(
    node: Node, source: ExchangeSource, manifest: ExchangeManifest, start: int
) -> tuple[ExchangeSource, ExchangeManifest]:
    """Return an exchange and its bytes with whole records in place of deltas.

    `start` is the offset of the first object. Raises RecordsMissing where the base records of a delta are
    not here, or where it expands to other records than the sender's (another version of the compression):
    then they have to be sent whole. SourceUnreadable for bytes that do not match the manifest or are not
    a delta.
    """
    if all(item.kind is not ObjectKind.RECORD_DELTA for item in manifest.items):
        return source, manifest
    expanded = _ExpandedSource(source, start)
    items: list[ManifestItem] = []
    for item, at in iterate_objects(manifest, start):
        if item.kind is ObjectKind.RECORD_DELTA:
            records = _expand_records(node, source, manifest.box, item, at)
            items.append(ManifestItem(kind=ObjectKind.RECORDS, sha256=item.name, size_bytes=len(records)))
            expanded.add(at, len(records), records)
        else:
            items.append(item)
            expanded.add(at, item.size_bytes)
    return expanded, replace(manifest, items=tuple(items))


def read_previous_records(node: Node, box: str, sha256: str) -> bytes:
    """Return records that a node sent before; RecordsMissing.

    Damaged ones are deleted, so that they are requested again.
    """
    key = keys.format_peer_records_key(box, sha256)
    try:
        data = node.store.get(key)
    except ObjectMissing as error:
        raise _build_records_missing(box) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        node.store.delete(key)
        raise _build_records_missing(box)
    return data


def _expand_records(node: Node, source: ExchangeSource, box: str, item: ManifestItem, at: int) -> bytes:
    change = read_object(source, item, at, _MAX_DELTA_BYTES)
    records = apply_record_delta(
        change, lambda base: read_previous_records(node, box, base), str(source.path)
    )
    if hashlib.sha256(records).hexdigest() != item.name:
        raise _build_records_missing(box)
    return records


class _ExpandedSource:
    """Bytes of an exchange by object, some replaced; path: the source's."""

    def __init__(self, source: ExchangeSource, start: int) -> None:
        self._source, self._end = source, start
        self._begins: list[int] = []
        self._objects: list[tuple[int, bytes | None]] = []
        self.path = source.path

    def add(self, at: int, size_bytes: int, instead: bytes | None = None) -> None:
        """Append an object: the source's bytes at `at`, or `instead`."""
        self._begins.append(self._end)
        self._objects.append((at, instead))
        self._end += size_bytes

    def read(self, start: int, length: int) -> bytes:
        return b"".join(self.blocks(start, length))

    def blocks(self, start: int, length: int) -> Iterator[bytes]:
        """Yield bytes within one object."""
        number = bisect_right(self._begins, start) - 1
        at, instead = self._objects[number]
        within = start - self._begins[number]
        if instead is None:
            yield from self._source.blocks(at + within, length)
        else:
            yield instead[within : within + length]


def _build_records_missing(box: str) -> RecordsMissing:
    return RecordsMissing(
        _("{box}: its records of a flight are no longer here; it has to be sent again", box=box)
    )


# -- Checks of an exchange before anything of it is imported ---------------------------------------


def require_importable(
    node: Node,
    manifest: ExchangeManifest,
    records: Sequence[FlightRecords],
    place: str,
    left_out: Collection[str] = (),
) -> None:
    """Raise unless this exchange can follow what was imported before.

    left_out  mosaics of flights whose records do not read: nothing of them is imported

    StoreConflict: a node of the same name with another history. SourceUnreadable: it begins after the
    cursor here, or names a tile of a mosaic that it does not describe.
    """
    before = read_peer_cursors(node.store, manifest.box)
    for mosaic_id, stretch in sorted(manifest.log_ranges.items()):
        known = before.get(mosaic_id, PeerCursor(seq=0, digest=EMPTY_DIGEST))
        if stretch.since > known.seq:
            raise SourceUnreadable(
                _(
                    "{place}: goes on from line {since} of {mosaic_id}, but only {seq} lines "
                    "of {box} came here: the bundle before this one is missing; read that "
                    "first, or write this one again with --all",
                    place=place,
                    since=stretch.since,
                    mosaic_id=mosaic_id,
                    seq=known.seq,
                    box=manifest.box,
                )
            )
        offered = stretch.digest_at(known.seq)
        if offered is not None:
            require_same_log(manifest.box, mosaic_id, known.seq, known.digest, offered)
    described = {mosaic.mosaic_id: mosaic for one in records for mosaic in one.mosaics}
    for item in manifest.items:
        line = item.tile
        if line is None or line.mosaic_id in left_out:
            continue
        mosaic, stretch_of = described.get(line.mosaic_id), manifest.log_ranges.get(line.mosaic_id)
        if mosaic is None:
            raise _build_foreign_tile_error(place, line)
        if item.kind is ObjectKind.TILE and (
            stretch_of is None or not stretch_of.since < line.seq <= stretch_of.until
        ):
            raise _build_foreign_tile_error(place, line)
        is_base = line.tile_id.z == mosaic.base_zoom
        if is_base != (item.kind is ObjectKind.TILE) or line.tile_id.z < mosaic.min_zoom:
            raise _build_foreign_tile_error(place, line)


def _build_foreign_tile_error(place: str, line: TileLogEntry) -> SourceUnreadable:
    return SourceUnreadable(
        _(
            "{place}: holds tile {tile_id} of {mosaic_id}, which its own records do not "
            "describe; write it again on the node it comes from",
            place=place,
            tile_id=line.tile_id,
            mosaic_id=line.mosaic_id,
        )
    )


# -- Import: verification of every object, storage, merge ------------------------------------------


# records of all flights, which are in memory together
_MAX_INFLATED_BYTES = 1 << 30
_MAX_BYTES = {
    ObjectKind.RECORDS: 1 << 26,
    ObjectKind.VIEW: 1 << 20,
    ObjectKind.TILE: 32 << 20,
    ObjectKind.TERRAIN: 320 << 20,
}
"""The largest object that is read in one piece; no other kind is: deltas were expanded before."""

ImportProgress = Callable[[str, int, int], None]
"""Stage, how much of it is done, of how much."""


def import_exchange(
    node: Node,
    source: ExchangeSource,
    manifest: ExchangeManifest,
    start: int,
    hooks: ApplyHooks,
    progress: ImportProgress,
    *,
    account: str = "",
) -> ApplyReport:
    """Import an exchange, verified before anything is written.

    `start` is the offset of its first object.

    account  that sent it over a connection, for the audit log; "" for a bundle

    Raises as `require_importable` and `merge_exchange` do, and SourceUnreadable for an object that does
    not match the manifest, RecordsMissing for records that the sender assumes here and that are not,
    DiskFull before the space reserved for the catalogue would be used.
    """
    known = list(_read_known_records(node, manifest))
    verified = _verify_exchange(source, manifest, start, progress)
    verified.records.extend(known)
    left = frozenset(name for one in verified.unreadable for name in one.mosaics)
    require_importable(node, manifest, verified.records, str(source.path), left)
    unnamed = _find_unreferenced_originals(node, manifest, verified.records)
    homes = [match_flight(node.catalog, one) for one in verified.records]
    here = _select_mosaics(node, manifest, homes)
    left_out = unnamed.union(_find_purged_originals(node, manifest, verified))
    _store_objects(node, source, manifest, start, here, left_out, progress, account)
    _store_placements(node, manifest, here, verified)
    node.store.flush()
    hashes = {item.name for item in manifest.items if item.kind is ObjectKind.ORIGINAL}
    node.catalog.kept_originals.note(hashes - left_out)
    taken = merge_exchange(node, manifest, homes, hooks, verified.views, account)
    return replace(
        taken, conflicts=(*taken.conflicts, *verified.unreadable), unreferenced=tuple(sorted(unnamed))
    )


def _read_known_records(node: Node, manifest: ExchangeManifest) -> Iterator[FlightRecords]:
    """Yield the records that were sent before. RecordsMissing."""
    for sha256 in manifest.known_records:
        yield decode_flight_records(read_previous_records(node, manifest.box, sha256), manifest.box)


@dataclass(frozen=True, slots=True)
class _VerifiedExchange:
    """Contents of an exchange that are needed in memory.

    record_sizes  decompressed bytes of each flight's records
    epochs        of the received tiles, by the peer's mosaic id
    views         previews, by the peer's mosaic id
    unreadable    flights whose records do not read
    """

    records: list[FlightRecords] = field(default_factory=list)
    record_sizes: list[int] = field(default_factory=list)
    epochs: dict[str, dict[TileId, str]] = field(default_factory=dict)
    views: PreviewImages = field(default_factory=dict)
    unreadable: list[UnreadableFlight] = field(default_factory=list)


def _verify_exchange(
    source: ExchangeSource, manifest: ExchangeManifest, start: int, progress: ImportProgress
) -> _VerifiedExchange:
    """Read every object once, check its hash, and decode records, tiles and terrain."""
    verified = _VerifiedExchange()
    for done, (item, at) in enumerate(iterate_objects(manifest, start), start=1):
        if item.kind is ObjectKind.ORIGINAL:
            for __ in _read_original(source, item, at):
                pass
        else:
            _decode_object(source.path, manifest.box, item, _read_object(source, item, at), verified)
        progress("verify", done, len(manifest.items))
    return verified


def _decode_object(
    path: Path, box: str, item: ManifestItem, data: bytes, verified: _VerifiedExchange
) -> None:
    """Add an object's contents to `verified`; each must match its name."""
    try:
        if item.kind is ObjectKind.RECORDS:
            verified.record_sizes.append(read_decompressed_size(data))
            if sum(verified.record_sizes) > _MAX_INFLATED_BYTES:
                raise build_hash_mismatch_error(path)
            values = decode_record_values(data, str(path))
            try:
                verified.records.append(parse_flight_records(values, str(path)))
            except SourceUnreadable as error:
                verified.unreadable.append(describe_unreadable_records(box, item.sha256, values, error))
        elif item.tile is not None and item.kind is ObjectKind.VIEW:
            decode_preview(data, item.tile.tile_id)
            verified.views.setdefault(item.tile.mosaic_id, {})[item.tile.tile_id] = (
                item.tile.content_hash,
                data,
            )
        elif item.tile is not None:
            tile = decode_tile(data, item.tile.tile_id, item.tile.content_hash)
            verified.epochs.setdefault(item.tile.mosaic_id, {})[tile.tile_id] = tile.epoch
        elif decode_terrain(data).dem_id != item.name:
            raise build_hash_mismatch_error(path)
    except TileCorrupt as error:
        raise build_hash_mismatch_error(path) from error


def _select_mosaics(
    node: Node, manifest: ExchangeManifest, homes: Iterable[FlightMatch | FlightConflict]
) -> dict[str, str]:
    """Return the mosaics to import: the id here by the peer's id.

    Those are the ones that are new or at the state imported here. The latter are stored again, for they
    may be damaged here; what an older bundle holds was deleted since.
    """
    older = find_outdated_mosaics(node, manifest)
    belonging = {
        there: at for one in homes if isinstance(one, FlightMatch) for there, at in one.mosaics.items()
    }
    return {there: at for there, at in belonging.items() if there not in older}


def _find_purged_originals(
    node: Node, manifest: ExchangeManifest, verified: _VerifiedExchange
) -> Collection[str]:
    """Return the originals (SHA-256) that are not stored because they were purged.

    The purge is known here, or comes with them.
    """
    hashes = [item.name for item in manifest.items if item.kind is ObjectKind.ORIGINAL]
    received = [line for one in verified.records for line in one.purges]
    return select_active_purges([*node.catalog.retention.list_for_originals(hashes), *received]).keys()


def _find_unreferenced_originals(
    node: Node, manifest: ExchangeManifest, records: Iterable[FlightRecords]
) -> frozenset[str]:
    """Return the received originals (SHA-256) that no record here or received names.

    They would never be used, and nothing would delete them.
    """
    named = {frame.header.provenance.source_sha256 for one in records for frame in one.frames}
    hashes = {item.name for item in manifest.items if item.kind is ObjectKind.ORIGINAL} - named
    return frozenset(one for one in hashes if not node.catalog.retention.has_original(one))


def _store_objects(
    node: Node,
    source: ExchangeSource,
    manifest: ExchangeManifest,
    start: int,
    here: Mapping[str, str],
    left_out: Collection[str],
    progress: ImportProgress,
    account: str,
) -> None:
    """Store the objects, verified again, for the bundle may have changed.

    The caller must `flush` before anything refers to them.

    left_out  originals (SHA-256) that are not stored
    account   as in `import_exchange`
    """
    for done, (item, at) in enumerate(iterate_objects(manifest, start), start=1):
        line = item.tile
        if line is not None and item.kind is ObjectKind.TILE and line.mosaic_id in here:
            log = keys.derive_log_id(manifest.box, line.mosaic_id)
            data = _read_object(source, item, at)
            node.require_disk_space(item.size_bytes)
            # stored even if the key exists: a power cut may have left it without its bytes
            put_peer_state(
                node.store, log, line.seq, here[line.mosaic_id], line.tile_id, data, line.content_hash
            )
        elif item.kind is ObjectKind.TERRAIN:
            _store_terrain(node, item, _read_object(source, item, at), manifest.box, account)
        elif (
            item.kind is ObjectKind.ORIGINAL
            and item.name not in left_out
            and not _is_stored(node, keys.format_original_key(item.name))
        ):
            _store_original(node, source, item, at)
        progress("keep", done, len(manifest.items))


def _is_stored(node: Node, key: str) -> bool:
    """Return True if an object is here, made durable if it was not."""
    if not node.store.exists(key):
        return False
    node.store.ensure_durable(key, durable=True)
    return True


def _store_terrain(node: Node, item: ManifestItem, data: bytes, giver: str, account: str) -> None:
    """Store a recorded terrain unless a readable one is here.

    A readable one stays, for frames were orthorectified on its heights, which its id does not cover: the
    audit log notes that others came under it.
    """
    key = keys.format_terrain_key(item.name)
    here = node.store.get(key) if _is_stored(node, key) else b""
    if here == data:
        return
    with suppress(TileCorrupt):
        recorded = decode_terrain(here)
        if recorded.dem_id == item.name:
            if encode_terrain(recorded) != encode_terrain(decode_terrain(data)):
                detail = f"told by {giver}: other posts than are recorded here, which stay"
                node.catalog.audit.append(
                    account or giver, "terrain refused", item.name, detail, at_ns=node.clock_ns()
                )
            return
    node.require_disk_space(item.size_bytes)
    node.store.put(key, data, durable=True)


def _store_placements(
    node: Node, manifest: ExchangeManifest, here: Mapping[str, str], verified: _VerifiedExchange
) -> None:
    """Store the sender's exterior orientations of the frames in the received tiles.

    The caller must `flush`.
    """
    for one in verified.records:
        for mosaic in one.mosaics:
            epochs = verified.epochs.get(mosaic.mosaic_id)
            if epochs and mosaic.mosaic_id in here:
                log, until = (
                    keys.derive_log_id(manifest.box, mosaic.mosaic_id),
                    manifest.until[mosaic.mosaic_id],
                )
                put_peer_placements(node.store, log, until, map_frame_placements(one, mosaic, epochs))


def _store_original(node: Node, source: ExchangeSource, item: ManifestItem, at: int) -> None:
    """Store an original under its SHA-256.

    Raises DiskFull, StorageFailed, SourceUnreadable.
    """
    # twice, for the scratch file and the store hold it at the same time
    node.require_disk_space(2 * item.size_bytes)
    folder = node.cache_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as scratch:
            for data in _read_original(source, item, at):
                scratch.write(data)
            scratch.flush()
            node.store.put_file(keys.format_original_key(item.name), Path(scratch.name), durable=True)
    except OSError as error:
        raise StorageFailed(
            _(
                "{folder}: no copy of a photo can be kept there ({strerror}); free some and "
                "run again, it goes on",
                folder=folder,
                strerror=error.strerror,
            )
        ) from error


def _read_object(source: ExchangeSource, item: ManifestItem, at: int) -> bytes:
    """Return an object's bytes; SourceUnreadable if they do not match the manifest."""
    return read_object(source, item, at, _MAX_BYTES.get(item.kind, -1))


def _read_original(source: ExchangeSource, item: ManifestItem, at: int) -> Iterator[bytes]:
    """Yield an original's bytes; SourceUnreadable at the end if they do not match."""
    digest = hashlib.sha256()
    for data in source.blocks(at, item.size_bytes):
        digest.update(data)
        yield data
    if not digest.hexdigest() == item.sha256 == item.name:
        raise build_hash_mismatch_error(source.path)
