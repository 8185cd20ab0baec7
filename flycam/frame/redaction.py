"""Redactions: parts of a photo that most people must not see."""

from __future__ import annotations

from enum import StrEnum

MAX_CORNERS = 200
"""Corners of a redaction's outline."""


class RedactionReason(StrEnum):
    """Reason for a redaction: what it covers."""

    HOME = "home"
    VICTIM = "victim"
    OTHER = "other"


class RedactionStep(StrEnum):
    """Step in a redaction's history.

    TAKEN_BACK is final: to restore it, draw another. BACK_ASKED: another node took it back, which takes
    nothing back here until an analyst here does.
    """

    MADE = "made"
    REVOKED = "taken_back"
    REVOCATION_REQUESTED = "back_asked"
