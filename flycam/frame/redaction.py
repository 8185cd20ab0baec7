"""Redaction masks: parts of a photo that most people must not see."""

from __future__ import annotations

from enum import StrEnum

MAX_CORNERS = 200
"""Of a mask's outline."""


class RedactionReason(StrEnum):
    """What a mask covers."""

    HOME = "home"
    VICTIM = "victim"
    OTHER = "other"


class RedactionStep(StrEnum):
    """What a line says of a mask. TAKEN_BACK is for good: who wants it again draws another. BACK_ASKED:
    another box took it back, which takes nothing back here until an analyst here does."""

    MADE = "made"
    REVOKED = "taken_back"
    REVOCATION_REQUESTED = "back_asked"
