"""Import of an exchange, from a connection or a bundle, into store, catalogue and log.

    every object verified -> each flight matched here -> objects stored (nothing refers to them)
        -> for each flight, locked: records, withdrawals among them -> states merged into heads
        -> reactions to them -> the cursors of its logs

Each step may be repeated, and an unfinished one leaves nothing wrong visible, so an exchange that is cut
short is completed by the next attempt.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from flycam.catalog.peers import ClaimKind, PeerClaim
from flycam.catalog.retention import select_active_purges
from flycam.errors import (
    FlightBusy,
    ObjectMissing,
    RecordsMissing,
    SourceUnreadable,
    StorageFailed,
    TileCorrupt,
)
from flycam.geodata.raster_source import is_mosaic
from flycam.geometry.grid import TileId
from flycam.messages import _
from flycam.model.flight import Flight
from flycam.model.frame import MosaicTile
from flycam.model.records import FrameStatus, MosaicInfo, Withdrawal
from flycam.mosaic.amendments import delete_live_thumbnails, drop_retired_reports, update_visible_layers
from flycam.mosaic.coverage import measure_coverage
from flycam.mosaic.orthorectify.rebuild import find_stale_tiles, load_amendments, make_tile_rebuilder
from flycam.mosaic.peer_footprints import verify_peer_footprints
from flycam.mosaic.redaction import update_redaction_footprints
from flycam.mosaic.terrain import register_dem
from flycam.mosaic.terrain_codec import decode_terrain, encode_terrain
from flycam.mosaic.tiles.codec import decode_tile
from flycam.mosaic.tiles.merge import Amendments
from flycam.mosaic.tiles.peers import (
    PeerCursor,
    PeerTiles,
    advance_cursor,
    decode_preview,
    mark_previews,
    merge_peer_tiles,
    merge_previews,
    put_peer_placements,
    put_peer_state,
    read_cursors,
    read_peer_cursors,
    remove_previews,
)
from flycam.originals import fetch_local_copy, select_locally_purged
from flycam.storage import keys
from flycam.storage.files import read_decompressed_size
from flycam.sync.authority import admit_records, count_news, note_requests
from flycam.sync.exchange import (
    EMPTY_DIGEST,
    ExchangeManifest,
    ExchangeSource,
    ManifestItem,
    ObjectKind,
    build_hash_mismatch_error,
    iterate_objects,
    read_object,
    require_same_log,
)
from flycam.sync.records import (
    FlightConflict,
    FlightMatch,
    FlightRecords,
    apply_record_delta,
    decode_flight_records,
    decode_record_values,
    describe_unreadable_records,
    import_flight_records,
    map_frame_placements,
    match_flight,
    parse_flight_records,
    record_redactions,
    record_withdrawals,
    update_flight_state,
)
from flycam.workspace import Progress, Workspace, ignore_progress

# -- Reactions that an import needs, and what it reports -------------------------------------------


class ApplyHooks(Protocol):
    """Reactions that only this node's pipeline can provide.

    Each is called while the flight is locked, and may be called again.
    """

    def rebuild_tiles(self, mosaic: MosaicInfo, amendments: Amendments) -> Callable[[TileId], MosaicTile]:
        """Return a function that rebuilds a base tile from this node's photos.

        Needed where a frame was withdrawn or reprocessed: what these photos show under its pixels is
        stored nowhere else.
        """

    def on_withdrawn(self, flight: Flight) -> None:
        """Delete what shows withdrawn frames of this flight, beside its tiles."""

    def on_arriving(self, flight: Flight) -> None:
        """Do the quick part of `on_settled`, where more of this flight comes at once."""

    def on_settled(self, flight: Flight) -> None:
        """Measure the communes and show the layers of a flight that has changed."""


PreviewImages = dict[str, dict[TileId, tuple[str, bytes]]]
"""Previews by the peer's mosaic id and tile: the content hash of the peer's tile, the image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApplyReport:
    """Changes that an exchange made.

    flights       ids here of the flights in it
    lines         appended to tile logs here
    conflicts     flights that could not be merged with those here, or do not read, and why
    unreferenced  originals (SHA-256) that no flight here names: they were skipped
    """

    flights: tuple[str, ...]
    lines: int
    conflicts: tuple[FlightConflict, ...] = ()
    unreferenced: tuple[str, ...] = ()


