"""How a flight is told of that stays by itself."""

from __future__ import annotations


def describe_conflict(flight_id: str, name: str, sentence: str, sentence_vi: str) -> dict[str, str]:
    """A flight of which something is not handed on or joined, and why, as answers over lines and commands
    have it."""
    return {
        "flight_id": flight_id,
        "name": name,
        "sentence": sentence,
        "sentence_vi": sentence_vi,
    }
