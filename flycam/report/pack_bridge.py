"""Messages of numbers and names that other modules still give in one language at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flycam.frame import warning
from flycam.messages import Bilingual, Message, _, join, verbatim
from flycam.report import change_names, mark_names, number_format, settlement_names
from flycam.report.blocks import Text


def _both(make: Callable[..., str], *args: object, **more: Any) -> Message:
    return verbatim(Bilingual(make(*args, language="en", **more), make(*args, language="vi", **more)))


def _name(pair: Any) -> Message:
    return verbatim(Bilingual(pair[1], pair[0]))


def format_number(value: float | None, decimals: int) -> Message:
    """Format a number."""
    return _both(number_format.format_number, value, decimals)


def format_metres(value: float | None) -> Message:
    """Format metres."""
    return _both(number_format.format_metres, value)


def format_percent(value: float) -> Message:
    """Format 0-100 as percent."""
    return _both(number_format.format_percent, value)


def format_area(square_metres: float) -> Message:
    """Format an area."""
    return _both(number_format.format_area, square_metres)


def format_area_with_sigma(square_metres: float, error_m2: float | None) -> Message:
    """Format an area with its error."""
    return _both(number_format.format_area_with_sigma, square_metres, error_m2)


def format_centimetres(value_m: float) -> Message:
    """Format a GSD in centimetres."""
    return _both(number_format.format_centimetres, value_m)


def format_list(parts: Sequence[Text], max_parts: int = 6) -> Message:
    """Join parts with commas; beyond `max_parts` give only the number of the rest."""
    some = join(parts[:max_parts], ", ")
    if len(parts) <= max_parts:
        return some
    return _("{parts} and {count} more", parts=some, count=len(parts) - max_parts)


def format_brief_warning(kept: str, *, finished: bool = False) -> Message:
    """Format a warning in few words."""
    return _both(warning.format_brief_warning, kept, finished=finished)


def read_doubts(found: Any) -> tuple[Message, ...]:
    """Return the doubts of a comparison."""
    return () if found is None else tuple(verbatim(Bilingual(*pair)) for pair in found.doubts)


CHANGE_KIND_NAMES = {kind: _name(pair) for kind, pair in change_names.CHANGE_KIND_NAMES.items()}
LAYER_KIND_NAMES = {kind: _name(pair) for kind, pair in change_names.LAYER_KIND_NAMES.items()}
VOLUME_BASIS = _name(change_names.VOLUME_BASIS)
MARK_KIND_NAMES = {kind: _name(pair) for kind, pair in mark_names.MARK_KIND_NAMES.items()}
MARK_STATUS_NAMES = {status: _name(pair) for status, pair in mark_names.MARK_STATUS_NAMES.items()}
ACCESS_NAMES = {access: _name(pair) for access, pair in settlement_names.ACCESS_NAMES.items()}
ROADS_SAY_NAMES = {said: _name(pair) for said, pair in settlement_names.ROADS_SAY_NAMES.items()}
