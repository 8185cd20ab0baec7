"""The receiving side: a verified exchange merged into store, catalogue and log.

    objects (nothing refers to them) -> for each flight, locked: records, withdrawals among them
        -> states merged into heads -> reactions to them -> the cursors of its logs

Each step may be repeated, and an unfinished one leaves nothing wrong visible, so an exchange that is cut
short is completed by the next attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from flycam.errors import FlightBusy
from flycam.geometry.grid import TileId
from flycam.messages import _
from flycam.model.flight import Flight
from flycam.model.frame import MosaicTile
from flycam.model.records import FrameStatus, MosaicInfo, Withdrawal
from flycam.mosaic.orthorectify.rebuild import find_stale_tiles, load_amendments
from flycam.mosaic.tiles.merge import Amendments
from flycam.mosaic.tiles.peers import (
    PeerCursor,
    PeerTiles,
    advance_cursor,
    mark_previews,
    merge_peer_tiles,
    merge_previews,
    read_cursors,
    read_peer_cursors,
    remove_previews,
)
from flycam.storage import keys
from flycam.sync.manifest import ExchangeManifest, ObjectKind
from flycam.sync.node import Node
from flycam.sync.record_import import (
    FlightConflict,
    FlightMatch,
    UnreadableFlight,
    import_flight_records,
    match_flight,
    record_redactions,
    record_withdrawals,
    update_flight_state,
)
from flycam.sync.records import FlightRecords


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
    conflicts: tuple[FlightConflict | UnreadableFlight, ...] = ()
    unreferenced: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _ReceivedTiles:
    """Tiles received for one mosaic here; log: the id of their log; until: its end."""

    log: str = ""
    until: int = 0
    tile_ids: frozenset[TileId] = field(default_factory=frozenset)


_NO_TILES = _ReceivedTiles()


def find_log_advances(node: Node, manifest: ExchangeManifest) -> dict[str, PeerCursor]:
    """Return the ends of logs beyond what was imported, by the peer's mosaic id."""
    known = read_peer_cursors(node.store, manifest.box)
    return {
        mosaic_id: PeerCursor(seq=stretch.until, digest=stretch.until_digest)
        for mosaic_id, stretch in sorted(manifest.log_ranges.items())
        if mosaic_id not in known or known[mosaic_id].seq < stretch.until
    }


def find_outdated_mosaics(node: Node, manifest: ExchangeManifest) -> frozenset[str]:
    """Return the peer's mosaics that were imported in a later state than this one."""
    known = read_peer_cursors(node.store, manifest.box)
    return frozenset(
        there for there, seq in manifest.until.items() if there in known and seq < known[there].seq
    )


