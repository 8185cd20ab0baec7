from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from flycam.geometry.grid import TileId
from flycam.serve.tiles.looks import Looks, square_of
from flycam.sync.desk import answer
from flycam.sync.lacking import lacking_of
from flycam.sync.manifest import Kind
from flycam.sync.steps import Giver
from flycam.sync.wishes import (
    Wish,
    is_wished,
    lonlat_of,
    views_in_order,
    wishes_from_values,
    wishes_to_values,
)
from tests.suites.catalog_suite import flight
from tests.sync.boxes import new_box
from tests.sync.logs import logged

TILES = [TileId(z=z, x=x, y=y) for z in (3, 4, 5) for x in range(4) for y in range(4)]
SQUARES = [Wish(zoom, lonlat_of(TileId(z=2, x=x, y=y))) for zoom in (2, 3, 4, 9) for x, y in ((0, 0), (1, 0))]


@given(
    tiles=st.lists(st.sampled_from(TILES), unique=True), wishes=st.lists(st.sampled_from(SQUARES), max_size=3)
)
def test_what_is_looked_at_goes_before_all_else_of_its_zoom_and_nothing_is_lost(
    tiles: list[TileId], wishes: list[Wish]
) -> None:
    lines = [logged(seq, tile_id) for seq, tile_id in enumerate(tiles, start=1)]
    ordered = views_in_order(lines, wishes)
    assert sorted(ordered, key=lambda one: one.seq) == lines
    ranks = [(one.tile_id.z, not is_wished(one.tile_id, wishes)) for one in ordered]
    assert ranks == sorted(ranks)
    assert views_in_order(reversed(lines), wishes) == ordered


def test_a_tile_finer_than_the_screen_or_beside_it_is_not_wished() -> None:
    square = TileId(z=4, x=3, y=3)
    wish = Wish(6, lonlat_of(square))
    assert is_wished(TileId(z=6, x=13, y=14), [wish])
    assert is_wished(TileId(z=1, x=0, y=0), [wish])
    assert not is_wished(TileId(z=7, x=26, y=28), [wish])
    assert not is_wished(TileId(z=6, x=16, y=14), [wish])  # the neighbour shares an edge


@given(st.lists(st.sampled_from(SQUARES), max_size=5))
def test_wishes_travel(wishes: list[Wish]) -> None:
    assert [one.zoom for one in wishes_from_values(wishes_to_values(wishes))] == [one.zoom for one in wishes]


@given(st.recursive(st.none() | st.text() | st.floats() | st.integers(), st.lists, max_leaves=20))
def test_whatever_a_server_says_is_no_trouble(said: object) -> None:
    for wish in wishes_from_values(said):
        assert is_wished(TileId(z=0, x=0, y=0), [wish]) in (True, False)


def test_looks_are_squares_of_the_last_minutes_the_latest_first() -> None:
    now_s = [0.0]
    looks = Looks(lambda: now_s[0])
    for x in range(8):
        looks.note(square_of(TileId(z=18, x=1000 + x, y=7)))
    looks.note(square_of(TileId(z=1, x=0, y=0)))
    first, *others = looks.wishes()
    assert (first.zoom, first.bounds) == (1, lonlat_of(TileId(z=0, x=0, y=0)))
    assert [(one.zoom, one.bounds) for one in others] == [
        (18, lonlat_of(TileId(z=16, x=x, y=1))) for x in (251, 250)
    ]
    now_s[0] = 599.0
    looks.note(square_of(TileId(z=18, x=1000, y=7)))
    now_s[0] = 700.0
    assert [one.zoom for one in looks.wishes()] == [18]
    for x in range(0, 4000, 4):
        looks.note(square_of(TileId(z=17, x=x, y=0)))
    assert len(looks.wishes()) == 16
    assert len(looks._seen) <= 256


def test_a_flight_that_is_looked_at_goes_first_from_the_next_step_on(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1})
    box.lay({2, 3}, "f2")
    away = flight("f2", name="bay f2")
    box.catalog.flights.put_flight(
        replace(away, last_ns=away.last_ns + 1, bounds_lonlat_deg=(10, 10, 11, 11))
    )
    giver = Giver(box.workspace)
    lacking = lacking_of(answer(province.workspace, giver.question(), "test"), "wire")
    giver.learn(lacking)
    sent: list[str] = []
    for step in giver.steps(lacking, lambda: 3000):
        kinds = {item.kind for item in step.manifest.items}
        if Kind.TILE in kinds:
            sent.append(next(item.tile.mosaic_id for item in step.manifest.items if item.tile))
            if len(sent) == 1:
                bounds = box.catalog.flights.flight("f1").bounds_lonlat_deg
                assert bounds is not None
                giver.wishes = (Wish(20, bounds),)
    assert [one.partition("-")[0] for one in sent[:2]] == ["f2", "f1"]  # the newest, then what is looked at
    assert {one.partition("-")[0] for one in sent} == {"f1", "f2"}
