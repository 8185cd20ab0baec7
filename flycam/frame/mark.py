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
    """How it stands. REMOVED takes a mark off the map; its lines stay on record."""

    OPEN = "open"
    DOING = "doing"
    DONE = "done"
    REMOVED = "removed"

    @property
    def is_confirmed(self) -> bool:
        """Whether somebody deals with it, or is done with it: what was only reported may not be there."""
        return self in (MarkStatus.DOING, MarkStatus.DONE)


def is_road_blocked(kind: MarkKind, status: MarkStatus) -> bool:
    """Whether a mark tells of a blocked road that somebody deals with: neither only reported nor over."""
    return kind is MarkKind.BLOCKED and status is MarkStatus.DOING
