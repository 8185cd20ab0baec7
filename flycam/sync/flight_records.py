"""Codec of the catalogue's records of one flight: zstd(JSON of rows), validated.

Rows are those of `flycam.catalog.tables`, polygons in base64. Everything received is validated before it
reaches the catalogue: a column that is missing, of another type, or null where that is not allowed is
refused.
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
from flycam.catalog.flight_rows import parse_event_row, parse_flight_row, to_event_row, to_flight_row
from flycam.catalog.frame_rows import parse_frame_row, parse_withdrawal_row, to_frame_row
from flycam.catalog.placement_rows import parse_placement_row, to_placement_row
from flycam.catalog.records import FrameRecord, MosaicInfo, Placement, Withdrawal
from flycam.catalog.redactions import (
    parse_redaction_footprint_row,
    parse_redaction_row,
    to_redaction_footprint_row,
    to_redaction_row,
)
from flycam.catalog.retention import parse_hold_row, parse_purge_row, to_hold_row, to_purge_row
from flycam.catalog.retention_records import HoldRecord, PurgeRecord
from flycam.catalog.sharing_records import RedactionFootprint, RedactionRecord
from flycam.catalog.tile_rows import parse_mosaic_row, to_mosaic_row
from flycam.errors import SourceUnreadable
from flycam.frame.classification import Classification
from flycam.frame.flight import Event, Flight
from flycam.frame.payload_decoding import parse_bounded_json
from flycam.frame.text_normalization import is_printable
from flycam.messages import _
from flycam.sync.decompression import decompress_bounded
from flycam.sync.name_checks import require_hex_digits, require_key_segment, require_text
from flycam.sync.redactions import require_valid_redaction_grounds, require_valid_redactions

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog

# a high level, for records are sent over slow connections
_LEVEL = 9
_MAX_LETTERS = 500  # of a name or a reason
_MAX_WARNINGS, _MAX_WARNING_CHARS = 1000, 4 << 20  # one may name every photo
_MAX_INT = 1 << 63  # of either database
# values are bounded before JSON is parsed: 6 KB of zstd had become 1.8 GB of memory (decision 0021)
MAX_RECORDS_BYTES, MAX_RECORDS_VALUES = 1 << 27, 4_500_000
"""Of one flight's records, decompressed: 30,000 frames, each 3.5 kB and 109 values as in exercises."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightRecords:
    """All records of one flight but its tiles.

    mosaics         the live ones, one a layer
    classification  how widely the sending node allows it to be shown
    redactions      every version of the redactions on its photos; redaction_grounds: the ground they show
    holds           every version of retention holds on it or its event
    purges          every record of its purged originals
    """

    event: Event
    flight: Flight
    mosaics: tuple[MosaicInfo, ...]
    frames: tuple[FrameRecord, ...]
    placements: tuple[Placement, ...]
    withdrawals: tuple[Withdrawal, ...]
    classification: Classification = Classification.OPEN
    redactions: tuple[RedactionRecord, ...] = ()
    redaction_grounds: tuple[RedactionFootprint, ...] = ()
    holds: tuple[HoldRecord, ...] = ()
    purges: tuple[PurgeRecord, ...] = ()


def read_flight_records(catalog: Catalog, flight: Flight) -> FlightRecords:
    """Read a flight's records from the catalogue."""
    flight_id = flight.flight_id
    redactions = catalog.redactions.list_for_flight(flight_id)
    return FlightRecords(
        event=catalog.flights.event(flight.event_id),
        flight=flight,
        mosaics=tuple(one for one in catalog.tiles.mosaics(flight_id) if one.revision == 0),
        frames=tuple(catalog.frames.list_for_flight(flight_id)),
        placements=tuple(catalog.placements.list_for_flight(flight_id)),
        withdrawals=tuple(catalog.frames.withdrawals(flight_id)),
        classification=catalog.restrictions.level(flight_id),
        redactions=tuple(redactions),
        redaction_grounds=tuple(catalog.redactions.list_footprints(one.line_id for one in redactions)),
        holds=tuple(catalog.retention.holds([flight_id, flight.event_id])),
        purges=tuple(catalog.retention.list_for_flight(flight_id)),
    )


