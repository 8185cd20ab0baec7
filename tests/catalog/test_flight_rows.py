from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flycam.catalog.catalog import open_catalog
from flycam.catalog.rows import parse_flight_row, to_flight_row
from flycam.model.flight import Event, EventKind
from tests.suites.catalog_suite import flight


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (["no_terrain", "relaid?frames=3"], ("no_terrain", "relaid?frames=3")),
        ([1, "no_terrain", {"a": 1}, None], ("no_terrain",)),
        (1, ()),
        ("no_terrain", ()),
    ],
)
def test_a_row_that_a_box_of_before_took_in_as_it_came_is_read(kept: object, told: tuple[str, ...]) -> None:
    row = SimpleNamespace(**to_flight_row(flight()) | {"warnings": json.dumps(kept)})
    assert parse_flight_row(cast("Any", row)).warnings == told


def test_a_name_is_kept_visible_and_found_by_what_was_given(tmp_path: Path) -> None:
    raw = "Ba\u0309n\x1b]0;x\x07 Lầu"
    with open_catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}") as catalog:
        catalog.flights.put_event(Event(event_id="yagi", name=raw, kind=EventKind.SURVEY, is_drill=False))
        catalog.flights.put_flight(flight(name=raw))
        (event,), (found,) = catalog.flights.events(), catalog.flights.flights()
        assert event.name == found.name == r"Bản\x1b]0;x\x07 Lầu"
        assert catalog.flights.flight(raw) == catalog.flights.flight(found.name) == found
