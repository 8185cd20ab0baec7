"""A withdrawal, from the command's recipe down: refolded, completed after a cut, and past damaged tiles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from flycam.model.flight import FlightState
from flycam.model.records import FrameStatus
from flycam.mosaic.amendments import withdraw_by_reference
from flycam.mosaic.tiles.codec import read_tile
from flycam.storage import keys
from tests.houses import House

MakeHouse = Callable[..., House]


def without(house: House, flight_id: str, frame_id: str) -> None:
    """No tile holds a pixel of the frame, and every tile reads."""
    heads = house.workspace.catalog.tiles.heads(f"{flight_id}-colour", 0)
    assert heads and all(frame_id not in read_tile(house.workspace.store, head).frames for head in heads)


def first_frame(house: House, flight_id: str) -> str:
    return house.workspace.catalog.frames.list_for_flight(flight_id)[0].frame_id


def test_a_frame_withdrawn_equals_never_having_flown_it(
    drill: DrillReport, card: Path, make_house: MakeHouse
) -> None:
    house, never = make_house(drill, "house"), make_house(drill, "never")
    flight_id = house.ingest(drill.photos).flight.flight_id
    record = house.workspace.catalog.frames.list_for_flight(flight_id)[2]
    report = withdraw_by_reference(house.workspace, record.header.provenance.source_name, "nhà dân", "UBND")
    assert (report.frames, report.flight.state) == (1, FlightState.READY)
    assert report.tiles > 0
    without(house, flight_id, record.frame_id)
    (card / record.header.provenance.source_name).unlink()
    other = never.ingest(card).flight.flight_id

    def pixels(of: House, flight: str) -> dict[str, bytes]:
        heads = of.workspace.catalog.tiles.heads(f"{flight}-colour", 0)
        tiles = [read_tile(of.workspace.store, head) for head in heads]
        return {str(t.tile_id): t.rgb.tobytes() + t.quality.tobytes() for t in tiles if t.frames}

    poses = [
        {
            r.frame_id: r.exterior
            for r in of.workspace.catalog.frames.list_for_flight(flight, FrameStatus.USED)
        }
        for of, flight in ((house, flight_id), (never, other))
    ]
    assert poses[0].keys() == poses[1].keys()
    if poses[0] == poses[1]:
        assert pixels(house, flight_id) == pixels(never, other)


def test_what_a_live_flight_saw_last_goes_with_what_was_withdrawn(
    drill: DrillReport, make_house: MakeHouse
) -> None:
    house = make_house(drill)
    flight_id = house.ingest(drill.photos).flight.flight_id
    store, record = house.workspace.store, house.workspace.catalog.frames.list_for_flight(flight_id)[2]
    taken_ns = [record.header.captured_ns + seconds * 10**9 for seconds in (-30, -1, 1, 30)]
    pictures = [keys.format_latest_image_key(flight_id, at) for at in taken_ns]
    other = keys.format_latest_image_key("other", record.header.captured_ns)
    for key in (*pictures, other):
        store.put(key, b"jpeg")
    withdraw_by_reference(house.workspace, record.frame_id, "nhà dân", "UBND")
    assert [store.exists(key) for key in pictures] == [True, False, False, True]
    withdraw_by_reference(house.workspace, flight_id, "nhà dân", "UBND")
    assert not any(store.exists(key) for key in pictures) and store.exists(other)


def test_a_withdrawal_cut_half_way_is_completed_by_the_same_command(
    drill: DrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(drill)
    flight_id = house.ingest(drill.photos).flight.flight_id
    frame_id = first_frame(house, flight_id)

    def power_cut(*_arguments: object, **_named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("flycam.mosaic.tiles.writer.MosaicWriter.rebuild", power_cut)
        with pytest.raises(KeyboardInterrupt):
            withdraw_by_reference(house.workspace, frame_id, "nhà dân", "UBND")
    report = withdraw_by_reference(house.workspace, frame_id, "nhà dân", "UBND")
    assert report.frames == 0 and report.tiles > 0
    without(house, flight_id, frame_id)


def test_damaged_tiles_in_the_way_are_made_again(drill: DrillReport, make_house: MakeHouse) -> None:
    house = make_house(drill)
    flight_id = house.ingest(drill.photos).flight.flight_id
    catalog, store = house.workspace.catalog, house.workspace.store
    heads = catalog.tiles.heads(f"{flight_id}-colour", 0)
    for number, head in enumerate(heads):
        if number % 3 == 0:
            store.delete(head.key)
        elif number % 3 == 1:
            store.put(head.key, store.get(head.key)[:-7])
    frame_id = first_frame(house, flight_id)
    assert withdraw_by_reference(house.workspace, frame_id, "nhà dân", "UBND").frames == 1
    without(house, flight_id, frame_id)
    whole = make_house(drill, "whole")
    whole.ingest(drill.photos)
    withdraw_by_reference(whole.workspace, frame_id, "nhà dân", "UBND")
    assert house.tiles(f"{flight_id}-colour") == whole.tiles(f"{flight_id}-colour")
