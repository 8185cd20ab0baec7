"""How a flight is told of that stays by itself."""

from __future__ import annotations

from flycam.frame.flight import Flight


def told_apart(flight: Flight, sentence: str, sentence_vi: str) -> dict[str, str]:
    """A flight of which something is not handed on or joined, and why, as answers over lines and commands
    have it."""
    return {
        "flight_id": flight.flight_id,
        "name": flight.name,
        "sentence": sentence,
        "sentence_vi": sentence_vi,
    }
