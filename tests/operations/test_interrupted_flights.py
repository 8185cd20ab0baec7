"""What a kill left is named with the command that completes it, and is not once that has run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flycam.drill.photo_drill import DrillReport
from flycam.errors import StorageFailed
from flycam.mosaic.orthorectify.frame_merge import FrameRecordBuffer
from flycam.operations.health import list_interrupted_flights, run_health_checks
from tests.houses import House

MakeHouse = Callable[..., House]


def gone(*_arguments: object) -> None:
    raise StorageFailed("as if killed")


def test_an_ingest_that_was_killed_is_named_with_its_cure(
    drill: DrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make_house(drill)
    with monkeypatch.context() as patch, pytest.raises(StorageFailed, match="as if killed"):
        patch.setattr(FrameRecordBuffer, "write", gone)
        node.ingest(drill.photos)
    (flight,) = node.workspace.catalog.flights.flights()
    (one,) = list_interrupted_flights(node.workspace)
    assert one.flight_id == flight.flight_id
    assert all("flycam ingest" in said for said in one.sentence.to_fields().values())
    (check,) = [one for one in run_health_checks(node.workspace, node.root) if one.name == "unfinished"]
    assert not check.ok and flight.name in str(check.sentence)
    with node.workspace.catalog.flights.lock(flight.flight_id):
        assert list_interrupted_flights(node.workspace) == []  # somebody is at it
    node.ingest(drill.photos)
    assert list_interrupted_flights(node.workspace) == []
    (check,) = [one for one in run_health_checks(node.workspace, node.root) if one.name == "unfinished"]
    assert check.ok
