"""Which flight here another box's flight is.

On each box a photo lies in one flight. Two boxes that read one card at different times (half of it, all of
it) made two flights of it; here they are one, as when a card is ingested again: the flight that holds one of
the photos already. Where that cannot be, the flight stays apart: only its withdrawals come in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from flycam.catalog.catalog import Catalog
from flycam.catalog.placement_rows import was_on_the_map
from flycam.catalog.records import MosaicInfo
from flycam.catalog.retention_records import HoldLine
from flycam.errors import NotFound
from flycam.frame.flight import Flight, live_mosaic_id
from flycam.sync.apart import told_apart
from flycam.sync.records import FlightRecords

_NAMES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """A flight that is new here, or joins one that is.

    records  as they are to be learnt here
    mosaics  id here of each of its live mosaics, by the id there
    """

    records: FlightRecords
    mosaics: Mapping[str, str]

    @property
    def flight_id(self) -> str:
        """The flight's id here."""
        return self.records.flight.flight_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Apart:
    """A flight that cannot be joined with what is here, and why. records: as they came, but for the flight
    here that its withdrawals are entered under, so that they travel on with it."""

    records: FlightRecords
    sentence: str
    sentence_vi: str

    @property
    def told(self) -> dict[str, str]:
        """As answers and reports tell it."""
        flight = self.records.flight
        return told_apart(flight.flight_id, flight.name, self.sentence, self.sentence_vi)


def home_of(catalog: Catalog, given: FlightRecords) -> Home | Apart:
    """Where a flight belongs by what the catalogue holds now."""
    laid = [record.frame_id for record in given.frames if was_on_the_map(record)]
    holders = catalog.flights.holding(laid) | {given.flight.flight_id}
    here = [one for one in (known_flight(catalog, each) for each in sorted(holders)) if one is not None]
    if len(here) > 1:
        return _apart(given, here[0], *_in_several(given.flight, here))
    target = here[0] if here else given.flight
    if target.work_crs != given.flight.work_crs:
        return _apart(given, target, *_in_another_crs(given.flight, target))
    live = {one.layer: one for one in catalog.tiles.mosaics(target.flight_id) if one.revision == 0}
    for mosaic in given.mosaics:
        known = live.get(mosaic.layer)
        if known is not None and known.base_zoom != mosaic.base_zoom:
            return _apart(given, target, *_at_another_zoom(given.flight, mosaic, known))
    mosaics = {one.mosaic_id: live_mosaic_id(target.flight_id, one.layer) for one in given.mosaics}
    return Home(records=_as_flight(given, target, mosaics), mosaics=mosaics)


def known_flight(catalog: Catalog, flight_id: str) -> Flight | None:
    """The flight of this id, None if there is none; another's name may look like it."""
    try:
        found = catalog.flights.flight(flight_id)
    except NotFound:
        return None
    return found if found.flight_id == flight_id else None


def _as_flight(given: FlightRecords, target: Flight, mosaics: Mapping[str, str]) -> FlightRecords:
    """The records under another flight's id; its own withdrawals too, so that they travel on with it."""
    flight_id = target.flight_id
    return replace(
        given,
        flight=replace(given.flight, flight_id=flight_id),
        mosaics=tuple(
            replace(one, flight_id=flight_id, mosaic_id=mosaics[one.mosaic_id]) for one in given.mosaics
        ),
        frames=tuple(replace(one, flight_id=flight_id) for one in given.frames),
        placements=tuple(replace(one, flight_id=flight_id) for one in given.placements),
        withdrawals=tuple(replace(one, flight_id=flight_id) for one in given.withdrawals),
        holds=tuple(_held(given, target)),
        let_go=tuple(replace(one, flight_id=flight_id) for one in given.let_go),
    )


def _held(given: FlightRecords, target: Flight) -> Iterator[HoldLine]:
    """Holds as they are to be here: where the flight belongs to another event, one on its event there holds
    the flight as well."""
    for line in given.holds:
        if line.subject == given.flight.flight_id:
            yield replace(line, subject=target.flight_id)
        else:
            yield line
            if target.event_id != given.flight.event_id:
                yield replace(line, subject=target.flight_id)


def _apart(given: FlightRecords, here: Flight, sentence: str, vi: str) -> Apart:
    withdrawals = tuple(replace(one, flight_id=here.flight_id) for one in given.withdrawals)
    return Apart(records=replace(given, withdrawals=withdrawals), sentence=sentence, sentence_vi=vi)


def _in_several(given: Flight, here: Sequence[Flight]) -> tuple[str, str]:
    names = ", ".join(one.name for one in here[:_NAMES])
    return (
        f"{given.name}: its photos lie in {len(here)} flights here ({names}), which cannot become one; it"
        " stays out, but for what it withdraws: with an empty data folder (--data), read this box first and"
        " the others after it",
        f"{given.name}: ảnh của chuyến này nằm trong {len(here)} chuyến bay ở đây ({names}), không gộp được; "
        "chỉ nhận các ảnh bị rút: hãy dùng thư mục dữ liệu trống (--data), đọc gói của máy này trước rồi mới "
        "đến các máy khác",
    )


def _in_another_crs(given: Flight, here: Flight) -> tuple[str, str]:
    return (
        f"{given.name}: laid in {given.work_crs}, here in {here.work_crs}: they cannot be merged; it stays"
        " out, but for what it withdraws: ingest its photos into an empty data folder (--data) with the same"
        " options as here, and share that",
        f"{given.name}: nắn trong hệ {given.work_crs}, ở đây là {here.work_crs}, không ghép được; chỉ nhận "
        "các ảnh bị rút: hãy nạp lại ảnh vào thư mục dữ liệu trống (--data) với cùng tuỳ chọn như ở đây rồi "
        "chia sẻ lại",
    )


def _at_another_zoom(given: Flight, mosaic: MosaicInfo, known: MosaicInfo) -> tuple[str, str]:
    return (
        f"{given.name}: its map there has zoom {mosaic.base_zoom}, here {known.base_zoom}: pixels of two"
        " sizes cannot be merged; it stays out, but for what it withdraws: on one of the boxes ingest its"
        " photos into an empty data folder (--data) with the other's --gsd, and share that",
        f"{given.name}: bản đồ bên kia ở mức phóng {mosaic.base_zoom}, ở đây là {known.base_zoom}, không "
        "ghép được; chỉ nhận các ảnh bị rút: trên một trong hai máy hãy nạp lại ảnh vào thư mục dữ liệu "
        "trống (--data) với --gsd của máy kia rồi chia sẻ lại",
    )
