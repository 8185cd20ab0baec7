"""How the report writes quantities and times: decimal comma in Vietnamese, times of Vietnam."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flycam.frame.moment import minute_of, zone_at
from flycam.report.words import say

_SPACE = "\N{NO-BREAK SPACE}"
_HECTARE_M2 = 10_000.0


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
    """0-100 as percent; less than one and more than ninety-nine keep a decimal, so that none looks whole, and
    what a decimal cannot tell is said to be less or more than it."""
    if value in (0.0, 100.0) or 1.0 <= value <= 99.0:
        return f"{number(value, 0, language)}{_SPACE}%"
    least, most = 0.1, 99.9
    sign = f"<{_SPACE}" if value < least else f">{_SPACE}" if value > most else ""
    return f"{sign}{number(min(max(value, least), most), 1, language)}{_SPACE}%"


def area(square_metres: float, language: str) -> str:
    """Hectares, or square metres below a tenth of one."""
    if square_metres < _HECTARE_M2 / 10:
        return f"{number(square_metres, 0, language)}{_SPACE}m²"
    return f"{number(square_metres / _HECTARE_M2, 2, language)}{_SPACE}ha"


def plain(said: str) -> str:
    """What is written for paper, for a terminal and for names in files: a space is a space there."""
    return said.replace(_SPACE, " ")


def area_within(square_metres: float, error_m2: float | None, language: str) -> str:
    """As `area`, with its 1-sigma error where that is known, never written as none."""
    if error_m2 is None:
        return area(square_metres, language)
    unit, decimals, of_unit = ("m²", 0, 1.0) if square_metres < _HECTARE_M2 / 10 else ("ha", 2, _HECTARE_M2)
    size = number(square_metres / of_unit, decimals, language)
    error = number(max(error_m2 / of_unit, 10.0**-decimals), decimals, language)
    return f"{size}{_SPACE}±{_SPACE}{error}{_SPACE}{unit}"


def centimetres(value_m: float, language: str) -> str:
    """A ground sample in centimetres."""
    return f"{number(100 * value_m, 1, language)}{_SPACE}cm"


def period(first_ns: int, last_ns: int) -> str:
    """From the first to the last moment, with the zone; the date only once where it is the same."""
    first, last = minute_of(first_ns), minute_of(last_ns)
    until = last[11:] if last[:10] == first[:10] else last
    zone = zone_at(first_ns, last_ns)
    return f"{first} – {until} ({zone})" if first != last else f"{first} ({zone})"


def listed(parts: Sequence[str], language: str, most: int = 6) -> str:
    """Parts with commas between; beyond `most` only how many there are."""
    if len(parts) <= most:
        return ", ".join(parts)
    return f"{', '.join(parts[:most])} {say('and_more', language, count=len(parts) - most)}"
