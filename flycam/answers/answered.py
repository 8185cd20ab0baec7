"""The shape of an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flycam.frame.warning import sentence

Answer = Mapping[str, Any]
Answered = tuple[Answer, Sequence[str]]
"""One object for programs, and lines for people."""


def warnings_of(notes: Iterable[str]) -> dict[str, list[str]]:
    """warnings, warnings_vi: what `flycam.frame.warning` keeps, in words."""
    kept = list(notes)
    return {"warnings": [sentence(one) for one in kept], "warnings_vi": [sentence(one, "vi") for one in kept]}
