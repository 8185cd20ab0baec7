"""A better terrain after the flight was finished: the revision stays on show, and is said to be older."""

from __future__ import annotations

from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from flycam.ingest.batch import ingest
from flycam.ingest.preflight_check import PreflightRequest
from flycam.model.records import RevisionState
from flycam.model.warning import FINISHED_OLDER, REPROCESSED, parse_warning_code
from flycam.mosaic.finish.revisions import is_outdated, list_outdated_warnings
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.terrain import register_dem
from tests.finished_house import NAME, finish_quickly, open_workspace, tiles_of


@pytest.fixture(scope="module")
def request_(drill: DrillReport) -> PreflightRequest:
    return PreflightRequest(paths=(drill.photos,))


def test_it_is_outdated_from_the_day_the_flight_is_laid_again_until_it_is_finished_again(
    tmp_path: Path, drill: DrillReport, request_: PreflightRequest
) -> None:
    house = open_workspace(tmp_path)
    flight = ingest(house, request_, FlightLabels(name=NAME)).flight
    mosaic_id = f"{flight.flight_id}-colour"
    finish_quickly(house)
    before = tiles_of(house, mosaic_id, 1)
    assert not is_outdated(house.catalog, house.catalog.tiles.mosaic(mosaic_id))

    register_dem(house, drill.dem)
    notes = ingest(house, request_, FlightLabels(name=NAME)).notes
    assert [parse_warning_code(one) for one in notes] == [REPROCESSED, FINISHED_OLDER]
    shown = house.catalog.tiles.mosaic(mosaic_id)
    assert shown.revision == 1, "the map does not move by itself"
    assert house.catalog.revisions.get(mosaic_id, 1).state is RevisionState.PUBLISHED
    assert tiles_of(house, mosaic_id, 1) == before
    assert is_outdated(house.catalog, shown)
    (said,) = list_outdated_warnings(house.catalog, [shown])
    assert said == f"{FINISHED_OLDER}?revision=1"
    later = ingest(house, request_, FlightLabels(name=NAME)).notes
    assert [parse_warning_code(one) for one in later] == [FINISHED_OLDER], "said as long as it is so"

    again = finish_quickly(house)
    assert again.main is not None and again.main.revision == 2
    assert not is_outdated(house.catalog, house.catalog.tiles.mosaic(mosaic_id))
    assert ingest(house, request_, FlightLabels(name=NAME)).notes == ()
