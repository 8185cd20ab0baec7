"""Retention: originals that have a term, and steps of holds and purges."""

from __future__ import annotations

from enum import StrEnum

MAX_TERM_DAYS = 36_500
"""The longest term; beyond it, originals are kept for ever."""


class RetainedKind(StrEnum):
    """Kind of original with a term of its own.

    UPLOAD: a photo or video from an upload that is no photo of a flight: videos, rejected photos, memory
    cards that never came on the map.
    """

    PHOTO = "photo"
    VIDEO = "video"
    MARK_PHOTO = "mark_photo"
    UPLOAD = "upload"


class HoldStep(StrEnum):
    """Step in a hold's history. RELEASED is final: to hold again, make another."""

    HELD = "held"
    RELEASED = "released"


class PurgeStep(StrEnum):
    """Step in an original's deletion history.

    LIFTED revokes one purge for good: the bytes may come back, and another purge is another line.
    """

    PURGED = "let_go"
    LIFTED = "lifted"
