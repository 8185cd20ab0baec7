"""A meeting pack holds what whoever asks for it may see, and is marked as strictly as what is in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import shapely

from flycam.access.accounts import add_user
from flycam.access.policy import load_access_policy
from flycam.access.restrictions import set_flight_classification, set_layer_classification
from flycam.board.commune_board import FlightCoverage
from flycam.board.marks import AccessReport, MarkEdit, report_access, write_mark
from flycam.errors import AccessDenied, NotFound
from flycam.model.board import Access, ChangeStatus, LayerKind, MarkKind, MarkStatus, rank_mark
from flycam.model.flight import Classification
from flycam.reports.briefing import contents
from flycam.reports.briefing.contents import gather_contents
from flycam.reports.briefing.document import build_pack_document
from flycam.reports.briefing.figures import Letterhead, PackFigures, gather_pack_figures
from flycam.reports.briefing.workflow import PackRequest, write_briefing_pack
from flycam.reports.layout import Heading, Paragraph, Table
from flycam.workspace import Workspace
from tests.change.impacted import add_things, changed, line, point, square
from tests.serve.world import LAT, LON, REAL, World, make_world

FOUR = "Nậm Lúc, Bản Liền, Mường Đăng, Phường Đông Cuông"


@dataclass(frozen=True)
class Node:
    world: World
    packed: Callable[[str | None], PackFigures]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Marks in the communes of "xã" and 50 km off, an open layer of roads, restricted ones of houses and of
    settlements."""
    folder = tmp_path_factory.mktemp("seen")
    world = make_world(folder / "world")
    workspace = world.workspace
    for number, (lon, lat) in enumerate([(LON + 0.001, LAT - 0.001), (LON + 0.5, LAT)], 1):
        edits = MarkEdit(
            mark_id=f"mark-0000000{number}", based_on=0, event_id=REAL, kind=MarkKind.RESCUE,
            status=MarkStatus.OPEN, note=f"số {number}", places=[(lon, lat)],
        )  # fmt: skip
        write_mark(workspace, edits, "Lan")
    slide = changed("change-00000001", square(400, -400, 80), event_id=REAL, status=ChangeStatus.ACCEPTED)
    workspace.catalog.changes.append([slide])
    add_things(workspace, folder, "Đường bộ", LayerKind.ROAD, [("ĐT 153", line((300, -360), (600, -360)))])
    houses = add_things(workspace, folder, "Nhà dân", LayerKind.HOUSE, [("nhà ông A", point(410, -390))])
    villages = add_things(workspace, folder, "Bản", LayerKind.SETTLEMENT, [("Bản Kín", point(200, -120))])
    report = AccessReport(event=REAL, settlement="Bản Kín", access=Access.ISOLATED)
    report_access(workspace, report, "Minh")
    for layer in (houses, villages):
        set_layer_classification(workspace, layer.layer_id, Classification.RESTRICTED, "admin")
    people = {
        name: add_user(workspace, name, role, communes)[0]
        for name, role, communes in (("xã", "operator", FOUR), ("tỉnh", "analyst", None))
    }

    def packed(name: str | None) -> PackFigures:
        seen = {} if name is None else {"policy": load_access_policy(workspace.catalog, people[name])}
        scene = gather_contents(workspace, [world.after], **seen)
        return gather_pack_figures(workspace, scene, {}, Letterhead(), "")

    return Node(world, packed)


def notes(figures: PackFigures) -> list[str]:
    marks = [*figures.loose_marks, *(mark for one in figures.communes for mark in one.marks)]
    return sorted(one.note for one in marks)


def test_a_pack_for_an_account_of_communes_holds_no_mark_beyond_them(node: Node) -> None:
    assert notes(node.packed(None)) == notes(node.packed("tỉnh")) == ["số 1", "số 2"]
    assert notes(node.packed("xã")) == ["số 1"]


def test_people_to_rescue_that_nobody_took_up_come_first_and_are_said_not_to_be_verified(
    node: Node,
) -> None:
    """Whatever work on them is called: a new mark may be somebody on a roof."""
    workspace, here = node.world.workspace, (LON + 0.001, LAT - 0.001)
    edits = [
        MarkEdit(
            mark_id=f"mark-00000c0{number}", based_on=0, event_id=REAL, kind=kind, status=status,
            note=f"ghi {number}", places=[here],
        )
        for number, (kind, status) in enumerate(
            [
                (MarkKind.RESCUE, MarkStatus.DONE),
                (MarkKind.CRACK, MarkStatus.OPEN),
                (MarkKind.BLOCKED, MarkStatus.DOING),
                (MarkKind.RESCUE, MarkStatus.DOING),
            ]
        )
    ]  # fmt: skip
    for one in edits:
        write_mark(workspace, one, "Lan")
    try:
        figures = node.packed(None)
        by_number = {mark.number: mark for one in figures.communes for mark in one.marks}
        by_number |= {mark.number: mark for mark in figures.loose_marks}
        stands = [(by_number[number].kind, by_number[number].status) for number in sorted(by_number)]
        assert stands == sorted(stands, key=lambda one: rank_mark(*one))
        assert stands[0] == (MarkKind.RESCUE, MarkStatus.OPEN)
        rescue, new = "NGƯỜI CẦN CỨU", "chưa xác minh"
        document = build_pack_document(figures, "vi")
        blocks = list(document.blocks)
        summary = next(n for n, one in enumerate(blocks) if isinstance(one, Heading))
        first, second = blocks[summary + 1 : summary + 3]
        assert isinstance(first, Paragraph) and isinstance(second, Paragraph)
        assert first.text.startswith(rescue) and first.text.count(new) == 2, "ghi 3 is in hand"
        assert "ghi 3" in first.text and "ghi 0" not in first.text and new in second.text
        assert sum(rescue in slide.line for slide in document.slides) == 2
    finally:
        for one in edits:
            write_mark(workspace, replace(one, based_on=1, status=MarkStatus.REMOVED), "Lan")


