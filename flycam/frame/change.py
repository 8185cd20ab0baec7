"""Changes under review: possible storm damage, and an analyst's decisions on it."""

from __future__ import annotations

from enum import StrEnum


class ChangeKind(StrEnum):
    """Kind of a change."""

    LANDSLIDE = "landslide"
    FLOOD = "flood"
    OTHER = "other"


DETECTED_KINDS = (ChangeKind.LANDSLIDE, ChangeKind.FLOOD)
"""Kinds of damage that a comparison looks for. OTHER is any further change, found or not: its ground is no
measure of damage, so it is never summed up."""


class ChangeStatus(StrEnum):
    """Status of a change in review.

    PROPOSED waits for a decision. REPLACED was found again on a newer revision before any decision: others
    replace it. REMOVED was drawn, and that was undone. Lines of all of them stay on record.
    """

    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    REPLACED = "replaced"
    REMOVED = "removed"


ROAD_CUTTING_KINDS = frozenset({ChangeKind.LANDSLIDE, ChangeKind.FLOOD})
"""Kinds that cut a road they lie on."""

POSITIVE_STATUSES = frozenset({ChangeStatus.ACCEPTED, ChangeStatus.PROPOSED})
"""Statuses that count as findings, also while they wait; a rejected change counts as none."""


class ChangeAction(StrEnum):
    """Action of a line of a change's history.

    FOUND is the detector's, all others are a person's.
    """

    FOUND = "found"
    DRAW = "draw"
    ACCEPT = "accept"
    REJECT = "reject"
    REDRAW = "redraw"
    COMMENT = "comment"
    UNDO = "undo"


UNDECIDED_ACTIONS = frozenset({ChangeAction.FOUND, ChangeAction.UNDO})
"""Actions that are no decision of their own: the detector's find, and an undo."""

REVIEWABLE_STATUSES = frozenset({ChangeStatus.PROPOSED, ChangeStatus.ACCEPTED, ChangeStatus.REJECTED})
"""Statuses of changes that can be decided on."""
