"""What the catalogue knows of one flight, as bytes and back: zstd(JSON of rows), each value checked.

Rows are those of `flycam.catalog.tables`, polygons in base64. Whatever a stick brings is looked at before the
catalogue sees it: a column that is missing, of another type or empty where it must not be is refused.
"""

from __future__ import annotations

import base64
import json
import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import shapely
import zstandard
from sqlalchemy import Row, Table

from flycam.catalog import retention_tables, sharing_tables, tables
from flycam.catalog.flight_rows import event_of, event_row, flight_of, flight_row
from flycam.catalog.frame_rows import record_of, row_of, withdrawal_of
from flycam.catalog.placement_rows import placement_from, placement_row
from flycam.catalog.records import FrameRecord, MosaicInfo, Placement, Withdrawal
from flycam.catalog.redactions import (
    redaction_ground_of,
    redaction_ground_row,
    redaction_of,
    redaction_row,
)
from flycam.catalog.retention import hold_of, hold_row, let_go_of, let_go_row
from flycam.catalog.retention_records import HoldLine, LetGoLine
from flycam.catalog.sharing_records import RedactionGround, RedactionLine
from flycam.catalog.tile_rows import mosaic_of, mosaic_row
from flycam.errors import SourceUnreadable
from flycam.frame.classification import Classification
from flycam.frame.flight import Event, Flight
from flycam.frame.spelling import is_plain
from flycam.frame.unpacking import json_in
from flycam.messages import _
from flycam.sync.inflating import inflated
from flycam.sync.masks import require_grounds, require_masks
from flycam.sync.names import hex_digits, segment, text

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog

_LEVEL = 9  # records go over thin lines
_MOST_LETTERS = 500  # of a name or a reason
_MOST_WARNINGS, _MOST_LETTERS_OF_WARNINGS = 1000, 4 << 20  # one may name every photo
_MAX_INT = 1 << 63  # of either database
MAX_RECORDS_BYTES, MAX_RECORDS_VALUES = 1 << 27, 4_500_000
"""Of one flight's records, inflated: 30,000 frames, each 3.5 kB and 109 values as drills have them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightRecords:
    """All of one flight but its tiles; mosaics: the live ones, one for each layer; classification: how widely
    its giver lets it be shown; redactions: every line of masks on its photos, and the ground they show;
    holds: every line of those on it or its event; let_go: every line of its originals that were."""

    event: Event
    flight: Flight
    mosaics: tuple[MosaicInfo, ...]
    frames: tuple[FrameRecord, ...]
    placements: tuple[Placement, ...]
    withdrawals: tuple[Withdrawal, ...]
    classification: Classification = Classification.OPEN
    redactions: tuple[RedactionLine, ...] = ()
    redaction_grounds: tuple[RedactionGround, ...] = ()
    holds: tuple[HoldLine, ...] = ()
    let_go: tuple[LetGoLine, ...] = ()


def records_of(catalog: Catalog, flight: Flight) -> FlightRecords:
    """As the catalogue has it now."""
    flight_id = flight.flight_id
    redactions = catalog.redactions.of_flight(flight_id)
    return FlightRecords(
        event=catalog.flights.event(flight.event_id),
        flight=flight,
        mosaics=tuple(one for one in catalog.tiles.mosaics(flight_id) if one.revision == 0),
        frames=tuple(catalog.frames.of_flight(flight_id)),
        placements=tuple(catalog.placements.of_flight(flight_id)),
        withdrawals=tuple(catalog.frames.withdrawals(flight_id)),
        classification=catalog.restrictions.level(flight_id),
        redactions=tuple(redactions),
        redaction_grounds=tuple(catalog.redactions.grounds(one.line_id for one in redactions)),
        holds=tuple(catalog.retention.holds([flight_id, flight.event_id])),
        let_go=tuple(catalog.retention.of_flight(flight_id)),
    )


def records_to_bytes(records: FlightRecords) -> bytes:
    """Canonical JSON, compressed: the same records give the same bytes."""
    values = {
        "event": event_row(records.event),
        "flight": flight_row(records.flight),
        "mosaics": [mosaic_row(one) | {"published": one.published} for one in records.mosaics],
        "frames": [row_of(one) for one in records.frames],
        "placements": [placement_row(one) for one in records.placements],
        "withdrawals": [_withdrawal_row(one) for one in records.withdrawals],
        "classification": records.classification.value,
    }
    if records.redactions:  # a flight without masks has the bytes that it had before there were any
        values["redactions"] = [redaction_row(one) for one in records.redactions]
        values["redaction_grounds"] = [redaction_ground_row(one) for one in records.redaction_grounds]
    if records.holds or records.let_go:  # likewise
        values["holds"] = [hold_row(one) for one in records.holds]
        values["let_go"] = [let_go_row(one) for one in records.let_go]
    said = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_as_text)
    return compressed(said.encode())


def compressed(said: bytes) -> bytes:
    """As records travel."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(said)


