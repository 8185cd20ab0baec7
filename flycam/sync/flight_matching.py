"""Matching of another node's flight with one here.

On each node a photo is in one flight. Two nodes that read one memory card at different times (half of
it, all of it) made two flights of it; here they become one, as when a card is ingested again: the flight
that holds one of the photos already. Where that is impossible, the flight is in conflict: only its
withdrawals are imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from flycam.catalog.catalog import Catalog
from flycam.catalog.placement_rows import was_orthorectified
from flycam.catalog.records import MosaicInfo
from flycam.catalog.retention_records import HoldRecord
from flycam.errors import NotFound
from flycam.frame.flight import Flight, derive_live_mosaic_id
from flycam.messages import Message, _
from flycam.sync.conflict_reports import describe_conflict
from flycam.sync.flight_records import FlightRecords

_MAX_NAMES_SHOWN = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightMatch:
    """A flight that is new here, or is merged into one here.

    records  under the flight's id here
    mosaics  id here of each of its live mosaics, by the peer's id
    """

    records: FlightRecords
    mosaics: Mapping[str, str]

    @property
    def flight_id(self) -> str:
        """The flight's id here."""
        return self.records.flight.flight_id


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightConflict:
    """A flight that cannot be merged with what is here, and why.

    records  as received, but withdrawals under the flight here, so that they travel on with it
    """

    records: FlightRecords
    sentence: Message

    @property
    def summary(self) -> dict[str, str]:
        """The report of it for answers and commands."""
        flight = self.records.flight
        return describe_conflict(flight.flight_id, flight.name, self.sentence)


def match_flight(catalog: Catalog, received: FlightRecords) -> FlightMatch | FlightConflict:
    """Return the flight here that a received one belongs to, or the conflict."""
    laid = [record.frame_id for record in received.frames if was_orthorectified(record)]
    holders = catalog.flights.find_by_frames(laid) | {received.flight.flight_id}
    here = [one for one in (find_flight_by_id(catalog, each) for each in sorted(holders)) if one is not None]
    if len(here) > 1:
        return _make_conflict(received, here[0], _explain_several_flights(received.flight, here))
    target = here[0] if here else received.flight
    if target.work_crs != received.flight.work_crs:
        return _make_conflict(received, target, _explain_crs_mismatch(received.flight, target))
    live = {one.layer: one for one in catalog.tiles.mosaics(target.flight_id) if one.revision == 0}
    for mosaic in received.mosaics:
        known = live.get(mosaic.layer)
        if known is not None and known.base_zoom != mosaic.base_zoom:
            return _make_conflict(received, target, _explain_zoom_mismatch(received.flight, mosaic, known))
    mosaics = {one.mosaic_id: derive_live_mosaic_id(target.flight_id, one.layer) for one in received.mosaics}
    return FlightMatch(records=_relabel_records(received, target, mosaics), mosaics=mosaics)


def find_flight_by_id(catalog: Catalog, flight_id: str) -> Flight | None:
    """Return the flight with exactly this id, or None.

    `catalog.flights.flight` also finds by name, and a name may look like an id.
    """
    try:
        found = catalog.flights.flight(flight_id)
    except NotFound:
        return None
    return found if found.flight_id == flight_id else None


def _relabel_records(received: FlightRecords, target: Flight, mosaics: Mapping[str, str]) -> FlightRecords:
    """Return the records under the target flight's id.

    Withdrawals too, so that they travel on with it.
    """
    flight_id = target.flight_id
    return replace(
        received,
        flight=replace(received.flight, flight_id=flight_id),
        mosaics=tuple(
            replace(one, flight_id=flight_id, mosaic_id=mosaics[one.mosaic_id]) for one in received.mosaics
        ),
        frames=tuple(replace(one, flight_id=flight_id) for one in received.frames),
        placements=tuple(replace(one, flight_id=flight_id) for one in received.placements),
        withdrawals=tuple(replace(one, flight_id=flight_id) for one in received.withdrawals),
        holds=tuple(_rewrite_holds(received, target)),
        purges=tuple(replace(one, flight_id=flight_id) for one in received.purges),
    )


def _rewrite_holds(received: FlightRecords, target: Flight) -> Iterator[HoldRecord]:
    """Yield the holds as they apply here.

    Where the flight belongs to another event here, a hold on its event there holds the flight as well.
    """
    for line in received.holds:
        if line.subject == received.flight.flight_id:
            yield replace(line, subject=target.flight_id)
        else:
            yield line
            if target.event_id != received.flight.event_id:
                yield replace(line, subject=target.flight_id)


def _make_conflict(received: FlightRecords, here: Flight, sentence: Message) -> FlightConflict:
    withdrawals = tuple(replace(one, flight_id=here.flight_id) for one in received.withdrawals)
    return FlightConflict(records=replace(received, withdrawals=withdrawals), sentence=sentence)


def _explain_several_flights(received: Flight, here: Sequence[Flight]) -> Message:
    return _(
        "{name}: its photos lie in {count} flights here ({names}), which cannot become one; it stays out, "
        "but for what it withdraws: with an empty data folder (--data), read this box first and the others "
        "after it",
        name=received.name,
        count=len(here),
        names=", ".join(one.name for one in here[:_MAX_NAMES_SHOWN]),
    )


def _explain_crs_mismatch(received: Flight, here: Flight) -> Message:
    return _(
        "{name}: laid in {crs}, here in {crs_here}: they cannot be merged; it stays out, but for what it "
        "withdraws: ingest its photos into an empty data folder (--data) with the same options as here, and "
        "share that",
        name=received.name,
        crs=received.work_crs,
        crs_here=here.work_crs,
    )


def _explain_zoom_mismatch(received: Flight, mosaic: MosaicInfo, known: MosaicInfo) -> Message:
    return _(
        "{name}: its map there has zoom {zoom}, here {zoom_here}: pixels of two sizes cannot be merged; it "
        "stays out, but for what it withdraws: on one of the boxes ingest its photos into an empty data "
        "folder (--data) with the other's --gsd, and share that",
        name=received.name,
        zoom=mosaic.base_zoom,
        zoom_here=known.base_zoom,
    )
