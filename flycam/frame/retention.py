"""Retention: which originals have a term, and what the lines of holds and of letting go say."""

from __future__ import annotations

from enum import StrEnum

MAX_TERM_DAYS = 36_500
"""The longest term; whoever wants more keeps for ever."""


class RetainedKind(StrEnum):
    """Originals that have a term of their own. UPLOAD: a photo or a film that an upload brought and that is
    no photo of a flight: films, photos left out, cards that never came on the map."""

    PHOTO = "photo"
    VIDEO = "video"
    MARK_PHOTO = "mark_photo"
    UPLOAD = "upload"


class HoldStep(StrEnum):
    """What a line says of a hold. RELEASED is for good: who wants it again makes another."""

    HELD = "held"
    RELEASED = "released"


class PurgeStep(StrEnum):
    """What a line says of an original. LIFTED takes back one letting go, for good: its bytes may come back,
    and another letting go is another line."""

    PURGED = "let_go"
    LIFTED = "lifted"
