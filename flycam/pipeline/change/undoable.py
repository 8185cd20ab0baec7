"""Decisions that somebody can still take back, read off what is on record: whoever loads the page again, or
sits down at another, goes on from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from flycam.catalog.change_line import ChangeLine
from flycam.catalog.change_undoing import in_force
from flycam.catalog.changes import Changes
from flycam.catalog.withholding import Withholding
from flycam.frame.change import NOT_DECIDED

MOST_STEPS = 200
"""Of the last steps: nobody takes back a day one by one."""


def undoable_steps(changes: Changes, event_id: str, who: str, withholding: Withholding) -> list[str]:
    """Ids of somebody's own steps in an event that can be undone one after another, the last one last: none
    on which anybody else has decided since, none on what is withheld, and none below one of those: that
    would have to be undone first."""
    steps = changes.steps_by(event_id, who, MOST_STEPS)
    histories = changes.histories({line.change_id for lines in steps.values() for line in lines})
    piles = {name: list(_own_on_top(lines, who)) for name, lines in histories.items()}
    undoable = {
        step_id
        for step_id, lines in steps.items()
        if not any(withholding.hides_change(line) for line in lines)
    }
    while fallen := {one for one in undoable if not _is_reached(one, steps[one], piles, undoable)}:
        undoable -= fallen
    return [step_id for step_id in steps if step_id in undoable]


def _is_reached(
    step_id: str, lines: Sequence[ChangeLine], piles: Mapping[str, Sequence[str]], undoable: set[str]
) -> bool:
    """Whether all that lies on a step, on each of its changes, can be undone before it."""
    for line in lines:
        pile = piles[line.change_id]
        if step_id not in pile or not undoable.issuperset(pile[: pile.index(step_id)]):
            return False
    return True


def _own_on_top(history: Sequence[ChangeLine], who: str) -> Iterator[str]:
    """Steps of somebody that lie on all others of a change, the uppermost first."""
    for line in reversed(in_force(history)):
        if line.author != who or line.action in NOT_DECIDED:
            return
        yield line.step_id
