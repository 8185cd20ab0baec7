"""An exchange between nodes: the codec of its records, its manifest, and its bytes.

The manifest, log ranges and objects in the order they are sent, is canonical JSON without any time: the same
exchange has the same bytes, so its SHA-256 names the exchange. An offer is read from any offset, so that what
was cut goes on there; a source is what came of it, in one file or in the parts of a bundle. Formats:
docs/formats/bundle.md, docs/formats/sync.md. Types of fields say how what other nodes send is checked
(`flycam.sync.exchange`).
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
import re
import string
import struct
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum, StrEnum
from functools import cache, cached_property, partial
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Self, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import shapely
import zstandard

from flycam.catalog.access import RedactionFootprint
from flycam.catalog.tables import exterior_from_json, exterior_to_json, interior_from_json, interior_to_json
from flycam.errors import SourceUnreadable, StoreConflict, TileCorrupt
from flycam.geometry.camera import InteriorOrientation
from flycam.geometry.grid import MAX_ZOOM, TileId
from flycam.geometry.pose import ExteriorOrientation
from flycam.messages import Message, _, decode_message, encode_message
from flycam.model.frame import TileRecord
from flycam.mosaic.tiles.peers import PeerCursor
from flycam.storage import keys
from flycam.storage.files import decompress_bounded, open_regular, parse_bounded_json
from flycam.storage.keys import ObjectStore

# -- Codec of all records that nodes exchange: dataclasses as JSON, checked as they are decoded ----
#
# Encoding and decoding are derived from the fields of a dataclass. A field that holds its default is left
# out; bytes, which are WKB, are base64, dates ISO 8601, sets sorted, orientations JSON text as the catalogue
# keeps it, tiles `Z/X/Y`. What another node sends is checked value by value against the types of the fields,
# and by the checks that `Annotated` types name, before anything else sees it.


# -- Validation of another node's names and texts --------------------------------------------------
#
# They become parts of keys, paths and logs of this node.


_HEX = frozenset("0123456789abcdef")
# of the name of a node, a flight or a feed item
_MAX_LETTERS = 500
# a key segment holds 255 bytes, and some hold more than the name
_MAX_BYTES = 200
_MAX_INTEGER = 1 << 63  # of either database


def require_text(value: Any, max_letters: int = _MAX_LETTERS) -> str:
    """Return the value; TypeError, ValueError unless it is text fit for databases.

    At most `max_letters` characters.
    """
    if type(value) is not str:
        raise TypeError(f"{value!r:.80} is no text")
    if len(value) > max_letters or "\0" in value:
        raise ValueError(f"{value!r:.80} is no text of {max_letters} letters at most")
    # neither databases nor hashes take lone surrogates
    value.encode()
    return value


def require_key_segment(value: Any) -> str:
    """Return a name that is safe as one segment of a key; ValueError, TypeError.

    It cannot leave its folder.
    """
    name = require_text(value)
    if not name or name[0] == "." or not all(c.isalnum() or c in "-_." for c in name):
        raise ValueError(f"{name!r:.80} is no id")
    if len(name.encode()) > _MAX_BYTES:
        raise ValueError(f"{name!r:.80} is too long for an id")
    return name


def require_hex_digits(value: Any, digits: int | None = None) -> str:
    """Return a hash in hex; ValueError, TypeError.

    digits  its length; None: any that an id has
    """
    name = require_text(value, _MAX_BYTES if digits is None else digits)
    if not name or set(name) - _HEX or digits not in (None, len(name)):
        raise ValueError(f"{name!r:.80} is no hash")
    return name


def require_count(value: int) -> int:
    """Return a number of bytes, lines or tiles; ValueError."""
    if value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


Name = Annotated[str, require_text]
KeySegment = Annotated[str, require_key_segment]
HexDigits = Annotated[str, require_hex_digits]
Sha256 = Annotated[str, partial(require_hex_digits, digits=64)]
ShortHash = Annotated[str, partial(require_hex_digits, digits=32)]
PublicKey = Annotated[str, partial(require_hex_digits, digits=64)]
Count = Annotated[int, require_count]


# -- Frozen records as JSON values and back --------------------------------------------------------


def _decode_interior(text: str) -> InteriorOrientation:
    """Return an interior orientation of numbers and texts alone: written again, it is the same."""
    interior = interior_from_json(interior_to_json(interior_from_json(text)))
    require_text(interior.calibration_id)
    if (
        (len(interior.image_size_px), len(interior.focal_length_px), len(interior.principal_point_px))
        != (2, 2, 2)
        or min(interior.image_size_px) <= 0
        or not all(map(math.isfinite, (*interior.focal_length_px, *interior.principal_point_px)))
        or not all(map(math.isfinite, interior.distortion))
    ):
        raise ValueError(f"{text:.80} is no camera")
    return interior


def _decode_exterior(text: str) -> ExteriorOrientation:
    """Return an exterior orientation of numbers and texts alone: written again, it is the same."""
    exterior = exterior_from_json(exterior_to_json(exterior_from_json(text)))
    require_text(exterior.work_crs)
    require_text(exterior.vertical_datum)
    numbers = [*exterior.projection_centre_m, *(one for row in exterior.rotation for one in row)]
    if [len(row) for row in exterior.rotation] != [3, 3, 3] or len(numbers) != 12:
        raise ValueError(f"{text:.80} is no pose")
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{text:.80} is nowhere")
    return exterior


_T = TypeVar("_T")
_TEXTS: Mapping[Any, tuple[Callable[[Any], str], Callable[[str], Any]]] = {
    InteriorOrientation: (interior_to_json, _decode_interior),
    ExteriorOrientation: (exterior_to_json, _decode_exterior),
    TileId: (str, lambda text: TileId(**dict(zip("zxy", map(int, text.split("/")), strict=True)))),
}
"""Types as text. Of orientations, frames of one camera share one value, and sigmas may be infinite."""
_FORMAT = re.compile(r"(?!.*\d{3})[^{}]{0,6}")
"""How a message of another node may format a value: never hundreds of characters wide."""
_MAX_NESTED = 4
_MAX_PAD = 99
"""Widest format that `_FORMAT` admits, and the decimals of one."""
_MAX_MESSAGE_LETTERS = 1 << 16
"""Of one message, in words: a long value that the text names a million times takes all memory."""
_MAX_SHAPE_LEVELS = 8
"""Shapes within shapes: GEOS follows them on its stack, and tens of thousands of them end the process."""
_POINT, _LINE, _POLYGON, _COLLECTION = 1, 2, 3, 7
_HAS_HEIGHT = 1 << 31
_LEVEL = 9  # high, for what is encoded goes over slow connections
DECODE_ERRORS = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    zstandard.ZstdError,
    shapely.errors.ShapelyError,
)
"""Errors of decoding what another node sent."""


def to_values(record: Any) -> dict[str, Any]:
    """Return a record's fields as values; `from_values` restores an equal record."""
    values = {}
    for name, __, default in _list_fields(type(record)):  # type: ignore[arg-type]
        value = getattr(record, name)
        if default is dataclasses.MISSING or value != default:
            values[name] = _encode_value(value)
    return values


