"""Whose boundaries a flight's ground is told by."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from flycam.catalog.catalog import Catalog
from flycam.errors import NotFound
from flycam.frame.flight import Event, EventKind, Flight
from flycam.pipeline.coverage import commune_of, communes_of, flown_on
from tests.serve.world import make_workspace
from tests.suites.catalog_suite import commune, flight

DRILL = Event(event_id="drill", name="DIỄN TẬP", kind=EventKind.DRILL, is_drill=True)
STORM = Event(event_id="yagi", name="Bão số 3", kind=EventKind.STORM, is_drill=False)
BOUNDS = (104.1, 21.1, 104.2, 21.2)
FLOWN = flight("real", "Thật", event_id=STORM.event_id, bounds_lonlat_deg=BOUNDS)
REHEARSED = replace(FLOWN, flight_id="drilled", name="Tập", event_id=DRILL.event_id)
DAY = flown_on(FLOWN)
LATER = date(DAY.year + 1, 7, 1)
EARLIER = date(DAY.year - 1, 1, 1)
EXISTS = commune("90001", "Bản Đôn", (104.0, 21.0, 104.5, 21.5), LATER)
MADE_UP = commune("DT001", "Nậm Diễn Tập", (104.15, 21.1, 104.3, 21.2), EARLIER)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    made = make_workspace(tmp_path).catalog
    for event in (DRILL, STORM):
        made.flights.put_event(event)
    for one in (FLOWN, REHEARSED):
        made.flights.put_flight(one)
    made.boundaries.put_communes([EXISTS, MADE_UP])
    return made


@pytest.mark.parametrize("one", [FLOWN, REHEARSED], ids=["real", "drill"])
def test_every_commune_that_a_flight_counts_is_found_by_its_code(catalog: Catalog, one: Flight) -> None:
    """A drill's commune that was known on the flight's day hid that those that exist were not: an export of
    such a one was refused."""
    here = communes_of(catalog, one, BOUNDS)
    assert [commune_of(catalog, one, each.code) for each in here] == here
    assert [each.code for each in here] == (["90001"] if one is FLOWN else ["90001", "DT001"])


def test_a_commune_beside_the_flight_is_one_of_its_day_where_that_is_known(catalog: Catalog) -> None:
    beside = commune("90009", "Xa", (106.0, 21.0, 106.5, 21.5), LATER)
    catalog.boundaries.put_communes([beside])
    assert commune_of(catalog, FLOWN, "90009").code == "90009", "of that day none is known here"
    with pytest.raises(NotFound):
        commune_of(catalog, FLOWN, "12345")
    catalog.boundaries.put_communes([replace(EXISTS, valid_from=EARLIER)])
    with pytest.raises(NotFound, match="is recorded from"):
        commune_of(catalog, FLOWN, "90009")
