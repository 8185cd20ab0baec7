"""What somebody can take back is read off what is on record, not off the page that decided it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flycam.catalog.withholding import NOTHING_WITHHELD, Withholding
from flycam.errors import StoreConflict
from flycam.frame.change import ChangeAction
from flycam.frame.flight import Event, EventKind
from flycam.pipeline.change.deciding import decide
from flycam.pipeline.change.step_asked import StepAsked
from flycam.pipeline.change.undoable import undoable_steps
from flycam.pipeline.workspace import Workspace
from tests.pipeline.impacted import FLOOD, SLIDE, changed, square
from tests.serve.world import make_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    one = make_workspace(tmp_path / "house")
    one.catalog.flights.put_event(Event(event_id="e1", name="Bão", kind=EventKind.STORM, is_drill=False))
    one.catalog.changes.append([changed(SLIDE, square(0, 0, 100)), changed(FLOOD, square(400, 0, 100))])
    return one


def step(
    workspace: Workspace, number: int, who: str, action: ChangeAction, *names: str, **more: object
) -> str:
    versions = (
        {line.change_id: line.version for line in workspace.catalog.changes.last(names)} if names else {}
    )
    asked = StepAsked(step_id=f"step-{number:08}", action=action, changes=versions, **more)  # type: ignore[arg-type]
    decide(replace(workspace, clock_ns=lambda: 100 + number), asked, who)
    return asked.step_id


def undoable(workspace: Workspace, who: str) -> list[str]:
    return undoable_steps(workspace.catalog.changes, "e1", who, NOTHING_WITHHELD)


def test_ones_own_decisions_in_their_order_and_what_was_undone_is_none(workspace: Workspace) -> None:
    first = step(workspace, 1, "Lan", ChangeAction.ACCEPT, SLIDE)
    second = step(workspace, 2, "Lan", ChangeAction.REJECT, FLOOD)
    third = step(workspace, 3, "Lan", ChangeAction.COMMENT, SLIDE, note="rõ")
    assert undoable(workspace, "Lan") == [first, second, third]
    assert undoable(workspace, "Minh") == []
    step(workspace, 4, "Lan", ChangeAction.UNDO, undoes=third)
    assert undoable(workspace, "Lan") == [first, second]
    step(workspace, 5, "Lan", ChangeAction.UNDO, undoes=second)
    step(workspace, 6, "Lan", ChangeAction.UNDO, undoes=first)
    assert undoable(workspace, "Lan") == []


def test_what_somebody_else_decided_on_since_is_no_more_ones_own(workspace: Workspace) -> None:
    both = step(workspace, 1, "Lan", ChangeAction.MERGE, SLIDE, FLOOD)
    assert undoable(workspace, "Lan") == [both]
    whole = next(
        line.change_id
        for line in workspace.catalog.changes.step(both)
        if line.change_id not in (SLIDE, FLOOD)
    )
    minhs = step(workspace, 2, "Minh", ChangeAction.REJECT, whole)
    assert undoable(workspace, "Lan") == [] and undoable(workspace, "Minh") == [minhs]
    step(workspace, 3, "Minh", ChangeAction.UNDO, undoes=minhs)
    assert undoable(workspace, "Lan") == [both]


def test_what_lies_below_a_step_that_cannot_be_undone_is_not_told_either(workspace: Workspace) -> None:
    """It would be refused, until the one above is undone; `first` lies on it alone."""
    below = step(workspace, 1, "Lan", ChangeAction.ACCEPT, SLIDE)
    first = step(workspace, 2, "Lan", ChangeAction.COMMENT, FLOOD, note="rõ")
    both = step(workspace, 3, "Lan", ChangeAction.REJECT, SLIDE, FLOOD)
    assert undoable(workspace, "Lan") == [below, first, both]
    minhs = step(workspace, 4, "Minh", ChangeAction.ACCEPT, FLOOD)
    assert undoable(workspace, "Lan") == []
    with pytest.raises(StoreConflict, match="decided on again"):
        step(workspace, 5, "Lan", ChangeAction.UNDO, undoes=below)
    step(workspace, 6, "Minh", ChangeAction.UNDO, undoes=minhs)
    assert undoable(workspace, "Lan") == [below, first, both]
    withheld = Withholding(areas=[changed(FLOOD, square(400, 0, 100)).wkb])
    assert undoable_steps(workspace.catalog.changes, "e1", "Lan", withheld) == []


def test_what_is_withheld_is_not_told(workspace: Workspace) -> None:
    first = step(workspace, 1, "Lan", ChangeAction.ACCEPT, SLIDE)
    step(workspace, 2, "Lan", ChangeAction.ACCEPT, FLOOD)
    withheld = Withholding(areas=[changed(FLOOD, square(400, 0, 100)).wkb])
    assert undoable_steps(workspace.catalog.changes, "e1", "Lan", withheld) == [first]
