"""Messages of names that other modules still give in one language at a time."""

from __future__ import annotations

from typing import Any

from flycam.frame import warning
from flycam.messages import Bilingual, Message, verbatim
from flycam.report import change_names, mark_names, settlement_names


def _name(pair: Any) -> Message:
    return verbatim(Bilingual(pair[1], pair[0]))


def format_brief_warning(kept: str, *, finished: bool = False) -> Message:
    """Format a warning in few words."""
    texts = (warning.format_brief_warning(kept, to, finished=finished) for to in ("en", "vi"))
    return verbatim(Bilingual(*texts))


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
