from __future__ import annotations

from pathlib import Path

from flycam.catalog.catalog import open_catalog
from flycam.model.flight import Event, EventKind
from tests.suites.catalog_suite import flight


def test_a_name_is_kept_visible_and_found_by_what_was_given(tmp_path: Path) -> None:
    raw = "Ba\u0309n\x1b]0;x\x07 Lầu"
    with open_catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}") as catalog:
        catalog.flights.put_event(Event(event_id="yagi", name=raw, kind=EventKind.SURVEY, is_drill=False))
        catalog.flights.put_flight(flight(name=raw))
        (event,), (found,) = catalog.flights.events(), catalog.flights.flights()
        assert event.name == found.name == r"Bản\x1b]0;x\x07 Lầu"
        assert catalog.flights.flight(raw) == catalog.flights.flight(found.name) == found
