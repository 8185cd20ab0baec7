"""The receiving side: a verified exchange into store, catalogue and log.

    objects (nothing refers to them) -> for each flight, held for writing: records, withdrawals among them
        -> states joined into heads -> what follows from them -> the cursors of its logs

Each step may be repeated, and what was begun shows nothing that is not right, so an exchange that is cut
short is taken in whole by the next attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from flycam.catalog.records import FrameStatus, MosaicInfo, Withdrawal
from flycam.errors import FlightBusy
from flycam.frame.flight import Flight
from flycam.frame.tile import MosaicTile
from flycam.geometry.grid import TileId
from flycam.messages import _
from flycam.mosaic.amending import recorded_amendments
from flycam.mosaic.early import clear_early, lay_early, mark_early
from flycam.mosaic.epochs import Amendments
from flycam.mosaic.given import Given, Taken, cursors, take, taken_of
from flycam.mosaic.joining import join_tiles
from flycam.mosaic.refold import stale_tiles
from flycam.store import keys
from flycam.sync.belonging import Apart, Home, home_of
from flycam.sync.house import House
from flycam.sync.learning import learn, learn_redactions, learn_state, learn_withdrawals
from flycam.sync.manifest import Kind, Manifest
from flycam.sync.records import FlightRecords
from flycam.sync.unread import Unread


class Hands(Protocol):
    """What only the recipes of this box can do; each is called while the flight is held for writing, and may
    be called again."""

    def fold(self, mosaic: MosaicInfo, amendments: Amendments) -> Callable[[TileId], MosaicTile]:
        """Gives the state of a base tile from the photos in this box's own store. Needed where a frame was
        withdrawn or laid again: what these photos show under its pixels is nowhere else."""

    def withdrawn(self, flight: Flight) -> None:
        """Let go what shows frames of this flight that are withdrawn by now, beside its tiles."""

    def arriving(self, flight: Flight) -> None:
        """As `settled`, where more of this flight is to come at once: what is quick of it."""

    def settled(self, flight: Flight) -> None:
        """Tiles and records of this flight changed: measure its communes, show the layers in use."""


Views = dict[str, dict[TileId, tuple[str, bytes]]]
"""Early views by mosaic there and tile: the content hash of the tile there, the picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TakenIn:
    """What an exchange changed.

    flights  ids here of those that it speaks of
    lines    appended to tile logs here
    apart    flights that could not be joined with what is here, or do not read, and why
    unnamed  originals (SHA-256) that no flight here names: they were passed over
    """

    flights: tuple[str, ...]
    lines: int
    apart: tuple[Apart | Unread, ...] = ()
    unnamed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Came:
    """Tiles that came for one mosaic here. log: whose; until: where it ends."""

    log: str = ""
    until: int = 0
    tile_ids: frozenset[TileId] = field(default_factory=frozenset)


_NOTHING_CAME = _Came()


def ahead_of(house: House, manifest: Manifest) -> dict[str, Taken]:
    """Where each log ends that goes beyond what was taken in of it, by mosaic there."""
    known = taken_of(house.store, manifest.box)
    return {
        mosaic_id: Taken(seq=stretch.until, digest=stretch.until_digest)
        for mosaic_id, stretch in sorted(manifest.stretches.items())
        if mosaic_id not in known or known[mosaic_id].seq < stretch.until
    }


def older_in(house: House, manifest: Manifest) -> frozenset[str]:
    """The mosaics there of which more was taken in before than this exchange tells."""
    known = taken_of(house.store, manifest.box)
    return frozenset(
        there for there, seq in manifest.until.items() if there in known and seq < known[there].seq
    )


def take_in(
    house: House,
    manifest: Manifest,
    homes: Sequence[Home | Apart],
    hands: Hands,
    views: Views | None = None,
    account: str = "",
) -> TakenIn:
    """Records, states, early views and cursors of an exchange whose objects are in the store (`given.give`).

    account  that brought it over a line, for the audit log; "" for a stick
    Raises FlightBusy if a flight is being written here, StorageTrouble; run again: it completes.
    """
    taking = _Taking(house, manifest, hands, views or {}, account)
    flights, lines, apart = set(), 0, []
    for one in homes:
        if isinstance(one, Apart):
            apart.append(one)
        else:
            flights.add(one.flight_id)
            lines += taking.come_home(one)
        lines += taking.withdrawn_elsewhere(one)
    return TakenIn(flights=tuple(sorted(flights)), lines=lines, apart=tuple(apart))


def take_withdrawals(house: House, withdrawals: Sequence[Withdrawal], hands: Hands, giver: str) -> int:
    """Frames that a server withdrew, taken out here too; the log lines appended. Idempotent.

    Raises FlightBusy if a flight that holds one is being written here, StorageTrouble.
    """
    return _Taking(house, Manifest(box=giver), hands, {}, giver).withdrawn(withdrawals)