def merge_exchange(
    node: Node,
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
    taking = _ExchangeMerge(node, manifest, hooks, views or {}, account)
    flights, lines, conflicting = set(), 0, []
    for one in matches:
        if isinstance(one, FlightConflict):
            conflicting.append(one)
        else:
            flights.add(one.flight_id)
            lines += taking.merge_flight(one)
        lines += taking.apply_foreign_withdrawals(one)
    return ApplyReport(flights=tuple(sorted(flights)), lines=lines, conflicts=tuple(conflicting))


def apply_withdrawals(node: Node, withdrawals: Sequence[Withdrawal], hooks: ApplyHooks, giver: str) -> int:
    """Apply a server's withdrawals here and return the number of log lines appended.

    Idempotent. Raises FlightBusy if a flight that holds one of the frames is being written here,
    StorageFailed.
    """
    return _ExchangeMerge(node, ExchangeManifest(box=giver), hooks, {}, giver).apply_withdrawals(withdrawals)


class _ExchangeMerge:
    """Merge of one exchange; cursors are read again for each locked flight."""

    def __init__(
        self, node: Node, manifest: ExchangeManifest, hooks: ApplyHooks, views: PreviewImages, account: str
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
            _require_still_matched(node, home)
            ahead = self._find_flight_advances(home)
            if self._has_new_withdrawals(home):
                self._clear_previews(home.flight_id)
            flight = import_flight_records(node, home.records, self._giver, self._account)
            received = {
                home.mosaics[there]: self._collect_received(there, taken) for there, taken in ahead.items()
            }
            is_whole = not self._manifest.unfinished_mosaics.intersection(home.mosaics)
            lines = self._merge_states(flight, received)
            lines += self._store_previews(flight, home)
            if is_whole:
                lines += self._delete_flight_previews(home)
                flight = update_flight_state(node, flight, home.records)
            if home.records.withdrawals:
                self._hooks.on_withdrawn(flight)
            if not is_whole:
                self._hooks.on_arriving(flight)
            elif lines or ahead:
                self._hooks.on_settled(flight)
            for there, taken in ahead.items():
                # last, so that an interrupted merge is repeated
                advance_cursor(node.store, self._giver, there, taken)
                self._known[keys.derive_log_id(self._giver, there)] = taken.seq
            self._delete_superseded(received)
        return lines

    def apply_foreign_withdrawals(self, one: FlightMatch | FlightConflict) -> int:
        """Withdraw the frames of these records that other flights here contain.

        Returns the number of log lines appended.
        """
        withdrawals = one.records.withdrawals
        if isinstance(one, FlightMatch):
            return self._rebuild_without(withdrawals, but_in={one.flight_id})
        # recorded whichever flight holds these frames, now or later
        record_withdrawals(self._node, withdrawals, self._giver, self._account)
        self._redact_elsewhere(one.records)
        return self._rebuild_without(withdrawals)

    def apply_withdrawals(self, withdrawals: Sequence[Withdrawal]) -> int:
        """Withdraw frames from every flight here, present or future.

        Returns the number of log lines appended.
        """
        with ExitStack() as locks:
            for flight_id in sorted(self._find_flights_holding(withdrawals)):
                locks.enter_context(self._node.catalog.flights.lock(flight_id))
            record_withdrawals(self._node, withdrawals, self._giver, self._account)
        return self._rebuild_without(withdrawals)

    def _find_flights_holding(self, withdrawals: Sequence[Withdrawal]) -> set[str]:
        return self._node.catalog.flights.find_by_frames([each.frame_id for each in withdrawals])

    def _rebuild_without(self, withdrawals: Sequence[Withdrawal], but_in: Collection[str] = ()) -> int:
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
        ahead = find_log_advances(self._node, self._manifest)
        return {there: taken for there, taken in ahead.items() if there in home.mosaics}

    def _collect_received(self, there: str, taken: PeerCursor) -> _ReceivedTiles:
        return _ReceivedTiles(
            log=keys.derive_log_id(self._giver, there),
            until=taken.seq,
            tile_ids=frozenset(self._tiles.get(there, ())),
        )

    def _merge_states(self, flight: Flight, received: Mapping[str, _ReceivedTiles]) -> int:
        """Merge received states into the heads; return the number of log lines appended.

        Where the epoch changed, all states imported before and this node's own are merged too.

        received  by mosaic here
        """
        return sum(
            self._merge_mosaic(mosaic, received.get(mosaic.mosaic_id, _NO_TILES))
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
        under = {
            tile_id
            for one in catalog.frames.list_for_flight(mosaic.flight_id, FrameStatus.USED)
            if one.dem_id in self._grounds and one.header.layer == mosaic.layer
            if store.exists(keys.format_original_key(one.header.provenance.source_sha256))
            for tile_id in one.tiles or ()
        }
        heads = catalog.tiles.heads(mosaic.mosaic_id, 0, z=mosaic.base_zoom) if under else ()
        return under.intersection(head.tile_id for head in heads)

    def _store_previews(self, flight: Flight, home: FlightMatch) -> int:
        """Merge previews into parents whose children are still to come.

        Returns the number of log lines appended. None are merged where a withdrawal here is unknown to
        the sender: its previews may show the frame.
        """
        node = self._node
        here = {one.frame_id for one in node.catalog.frames.withdrawals(flight.flight_id)}
        is_known = here <= {one.frame_id for one in home.records.withdrawals}
        lines = 0
        for there, views in self._views.items():
            if there not in home.mosaics:
                continue
            mosaic = node.catalog.tiles.mosaic(home.mosaics[there], 0)
            log = keys.derive_log_id(self._giver, there)
            digests = {tile_id: digest for tile_id, (digest, _) in views.items()}
            mark_previews(node.store, mosaic.mosaic_id, log, digests)
            node.store.flush()
            if is_known:
                lines += merge_previews(
                    node.store,
                    node.catalog.tiles,
                    mosaic,
                    {tile_id: data for tile_id, (_, data) in views.items()},
                    origin=node.box,
                    clock_ns=node.clock_ns,
                )
        return lines

    def _delete_flight_previews(self, home: FlightMatch) -> int:
        """Remove a flight's previews of the sender's logs; return the tiles written."""
        return sum(
            self._clear_mosaic_previews(home.mosaics[there], keys.derive_log_id(self._giver, there))
            for there in home.mosaics
        )

    def _has_new_withdrawals(self, home: FlightMatch) -> bool:
        known = {one.frame_id for one in self._node.catalog.frames.withdrawals(home.flight_id)}
        return any(one.frame_id not in known for one in home.records.withdrawals)

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


def _require_still_matched(node: Node, home: FlightMatch) -> None:
    """Raise FlightBusy if the match has changed since the exchange was verified.

    An ingest may have made a flight of the same photos meanwhile.
    """
    now = match_flight(node.catalog, home.records)
    if isinstance(now, FlightConflict) or now.flight_id != home.flight_id:
        name = home.records.flight.name
        raise FlightBusy(_("{name}: its photos were being ingested at this moment; run again", name=name))
