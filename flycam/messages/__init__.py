"""Messages that people read, and their translations.

English, with named parameters, is in the code; other languages are in gettext catalogues. A `Message` is put
into words where it is read, in the reader's language:

    raise SourceUnreadable(_("{path}: is no photo; give a JPEG or DNG", path=path))
    error.message.in_language("vi")

CONTRIBUTING.md describes how to add a translation.
"""

from __future__ import annotations

import datetime
import gettext
import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

DOMAIN = "flycam"
LANGUAGES = ("vi", "en")
LOCALES = Path(__file__).parent

Value: TypeAlias = "str | int | float | datetime.date | datetime.time | Message"
_ROUNDED = re.compile(r"[,.]\d*[fge%]?$|,")
_SWAPPED = str.maketrans(",.", ".,")
_ZERO = re.compile(r"-0(\.0+)?(e[+-]00)?%?")


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence, as its English text and the values of its parameters.

    text     English, with parameters as `str.format` takes them: "{path}: holds {count} photos"
    values   by parameter; a value that is a message itself is put into the same language
    plural   English for any `count` but 1; "" if the text is the same for every count
    context  tells apart what is one text in English and several in another language; else ""
    vi       Vietnamese as it was when the message was stored, for a catalogue that lacks the text by now
    """

    text: str
    values: Mapping[str, Value] = field(default_factory=dict, hash=False)
    plural: str = ""
    count: int = 1
    context: str = ""
    vi: str = field(default="", compare=False)

    def in_language(self, language: str) -> str:
        """Return the sentence in "en" or "vi"; English if the catalogue lacks it.

        A number that its parameter rounds or groups ({size:.1f}, {count:,}) has a decimal comma and points
        between thousands in Vietnamese.
        """
        values = {name: _in_language(value, language) for name, value in self.values.items()}
        return _FORMATTERS[language].vformat(self.template(language), (), values)

    def to_fields(self, key: str = "sentence") -> dict[str, str]:
        """Return the sentence in both languages, as JSON fields `key` and `key`_vi."""
        return {key: self.in_language("en"), f"{key}_vi": self.in_language("vi")}

    def in_both_languages(self) -> str:
        """Return the sentence in Vietnamese and English, for readers whose language is unknown."""
        return f"{self.in_language('vi')} / {self.in_language('en')}"

    def template(self, language: str) -> str:
        """Return the text with its parameters still open."""
        if not self.text:
            # gettext would return the catalogue's header
            return ""
        catalogue = _catalogue(language)
        if self.plural:
            found = catalogue.ngettext(self.text, self.plural, self.count)
        elif self.context:
            found = catalogue.pgettext(self.context, self.text)
        else:
            found = catalogue.gettext(self.text)
        is_missing = language == "vi" and found in (self.text, self.plural)
        return self.vi if is_missing and self.vi else found

    def __str__(self) -> str:
        return self.in_language("en")


def _(text: str, /, **values: object) -> Message:
    """Return the message of an English text."""
    return Message(text, {name: _plain(value) for name, value in values.items()})


def pgettext(context: str, text: str, /, **values: object) -> Message:
    """Return the message of a text that English uses for several things.

    `context` states which of them it is.
    """
    return Message(text, {name: _plain(value) for name, value in values.items()}, context=context)


def ngettext(text: str, plural: str, count: int, /, **values: object) -> Message:
    """Return a message with a plural; `count` is a parameter of it too."""
    plain = {name: _plain(value) for name, value in values.items()}
    return Message(text, {"count": count, **plain}, plural, count)


def join(parts: Iterable[Message | str], separator: str = " ") -> Message:
    """Return one message of several sentences or clauses, each formatted by itself."""
    values = {f"part_{at}": _plain(one) for at, one in enumerate(parts)}
    return Message(separator.join(f"{{{name}}}" for name in values), values)


def encode_message(message: Message) -> dict[str, Any]:
    """Encode a message as plain JSON.

    `decode_message` reads it in any later process and language, also where another version has reworded it.
    """
    values = {name: _encode(value) for name, value in message.values.items()}
    more = {"plural": message.plural, "count": message.count} if message.plural else {}
    if message.context:
        more["context"] = message.context
    # as it came, if another node or version wrote it: the same message, the same bytes
    if (vi := message.vi or message.template("vi")) not in (message.text, message.plural):
        more["vi"] = vi
    return {"text": message.text, "values": values, **more}


def decode_message(record: Mapping[str, Any]) -> Message:
    """Decode what `encode_message` made."""
    values = {name: _decode(one) for name, one in record["values"].items()}
    counted = record.get("plural", ""), record.get("count", 1)
    return Message(record["text"], values, *counted, record.get("context", ""), record.get("vi", ""))


def from_fields(record: Mapping[str, str], key: str = "sentence") -> Message:
    """Return the message of texts encoded by `Message.to_fields`.

    Another process or node may have encoded them.
    """
    return verbatim(_Pair(record[key], record[f"{key}_vi"]))


def verbatim(text: str) -> Message:
    """Return a message that no catalogue translates.

    Examples are a name and the words of another program.
    """
    return Message("{text}", {"text": text})


class _Pair(str):
    """English text of another process or node that carries its Vietnamese."""

    vi: str

    def __new__(cls, english: object, vietnamese: object) -> _Pair:
        """Take both texts; English stands in for an empty Vietnamese one."""
        made = super().__new__(cls, english)
        made.vi = str(vietnamese or english)
        return made

    def __reduce__(self) -> tuple[type[_Pair], tuple[str, str]]:
        return _Pair, (str(self), self.vi)


class _Formatter(string.Formatter):
    """Formats a number that is rounded to zero without a minus."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """Format one value; texts, dates and whole numbers as `format` does."""
        made = format(value, format_spec)
        if isinstance(value, float) and _ZERO.fullmatch(made):
            return made.replace("-", "+" if "+" in format_spec else "")
        return made


class _VietnameseFormatter(_Formatter):
    """Formats numbers that are rounded or grouped with a decimal comma."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """Format one value; texts, dates and whole numbers as `format` does."""
        made = super().format_field(value, format_spec)
        is_number = isinstance(value, int | float)
        return made.translate(_SWAPPED) if is_number and _ROUNDED.search(format_spec) else made


_FORMATTERS: Mapping[str, string.Formatter] = {"en": _Formatter(), "vi": _VietnameseFormatter()}


def _encode(value: Value) -> Any:
    if isinstance(value, Message):
        return encode_message(value)
    if isinstance(value, _Pair):
        return {"en": str(value), "vi": value.vi}
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else value


def _decode(value: Any) -> Value:
    if not isinstance(value, dict):
        plain: Value = value
        return plain
    return _Pair(value["en"], value["vi"]) if "en" in value else decode_message(value)


def _plain(value: object) -> Value:
    """Return a value that reads the same later, in another process."""
    if callable(as_scalar := getattr(value, "item", None)) and getattr(value, "ndim", None) == 0:
        # numpy scalar
        value = as_scalar()
    if isinstance(value, str | int | float | datetime.date | datetime.time | Message):
        return value
    return str(value)


def _in_language(value: Value, language: str) -> Value:
    if isinstance(value, Message):
        return value.in_language(language)
    return value.vi if language == "vi" and isinstance(value, _Pair) else value


@lru_cache
def _catalogue(language: str) -> gettext.NullTranslations:
    if language == "en":
        return gettext.NullTranslations()
    # not compiled: English
    return gettext.translation(DOMAIN, LOCALES, [language], fallback=True)
