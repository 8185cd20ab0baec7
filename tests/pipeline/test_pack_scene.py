"""A meeting pack holds what whoever asks for it may see, and is marked as strictly as what is in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from flycam.catalog.withholdings import withholding_of
from flycam.errors import AccessDenied, NotFound
from flycam.frame.change import ChangeStatus
from flycam.frame.classification import Classification
from flycam.frame.mark import MarkKind, MarkStatus
from flycam.frame.settlement import Access
from flycam.frame.specialist import LayerKind
from flycam.pipeline.marks import MarkAsked, write_mark
from flycam.pipeline.pack import PackRequest, pack
from flycam.pipeline.pack_gathering import gather_pack
from flycam.pipeline.pack_scene import scene_of
from flycam.pipeline.people import add_user
from flycam.pipeline.restricting import classify_flight, classify_layer
from flycam.pipeline.settlements import SettlementAsked, say_access
from flycam.report.pack_figures import Letterhead, PackFigures
from tests.pipeline.impacted import add_things, changed, line, point, square
from tests.serve.world import LAT, LON, REAL, World, make_world

FOUR = "Nậm Lúc, Bản Liền, Mường Đăng, Phường Đông Cuông"


@dataclass(frozen=True)
class House:
    world: World
    packed: Callable[[str | None], PackFigures]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Marks in the communes of "xã" and 50 km off, an open layer of roads, restricted ones of houses and of
    settlements."""
    folder = tmp_path_factory.mktemp("seen")
    world = make_world(folder / "world")
    workspace = world.workspace
    for number, (lon, lat) in enumerate([(LON + 0.001, LAT - 0.001), (LON + 0.5, LAT)], 1):
        asked = MarkAsked(
            mark_id=f"mark-0000000{number}", based_on=0, event_id=REAL, kind=MarkKind.RESCUE,
            status=MarkStatus.OPEN, note=f"số {number}", places=[(lon, lat)],
        )  # fmt: skip
        write_mark(workspace, asked, "Lan")
    slide = changed("change-00000001", square(400, -400, 80), event_id=REAL, status=ChangeStatus.ACCEPTED)
    workspace.catalog.changes.append([slide])
    add_things(workspace, folder, "Đường bộ", LayerKind.ROAD, [("ĐT 153", line((300, -360), (600, -360)))])
    houses = add_things(workspace, folder, "Nhà dân", LayerKind.HOUSE, [("nhà ông A", point(410, -390))])
    villages = add_things(workspace, folder, "Bản", LayerKind.SETTLEMENT, [("Bản Kín", point(200, -120))])
    asked = SettlementAsked(event=REAL, settlement="Bản Kín", access=Access.ISOLATED)
    say_access(workspace, asked, "Minh")
    for layer in (houses, villages):
        classify_layer(workspace, layer.layer_id, Classification.RESTRICTED, "admin")
    people = {
        name: add_user(workspace, name, role, communes)[0]
        for name, role, communes in (("xã", "operator", FOUR), ("tỉnh", "analyst", None))
    }

    def packed(name: str | None) -> PackFigures:
        seen = {} if name is None else {"withholding": withholding_of(workspace.catalog, people[name])}
        scene = scene_of(workspace, [world.after], **seen)
        return gather_pack(workspace, scene, {}, Letterhead(), "")

    return House(world, packed)


def notes(figures: PackFigures) -> list[str]:
    marks = [*figures.loose_marks, *(mark for one in figures.communes for mark in one.marks)]
    return sorted(one.note for one in marks)


def test_a_pack_for_an_account_of_communes_holds_no_mark_beyond_them(house: House) -> None:
    assert notes(house.packed(None)) == notes(house.packed("tỉnh")) == ["số 1", "số 2"]
    assert notes(house.packed("xã")) == ["số 1"]


def test_layers_of_a_class_that_is_not_seen_are_left_out(house: House) -> None:
    everything, theirs = house.packed("tỉnh"), house.packed("xã")
    for figures, sees in ((everything, True), (theirs, False)):
        (change,) = figures.changes
        assert {one.name for one in change.layers} == ({"Đường bộ", "Nhà dân"} if sees else {"Đường bộ"})
        assert (change.counts[LayerKind.HOUSE] is not None) is sees, "not known, never none"
        assert [one.name for one in figures.settlements] == (["Bản Kín"] if sees else [])
        assert [road.name for road in change.roads_cut] == ["ĐT 153"]


def test_a_pack_is_marked_as_the_strictest_of_what_is_in_it(house: House) -> None:
    assert house.packed("xã").classification is Classification.OPEN
    assert house.packed("tỉnh").classification is Classification.RESTRICTED
    assert house.packed(None).classification is Classification.RESTRICTED


def test_a_layer_of_settlements_alone_raises_the_class(house: House) -> None:
    workspace = house.world.workspace
    (layer,) = [one for one in workspace.catalog.layers.all() if one.kind is LayerKind.HOUSE]
    classify_layer(workspace, layer.layer_id, Classification.OPEN, "admin")
    try:
        assert house.packed("tỉnh").classification is Classification.RESTRICTED
    finally:
        classify_layer(workspace, layer.layer_id, Classification.RESTRICTED, "admin")


def test_the_command_packs_by_the_eyes_of_an_account(house: House, tmp_path: Path) -> None:
    workspace, flights = house.world.workspace, (house.world.after,)
    report = pack(workspace, PackRequest(flights=flights, seen_by="xã"), tmp_path / "pack")
    assert report.classification is Classification.OPEN
    with pytest.raises(NotFound):
        pack(workspace, PackRequest(flights=flights, seen_by="không có"), tmp_path / "other")


def test_a_flight_that_is_withheld_or_reaches_beyond_is_in_no_pack(house: House) -> None:
    workspace, after = house.world.workspace, house.world.after
    narrow, _ = add_user(workspace, "một xã", "operator", "Nậm Lúc")
    with pytest.raises(AccessDenied):
        scene_of(workspace, [after], withholding_of(workspace.catalog, narrow))
    classify_flight(workspace, after, Classification.RESTRICTED, "admin")
    try:
        wide = next(one for one in workspace.catalog.accounts.all() if one.name == "xã")
        with pytest.raises(NotFound):
            scene_of(workspace, [after], withholding_of(workspace.catalog, wide))
    finally:
        classify_flight(workspace, after, Classification.OPEN, "admin")
