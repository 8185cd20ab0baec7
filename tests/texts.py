"""Messages whose texts tests give themselves."""

from __future__ import annotations

from flycam.messages import Message, from_fields


def pair(english: str, vietnamese: str) -> Message:
    """A message that no catalogue has."""
    return from_fields({"sentence": english, "sentence_vi": vietnamese})