class _Taking:
    """One exchange being taken in. What was taken in before is asked anew for each flight that is held."""

    def __init__(self, house: House, manifest: Manifest, hands: Hands, views: Views, account: str) -> None:
        self._house = house
        self._manifest = manifest
        self._giver = manifest.box
        self._hands = hands
        self._views = views
        self._account = account
        self._known: dict[str, int] = {}
        self._tiles: dict[str, set[TileId]] = {}
        self._grounds = {item.name for item in manifest.items if item.kind is Kind.TERRAIN}
        for item in manifest.items:
            if item.kind is Kind.TILE and item.tile is not None:
                self._tiles.setdefault(item.tile.mosaic_id, set()).add(item.tile.tile_id)

    def come_home(self, home: Home) -> int:
        """One flight's records, tiles and cursors; the log lines appended."""
        house = self._house
        with house.catalog.flights.lock(home.flight_id):
            _require_still_home(house, home)
            ahead = self._ahead_in(home)
            if self._withdraws_more(home):
                self._clear_early(home.flight_id)
            flight = learn(house, home.records, self._giver, self._account)
            came = {home.mosaics[there]: self._came(there, taken) for there, taken in ahead.items()}
            is_whole = not self._manifest.unfinished.intersection(home.mosaics)
            lines = self._joined(flight, came)
            lines += self._seen_early(flight, home)
            if is_whole:
                lines += self._early_is_over(home)
                flight = learn_state(house, flight, home.records)
            if home.records.withdrawals:
                self._hands.withdrawn(flight)
            if not is_whole:
                self._hands.arriving(flight)
            elif lines or ahead:
                self._hands.settled(flight)
            for there, taken in ahead.items():
                take(house.store, self._giver, there, taken)
                self._known[keys.log_id(self._giver, there)] = taken.seq
            self._let_go_older(came)
        return lines

    def withdrawn_elsewhere(self, one: Home | Apart) -> int:
        """Frames that these records withdraw and that lie in other flights here; the log lines appended."""
        withdrawals = one.records.withdrawals
        if isinstance(one, Home):
            return self._folded_without(withdrawals, but_in={one.flight_id})
        learn_withdrawals(
            self._house, withdrawals, self._giver, self._account
        )  # whatever holds them, or will
        self._masked_elsewhere(one.records)
        return self._folded_without(withdrawals)

    def withdrawn(self, withdrawals: Sequence[Withdrawal]) -> int:
        """Frames withdrawn wherever they lie, or will lie, here; the log lines appended."""
        with ExitStack() as held:
            for flight_id in sorted(self._holding(withdrawals)):
                held.enter_context(self._house.catalog.flights.lock(flight_id))
            learn_withdrawals(self._house, withdrawals, self._giver, self._account)
        return self._folded_without(withdrawals)

    def _holding(self, withdrawals: Sequence[Withdrawal]) -> set[str]:
        return self._house.catalog.flights.holding([each.frame_id for each in withdrawals])

    def _folded_without(self, withdrawals: Sequence[Withdrawal], but_in: Collection[str] = ()) -> int:
        house, lines = self._house, 0
        for flight_id in sorted(self._holding(withdrawals) - set(but_in)):
            with house.catalog.flights.lock(flight_id):
                self._known = cursors(house.store)
                flight = house.catalog.flights.flight(flight_id)
                self._clear_early(flight_id)
                appended = self._joined(flight, {})
                self._hands.withdrawn(flight)
                if appended:
                    self._hands.settled(flight)
                lines += appended
        return lines

    def _masked_elsewhere(self, records: FlightRecords) -> None:
        """Masks of a flight that stays apart hold on its photos in other flights here, and on its ground."""
        if not records.redactions:
            return
        house = self._house
        learn_redactions(house, records, self._giver, self._account)
        photos = sorted({line.frame_id for line in records.redactions})
        for flight_id in sorted(house.catalog.flights.holding(photos)):
            with house.catalog.flights.lock(flight_id):
                self._hands.arriving(house.catalog.flights.flight(flight_id))

    def _ahead_in(self, home: Home) -> dict[str, Taken]:
        """Which logs of a flight go beyond what was taken in: looked at while the flight is held, for another
        process may have taken one in, and states it moved to must not be left out, nor the cursor moved back.
        """
        self._known = cursors(self._house.store)
        ahead = ahead_of(self._house, self._manifest)
        return {there: taken for there, taken in ahead.items() if there in home.mosaics}

    def _came(self, there: str, taken: Taken) -> _Came:
        return _Came(
            log=keys.log_id(self._giver, there),
            until=taken.seq,
            tile_ids=frozenset(self._tiles.get(there, ())),
        )

    def _joined(self, flight: Flight, came: Mapping[str, _Came]) -> int:
        """States that came into the heads; where the epoch changed, all given before and this box's own too.

        came  by mosaic here. Returns the log lines appended.
        """
        return sum(
            self._join(mosaic, came.get(mosaic.mosaic_id, _NOTHING_CAME))
            for mosaic in self._house.catalog.tiles.mosaics(flight.flight_id)
            if mosaic.revision == 0
        )

    def _join(self, mosaic: MosaicInfo, came: _Came) -> int:
        house = self._house
        amendments = recorded_amendments(house.catalog, mosaic)
        stale = set(stale_tiles(house.catalog.tiles, mosaic, amendments)) | self._on_new_ground(mosaic)
        given = Given(house.store, mosaic.mosaic_id, {**self._known, came.log: came.until})
        own = self._hands.fold(mosaic, amendments) if stale else None

        def states_of(tile_id: TileId) -> list[MosaicTile]:
            if own is not None and tile_id in stale:
                return [*given.states(tile_id, amendments), own(tile_id)]
            return given.states(tile_id, amendments, came.log)

        return join_tiles(
            house.store,
            house.catalog.tiles,
            mosaic,
            {*came.tile_ids, *stale},
            states_of,
            amendments=amendments,
            origin=house.box,
            clock_ns=house.clock_ns,
        )

    def _on_new_ground(self, mosaic: MosaicInfo) -> set[TileId]:
        """Base tiles here of photos that are here and whose ground came with this exchange: since its records
        came they could not be laid."""
        if not self._grounds:
            return set()
        catalog, store = self._house.catalog, self._house.store
        under = {
            tile_id
            for one in catalog.frames.of_flight(mosaic.flight_id, FrameStatus.USED)
            if one.dem_id in self._grounds and one.header.layer == mosaic.layer
            if store.exists(keys.evidence(one.header.provenance.source_sha256))
            for tile_id in one.tiles or ()
        }
        heads = catalog.tiles.heads(mosaic.mosaic_id, 0, z=mosaic.base_zoom) if under else ()
        return under.intersection(head.tile_id for head in heads)

    def _seen_early(self, flight: Flight, home: Home) -> int:
        """Early views into parents whose children are still to come; the log lines appended.

        None where something is withdrawn here that the giver does not know of: its views may show it.
        """
        house = self._house
        here = {one.frame_id for one in house.catalog.frames.withdrawals(flight.flight_id)}
        is_known = here <= {one.frame_id for one in home.records.withdrawals}
        lines = 0
        for there, views in self._views.items():
            if there not in home.mosaics:
                continue
            mosaic = house.catalog.tiles.mosaic(home.mosaics[there], 0)
            log = keys.log_id(self._giver, there)
            digests = {tile_id: digest for tile_id, (digest, _) in views.items()}
            mark_early(house.store, mosaic.mosaic_id, log, digests)
            house.store.flush()
            if is_known:
                lines += lay_early(
                    house.store,
                    house.catalog.tiles,
                    mosaic,
                    {tile_id: data for tile_id, (_, data) in views.items()},
                    origin=house.box,
                    clock_ns=house.clock_ns,
                )
        return lines

    def _early_is_over(self, home: Home) -> int:
        """Nothing of the views that the giver's logs gave of a flight is left; the tiles written."""
        return sum(
            self._cleared(home.mosaics[there], keys.log_id(self._giver, there)) for there in home.mosaics
        )

    def _withdraws_more(self, home: Home) -> bool:
        known = {one.frame_id for one in self._house.catalog.frames.withdrawals(home.flight_id)}
        return any(one.frame_id not in known for one in home.records.withdrawals)

    def _clear_early(self, flight_id: str) -> None:
        """Nothing of any early view of a flight is left: it may show what is withdrawn now."""
        for mosaic in self._house.catalog.tiles.mosaics(flight_id):
            if mosaic.revision == 0:
                self._cleared(mosaic.mosaic_id, None)

    def _cleared(self, mosaic_id: str, done: str | None) -> int:
        house = self._house
        mosaic = house.catalog.tiles.mosaic(mosaic_id, 0)
        return clear_early(
            house.store, house.catalog.tiles, mosaic, origin=house.box, clock_ns=house.clock_ns, done=done
        )

    def _let_go_older(self, came: Mapping[str, _Came]) -> None:
        """States that a later one of the same log stands for; only once the cursor says so."""
        for mosaic_id, one in came.items():
            given = Given(self._house.store, mosaic_id, self._known)
            for tile_id in sorted(one.tile_ids):
                given.let_go_older(tile_id, one.log)


def _require_still_home(house: House, home: Home) -> None:
    """An ingest may have made a flight of the same photos since the exchange was looked at."""
    now = home_of(house.catalog, home.records)
    if isinstance(now, Apart) or now.flight_id != home.flight_id:
        name = home.records.flight.name
        raise FlightBusy(_("{name}: its photos were being ingested at this moment; run again", name=name))