def records_from_bytes(data: bytes, place: str) -> FlightRecords:
    """Inverse of `records_to_bytes`. `place` is the file to be named. SourceUnreadable for anything else."""
    return records_from_values(values_in(data, place), place)


def values_in(data: bytes, place: str) -> Any:
    """The JSON of records, nothing of it looked at. SourceUnreadable for anything else."""
    with _read_at(place):
        return json_in(inflated(data, MAX_RECORDS_BYTES), MAX_RECORDS_VALUES)


def records_from_values(values: Any, place: str) -> FlightRecords:
    """Records of what `values_in` read. Raises SourceUnreadable where it is none."""
    with _read_at(place):
        records = FlightRecords(
            event=event_of(_row(tables.events, values["event"])),
            flight=flight_of(_flight_row(values["flight"])),
            mosaics=tuple(mosaic_of(row) for row in _rows(tables.mosaics, values["mosaics"])),
            frames=tuple(record_of(row) for row in _rows(tables.frames, values["frames"])),
            placements=tuple(placement_from(row) for row in _rows(tables.placements, values["placements"])),
            withdrawals=tuple(withdrawal_of(row) for row in _rows(tables.withdrawals, values["withdrawals"])),
            # a box of before knows of none
            classification=Classification(values.get("classification", Classification.OPEN)),
            redactions=_redactions(values.get("redactions", ())),
            redaction_grounds=_redaction_grounds(values.get("redaction_grounds", ())),
            holds=_holds(values.get("holds", ())),
            let_go=_let_go(values.get("let_go", ())),
        )
        _require_one_flight(records)
        _require_harmless_ids(records)
        return records


@contextmanager
def _read_at(place: str) -> Iterator[None]:
    """Raise SourceUnreadable, naming the place, for whatever reading raises."""
    try:
        yield
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
        zstandard.ZstdError,
        shapely.errors.ShapelyError,
    ) as error:
        raise SourceUnreadable(
            _(
                "{place}: what it says of a flight does not read ({name}: {error}); bring "
                "both boxes to the same version and write it again",
                place=place,
                name=type(error).__name__,
                error=error,
            )
        ) from error


def labels_in(values: Any) -> tuple[str, str, frozenset[str]] | None:
    """Of the values of records that do not read: the flight's id, its name, the ids of its mosaics; None
    where those do not read either. Nothing else of it is looked at: it names what stays out."""
    try:
        flight_id, name = segment(values["flight"]["flight_id"]), text(values["flight"]["name"])
        return flight_id, name, frozenset(segment(one["mosaic_id"]) for one in values["mosaics"])
    except (ValueError, KeyError, TypeError):
        return None


def _require_one_flight(records: FlightRecords) -> None:
    flight_id = records.flight.flight_id
    several = {
        *(one.flight_id for one in records.mosaics),
        *(one.flight_id for one in records.frames),
        *(one.flight_id for one in records.placements),
    } - {flight_id}
    if several:
        raise ValueError(f"records of {flight_id} name {sorted(several)[0]}")
    if any(one.revision != 0 for one in records.mosaics):
        raise ValueError(f"records of {flight_id} name a finished revision")
    if records.event.event_id != records.flight.event_id:
        raise ValueError(f"records of {flight_id} bring another event")
    if {one.flight_id for one in records.let_go} - {flight_id}:
        raise ValueError(f"records of {flight_id} let go of another flight")
    if {one.subject for one in records.holds} - {flight_id, records.event.event_id}:
        raise ValueError(f"records of {flight_id} hold another flight")
    photos = {one.frame_id for one in records.frames}
    if not photos.issuperset(one.frame_id for one in records.redactions):
        raise ValueError(f"records of {flight_id} mask a photo of another flight")
    require_grounds(records.redaction_grounds, records.redactions)


def _require_harmless_ids(records: FlightRecords) -> None:
    """Ids become parts of keys and of folders' names here: what collecting deletes lies under a flight's."""
    for one in (
        records.event.event_id,
        records.flight.flight_id,
        *(mosaic.mosaic_id for mosaic in records.mosaics),
        *(frame.frame_id for frame in records.frames),
        *(placement.frame_id for placement in records.placements),
        *(withdrawal.frame_id for withdrawal in records.withdrawals),
        *(withdrawal.flight_id for withdrawal in records.withdrawals),
        *(frame.dem_id for frame in records.frames if frame.dem_id),
        *(placement.dem_id for placement in records.placements if placement.dem_id),
    ):
        segment(one)
    for record in records.frames:
        if record.header.provenance.source_sha256:
            hex_digits(record.header.provenance.source_sha256, 64)


