"""Lost and damaged tile objects are made again by the same ingest, under the same keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from flycam.model.frame import TileRecord
from flycam.model.warning import TILES_REPAIRED, parse_warning_code
from flycam.mosaic.tiles.codec import read_tile
from tests.houses import House

MakeHouse = Callable[..., House]
Choice = Callable[[list[TileRecord]], list[TileRecord]]


def heads_of(house: House, flight_id: str) -> list[TileRecord]:
    return house.workspace.catalog.tiles.heads(f"{flight_id}-colour", 0)


def spoil(house: House, heads: list[TileRecord]) -> None:
    """Every second object is lost, the others are cut, flipped, or another tile's bytes."""
    store = house.workspace.store
    for number, head in enumerate(heads):
        data = store.get(head.key)
        if number % 2 == 0:
            store.delete(head.key)
        else:
            middle = len(data) // 2
            bad = [data[:-9], data[:middle] + bytes([data[middle] ^ 64]) + data[middle + 1 :], b""]
            store.put(head.key, bad[number // 2 % 3])


def whole(house: House, flight_id: str) -> bool:
    return all(read_tile(house.workspace.store, head) for head in heads_of(house, flight_id))


@pytest.mark.parametrize(
    "choose",
    [
        lambda heads: [h for h in heads if h.tile_id.z < max(o.tile_id.z for o in heads)],
        lambda heads: heads,
    ],
    ids=["parents", "all"],
)
def test_made_again_by_the_same_ingest_under_the_same_keys(
    drill: DrillReport, make_house: MakeHouse, choose: Choice
) -> None:
    house = make_house(drill)
    flight_id = house.ingest(drill.photos).flight.flight_id
    before = heads_of(house, flight_id)
    spoiled = choose(before)
    spoil(house, spoiled)
    report = house.ingest(drill.photos)
    assert (report.repaired, report.new) == (len(spoiled), 0)
    assert [parse_warning_code(note) for note in report.notes] == [TILES_REPAIRED]
    assert heads_of(house, flight_id) == before, "no line in the log: the states are the same"
    assert whole(house, flight_id)
    assert house.ingest(drill.photos).repaired == 0


def test_damage_and_frames_that_come_later_at_once(
    drill: DrillReport, card: Path, make_house: MakeHouse
) -> None:
    house, calm = make_house(drill), make_house(drill, "calm")
    late = sorted(card.iterdir())[-1]
    late = late.rename(card.parent / late.name)
    flight_id = house.ingest(card).flight.flight_id
    calm.ingest(card)
    spoil(house, heads_of(house, flight_id))
    late.rename(card / late.name)
    assert house.ingest(card).new == calm.ingest(card).new == 1
    assert whole(house, flight_id)
    assert house.tiles(f"{flight_id}-colour") == calm.tiles(f"{flight_id}-colour")


@pytest.mark.parametrize("bad", [b"FCTG1 of something else"])
def test_a_recorded_terrain_that_the_store_lost_or_spoiled_comes_back(
    drill: DrillReport, make_house: MakeHouse, bad: bytes | None
) -> None:
    house = make_house(drill)
    flight_id = house.ingest(drill.photos).flight.flight_id
    store = house.workspace.store
    (key,) = store.list("terrain/")
    posts = store.get(key)
    store.delete(key)
    if bad is not None:
        store.put(key, bad)
    spoil(house, heads_of(house, flight_id))
    assert house.ingest(drill.photos).reprocessed == 0
    assert store.get(key) == posts and whole(house, flight_id)
