"""Which lines of a change are in force, and how it stood before a step, also after others were undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flycam.catalog.change_line import ChangeLine
from flycam.frame.change import ChangeAction, ChangeStatus


def without(history: Sequence[ChangeLine], step_id: str) -> ChangeLine | None:
    """A change (all its lines, the first first) as it stands without its last step; None: that is another.

    Steps in force are a pile: a decision is put on it, undoing takes the uppermost off, undoing that puts it
    on again, as long as nothing else was put there meanwhile.
    """
    pile, taken = _replayed(history)
    undone = replace(history[-1], action=ChangeAction.UNDO, step_id="", undoes=step_id)
    if not _undo(pile, taken, step_id, undone):
        return None
    return pile[-1] if pile else replace(history[0], status=ChangeStatus.REMOVED)


def in_force(history: Sequence[ChangeLine]) -> list[ChangeLine]:
    """The lines of a change that were not undone, the first first; none where it was taken away whole."""
    return _replayed(history)[0]


def _replayed(history: Sequence[ChangeLine]) -> tuple[list[ChangeLine], dict[str, tuple[ChangeLine, int]]]:
    pile: list[ChangeLine] = []
    taken: dict[str, tuple[ChangeLine, int]] = {}
    for line in history:
        if line.action is ChangeAction.UNDO:
            _undo(pile, taken, line.undoes, line)
        else:
            pile.append(line)
    return pile, taken


def _undo(
    pile: list[ChangeLine], taken: dict[str, tuple[ChangeLine, int]], step_id: str, by: ChangeLine
) -> bool:
    """Take a step's line off the pile, or put back what that step took off; False where neither is so.

    taken  by the step that undid it: the line, and the version that was uppermost then (0: none)
    """
    if pile and pile[-1].step_id == step_id:
        line = pile.pop()
        taken[by.step_id] = (line, _uppermost(pile))
        return True
    if step_id in taken and taken[step_id][1] == _uppermost(pile):
        pile.append(taken.pop(step_id)[0])
        return True
    return False


def _uppermost(pile: Sequence[ChangeLine]) -> int:
    return pile[-1].version if pile else 0
