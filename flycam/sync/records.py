"""Records of one flight as nodes exchange them, whole or as a delta to earlier ones.

Records are zstd(JSON of `FlightRecords`), by `flycam.sync.codec`. What the catalogue could not hold, or what
names another flight, is refused before it gets there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely

from flycam.catalog.catalog import Catalog
from flycam.catalog.restrictions import RedactionFootprint, RedactionRecord
from flycam.catalog.retention import HoldRecord, PurgeRecord
from flycam.errors import SourceUnreadable
from flycam.geometry.grid import MAX_ZOOM
from flycam.messages import _
from flycam.model.access import MAX_CORNERS
from flycam.model.flight import Classification, Event, Flight
from flycam.model.records import FrameRecord, MosaicInfo, Placement, Withdrawal
from flycam.model.text import is_printable, to_visible
from flycam.storage.files import decompress_bounded
from flycam.sync.codec import (
    DECODE_ERRORS,
    compress,
    decompress_values,
    encode_json,
    from_values,
    require_hex_digits,
    require_key_segment,
    to_values,
)

_MAX_LETTERS = 500  # of a name or a reason
_MAX_LAT_DEG = 85.06
"""The map's edge: beyond it Web Mercator goes to infinity."""
_MAX_FRAME_TILES = 1 << 18
"""Base tiles around one frame, which are gone through one by one; oblique ones at a fine zoom lie on some ten
thousand."""
_MAX_WARNINGS, _MAX_WARNING_CHARS = 1000, 4 << 20  # one may name every photo
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
    return compress(encode_json(to_values(records)))


def decode_flight_records(data: bytes, place: str) -> FlightRecords:
    """Decode records; SourceUnreadable, naming `place` (the file), for anything else."""
    return parse_flight_records(decode_record_values(data, place), place)


def decode_record_values(data: bytes, place: str) -> Any:
    """Decompress and parse the JSON of records, not validated.

    SourceUnreadable for anything else.
    """
    with _translate_read_errors(place):
        return decompress_values(data, MAX_RECORDS_BYTES, MAX_RECORDS_VALUES)


def parse_flight_records(values: Any, place: str) -> FlightRecords:
    """Parse and validate `decode_record_values`' result; SourceUnreadable if invalid."""
    with _translate_read_errors(place):
        records = from_values(FlightRecords, values)
        _require_one_flight(records)
        _require_safe_ids(records)
        _require_on_map(records)
        _require_bounded_texts(records)
        require_valid_redactions(records.redactions)
        require_valid_redaction_grounds(records.redaction_grounds, records.redactions)
        return replace(
            records,
            event=replace(records.event, name=to_visible(records.event.name)),
            flight=replace(records.flight, name=to_visible(records.flight.name)),
        )


@contextmanager
def _translate_read_errors(place: str) -> Iterator[None]:
    """Raise SourceUnreadable, naming `place`, for any error of reading."""
    try:
        yield
    except DECODE_ERRORS as error:
        raise SourceUnreadable(
            _(
                "{place}: what it says of a flight does not read ({name}: {error}); bring both "
                "nodes to the same version and write it again",
                place=place,
                name=type(error).__name__,
                error=error,
            )
        ) from error


def _require_one_flight(records: FlightRecords) -> None:
    flight_id = records.flight.flight_id
    several = {
        *(one.flight_id for one in records.mosaics),
        *(one.flight_id for one in records.frames),
        *(one.flight_id for one in records.placements),
        *(one.flight_id for one in records.purges),
    } - {flight_id}
    if several:
        raise ValueError(f"records of {flight_id} name {sorted(several)[0]}")
    if any(one.revision != 0 for one in records.mosaics):
        raise ValueError(f"records of {flight_id} name a finished revision")
    if records.event.event_id != records.flight.event_id:
        raise ValueError(f"records of {flight_id} bring another event")
    if {one.subject for one in records.holds} - {flight_id, records.event.event_id}:
        raise ValueError(f"records of {flight_id} hold another flight")
    photos = {one.frame_id for one in records.frames}
    if not photos.issuperset(one.frame_id for one in records.redactions):
        raise ValueError(f"records of {flight_id} mask a photo of another flight")


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
    for purge in records.purges:
        require_hex_digits(purge.sha256, 64)


