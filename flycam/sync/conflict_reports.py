"""Report of a flight that cannot be merged."""

from __future__ import annotations

from flycam.messages import Message


def describe_conflict(flight_id: str, name: str, sentence: Message) -> dict[str, str]:
    """Return a flight that is not sent or merged, and why, for answers and commands."""
    return {"flight_id": flight_id, "name": name, **sentence.to_fields()}
