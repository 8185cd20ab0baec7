"""Quantities and times as the report writes them: decimal comma in Vietnamese.

Times are Vietnam's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flycam.frame.timestamp import format_minute, format_utc_offset
from flycam.report.texts import format_text

_SPACE = "\N{NO-BREAK SPACE}"
_HECTARE_M2 = 10_000.0


def format_number(value: float | None, decimals: int, language: str) -> str:
    """Format a number with decimal comma and thousands point in Vietnamese.

    The reverse in English; None and infinite values are "unknown".
    """
    if value is None or not math.isfinite(value):
        return format_text("unknown", language)
    # adding 0.0 drops the minus of a zero
    text = f"{round(value, decimals) + 0.0:,.{decimals}f}"
    return text.translate(str.maketrans(",.", ".,")) if language == "vi" else text


def format_metres(value: float | None, language: str) -> str:
    """Format metres as `format_quantity` does."""
    return format_quantity(value, "m", language)


def format_quantity(value: float | None, unit: str, language: str) -> str:
    """Format a quantity with its unit: two decimals below ten, one below a hundred."""
    if value is None or not math.isfinite(value):
        return format_text("unknown", language)
    decimals = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{format_number(value, decimals, language)}{_SPACE}{unit}"


def format_percent(value: float, language: str) -> str:
    """Format 0-100 as percent, with a decimal below one and above ninety-nine.

    So that no part looks whole or empty; beyond what a decimal can tell it is "<" or ">".
    """
    if value in (0.0, 100.0) or 1.0 <= value <= 99.0:
        return f"{format_number(value, 0, language)}{_SPACE}%"
    least, most = 0.1, 99.9
    sign = f"<{_SPACE}" if value < least else f">{_SPACE}" if value > most else ""
    return f"{sign}{format_number(min(max(value, least), most), 1, language)}{_SPACE}%"


def format_area(square_metres: float, language: str) -> str:
    """Format an area in hectares, or in square metres below a tenth of one."""
    if square_metres < _HECTARE_M2 / 10:
        return f"{format_number(square_metres, 0, language)}{_SPACE}m²"
    return f"{format_number(square_metres / _HECTARE_M2, 2, language)}{_SPACE}ha"


def replace_no_break_spaces(text: str) -> str:
    """Replace no-break spaces by spaces, for paper, terminals and file names."""
    return text.replace(_SPACE, " ")


def format_area_with_sigma(square_metres: float, error_m2: float | None, language: str) -> str:
    """Format an area with its 1-sigma error, if known.

    The error is never written as zero.
    """
    if error_m2 is None:
        return format_area(square_metres, language)
    unit, decimals, of_unit = ("m²", 0, 1.0) if square_metres < _HECTARE_M2 / 10 else ("ha", 2, _HECTARE_M2)
    size = format_number(square_metres / of_unit, decimals, language)
    error = format_number(max(error_m2 / of_unit, 10.0**-decimals), decimals, language)
    return f"{size}{_SPACE}±{_SPACE}{error}{_SPACE}{unit}"


def format_centimetres(value_m: float, language: str) -> str:
    """Format a GSD in centimetres."""
    return f"{format_number(100 * value_m, 1, language)}{_SPACE}cm"


def format_period(first_ns: int, last_ns: int) -> str:
    """Format a period with its zone; the date only once where it is the same."""
    first, last = format_minute(first_ns), format_minute(last_ns)
    until = last[11:] if last[:10] == first[:10] else last
    zone = format_utc_offset(first_ns, last_ns)
    return f"{first} – {until} ({zone})" if first != last else f"{first} ({zone})"


def format_list(parts: Sequence[str], language: str, max_parts: int = 6) -> str:
    """Join parts with commas; beyond `max_parts` give only the number of the rest."""
    if len(parts) <= max_parts:
        return ", ".join(parts)
    return f"{', '.join(parts[:max_parts])} {format_text('and_more', language, count=len(parts) - max_parts)}"