class _ReceivedTiles(NamedTuple):
    """Tiles received for one mosaic here; log: the id of their log; until: its end."""

    log: str = ""
    until: int = 0
    tile_ids: frozenset[TileId] = frozenset()


# -- Records that a node sent before ---------------------------------------------------------------


def read_previous_records(node: Workspace, box: str, sha256: str) -> bytes:
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


def _build_records_missing(box: str) -> RecordsMissing:
    return RecordsMissing(
        _("{box}: its records of a flight are no longer here; it has to be sent again", box=box)
    )


# -- Checks of an exchange before anything of it is imported ---------------------------------------


def require_importable(
    node: Workspace,
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
                    "{place}: continues from line {since} of {mosaic_id}, but only {seq} lines of {box} "
                    "are here: the bundle before this one is missing; read that first, or write this one "
                    "again with --all",
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
        is_tile = item.kind is ObjectKind.TILE
        is_logged = stretch_of is not None and stretch_of.since < line.seq <= stretch_of.until
        if (
            mosaic is None
            or (is_tile and not is_logged)
            or is_tile != (line.tile_id.z == mosaic.base_zoom)
            or line.tile_id.z < mosaic.min_zoom
        ):
            raise SourceUnreadable(
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
    ObjectKind.RECORD_DELTA: 1 << 26,
    ObjectKind.VIEW: 1 << 20,
    ObjectKind.TILE: 32 << 20,
    ObjectKind.TERRAIN: 320 << 20,
}
"""The largest object of each kind that is read in one piece."""

ImportProgress = Callable[[str, int, int], None]
"""Stage, how much of it is done, of how much."""


def import_exchange(
    node: Workspace,
    source: ExchangeSource,
    manifest: ExchangeManifest,
    start: int,
    hooks: ApplyHooks,
    progress: ImportProgress = lambda _stage, _done, _total: None,
    *,
    account: str | None = None,
) -> ApplyReport:
    """Import an exchange, verified before anything is written.

    `start` is the offset of its first object.

    account  that sent it over a connection, for the audit log, "" if unknown: records may build on those
             sent before, and are kept for the next ones; None: a bundle

    Raises as `require_importable` and `merge_exchange` do, and SourceUnreadable for an object that does
    not match the manifest, RecordsMissing for records that the sender assumes here and that are not (or that
    a delta makes otherwise, by another version of the compression), DiskFull before the space reserved for
    the catalogue would be used.
    """
    one = _ExchangeImport(node, source, manifest, start, progress, account)
    one.verify()
    # of a flight told twice, once unreadably, what reads is checked
    read = {mosaic.mosaic_id for each in one.records for mosaic in each.mosaics}
    left = frozenset(name for each in one.unreadable for name in each.mosaics) - read
    require_importable(node, manifest, one.records, str(source.path), left)
    homes = [match_flight(node.catalog, each, manifest.box) for each in one.records]
    one.require_named_frames(homes)
    unnamed = one.store(homes)
    taken = merge_exchange(node, manifest, homes, hooks, one.views, account or "")
    if account is not None:
        for sha256, data in one.received_records.items():
            node.store.put(keys.format_peer_records_key(manifest.box, sha256), data)
    return replace(taken, conflicts=(*taken.conflicts, *one.unreadable), unreferenced=tuple(sorted(unnamed)))


class _ExchangeImport:
    """An exchange that is being verified and stored.

    records           of its flights; received_records: those that came with it, by SHA-256
    views             previews, by the peer's mosaic id
    unreadable        flights whose records do not read
    """

    def __init__(
        self,
        node: Workspace,
        source: ExchangeSource,
        manifest: ExchangeManifest,
        start: int,
        progress: ImportProgress,
        account: str | None,
    ) -> None:
        self._node, self._source, self._manifest, self._start = node, source, manifest, start
        self._progress, self._account = progress, account
        self._inflated_bytes = 0
        self._epochs: dict[str, dict[TileId, str]] = {}
        self._shown: dict[str, set[str]] = {}
        self.records: list[FlightRecords] = []
        self.received_records: dict[str, bytes] = {}
        self.views: PreviewImages = {}
        self.unreadable: list[FlightConflict] = []

    def verify(self) -> None:
        """Read every object once, check its hash, and decode records, tiles and terrain."""
        known = self._manifest.known_records
        earlier = [decode_flight_records(self._read_previous(one), self._manifest.box) for one in known]
        for item, at in self._iterate_objects("verify"):
            if item.kind is ObjectKind.ORIGINAL:
                for __ in self._read_original(item, at):
                    pass
            else:
                self._decode_object(item, self._read_object(item, at))
        self.records.extend(earlier)

    def _decode_object(self, item: ManifestItem, data: bytes) -> None:
        """Note an object's contents; each must match its name."""
        try:
            if item.kind in (ObjectKind.RECORDS, ObjectKind.RECORD_DELTA):
                self._decode_records(item, data)
            elif item.tile is not None and item.kind is ObjectKind.VIEW:
                decode_preview(data, item.tile.tile_id)
                views = self.views.setdefault(item.tile.mosaic_id, {})
                views[item.tile.tile_id] = (item.tile.content_hash, data)
            elif item.tile is not None:
                tile = decode_tile(data, item.tile.tile_id, item.tile.content_hash)
                self._epochs.setdefault(item.tile.mosaic_id, {})[tile.tile_id] = tile.epoch
                self._shown.setdefault(item.tile.mosaic_id, set()).update(tile.frames)
            elif decode_terrain(data).dem_id != item.name:
                raise build_hash_mismatch_error(self._source.path)
        except TileCorrupt as error:
            raise build_hash_mismatch_error(self._source.path) from error

    def _decode_records(self, item: ManifestItem, data: bytes) -> None:
        place, sha256 = str(self._source.path), item.sha256
        if item.kind is ObjectKind.RECORD_DELTA:
            if self._account is None:
                raise build_hash_mismatch_error(self._source.path)
            data, sha256 = apply_record_delta(data, self._read_previous, place), item.name
            if hashlib.sha256(data).hexdigest() != sha256:
                raise _build_records_missing(self._manifest.box)
        self._inflated_bytes += read_decompressed_size(data)
        if self._inflated_bytes > _MAX_INFLATED_BYTES:
            raise build_hash_mismatch_error(self._source.path)
        values = decode_record_values(data, place)
        try:
            self.records.append(parse_flight_records(values, place))
        except SourceUnreadable as error:
            self.unreadable.append(describe_unreadable_records(self._manifest.box, values, error))
        else:
            if self._account is not None:
                self.received_records[sha256] = data

    def require_named_frames(self, homes: Iterable[FlightMatch | FlightConflict]) -> None:
        """Raise SourceUnreadable for a tile that shows a frame of no record of its flight."""
        for one in homes:
            if not isinstance(one, FlightMatch):
                continue
            named = {frame.frame_id for frame in one.records.frames}
            for there in one.mosaics:
                strange = self._shown.get(there, set()) - named
                flights = self._node.catalog.frames.find_flights(strange)
                for frame_id in sorted(strange):
                    if flights.get(frame_id) != one.flight_id:
                        raise SourceUnreadable(
                            _(
                                "{place}: a tile of {name} shows the photo {frame_id}, which its own records "
                                "do not describe; nothing was imported: write it again on the node it comes "
                                "from",
                                place=self._source.path,
                                name=one.records.flight.name,
                                frame_id=frame_id,
                            )
                        )

    def store(self, homes: Sequence[FlightMatch | FlightConflict]) -> Collection[str]:
        """Store the objects, verified again, for the bundle may have changed; all is durable then.

        Returns the originals (SHA-256) that no record here or received names.
        """
        node, manifest = self._node, self._manifest
        hashes = {item.name for item in manifest.items if item.kind is ObjectKind.ORIGINAL}
        unnamed = self._find_unreferenced(hashes, homes)
        wanted = hashes - unnamed - self._find_purged(hashes)
        here = self._select_mosaics(homes)
        for item, at in self._iterate_objects("keep"):
            line = item.tile
            if line is not None and item.kind is ObjectKind.TILE and line.mosaic_id in here:
                log = keys.derive_log_id(manifest.box, line.mosaic_id)
                data = self._read_object(item, at)
                node.require_disk_space(item.size_bytes)
                # stored even if the key exists: a power cut may have left it without its bytes
                put_peer_state(
                    node.store, log, line.seq, here[line.mosaic_id], line.tile_id, data, line.content_hash
                )
            elif item.kind is ObjectKind.TERRAIN:
                self._store_terrain(item, self._read_object(item, at))
            elif item.name in wanted and not self._is_stored(keys.format_original_key(item.name)):
                self._store_original(item, at)
        self._store_placements(here)
        node.store.flush()
        node.catalog.kept_originals.note(wanted)
        return unnamed

    def _select_mosaics(self, homes: Iterable[FlightMatch | FlightConflict]) -> dict[str, str]:
        """Return the mosaics to import: the id here by the peer's id.

        Those are the ones that are new or at the state imported here. The latter are stored again, for they
        may be damaged here; what an older bundle holds was deleted since.
        """
        older = find_outdated_mosaics(self._node, self._manifest)
        belonging = {
            there: at for one in homes if isinstance(one, FlightMatch) for there, at in one.mosaics.items()
        }
        return {there: at for there, at in belonging.items() if there not in older}

    def _find_purged(self, hashes: Collection[str]) -> set[str]:
        """Return the originals that are not stored: deleted here, or by the sender itself."""
        known = select_active_purges(self._node.catalog.retention.list_for_originals(sorted(hashes)))
        own = select_active_purges(line for one in self.records for line in one.purges)
        giver = self._manifest.box
        by_sender = {
            sha256
            for some in (known, own)
            for sha256, lines in some.items()
            if any(line.box == giver for line in lines)
        }
        return by_sender | select_locally_purged(self._node.catalog, self._node.box, known).keys()

    def _find_unreferenced(
        self, hashes: Collection[str], homes: Iterable[FlightMatch | FlightConflict]
    ) -> frozenset[str]:
        """Return the received originals that no record here or imported names.

        They would never be used, and nothing would delete them.
        """
        matched = [one.records for one in homes if isinstance(one, FlightMatch)]
        named = {frame.header.provenance.source_sha256 for one in matched for frame in one.frames}
        has_original = self._node.catalog.retention.has_original
        return frozenset(one for one in hashes if one not in named and not has_original(one))

    def _is_stored(self, key: str) -> bool:
        """Return True if an object is here, made durable if it was not."""
        if not self._node.store.exists(key):
            return False
        self._node.store.ensure_durable(key, durable=True)
        return True

    def _store_terrain(self, item: ManifestItem, data: bytes) -> None:
        """Store a recorded terrain unless a readable one is here.

        A readable one stays, for frames were orthorectified on its heights, which its id does not cover: the
        audit log notes that others came under it.
        """
        node, giver = self._node, self._manifest.box
        key = keys.format_terrain_key(item.name)
        here = node.store.get(key) if self._is_stored(key) else b""
        if here == data:
            return
        with suppress(TileCorrupt):
            recorded = decode_terrain(here)
            if recorded.dem_id == item.name:
                if encode_terrain(recorded) != encode_terrain(decode_terrain(data)):
                    detail = f"told by {giver}: other posts than are recorded here, which stay"
                    node.catalog.audit.append(
                        self._account or giver, "terrain refused", item.name, detail, at_ns=node.clock_ns()
                    )
                return
        node.require_disk_space(item.size_bytes)
        node.store.put(key, data, durable=True)

    def _store_placements(self, here: Mapping[str, str]) -> None:
        """Store the sender's exterior orientations of the frames in the received tiles."""
        for one in self.records:
            for mosaic in one.mosaics:
                epochs = self._epochs.get(mosaic.mosaic_id)
                if epochs and mosaic.mosaic_id in here:
                    log = keys.derive_log_id(self._manifest.box, mosaic.mosaic_id)
                    until = self._manifest.until[mosaic.mosaic_id]
                    placements = map_frame_placements(one, mosaic, epochs)
                    put_peer_placements(self._node.store, log, until, placements)

    def _store_original(self, item: ManifestItem, at: int) -> None:
        """Store an original under its SHA-256.

        Raises DiskFull, StorageFailed, SourceUnreadable.
        """
        # twice, for the scratch file and the store hold it at the same time
        self._node.require_disk_space(2 * item.size_bytes)
        folder = self._node.cache_dir
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder) as scratch:
                for data in self._read_original(item, at):
                    scratch.write(data)
                scratch.flush()
                self._node.store.put_file(
                    keys.format_original_key(item.name), Path(scratch.name), durable=True
                )
        except OSError as error:
            raise StorageFailed(
                _(
                    "{folder}: no copy of a photo can be kept there ({strerror}); free some and run "
                    "again: it resumes",
                    folder=folder,
                    strerror=error.strerror,
                )
            ) from error

    def _iterate_objects(self, stage: str) -> Iterator[tuple[ManifestItem, int]]:
        """Yield each object and its offset, and report progress after it."""
        for done, (item, at) in enumerate(iterate_objects(self._manifest, self._start), start=1):
            yield item, at
            self._progress(stage, done, len(self._manifest.items))

    def _read_previous(self, sha256: str) -> bytes:
        return read_previous_records(self._node, self._manifest.box, sha256)

    def _read_object(self, item: ManifestItem, at: int) -> bytes:
        """Return an object's bytes; SourceUnreadable if they do not match the manifest."""
        return read_object(self._source, item, at, _MAX_BYTES[item.kind])

    def _read_original(self, item: ManifestItem, at: int) -> Iterator[bytes]:
        """Yield an original's bytes; SourceUnreadable at the end if they do not match."""
        digest = hashlib.sha256()
        for data in self._source.blocks(at, item.size_bytes):
            digest.update(data)
            yield data
        if not digest.hexdigest() == item.sha256 == item.name:
            raise build_hash_mismatch_error(self._source.path)


