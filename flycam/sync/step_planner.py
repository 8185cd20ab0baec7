"""Planner of steps: each is a small exchange of its own, whole or not at all.

A step's manifest begins at the cursor that the step before left, so the receiver's cursor is the only
state. Order: records of flights without tiles to come, the records of the others with their coarse
previews (of a flight from video with its initial records), finer previews, the rest of such records,
tiles in log order with the terrain under them, other terrain, photos.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from flycam.frame.flight import Flight
from flycam.geometry.grid import TileId, compute_ground_pixel_m
from flycam.mosaic.peer_tiles import PeerCursor, has_peer_tiles
from flycam.mosaic.previews import encode_preview
from flycam.sync.capabilities import CAPABILITIES, MASKS
from flycam.sync.deduplication import MissingHeadsQuery, assume_all_missing, drop_known_tiles
from flycam.sync.flight_records import read_flight_records
from flycam.sync.integrity import IntegrityFilter, requeue_repaired_tiles
from flycam.sync.log_digest import EMPTY_DIGEST, require_log_covers, require_same_log
from flycam.sync.log_tail import LogPosition, LogTail, read_log_tail
from flycam.sync.manifest import ExchangeManifest, LogRange, ManifestItem, ObjectKind
from flycam.sync.missing_objects import INVENTORY_KEYS, MissingObjects
from flycam.sync.node import Node
from flycam.sync.offer import ExchangeOffer, build_tile_item, iterate_original_items
from flycam.sync.record_offer import EncodedRecords, RecordOffer
from flycam.sync.redactions import find_flights_showing_redacted
from flycam.sync.step import SyncStep
from flycam.sync.terrain_schedule import TerrainSchedule

ByteBudget = Callable[[], int]
"""Bytes, evaluated anew for each step."""

STEP_FORMAT = 1
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
        house: Node,
        *,
        originals: bool = False,
        reached: dict[str, LogPosition] | None = None,
        record_changes: bool = True,
    ) -> None:
        """Read the ends of the logs, then the records.

        reached         kept by the caller from one planner to the next: logs are read from there
        record_changes  whether records may be sent as deltas
        """
        self._node, self._reached = house, {} if reached is None else reached
        self.readable = IntegrityFilter(house, requeue_repaired_tiles(house))
        self._ends = {
            one.mosaic_id: (one, house.catalog.tiles.last_seq(one.mosaic_id))
            for one in house.catalog.tiles.mosaics()
            if one.revision == 0
        }
        flights = house.catalog.flights.flights()
        self._flights = sorted(flights, key=lambda one: (-one.last_ns, one.flight_id))
        self._records = RecordOffer(house, as_changes=record_changes)
        self._originals: dict[str, tuple[ManifestItem, str]] = {}
        self._grounds = TerrainSchedule(house, self.readable)
        self._withdrawn_in: set[str] = set()
        for flight in self._flights:
            records = read_flight_records(house.catalog, flight)
            self._grounds.add(flight.flight_id, records.frames)
            if records.withdrawals:
                self._withdrawn_in.add(flight.flight_id)
            self._records.add(records)
            for item in iterate_original_items(house, records) if originals else ():
                self._originals[item.sha256] = (item, flight.flight_id)
        self._has_masks = bool(house.catalog.redactions.lines())
        self.held_back: tuple[Flight, ...] = ()
        """Flights of which only withdrawals are sent: the peer does not apply redactions."""
        self._held: frozenset[str] = frozenset()
        self._unknown_there: frozenset[str] = frozenset()
        self._logs: dict[str, list[LogTail]] = {}
        self.left_out_bytes = 0
        """Of tiles that the peer turned out to have from elsewhere."""
        self.conflicts: set[str] = set()
        """Flights that the peer cannot merge: nothing more of them is sent."""

    def build_query(self) -> dict[str, object]:
        """Return the first query to the peer."""
        return {
            "format": STEP_FORMAT,
            "box": self._node.box,
            "mosaics": sorted(self._ends),
            "records": sorted(self._records.names),
            **{word: [] for word in INVENTORY_KEYS.values()},
            "knows": list(CAPABILITIES),
        }

    def build_name_queries(
        self, kind: ObjectKind, question: Mapping[str, object], asked: Collection[str]
    ) -> Iterator[dict[str, Any]]:
        """Yield queries about names of a kind not asked yet, each of bounded size.

        question  as first sent; the peer deletes records that a query does not name
        """
        left = sorted(self.names(kind) - set(asked))
        for start in range(0, len(left), _MAX_QUERY_NAMES):
            yield {**question, **_EMPTY_QUERY, INVENTORY_KEYS[kind]: left[start : start + _MAX_QUERY_NAMES]}

    def build_heads_query(self, mosaic_id: str, heads: Sequence[str]) -> dict[str, Any]:
        """Return a query about heads of one mosaic, for a peer with that capability.

        It names no records, and none of them are deleted.
        """
        said = {"format": STEP_FORMAT, "box": self._node.box, "knows": list(CAPABILITIES)}
        return {**said, **_EMPTY_QUERY, "heads": {mosaic_id: heads}}

    def note_missing(self, lacking: MissingObjects) -> None:
        """Note what the peer lacks.

        Raises StoreConflict where what it imported under this node's name is another log, or more of it
        than there is.
        """
        self._records.note_missing(lacking)
        self._logs = {}
        masks = MASKS in lacking.capabilities
        self._has_masks = self._has_masks and masks
        self.held_back = () if masks else find_flights_showing_redacted(self._node.catalog, self._flights)
        held = self._held = frozenset(one.flight_id for one in self.held_back)
        known_there = {one.flight_id for one, _ in self._ends.values() if one.mosaic_id in lacking.cursors}
        self._unknown_there = held - known_there
        seen = frozenset(lacking.views)
        for mosaic, until in self._ends.values():
            if mosaic.flight_id in held:
                continue
            known = lacking.cursors.get(mosaic.mosaic_id, PeerCursor(seq=0, digest=EMPTY_DIGEST))
            require_log_covers(self._node.box, mosaic.mosaic_id, known.seq, until)
            log = read_log_tail(self._node.catalog.tiles, mosaic, known.seq, until, seen, self._reached)
            require_same_log(self._node.box, mosaic.mosaic_id, known.seq, known.digest, log.digests[0])
            if log.until > log.since:
                self._logs.setdefault(mosaic.flight_id, []).append(log)

    def is_current(self) -> bool:
        """Return True if the logs still end where they ended when this was built."""
        tiles = self._node.catalog.tiles
        return all(tiles.last_seq(name) == until for name, (_, until) in self._ends.items())

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
        lacking: MissingObjects,
        target: ByteBudget,
        limit: ByteBudget = lambda: sys.maxsize,
        *,
        heads: MissingHeadsQuery = assume_all_missing,
        has_tiles: bool = True,
    ) -> Iterator[SyncStep]:
        """Yield the steps, each built when it is due and of about `target()` bytes.

        When the next is requested, the one before was imported.

        limit      upper bound of several tiles or previews together; also twice the target
        heads      asks the peer, when due, which tiles it lacks
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
        self._grounds.note_missing(lacking.terrain)
        for flight in fresh:
            for log in self._logs[flight.flight_id]:
                yield from self._iterate_tiles(flight, log, target, most, heads)
        yield from (self._build_step(some, {}) for some in self._grounds.iterate_remaining(target))
        for item in self._iterate_photos(lacking.originals):
            if self.readable.has_original(item.sha256):
                yield self._build_step([item], {})

    def _iterate_photos(self, names: Iterable[str]) -> Iterator[ManifestItem]:
        """Yield these photos unless the peer does not import their flights' records."""
        for name in names:
            item, flight_id = self._originals.get(name, (None, ""))
            if item is not None and flight_id not in self.conflicts and flight_id not in self._held:
                yield item

    def _iterate_known_flights(self, target: ByteBudget) -> Iterator[SyncStep]:
        """Yield steps of records of flights without tiles to come, many in a step.

        They go first, for withdrawals are among them.
        """
        left = self._logs.keys() | self._unknown_there
        waiting = [
            one
            for one in self._flights
            if one.flight_id not in left
            and not self._records.is_known_to_peer(self._records.get_all(one.flight_id))
        ]
        while waiting:
            items: list[ManifestItem] = []
            held: dict[str, bytes] = {}
            size = 0
            while waiting and (not items or size < target()):
                item, data = self._records.take_item(self._records.get_all(waiting.pop(0).flight_id))
                items.append(item)
                held[item.sha256] = data
                size += len(data)
            yield self._build_step(items, held)

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
            held: dict[str, bytes] = {}
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
                held[item.sha256] = view
                size += len(view)
            here = {log.mosaic.mosaic_id: log.build_range(log.since) for log in self._logs[flight.flight_id]}
            if items or not has_records:
                said = self._records.get_initial(flight.flight_id)
                yield self._build_flight_step(flight, items, held, here, said)
            has_records = True

    def _iterate_remaining_records(self, flight: Flight) -> Iterator[SyncStep]:
        """Yield the records of a flight whose previews went with the initial ones."""
        whole = self._records.get_all(flight.flight_id)
        if not self._records.is_known_to_peer(whole) and flight.flight_id not in self.conflicts:
            here = {log.mosaic.mosaic_id: log.build_range(log.since) for log in self._logs[flight.flight_id]}
            yield self._build_flight_step(flight, [], {}, here, whole)

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
            held: dict[str, bytes] = {}
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
                held[item.sha256] = data
                size += len(data)
            until = reached if waiting else end
            items = [*self._grounds.select_for_tiles(flight.flight_id, tiles), *items]
            stretch = {log.mosaic.mosaic_id: log.build_range(until)}
            yield self._build_flight_step(
                flight, items, held, stretch, self._records.get_all(flight.flight_id)
            )
            log.move_to(until)

    def _build_flight_step(
        self,
        flight: Flight,
        items: Sequence[ManifestItem],
        held: Mapping[str, bytes],
        stretches: Mapping[str, LogRange],
        said: EncodedRecords,
    ) -> SyncStep:
        """Return a step of one flight: the first has its records, later ones name them."""
        known = (said.sha256,) if self._records.is_known_to_peer(said) else ()
        if not known:
            item, data = self._records.take_item(said)
            items, held = [item, *items], {**held, item.sha256: data}
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
            honours_redactions=self._has_masks,
        )
        return SyncStep(ExchangeOffer(manifest=manifest, inline_bytes=dict(held), store=self._node.store))

    def _build_step(self, items: Sequence[ManifestItem], held: Mapping[str, bytes]) -> SyncStep:
        manifest = ExchangeManifest(
            box=self._node.box, items=tuple(items), honours_redactions=self._has_masks
        )
        return SyncStep(ExchangeOffer(manifest=manifest, inline_bytes=dict(held), store=self._node.store))


def _is_coarse(zoom: int, flight: Flight) -> bool:
    """Return True for overview zooms: up to the first of at most _OVERVIEW_M a pixel."""
    bounds = flight.bounds_lonlat_deg
    latitude_deg = 0.0 if bounds is None else (bounds[1] + bounds[3]) / 2
    return zoom == 0 or compute_ground_pixel_m(zoom - 1, latitude_deg) > _OVERVIEW_M
