"""Photos decoded from the evidence store: kept while there is room, and a place without room is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flycam.drill.photo_drill import DrillReport
from flycam.model.records import FrameStatus
from flycam.originals import PhotoCache
from tests.houses import House


def test_a_stored_original_is_decoded_without_a_copy_on_disk(
    drill: DrillReport, make_house: Callable[..., House], tmp_path: Path
) -> None:
    house = make_house(drill)
    flight = house.ingest(drill.photos).flight
    records = house.workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    in_the_way = tmp_path / "no folder"
    in_the_way.write_bytes(b"")
    workspace = replace(house.workspace, cache_dir=in_the_way / "cache")
    assert PhotoCache(workspace, records).pixels(records[0].frame_id).shape == (360, 480, 3)