# -- Merge of an exchange whose objects are stored -------------------------------------------------


def find_outdated_mosaics(node: Workspace, manifest: ExchangeManifest) -> frozenset[str]:
    """Return the peer's mosaics that were imported in a later state than this one."""
    known = read_peer_cursors(node.store, manifest.box)
    return frozenset(
        there for there, seq in manifest.until.items() if there in known and seq < known[there].seq
    )


def merge_exchange(
    node: Workspace,
    manifest: ExchangeManifest,
    matches: Sequence[FlightMatch | FlightConflict],
    hooks: ApplyHooks,
    views: PreviewImages | None = None,
    account: str = "",
) -> ApplyReport:
    """Merge records, states, previews and cursors of an exchange with stored objects.

    The objects are stored by `exchange_import.import_exchange`.

    account  that sent it over a connection, for the audit log; "" for a bundle

    Raises FlightBusy if a flight is being written here, StorageFailed; run again: it completes.
    """
    merge = _ExchangeMerge(node, manifest, hooks, views or {}, account)
    lines = 0
    for one in matches:
        if isinstance(one, FlightMatch):
            lines += merge.merge_flight(one)
        elif one.barred and one.records is not None:
            merge.note_barred(one.records, one.barred)
        elif one.records is not None:
            lines += merge.apply_conflict(one.records)
    merge.verify_elsewhere({one.flight_id for one in matches})
    return ApplyReport(
        flights=tuple(sorted({one.flight_id for one in matches if isinstance(one, FlightMatch)})),
        lines=lines,
        conflicts=tuple(one for one in matches if isinstance(one, FlightConflict)),
    )


