"""Bounds in a request's query, and how many outlines one answer holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol, TypeVar

from flycam.catalog.records import BoundsLonLat
from flycam.errors import InputUnusable
from flycam.messages import _

MAX_OUTLINE_BYTES = 32 << 20
"""Outlines in one answer: two million corners."""


class _Outlined(Protocol):
    @property
    def wkb(self) -> bytes: ...


HasOutline = TypeVar("HasOutline", bound=_Outlined)


def take_fitting_outlines(things: Sequence[HasOutline]) -> list[HasOutline]:
    """Return the first features, as many as one answer holds outlines of."""
    sizes = accumulate(len(one.wkb) for one in things)
    return [one for one, size in zip(things, sizes, strict=True) if size <= MAX_OUTLINE_BYTES]


def parse_bounds(text: str | None) -> BoundsLonLat | None:
    """Parse "west,south,east,north" in degrees. Raises InputUnusable otherwise."""
    if text is None:
        return None
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InputUnusable(_("bounds={text}: give west,south,east,north in degrees", text=text)) from error
    if not (west <= east and south <= north):
        raise InputUnusable(_("bounds={text}: west must not exceed east, nor south north", text=text))
    return west, south, east, north