def from_values(kind: type[_T], values: Any) -> _T:
    """Return a record of this dataclass from its values; any of DECODE_ERRORS."""
    if not isinstance(values, Mapping):
        raise TypeError(f"{values!r:.40} is no {kind.__name__}")
    return kind(
        **{
            name: decode(values[name])
            for name, decode, default in _list_fields(kind)  # type: ignore[arg-type]
            if name in values or default is dataclasses.MISSING
        }
    )


def encode_json(values: Any) -> bytes:
    """Encode values as canonical JSON: equal values, equal bytes."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def compress(data: bytes) -> bytes:
    """Compress encoded values for transfer."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(data)


def decompress_values(data: bytes, max_bytes: int, max_values: int) -> Any:
    """Decompress and parse JSON, bounded before either; any of DECODE_ERRORS."""
    return parse_bounded_json(decompress_bounded(data, max_bytes), max_values)


@cache
def _list_fields(kind: Any) -> list[tuple[str, Callable[[Any], Any], Any]]:
    """Return (name, decoder, default) of each field of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    decoders = {one.name: _make_decoder(hints[one.name]) for one in dataclasses.fields(kind)}
    if "wkb" in decoders and kind is not RedactionFootprint:  # a redaction may cover no ground
        decoders["wkb"] = _decode_shape
    return [(one.name, decoders[one.name], _get_default(one)) for one in dataclasses.fields(kind)]


def _get_default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _encode_value(value: Any) -> Any:
    if type(value) in (str, int, float, bool, type(None)):
        return value
    if type(value) in _TEXTS:
        return _TEXTS[type(value)][0](value)
    if dataclasses.is_dataclass(value) and not isinstance(value, Message):
        return to_values(value)
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
    if isinstance(value, Mapping):
        return {key: _encode_value(one) for key, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [_encode_value(one) for one in value]
    return value


@cache
def _make_decoder(hint: Any) -> Callable[[Any], Any]:
    """Return a function that decodes a value of the type that a hint names."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        decode, require = _make_decoder(inner[0]), inner[1]
        return lambda value: require(decode(value))
    if origin in (Union, types.UnionType):
        (some,) = (_make_decoder(one) for one in inner if one is not type(None))
        return lambda value: None if value is None else some(value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key_of, value_of = map(_make_decoder, inner)
        return lambda value: {key_of(name): value_of(one) for name, one in value.items()}
    if origin in (tuple, frozenset):
        return _make_list_decoder(origin, inner)
    if hint in _TEXTS:
        return lambda value: _TEXTS[hint][1](_decode_text(value))
    if dataclasses.is_dataclass(hint) and hint is not Message:
        return partial(from_values, hint)  # type: ignore[arg-type]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda value: hint(_decode_text(value))
    return _DECODERS[hint]


def _make_list_decoder(origin: Any, inner: tuple[Any, ...]) -> Callable[[Any], Any]:
    decoders = [_make_decoder(one) for one in inner if one is not ...]
    is_fixed = origin is tuple and inner[-1] is not ...

    def decode(value: Any) -> Any:
        if not isinstance(value, list):
            raise TypeError(f"{value!r:.40} is no list")
        if is_fixed:
            return tuple(some(one) for some, one in zip(decoders, value, strict=True))
        return origin(map(decoders[0], value))

    return decode


def _decode_text(value: Any) -> str:
    return require_text(value, sys.maxsize)


def _decode_float(value: Any) -> float:
    if type(value) in (int, float) and math.isfinite(value):
        return float(value)
    raise TypeError(f"{value!r:.40} is no number")


def _decode_int(value: Any) -> int:
    if type(value) is int and -_MAX_INTEGER <= value < _MAX_INTEGER:
        return value
    raise TypeError(f"{value!r:.40} is no integer")


def _decode_bool(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise TypeError(f"{value!r:.40} is neither true nor false")


def _decode_wkb(value: Any) -> bytes:
    data = base64.b64decode(_decode_text(value), validate=True)
    _require_few_levels(data)
    if not np.isfinite(shapely.get_coordinates(shapely.from_wkb(data))).all():
        raise ValueError("a shape without a place")
    return data


def _require_few_levels(data: bytes) -> None:
    """Raise ValueError, IndexError for shapes nested deeper than any record's, or not as nodes write them.

    Nodes write little-endian WKB, some with heights.
    """

    def read_integer(at: int) -> int:
        return int.from_bytes(data[at : at + 4], "little")

    at, to_read = 0, [1]
    while to_read:
        if not to_read[-1]:
            to_read.pop()
            continue
        to_read[-1] -= 1
        has_height, kind = divmod(read_integer(at + 1), _HAS_HEIGHT)
        if data[at] != 1 or not _POINT <= kind <= _COLLECTION or len(to_read) > _MAX_SHAPE_LEVELS:
            raise ValueError(f"a shape of kind {kind} on level {len(to_read)}")
        point_bytes = 24 if has_height else 16
        at += 5
        if kind == _POINT:
            at += point_bytes
        elif kind == _LINE:
            at += 4 + read_integer(at) * point_bytes
        elif kind == _POLYGON:
            rings, at = read_integer(at), at + 4
            while rings and at < len(data):
                rings, at = rings - 1, at + 4 + read_integer(at) * point_bytes
        else:
            to_read.append(read_integer(at))
            at += 4


def _decode_shape(value: Any) -> bytes:
    data = _decode_wkb(value)
    if shapely.from_wkb(data).is_empty:
        raise ValueError("a shape without ground")
    return data


def _decode_message(value: Any) -> Message:
    """Return a message that can be formatted in either language; raise ValueError."""
    try:
        message = decode_message(value)
        if _require_plain_fields(message, _MAX_NESTED) > _MAX_MESSAGE_LETTERS:
            raise ValueError(f"{value!r:.40} is a message without an end")
        _require_formattable(message)
    except (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{value!r:.40} is no message") from error
    return message


def _require_plain_fields(message: Message, max_nested: int) -> int:
    """Raise ValueError for parameters that reach into a value or pad it without bound.

    Returns the letters that its texts have at most.
    """
    letters = 0
    parts = {name: one for name, one in message.values.items() if isinstance(one, Message)}
    for text in (message.text, message.plural, message.vi):
        fields = [
            (name, spec or "")
            for _text, name, spec, _conversion in string.Formatter().parse(text)
            if name is not None
        ]
        names = [name for name, __ in fields if name in parts]
        is_plain = all(name.isidentifier() and _FORMAT.fullmatch(spec) for name, spec in fields)
        if not is_plain or len(names) > len(set(names)) or (parts and not max_nested):
            raise ValueError(f"{text!r:.40} is no message")
        lengths = {
            name: len(repr(one)) + _MAX_PAD for name, one in message.values.items() if name not in parts
        }
        letters += len(text) + sum(lengths.get(name, 0) for name, __ in fields)
    return letters + sum(_require_plain_fields(one, max_nested - 1) for one in parts.values())


def _require_formattable(message: Message) -> None:
    """Raise where a text does not fit the values, also the stored Vietnamese that no reader needs by now."""
    for one in (message, Message(message.vi, message.values)):
        one.to_fields()
    for part in message.values.values():
        if isinstance(part, Message):
            _require_formattable(part)


_DECODERS: Mapping[Any, Callable[[Any], Any]] = {
    str: _decode_text,
    int: _decode_int,
    float: _decode_float,
    bool: _decode_bool,
    bytes: _decode_wkb,
    date: lambda value: date.fromisoformat(_decode_text(value)),
    Message: _decode_message,
    Any: lambda value: value,
}


# -- An exchange between nodes, on a stick and over a line alike: its manifest, and its bytes ------


# -- Version of what nodes say to each other, over a line and on a stick ---------------------------


EXCHANGE_FORMAT = 1


def require_exchange_format(version: Any, place: str) -> None:
    """Raise SourceUnreadable, naming `place`, unless this is the version read here."""
    if version != EXCHANGE_FORMAT:
        raise SourceUnreadable(
            _(
                "{place}: the data are in format {version!r:.20}, and format {exchange_format} is read "
                "here; bring both nodes to the same version",
                place=place,
                version=version,
                exchange_format=EXCHANGE_FORMAT,
            )
        )


# -- Chained digest of a log -----------------------------------------------------------------------
#
# It detects differing logs of one name, which are compared at a line that both have.


EMPTY_DIGEST = "0" * 32
"""The digest of a log before its first line."""


DIGEST_PREFIX_DIGITS = 8
"""Digits sent of the digests of lines inside a log range: enough, for logs differ by accident."""


def iterate_digests(digest: str, lines: Iterable[TileRecord]) -> Iterator[str]:
    """Yield the digest after each of these further lines, 32 hex digits.

    Each covers the digest before it.
    """
    for line in lines:
        text = f"{digest} {line.seq} {line.revision} {line.tile_id} {line.epoch} {line.content_hash}"
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        yield digest


def require_same_log(box: str, mosaic_id: str, seq: int, own_digest: str, peer_digest: str) -> None:
    """Raise StoreConflict, with the remedy, unless both logs agree up to `seq`.

    peer_digest  the digest, or as many of its first digits as are sent
    """
    if not own_digest.startswith(peer_digest):
        raise _build_log_conflict(box, mosaic_id, seq)


def require_log_covers(box: str, mosaic_id: str, seq: int, until: int) -> None:
    """Raise StoreConflict, with the remedy, if a peer imported lines beyond the log."""
    if seq > until:
        raise _build_log_conflict(box, mosaic_id, seq)


def _build_log_conflict(box: str, mosaic_id: str, seq: int) -> StoreConflict:
    # a cloned node is detected by either check, whichever log grew longer: cause and remedy are the same
    return StoreConflict(
        _(
            "{box}: its log of {mosaic_id} up to line {seq} is not the one imported before: two nodes "
            "carry this name (a copied disk), or this one went back to an older backup; give it a name "
            "of its own with FLYCAM_BOX and send again (a bundle: with --all)",
            box=box,
            mosaic_id=mosaic_id,
            seq=seq,
        )
    )


# -- Manifest: objects, and the log ranges that they cover -----------------------------------------


_MAX_VALUES = 16_000_000  # some million tiles

LogCursor = Mapping[str, int]
"""Last imported line of each mosaic's log; mosaics without an entry: none."""


class ObjectKind(StrEnum):
    """Kind of an object, in the order in which kinds are sent."""

    RECORDS = "records"
    RECORD_DELTA = "change"
    VIEW = "view"
    TILE = "tile"
    TERRAIN = "terrain"
    ORIGINAL = "original"


_NAME_CHECKS: Mapping[ObjectKind, Callable[[Any], str]] = {
    ObjectKind.RECORD_DELTA: partial(require_hex_digits, digits=64),
    ObjectKind.TERRAIN: require_key_segment,
    ObjectKind.ORIGINAL: require_hex_digits,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TileLogEntry:
    """The log line whose state, or preview, an object is."""

    mosaic_id: KeySegment
    tile_id: TileId
    seq: Count
    content_hash: ShortHash

    def __post_init__(self) -> None:
        tile = self.tile_id
        if not 0 <= tile.z <= MAX_ZOOM or min(tile.x, tile.y) < 0 or max(tile.x, tile.y) >> tile.z:
            raise ValueError(f"{tile} is no tile")


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestItem:
    """One object.

    sha256      hex, of the bytes as they are sent; size_bytes: their number
    name        id of a terrain, SHA-256 of an original or of the records that a delta expands to
    tile        of a tile or preview
    """

    kind: ObjectKind
    sha256: Sha256
    size_bytes: Count
    name: Name = ""
    tile: TileLogEntry | None = None

    def __post_init__(self) -> None:
        if (self.tile is not None) != (self.kind in (ObjectKind.TILE, ObjectKind.VIEW)):
            raise ValueError(f"{self.kind} {self.sha256} with tile {self.tile}")
        if self.kind in _NAME_CHECKS:
            _NAME_CHECKS[self.kind](self.name)


@dataclass(frozen=True, kw_only=True, slots=True)
class LogRange:
    """Lines since+1..until of one mosaic's log, with the digest up to either end.

    marks  the first DIGEST_PREFIX_DIGITS digits of the digest after each of the lines, concatenated
    """

    since: Count
    until: Count
    since_digest: ShortHash
    until_digest: ShortHash
    marks: str

    def __post_init__(self) -> None:
        lines = self.until - self.since
        if lines or self.marks:
            require_hex_digits(self.marks, lines * DIGEST_PREFIX_DIGITS)

    def digest_at(self, seq: int) -> str | None:
        """Return the digest up to a line, or its digits sent; None outside the range."""
        if seq in (self.since, self.until):
            return self.since_digest if seq == self.since else self.until_digest
        if not self.since < seq < self.until:
            return None
        at = (seq - self.since - 1) * DIGEST_PREFIX_DIGITS
        return self.marks[at : at + DIGEST_PREFIX_DIGITS]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExchangeManifest:
    """Contents of one exchange.

    box                 node that sends it
    log_ranges          by mosaic
    items               in the order they are sent
    known_records       SHA-256 of records that an earlier exchange brought and that hold for this one too
    unfinished_mosaics  mosaics whose logs go on beyond this exchange
    """

    box: Name
    log_ranges: Mapping[KeySegment, LogRange] = field(default_factory=dict)
    items: tuple[ManifestItem, ...] = ()
    known_records: tuple[Sha256, ...] = ()
    unfinished_mosaics: frozenset[KeySegment] = frozenset()

    @property
    def size_bytes(self) -> int:
        """Bytes of all objects."""
        return sum(item.size_bytes for item in self.items)

    @property
    def until(self) -> dict[str, int]:
        """The cursor of a node that has imported this."""
        return {mosaic_id: stretch.until for mosaic_id, stretch in self.log_ranges.items()}


def encode_manifest(manifest: ExchangeManifest) -> bytes:
    """Encode a manifest as canonical bytes."""
    return encode_json({"format": EXCHANGE_FORMAT, **to_values(manifest)})


def decode_manifest(data: bytes, place: str) -> ExchangeManifest:
    """Decode a manifest.

    Raises SourceUnreadable, naming `place` (the file), for any bytes that are not a manifest of this
    format.
    """
    try:
        values = parse_bounded_json(data, _MAX_VALUES)
        require_exchange_format(values["format"], place)
        return from_values(ExchangeManifest, values)
    except DECODE_ERRORS as error:
        raise SourceUnreadable(
            _(
                "{place}: its list of contents does not read ({error}); write it again on the "
                "node it comes from",
                place=place,
                error=error,
            )
        ) from error


# -- Question about what a peer lacks, and its answer ----------------------------------------------


HEAD_DIGITS = 16
"""Digits of a content hash that name a head, which covers the tile's address too."""
_MAX_NAMES = 1 << 16
_MAX_HEAD_MOSAICS = 16
"""In one question: nodes ask about one, and each is a read of all its tiles."""

Head = Annotated[str, partial(require_hex_digits, digits=HEAD_DIGITS)]


@dataclass(frozen=True, kw_only=True, slots=True)
class InventoryQuery:
    """Names of objects here, of which a peer may lack some.

    box        this node; key: its public key, in the first query of a round
    mosaics    live mosaics, whose cursors are asked
    records    SHA-256 of records: the peer drops those of this node that are not named; None: it drops none
    terrain    ids; originals: SHA-256
    heads      by mosaic
    """

    box: Name
    key: PublicKey = ""
    mosaics: tuple[KeySegment, ...] = ()
    records: tuple[HexDigits, ...] | None = None
    terrain: tuple[KeySegment, ...] = ()
    originals: tuple[HexDigits, ...] = ()
    heads: Mapping[KeySegment, tuple[Head, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lists = (self.mosaics, self.records or (), self.terrain, self.originals, *self.heads.values())
        if max(map(len, lists)) > _MAX_NAMES or len(self.heads) > _MAX_HEAD_MOSAICS:
            # no answer is partial
            raise ValueError(f"{max(map(len, lists))} names, {len(self.heads)} mosaics at once")


@dataclass(frozen=True, kw_only=True, slots=True)
class InventoryAnswer:
    """Objects that the peer lacks, of those about which it was queried.

    box         the peer
    cursors     how far it imported each log
    views       first DIGEST_PREFIX_DIGITS digits of the content hashes of tiles whose previews it has
    heads       those of live mosaics that it lacks, for each mosaic about which it was queried
    feed_state  of the reference data that it has for this node
    """

    box: Name
    cursors: Mapping[KeySegment, PeerCursor] = field(default_factory=dict)
    records: frozenset[Name] = frozenset()
    terrain: tuple[KeySegment, ...] = ()
    originals: tuple[HexDigits, ...] = ()
    views: frozenset[Name] = frozenset()
    heads: Mapping[Name, frozenset[Name]] = field(default_factory=dict)
    feed_state: Name = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConflictAnswer:
    """A flight of a step that the peer could not merge, and why, in its words."""

    flight_id: Name
    name: Name
    sentence: str
    sentence_vi: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StepAnswer:
    """Answer to an imported step.

    unnamed  SHA-256 of photos that no flight there names, which were skipped
    """

    apart: tuple[ConflictAnswer, ...]
    unnamed: tuple[HexDigits, ...]


def parse_peer_answer(kind: type[_T], values: Any, place: str) -> _T:
    """Parse a peer's answer; SourceUnreadable."""
    try:
        return from_values(kind, values)
    except DECODE_ERRORS as error:
        raise SourceUnreadable(
            _(
                "{place}: its answer does not read ({error}); bring both nodes to the same version",
                place=place,
                error=error,
            )
        ) from error


# -- Bytes of an exchange: `u32 length · manifest, zstd · objects`, little-endian -------------------


_LENGTH = struct.Struct("<I")
_BLOCK = 1 << 20


class ExchangeOffer:
    """A manifest and the bytes of its objects: inline ones by SHA-256, others in the store.

    skipped  keys of what is lost or damaged and therefore not in it
    """

    def __init__(
        self,
        manifest: ExchangeManifest,
        inline_bytes: Mapping[str, bytes],
        store: ObjectStore,
        skipped: tuple[str, ...] = (),
    ) -> None:
        compressed = compress(encode_manifest(manifest))
        self._head = _LENGTH.pack(len(compressed)) + compressed
        self._inline_bytes, self._store = inline_bytes, store
        self.manifest, self.skipped = manifest, skipped
        self.size_bytes = len(self._head) + manifest.size_bytes

    @cached_property
    def head_sha256(self) -> str:
        """SHA-256 of the length and the manifest, which names all that follows."""
        return hashlib.sha256(self._head).hexdigest()

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of all bytes."""
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return digest.hexdigest()

    def blocks(self, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes from `start` on.

        ObjectMissing if the store lost an object, TileCorrupt if it has another one.
        """
        if start < len(self._head):
            yield self._head[start:]
        start = max(start - len(self._head), 0)
        for item in self.manifest.items:
            if start < item.size_bytes:
                yield from self._read_blocks(item, start)
            start = max(start - item.size_bytes, 0)

    def _read_blocks(self, item: ManifestItem, start: int) -> Iterator[bytes]:
        if item.sha256 in self._inline_bytes:
            yield self._inline_bytes[item.sha256][start:]
            return
        digest, key = hashlib.sha256(), _format_object_key(item)
        for at in range(start, item.size_bytes, _BLOCK):
            data = self._store.get_range(key, at, min(_BLOCK, item.size_bytes - at))
            digest.update(data)
            yield data
        if not start and digest.hexdigest() != item.sha256:
            raise TileCorrupt(
                _(
                    "{name}: its bytes in the store do not match their hash; ingest the "
                    "flight again to repair it",
                    name=item.name or item.sha256,
                )
            )


def _format_object_key(item: ManifestItem) -> str:
    if item.tile is not None:
        return keys.format_tile_key(item.tile.mosaic_id, 0, item.tile.tile_id, item.tile.content_hash)
    is_terrain = item.kind is ObjectKind.TERRAIN
    return keys.format_terrain_key(item.name) if is_terrain else keys.format_original_key(item.name)


class ExchangeSource:
    """Bytes of an exchange by offset. Close it, or use `with`.

    path   named in errors about its contents: its file, or the node that sent it
    parts  (file, offset of its payload, bytes of that) in a row
    """

    def __init__(self, path: Path, parts: Sequence[tuple[Path, int, int]]) -> None:
        self.path = path
        self._parts = parts
        self._open: tuple[Path, BinaryIO] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file that is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    @property
    def size_bytes(self) -> int:
        """Bytes of the stream."""
        return sum(part[2] for part in self._parts)

    def blocks(self, start: int, length: int) -> Iterator[bytes]:
        """Yield bytes start..start+length of the stream; SourceUnreadable beyond its end."""
        if start + length > self.size_bytes:
            raise build_hash_mismatch_error(self.path)
        for file, offset, size in self._parts:
            while length and start < size:
                data = self._read(file, offset + start, min(length, _BLOCK, size - start))
                if not data:  # cut short while it is read
                    raise build_hash_mismatch_error(self.path)
                yield data
                start += len(data)
                length -= len(data)
            start -= size

    def read(self, start: int, length: int) -> bytes:
        """Return what `blocks` yields in one piece."""
        return b"".join(self.blocks(start, length))

    def _read(self, path: Path, at: int, size: int) -> bytes:
        if self._open is None or self._open[0] != path:
            self.close()
            self._open = (path, BufferedReader(open_regular(path)))
        self._open[1].seek(at)
        return self._open[1].read(size)


def read_manifest(
    source: ExchangeSource, max_bytes: int, head_sha256: str | None = None
) -> tuple[ExchangeManifest, int]:
    """Return the manifest and the offset of the first object; SourceUnreadable.

    max_bytes    the largest manifest, decompressed
    head_sha256  SHA-256 that length and manifest must have, checked before they are decoded
    """
    (length,) = _LENGTH.unpack(head := source.read(0, _LENGTH.size))
    if length > max_bytes:
        raise build_hash_mismatch_error(source.path)
    start = _LENGTH.size + length
    packed = source.read(_LENGTH.size, length)
    if head_sha256 not in (None, hashlib.sha256(head + packed).hexdigest()):
        raise build_hash_mismatch_error(source.path)
    try:
        plain = decompress_bounded(packed, max_bytes)
    except DECODE_ERRORS as error:
        raise build_hash_mismatch_error(source.path) from error
    manifest = decode_manifest(plain, str(source.path))
    if start + manifest.size_bytes != source.size_bytes:
        raise build_hash_mismatch_error(source.path)
    return manifest, start


def iterate_objects(manifest: ExchangeManifest, start: int) -> Iterator[tuple[ManifestItem, int]]:
    """Yield each object of an exchange and its offset; the first is at `start`."""
    for item in manifest.items:
        yield item, start
        start += item.size_bytes


def read_object(source: ExchangeSource, item: ManifestItem, at: int, max_bytes: int) -> bytes:
    """Return an object's bytes; SourceUnreadable if wrong or more than `max_bytes`."""
    if item.size_bytes > max_bytes:
        raise build_hash_mismatch_error(source.path)
    data = source.read(at, item.size_bytes)
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise build_hash_mismatch_error(source.path)
    return data


def build_hash_mismatch_error(path: Path) -> SourceUnreadable:
    """Return the error for bytes that do not match the manifest."""
    return SourceUnreadable(
        _(
            "{path}: holds other bytes than its list of contents says; write it again on "
            "the node it comes from",
            path=path,
        )
    )
