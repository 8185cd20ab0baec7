"""Vietnamese names and numbers as they are written, and as they are typed without a Vietnamese keyboard."""

from __future__ import annotations

import shlex
import unicodedata

from flycam.errors import InputUnusable

MOST_NAME = 200
"""Letters of a name that a person gives to something: it is printed whole."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def search_key(text: str) -> str:
    """Lower case without accents, đ as d, single spaces: "Phường Cầu Thia" -> "phuong cau thia"."""
    decomposed = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).split())


def tidy(name: str) -> str:
    """A name that a person typed, as it is kept: NFC, single spaces, none around it."""
    return unicodedata.normalize("NFC", " ".join(name.split()))


def seen(text: str) -> str:
    """What a person typed or pasted, without what nobody sees of it (control and format letters, half letters
    of UTF-16); single spaces."""
    return " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())


def is_text(name: str) -> bool:
    """Whether a name as the disk gives it can be written or sent at all: bytes that are no UTF-8 come as
    surrogates."""
    return not any(unicodedata.category(letter) == "Cs" for letter in name)


def written(name: str) -> str:
    """A name as it can be shown, whatever the disk gives."""
    return name.encode("utf-8", "replace").decode()


def given_name(text: str) -> str:
    """What a person calls a flight or an event, `tidy`. Raises InputUnusable for what is no name."""
    name = tidy(text)
    if not 0 < len(name) <= MOST_NAME or not name.isprintable():
        raise InputUnusable(
            f"{text[:40]!r}: is no name; give one of 1 to {MOST_NAME} letters",
            vi=f"{text[:40]!r}: không dùng làm tên được; hãy ghi tên từ 1 đến {MOST_NAME} ký tự",
        )
    return name


def decimal_comma(number: str) -> str:
    """A number as it is written in Vietnamese: "1.5" -> "1,5"."""
    return number.replace(".", ",")


def as_typed(*words: str) -> str:
    """A command of flycam as it is pasted into a shell, whatever names are in it: flycam finish 'Bản Lầu'."""
    return shlex.join(("flycam", *words))


def plain_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in _FORMULA else text
