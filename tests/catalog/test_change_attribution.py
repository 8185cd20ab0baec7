"""Which lines of a change are in force, also where two boxes' lines were joined."""

from __future__ import annotations

from dataclasses import replace

from flycam.catalog.changes import derive_attribution, select_effective_versions
from flycam.model.board import ChangeAction, ChangeStatus
from tests.suites.change_suite import FOUND, decided

ACCEPTED = decided(FOUND, ChangeStatus.ACCEPTED, author="Minh")
REJECTED = decided(ACCEPTED, ChangeStatus.REJECTED, step_id="step-2", author="Hoa")


def test_an_undoing_takes_away_the_line_before_it() -> None:
    undone = decided(ACCEPTED, FOUND.status, step_id="step-3", action=ChangeAction.UNDO, undoes="step-1")
    assert select_effective_versions([FOUND, ACCEPTED, undone]) == [FOUND]
    again = replace(REJECTED, version=4)
    assert select_effective_versions([FOUND, ACCEPTED, undone, again]) == [FOUND, again]
    assert select_effective_versions([ACCEPTED, undone]) == [], "whoever was told no more"


def test_an_undoing_of_another_line_takes_nothing_away_and_its_author_signs() -> None:
    """Two who decided on two boxes: the lines of one came between those of the other."""
    undone = decided(REJECTED, FOUND.status, step_id="step-3", action=ChangeAction.UNDO, author="Minh")
    for undoes in ("step-1", "step-9"):
        lines = [FOUND, ACCEPTED, REJECTED, replace(undone, undoes=undoes)]
        assert select_effective_versions(lines) == lines[:-1]
        assert derive_attribution(lines).decided_by == "Minh"