def _flight_row(values: Mapping[str, Any]) -> Row[Any]:
    """A flight's, whose warnings are text that every reader can be told."""
    row = _row(tables.flights, values)
    is_short = len(row.warnings) <= _MOST_LETTERS_OF_WARNINGS
    warnings = json_in(row.warnings.encode(), MAX_RECORDS_VALUES) if is_short else None
    if not isinstance(warnings, list) or len(warnings) > _MOST_WARNINGS:
        raise ValueError(f"{row.warnings!r:.40} are no warnings")
    for one in warnings:
        text(one, _MOST_LETTERS_OF_WARNINGS)
    return row


def _redactions(rows: Iterable[Mapping[str, Any]]) -> tuple[RedactionLine, ...]:
    """Lines of masks, each under the id that its content gives it."""
    lines = []
    for row in _rows(sharing_tables.redactions, rows):
        line = redaction_of(row)
        if line.line_id != row.line_id:
            raise ValueError(f"{line.mask_id} is no mask")
        lines.append(line)
    require_masks(lines)
    return tuple(lines)


def _holds(rows: Iterable[Mapping[str, Any]]) -> tuple[HoldLine, ...]:
    """Lines of holds, each under the id that its content gives it."""
    found = [(row, hold_of(row)) for row in _rows(retention_tables.retention_holds, rows)]
    for row, line in found:
        if line.line_id != row.line_id or not all(map(_is_said, (line.hold_id, line.reason, line.author))):
            raise ValueError(f"{line.hold_id} is no hold")
    return tuple(line for _, line in found)


def _let_go(rows: Iterable[Mapping[str, Any]]) -> tuple[LetGoLine, ...]:
    """Lines of originals let go, likewise."""
    found = [(row, let_go_of(row)) for row in _rows(retention_tables.let_go, rows)]
    for row, line in found:
        hex_digits(line.sha256, 64)
        if max(len(line.name), len(line.reason)) > _MOST_LETTERS:
            raise ValueError(f"{line.sha256} has a name or a reason without an end")
        if line.line_id != row.line_id or not all(map(_is_said, (line.act_id, line.author, line.box))):
            raise ValueError(f"{line.sha256} was not let go so")
    return tuple(line for _, line in found)


def _is_said(words: str) -> bool:
    """Text of one line. Boxes of before kept letters that nobody sees, as pasted; lines are never changed."""
    is_one_line = all(is_plain(c) or unicodedata.category(c) == "Cf" for c in words)
    return 0 < len(words) <= _MOST_LETTERS and is_one_line


def _redaction_grounds(rows: Iterable[Mapping[str, Any]]) -> tuple[RedactionGround, ...]:
    return tuple(redaction_ground_of(row) for row in _rows(sharing_tables.redaction_grounds, rows))


def _withdrawal_row(one: Withdrawal) -> dict[str, Any]:
    return {
        "frame_id": one.frame_id,
        "flight_id": one.flight_id,
        "reason": one.reason,
        "authority": one.authority,
        "withdrawn_ns": one.withdrawn_ns,
    }


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} does not travel")


def _rows(table: Table, rows: Iterable[Mapping[str, Any]]) -> list[Row[Any]]:
    return [_row(table, row) for row in rows]


def _row(table: Table, values: Mapping[str, Any]) -> Row[Any]:
    """One row as the catalogue would give it, each value of its column's type."""
    checked: dict[str, Any] = {}
    for column in table.columns:
        value, kind = values[column.name], column.type.python_type
        if value is None and column.nullable:
            checked[column.name] = None
        elif kind is bytes:
            checked[column.name] = base64.b64decode(value, validate=True)
            shapely.from_wkb(checked[column.name])
        elif kind is float and type(value) in (int, float):
            if not math.isfinite(value):  # SQLite keeps NaN as nothing
                raise ValueError(f"{table.name}.{column.name} is {value!r}")
            checked[column.name] = float(value)
        elif kind is int and type(value) is int and not -_MAX_INT <= value < _MAX_INT:
            raise ValueError(f"{table.name}.{column.name} is {value!r:.40}")
        elif kind is str and type(value) is str:
            value.encode()  # half letters of UTF-16 are none to either database
            if "\0" in value:
                raise ValueError(f"{table.name}.{column.name} is {value!r:.40}")
            checked[column.name] = value
        elif type(value) is kind:
            checked[column.name] = value
        else:
            raise TypeError(f"{table.name}.{column.name} is {value!r:.40}")
    return cast("Row[Any]", SimpleNamespace(**checked))
