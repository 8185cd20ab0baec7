"""Type of a command's answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flycam.frame.warning import format_warning
from flycam.messages import Message

Answer = Mapping[str, Any]
Output = tuple[Answer, Sequence[Message | str]]
"""One object for programs, and lines for people."""


def format_warnings(notes: Iterable[str]) -> dict[str, list[str]]:
    """Return warnings and warnings_vi: notes of `flycam.frame.warning` in words."""
    kept = list(notes)
    return {
        "warnings": [format_warning(one) for one in kept],
        "warnings_vi": [format_warning(one, "vi") for one in kept],
    }
