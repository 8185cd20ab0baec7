"""Report of a flight that cannot be merged."""

from __future__ import annotations


def describe_conflict(flight_id: str, name: str, sentence: str, sentence_vi: str) -> dict[str, str]:
    """Return a flight that is not sent or merged, and why, for answers and commands."""
    return {
        "flight_id": flight_id,
        "name": name,
        "sentence": sentence,
        "sentence_vi": sentence_vi,
    }
