"""What a kill left is named with the command that completes it, and is not once that has run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flycam.drill.photo_drill import DrillReport
from flycam.errors import StorageFailed
from flycam.mosaic.finish import stages
from flycam.mosaic.orthorectify.frame_merge import FrameRecordBuffer
from flycam.operations.health import list_interrupted_flights, run_health_checks
from flycam.workspace import ignore_progress
from tests.finishing import finish_flight
from tests.houses import House

MakeHouse = Callable[..., House]


def gone(*_arguments: object) -> None:
    raise StorageFailed("as if killed")


def test_an_ingest_that_was_killed_is_named_with_its_cure(
    drill: DrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(drill)
    with monkeypatch.context() as patch, pytest.raises(StorageFailed, match="as if killed"):
        patch.setattr(FrameRecordBuffer, "write", gone)
        house.ingest(drill.photos)
    (flight,) = house.workspace.catalog.flights.flights()
    (one,) = list_interrupted_flights(house.workspace)
    assert one.flight_id == flight.flight_id
    assert all("flycam ingest" in said for said in one.sentence.to_fields().values())
    (check,) = [one for one in run_health_checks(house.workspace, house.root) if one.name == "unfinished"]
    assert not check.ok and flight.name in str(check.sentence)
    with house.workspace.catalog.flights.lock(flight.flight_id):
        assert list_interrupted_flights(house.workspace) == []  # somebody is at it
    house.ingest(drill.photos)
    assert list_interrupted_flights(house.workspace) == []
    (check,) = [one for one in run_health_checks(house.workspace, house.root) if one.name == "unfinished"]
    assert check.ok


@pytest.mark.soak
@pytest.mark.slow
def test_a_finish_that_was_killed_is_named_with_its_cure(
    drill: DrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(drill)
    flight = house.ingest(drill.photos).flight
    with monkeypatch.context() as patch, pytest.raises(StorageFailed, match="as if killed"):
        patch.setattr(stages, "adjust_block", gone)
        finish_flight(house.workspace, flight.flight_id, progress=ignore_progress)
    (one,) = list_interrupted_flights(house.workspace)
    assert f"'flycam finish {flight.flight_id}'" in str(one.sentence)
    finish_flight(house.workspace, flight.flight_id, progress=ignore_progress)
    assert list_interrupted_flights(house.workspace) == []
