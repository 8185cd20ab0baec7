"""Names and texts of another box, which become parts of keys, paths and lines here: looked at before."""

from __future__ import annotations

from typing import Any

_HEX = frozenset("0123456789abcdef")
_MAX_LETTERS = 500  # of a box's name, a flight's, a thing's
_MAX_BYTES = 200  # a key's segment holds 255, and more than the name stands in some


def require_text(value: Any, max_letters: int = _MAX_LETTERS) -> str:
    """The value, which must be text of so many letters at most, such as databases and files hold. TypeError,
    ValueError."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} is no text")
    if len(value) > max_letters or "\0" in value:
        raise ValueError(f"{value!r:.80} is no text of {max_letters} letters at most")
    value.encode()  # half letters of UTF-16 are none to a database, nor to a hash
    return value


def require_key_segment(value: Any) -> str:
    """A name that becomes one segment of keys: it climbs out of no folder. ValueError, TypeError."""
    name = require_text(value)
    if not name or name[0] == "." or not all(c.isalnum() or c in "-_." for c in name):
        raise ValueError(f"{name!r:.80} is no id")
    if len(name.encode()) > _MAX_BYTES:
        raise ValueError(f"{name!r:.80} is too long for an id")
    return name


def require_hex_digits(value: Any, digits: int | None = None) -> str:
    """A hash in hex; None: of any length that an id has. ValueError, TypeError."""
    name = require_text(value, _MAX_BYTES if digits is None else digits)
    if not name or set(name) - _HEX or digits not in (None, len(name)):
        raise ValueError(f"{name!r:.80} is no hash")
    return name
