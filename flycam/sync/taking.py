"""The receiving side: a verified exchange into store, catalogue and log.

    objects (nothing refers to them) -> records: withdrawals first -> states joined into heads -> the cursor

Each step may be repeated, and what was begun shows nothing that is not right, so an exchange that is cut
short is taken in whole by the next attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from flycam.catalog.placement_rows import placement_id, placement_of
from flycam.catalog.records import FrameRecord, FrameStatus, MosaicInfo, Withdrawal
from flycam.errors import NameTaken, NotFound, SourceUnreadable, StoreConflict
from flycam.frame.flight import Event, Flight, FlightState
from flycam.frame.tile import MosaicTile
from flycam.geometry.grid import TileId
from flycam.mosaic.amending import recorded_amendments
from flycam.mosaic.epochs import Amendments
from flycam.mosaic.joining import join_tiles
from flycam.mosaic.refold import stale_tiles
from flycam.store import keys
from flycam.sync.given import Given, Taken, cursors_of, take, taken_of
from flycam.sync.history import NOTHING, require_same
from flycam.sync.house import House
from flycam.sync.manifest import Kind, Manifest, TileLine
from flycam.sync.records import FlightRecords

Settled = Callable[[Flight], object]
"""Called for each flight whose tiles changed, while it is held for writing: communes are measured there."""


OwnFold = Callable[[MosaicInfo, Amendments], Callable[[TileId], MosaicTile]]
"""From the evidence in this box's own store: the state of a base tile under these amendments. Needed where
a frame was withdrawn or laid again: what this box's photos show under its pixels is nowhere else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TakenIn:
    """What an exchange changed. flights: those it speaks of; lines: appended to tile logs here."""

    flights: tuple[str, ...]
    lines: int


def require_takeable(house: House, manifest: Manifest, records: Sequence[FlightRecords], place: str) -> None:
    """Raise, before anything is written, if this exchange cannot follow what was taken in before.

    StoreConflict: a box of one name with another history, or a mosaic that is here with other zooms.
    SourceUnreadable: it begins after the cursor here, or names a tile of no mosaic that it describes.
    """
    before = taken_of(house.store, manifest.box)
    for mosaic_id, stretch in sorted(manifest.stretches.items()):
        known = before.get(mosaic_id, Taken(seq=0, digest=NOTHING))
        if stretch.since > known.seq:
            raise SourceUnreadable(
                f"{place}: goes on from line {stretch.since} of {mosaic_id}, but only {known.seq} lines of"
                f" {manifest.box} came here: the bundle before this one is missing; read that first, or write"
                " this one again without a receipt",
                vi=f"{place}: tiếp từ dòng {stretch.since} của {mosaic_id} nhưng ở đây mới nhận {known.seq} "
                f"dòng của {manifest.box}; hãy đọc gói trước đó, hoặc ghi lại gói không kèm biên nhận",
            )
        offered = stretch.digest_at(known.seq)
        if offered is not None:
            require_same(manifest.box, mosaic_id, known.seq, known.digest, offered)
    described = {mosaic.mosaic_id: mosaic for one in records for mosaic in one.mosaics}
    for item in manifest.items:
        line = item.tile
        if line is None:
            continue
        mosaic, stretch_of = described.get(line.mosaic_id), manifest.stretches.get(line.mosaic_id)
        if mosaic is None or stretch_of is None or not stretch_of.since < line.seq <= stretch_of.until:
            raise _foreign_tile(place, line)
        if line.tile_id.z != mosaic.base_zoom:
            raise _foreign_tile(place, line)
    for mosaic in described.values():
        _require_alike(house, mosaic, manifest.box)


