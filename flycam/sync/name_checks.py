"""Validation of another node's names and texts.

They become parts of keys, paths and logs here.
"""

from __future__ import annotations

from typing import Any

_HEX = frozenset("0123456789abcdef")
# of the name of a node, a flight or a feed item
_MAX_LETTERS = 500
# a key segment holds 255 bytes, and some hold more than the name
_MAX_BYTES = 200


def require_text(value: Any, max_letters: int = _MAX_LETTERS) -> str:
    """Return the value; TypeError, ValueError unless it is text fit for databases.

    At most `max_letters` characters.
    """
    if not isinstance(value, str):
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
