"""The demonstration: two rehearsal flights, ingested, finished, on the map, and compared."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from flycam.cli import demo
from flycam.drill.photo_drill import DrillReport
from flycam.model.flight import FlightState
from flycam.mosaic.finish.workflow import FinishRequest, finish_flight
from tests.houses import House, drilled

MakeHouse = Callable[..., House]


@pytest.mark.slow
def test_the_demo_shows_two_finished_flights_and_their_changes(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def smaller(_folder: object, *, after: bool, **_options: object) -> DrillReport:
        return drilled(photos=(2, 3), size_px=(480, 360), gsd_m=0.5, truth_rasters=False, after=after)

    monkeypatch.setattr(demo, "write_drill", smaller)
    monkeypatch.setattr(
        demo, "finish_flight", partial(finish_flight, request=FinishRequest(surface=False, report=False))
    )
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
