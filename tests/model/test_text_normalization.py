"""What a name may hold, and what of other people's text is shown."""

from __future__ import annotations

import json
import unicodedata

import pytest

from flycam.errors import InputUnusable, OptionUnusable
from flycam.model.frame import Provenance
from flycam.model.text import (
    escape_cell,
    has_glyphs,
    is_printable,
    strip_unprintable,
    to_json_line,
    to_visible,
    validate_name,
)

HIDDEN = [
    *(chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))),  # C0, DEL, C1
    *"\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202e\u2060\u2066\u2069\ufeff\U000e0041",
    *("\ud800", "\udcff", "\ue000", "\uffff", "\U000f0000"),
]
PLAIN = [
    "Bản Lầu 2, sáng",
    "Ba\u0309n La\u0302\u0300u",
    "Ờ – (nước lên) №3 ™",
    "10\u00a0km\u202f²",
    "水位 💧",
    "\\x1b[2J",
    *("⚠\ufe0f Bản Lầu", "❤\ufe0f", "한\u1160", "⠓\u2800⠇", "e\u0301", "9", "–"),
]
_IGNORABLE = (
    *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), *range(0x200B, 0x2010)),
    *(*range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0),
    *(*range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000)),
)
"""Default_Ignorable_Code_Point of the Unicode Character Database, version 16."""
BLANK = [
    *map(chr, (*_IGNORABLE, 0x2800, 0x1D159, 0x16FE4, 0x300, 0x20DD, 0x13441)),
    "\u3164 \u2800",
    "\ufe0f" * 3,
]
"""Draws nothing, or nothing but an accent on what is beside it."""


@pytest.mark.parametrize("sign", HIDDEN, ids=ascii)
def test_a_hidden_sign_is_no_part_of_a_name_and_is_shown_as_its_escape(sign: str) -> None:
    text = f"a{sign}b"
    assert not is_printable(text)
    with pytest.raises(InputUnusable) as refused:
        validate_name(text)
    assert is_printable(str(refused.value)) and is_printable(refused.value.message.in_language("vi"))
    shown = to_visible(text)
    assert is_printable(shown) and shown.isprintable() and shown.startswith("a\\") and shown.endswith("b")
    assert to_visible(shown) == shown
    assert is_printable(strip_unprintable(text))


@pytest.mark.parametrize("sign", HIDDEN, ids=ascii)
def test_json_of_one_line_holds_no_hidden_sign_and_reads_as_what_was_written(sign: str) -> None:
    value = {f"a{sign}": [f"{sign}b", "Bản Lầu"]}
    line = to_json_line(value)
    assert is_printable(line) and "Bản Lầu" in line and json.loads(line) == value
    line.encode()


@pytest.mark.parametrize("text", PLAIN)
def test_letters_of_people_stay_as_they_are(text: str) -> None:
    assert is_printable(text) and to_visible(text) == text and validate_name(text)


def test_a_name_is_kept_composed_with_single_spaces() -> None:
    assert validate_name("  Ba\u0309n\u00a0 Lầu\n") == "Bản Lầu"


@pytest.mark.parametrize("text", ["", " ", "\n", "x" * 5, "\u200b"])
def test_what_is_no_name_is_no_value_of_an_option(text: str) -> None:
    with pytest.raises(OptionUnusable):
        validate_name(text, 4, option="--name")


@pytest.mark.parametrize("sign", HIDDEN, ids=ascii)
def test_no_name_of_a_photo_and_no_cell_of_a_table_holds_a_hidden_sign(sign: str) -> None:
    photo = Provenance(source_name=f"c{sign}gpj.exe.jpg", source_sha256="", camera="")
    assert photo.source_name == to_visible(f"c{sign}gpj.exe.jpg") and is_printable(photo.source_name)
    assert all(map(is_printable, escape_cell(f"{sign}=1+1").split("\n")))


def test_lines_of_a_note_stay_lines_of_a_cell() -> None:
    assert escape_cell("cầu hỏng\n\x1b[2Jđi vòng") == "cầu hỏng\n\\x1b[2Jđi vòng"
    assert escape_cell("=1+1\n=2") == "'=1+1\n=2"


def test_what_draws_nothing_is_no_name_and_is_shown_by_its_escapes() -> None:
    """All that Unicode lets a program draw as nothing, and glyphs that are blank."""
    for text in BLANK:
        if unicodedata.category(text[0]) == "Cn":  # a later version's
            continue
        assert not has_glyphs(text), ascii(text)
        for typed in (text, f" {text} "):
            with pytest.raises(InputUnusable):
                validate_name(typed)
            shown = to_visible(typed)
            assert has_glyphs(shown) and shown.isascii() and to_visible(shown) == shown, ascii(text)
        assert strip_unprintable(text) == ""


def test_lines_without_a_letter_stay_empty() -> None:
    assert [to_visible(line) for line in ("", "  ", "\u00a0")] == ["", "  ", "\u00a0"]
