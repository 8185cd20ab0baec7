"""Normalisation of Vietnamese names and numbers as written, and as typed without a Vietnamese keyboard."""

from __future__ import annotations

import json
import shlex
import unicodedata

from flycam.errors import InputUnusable, OptionUnusable
from flycam.messages import _

MAX_NAME_LENGTH = 200
"""Letters of a name that a user gives: it is printed whole."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_search_key(text: str) -> str:
    """Convert to lower case without accents and with single spaces, đ as d.

    For example "Phường Cầu Thia" becomes "phuong cau thia".
    """
    decomposed = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).split())


def normalize_name(name: str) -> str:
    """Normalise a typed name for storage: NFC, single spaces, none around it."""
    return unicodedata.normalize("NFC", " ".join(name.split()))


def strip_unprintable(text: str) -> str:
    """Strip from typed or pasted text what `is_printable` forbids; single spaces."""
    return " ".join("".join(c for c in text if c.isspace() or is_printable(c)).split())


def is_printable(text: str) -> bool:
    """Return True if each character shows, and stays in its place on one line.

    Control and format characters (escapes, line ends, bidirectional controls, zero widths), lone surrogates
    and undefined characters do not, on a terminal or a page; spaces of any width do.
    """
    return text.isprintable() or all(c.isprintable() or unicodedata.category(c) == "Zs" for c in text)


def to_visible(text: str) -> str:
    r"""Write each character that is not printable as its escape.

    For example "\x1b", "\n", "\u202e". For text of others (names on a memory card, of another node, in a
    request) where it meets a terminal, a log or a record. Backslashes stay, so that repeating it changes
    nothing.
    """
    if is_printable(text):
        return text
    return "".join(c if is_printable(c) else c.encode("unicode_escape").decode() for c in text)


def to_visible_lines(text: str) -> str:
    """Apply `to_visible` to text of several lines; line ends stay."""
    return "\n".join(map(to_visible, text.split("\n")))


def to_json_line(value: object) -> str:
    """Convert to JSON on one line, keeping letters, escaping unprintable characters."""
    line = json.dumps(value, ensure_ascii=False)
    return (
        line if is_printable(line) else "".join(c if is_printable(c) else json.dumps(c)[1:-1] for c in line)
    )


def to_canonical_name(name: str) -> str:
    """Convert a name of any origin to the form the catalogue keeps and compares."""
    return to_visible(unicodedata.normalize("NFC", name))


def is_encodable(name: str) -> bool:
    """Return True if a file name can be written or sent as UTF-8.

    Bytes that are not UTF-8 come from the disk as surrogates.
    """
    return not any(unicodedata.category(letter) == "Cs" for letter in name)


def validate_name(text: str, max_length: int = MAX_NAME_LENGTH, *, option: str = "") -> str:
    """Return a user's name (of a flight, an event, an account, a layer), normalised.

    Raises InputUnusable for an empty one, more than `max_length` letters, or characters that are not
    printable; OptionUnusable where it is the value of an `option`.
    """
    name = normalize_name(text)
    if 0 < len(name) <= max_length and is_printable(text.strip()):
        return name
    kind = OptionUnusable if option else InputUnusable
    shown = f"{option} '{to_visible(text[:40])}'".strip()
    if 0 < len(name) <= max_length:
        raise kind(_("{shown}: a name holds no line ends and no hidden signs; type it anew", shown=shown))
    raise kind(_("{shown}: is no name; give one of 1 to {most} letters", shown=shown, most=max_length))


def format_decimal_comma(number: str) -> str:
    """Format a number with a decimal comma, as in Vietnamese: "1.5" -> "1,5"."""
    return number.replace(".", ",")


def format_shell_command(*words: str) -> str:
    """Format a flycam command for pasting into a shell: flycam finish 'Bản Lầu'.

    Names are quoted where necessary.
    """
    return shlex.join(("flycam", *words))


def escape_cell(text: str) -> str:
    """Escape a cell against formulas in spreadsheets and escapes in terminals."""
    shown = to_visible_lines(text)
    return f"'{shown}" if text[:1] in _FORMULA else shown
