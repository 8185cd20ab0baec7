"""Messages that people read: English with named parameters in the code, others in gettext catalogues.

A `Message` is put into words where it is read, in the reader's language:

    raise SourceUnreadable(_("{path}: is no photo; give a JPEG or DNG", path=path))
    error.message.in_language("vi")

CONTRIBUTING.md says how a translation is added.
"""

from __future__ import annotations

import datetime
import gettext
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

DOMAIN = "flycam"
LOCALES = Path(__file__).parent

Value: TypeAlias = "str | int | float | datetime.date | datetime.time | Message"


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence, as its English text and the values of its parameters.

    text    English, with parameters as `str.format` takes them: "{path}: holds {count} photos"
    values  by parameter; a value that is a message itself is put into the same language
    plural  English for any `count` but 1; "" if the text is the same for every count
    """

    text: str
    values: Mapping[str, Value] = field(default_factory=dict)
    plural: str = ""
    count: int = 1

    def in_language(self, language: str) -> str:
        """Return the sentence in "en" or "vi"; English where the catalogue does not have it."""
        values = {name: _in_language(value, language) for name, value in self.values.items()}
        return self.template(language).format_map(values)

    def template(self, language: str) -> str:
        """Return the text with its parameters still open."""
        catalogue = _catalogue(language)
        if self.plural:
            return catalogue.ngettext(self.text, self.plural, self.count)
        return catalogue.gettext(self.text)

    def __str__(self) -> str:
        return self.in_language("en")


def _(text: str, /, **values: object) -> Message:
    """Return the message of an English text."""
    return Message(text, {name: _plain(value) for name, value in values.items()})


def ngettext(text: str, plural: str, count: int, /, **values: object) -> Message:
    """Return a message with a plural; `count` is a parameter of it too."""
    plain = {name: _plain(value) for name, value in values.items()}
    return Message(text, {"count": count, **plain}, plural, count)


def verbatim(text: str) -> Message:
    """Return a message that no catalogue translates.

    Examples are a name, the words of another program, a `Bilingual`.
    """
    return Message("{text}", {"text": text})


class Bilingual(str):
    """English text that carries its Vietnamese, for what is not in the catalogue yet."""

    vi: str

    def __new__(cls, english: object, vietnamese: object) -> Bilingual:
        """Take both texts; English stands in for an empty Vietnamese one."""
        made = super().__new__(cls, english)
        made.vi = str(vietnamese or english)
        return made

    def __reduce__(self) -> tuple[type[Bilingual], tuple[str, str]]:
        return Bilingual, (str(self), self.vi)


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
    return value.vi if language == "vi" and isinstance(value, Bilingual) else value


@lru_cache
def _catalogue(language: str) -> gettext.NullTranslations:
    if language == "en":
        return gettext.NullTranslations()
    # not compiled: English
    return gettext.translation(DOMAIN, LOCALES, [language], fallback=True)
