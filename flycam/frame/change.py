"""Changes under review: what a storm may have done, and what an analyst decided of it."""

from __future__ import annotations

from enum import StrEnum


class ChangeKind(StrEnum):
    """What a change is taken for."""

    LANDSLIDE = "landslide"
    FLOOD = "flood"
    OTHER = "other"


DETECTED_KINDS = (ChangeKind.LANDSLIDE, ChangeKind.FLOOD)
"""Kinds of damage that a comparison looks for. OTHER is what changed beside them, found or not: its ground is
no measure of any damage, so it is never summed up."""


class ChangeStatus(StrEnum):
    """How a change stands.

    PROPOSED waits for a decision. REPLACED was found again on a newer revision before anybody touched it:
    others stand for it. REMOVED was drawn, and that was undone. Lines of all of them stay on record.
    """

    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    REPLACED = "replaced"
    REMOVED = "removed"


ROAD_CUTTING_KINDS = frozenset({ChangeKind.LANDSLIDE, ChangeKind.FLOOD})
"""What cuts a road that it lies on."""

POSITIVE_STATUSES = frozenset({ChangeStatus.ACCEPTED, ChangeStatus.PROPOSED})
"""Where such a change lies something was found, also while it waits; what was rejected did nothing."""


class ChangeAction(StrEnum):
    """What a line of a change's history did. FOUND is the detector's, all others are a person's."""

    FOUND = "found"
    DRAW = "draw"
    ACCEPT = "accept"
    REJECT = "reject"
    REDRAW = "redraw"
    COMMENT = "comment"
    UNDO = "undo"


UNDECIDED_ACTIONS = frozenset({ChangeAction.FOUND, ChangeAction.UNDO})
"""What is no decision of its own: the detector's find, and taking one back."""

REVIEWABLE_STATUSES = frozenset({ChangeStatus.PROPOSED, ChangeStatus.ACCEPTED, ChangeStatus.REJECTED})
"""Changes that can be decided on."""
