"""Codec of all records that nodes exchange: dataclasses as JSON, checked as they are decoded.

Encoding and decoding are derived from the fields of a dataclass. A field that holds its default is left out;
bytes, which are WKB, are base64, dates ISO 8601, sets sorted, orientations JSON text as the catalogue keeps
it, tiles `Z/X/Y`. What another node sends is checked value by value against the types of the fields, and by
the checks that `Annotated` types name, before anything else sees it.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import re
import string
import sys
import types
from collections.abc import Callable, Mapping
from datetime import date
from enum import Enum
from functools import cache, partial
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import shapely
import zstandard

from flycam.catalog.restrictions import RedactionFootprint
from flycam.catalog.rows import exterior_from_json, exterior_to_json, interior_from_json, interior_to_json
from flycam.geometry.camera import InteriorOrientation
from flycam.geometry.grid import TileId
from flycam.geometry.pose import ExteriorOrientation
from flycam.messages import Message, decode_message, encode_message
from flycam.storage.files import decompress_bounded, parse_bounded_json

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
        message.to_fields()
    except (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{value!r:.40} is no message") from error
    return message


def _require_plain_fields(message: Message, max_nested: int) -> int:
    """Raise ValueError for parameters that reach into a value or pad it without bound.

    Returns the letters that its texts have at most.
    """
    letters = 0
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
        lengths = {
            name: len(repr(one)) + _MAX_PAD for name, one in message.values.items() if name not in parts
        }
        letters += len(text) + sum(lengths.get(name, 0) for name, __ in fields)
    return letters + sum(_require_plain_fields(one, max_nested - 1) for one in parts.values())


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