def _require_on_map(records: FlightRecords) -> None:
    """Raise ValueError for zooms, places and tiles of no map, and for a frame on more tiles than it shows."""
    for mosaic in records.mosaics:
        if not 0 <= mosaic.min_zoom <= mosaic.base_zoom <= MAX_ZOOM:
            raise ValueError(f"{mosaic.mosaic_id} has zooms {mosaic.min_zoom} to {mosaic.base_zoom}")
    west, south, east, north = records.flight.bounds_lonlat_deg or (0.0, 0.0, 0.0, 0.0)
    placed: list[FrameRecord | Placement] = [*records.frames, *records.placements]
    footprints = shapely.from_wkb([one.footprint_wkb for one in placed if one.footprint_wkb is not None])
    places = np.array([(west, south), (east, north), *shapely.get_coordinates(footprints)])
    if west > east or south > north or not (np.abs(places) <= (180.0, _MAX_LAT_DEG)).all():
        raise ValueError(f"{records.flight.flight_id} lies beyond the map's edge")
    for one in placed:
        if one.tiles is None:
            continue
        tiles = one.tiles
        spans = (tiles.x_start, tiles.x_stop), (tiles.y_start, tiles.y_stop)
        is_on_map = 0 <= tiles.z <= MAX_ZOOM and all(
            0 <= start <= stop <= 1 << tiles.z for start, stop in spans
        )
        if not is_on_map or len(tiles) > _MAX_FRAME_TILES:
            raise ValueError(f"{one.frame_id} lies on {tiles}")


def _require_bounded_texts(records: FlightRecords) -> None:
    """Raise ValueError for more warnings than a flight has, and for texts without an end."""
    warnings = records.flight.warnings
    if len(warnings) > _MAX_WARNINGS or sum(map(len, warnings)) >= _MAX_WARNING_CHARS:
        raise ValueError(f"{len(warnings)} warnings")
    lines = [text for one in records.holds for text in (one.hold_id, one.reason, one.author)]
    lines += [text for one in records.purges for text in (one.act_id, one.author, one.box)]
    if not all(map(_is_single_line, lines)):
        raise ValueError("a hold, or a purge, that nobody made")
    if any(max(len(one.name), len(one.reason)) > _MAX_LETTERS for one in records.purges):
        raise ValueError("a purge has a name or a reason without an end")


def _is_single_line(words: str) -> bool:
    """Return True for non-empty, bounded text of one line."""
    return 0 < len(words) <= _MAX_LETTERS and is_printable(words)


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
    pieces = list(_find_runs(_split_pieces(records), _split_pieces(base)))
    return compress(encode_json({"base": hashlib.sha256(base).hexdigest(), "pieces": pieces}))


def apply_record_delta(delta: bytes, base_of: Callable[[str], bytes], place: str) -> bytes:
    """Return the records that a delta expands to, compressed.

    base_of  returns the earlier ones by SHA-256; what it raises is raised
    place    the file named in errors

    Raises SourceUnreadable for what is not a delta, or expands to more than records may be.
    """
    try:
        values = decompress_values(delta, MAX_RECORDS_BYTES, MAX_RECORDS_VALUES)
        old = _split_pieces(base_of(require_hex_digits(values["base"], 64)))
        return compress(_join_pieces(values["pieces"], old).encode())
    except DECODE_ERRORS as error:
        raise SourceUnreadable(
            _(
                "{place}: what it says is new of a flight does not read ({name}: {error}); "
                "bring both nodes to the same version",
                place=place,
                name=type(error).__name__,
                error=error,
            )
        ) from error


def _split_pieces(records: bytes) -> list[str]:
    return decompress_bounded(records, MAX_RECORDS_BYTES).decode().split(_BETWEEN)


def _find_runs(new: list[str], old: list[str]) -> Iterator[list[int] | str]:
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
