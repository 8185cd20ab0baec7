"""A flight into another event: what goes along, what is told, and when it must stay."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flycam.catalog.changes import Comparison
from flycam.catalog.flights import format_finish_lock
from flycam.catalog.packs import Pack, PackState
from flycam.errors import (
    FlightBoundToEvent,
    FlightBusy,
    FlycamError,
    InputUnusable,
    NameTaken,
    NotFound,
)
from flycam.model.flight import FlightState
from flycam.model.records import AuditEntry
from flycam.mosaic.amendments import move_flight
from flycam.operations.retention import place_hold
from tests.change.impacted import changed, square
from tests.serve.world import DRILL, REAL, World, make_world
from tests.suites.comparison_suite import COMPARED

FLOOD = "Lũ quét Bản Liền"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


def test_a_flight_is_moved_to_an_event_that_begins_with_it_and_back(world: World) -> None:
    workspace = world.workspace
    before = workspace.catalog.flights.flight(world.after)
    moved = move_flight(workspace, before.name, unicodedata.normalize("NFD", f" {FLOOD} "), "Lan")
    assert (moved.former.event_id, moved.event.name, moved.event.is_drill) == (REAL, FLOOD, False)
    flights = workspace.catalog.flights
    assert flights.flight(world.after) == replace(before, event_id=moved.event.event_id)
    assert [one.flight_id for one in flights.flights(moved.event.event_id)] == [world.after]
    assert world.after not in [one.flight_id for one in flights.flights(REAL)]
    last = workspace.catalog.audit.lines(limit=1_000)[-1]
    assert (last.who, last.what, last.subject) == ("Lan", "flight moved", world.after)
    assert REAL in last.detail and FLOOD in last.detail

    before_lines = len(workspace.catalog.audit.lines(limit=1_000))
    assert move_flight(workspace, world.after, FLOOD, "Lan").former == moved.event
    assert len(workspace.catalog.audit.lines(limit=1_000)) == before_lines, "it lies there already"
    move_flight(workspace, world.after, REAL, "Lan")
    assert flights.flight(world.after) == before


def _pack(world: World) -> None:
    entry = AuditEntry(who="Lan", what="pack", subject="pack-1", detail="", at_ns=1)
    pack = Pack(pack_id="pack-1", owner="Lan", flights=(world.after,), language="vi", asked_ns=1, maker="m")
    world.workspace.catalog.packs.add(replace(pack, state=PackState.WAITING), entry)


def _laying(world: World) -> None:
    flight = world.workspace.catalog.flights.flight(world.after)
    world.workspace.catalog.flights.put_flight(replace(flight, state=FlightState.INGESTING))


def _found(world: World) -> None:
    shown = f"{world.after}-colour@0"
    world.workspace.catalog.changes.append(
        [changed("change-00000001", square(0, 0, 50), event_id=REAL, after_shown=shown)]
    )


def _compared(world: World) -> None:
    """And nothing was found."""
    made: Comparison = replace(COMPARED, event_id=REAL, before_shown=f"{world.after}-colour@0")
    world.workspace.catalog.comparisons.add([made])


def _held(world: World) -> None:
    place_hold(world.workspace, "hold-00000001", REAL, "điều tra", "admin")


@pytest.mark.parametrize(
    ("because", "error"),
    [
        (_pack, FlightBusy),
        (_laying, FlightBusy),
        (_found, FlightBoundToEvent),
        (_compared, FlightBoundToEvent),
        (_held, FlightBoundToEvent),
    ],
)
def test_a_flight_stays_where_leaving_would_break_something(
    world: World, because: Callable[[World], None], error: type[FlycamError]
) -> None:
    because(world)
    before = world.workspace.catalog.flights.flight(world.after)
    with pytest.raises(error) as caught:
        move_flight(world.workspace, world.after, FLOOD, "Lan")
    assert "--" not in str(caught.value), "who moves it on the page has no command line"
    assert world.workspace.catalog.flights.flight(world.after) == before
    with pytest.raises(NotFound):
        world.workspace.catalog.flights.event(FLOOD)
    # the other flight of the same event is not concerned, but by what holds the event itself
    if because is not _held:
        move_flight(world.workspace, world.before, FLOOD, "Lan")


def test_a_flight_that_is_worked_on_is_left_alone(world: World) -> None:
    for lock in (world.after, format_finish_lock(world.after)):
        with world.workspace.catalog.flights.lock(lock), pytest.raises(FlightBusy):
            move_flight(world.workspace, world.after, FLOOD, "Lan")
    assert world.workspace.catalog.flights.flight(world.after).event_id == REAL


def test_a_drill_and_a_storm_do_not_mix(world: World) -> None:
    for flight, event in ((world.drill, REAL), (world.after, DRILL)):
        with pytest.raises(NameTaken, match="never mix"):
            move_flight(world.workspace, flight, event, "Lan")
    assert move_flight(world.workspace, world.drill, "Diễn tập 2", "Lan").event.is_drill


@pytest.mark.parametrize("name", ["  ", "x" * 201, "a\u202eb", "\u3164"])
def test_an_event_has_a_name(world: World, name: str) -> None:
    with pytest.raises(InputUnusable) as caught:
        move_flight(world.workspace, world.after, name, "Lan")
    assert "--event" not in str(caught.value)
