"""Letterhead of an office's documents, from a small file in JSON or YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from flycam.errors import SourceUnreadable
from flycam.frame.text_normalization import normalize_name, strip_unprintable
from flycam.messages import _
from flycam.report.pack_figures import Letterhead

_MAX_BYTES = 1 << 16
_TEXTS = ("parent", "issuer", "number", "place", "signer_title")
_LISTS = ("recipients", "heading")


def read_letterhead(path: Path) -> Letterhead:
    """Read a letterhead.

    Keys: texts parent, issuer, number, place, signer_title; lists of texts recipients, heading. Absent values
    are dotted lines in the document; without heading it is the nation's, where the ground is in Viet Nam, and
    an empty one is none. Raises SourceUnreadable for a file that is neither JSON nor YAML, or has other keys
    or values.
    """
    values = _read(path)
    unknown = sorted(set(map(str, values)) - {*_TEXTS, *_LISTS})
    if unknown:
        known = ", ".join((*_TEXTS, *_LISTS))
        raise SourceUnreadable(
            _(
                "{name}: a letterhead has no {unknown!r}; it knows {known}",
                name=path.name,
                unknown=unknown[0],
                known=known,
            )
        )
    texts = {name: _text(path, name, values.get(name)) for name in _TEXTS}
    recipients = _texts(path, "recipients", values.get("recipients") or [])
    heading = values.get("heading")
    return Letterhead(
        **texts, recipients=recipients, heading=None if heading is None else _texts(path, "heading", heading)
    )


def _texts(path: Path, name: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise _not_text(path, name)
    return tuple(_text(path, name, one) for one in values)


def _read(path: Path) -> dict[Any, Any]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError("too large")
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    # YAML's constructors raise arbitrary exceptions for odd values
    except Exception as error:
        raise SourceUnreadable(
            _("{path}: cannot be read as JSON or YAML; check the file", path=path)
        ) from error
    if not isinstance(values, dict):
        raise SourceUnreadable(
            _("{name}: holds no letterhead: give named values such as 'issuer: …'", name=path.name)
        )
    return values


def _text(path: Path, name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _not_text(path, name)
    return normalize_name(strip_unprintable(str(value)))


def _not_text(path: Path, name: str) -> SourceUnreadable:
    return SourceUnreadable(
        _(
            "{name}: {key!r} is not text; write it on one line; recipients and heading as lists",
            name=path.name,
            key=name,
        )
    )
