"""Field marks and search sectors: what people on the ground and in the command room put on the map."""

from __future__ import annotations

from enum import StrEnum


class MarkKind(StrEnum):
    """What is marked. A SECTOR is an area to be searched; everything else is a point."""

    RESCUE = "rescue"
    BLOCKED = "blocked"
    CRACK = "crack"
    LANDING = "landing"
    ASSEMBLY = "assembly"
    OTHER = "other"
    SECTOR = "sector"


class MarkStatus(StrEnum):
    """How work on it stands, which does not tell whether it is there: what nobody has taken up may be so all
    the same, and is shown as reported. REMOVED takes a mark off the map; its lines stay on record."""

    OPEN = "open"
    DOING = "doing"
    DONE = "done"
    REMOVED = "removed"


UNRESOLVED_STATUSES = frozenset({MarkStatus.OPEN, MarkStatus.DOING})
"""What somebody still has to see to."""


def rank_mark(kind: MarkKind, status: MarkStatus) -> tuple[bool, bool, bool]:
    """By which marks are sorted where they are told: people to be rescued before all else, what nobody has
    taken up before what somebody has, and behind all what is done."""
    return status not in UNRESOLVED_STATUSES, kind is not MarkKind.RESCUE, status is not MarkStatus.OPEN


def is_road_blocked(kind: MarkKind, status: MarkStatus) -> bool:
    """Whether a mark tells of a blocked road, also one that was only reported: not one that is over."""
    return kind is MarkKind.BLOCKED and status in UNRESOLVED_STATUSES
