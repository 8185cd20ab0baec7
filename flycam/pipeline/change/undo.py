"""The last decision that an account can undo, read from the catalogue.

So undo works after the page is reloaded, or at another computer.
"""

from __future__ import annotations

from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.changes import Changes
from flycam.frame.change import ChangeAction


def find_undoable_step(changes: Changes, event_id: str, who: str) -> list[ChangeVersion]:
    """Return the versions of an account's own last step in an event.

    One for each change that it wrote to; none if it undid another step, or if any of these changes was
    decided on since.
    """
    lines = changes.last_step(event_id, who)
    if any(line.action is ChangeAction.UNDO for line in lines):
        return []
    return lines if changes.last([line.change_id for line in lines]) == lines else []
