from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flycam.catalog.placements import derive_placement_id, to_placement
from flycam.model.frame import FIRST_EPOCH
from flycam.model.layer import Layer
from flycam.sync.record_import import map_frame_placements
from flycam.sync.records import FlightRecords, read_flight_records
from tests.sync.boxes import MOSAIC, WAYS, Box, new_box, record

some = st.sets(st.integers(2, 7), max_size=3)


def told(box: Box) -> FlightRecords:
    return read_flight_records(box.catalog, box.catalog.flights.flight("f1"))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(a=some, b=some, is_first=st.booleans())
def test_a_frame_that_two_boxes_laid_in_two_ways_is_shown_as_it_lies_now_and_all_converge(
    tmp_path: Path, a: set[int], b: set[int], is_first: bool
) -> None:
    one, two, province = (new_box(tmp_path, name) for name in ("one", "two", "province"))
    one.lay(a | {0}, dem_id=WAYS[0])
    two.lay(b | {0}, dem_id=WAYS[1])
    for box in (one, two) if is_first else (two, one):
        province.read(box.write(tmp_path))
    standing = province.catalog.frames.get(record(0).frame_id)
    right = one if standing.dem_id == WAYS[0] else two
    mosaic = MOSAIC.mosaic_id
    there = {
        head.tile_id: right.tile(head) for head in right.catalog.tiles.heads(mosaic, 0, z=MOSAIC.base_zoom)
    }
    here = {
        head.tile_id: province.tile(head)
        for head in province.catalog.tiles.heads(mosaic, 0, z=MOSAIC.base_zoom)
    }
    if not a and not b:
        for tile_id, state in there.items():
            assert here[tile_id].quality.tobytes() == state.quality.tobytes()
            assert here[tile_id].rgb.tobytes() == state.rgb.tobytes()
    for _ in range(2):
        for box in (one, two):
            box.read(province.write(tmp_path))
            province.read(box.write(tmp_path))
    assert province.tiles() == one.tiles() == two.tiles()


def test_how_a_frame_lies_is_told_by_the_id_of_its_placement(tmp_path: Path) -> None:
    box = new_box(tmp_path, "field")
    box.lay({0, 1}, dem_id=WAYS[1])
    laid = map_frame_placements(told(box), MOSAIC, {})
    assert laid == {record(n).frame_id: derive_placement_id(to_placement(record(n, WAYS[1]))) for n in (0, 1)}


def test_while_a_box_has_tiles_to_fold_again_nothing_is_said_of_what_it_laid_again(tmp_path: Path) -> None:
    box = new_box(tmp_path, "field")
    box.lay({0, 1})
    again = record(0, WAYS[1])
    box.catalog.placements.supersede([again], "other terrain", "lan", 9)
    (tile_id, *_) = record(0).tiles or ()
    records = told(box)
    behind = map_frame_placements(records, MOSAIC, {tile_id: FIRST_EPOCH})
    assert set(behind) == {record(1).frame_id}
    assert set(map_frame_placements(records, MOSAIC, {})) == {record(0).frame_id, record(1).frame_id}


@pytest.mark.parametrize("name", ["exterior", "layer"])
def test_frames_that_are_not_in_the_mosaic_are_not_spoken_of(tmp_path: Path, name: str) -> None:
    box = new_box(tmp_path, "field")
    box.lay({0})
    records = told(box)
    (one,) = records.frames
    if name == "exterior":
        other = replace(one, exterior=None)
    else:
        other = replace(one, header=replace(one.header, layer=Layer.THERMAL))
    assert map_frame_placements(replace(records, frames=(other,)), MOSAIC, {}) == {}
