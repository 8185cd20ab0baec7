"""Quantities and times as the report writes them: decimal comma in Vietnamese.

Times are Vietnam's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flycam.frame.timestamp import format_minute, format_utc_offset
from flycam.messages import Message, _, join

_SPACE = "\N{NO-BREAK SPACE}"
_HECTARE_M2 = 10_000.0


def format_number(value: float | None, decimals: int) -> Message:
    """Format a number with separators of thousands; None and infinite values are "unknown"."""
    if value is None or not math.isfinite(value):
        return _("unknown")
    # adding 0.0 drops the minus of a zero
    values = {"value": round(value, decimals) + 0.0}
    return Message(f"{{value:,.{decimals}f}}", values)


def format_metres(value: float | None) -> Message:
    """Format metres as `format_quantity` does."""
    return format_quantity(value, "m")


def format_quantity(value: float | None, unit: str) -> Message:
    """Format a quantity with its unit: two decimals below ten, one below a hundred."""
    if value is None or not math.isfinite(value):
        return _("unknown")
    decimals = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return _join(format_number(value, decimals), unit)


def format_percent(value: float) -> Message:
    """Format 0-100 as percent, with a decimal below one and above ninety-nine.

    So that no part looks whole or empty; beyond what a decimal can tell it is "<" or ">".
    """
    if value in (0.0, 100.0) or 1.0 <= value <= 99.0:
        return _join(format_number(value, 0), "%")
    least, most = 0.1, 99.9
    sign = ["<"] if value < least else [">"] if value > most else []
    return _join(*sign, format_number(min(max(value, least), most), 1), "%")


def format_area(square_metres: float) -> Message:
    """Format an area in hectares, or in square metres below a tenth of one."""
    if square_metres < _HECTARE_M2 / 10:
        return _join(format_number(square_metres, 0), "m²")
    return _join(format_number(square_metres / _HECTARE_M2, 2), "ha")


def replace_no_break_spaces(text: str) -> str:
    """Replace no-break spaces by spaces, for paper, terminals and file names."""
    return text.replace(_SPACE, " ")


def format_area_with_sigma(square_metres: float, error_m2: float | None) -> Message:
    """Format an area with its 1-sigma error, if known.

    The error is never written as zero.
    """
    if error_m2 is None:
        return format_area(square_metres)
    unit, decimals, of_unit = ("m²", 0, 1.0) if square_metres < _HECTARE_M2 / 10 else ("ha", 2, _HECTARE_M2)
    size = format_number(square_metres / of_unit, decimals)
    error = format_number(max(error_m2 / of_unit, 10.0**-decimals), decimals)
    return _join(size, "±", error, unit)


def format_centimetres(value_m: float) -> Message:
    """Format a GSD in centimetres."""
    return _join(format_number(100 * value_m, 1), "cm")


def format_period(first_ns: int, last_ns: int) -> str:
    """Format a period with its zone; the date only once where it is the same."""
    first, last = format_minute(first_ns), format_minute(last_ns)
    until = last[11:] if last[:10] == first[:10] else last
    zone = format_utc_offset(first_ns, last_ns)
    return f"{first} – {until} ({zone})" if first != last else f"{first} ({zone})"


def format_list(parts: Sequence[Message | str], max_parts: int = 6) -> Message:
    """Join parts with commas; beyond `max_parts` give only the number of the rest."""
    some = join(parts[:max_parts], ", ")
    if len(parts) <= max_parts:
        return some
    return _("{parts} and {count} more", parts=some, count=len(parts) - max_parts)


def _join(*parts: Message | str) -> Message:
    """Join what must stand on one line."""
    return join(parts, _SPACE)
