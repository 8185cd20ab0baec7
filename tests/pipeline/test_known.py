"""Photos that the catalogue knows already: layer, event and withdrawal stay, and that is said."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from flycam.drill.drill import DrillReport
from flycam.errors import InputUnusable
from flycam.frame.flight import FlightState
from flycam.frame.warning import EVENT_KEPT, code_of, sentence
from flycam.pipeline.batch import ingest
from flycam.pipeline.opening import Labels
from flycam.pipeline.survey import SurveyRequest
from flycam.pipeline.withdraw import withdraw
from tests.houses import House

MakeHouse = Callable[..., House]


@pytest.mark.parametrize(("first", "asked"), [(None, "infrared"), ("night", "colour")])
def test_another_layer_for_photos_on_the_map_is_refused_and_changes_nothing(
    drill: DrillReport, make_house: MakeHouse, first: str | None, asked: str
) -> None:
    house = make_house(drill)
    before = house.ingest(drill.photos, layer=first).flight
    lines = len(house.workspace.catalog.audit.lines())
    with pytest.raises(InputUnusable, match=f"--layer {asked}.*{before.name}.*--data") as refused:
        house.ingest(drill.photos, layer=asked)
    assert before.name in str(refused.value.vi) and "--data" in str(refused.value.vi)
    catalog = house.workspace.catalog
    assert [one.layer.value for one in catalog.tiles.mosaics()] == [first or "colour"]
    assert (catalog.flights.flight(before.flight_id), len(catalog.audit.lines())) == (before, lines)
    cured = make_house(drill, "new folder").ingest(drill.photos, layer=asked)
    assert cured.used == drill.frames
    assert house.ingest(drill.photos, layer=first).used == drill.frames


def test_a_layer_given_once_holds_and_opens_no_empty_mosaic_later(
    drill: DrillReport, make_house: MakeHouse
) -> None:
    house = make_house(drill)
    house.ingest(drill.photos, layer="infrared")
    assert house.ingest(drill.photos).used == drill.frames
    assert [one.layer.value for one in house.workspace.catalog.tiles.mosaics()] == ["infrared"]


def test_new_photos_of_a_known_flight_may_be_of_another_layer(
    drill: DrillReport, card: Path, make_house: MakeHouse
) -> None:
    house = make_house(drill)
    late = card.parent / "late"
    late.mkdir()
    photos = sorted(card.iterdir())
    for photo in photos[3:]:
        photo.rename(late / photo.name)
    assert house.ingest(card).new == 3
    assert house.ingest(late, layer="infrared").new == drill.frames - 3


def test_withdrawn_photos_are_said_when_they_are_ingested_again(
    drill: DrillReport, make_house: MakeHouse
) -> None:
    house = make_house(drill)
    flight = house.ingest(drill.photos).flight
    frames = house.workspace.catalog.frames.of_flight(flight.flight_id)
    withdraw(house.workspace, frames[0].frame_id, "nhà dân", "UBND xã")
    (one,) = house.ingest(drill.photos).notes
    assert sentence(one).startswith("1 photo was withdrawn") and "nhà dân (UBND xã, 20" in sentence(one)
    withdraw(house.workspace, flight.flight_id, "test flight", "Ban chỉ huy")
    again = house.ingest(drill.photos)
    assert (again.used, again.new, again.flight.state) == (0, 0, FlightState.WITHDRAWN)
    said = [sentence(note, "vi") for note in again.notes]
    assert said[0].startswith("1 ảnh đã bị rút") and "nhà dân" in said[0]
    assert said[1].startswith(f"{drill.frames - 1} ảnh đã bị rút") and "test flight (Ban chỉ huy, " in said[1]


def test_an_event_that_comes_too_late_is_said(drill: DrillReport, make_house: MakeHouse) -> None:
    house = make_house(drill)
    request = SurveyRequest(paths=(drill.photos,))
    event = "DIỄN TẬP: bão"
    first = ingest(house.workspace, request, Labels(event=event))
    for same in (event, unicodedata.normalize("NFD", event), first.flight.event_id):
        assert ingest(house.workspace, request, Labels(event=same)).notes == ()
    later = ingest(house.workspace, request, Labels(event="DIỄN TẬP: lũ"))
    assert [code_of(note) for note in later.notes] == [EVENT_KEPT]
    assert event in sentence(later.notes[0]) and "--data" in sentence(later.notes[0], "vi")
    assert later.flight.event_id == first.flight.event_id
