"""Text for people: names, numbers, quantities and times in two languages.

Vietnamese names and numbers are normalised as written, and as typed without a Vietnamese keyboard.
Credentials are stripped from URLs, secrets are left out of JSON, and unprintable characters are escaped.
"""

from __future__ import annotations

import json
import math
import re
import shlex
import unicodedata
from collections.abc import Sequence

from flycam.errors import InputUnusable, OptionUnusable
from flycam.messages import Message, _, join
from flycam.model.time import format_minute, format_utc_offset

# -- URLs without credentials ----------------------------------------------------------------------
#
# URLs of cameras, servers and radios contain passwords and keys. The form for messages, screens and records
# distinguishes sources and opens none.


_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+:/+)([^/?#]*)([^?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_LEFT_OUT = "…"
_KEY_IS_LAST = ("rtmp", "rtmps")


def strip_url_credentials(url: str) -> str:
    """Strip user, password, query and fragment from a URL.

    Other text (a file's path) is returned unchanged.

    Parts of its path that hold "=" are replaced, since cheap cameras take their password there, and the last
    part of an RTMP path, which is the stream's key. With "@" after the host, where an unescaped password has
    its second half, only the scheme is kept.
    """
    found = _ADDRESS.fullmatch(url)
    if found is None:
        return url
    scheme, authority, path, rest = found.groups()
    if "@" in path + rest:
        return scheme + _LEFT_OUT
    parts = [_LEFT_OUT if "=" in part else part for part in path.split("/")]
    if scheme.partition(":")[0].lower() in _KEY_IS_LAST and len(parts) > 1 and parts[-1]:
        parts[-1] = _LEFT_OUT
    return scheme + authority.rpartition("@")[2] + "/".join(parts)


# -- Text with a secret that is shown once ---------------------------------------------------------


class SecretText(str):
    """Text for a person; left out where the answer is printed as JSON.

    The JSON has the secret too.
    """

    __slots__ = ()


# -- Normalisation of Vietnamese names and numbers, and printable text -----------------------------


MAX_NAME_LENGTH = 200
"""Letters of a name that a user gives: it is printed whole."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SHOWN_CATEGORIES = "LNPS"
_BLANK_GLYPHS = frozenset("\u115f\u1160\u2800\u3164\uffa0\U00013441\U00013442\U0001d159")
"""Letters and symbols that draw nothing: all of Default_Ignorable_Code_Point that are letters (the fillers of
Hangul), and the blanks of Braille, hieroglyphs and music."""


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
    """Strip from typed or pasted text what `is_printable` forbids; single spaces.

    Nothing is left of text that draws nothing.
    """
    left = " ".join("".join(c for c in text if c.isspace() or is_printable(c)).split())
    return left if has_glyphs(left) else ""


def is_printable(text: str) -> bool:
    """Return True if each character shows, and stays in its place on one line.

    Control and format characters (escapes, line ends, bidirectional controls, zero widths), lone surrogates
    and undefined characters do not, on a terminal or a page; spaces of any width do.
    """
    return text.isprintable() or all(c.isprintable() or unicodedata.category(c) == "Zs" for c in text)


def has_glyphs(text: str) -> bool:
    """Return True if a reader sees something of it: a letter, digit or sign that draws one.

    Spaces, controls, fillers, variation selectors and accents without a letter are nothing to read, alone.
    """
    return any(c not in _BLANK_GLYPHS and unicodedata.category(c)[0] in _SHOWN_CATEGORIES for c in text)


def to_visible(text: str) -> str:
    r"""Write each character that is not printable as its escape; in text that draws nothing, each but spaces.

    For example "\x1b", "\n", "\u202e"; "\u3164" alone. For text of others (names on a memory card, of another
    node, in a request) where it meets a terminal, a log or a record. Backslashes stay, so that repeating it
    changes nothing.
    """
    is_shown = has_glyphs(text)
    if is_printable(text) and (is_shown or not text.strip()):
        return text
    return "".join(
        c if is_printable(c) and (is_shown or c.isspace()) else c.encode("unicode_escape").decode()
        for c in text
    )


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

    Raises InputUnusable for an empty one, more than `max_length` letters, characters that are not printable,
    or none that draws anything; OptionUnusable where it is the value of an `option`.
    """
    name = normalize_name(text)
    if 0 < len(name) <= max_length and is_printable(text.strip()) and has_glyphs(name):
        return name
    kind = OptionUnusable if option else InputUnusable
    shown = f"{option} '{to_visible(text[:40])}'".strip()
    if 0 < len(name) <= max_length:
        raise kind(_("{shown}: a name holds no line ends and no hidden signs; type it again", shown=shown))
    raise kind(_("{shown}: is not a name; give one of 1 to {most} letters", shown=shown, most=max_length))


def format_shell_command(*words: str) -> str:
    """Format a flycam command for pasting into a shell: flycam finish 'Bản Lầu'.

    Names are quoted where necessary.
    """
    return shlex.join(("flycam", *words))


def escape_cell(text: str) -> str:
    """Escape a cell against formulas in spreadsheets and escapes in terminals."""
    shown = to_visible_lines(text)
    return f"'{shown}" if text[:1] in _FORMULA else shown


MAX_NOTE_LENGTH = 1000


def validate_note(note: str) -> str:
    """Return a note as lines of printable text.

    Raises InputUnusable beyond `MAX_NOTE_LENGTH`.
    """
    text = "\n".join(map(strip_unprintable, note.splitlines())).strip()
    if len(text) > MAX_NOTE_LENGTH:
        raise InputUnusable(
            _("the note is longer than {note_letters} letters; shorten it", note_letters=MAX_NOTE_LENGTH)
        )
    return text


# -- Quantities and times as the report writes them: decimal comma in Vietnamese -------------------
#
# Times are Vietnam's.


_SPACE = "\N{NO-BREAK SPACE}"
_HECTARE_M2 = 10_000.0


def format_number(value: float | None, decimals: int) -> Message:
    """Format a number with thousands separators; None and infinities are "unknown"."""
    if value is None or not math.isfinite(value):
        return _("unknown")
    return Message(f"{{value:,.{decimals}f}}", {"value": round(value, decimals)})


def format_metres(value: float | None) -> Message:
    """Format metres as `format_quantity` does."""
    return format_quantity(value, "m")


def format_quantity(value: float | None, unit: str) -> Message:
    """Format a quantity with its unit: two decimals below ten, one below a hundred."""
    if value is None or not math.isfinite(value):
        return _("unknown")
    decimals = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return _join(format_number(value, decimals), unit)


def format_percent(value: float) -> Message:
    """Format 0-100 as percent, with a decimal below one and above ninety-nine.

    So that no part looks whole or empty; beyond what a decimal can tell it is "<" or ">".
    """
    if value in (0.0, 100.0) or 1.0 <= value <= 99.0:
        return _join(format_number(value, 0), "%")
    least, most = 0.1, 99.9
    sign = ["<"] if value < least else [">"] if value > most else []
    return _join(*sign, format_number(min(max(value, least), most), 1), "%")


def format_area(
    square_metres: float, error_m2: float | None = None, *, is_lower_bound: bool = False
) -> Message:
    """Format an area in hectares, or in square metres below a tenth of one.

    error_m2: 1 sigma, never written as zero. is_lower_bound: the rest was not seen; "at least" then.
    """
    unit, decimals, of_unit = ("m²", 0, 1.0) if square_metres < _HECTARE_M2 / 10 else ("ha", 2, _HECTARE_M2)
    parts: list[Message | str] = [format_number(square_metres / of_unit, decimals)]
    if error_m2 is not None:
        parts += ["±", format_number(max(error_m2 / of_unit, 10.0**-decimals), decimals)]
    area = _join(*parts, unit)
    return _("at least {area}", area=area) if is_lower_bound else area


def replace_no_break_spaces(text: str) -> str:
    """Replace no-break spaces by spaces, for paper, terminals and file names."""
    return text.replace(_SPACE, " ")


def format_centimetres(value_m: float) -> Message:
    """Format a GSD in centimetres."""
    return _join(format_number(100 * value_m, 1), "cm")


def format_period(first_ns: int, last_ns: int) -> str:
    """Format a period with its zone; the date only once where it is the same."""
    first, last = format_minute(first_ns), format_minute(last_ns)
    until = last[11:] if last[:10] == first[:10] else last
    zone = format_utc_offset(first_ns, last_ns)
    return f"{first} – {until} ({zone})" if first != last else f"{first} ({zone})"


def format_list(parts: Sequence[Message | str], max_parts: int = 6) -> Message:
    """Join parts with commas; beyond `max_parts` give only the number of the rest."""
    some = join(parts[:max_parts], ", ")
    if len(parts) <= max_parts:
        return some
    return _("{parts} and {count} more", parts=some, count=len(parts) - max_parts)


def _join(*parts: Message | str) -> Message:
    """Join what must stand on one line."""
    return join(parts, _SPACE)
