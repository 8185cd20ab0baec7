"""Codec of one flight's catalogue records, whole or as a delta.

Records are zstd(JSON of rows). Rows are those of `flycam.catalog.tables`, polygons in base64. Everything
received is validated before it reaches the catalogue: a column that is missing, of another type, or null
where that is not allowed is refused.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
import re
import string
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import shapely
import zstandard
from sqlalchemy import Row, Table

from flycam.catalog import tables
from flycam.catalog.catalog import Catalog
from flycam.catalog.frames import derive_placement_id
from flycam.catalog.restrictions import RedactionFootprint, RedactionRecord
from flycam.catalog.retention import HoldRecord, PurgeRecord
from flycam.catalog.rows import (
    parse_event_row,
    parse_flight_row,
    parse_frame_row,
    parse_row,
    to_event_row,
    to_flight_row,
    to_frame_row,
    to_row,
)
from flycam.errors import SourceUnreadable
from flycam.messages import Message, _, decode_message, encode_message
from flycam.model.access import MAX_CORNERS
from flycam.model.flight import Classification, Event, Flight
from flycam.model.records import FrameRecord, MosaicInfo, Placement, Withdrawal
from flycam.model.text import is_printable
from flycam.storage.files import decompress_bounded, parse_bounded_json
from flycam.sync.manifest import require_hex_digits, require_key_segment, require_text

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog


# -- Frozen records as JSON values and back, checked against their fields' types -------------------
#
# Times and numbers are unchanged, bytes are base64, dates ISO 8601, sets sorted. What another node sends is
# validated field by field before it reaches the catalogue.


_T = TypeVar("_T")
_MAX_INTEGER = 1 << 63  # of either database
_FORMAT = re.compile(r"(?!.*\d{3})[^{}]{0,6}")
"""How a message of another node may format a value: never hundreds of characters wide."""
_MAX_NESTED = 4


def to_values(record: Any) -> dict[str, Any]:
    """Return the record's fields as values; `from_values` restores an equal record."""
    return {one.name: _encode_value(getattr(record, one.name)) for one in dataclasses.fields(record)}


def from_values(kind: type[_T], values: Mapping[str, Any]) -> _T:
    """Return a record of this dataclass from its values.

    Raises KeyError, TypeError or ValueError for anything else; geometry (a field called `wkb`) must be
    readable.
    """
    hints: Mapping[str, Any] = _hints(kind)  # type: ignore[arg-type]
    fields = {
        one.name: _decode_value(hints[one.name], values[one.name])
        for one in dataclasses.fields(kind)  # type: ignore[arg-type]
    }
    if "wkb" in fields and shapely.from_wkb(fields["wkb"]).is_empty:
        raise ValueError("a shape without ground")
    return kind(**fields)


@lru_cache(maxsize=32)
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _encode_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, frozenset):
        return sorted(_encode_value(one) for one in value)
    if isinstance(value, Message):
        return encode_message(value)
    if isinstance(value, tuple):
        return [_encode_value(one) for one in value]
    return value