def take_in(
    house: House,
    manifest: Manifest,
    records: Sequence[FlightRecords],
    settled: Settled = lambda _flight: None,
    own_fold: OwnFold | None = None,
) -> TakenIn:
    """Records, states and cursors of an exchange whose objects are in the store (`given.give`).

    own_fold  None: this box has no photos of its own

    Raises FlightBusy if a flight is being written here, NameTaken, StorageTrouble; run again: it completes.
    """
    lines = 0
    for one in sorted(records, key=lambda each: each.flight.flight_id):
        with house.catalog.flights.lock(one.flight.flight_id):
            flight = learn(house, one, manifest.box)
            appended = sum(_join(house, mosaic, manifest, own_fold) for mosaic in one.mosaics)
            lines += appended
            if appended:
                settled(flight)
    for mosaic_id, stretch in sorted(manifest.stretches.items()):
        known = taken_of(house.store, manifest.box).get(mosaic_id)
        if known is None or known.seq < stretch.until:
            taken = Taken(seq=stretch.until, digest=stretch.until_digest)
            take(house.store, manifest.box, mosaic_id, taken)
    _let_go_older(house, manifest)
    return TakenIn(flights=tuple(sorted(one.flight.flight_id for one in records)), lines=lines)


def learn(house: House, records: FlightRecords, giver: str) -> Flight:
    """Records of a flight joined with those here; the flight as it stands then.

    Withdrawals first, so that nothing withdrawn is ever on the map; then frames, then how they were laid:
    where both boxes laid one frame in two ways, both are placements and the greater is in force.
    """
    catalog = house.catalog
    gone = catalog.frames.withdraw(records.withdrawals)
    _retire(house, records.withdrawals, gone, giver)
    _learn_event(house, records.event, giver)
    flight = _learn_flight(house, records.flight, giver)
    standing = {one.frame_id: one for one in catalog.frames.put(records.frames)}
    laid_otherwise = [
        placement_of(record)
        for record in records.frames
        if record.exterior is not None and _is_laid_otherwise(record, standing[record.frame_id])
    ]
    if records.placements or laid_otherwise:
        catalog.placements.learn([*records.placements, *laid_otherwise])
    known = {one.mosaic_id for one in catalog.tiles.mosaics(flight.flight_id) if one.revision == 0}
    for mosaic in records.mosaics:
        if mosaic.mosaic_id not in known:
            catalog.tiles.put_mosaic(mosaic)
    return _in_state(house, flight)


def joined_flight(here: Flight, given: Flight) -> Flight:
    """What is here of a flight, widened by what another box knows of it. Labels and ground stay as here."""
    boxes = [one for one in (here.bounds_lonlat_deg, given.bounds_lonlat_deg) if one is not None]
    bounds = None
    if boxes:
        west, south, east, north = zip(*boxes, strict=True)
        bounds = (min(west), min(south), max(east), max(north))
    return replace(
        here,
        gsd_m=min(here.gsd_m, given.gsd_m),
        first_ns=min(here.first_ns, given.first_ns),
        last_ns=max(here.last_ns, given.last_ns),
        bounds_lonlat_deg=bounds,
        warnings=tuple(dict.fromkeys((*here.warnings, *given.warnings))),
    )


def _join(house: House, mosaic: MosaicInfo, manifest: Manifest, own_fold: OwnFold | None) -> int:
    """States that came into the heads; where the epoch changed, all given before and this box's own too.

    Returns the log lines appended.
    """
    amendments = recorded_amendments(house.catalog, mosaic)
    giver = keys.box_id(manifest.box)
    until = manifest.stretches[mosaic.mosaic_id].until if mosaic.mosaic_id in manifest.stretches else 0
    cursors = cursors_of(house.store, mosaic.mosaic_id)
    cursors[giver] = max(cursors.get(giver, 0), until)
    given = Given(house.store, mosaic.mosaic_id, cursors)
    came = {line.tile_id for line in _tile_lines(manifest) if line.mosaic_id == mosaic.mosaic_id}

    stale = set(stale_tiles(house.catalog.tiles, mosaic, amendments))
    own = own_fold(mosaic, amendments) if own_fold is not None and stale else None

    def states_of(tile_id: TileId, is_stale: bool) -> list[MosaicTile]:
        states = given.states(tile_id, None if is_stale else (giver,))
        return [*states, own(tile_id)] if own is not None and tile_id in stale else states

    return join_tiles(
        house.store,
        house.catalog.tiles,
        house.catalog.tiles.mosaic(mosaic.mosaic_id, 0),
        {*came, *stale},
        states_of,
        amendments=amendments,
        origin=house.box,
        clock_ns=house.clock_ns,
    )