def encode_flight_records(records: FlightRecords) -> bytes:
    """Encode records as compressed canonical JSON: the same records, the same bytes."""
    values = {
        "event": to_event_row(records.event),
        "flight": to_flight_row(records.flight),
        "mosaics": [to_mosaic_row(one) | {"published": one.published} for one in records.mosaics],
        "frames": [to_frame_row(one) for one in records.frames],
        "placements": [to_placement_row(one) for one in records.placements],
        "withdrawals": [_withdrawal_row(one) for one in records.withdrawals],
        "classification": records.classification.value,
    }
    # left out when empty, so that such a flight has the same bytes as in older versions
    if records.redactions:
        values["redactions"] = [to_redaction_row(one) for one in records.redactions]
        values["redaction_grounds"] = [to_redaction_footprint_row(one) for one in records.redaction_grounds]
    if records.holds or records.purges:  # likewise
        values["holds"] = [to_hold_row(one) for one in records.holds]
        values["let_go"] = [to_purge_row(one) for one in records.purges]
    said = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_as_text)
    return compress_records(said.encode())


def compress_records(data: bytes) -> bytes:
    """Compress encoded records for transfer."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(data)


def decode_flight_records(data: bytes, place: str) -> FlightRecords:
    """Decode records; SourceUnreadable, naming `place` (the file), for anything else."""
    return parse_flight_records(decode_record_values(data, place), place)


def decode_record_values(data: bytes, place: str) -> Any:
    """Decompress and parse the JSON of records, not validated.

    SourceUnreadable for anything else.
    """
    with _translate_read_errors(place):
        return parse_bounded_json(decompress_bounded(data, MAX_RECORDS_BYTES), MAX_RECORDS_VALUES)


def parse_flight_records(values: Any, place: str) -> FlightRecords:
    """Parse and validate `decode_record_values`' result; SourceUnreadable if invalid."""
    with _translate_read_errors(place):
        records = FlightRecords(
            event=parse_event_row(_parse_row(tables.events, values["event"])),
            flight=parse_flight_row(_parse_flight_row(values["flight"])),
            mosaics=tuple(parse_mosaic_row(row) for row in _parse_rows(tables.mosaics, values["mosaics"])),
            frames=tuple(parse_frame_row(row) for row in _parse_rows(tables.frames, values["frames"])),
            placements=tuple(
                parse_placement_row(row) for row in _parse_rows(tables.placements, values["placements"])
            ),
            withdrawals=tuple(
                parse_withdrawal_row(row) for row in _parse_rows(tables.withdrawals, values["withdrawals"])
            ),
            # an older node sends none
            classification=Classification(values.get("classification", Classification.OPEN)),
            redactions=_parse_redactions(values.get("redactions", ())),
            redaction_grounds=_parse_redaction_grounds(values.get("redaction_grounds", ())),
            holds=_parse_holds(values.get("holds", ())),
            purges=_parse_purges(values.get("let_go", ())),
        )
        _require_one_flight(records)
        _require_safe_ids(records)
        return records


@contextmanager
def _translate_read_errors(place: str) -> Iterator[None]:
    """Raise SourceUnreadable, naming `place`, for any error of reading."""
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


def read_record_labels(values: Any) -> tuple[str, str, frozenset[str]] | None:
    """Return flight id, name and mosaic ids of records that do not read.

    None if these do not read either.

    Nothing else of them is validated: they name what is not imported.
    """
    try:
        flight_id, name = (
            require_key_segment(values["flight"]["flight_id"]),
            require_text(values["flight"]["name"]),
        )
        return flight_id, name, frozenset(require_key_segment(one["mosaic_id"]) for one in values["mosaics"])
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
    if {one.flight_id for one in records.purges} - {flight_id}:
        raise ValueError(f"records of {flight_id} let go of another flight")
    if {one.subject for one in records.holds} - {flight_id, records.event.event_id}:
        raise ValueError(f"records of {flight_id} hold another flight")
    photos = {one.frame_id for one in records.frames}
    if not photos.issuperset(one.frame_id for one in records.redactions):
        raise ValueError(f"records of {flight_id} mask a photo of another flight")
    require_valid_redaction_grounds(records.redaction_grounds, records.redactions)


def _require_safe_ids(records: FlightRecords) -> None:
    """Raise ValueError for ids unfit for keys and folder names.

    Garbage collection deletes whatever is under a flight's id.
    """
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
        require_key_segment(one)
    for record in records.frames:
        if record.header.provenance.source_sha256:
            require_hex_digits(record.header.provenance.source_sha256, 64)


