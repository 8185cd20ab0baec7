"""The decision that somebody can still take back, read off what is on record: whoever loads the page again,
or sits down at another, goes on from there."""

from __future__ import annotations

from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.changes import Changes
from flycam.frame.change import ChangeAction


def find_undoable_step(changes: Changes, event_id: str, who: str) -> list[ChangeVersion]:
    """The lines of somebody's own last step in an event, one of each change that it wrote to; none where it
    undid another, or where any of these changes was decided on since."""
    lines = changes.last_step(event_id, who)
    if any(line.action is ChangeAction.UNDO for line in lines):
        return []
    return lines if changes.last([line.change_id for line in lines]) == lines else []