def _let_go_older(house: House, manifest: Manifest) -> None:
    """States that a later one of the same box stands for; only once the cursor says so."""
    giver = keys.box_id(manifest.box)
    given: dict[str, Given] = {}
    for line in _tile_lines(manifest):
        if line.mosaic_id not in given:
            cursors = cursors_of(house.store, line.mosaic_id)
            given[line.mosaic_id] = Given(house.store, line.mosaic_id, cursors)
        given[line.mosaic_id].let_go_older(line.tile_id, giver)


def _tile_lines(manifest: Manifest) -> Iterable[TileLine]:
    return (item.tile for item in manifest.items if item.kind is Kind.TILE and item.tile is not None)


def _retire(house: House, withdrawals: Iterable[Withdrawal], gone: Sequence[str], giver: str) -> None:
    """Finished revisions that hold a withdrawn frame are shown no more; what is new to this box is audited.

    All withdrawals are looked at, not only new ones: an attempt before may have ended between the two.
    """
    for one in withdrawals:
        why = f"{one.reason} ({one.authority})"
        house.catalog.revisions.retire_holding([one.frame_id], why)
        if one.frame_id in gone:
            house.catalog.audit.append(
                one.authority, "withdraw", one.frame_id, f"told by {giver}: {why}", at_ns=house.clock_ns()
            )


def _learn_event(house: House, event: Event, giver: str) -> None:
    """An event that is not known here; its label gets the giver's name if another has it."""
    if any(one.event_id == event.event_id for one in house.catalog.flights.events()):
        return
    try:
        house.catalog.flights.put_event(event)
    except NameTaken:
        house.catalog.flights.put_event(replace(event, name=f"{event.name} ({giver})"))


def _learn_flight(house: House, given: Flight, giver: str) -> Flight:
    flights = house.catalog.flights
    try:
        here: Flight | None = flights.flight(given.flight_id)
    except NotFound:
        here = None
    if here is not None and here.flight_id == given.flight_id:
        flight = joined_flight(here, given)
        if flight != here:
            flights.put_flight(flight)
        return flight
    try:
        flights.put_flight(given)
    except NameTaken:
        given = replace(given, name=f"{given.name} ({giver})")
        flights.put_flight(given)
    return given


def _in_state(house: House, flight: Flight) -> Flight:
    """A flight is withdrawn when every frame of it is: what one box withdrew, another may have added to."""
    frames = house.catalog.frames.of_flight(flight.flight_id)
    statuses = {record.status for record in frames}
    state = flight.state
    if FrameStatus.USED in statuses and state is FlightState.WITHDRAWN:
        state = FlightState.READY
    elif FrameStatus.USED not in statuses and FrameStatus.WITHDRAWN in statuses:
        state = FlightState.WITHDRAWN
    if state is not flight.state:
        flight = replace(flight, state=state)
        house.catalog.flights.put_flight(flight)
    return flight


def _is_laid_otherwise(given: FrameRecord, here: FrameRecord) -> bool:
    if here.exterior is None:
        return False
    return placement_id(placement_of(given)) != placement_id(placement_of(here))


def _require_alike(house: House, given: MosaicInfo, giver: str) -> None:
    for here in house.catalog.tiles.mosaics(given.flight_id):
        if (here.mosaic_id, here.revision) != (given.mosaic_id, 0):
            continue
        if (here.layer, here.base_zoom) != (given.layer, given.base_zoom):
            raise StoreConflict(
                f"{given.mosaic_id}: here its pixels lie at zoom {here.base_zoom}, on {giver} at"
                f" {given.base_zoom}: they cannot be merged; withdraw the flight on one box and ingest it"
                " again with the other's --gsd",
                vi=f"{given.mosaic_id}: ở đây mức phóng {here.base_zoom}, trên {giver} là {given.base_zoom}, "
                "không ghép được; hãy rút chuyến bay trên một máy rồi nạp lại với --gsd của máy kia",
            )


def _foreign_tile(place: str, line: TileLine) -> SourceUnreadable:
    return SourceUnreadable(
        f"{place}: holds tile {line.tile_id} of {line.mosaic_id}, which its own records do not describe;"
        " write it again on the box it comes from",
        vi=f"{place}: có mảnh {line.tile_id} của {line.mosaic_id} không khớp với dữ liệu kèm theo; hãy ghi "
        "lại trên máy đã tạo ra nó",
    )
