"""Every message is in the catalogue, and its translation takes the parameters that the code gives."""

from __future__ import annotations

import json
import math
import pickle
import re
import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from flycam import messages
from flycam.change.export import MEDIA_TYPES, SUFFIXES, ExportFormat
from flycam.cli.products import export_changes_command
from flycam.errors import FrameRejected, InputUnusable
from flycam.messages import Message, _, decode_message, encode_message, join, ngettext
from flycam.model.access import Role
from flycam.model.board import (
    ACCESS_NAMES,
    CHANGE_KIND_NAMES,
    LAYER_KIND_NAMES,
    MARK_KIND_NAMES,
    MARK_STATUS_NAMES,
    ROADS_SAY_NAMES,
    Access,
    ChangeKind,
    Condition,
    LayerKind,
    MarkKind,
    MarkStatus,
    RoadStatus,
)
from flycam.model.flight import CLASSIFICATION_NAMES, LAYER_NAMES, Classification, Layer
from tests.browser.words import WEB, all_words
from tests.texts import pair

FLYCAM = Path(messages.__file__).parent.parent
KEYWORDS = {"_": None, "ngettext": (1, 2), "pgettext": ((1, "c"), 2)}
# context and text, or texts of one and many
Name = tuple[str | None, str | tuple[str, ...]]


def said_by_the_code() -> set[Name]:
    found = extract_from_dir(FLYCAM, [("**.py", "python")], keywords=KEYWORDS)
    return {(context, text) for __, __, text, __, context in found if text}


def catalogue() -> dict[Name, tuple[str, ...]]:
    with (FLYCAM / "messages/vi/LC_MESSAGES/flycam.po").open("rb") as file:
        read = read_po(file)
    every = [one for one in read if one.id]
    assert not any(one.fuzzy for one in every)
    return {
        (one.context, one.id): (one.string,) if isinstance(one.string, str) else one.string for one in every
    }


def parameters(text: str) -> set[str]:
    return {name for __, name, __, __ in string.Formatter().parse(text) if name is not None}


def test_the_catalogue_has_what_the_code_says_and_nothing_else() -> None:
    said, known = said_by_the_code(), catalogue()
    new, gone = said - known.keys(), known.keys() - said
    assert not new, f"run `make messages` and translate these: {new}"
    assert not gone, f"run `make messages`: nobody says these any more: {gone}"
    untranslated = [name for name, texts in known.items() if not all(texts)]
    assert not untranslated


@pytest.mark.parametrize(
    ("group", "codes"),
    [
        ("layer", Layer),
        ("role", Role),
        ("kind", LayerKind),
        ("condition", [one for one in Condition if one.is_trouble]),
        ("mark", MarkKind),
        ("markStatus", MarkStatus),
        ("change", ChangeKind),
        ("access", Access),
        ("roads", RoadStatus),
        ("reason", [FrameRejected.reason, *(one.reason for one in FrameRejected.__subclasses__())]),
    ],
)
def test_the_page_has_a_word_for_every_code_of_the_server(group: str, codes: Iterable[str]) -> None:
    missing = {f"{group}_{code}" for code in codes} - all_words().keys()
    assert not missing


@pytest.mark.parametrize(
    ("codes", "names"),
    [
        (ChangeKind, CHANGE_KIND_NAMES),
        (LayerKind, LAYER_KIND_NAMES),
        (MarkKind, MARK_KIND_NAMES),
        (MarkStatus, MARK_STATUS_NAMES),
        (Access, ACCESS_NAMES),
        (RoadStatus, ROADS_SAY_NAMES),
        (Layer, LAYER_NAMES),
        (Classification, CLASSIFICATION_NAMES),
    ],
)
def test_reports_and_commands_have_a_name_for_every_code(
    codes: Iterable[str], names: Mapping[str, Message]
) -> None:
    assert {*codes} == names.keys()


def test_the_page_the_command_and_the_documents_offer_what_the_server_does() -> None:
    def list_rows(path: str, row: str) -> set[str]:
        return set(re.findall(row, (WEB / path).read_text(encoding="utf-8"), re.MULTILINE))

    assert list_rows("marks.ts", r"^  (\w+): \{ plate:") == {*MarkKind} - {MarkKind.SECTOR}
    assert list_rows("changes/types.ts", r'^  \["(\w+)", "') == MEDIA_TYPES.keys()
    assert get_args(ExportFormat) == (*MEDIA_TYPES,)
    docs = FLYCAM.parent / "docs"
    assert "|".join(SUFFIXES) in (docs / "operations.md").read_text("utf-8")
    assert "|".join(MEDIA_TYPES) in (docs / "formats/changes.md").read_text("utf-8")
    assert [one for one in SUFFIXES if one not in str(export_changes_command.help)] == []


