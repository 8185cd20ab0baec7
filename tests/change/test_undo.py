"""What somebody can take back is read off what is on record, not off the page that decided it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flycam.change.review import ReviewStep, apply_review_step, find_undoable_step
from flycam.model.board import ChangeAction
from flycam.model.flight import Event, EventKind
from flycam.workspace import Workspace
from tests.change.impacted import FLOOD, SLIDE, changed, square
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
    request = ReviewStep(step_id=f"step-{number:08}", action=action, changes=versions, **more)  # type: ignore[arg-type]
    apply_review_step(replace(workspace, clock_ns=lambda: 100 + number), request, who)
    return request.step_id


def undoable(workspace: Workspace, who: str) -> dict[str, str]:
    """By change the step that can be taken back there."""
    lines = find_undoable_step(workspace.catalog.changes, "e1", who)
    return {line.change_id: line.step_id for line in lines}


def test_ones_own_last_decision_and_none_below_it(workspace: Workspace) -> None:
    step(workspace, 1, "Lan", ChangeAction.ACCEPT, SLIDE)
    step(workspace, 2, "Lan", ChangeAction.REJECT, FLOOD)
    third = step(workspace, 3, "Lan", ChangeAction.COMMENT, SLIDE, note="rõ")
    assert undoable(workspace, "Lan") == {SLIDE: third}
    assert undoable(workspace, "Minh") == {}
    step(workspace, 4, "Lan", ChangeAction.UNDO, undoes=third)
    assert undoable(workspace, "Lan") == {}, "nothing undoes an undo, nor what came before"
    fifth = step(workspace, 5, "Lan", ChangeAction.ACCEPT, FLOOD)
    assert undoable(workspace, "Lan") == {FLOOD: fifth}


def test_what_somebody_else_decided_on_since_is_no_more_ones_own(workspace: Workspace) -> None:
    both = step(workspace, 1, "Lan", ChangeAction.REJECT, SLIDE, FLOOD)
    assert undoable(workspace, "Lan") == {SLIDE: both, FLOOD: both}
    minhs = step(workspace, 2, "Minh", ChangeAction.ACCEPT, FLOOD)
    assert undoable(workspace, "Lan") == {} and undoable(workspace, "Minh") == {FLOOD: minhs}
    step(workspace, 3, "Minh", ChangeAction.UNDO, undoes=minhs)
    assert undoable(workspace, "Lan") == {}, "somebody has been there"