def apply_withdrawals(
    node: Workspace, withdrawals: Sequence[Withdrawal], hooks: ApplyHooks, giver: str
) -> int:
    """Apply a server's withdrawals here and return the number of log lines appended.

    Idempotent. Raises FlightBusy if a flight that holds one of the frames is being written here,
    StorageFailed.
    """
    return _ExchangeMerge(node, ExchangeManifest(box=giver), hooks, {}, giver).apply_withdrawals(withdrawals)


class _ExchangeMerge:
    """Merge of one exchange; cursors are read again for each locked flight."""

    def __init__(
        self,
        node: Workspace,
        manifest: ExchangeManifest,
        hooks: ApplyHooks,
        views: PreviewImages,
        account: str,
    ) -> None:
        self._node = node
        self._manifest = manifest
        self._giver = manifest.box
        self._hooks = hooks
        self._views = views
        self._account = account
        self._known: dict[str, int] = {}
        self._tiles: dict[str, set[TileId]] = {}
        self._grounds = {item.name for item in manifest.items if item.kind is ObjectKind.TERRAIN}
        for item in manifest.items:
            if item.kind is ObjectKind.TILE and item.tile is not None:
                self._tiles.setdefault(item.tile.mosaic_id, set()).add(item.tile.tile_id)

    def merge_flight(self, home: FlightMatch) -> int:
        """Merge one flight's records, tiles and cursors; return the log lines appended."""
        node = self._node
        with node.catalog.flights.lock(home.flight_id):
            _require_still_matched(node, home, self._giver)
            ahead = self._find_flight_advances(home)
            records = admit_records(node, home.records, self._giver, self._account)
            told = {one.frame_id for one in records.withdrawals}
            known = {one.frame_id for one in node.catalog.frames.withdrawals(home.flight_id)}
            if told - known:
                self._clear_previews(home.flight_id)
            flight = import_flight_records(node, records, self._giver, self._account)
            received = {
                home.mosaics[there]: _ReceivedTiles(
                    keys.derive_log_id(self._giver, there), taken.seq, frozenset(self._tiles.get(there, ()))
                )
                for there, taken in ahead.items()
            }
            is_whole = not self._manifest.unfinished_mosaics.intersection(home.mosaics)
            lines = self._merge_states(flight, received)
            # a peer that does not know of a withdrawal here may show the frame in its previews
            lines += self._store_previews(home, is_shown=known <= told)
            if is_whole:
                for there, here in home.mosaics.items():
                    lines += self._clear_mosaic_previews(here, keys.derive_log_id(self._giver, there))
                flight = update_flight_state(node, flight, records)
            if records.withdrawals:
                self._hooks.on_withdrawn(flight)
            if not is_whole:
                self._hooks.on_arriving(flight)
            elif lines or ahead:
                self._hooks.on_settled(flight)
            for there, taken in ahead.items():
                # last, so that an interrupted merge is repeated
                advance_cursor(node.store, self._giver, there, taken)
                self._known[keys.derive_log_id(self._giver, there)] = taken.seq
            self._note_tiles(flight.flight_id, ahead)
            self._delete_superseded(received)
        return lines + self.rebuild_without(records.withdrawals, but_in={home.flight_id})

    def _note_tiles(self, flight_id: str, ahead: Mapping[str, PeerCursor]) -> None:
        """Note that states up to these cursors came."""
        now_ns = self._node.clock_ns()
        claims = [
            PeerClaim(
                node=self._giver,
                kind=ClaimKind.TILES,
                item=f"{keys.derive_log_id(self._giver, there)}:{taken.seq}",
                flight_id=flight_id,
                account=self._account,
                detail=f"{there} {taken.digest}",
                at_ns=now_ns,
            )
            for there, taken in ahead.items()
        ]
        self._node.catalog.peers.note_claims(claims)

    def verify_elsewhere(self, merged: Collection[str]) -> None:
        """Compute what waited for terrain of this exchange in the sender's other flights."""
        if not self._grounds:
            return
        catalog = self._node.catalog
        waiting = catalog.peers.list_flights_unverified() - set(merged)
        for flight_id in sorted(catalog.peers.find_permissions(self._giver, waiting)):
            with catalog.flights.lock(flight_id):
                self._hooks.on_arriving(catalog.flights.flight(flight_id))

    def note_barred(self, records: FlightRecords, flight_ids: Collection[str]) -> None:
        """Keep what a peer says of another's flights as requests to a person."""
        if news := count_news(self._node.catalog, records, flight_ids):
            refused = dict.fromkeys(flight_ids, news)
            note_requests(self._node, self._giver, self._account, records.flight.name, refused)

    def apply_conflict(self, records: FlightRecords) -> int:
        """Withdraw and redact frames of a flight that is not merged, in those of its flights that hold them.

        Returns the number of log lines appended.
        """
        records = admit_records(self._node, records, self._giver, self._account, is_apart=True)
        record_withdrawals(self._node, records.withdrawals, self._giver, self._account)
        self._redact_elsewhere(records)
        return self.rebuild_without(records.withdrawals)

    def apply_withdrawals(self, withdrawals: Sequence[Withdrawal]) -> int:
        """Withdraw frames from every flight here, present or future.

        Returns the number of log lines appended.
        """
        with ExitStack() as locks:
            for flight_id in sorted(self._find_flights_holding(withdrawals)):
                locks.enter_context(self._node.catalog.flights.lock(flight_id))
            record_withdrawals(self._node, withdrawals, self._giver, self._account)
        return self.rebuild_without(withdrawals)

    def _find_flights_holding(self, withdrawals: Sequence[Withdrawal]) -> set[str]:
        return self._node.catalog.flights.find_by_frames([each.frame_id for each in withdrawals])

    def rebuild_without(self, withdrawals: Sequence[Withdrawal], but_in: Collection[str] = ()) -> int:
        """Rebuild the flights here that hold withdrawn frames; return the log lines appended."""
        node, lines = self._node, 0
        for flight_id in sorted(self._find_flights_holding(withdrawals) - set(but_in)):
            with node.catalog.flights.lock(flight_id):
                self._known = read_cursors(node.store)
                flight = node.catalog.flights.flight(flight_id)
                self._clear_previews(flight_id)
                appended = self._merge_states(flight, {})
                self._hooks.on_withdrawn(flight)
                if appended:
                    self._hooks.on_settled(flight)
                lines += appended
        return lines

    def _redact_elsewhere(self, records: FlightRecords) -> None:
        """Apply a conflicting flight's redactions in other flights here.

        They hold on its photos there, and on their ground.
        """
        if not records.redactions:
            return
        node = self._node
        record_redactions(node, records, self._giver, self._account)
        photos = sorted({line.frame_id for line in records.redactions})
        for flight_id in sorted(node.catalog.flights.find_by_frames(photos)):
            with node.catalog.flights.lock(flight_id):
                self._hooks.on_arriving(node.catalog.flights.flight(flight_id))

    def _find_flight_advances(self, home: FlightMatch) -> dict[str, PeerCursor]:
        """Return the logs of a flight that go beyond what was imported.

        Read while the flight is locked, for another process may have imported one: states it moved to
        must not be left out, nor the cursor moved back.
        """
        self._known = read_cursors(self._node.store)
        return {
            there: PeerCursor(seq=stretch.until, digest=stretch.until_digest)
            for there, stretch in sorted(self._manifest.log_ranges.items())
            if there in home.mosaics
            if self._known.get(keys.derive_log_id(self._giver, there), -1) < stretch.until
        }

    def _merge_states(self, flight: Flight, received: Mapping[str, _ReceivedTiles]) -> int:
        """Merge received states into the heads; return the number of log lines appended.

        Where the epoch changed, all states imported before and this node's own are merged too.

        received  by mosaic here
        """
        return sum(
            self._merge_mosaic(mosaic, received.get(mosaic.mosaic_id, _ReceivedTiles()))
            for mosaic in self._node.catalog.tiles.mosaics(flight.flight_id)
            if mosaic.revision == 0
        )

    def _merge_mosaic(self, mosaic: MosaicInfo, received: _ReceivedTiles) -> int:
        node = self._node
        amendments = load_amendments(node.catalog, mosaic)
        stale = set(find_stale_tiles(node.catalog.tiles, mosaic, amendments)) | self._find_placeable_tiles(
            mosaic
        )
        peer_tiles = PeerTiles(node.store, mosaic.mosaic_id, {**self._known, received.log: received.until})
        own = self._hooks.rebuild_tiles(mosaic, amendments) if stale else None

        def states_of(tile_id: TileId) -> list[MosaicTile]:
            if own is not None and tile_id in stale:
                return [*peer_tiles.states(tile_id, amendments), own(tile_id)]
            return peer_tiles.states(tile_id, amendments, received.log)

        return merge_peer_tiles(
            node.store,
            node.catalog.tiles,
            mosaic,
            {*received.tile_ids, *stale},
            states_of,
            amendments=amendments,
            origin=node.box,
            clock_ns=node.clock_ns,
        )

    def _find_placeable_tiles(self, mosaic: MosaicInfo) -> set[TileId]:
        """Return base tiles of photos here whose terrain came with this exchange.

        Without it they could not be orthorectified when their records came.
        """
        if not self._grounds:
            return set()
        catalog, store = self._node.catalog, self._node.store
        under = [
            one.tiles
            for one in catalog.frames.list_for_flight(mosaic.flight_id, FrameStatus.USED)
            if one.dem_id in self._grounds and one.header.layer == mosaic.layer and one.tiles
            if store.exists(keys.format_original_key(one.header.provenance.source_sha256))
        ]
        heads = catalog.tiles.heads(mosaic.mosaic_id, 0, z=mosaic.base_zoom) if under else ()
        shown = {head.tile_id for head in heads}
        return set[TileId]().union(*(tiles.select(shown) for tiles in under))

    def _store_previews(self, home: FlightMatch, *, is_shown: bool) -> int:
        """Note previews, and merge them into parents whose children are still to come.

        Returns the number of log lines appended.
        """
        node, lines = self._node, 0
        for there, views in self._views.items():
            if there not in home.mosaics:
                continue
            mosaic = node.catalog.tiles.mosaic(home.mosaics[there], 0)
            log = keys.derive_log_id(self._giver, there)
            digests = {tile_id: digest for tile_id, (digest, _) in views.items()}
            mark_previews(node.store, mosaic.mosaic_id, log, digests)
            node.store.flush()
            if is_shown:
                lines += merge_previews(
                    node.store,
                    node.catalog.tiles,
                    mosaic,
                    {tile_id: data for tile_id, (_, data) in views.items()},
                    origin=node.box,
                    clock_ns=node.clock_ns,
                )
        return lines

    def _clear_previews(self, flight_id: str) -> None:
        """Remove every preview of a flight: it may show what is withdrawn now."""
        for mosaic in self._node.catalog.tiles.mosaics(flight_id):
            if mosaic.revision == 0:
                self._clear_mosaic_previews(mosaic.mosaic_id, None)

    def _clear_mosaic_previews(self, mosaic_id: str, done: str | None) -> int:
        node = self._node
        mosaic = node.catalog.tiles.mosaic(mosaic_id, 0)
        return remove_previews(
            node.store, node.catalog.tiles, mosaic, origin=node.box, clock_ns=node.clock_ns, done=done
        )

    def _delete_superseded(self, received: Mapping[str, _ReceivedTiles]) -> None:
        """Delete states superseded in the same log, only once the cursor is past them."""
        for mosaic_id, one in received.items():
            peer_tiles = PeerTiles(self._node.store, mosaic_id, self._known)
            for tile_id in sorted(one.tile_ids):
                peer_tiles.delete_older(tile_id, one.log)


