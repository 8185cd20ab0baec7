"""Into which event a flight goes for which nobody named one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flycam.frame.flight import UNNAMED_EVENTS
from flycam.frame.warning import sentence
from flycam.pipeline.laying.opening import Labels, event_for, event_said, new_event
from flycam.pipeline.workspace import Workspace
from tests.serve.world import make_workspace

STORM = new_event("Bão số 3", is_drill=False)
DRILL = new_event("DIỄN TẬP: bão", is_drill=True)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path)


def test_a_flight_goes_into_the_only_event_that_is_open(workspace: Workspace) -> None:
    """It went into one that was made for it, and the storm's stayed empty."""
    flights = workspace.catalog.flights
    for event in (STORM, DRILL, replace(new_event("Bão số 2", is_drill=False), ends_ns=1)):
        flights.put_event(event)
    flights.put_event(new_event(UNNAMED_EVENTS[False][0], is_drill=False))
    assert event_for(workspace, None, is_drill=False) == STORM
    assert event_for(workspace, None, is_drill=True).name == UNNAMED_EVENTS[True][0]


def test_into_which_event_it_went_that_nobody_named_is_said() -> None:
    (note,) = event_said(Labels(), STORM)
    assert STORM.name in sentence(note) and "flights move" in sentence(note, "vi")
    unnamed = new_event(UNNAMED_EVENTS[False][0], is_drill=False)
    for labels, event in ((Labels(event=STORM.name), STORM), (Labels(), unnamed), (Labels(), None)):
        assert event_said(labels, event) == ()


def test_of_several_nobody_can_tell_which(workspace: Workspace) -> None:
    assert event_for(workspace, None, is_drill=False).name == UNNAMED_EVENTS[False][0], "of none neither"
    for event in (STORM, new_event("Lũ quét", is_drill=False)):
        workspace.catalog.flights.put_event(event)
    assert event_for(workspace, None, is_drill=False).name == UNNAMED_EVENTS[False][0]