def _parse_flight_row(values: Mapping[str, Any]) -> Row[Any]:
    """Parse a flight's row and require its warnings to be a bounded list of text."""
    row = _parse_row(tables.flights, values)
    is_short = len(row.warnings) <= _MAX_WARNING_CHARS
    warnings = parse_bounded_json(row.warnings.encode(), MAX_RECORDS_VALUES) if is_short else None
    if not isinstance(warnings, list) or len(warnings) > _MAX_WARNINGS:
        raise ValueError(f"{row.warnings!r:.40} are no warnings")
    for one in warnings:
        require_text(one, _MAX_WARNING_CHARS)
    return row


def _parse_redactions(rows: Iterable[Mapping[str, Any]]) -> tuple[RedactionRecord, ...]:
    """Parse redaction versions, each required to have the id of its content."""
    lines = []
    for row in _parse_rows(sharing_tables.redactions, rows):
        line = parse_redaction_row(row)
        if line.line_id != row.line_id:
            raise ValueError(f"{line.mask_id} is no mask")
        lines.append(line)
    require_valid_redactions(lines)
    return tuple(lines)


def _parse_holds(rows: Iterable[Mapping[str, Any]]) -> tuple[HoldRecord, ...]:
    """Parse hold versions, each required to have the id of its content."""
    found = [(row, parse_hold_row(row)) for row in _parse_rows(retention_tables.retention_holds, rows)]
    for row, line in found:
        if line.line_id != row.line_id or not all(
            map(_is_single_line, (line.hold_id, line.reason, line.author))
        ):
            raise ValueError(f"{line.hold_id} is no hold")
    return tuple(line for _, line in found)


def _parse_purges(rows: Iterable[Mapping[str, Any]]) -> tuple[PurgeRecord, ...]:
    """Parse purge records, each required to have the id of its content."""
    found = [(row, parse_purge_row(row)) for row in _parse_rows(retention_tables.purges, rows)]
    for row, line in found:
        require_hex_digits(line.sha256, 64)
        if max(len(line.name), len(line.reason)) > _MAX_LETTERS:
            raise ValueError(f"{line.sha256} has a name or a reason without an end")
        if line.line_id != row.line_id or not all(map(_is_single_line, (line.act_id, line.author, line.box))):
            raise ValueError(f"{line.sha256} was not let go so")
    return tuple(line for _, line in found)


def _is_single_line(words: str) -> bool:
    """Return True for non-empty, bounded text of one line.

    Invisible format characters pass: older nodes stored them as pasted, and records are immutable.
    """
    is_one_line = all(is_printable(c) or unicodedata.category(c) == "Cf" for c in words)
    return 0 < len(words) <= _MAX_LETTERS and is_one_line


def _parse_redaction_grounds(rows: Iterable[Mapping[str, Any]]) -> tuple[RedactionFootprint, ...]:
    return tuple(
        parse_redaction_footprint_row(row) for row in _parse_rows(sharing_tables.redaction_grounds, rows)
    )


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


def _parse_rows(table: Table, rows: Iterable[Mapping[str, Any]]) -> list[Row[Any]]:
    return [_parse_row(table, row) for row in rows]


def _parse_row(table: Table, values: Mapping[str, Any]) -> Row[Any]:
    """Return one row as the catalogue would, each value of its column's type."""
    checked: dict[str, Any] = {}
    for column in table.columns:
        value, kind = values[column.name], column.type.python_type
        if value is None and column.nullable:
            checked[column.name] = None
        elif kind is bytes:
            checked[column.name] = base64.b64decode(value, validate=True)
            shapely.from_wkb(checked[column.name])
        elif kind is float and type(value) in (int, float):
            # SQLite stores NaN as NULL
            if not math.isfinite(value):
                raise ValueError(f"{table.name}.{column.name} is {value!r}")
            checked[column.name] = float(value)
        elif kind is int and type(value) is int and not -_MAX_INT <= value < _MAX_INT:
            raise ValueError(f"{table.name}.{column.name} is {value!r:.40}")
        elif kind is str and type(value) is str:
            # neither database takes lone surrogates
            value.encode()
            if "\0" in value:
                raise ValueError(f"{table.name}.{column.name} is {value!r:.40}")
            checked[column.name] = value
        elif type(value) is kind:
            checked[column.name] = value
        else:
            raise TypeError(f"{table.name}.{column.name} is {value!r:.40}")
    return cast("Row[Any]", SimpleNamespace(**checked))