def _said(figures: PackFigures, language: str) -> str:
    blocks = build_pack_document(figures, language).blocks
    rows = [" | ".join(row) for one in blocks if isinstance(one, Table) for row in one.rows]
    return "\n".join([*rows, *(one.text for one in blocks if isinstance(one, Paragraph))])


def test_known_trouble_is_told_by_commune_and_what_nobody_tells_is_not_called_none(
    node: Node, tmp_path: Path
) -> None:
    workspace = node.world.workspace
    here = [point(-200, -420), point(-190, -420), point(-180, -420)]
    masts = [("LCI0123", here[0]), ("", here[1]), ("", here[2]), ("LCI0999", point(60_000, 0))]
    layers = [
        add_things(workspace, tmp_path, "Trạm", LayerKind.MAST, masts, "mất sóng, chờ phát điện"),
        add_things(workspace, tmp_path, "Kín", LayerKind.POWER, [("Lộ 371", here[0])], "mất điện"),
        add_things(workspace, tmp_path, "Trường", LayerKind.SCHOOL, [("A", here[0])], "bình thường"),
    ]
    set_layer_classification(workspace, layers[1].layer_id, Classification.RESTRICTED, "admin")
    marks = [
        MarkEdit(
            mark_id=f"mark-000000b{number}", based_on=0, event_id=REAL, kind=MarkKind.BLOCKED, status=status,
            note=f"đá lăn {number}", places=[(here[0].x, here[0].y)],
        )
        for number, status in enumerate([MarkStatus.OPEN, MarkStatus.DOING, MarkStatus.DONE])
    ]  # fmt: skip
    for edit in marks:
        write_mark(workspace, edit, "Lan")
    try:
        theirs, everything = node.packed("xã"), node.packed("tỉnh")
        assert theirs.classification is Classification.OPEN
        assert [(some.kind, len(some.things)) for one in theirs.communes for some in one.troubles] == [
            (LayerKind.MAST, 3)
        ]
        assert any(some.kind is LayerKind.POWER for one in everything.communes for some in one.troubles)
        text = _said(theirs, "vi")
        assert "LCI0123: " in text and "LCI0999" not in text and "Lộ 371" not in text
        table = next(row for row in text.splitlines() if "đường tắc (dấu)" in row)
        assert [f"đá lăn {number}" in table for number in range(3)] == [True, True, False]
    finally:
        for layer in layers:
            workspace.catalog.layers.remove(layer.layer_id)
        for edit in marks:
            write_mark(workspace, replace(edit, based_on=1, status=MarkStatus.REMOVED), "Lan")


def test_layers_of_a_class_that_is_not_seen_are_left_out(node: Node) -> None:
    everything, theirs = node.packed("tỉnh"), node.packed("xã")
    for figures, policy in ((everything, True), (theirs, False)):
        (change,) = figures.changes
        assert {one.name for one in change.layers} == ({"Đường bộ", "Nhà dân"} if policy else {"Đường bộ"})
        assert (change.counts[LayerKind.HOUSE] is not None) is policy, "not known, never none"
        assert [one.name for one in figures.settlements] == (["Bản Kín"] if policy else [])
        assert [road.name for road in change.roads_cut] == ["ĐT 153"]


def test_a_pack_is_marked_as_the_strictest_of_what_is_in_it(node: Node) -> None:
    assert node.packed("xã").classification is Classification.OPEN
    assert node.packed("tỉnh").classification is Classification.RESTRICTED
    assert node.packed(None).classification is Classification.RESTRICTED


def test_the_command_packs_by_the_eyes_of_an_account(node: Node, tmp_path: Path) -> None:
    workspace, flights = node.world.workspace, (node.world.after,)
    report = write_briefing_pack(workspace, PackRequest(flights=flights, seen_by="xã"), tmp_path / "pack")
    assert report.classification is Classification.OPEN
    with pytest.raises(NotFound):
        write_briefing_pack(workspace, PackRequest(flights=flights, seen_by="không có"), tmp_path / "other")


def test_a_flight_that_is_withheld_or_reaches_beyond_is_in_no_pack(node: Node) -> None:
    workspace, after = node.world.workspace, node.world.after
    narrow, _ = add_user(workspace, "một xã", "operator", "Nậm Lúc")
    with pytest.raises(AccessDenied):
        gather_contents(workspace, [after], load_access_policy(workspace.catalog, narrow))
    set_flight_classification(workspace, after, Classification.RESTRICTED, "admin")
    try:
        wide = next(one for one in workspace.catalog.accounts.all() if one.name == "xã")
        with pytest.raises(NotFound):
            gather_contents(workspace, [after], load_access_policy(workspace.catalog, wide))
    finally:
        set_flight_classification(workspace, after, Classification.OPEN, "admin")


def test_a_commune_names_the_flights_that_show_it_and_no_other(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    flown = contents._flown

    def see_nothing_before(workspace: Workspace, side: contents.ShownFlight) -> FlightCoverage:
        found = flown(workspace, side)
        far = shapely.to_wkb(shapely.box(LON + 1, LAT + 1, LON + 1.01, LAT + 1.01))
        is_after = side.flight.flight_id == node.world.after
        return found if is_after else replace(found, coverage=(), outline_wkb=far)

    monkeypatch.setattr(contents, "_flown", see_nothing_before)
    scene = gather_contents(node.world.workspace, [node.world.after, node.world.before])
    assert [side.flight.flight_id for side in scene.flights] == [node.world.after, node.world.before]
    assert scene.communes and {place.shown_by for place in scene.communes} == {(0,)}
