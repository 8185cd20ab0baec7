"""A meeting pack tells confirmed changes only, with what they touch; of what nobody knows it says so."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import pyogrio
import pytest
import shapely

from flycam.board.marks import AccessReport, report_access
from flycam.catalog.changes import ChangeVersion
from flycam.change.review import ReviewStep, apply_review_step
from flycam.model.board import (
    NO_VOLUME_REASONS,
    Access,
    ChangeAction,
    ChangeKind,
    ChangeStatus,
    LayerKind,
)
from flycam.reports.briefing.contents import gather_contents
from flycam.reports.briefing.document import PackDocument, build_pack_document
from flycam.reports.briefing.figures import Letterhead, PackFigures, gather_pack_figures
from flycam.reports.briefing.workflow import PackReport, PackRequest, write_briefing_pack
from flycam.reports.layout import Heading, Paragraph, Table
from tests.change.impacted import add_things, changed, line, place, point, square
from tests.serve.world import DRILL, REAL, World, make_world
from tests.suites.comparison_suite import compared_on

VECTORS = "du-lieu.gpkg"
SLIDE, FLOOD, FAR, WAITING = (f"change-0000000{number}" for number in range(1, 5))


@dataclass(frozen=True)
class Packed:
    world: World
    report: PackReport
    figures: PackFigures


def _confirmed(change_id: str, west_m: float, south_m: float, **more: object) -> ChangeVersion:
    return changed(
        change_id, square(west_m, south_m, 80), event_id=REAL, status=ChangeStatus.ACCEPTED, note="=x", **more
    )


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = tmp_path_factory.mktemp("packed")
    world = make_world(folder / "world")
    workspace = world.workspace
    waiting = changed(WAITING, square(100, -200, 80), event_id=REAL)
    drills = changed("change-00000005", square(0, 0, 80), event_id=DRILL, status=ChangeStatus.ACCEPTED)
    again = changed("change-00000006", square(0, 0, 80), event_id=DRILL, status=ChangeStatus.ACCEPTED)
    changes = [
        _confirmed(SLIDE, 60, -100),
        _confirmed(FLOOD, 200, -100, kind=ChangeKind.FLOOD),
        _confirmed(FAR, 9000, 9000),
    ]
    workspace.catalog.changes.append([*changes, waiting, drills, again])
    doubted = ReviewStep(
        step_id="step-00000001", action=ChangeAction.COMMENT, changes={SLIDE: 1}, note="xem lại?"
    )
    apply_review_step(workspace, doubted, "Hoa")
    add_things(workspace, folder, "Đường bộ", LayerKind.ROAD, [("ĐT 153", line((-200, -60), (400, -60)))])
    add_things(workspace, folder, "Nhà dân", LayerKind.HOUSE, [("a", point(70, -90)), ("b", point(150, -60))])
    villages = [("Nậm Lúc Thượng", point(40, 300)), ("Bản Giữa", point(300, 50)), ("Nơi xa", point(40, 9000))]
    add_things(workspace, folder, "Thôn bản", LayerKind.SETTLEMENT, villages)
    request = AccessReport(event=REAL, settlement="Nậm Lúc Thượng", access=Access.ISOLATED, note="mất sóng")
    report_access(workspace, request, "Minh")
    report = write_briefing_pack(workspace, PackRequest(flights=(world.after, world.before)), folder / "pack")
    scene = gather_contents(workspace, [world.after, world.before])
    return Packed(world, report, gather_pack_figures(workspace, scene, {}, Letterhead(), ""))


def _text(document: PackDocument) -> str:
    parts = []
    for block in document.blocks:
        if isinstance(block, Paragraph):
            parts.append(block.text)
        elif isinstance(block, Table):
            parts += [cell for row in block.rows for cell in row]
    return _spaced("\n".join(parts))


def test_only_confirmed_changes_on_ground_that_is_shown(packed: Packed) -> None:
    assert sorted((one.number, one.kind) for one in packed.figures.changes) == [
        (1, ChangeKind.LANDSLIDE),
        (2, ChangeKind.FLOOD),
    ]
    assert packed.figures.changes_elsewhere == 1, "one is confirmed elsewhere, one waits, one is a drill's"
    vectors = packed.report.out / VECTORS
    meta, _, _, fields = pyogrio.raw.read(vectors, layer="changes")
    table = {name: list(values) for name, values in zip(meta["fields"], fields, strict=True)}
    assert table["change_id"] == [SLIDE, FLOOD]
    assert table["roads_cut"] == ["ĐT 153", "ĐT 153"]
    assert table["house_inside"][0] == 1.0
    assert table["school_inside"][0] != table["school_inside"][0], "not known is no number"
    with zipfile.ZipFile(packed.report.out / "ban-do.kmz") as archive:
        kml = archive.read("doc.kml").decode()
    assert "T1. Sạt lở" in kml and "T2. Ngập lụt" in kml and "T3" not in kml


def test_what_waits_for_review_is_said_before_that_nothing_is_confirmed(packed: Packed) -> None:
    """In the summary, on its commune's page and on slides; that none is confirmed stands nowhere without."""
    waits, none = "1 thay đổi máy nghi", "thay đổi nào được xác nhận"
    waiting = packed.figures.waiting
    assert waiting is not None and waiting.places == {ChangeKind.LANDSLIDE: 1}
    over = [one for one in packed.figures.communes if one.waiting is not None]
    assert over and sum(one.waiting.area_m2 for one in over if one.waiting) == pytest.approx(waiting.area_m2)
    communes = tuple(
        replace(one, changes=(), touched=None, compared_pct=40.0) for one in packed.figures.communes
    )
    bare = replace(packed.figures, changes=(), changes_elsewhere=0, communes=communes)
    document = build_pack_document(bare, "vi")
    assert waits in _spaced(document.slides[0].line)
    for number, one in enumerate(bare.communes, 1):
        line = _spaced(document.slides[number].line)
        assert (waits in line) == (one.waiting is not None) == (none not in line.lower())
    paragraphs = [_spaced(one.text) for one in document.blocks if isinstance(one, Paragraph)]
    for n, text in enumerate(paragraphs):
        if none in text.lower():
            is_over = waits in text or waits in paragraphs[n - 1]
            assert is_over or any(one.waiting is None for one in bare.communes), text
    assert sum(waits in text for text in paragraphs) == 1 + len(over)
    assert waits in next(text for text in paragraphs if none in text.lower())


