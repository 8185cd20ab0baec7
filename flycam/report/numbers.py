"""How the report writes quantities and times: decimal comma in Vietnamese, times of Vietnam."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from flycam.report.words import say

_SPACE = "\N{NO-BREAK SPACE}"
_HECTARE_M2 = 10_000.0
_VIETNAM = timedelta(hours=7)


def number(value: float | None, decimals: int, language: str) -> str:
    """A number with decimal comma and points between thousands in Vietnamese, the reverse in English."""
    if value is None or not math.isfinite(value):
        return say("unknown", language)
    text = f"{round(value, decimals) + 0.0:,.{decimals}f}"  # no minus before a zero
    return text.translate(str.maketrans(",.", ".,")) if language == "vi" else text


def metres(value: float | None, language: str) -> str:
    """Metres to two digits that mean something."""
    return measure(value, "m", language)


def measure(value: float | None, unit: str, language: str) -> str:
    """A quantity with its unit: two decimals below ten, one below a hundred."""
    if value is None or not math.isfinite(value):
        return say("unknown", language)
    decimals = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{number(value, decimals, language)}{_SPACE}{unit}"


def percent(value: float, language: str) -> str:
    """0-100 as percent; less than one and more than ninety-nine keep a decimal, so that none looks whole."""
    if value in (0.0, 100.0) or 1.0 <= value <= 99.0:
        return f"{number(value, 0, language)}{_SPACE}%"
    return f"{number(min(max(value, 0.1), 99.9), 1, language)}{_SPACE}%"


def area(square_metres: float, language: str) -> str:
    """Hectares, or square metres below a tenth of one."""
    if square_metres < _HECTARE_M2 / 10:
        return f"{number(square_metres, 0, language)}{_SPACE}m²"
    return f"{number(square_metres / _HECTARE_M2, 2, language)}{_SPACE}ha"


def centimetres(value_m: float, language: str) -> str:
    """A ground sample in centimetres."""
    return f"{number(100 * value_m, 1, language)}{_SPACE}cm"


def moment(ns: int) -> str:
    """UTC nanoseconds as dd/MM/yyyy HH:mm in Vietnam."""
    return (datetime.fromtimestamp(ns // 10**9, UTC) + _VIETNAM).strftime("%d/%m/%Y %H:%M")


def period(first_ns: int, last_ns: int) -> str:
    """From the first to the last moment; the date only once where it is the same. UTC+7."""
    first, last = moment(first_ns), moment(last_ns)
    until = last[11:] if last[:10] == first[:10] else last
    return f"{first} – {until} (UTC+7)" if first != last else f"{first} (UTC+7)"


def listed(parts: Sequence[str], language: str, most: int = 6) -> str:
    """Parts with commas between; beyond `most` only how many there are."""
    if len(parts) <= most:
        return ", ".join(parts)
    return f"{', '.join(parts[:most])} {say('and_more', language, count=len(parts) - most)}"
