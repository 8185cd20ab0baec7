"""Frozen records as JSON values and back, checked against their fields' types.

Times and numbers are unchanged, bytes are base64, dates ISO 8601, sets sorted. What another node sends is
validated field by field before it reaches the catalogue.
"""

from __future__ import annotations

import base64
import dataclasses
import math
import re
import string
import types
from collections.abc import Collection, Mapping
from datetime import date
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import shapely

from flycam.messages import Message, decode_message, encode_message

_T = TypeVar("_T")
_MAX_INTEGER = 1 << 63  # of either database
_FORMAT = re.compile(r"(?!.*\d{3})[^{}]{0,6}")
"""How a message of another node may format a value: never hundreds of characters wide."""
_MAX_NESTED = 4


def to_values(record: Any) -> dict[str, Any]:
    """Return the record's fields as values; `from_values` restores an equal record."""
    return {one.name: _encode_value(getattr(record, one.name)) for one in dataclasses.fields(record)}


def from_values(kind: type[_T], values: Mapping[str, Any], since: Collection[str] = ()) -> _T:
    """Return a record of this dataclass from its values.

    Raises KeyError, TypeError or ValueError for anything else; geometry (a field called `wkb`) must be
    readable.

    since  fields that older nodes do not send
    """
    hints: Mapping[str, Any] = _hints(kind)  # type: ignore[arg-type]
    fields = {
        one.name: _decode_value(hints[one.name], values[one.name])
        for one in dataclasses.fields(kind)  # type: ignore[arg-type]
        if one.name in values or one.name not in since
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
    """Return a message that can be put into words in either language; raise ValueError."""
    try:
        message = decode_message(value)
        _require_plain_fields(message, _MAX_NESTED)
        message.to_fields()
    except (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{value!r:.40} is no message") from error
    return message


def _require_plain_fields(message: Message, max_nested: int) -> None:
    """Raise ValueError for parameters that reach into a value or make a text of any length."""
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
