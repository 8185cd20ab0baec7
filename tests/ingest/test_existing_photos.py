"""Photos that are known: event and withdrawal stay, and that is said; the layer is the operator's word."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from flycam.errors import DiskFull
from flycam.ingest.batch import ingest
from flycam.ingest.preflight_check import PreflightRequest
from flycam.model.flight import FlightState, Layer
from flycam.model.records import MosaicInfo, RevisionState
from flycam.model.warning import (
    EVENT_KEPT,
    LAYER_MOVED,
    NAME_KEPT,
    OPTIONS_IGNORED,
    describe_warning,
    parse_warning_code,
)
from flycam.mosaic.amendments import withdraw_by_reference
from flycam.mosaic.coverage import get_main_mosaic
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.tiles.codec import read_tile
from tests.houses import House
from tests.serve.finished import finish_by_hand
from tests.unreliable_stores import FaultyStore

MakeHouse = Callable[..., House]


def pixels(house: House, mosaic_id: str) -> dict[str, bytes]:
    """Colours, qualities and sources of every tile that shows anything, base and parents."""
    store = house.workspace.store
    tiles = [read_tile(store, head) for head in house.workspace.catalog.tiles.heads(mosaic_id, 0)]
    return {
        str(tile.tile_id): tile.rgb.tobytes() + tile.quality.tobytes() + tile.source.tobytes()
        for tile in tiles
        if tile.quality.any()
    }


def test_photos_on_the_map_are_moved_to_the_layer_that_the_operator_names(
    drill: DrillReport, make_house: MakeHouse
) -> None:
    first, layer = "night", "colour"
    house, straight = make_house(drill), make_house(drill, "straight")
    flight_id = house.ingest(drill.photos, layer=first).flight.flight_id
    straight.ingest(drill.photos, layer=layer)
    poses = {one.frame_id: one.exterior for one in house.workspace.catalog.frames.list_for_flight(flight_id)}
    moved = house.ingest(drill.photos, layer=layer)
    assert (moved.used, moved.new, moved.reprocessed) == (drill.frames, 0, 0)
    (note,) = moved.notes
    assert (parse_warning_code(note), describe_warning(note).count) == (LAYER_MOVED, drill.frames)
    catalog = house.workspace.catalog
    assert pixels(house, f"{flight_id}-{layer}") == pixels(straight, f"{flight_id}-{layer}") != {}
    assert pixels(house, f"{flight_id}-{first}") == {}
    assert [one.layer.value for one in catalog.tiles.mosaics(flight_id) if one.published] == [layer]
    assert get_main_mosaic(house.workspace, flight_id).layer == layer
    assert [one.covered_m2 for one in moved.communes] == [
        one.covered_m2 for one in straight.workspace.catalog.boundaries.coverage(flight_id)
    ]
    for record in catalog.frames.list_for_flight(flight_id):
        before = poses[record.frame_id]
        assert before is not None and record.exterior == replace(before, version=before.version + 1)
    assert catalog.audit.lines()[-2].what == "layer"
    lines = catalog.tiles.last_seq(f"{flight_id}-{layer}")
    for again in (house.ingest(drill.photos), house.ingest(drill.photos, layer=layer)):
        assert (again.used, again.new, again.notes) == (drill.frames, 0, ())
    assert catalog.tiles.last_seq(f"{flight_id}-{layer}") == lines


def test_a_part_of_a_flight_is_moved_and_finished_revisions_that_hold_it_are_retired(
    drill: DrillReport, card: Path, make_house: MakeHouse
) -> None:
    house, straight = make_house(drill), make_house(drill, "straight")
    flight_id = house.ingest(card).flight.flight_id
    number = finish_by_hand(house.workspace, flight_id)
    late = card.parent / "late"
    late.mkdir()
    for photo in sorted(card.iterdir())[4:]:
        photo.rename(late / photo.name)
    moved = house.ingest(late, layer="infrared")
    assert (moved.used, moved.in_flight) == (2, drill.frames)
    catalog = house.workspace.catalog
    record = catalog.revisions.get(f"{flight_id}-colour", number)
    assert record.state is RevisionState.RETIRED and "infrared" in record.why
    shown = [(one.layer.value, one.revision) for one in catalog.tiles.mosaics(flight_id) if one.published]
    assert shown == [("colour", 0), ("infrared", 0)]
    straight.ingest(card)
    straight.ingest(late, layer="infrared")
    other = straight.workspace.catalog.flights.flights()
    by_layer = {one.layer: one.mosaic_id for each in other for one in _mosaics(straight, each.flight_id)}
    for layer in ("colour", "infrared"):
        assert pixels(house, f"{flight_id}-{layer}") == pixels(straight, by_layer[Layer(layer)])


def _mosaics(house: House, flight_id: str) -> list[MosaicInfo]:
    return house.workspace.catalog.tiles.mosaics(flight_id)


def test_a_move_that_was_stopped_is_completed_by_the_next_ingest(
    drill: DrillReport, make_house: MakeHouse
) -> None:
    house, straight = make_house(drill), make_house(drill, "straight")
    flight_id = house.ingest(drill.photos).flight.flight_id
    straight.ingest(drill.photos, layer="infrared")
    left = iter(range(2))

    def full(operation: str, key: str) -> Exception | None:
        is_tile = operation == "put" and key.startswith("mosaics/")
        return DiskFull("full") if is_tile and next(left, None) is None else None

    stopped = replace(house.workspace, store=FaultyStore(house.workspace.store, full))
    with pytest.raises(DiskFull):
        ingest(stopped, PreflightRequest(paths=(drill.photos,), layer="infrared"), FlightLabels())
    done = house.ingest(drill.photos)
    assert (done.used, done.flight.state) == (drill.frames, FlightState.READY)
    assert pixels(house, f"{flight_id}-infrared") == pixels(straight, f"{flight_id}-infrared")
    assert pixels(house, f"{flight_id}-colour") == {}
    mosaics = house.workspace.catalog.tiles.mosaics(flight_id)
    assert [one.layer.value for one in mosaics if one.published] == ["infrared"]


def test_withdrawn_photos_are_said_when_they_are_ingested_again(
    drill: DrillReport, make_house: MakeHouse
) -> None:
    house = make_house(drill)
    flight = house.ingest(drill.photos).flight
    frames = house.workspace.catalog.frames.list_for_flight(flight.flight_id)
    withdraw_by_reference(house.workspace, frames[0].frame_id, "nhà dân", "UBND xã")
    withdraw_by_reference(house.workspace, flight.flight_id, "test flight", "Ban chỉ huy")
    again = house.ingest(drill.photos)
    assert (again.used, again.new, again.flight.state) == (0, 0, FlightState.WITHDRAWN)
    values = [describe_warning(note).values for note in again.notes]
    assert [(one["reason"], one["authority"]) for one in values] == [
        ("nhà dân", "UBND xã"),
        ("test flight", "Ban chỉ huy"),
    ]
    assert [describe_warning(note).count for note in again.notes] == [1, drill.frames - 1]


def test_options_that_come_too_late_are_said_until_the_flight_is_laid_by_them(
    drill: DrillReport, make_house: MakeHouse
) -> None:
    house = make_house(drill)
    flight = house.ingest(drill.photos).flight
    late = PreflightRequest(paths=(drill.photos,), takeoff=250.0, height_mode="absolute")
    (note,) = ingest(house.workspace, late, FlightLabels()).notes
    assert (parse_warning_code(note), describe_warning(note).count) == (OPTIONS_IGNORED, drill.frames)
    assert {"--takeoff", "--height"} <= {*describe_warning(note).values["options"].replace(",", " ").split()}
    again = ingest(house.workspace, late, FlightLabels(), reprocess=True)
    assert again.reprocessed == drill.frames and OPTIONS_IGNORED not in map(parse_warning_code, again.notes)
    assert again.flight.flight_id == flight.flight_id
    assert ingest(house.workspace, late, FlightLabels()).notes == (), "they lie as asked now"


def test_photos_that_come_again_keep_the_name_and_event_of_their_flight(
    drill: DrillReport, make_house: MakeHouse
) -> None:
    house = make_house(drill)
    request, name, event = PreflightRequest(paths=(drill.photos,)), "sáng", "DIỄN TẬP: bão"
    first = ingest(house.workspace, request, FlightLabels(name=name, event=event))
    decomposed = FlightLabels(
        name=unicodedata.normalize("NFD", name), event=unicodedata.normalize("NFD", event)
    )
    for same in (decomposed, FlightLabels(event=first.flight.event_id)):
        assert ingest(house.workspace, request, same).notes == ()
    later = ingest(house.workspace, request, FlightLabels(name="chiều", event="DIỄN TẬP: lũ"))
    kept = {parse_warning_code(note): describe_warning(note).values["kept"] for note in later.notes}
    assert kept == {NAME_KEPT: name, EVENT_KEPT: event}
    assert house.workspace.catalog.flights.flight(later.flight.flight_id).name == name
    assert later.flight.event_id == first.flight.event_id


def test_what_was_withdrawn_is_not_moved(drill: DrillReport, make_house: MakeHouse) -> None:
    house = make_house(drill)
    flight = house.ingest(drill.photos).flight
    gone = house.workspace.catalog.frames.list_for_flight(flight.flight_id)[0].frame_id
    withdraw_by_reference(house.workspace, gone, "nhà dân", "UBND xã")
    assert house.ingest(drill.photos, layer="infrared").used == drill.frames - 1
    assert house.workspace.catalog.frames.get(gone).header.layer is Layer.COLOUR
    withdraw_by_reference(house.workspace, flight.flight_id, "test flight", "Ban chỉ huy")
    assert pixels(house, f"{flight.flight_id}-infrared") == {}
