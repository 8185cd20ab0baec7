"""The demonstration: two rehearsal flights, ingested, finished, on the map; run again it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from flycam.cli import demo
from flycam.drill.photo_drill import write_drill
from flycam.model.flight import FlightState
from tests.houses import House

MakeHouse = Callable[..., House]


@pytest.mark.slow
@pytest.mark.timeout(1200)  # two flights are flown, laid and finished, twice
def test_the_demo_shows_two_finished_flights_and_run_again_changes_nothing(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_STRIPS", 2)
    monkeypatch.setattr(demo, "_PHOTOS_A_STRIP", 3)
    smaller = partial(write_drill, size_px=(880, 660), gsd_m=0.3)  # the same ground in fewer pixels
    monkeypatch.setattr(demo, "write_drill", smaller)
    house = make_house()
    first = demo.run_demo(house.workspace)
    for flown in (first.before, first.after):
        assert flown.ingested.used == 6
        assert flown.ingested.flight.state is FlightState.READY
        (layer,) = flown.finished.layers
        assert layer.new
        assert layer.record is not None
        assert house.workspace.catalog.tiles.mosaic(layer.record.mosaic_id).revision == 1
    flights = house.workspace.catalog.flights.flights()
    assert len(flights) == 2
    assert {flight.event_id for flight in flights} == {first.before.ingested.flight.event_id}
    assert first.compared.is_detected and first.compared.enqueued is not None
    assert first.compared.enqueued.new == len(first.compared.changes) > 0
    again = demo.run_demo(house.workspace)
    assert again.compared.enqueued is not None and again.compared.enqueued.new == 0
    for flown in (again.before, again.after):
        assert flown.ingested.new == 0
        assert not flown.finished.layers[0].new
