"""Names that come from another box and become parts of keys and paths here: looked at before they do."""

from __future__ import annotations

from typing import Any

_HEX = frozenset("0123456789abcdef")
_MAX_BYTES = 200  # a key's segment holds 255, and more than the name stands in some


def text(value: Any) -> str:
    """The value, which must be text. TypeError."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def segment(value: Any) -> str:
    """A name that becomes one segment of keys: it climbs out of no folder. ValueError, TypeError."""
    name = text(value)
    if not name or name[0] == "." or not all(c.isalnum() or c in "-_." for c in name):
        raise ValueError(f"{name!r:.80} is no id")
    if len(name.encode()) > _MAX_BYTES:
        raise ValueError(f"{name!r:.80} is too long for an id")
    return name


def hex_digits(value: Any, digits: int | None = None) -> str:
    """A hash in hex; None: of any length that an id has. ValueError, TypeError."""
    name = text(value)
    is_long = len(name) > _MAX_BYTES if digits is None else len(name) != digits
    if not name or set(name) - _HEX or is_long:
        raise ValueError(f"{name!r:.80} is no hash")
    return name
