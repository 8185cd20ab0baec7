"""Vietnamese names and numbers as they are written, and as they are typed without a Vietnamese keyboard."""

from __future__ import annotations

import json
import shlex
import unicodedata

from flycam.errors import InputUnusable, OptionUnusable
from flycam.messages import _

MAX_NAME_LENGTH = 200
"""Letters of a name that a person gives to something: it is printed whole."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_search_key(text: str) -> str:
    """Lower case without accents, đ as d, single spaces: "Phường Cầu Thia" -> "phuong cau thia"."""
    decomposed = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).split())


def normalize_name(name: str) -> str:
    """A name that a person typed, as it is kept: NFC, single spaces, none around it."""
    return unicodedata.normalize("NFC", " ".join(name.split()))


def strip_unprintable(text: str) -> str:
    """What a person typed or pasted, without what `is_plain` forbids; single spaces."""
    return " ".join("".join(c for c in text if c.isspace() or is_printable(c)).split())


def is_printable(text: str) -> bool:
    """Return whether each character shows and stays in its place on one line of a terminal or a page.

    Control and format characters (escapes, line ends, what turns the reading direction, zero widths), half
    letters of UTF-16 and what Unicode does not define do not; spaces of any width do.
    """
    return text.isprintable() or all(c.isprintable() or unicodedata.category(c) == "Zs" for c in text)


def to_visible(text: str) -> str:
    """Write each character that is not plain as its escape: "\\x1b", "\\n", "\\u202e".

    For text of others (names on a card, of another box, of a request) where it meets a terminal, a log or a
    record. Backslashes stay, so that doing it again changes nothing.
    """
    if is_printable(text):
        return text
    return "".join(c if is_printable(c) else c.encode("unicode_escape").decode() for c in text)


def to_visible_lines(text: str) -> str:
    """As `to_visible`, for text of several lines: their ends stay."""
    return "\n".join(map(to_visible, text.split("\n")))


def to_json_line(value: object) -> str:
    """Convert to JSON on one line, with letters as they are and every character that is not plain escaped."""
    line = json.dumps(value, ensure_ascii=False)
    return (
        line if is_printable(line) else "".join(c if is_printable(c) else json.dumps(c)[1:-1] for c in line)
    )


def to_canonical_name(name: str) -> str:
    """Convert a name, whoever gave it, to the form in which the catalogue keeps and compares it."""
    return to_visible(unicodedata.normalize("NFC", name))


def is_encodable(name: str) -> bool:
    """Whether a name as the disk gives it can be written or sent at all: bytes that are no UTF-8 come as
    surrogates."""
    return not any(unicodedata.category(letter) == "Cs" for letter in name)


def validate_name(text: str, max_length: int = MAX_NAME_LENGTH, *, option: str = "") -> str:
    """Return a name that a person gives to something (a flight, an event, an account, a layer), `tidy`.

    Raises InputUnusable for an empty one, more than `max_length` letters, or characters that are not plain;
    OptionUnusable where it is the value of an `option`.
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
    """A number as it is written in Vietnamese: "1.5" -> "1,5"."""
    return number.replace(".", ",")


def format_shell_command(*words: str) -> str:
    """A command of flycam as it is pasted into a shell, whatever names are in it: flycam finish 'Bản Lầu'."""
    return shlex.join(("flycam", *words))


def escape_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula and no terminal for more than text."""
    shown = to_visible_lines(text)
    return f"'{shown}" if text[:1] in _FORMULA else shown
