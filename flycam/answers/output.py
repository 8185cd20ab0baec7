"""Type of a command's answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flycam.frame.warning import format_warning
from flycam.messages import Message, _

Answer = Mapping[str, Any]
Output = tuple[Answer, Sequence[Message | str]]
"""One object for programs, and lines for people."""
_MIN_HECTARES_M2 = 1000.0


def format_warnings(notes: Iterable[str]) -> dict[str, list[str]]:
    """Return warnings and warnings_vi: notes of `flycam.frame.warning` in words."""
    kept = list(notes)
    return {
        "warnings": [format_warning(one) for one in kept],
        "warnings_vi": [format_warning(one, "vi") for one in kept],
    }


def describe_area(square_metres: float) -> Message:
    """Describe an area in hectares, or in square metres below a tenth of one."""
    if square_metres < _MIN_HECTARES_M2:
        return _("{area_m2:,.0f} m²", area_m2=square_metres)
    return _("{area_ha:,.2f} ha", area_ha=square_metres / 1e4)
