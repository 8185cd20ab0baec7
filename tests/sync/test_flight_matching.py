from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flycam.access.policy import load_redacted_ground
from flycam.catalog.access import select_active_redactions
from flycam.model.records import FrameStatus, MosaicInfo
from flycam.sync.records import FlightConflict, FlightMatch, FlightRecords, match_flight, read_flight_records
from tests.sync.boxes import Box, alone, masked, mosaic_of, new_box, record

half = st.sets(st.sampled_from(range(4)), min_size=1, max_size=3)
more = st.sets(st.sampled_from(range(8)), min_size=1, max_size=3)


def read_records(box: Box, flight_id: str) -> FlightRecords:
    """What a box tells of a flight."""
    return read_flight_records(box.catalog, box.catalog.flights.flight(flight_id))


def shown(box: Box, flight_id: str) -> set[str]:
    """Frames that own a pixel of a base tile."""
    mosaic = mosaic_of(flight_id)
    heads = box.catalog.tiles.heads(mosaic.mosaic_id, 0, z=mosaic.base_zoom)
    return {frame_id for head in heads for frame_id in box.tile(head).frames}


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=half, others=more, data=st.data())
def test_half_a_card_here_and_the_whole_card_there_become_one_flight_in_any_order(
    tmp_path: Path, first: set[int], others: set[int], data: st.DataObject
) -> None:
    one, two = new_box(tmp_path, "one"), new_box(tmp_path, "two")
    one.lay(first, "f1")
    two.lay(first | others, "f2")
    gone = data.draw(st.sampled_from(sorted(first | others)))
    bundles = [one.write(tmp_path), two.write(tmp_path)]
    two.withdraw(gone, "f2")
    bundles.append(two.write(tmp_path))
    province = new_box(tmp_path, "province")
    for path in data.draw(st.permutations(bundles * 2)):
        province.read(path)
    (flight,) = province.catalog.flights.flights()
    assert province.tiles(flight.flight_id) == alone(tmp_path, first | others, {gone})
    assert province.catalog.frames.get(record(gone).frame_id).status is FrameStatus.WITHDRAWN


def test_the_province_hands_a_flight_back_to_the_box_that_calls_it_otherwise(tmp_path: Path) -> None:
    one, two, province = (new_box(tmp_path, name) for name in ("one", "two", "province"))
    one.lay({0, 1}, "f1")
    two.lay({0, 1, 2, 3}, "f2")
    for box in (two, one):
        province.read(box.write(tmp_path))
    one.read(province.write(tmp_path))
    two.read(province.write(tmp_path))
    assert one.tiles("f1") == two.tiles("f2") == alone(tmp_path, {0, 1, 2, 3})


def test_a_flight_whose_photos_lie_in_several_here_stays_out_but_for_what_it_withdraws(
    tmp_path: Path,
) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    province.lay({0, 1}, "f1")
    province.lay({4, 5}, "f2")
    box.lay({0, 1, 2, 4, 5}, "f3")
    box.withdraw(0, "f3")
    read = province.read(box.write(tmp_path))
    (apart,) = read.applied.conflicts
    assert apart.sentence.values["count"] == 2
    assert (read.applied.flights, {one.flight_id for one in province.catalog.flights.flights()}) == (
        (),
        {"f1", "f2"},
    )
    assert shown(province, "f1") == {record(1).frame_id}
    assert shown(province, "f2") == {record(4).frame_id, record(5).frame_id}
    assert province.settled_flights == ["f1"]
    other = new_box(tmp_path, "other")
    other.read(province.write(tmp_path))
    assert other.catalog.frames.get(record(0).frame_id).status is FrameStatus.WITHDRAWN


@pytest.mark.parametrize("is_known_first", [True, False])
def test_a_flight_that_stays_apart_brings_its_masks(tmp_path: Path, is_known_first: bool) -> None:
    """The leak: a home that was covered on the box is shown on the photos that lie in other flights here."""
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1, 2, 4, 5}, "f3")
    lines = [masked(0), masked(2)]  # of a photo that is here, and of one that is not
    box.catalog.redactions.append(lines)
    province.lay({0, 1}, "f1")
    province.lay({4, 5}, "f2")
    if is_known_first:
        province.read(box.write(tmp_path))
    (apart,) = province.read(box.write(tmp_path)).applied.conflicts
    assert apart.records.flight.flight_id == "f3"
    assert set(select_active_redactions(province.catalog.redactions.lines())) == set(lines)
    covered = load_redacted_ground(province.catalog)
    assert set(covered.photos) == {record(0).frame_id, record(2).frame_id}
    assert record(0).footprint_wkb is not None
    assert any(
        shapely.contains_properly(shapely.from_wkb(wkb), shapely.from_wkb(record(0).footprint_wkb))
        for _, wkb in covered.grounds
    ), "all that the photo here shows, until its ground is known as it lies here"
    assert province.arrived == ["f1"] * (1 + is_known_first), "it is worked out for the flight that has it"
    told_who = [(one.who, one.what) for one in province.catalog.audit.lines() if "mask" in one.what]
    assert told_who == [("Lan", "mask made")] * 2
    other = new_box(tmp_path, "other")
    other.read(province.write(tmp_path))
    assert [one.frame_id for one in select_active_redactions(other.catalog.redactions.lines())] == [
        record(0).frame_id
    ]


def test_pixels_of_two_sizes_and_of_two_systems_stay_apart(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0})
    province.lay({0})
    province.allow("field")
    given = read_records(box, "f1")
    assert isinstance(match_flight(province.catalog, given, "field"), FlightMatch)
    finer: tuple[MosaicInfo, ...] = (replace(given.mosaics[0], base_zoom=21),)
    zoom = match_flight(province.catalog, replace(given, mosaics=finer), "field")
    assert isinstance(zoom, FlightConflict)
    assert {20, 21} <= set(zoom.sentence.values.values())
    crs = match_flight(
        province.catalog, replace(given, flight=replace(given.flight, work_crs="EPSG:9210")), "field"
    )
    assert isinstance(crs, FlightConflict)
    assert {"EPSG:9210", "EPSG:32648"} <= set(crs.sentence.values.values())
