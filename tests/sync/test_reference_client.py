"""The way back: what a province holds in common comes to a box, once, whole, whatever is cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.access.policy import AccessPolicy
from flycam.model.access import Role
from flycam.model.board import ChangeStatus
from flycam.model.flight import Classification
from flycam.sync.reference_feed import ReferenceKind, build_feed
from tests.sync.boxes import EVENT, new_box
from tests.sync.common_world import (
    AREA,
    MASTS,
    STORM_COMPARED,
    STORM_FOUND,
    commune,
    decision,
    evidence_is_whole,
    exchange,
    furnish,
    put_layer,
    standing,
)
from tests.sync.lines import Wire


def test_all_of_it_comes_and_a_second_run_transfers_nothing(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    furnish(province, tmp_path)
    province.catalog.restrictions.classify(MASTS.layer_id, Classification.INTERNAL, 5)
    wire = Wire(province, tmp_path)
    got, _ = exchange(box, wire, tmp_path)
    assert got.item_counts == {"area": 1, "changes": 1, "communes": 2, "layer": 1, "terrain": 1}
    assert (got.left_bytes, got.conflicts) == (0, [])
    assert standing(box) == standing(province)
    assert evidence_is_whole(box)
    assert {line.who for line in box.catalog.audit.lines() if line.what != "key"} == {"province"}
    requests, lines = wire.requests, len(box.catalog.audit.lines())
    again, _ = exchange(box, wire, tmp_path)
    assert (again.item_counts, wire.requests - requests) == ({}, 1)  # the question that both ways share
    assert len(box.catalog.audit.lines()) == lines
    assert list((tmp_path / "way").rglob("*.part")) == []


def test_only_what_is_new_comes(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    furnish(province, tmp_path)
    wire = Wire(province, tmp_path)
    exchange(box, wire, tmp_path)
    put_layer(province, replace(MASTS, refreshed_ns=40), lons=(104.81, 104.85, 104.86))
    province.catalog.boundaries.put_communes([commune("02650", "Mường Hoa mới", 104.9)])
    got, _ = exchange(box, wire, tmp_path)
    assert got.item_counts == {"communes": 1, "layer": 1}
    assert standing(box) == standing(province)


@given(
    cuts=st.lists(st.integers(1, 4_000), max_size=8), budgets=st.lists(st.integers(9_000, 14_000), max_size=3)
)
@settings(deadline=None, max_examples=3)
def test_whatever_is_cut_all_of_it_comes_and_hardly_a_byte_twice(cuts: list[int], budgets: list[int]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        box, province = new_box(folder, "field"), new_box(folder, "province")
        furnish(province, folder)
        wire = Wire(province, folder, cuts)
        for budget in budgets:
            _, sent = exchange(box, wire, folder, budget_bytes=budget)
            assert sent.sent_bytes + sent.received_bytes <= budget
        exchange(box, wire, folder)
        assert standing(box) == standing(province)
        whole = sum(one.size_bytes for one in build_feed(province.workspace, wire.policy).items)
        assert whole - 512 * len(cuts) <= wire.bytes_back <= whole  # blocks that were cut are not counted


def test_what_the_province_cannot_read_holds_nothing_up_and_is_said(tmp_path: Path) -> None:
    kind = ReferenceKind.TERRAIN
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    furnish(province, tmp_path)
    wire = Wire(province, tmp_path)
    lost = next(one for one in build_feed(province.workspace, wire.policy).items if one.kind is kind)
    wire.unreadable = lost.sha256
    got, _ = exchange(box, wire, tmp_path)
    assert [one.name for one in got.conflicts] == [lost.name]
    assert sum(got.item_counts.values()) == 5  # of six
    wire.unreadable = ""
    got, _ = exchange(box, wire, tmp_path)
    assert (got.item_counts, got.conflicts) == ({kind: 1}, [])
    assert standing(box) == standing(province)


def test_what_cannot_be_kept_here_does_not_stop_the_way_up(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1, 2})
    furnish(province, tmp_path)
    (tmp_path / "way").write_bytes(b"")  # as where the disk is full: nothing can be written below it
    wire = Wire(province, tmp_path)
    for _ in range(2):
        got, sent = exchange(box, wire, tmp_path)
        assert (got.item_counts, sent.left_bytes, len(got.conflicts)) == ({}, 0, 1)
    assert province.tiles() == box.tiles()
    (tmp_path / "way").unlink()
    got, _ = exchange(box, wire, tmp_path)
    assert standing(box) == standing(province)


def test_terrain_waits_for_a_line_that_does_not_cost(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    furnish(province, tmp_path)
    wire = Wire(province, tmp_path)
    got, _ = exchange(box, wire, tmp_path, metered=True)
    assert got.metered_bytes == got.left_bytes > 0
    assert "terrain" not in got.item_counts
    assert got.left_bytes > 5_000
    got, _ = exchange(box, wire, tmp_path)
    assert got.item_counts == {"terrain": 1}


def test_what_is_withheld_from_a_box_does_not_travel(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    furnish(province, tmp_path)
    wire = Wire(province, tmp_path)
    wire.policy = AccessPolicy(areas=[STORM_FOUND.wkb], layers=frozenset({MASTS.layer_id}))
    got, _ = exchange(box, wire, tmp_path)
    assert {"changes", "layer"}.isdisjoint(got.item_counts)
    assert (box.catalog.layers.all(), box.catalog.changes.events()) == ([], set())


def test_a_box_for_some_communes_gets_what_lies_in_them(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    furnish(province, tmp_path)
    wire = Wire(province, tmp_path)
    wire.policy = AccessPolicy(within=STORM_FOUND.wkb)
    put_layer(province, lons=(104.805, 105.5))
    exchange(box, wire, tmp_path)
    (layer,) = box.catalog.layers.all()
    assert (layer.features, layer.troubles, layer.bounds_lonlat_deg[2]) == (1, 0, 104.805)
    assert box.catalog.restrictions.areas() == []  # it lies elsewhere


def test_a_layer_that_is_withheld_by_now_is_hidden_here(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    furnish(province, tmp_path)
    wire = Wire(province, tmp_path)
    exchange(box, wire, tmp_path)
    wire.policy = AccessPolicy(layers=frozenset({MASTS.layer_id}))
    got, _ = exchange(box, wire, tmp_path)
    assert box.catalog.restrictions.level(MASTS.layer_id) is Classification.RESTRICTED
    assert [one.name for one in got.conflicts] == [MASTS.name]
    box.catalog.restrictions.classify(MASTS.layer_id, Classification.OPEN, 9)
    put_layer(province, replace(MASTS, layer_id="layer-2", name="Kho"))
    exchange(box, wire, tmp_path)
    assert box.catalog.restrictions.level(MASTS.layer_id) is Classification.OPEN  # who lifts it here lifts it


@pytest.mark.parametrize("own_ns", [15, 50])
def test_the_later_of_two_decisions_on_a_layer_holds_and_it_is_said(tmp_path: Path, own_ns: int) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    put_layer(box, replace(MASTS, refreshed_ns=own_ns, owner="Trạm"), lons=(104.9,))
    furnish(province, tmp_path)
    got, _ = exchange(box, Wire(province, tmp_path), tmp_path)
    is_own = own_ns > MASTS.refreshed_ns
    assert box.catalog.layers.get(MASTS.name).owner == ("Trạm" if is_own else MASTS.owner)
    assert [one.name for one in got.conflicts] == ([MASTS.name] if is_own else [])
    told = [line.what for line in box.catalog.audit.lines() if line.subject == MASTS.layer_id]
    assert told == ([] if is_own else ["layer add"])


@pytest.mark.parametrize(
    ("own_ns", "own_roles"), [(50, frozenset[Role]()), (5, frozenset({Role.ADMIN, Role.VIEWER}))]
)
def test_the_stricter_of_two_decisions_on_an_area_holds_whatever_the_clocks_say(
    tmp_path: Path, own_ns: int, own_roles: frozenset[Role]
) -> None:
    """The ground of both is hidden from all who may not see one of them, also when it comes again."""
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    beside = shapely.box(104.95, 21.9, 104.96, 21.91)
    box.catalog.restrictions.put(
        replace(AREA, added_ns=own_ns, roles=own_roles, sha256="1" * 64, wkb=beside.wkb)
    )
    furnish(province, tmp_path)
    wire = Wire(province, tmp_path)
    got, _ = exchange(box, wire, tmp_path)
    assert [one.name for one in got.conflicts] == [AREA.name]
    province.catalog.restrictions.put(replace(AREA, added_ns=60))
    exchange(box, wire, tmp_path)
    (area,) = box.catalog.restrictions.areas()
    assert area.roles == own_roles & AREA.roles
    assert shapely.equals(shapely.from_wkb(area.wkb), shapely.union(beside, shapely.from_wkb(AREA.wkb)))


def test_what_was_removed_here_comes_back_only_when_it_is_entered_there_again(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    furnish(province, tmp_path)
    wire = Wire(province, tmp_path)
    exchange(box, wire, tmp_path)
    box.catalog.layers.remove(MASTS.layer_id)
    province.catalog.restrictions.put(replace(AREA, added_ns=11))
    exchange(box, wire, tmp_path)
    assert box.catalog.layers.all() == []
    put_layer(province, replace(MASTS, refreshed_ns=77))
    exchange(box, wire, tmp_path)
    assert [one.name for one in box.catalog.layers.all()] == [MASTS.name]


def test_a_decision_of_this_box_holds_until_a_later_one_there(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    furnish(province, tmp_path)
    wire = Wire(province, tmp_path)
    exchange(box, wire, tmp_path)
    changes = box.catalog.changes
    (standing_here,) = changes.current()
    own = decision(standing_here, "own", 100, ChangeStatus.REJECTED)
    changes.append([own])
    (there,) = province.catalog.changes.current()
    undone = decision(there, "step-2", 90, ChangeStatus.REJECTED)
    province.catalog.changes.append([undone])
    province.catalog.changes.append([decision(undone, "step-3", 95)])
    got, _ = exchange(box, wire, tmp_path)
    assert changes.current() == [own]
    assert [one.name for one in got.conflicts] == [own.change_id]
    (there,) = province.catalog.changes.current()
    province.catalog.changes.append([decision(there, "step-4", 200)])
    exchange(box, wire, tmp_path)
    (now,) = changes.current()
    assert (now.step_id, now.status) == ("step-4", ChangeStatus.ACCEPTED)
    assert own in changes.history(own.change_id)


def test_ground_that_was_compared_travels_once_all_that_was_found_on_it_does(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    wire = Wire(province, tmp_path)
    province.catalog.flights.put_event(EVENT)
    province.catalog.changes.append([STORM_FOUND])
    province.catalog.comparisons.add([STORM_COMPARED])
    exchange(box, wire, tmp_path)
    assert box.catalog.comparisons.events() == set(), "a candidate waits: nothing found would be said there"
    province.catalog.changes.append([decision(STORM_FOUND, "step-1", 9, ChangeStatus.REJECTED)])
    exchange(box, wire, tmp_path)
    assert box.catalog.comparisons.list_for_event(EVENT.event_id) == [STORM_COMPARED]
    assert box.catalog.changes.events() == set()
    other = replace(STORM_COMPARED, comparison_id="compared-2", after_shown="m3@1")
    province.catalog.comparisons.add([other])
    exchange(box, wire, tmp_path)
    assert box.catalog.comparisons.list_for_event(EVENT.event_id) == [STORM_COMPARED, other]
    assert box.catalog.comparisons.stamp() == 2, "each came once"
