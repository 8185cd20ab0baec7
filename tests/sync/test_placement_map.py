from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flycam.sync.records import FlightRecords, read_flight_records
from tests.sync.boxes import MOSAIC, WAYS, Box, new_box, record

some = st.sets(st.integers(2, 7), max_size=3)


def told(box: Box) -> FlightRecords:
    return read_flight_records(box.catalog, box.catalog.flights.flight("f1"))


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
