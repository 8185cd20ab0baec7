"""Into which event a flight goes for which nobody named one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from flycam.model.flight import LOCAL_DATUM, UNNAMED_EVENTS
from flycam.model.warning import EVENT_CHOSEN, parse_warning_code
from flycam.mosaic.orthorectify.flight_session import (
    FlightLabels,
    make_event,
    open_flight,
    resolve_flight_event,
)
from flycam.workspace import Workspace
from tests.serve.world import make_workspace
from tests.suites.catalog_suite import flight, frame

STORM = make_event("Bão số 3", is_drill=False)
DRILL = make_event("DIỄN TẬP: bão", is_drill=True)
FLOWN = flight(event_id=STORM.event_id)
DAY_NS = 86_400 * 10**9
UNNAMED = UNNAMED_EVENTS[False]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A storm that was flown, a drill, and what was flown of no event."""
    made = make_workspace(tmp_path)
    for event in (STORM, DRILL, make_event(UNNAMED, is_drill=False)):
        made.catalog.flights.put_event(event)
    made.catalog.flights.put_flight(FLOWN)
    return made


def test_a_flight_goes_into_the_only_event_that_is_open_and_was_flown_lately(workspace: Workspace) -> None:
    """It went into one that was made for it, and the storm's stayed empty."""
    for days in (-2, 0, 2):
        flown_ns = FLOWN.last_ns + days * DAY_NS
        assert resolve_flight_event(workspace, None, is_drill=False, flown_ns=flown_ns) == STORM
        assert (
            resolve_flight_event(workspace, None, is_drill=True, flown_ns=flown_ns).name
            == UNNAMED_EVENTS[True]
        )


def test_what_is_flown_long_after_the_storm_is_not_of_it(workspace: Workspace) -> None:
    """No command ends an event: a house's first storm took every later flight, for good."""
    for days in (-4, 4, 700):
        flown_ns = FLOWN.last_ns + days * DAY_NS
        assert resolve_flight_event(workspace, None, is_drill=False, flown_ns=flown_ns).name == UNNAMED
    assert resolve_flight_event(workspace, None, is_drill=False).name == UNNAMED, "nobody knows when"
    over = replace(STORM, ends_ns=FLOWN.last_ns)
    workspace.catalog.flights.put_event(over)
    assert resolve_flight_event(workspace, None, is_drill=False, flown_ns=FLOWN.last_ns).name == UNNAMED


def test_of_several_nobody_can_tell_which(workspace: Workspace) -> None:
    workspace.catalog.flights.put_event(make_event("Lũ quét", is_drill=False))
    assert resolve_flight_event(workspace, None, is_drill=False, flown_ns=FLOWN.last_ns).name == UNNAMED


@pytest.mark.parametrize(("days", "event_id"), [(1, STORM.event_id), (9, None)])
def test_a_flight_is_opened_in_the_event_of_its_first_picture(
    workspace: Workspace, days: int, event_id: str | None
) -> None:
    first_ns = FLOWN.last_ns + days * DAY_NS
    frames = [
        SimpleNamespace(
            header=replace(frame(1).header, captured_ns=first_ns + later),
            footprint=SimpleNamespace(gsd_m=0.1),
        )
        for later in (9 * DAY_NS, 0)
    ]
    opened = open_flight(
        workspace,
        "f9",
        frames,  # type: ignore[arg-type]
        SimpleNamespace(vertical_datum=LOCAL_DATUM, dem_id="plane"),  # type: ignore[arg-type]
        FlightLabels(),
        default_name="Bay mới",
        work_crs=FLOWN.work_crs,
        is_drill=False,
    )
    unnamed = workspace.catalog.flights.event(UNNAMED).event_id
    assert opened.flight.event_id == (event_id or unnamed)
    assert [parse_warning_code(note) for note in opened.notes] == ([EVENT_CHOSEN] if event_id else [])