def _spaced(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_report_tells_roads_houses_and_what_nobody_knows(packed: Packed) -> None:
    text = _text(build_pack_document(packed.figures, "vi")).lower()
    for part in ("đt 153 (80,0 m)", "nhà: 1 trong vùng", "chưa biết: trường học", "còn 1"):
        assert part in text
    communes = [one for one in packed.figures.communes if one.touched is not None]
    assert communes and sum(one.touched.ground.area_m2 for one in communes if one.touched) == pytest.approx(
        20_000.0, rel=0.02
    )


def test_a_pack_without_confirmed_changes_does_not_say_that_nothing_changed(packed: Packed) -> None:
    workspace = packed.world.workspace
    figures = gather_pack_figures(
        workspace, gather_contents(workspace, [packed.world.drill]), {}, Letterhead(), ""
    )
    assert [one.kind for one in figures.changes] == [ChangeKind.LANDSLIDE] * 2, "the drill's own"
    bare = PackFigures(**{**{n: getattr(figures, n) for n in figures.__slots__}, "changes": ()})
    assert "không có nghĩa" in _text(build_pack_document(bare, "vi"))


def test_settlements_of_the_communes_shown_with_who_said_what(packed: Packed) -> None:
    text = _text(build_pack_document(packed.figures, "vi"))
    assert "bị cô lập: 1" in text
    assert "Minh" in text and "mất sóng" in text and "Nơi xa" not in text
    meta, _, _, fields = pyogrio.raw.read(packed.report.out / VECTORS, layer="settlements")
    table = {name: list(values) for name, values in zip(meta["fields"], fields, strict=True)}
    parts = dict(zip(table["name"], table["access"], strict=True))
    assert parts == {"Nậm Lúc Thượng": "isolated", "Bản Giữa": "unknown"}


def test_a_commune_where_nothing_was_found_is_told_from_one_where_nobody_looked(packed: Packed) -> None:
    looked, nobody = "trên phần đã so", "chưa so hai ảnh"
    workspace = packed.world.workspace
    text = _text(build_pack_document(packed.figures, "vi")).lower()
    assert nobody in text and looked not in text
    ground = shapely.MultiPolygon([shapely.box(104.0, 21.0, 106.0, 23.0)])
    workspace.catalog.comparisons.add([compared_on("compared-1", REAL, ground, "a.tif", "b.tif")])
    figures = gather_pack_figures(
        workspace, gather_contents(workspace, [packed.world.before]), {}, Letterhead(), ""
    )
    assert figures.communes
    assert all(one.compared_pct == pytest.approx(100.0) for one in figures.communes)
    bare = replace(figures, communes=tuple(replace(one, changes=()) for one in figures.communes))
    text = _text(build_pack_document(bare, "vi")).lower()
    assert nobody not in text and looked in text
    assert "100 %" in text


def test_what_was_not_seen_whole_or_counts_twice_is_said(packed: Packed, tmp_path: Path) -> None:
    """At the rim of the compared ground, across a boundary, under another change; and no volume."""
    workspace = packed.world.workspace
    # the slide (T1) reaches the eastern end of what was compared, the flood (T2) lies beyond it
    ground = shapely.MultiPolygon([shapely.box(*place(-900, -900), *place(140, 900))])
    workspace.catalog.comparisons.add([compared_on("compared-2", REAL, ground, "m1@2", "m2@1")])
    other = _confirmed("change-00000007", 70, -90, kind=ChangeKind.OTHER)
    across = changed("change-00000008", square(580, 0, 80), event_id=REAL)
    workspace.catalog.changes.append([other, across])
    flights = (packed.world.after, packed.world.before)
    figures = gather_pack_figures(workspace, gather_contents(workspace, flights), {}, Letterhead(), "")
    by_kind = {one.kind: one for one in figures.changes}
    assert {kind for kind, one in by_kind.items() if one.full_size.is_lower_bound} == {
        ChangeKind.LANDSLIDE,
        ChangeKind.OTHER,
    }
    assert figures.confirmed.is_lower_bound
    assert any(one.touched and one.touched.ground.is_lower_bound for one in figures.communes)
    text = _text(build_pack_document(figures, "en"))
    slide, flood = by_kind[ChangeKind.LANDSLIDE], by_kind[ChangeKind.FLOOD]
    for part in (
        "at least 1.00 ± ",
        f"Volume not known: T{slide.number} ({NO_VOLUME_REASONS[str(slide.volume)]}).",
        "Ground that several of them cover counts once.",
        "A change across a boundary counts in each commune.",
    ):
        assert part in text, part
    assert f"T{flood.number} (" not in text
    assert "Confirmed changes" not in {
        one.text for one in build_pack_document(figures, "en").blocks if isinstance(one, Heading)
    }
    report = write_briefing_pack(workspace, PackRequest(flights=flights), tmp_path / "pack")
    meta, _, _, fields = pyogrio.raw.read(report.out / VECTORS, layer="changes")
    table = {name: list(values) for name, values in zip(meta["fields"], fields, strict=True)}
    cut = {
        change_id
        for change_id, least in zip(table["change_id"], table["at_least"], strict=True)
        if "area" in least
    }
    assert cut == {SLIDE, other.change_id}


def test_none_confirmed_beside_one_that_waits_is_not_read_as_none(packed: Packed) -> None:
    none = "that does not mean that nothing changed"
    communes = tuple(
        replace(one, changes=(), touched=None, compared_pct=40.0) for one in packed.figures.communes
    )
    bare = replace(packed.figures, changes=(), changes_elsewhere=0, communes=communes)
    paragraphs = [one.text for one in build_pack_document(bare, "en").blocks if isinstance(one, Paragraph)]
    over = [one for one in communes if one.waiting is not None]
    assert over and sum(none in text and "confirmed here" in text for text in paragraphs) == len(over)
