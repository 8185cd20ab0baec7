"""Statistics of a finished revision (`RevisionRecord.stats`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from flycam.messages import Message, decode_message


def get_shift_error_m(stats: Mapping[str, Any]) -> float | None:
    """Return the horizontal sigma of the whole block's place, radial, metres.

    None if the statistics do not state it.
    """
    east_m, north_m = (stats.get("shift_sigma_m") or (None, None))[:2]
    if east_m is None or north_m is None or not (math.isfinite(east_m) and math.isfinite(north_m)):
        return None
    return math.hypot(east_m, north_m)


def get_refusal(stats: Mapping[str, Any]) -> Message | None:
    """Return why the adjustment was not accepted; None if it was."""
    why = stats.get("why")
    return decode_message(why) if why else None


def list_notes(stats: Mapping[str, Any]) -> list[Message]:
    """Return what the adjustment notes: differences from the metadata."""
    return [decode_message(one) for one in stats.get("notes", ())]


def list_control_notes(stats: Mapping[str, Any]) -> list[Message]:
    """Return what was decided on absolute control."""
    return [decode_message(one) for one in (stats.get("control") or {}).get("said", ())]


def list_control_doubts(stats: Mapping[str, Any]) -> list[Message]:
    """Return the notes on absolute control that people should look into."""
    return [decode_message(one) for one in (stats.get("control") or {}).get("doubts", ())]


def list_photo_reasons(stats: Mapping[str, Any]) -> dict[str, Message]:
    """Return why photos are left out, or have no tie point, by name."""
    frames = stats.get("frames") or {}
    left_out = {one["name"]: decode_message(one["sentence"]) for one in frames.get("left_out", ())}
    return left_out | {one["name"]: decode_message(one["why"]) for one in frames.get("untied", ())}


def put_in_words(stats: Any) -> Any:
    """Return statistics as answers give them, with English sentences for messages.

    A `sentence` is also given in Vietnamese.
    """
    if isinstance(stats, list | tuple):
        return [put_in_words(one) for one in stats]
    if not isinstance(stats, Mapping):
        return stats
    if {"text", "values"} <= stats.keys():
        return str(decode_message(stats))
    words = {key: put_in_words(one) for key, one in stats.items()}
    if "sentence" in stats:
        words |= decode_message(stats["sentence"]).to_fields()
    return words