def _decode_value(hint: Any, value: Any) -> Any:
    """Return a value of the type that a hint names."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        (one,) = (some for some in inner if some is not type(None))
        return None if value is None else _decode_value(one, value)
    if origin in (tuple, frozenset):
        if not isinstance(value, list):
            raise TypeError(f"{value!r:.40} is no list")
        if origin is frozenset or inner[-1] is ...:
            return origin(_decode_value(inner[0], one) for one in value)
        return tuple(_decode_value(one, some) for one, some in zip(inner, value, strict=True))
    return _decode_plain(hint, value)


def _decode_message(value: Any) -> Message:
    """Return a message that can be formatted in either language; raise ValueError."""
    try:
        message = decode_message(value)
        _require_plain_fields(message, _MAX_NESTED)
        message.to_fields()
    except (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{value!r:.40} is no message") from error
    return message


def _require_plain_fields(message: Message, max_nested: int) -> None:
    """Raise ValueError for parameters that reach into a value or allow unbounded text."""
    parts = {name: one for name, one in message.values.items() if isinstance(one, Message)}
    for text in (message.text, message.plural):
        fields = [
            (name, spec or "")
            for _text, name, spec, _conversion in string.Formatter().parse(text)
            if name is not None
        ]
        names = [name for name, __ in fields if name in parts]
        is_plain = all(name.isidentifier() and _FORMAT.fullmatch(spec) for name, spec in fields)
        if not is_plain or len(names) > len(set(names)) or (parts and not max_nested):
            raise ValueError(f"{text!r:.40} is no message")
    for part in parts.values():
        _require_plain_fields(part, max_nested - 1)


def _decode_plain(hint: Any, value: Any) -> Any:
    if hint is Message:
        return _decode_message(value)
    if hint is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if hint is int and type(value) is int and -_MAX_INTEGER <= value < _MAX_INTEGER:
        return value
    if hint is bool and type(value) is bool:
        return value
    if type(value) is str:
        if hint is str:
            return value
        if hint is bytes:
            return base64.b64decode(value, validate=True)
        if hint is date:
            return date.fromisoformat(value)
        if isinstance(hint, type) and issubclass(hint, Enum):
            return hint(value)
    raise TypeError(f"{value!r:.40} is no {getattr(hint, '__name__', hint)}")


# -- Validation of redactions of another node ------------------------------------------------------


def require_valid_redactions(lines: Iterable[RedactionRecord]) -> None:
    """Raise ValueError for a shape that cannot have been drawn: it would fail later."""
    for line in lines:
        shape = shapely.from_wkb(line.wkb)
        if not (
            isinstance(shape, shapely.Polygon)
            and shape.is_valid
            and shape.area > 0.0
            and not shape.interiors
            and len(shape.exterior.coords) <= MAX_CORNERS + 1
            and min(shape.bounds) >= 0.0
        ):
            raise ValueError(f"{line.mask_id} is no mask")


def require_valid_redaction_grounds(
    grounds: Iterable[RedactionFootprint], lines: Collection[RedactionRecord]
) -> None:
    """Raise ValueError for invalid ground, or ground of none of these redactions."""
    known = {one.line_id for one in lines}
    for one in grounds:
        shape = shapely.from_wkb(one.wkb)
        if shape.geom_type not in ("Polygon", "MultiPolygon") or not shape.is_valid:
            raise ValueError(f"{one.line_id} has ground that is none")
        if one.line_id not in known:
            raise ValueError(f"{one.line_id} has ground and is no mask")


# -- Records of one flight -------------------------------------------------------------------------


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
        "mosaics": [to_row(tables.mosaics, one) for one in records.mosaics],
        "frames": [to_frame_row(one) for one in records.frames],
        "placements": [
            to_row(tables.placements, one, placement_id=derive_placement_id(one))
            for one in records.placements
        ],
        "withdrawals": [to_row(tables.withdrawals, one) for one in records.withdrawals],
        "classification": records.classification.value,
        "redactions": [to_row(tables.redactions, one) for one in records.redactions],
        "redaction_grounds": [to_row(tables.redaction_grounds, one) for one in records.redaction_grounds],
        "holds": [to_row(tables.retention_holds, one) for one in records.holds],
        "let_go": [to_row(tables.purges, one) for one in records.purges],
    }
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_as_text)
    return compress_records(text.encode())


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
            mosaics=_parse_records(MosaicInfo, tables.mosaics, values["mosaics"]),
            frames=tuple(parse_frame_row(row) for row in _parse_rows(tables.frames, values["frames"])),
            placements=_parse_records(Placement, tables.placements, values["placements"]),
            withdrawals=_parse_records(Withdrawal, tables.withdrawals, values["withdrawals"]),
            classification=Classification(values["classification"]),
            redactions=_parse_redactions(values["redactions"]),
            redaction_grounds=_parse_records(
                RedactionFootprint, tables.redaction_grounds, values["redaction_grounds"]
            ),
            holds=_parse_holds(values["holds"]),
            purges=_parse_purges(values["let_go"]),
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
                "{place}: what it says of a flight does not read ({name}: {error}); bring both "
                "nodes to the same version and write it again",
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
    for row in _parse_rows(tables.redactions, rows):
        line = parse_row(RedactionRecord, row)
        if line.line_id != row.line_id:
            raise ValueError(f"{line.mask_id} is no mask")
        lines.append(line)
    require_valid_redactions(lines)
    return tuple(lines)


def _parse_holds(rows: Iterable[Mapping[str, Any]]) -> tuple[HoldRecord, ...]:
    """Parse hold versions, each required to have the id of its content."""
    found = [(row, parse_row(HoldRecord, row)) for row in _parse_rows(tables.retention_holds, rows)]
    for row, line in found:
        if line.line_id != row.line_id or not all(
            map(_is_single_line, (line.hold_id, line.reason, line.author))
        ):
            raise ValueError(f"{line.hold_id} is no hold")
    return tuple(line for _, line in found)


def _parse_purges(rows: Iterable[Mapping[str, Any]]) -> tuple[PurgeRecord, ...]:
    """Parse purge records, each required to have the id of its content."""
    found = [(row, parse_row(PurgeRecord, row)) for row in _parse_rows(tables.purges, rows)]
    for row, line in found:
        require_hex_digits(line.sha256, 64)
        if max(len(line.name), len(line.reason)) > _MAX_LETTERS:
            raise ValueError(f"{line.sha256} has a name or a reason without an end")
        if line.line_id != row.line_id or not all(map(_is_single_line, (line.act_id, line.author, line.box))):
            raise ValueError(f"{line.sha256} was not let go so")
    return tuple(line for _, line in found)


def _is_single_line(words: str) -> bool:
    """Return True for non-empty, bounded text of one line."""
    return 0 < len(words) <= _MAX_LETTERS and is_printable(words)


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} does not travel")


def _parse_records(kind: type[_T], table: Table, rows: Iterable[Mapping[str, Any]]) -> tuple[_T, ...]:
    return tuple(parse_row(kind, row) for row in _parse_rows(table, rows))


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


# -- Records of a flight as a delta to earlier ones, such as its new frames ------------------------
#
#     zstd(JSON)   base    SHA-256 of the earlier records
#                  pieces  the new records in order: [first, count] of the base's pieces, or text
#
# Pieces are what is between `,"` in the records' canonical JSON: one value each. The receiver compresses the
# records as `encode_flight_records` does, and compares them with the SHA-256 that names them.


_BETWEEN = ',"'


def compute_record_delta(records: bytes, base: bytes) -> bytes:
    """Return the delta from `base` to `records`, both from `encode_flight_records`."""
    old, new = _pieces(base), _pieces(records)
    delta = {"base": hashlib.sha256(base).hexdigest(), "pieces": list(_runs(new, old))}
    return compress_records(
        json.dumps(delta, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    )


def apply_record_delta(change: bytes, base_of: Callable[[str], bytes], place: str) -> bytes:
    """Return the records that a delta expands to, compressed.

    base_of  returns the earlier ones by SHA-256; what it raises is raised
    place    the file named in errors

    Raises SourceUnreadable for what is not a delta, or expands to more than records may be.
    """
    try:
        delta = parse_bounded_json(decompress_bounded(change, MAX_RECORDS_BYTES), MAX_RECORDS_VALUES)
        old = _pieces(base_of(require_hex_digits(delta["base"], 64)))
        return compress_records(_join_pieces(delta["pieces"], old).encode())
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, zstandard.ZstdError) as error:
        raise SourceUnreadable(
            _(
                "{place}: what it says is new of a flight does not read ({name}: {error}); "
                "bring both nodes to the same version",
                place=place,
                name=type(error).__name__,
                error=error,
            )
        ) from error


def _pieces(records: bytes) -> list[str]:
    return decompress_bounded(records, MAX_RECORDS_BYTES).decode().split(_BETWEEN)


def _runs(new: list[str], old: list[str]) -> Iterator[list[int] | str]:
    """Yield the new pieces as runs of old ones, from their first occurrence, or text."""
    at = {piece: number for number, piece in reversed(list(enumerate(old)))}
    first = count = 0
    for piece in new:
        if count and first + count < len(old) and old[first + count] == piece:
            count += 1
            continue
        if count:
            yield [first, count]
        first, count = at.get(piece, 0), int(piece in at)
        if not count:
            yield piece
    if count:
        yield [first, count]


def _join_pieces(pieces: Any, old: list[str]) -> str:
    """Join the pieces; ValueError if too large, TypeError for other pieces."""
    made: list[str] = []
    size = 0
    for piece in pieces:
        if isinstance(piece, str):
            some = [piece]
        else:
            first, count = piece
            if not 0 <= first < first + count <= len(old):
                raise ValueError(f"pieces {first} to {first + count} of {len(old)}")
            some = old[first : first + count]
        size += sum(map(len, some)) + len(_BETWEEN) * len(some)
        if size > MAX_RECORDS_BYTES:
            raise ValueError(f"{size} letters")
        made += some
    return _BETWEEN.join(made)