def test_a_translation_takes_no_parameter_that_is_not_given() -> None:
    for (__, name), texts in catalogue().items():
        given = set().union(*map(parameters, [name] if isinstance(name, str) else name))
        given |= {f"{one}_vi" for one in given}  # the same value in Vietnamese, where one is kept beside it
        for text in texts:
            assert not {one for one in parameters(text) - given if not one.startswith("vi_")}, (name, text)


def test_a_message_is_put_into_the_language_of_who_reads() -> None:
    error = InputUnusable(_("{path}: the file is empty (0 bytes); copy it from the card again", path="a.jpg"))
    assert str(error) == "a.jpg: the file is empty (0 bytes); copy it from the card again"
    assert error.message.in_language("vi") == "a.jpg: tệp rỗng (0 byte); hãy chép lại từ thẻ nhớ"


def test_what_was_counted_is_in_the_number_of_its_noun() -> None:
    one, many = (
        ngettext(
            "{count} object is lost or damaged (the first: {first}); each is listed with its cure",
            "{count} objects are lost or damaged (the first: {first}); each is listed with its cure",
            count,
            first="x",
        )
        for count in (1, 2)
    )
    assert str(one).startswith("1 object is") and str(many).startswith("2 objects are")
    assert many.in_language("vi").startswith("2 mục")


@pytest.mark.parametrize("value", [np.float32(1.5), np.float64(1.5), 1.5])
def test_numbers_of_numpy_are_plain_numbers(value: object) -> None:
    message = _("{value:.2f}", value=value)
    assert type(message.values["value"]) is float and str(message) == "1.50"


def test_values_are_as_they_were_when_it_was_said() -> None:
    names = ["a"]
    message = _("{names}", names=names)
    names.append("b")
    assert str(message) == "['a']"


def test_a_rounded_number_has_a_decimal_comma_in_vietnamese() -> None:
    values = {"size": 1.5, "area": 1e4, "count": 1000, "given": 0.5}
    message = Message("{size:.1f} MB, {area:,.0f} m², {count:,}, {given:g}", values)
    assert message.in_language("en") == "1.5 MB, 10,000 m², 1,000, 0.5"
    assert message.in_language("vi") == "1,5 MB, 10.000 m², 1.000, 0.5"


@pytest.mark.parametrize(
    ("text", "value", "written"),
    [
        ("{value:.2f} m", -0.001, "0.00 m"),
        ("{value:+.2f} m", -0.001, "+0.00 m"),
        ("{value:g}", -0.0, "0"),
        ("{value:,.0f} %", -0.4, "0 %"),
        ("{value:.2f}", -0.005001, "-0.01"),
        ("{value:.1f}", -math.inf, "-inf"),
    ],
)
def test_a_number_rounded_to_zero_has_no_minus(text: str, value: float, written: str) -> None:
    message = Message(text, {"value": value})
    assert message.in_language("en") == written
    assert message.in_language("vi") == written.replace(".", ",")


@pytest.mark.parametrize(
    "message",
    [
        _("{path}: the file is empty (0 bytes); copy it from the card again", path="a.jpg"),
        Message("{count} mark", {"count": 3}, "{count} marks", 3),
        Message("outer: {inner}", {"inner": Message("Page", context="of a report")}),
        join([Message("a {x}", {"x": 1}), "b"], "; "),
    ],
)
def test_a_message_is_the_same_after_it_was_stored(message: Message) -> None:
    assert decode_message(json.loads(json.dumps(encode_message(message)))) == message


def test_a_stored_message_that_was_reworded_since_keeps_its_vietnamese() -> None:
    told = _("{path}: the file is empty (0 bytes); copy it from the card again", path="a.jpg")
    stored = {**encode_message(told), "text": "{path}: as it was called before"}
    back = decode_message(stored)
    assert back.in_language("vi") == told.in_language("vi") != back.in_language("en")
    assert encode_message(back) == stored
    now = decode_message({**encode_message(told), "vi": "{path}: cũ"})
    assert now.in_language("vi") == told.in_language("vi")


def test_equal_messages_are_one_key() -> None:
    one, other = _("{n} files", n=1), _("{n} files", n=2)
    assert {one: 1, other: 2, _("{n} files", n=1): 3} == {one: 3, other: 2}


def test_a_message_comes_back_from_another_process_with_both_languages() -> None:
    error = InputUnusable(pair("away", "mất liên lạc"))
    back = pickle.loads(pickle.dumps(error))
    assert (str(back), back.message.in_language("vi")) == ("away", "mất liên lạc")
    assert InputUnusable("a name").message.in_language("vi") == "a name"
