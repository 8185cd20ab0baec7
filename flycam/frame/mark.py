"""Field marks and search sectors that people on the ground and in the command room put on the map."""

from __future__ import annotations

from enum import StrEnum


class MarkKind(StrEnum):
    """Kind of a mark. A SECTOR is an area to be searched; everything else is a point."""

    RESCUE = "rescue"
    BLOCKED = "blocked"
    CRACK = "crack"
    LANDING = "landing"
    ASSEMBLY = "assembly"
    OTHER = "other"
    SECTOR = "sector"


class MarkStatus(StrEnum):
    """Status of the work on a mark, not of its truth.

    A mark that nobody has taken up may be true all the same, and is shown as reported. REMOVED takes a mark
    off the map; its lines stay on record.
    """

    OPEN = "open"
    DOING = "doing"
    DONE = "done"
    REMOVED = "removed"


UNRESOLVED_STATUSES = frozenset({MarkStatus.OPEN, MarkStatus.DOING})
"""Statuses of marks that still need attention."""


def rank_mark(kind: MarkKind, status: MarkStatus) -> tuple[bool, bool, bool]:
    """Return the sort key of a mark.

    People to be rescued come first, then marks that nobody has taken up; done ones come last.
    """
    return status not in UNRESOLVED_STATUSES, kind is not MarkKind.RESCUE, status is not MarkStatus.OPEN


def is_road_blocked(kind: MarkKind, status: MarkStatus) -> bool:
    """Return True if a mark reports a blocked road that is not resolved yet."""
    return kind is MarkKind.BLOCKED and status in UNRESOLVED_STATUSES