def _require_still_matched(node: Workspace, home: FlightMatch, giver: str) -> None:
    """Raise FlightBusy if the match has changed since the exchange was verified.

    An ingest may have made a flight of the same photos meanwhile.
    """
    now = match_flight(node.catalog, home.records, giver)
    if isinstance(now, FlightConflict) or now.flight_id != home.flight_id:
        name = home.records.flight.name
        raise FlightBusy(_("{name}: its photos were being ingested at this moment; run again", name=name))


# -- Local work after a peer's tiles are merged, as hooks of `exchange_import` ---------------------


class SyncApplyHooks:
    """Local work after an exchange: tiles, products, communes.

    Tiles are rebuilt from own photos, products of withdrawn frames deleted, communes measured.
    """

    def __init__(self, workspace: Workspace, progress: Progress = ignore_progress) -> None:
        self._workspace = workspace
        self._progress = progress

    def rebuild_tiles(self, mosaic: MosaicInfo, amendments: Amendments) -> Callable[[TileId], MosaicTile]:
        """Return a function that makes a base tile from the photos in this store alone."""
        return make_tile_rebuilder(self._workspace, mosaic, amendments)

    def register_terrain(
        self, sha256: str, name: str, datum: str, sigma_m: tuple[float, float | None] | None
    ) -> None:
        """Register a terrain file that is stored here, read as any other.

        A known one is not changed. Raises InputUnusable.
        """
        if is_mosaic(Path(name)):  # a VRT would be used in place
            raise SourceUnreadable(
                _(
                    "{name}: is a VRT, which only names files of the node that it came from: add "
                    "the terrain there as GeoTIFF or HGT",
                    name=name,
                )
            )
        if all(dem.sha256 != sha256 for dem in self._workspace.catalog.terrain.dems()):
            register_dem(self._workspace, fetch_local_copy(self._workspace, sha256, name), datum, sigma_m)

    def compute_redaction_grounds(self) -> None:
        """Compute the footprints of redactions from the server, from this node's poses."""
        update_redaction_footprints(self._workspace)

    def on_withdrawn(self, flight: Flight) -> None:
        """Delete reports of retired revisions, and a live flight's newest thumbnail."""
        drop_retired_reports(self._workspace, flight.flight_id)
        delete_live_thumbnails(self._workspace, flight.flight_id)

    def on_arriving(self, flight: Flight) -> None:
        """Show layers that came into use; compute footprints of photos and of redactions."""
        verify_peer_footprints(self._workspace, flight.flight_id)
        update_redaction_footprints(self._workspace)
        update_visible_layers(self._workspace, flight.flight_id)

    def on_settled(self, flight: Flight) -> None:
        """Do the same once all has arrived, and measure the coverage."""
        self.on_arriving(flight)
        measure_coverage(self._workspace, flight, self._progress, changed=True)
