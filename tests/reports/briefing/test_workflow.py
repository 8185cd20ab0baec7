"""A meeting pack is whole, says what is on record, marks drafts and drills, and opens without a server."""

from __future__ import annotations

import hashlib
import re
import shutil
import zipfile
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import cv2
import docx
import numpy as np
import pyogrio
import pytest
import shapely
import typst
from docx.oxml.ns import qn
from pptx import Presentation
from pptx.enum.shapes import MSO_SHAPE_TYPE

from flycam.access.policy import UNRESTRICTED
from flycam.board.marks import MarkEdit, write_mark
from flycam.catalog.audit_key import is_signed
from flycam.catalog.catalog import open_catalog
from flycam.errors import InputUnusable, NotFound, OptionUnusable
from flycam.model.board import MarkKind, MarkStatus
from flycam.model.flight import DRILL_MARK
from flycam.model.time import VIETNAM_NAME, set_local_zone
from flycam.mosaic.redaction import MaskOverlay
from flycam.reports.briefing.changes import name_commune_picture
from flycam.reports.briefing.contents import gather_contents
from flycam.reports.briefing.document import PackDocument, build_pack_document
from flycam.reports.briefing.figures import Letterhead, PackFigures, gather_pack_figures, hash_content
from flycam.reports.briefing.formats import build_typst_sources, to_docx, to_pptx
from flycam.reports.briefing.maps import draw_map, draw_maps
from flycam.reports.briefing.workflow import MANIFEST, PackReport, PackRequest, write_briefing_pack
from flycam.reports.layout import Paragraph, Table
from tests.serve.world import LAT, LON, REAL, World, make_world

PURPLE = np.array([0x7A, 0x0F, 0x6B])
LETTERHEAD = Letterhead(parent="UBND tỉnh", issuer="Ban chỉ huy", place="Lào Cai", recipients=("Lưu: VT",))
LEADER = "Nguyễn Thị Hoà"


@dataclass(frozen=True)
class Packed:
    """The node with a real pack of two flights, and a drill's."""

    world: World
    real: PackReport
    drill: PackReport


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    root = tmp_path_factory.mktemp("pack")
    world = make_world(root / "house")
    mark = MarkEdit(
        mark_id="mark-0123456789abcdef",
        based_on=0,
        event_id=REAL,
        kind=MarkKind.BLOCKED,
        status=MarkStatus.OPEN,
        note="đất đá <tràn> & chắn đường",
        places=[(LON, LAT)],
    )
    write_mark(world.workspace, mark, "Lan")
    write_mark(
        world.workspace, replace(mark, mark_id="mark-fedcba9876543210", places=[(105.5, 21.0)]), "Minh"
    )
    corners = [(LON, LAT), (LON + 0.002, LAT), (LON + 0.002, LAT + 0.001)]
    sector = replace(mark, mark_id="mark-00000000", kind=MarkKind.SECTOR, note="tổ 3", places=corners)
    write_mark(world.workspace, sector, "Lan")
    real = PackRequest(flights=(world.before, world.after), letterhead=LETTERHEAD)
    drill = PackRequest(flights=(world.drill,), language="en", approved_by=LEADER)
    return Packed(
        world=world,
        real=write_briefing_pack(world.workspace, real, root / "thật"),
        drill=write_briefing_pack(world.workspace, drill, root / "diễn tập"),
    )


def _figures(world: World, *flights: str, approved_by: str = "", asked_by: str = "") -> PackFigures:
    """Figures with grey pictures instead of maps."""
    scene = gather_contents(world.workspace, flights)
    grey = np.full((60, 80, 3), 128, dtype=np.uint8)
    jpeg = draw_map(grey, np.ones((60, 80), dtype=bool), 1.0)
    names = ["overview", *(name_commune_picture(n) for n in range(1, len(scene.communes) + 1))]
    return gather_pack_figures(
        world.workspace, scene, dict.fromkeys(names, jpeg), LETTERHEAD, approved_by, asked_by
    )


def test_times_are_in_the_local_zone_and_say_which(packed: Packed) -> None:
    figures = _figures(packed.world, packed.world.after)
    set_local_zone("America/Chicago")
    try:
        document = build_pack_document(figures, "en")
    finally:
        set_local_zone(VIETNAM_NAME)
    assert document.slides[0].title.count("09/09/2024 22:15 UTC-5") == 1
    texts = [block.text for block in document.blocks if isinstance(block, Paragraph)]
    assert not any("UTC+7" in text for text in (*texts, document.footer, *(s.title for s in document.slides)))


def test_it_holds_what_is_promised(packed: Packed) -> None:
    names = [path.relative_to(packed.real.out).as_posix() for path in packed.real.files]
    assert {"bao-cao-nhanh.pdf", "bao-cao-nhanh.docx", "man-hinh.pptx", "index.html"} < set(names)
    assert {"du-lieu.gpkg", "ban-do.kmz"} < set(names)
    assert {"ban-do-1.pmtiles", "ban-do-2.pmtiles", "nguon-anh.csv", "anh/overview.jpg"} < set(names)
    assert names[-1] == MANIFEST
    assert (packed.real.is_draft, packed.real.is_drill) == (True, False)
    assert (packed.drill.is_draft, packed.drill.is_drill) == (False, True)


def test_the_manifest_names_every_file_with_its_hash(packed: Packed) -> None:
    out = packed.real.out
    lines = [line.split("  ", 1) for line in (out / MANIFEST).read_text("utf-8").splitlines()]
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {name for _, name in lines} == there - {MANIFEST}
    for digest, name in lines:
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest


def test_a_slide_is_for_each_commune_and_a_drill_is_marked_on_each(packed: Packed) -> None:
    for report, name, mark in ((packed.real, "man-hinh", ""), (packed.drill, "slides", DRILL_MARK)):
        slides = Presentation(str(report.out / f"{name}.pptx")).slides
        assert len(slides) >= 1 + len(report.communes) > 1
        for slide in slides:
            texts = [shape.text_frame.text for shape in slide.shapes if shape.has_text_frame]
            assert (texts[0] == DRILL_MARK) == bool(mark)
            assert [shape.shape_type for shape in slide.shapes].count(MSO_SHAPE_TYPE.PICTURE) == 1


def test_equal_packs_are_equal_files(packed: Packed) -> None:
    scene = gather_contents(packed.world.workspace, [packed.world.after])
    maps = draw_maps(packed.world.workspace, scene, MaskOverlay(UNRESTRICTED), None)
    figures = replace(_figures(packed.world, packed.world.after), slides=maps.slides)
    document = build_pack_document(figures, "vi")
    assert to_docx(document) == to_docx(document)
    assert to_pptx(document) == to_pptx(document)


def test_slides_and_paper_show_every_mark_whoever_took_it_up(packed: Packed) -> None:
    """Work status is no confirmation, and numbers on slides must be those of the lists."""
    workspace = packed.world.workspace
    scene = gather_contents(workspace, [packed.world.after])
    here = next(sign for sign in scene.marks if sign.line.kind is MarkKind.BLOCKED)
    here = replace(here, shape=shapely.Point(LON + 0.0042, LAT - 0.0015))
    bare = draw_maps(workspace, replace(scene, marks=()), MaskOverlay(UNRESTRICTED), None)
    for status in (MarkStatus.OPEN, MarkStatus.DONE):
        sign = replace(here, line=replace(here.line, status=status))
        drawn = draw_maps(workspace, replace(scene, marks=(sign,)), MaskOverlay(UNRESTRICTED), None)
        assert drawn.pictures["overview"] != bare.pictures["overview"]
        assert drawn.slides["overview"] == drawn.pictures["overview"], "a real flight has no band"


def test_maps_of_a_drill_are_marked_by_themselves(packed: Packed) -> None:
    for report, folder, is_drill in ((packed.real, "anh", False), (packed.drill, "pictures", True)):
        for path in (report.out / folder).iterdir():
            picture = cv2.imread(str(path))[..., ::-1].astype(int)
            top = picture[2, picture.shape[1] // 3 : 2 * picture.shape[1] // 3]
            near = np.abs(top - PURPLE).max(axis=1) < 24
            assert (near.mean() > 0.5) == is_drill, path


def test_every_page_of_a_drill_is_marked_and_a_draft_says_so(packed: Packed) -> None:
    world = packed.world
    drill = build_pack_document(_figures(world, world.drill, approved_by=LEADER), "vi")
    draft = build_pack_document(_figures(world, world.after), "vi")
    approved = build_pack_document(_figures(world, world.after, approved_by=LEADER), "vi")
    assert all('fill="#7a0f6b"' in page for page in _svg_pages(drill))
    red = 'fill="#b00020'
    assert all(red in page for page in _svg_pages(draft))
    assert not any(red in page or "#7a0f6b" in page for page in _svg_pages(approved))
    assert any(LEADER in block.text for block in approved.blocks if isinstance(block, Paragraph))


@pytest.mark.parametrize(
    ("asked_by", "approved_by", "kind"),
    [("Lan", "", "bad"), ("Lan", LEADER, "good"), (LEADER.upper(), LEADER, "care")],
)
def test_the_first_page_says_who_asked_and_who_approved(
    packed: Packed, asked_by: str, approved_by: str, kind: str
) -> None:
    figures = _figures(packed.world, packed.world.after, approved_by=approved_by, asked_by=asked_by)
    blocks = build_pack_document(figures, "vi").blocks
    lines = [one for one in blocks if isinstance(one, Paragraph) and (approved_by or asked_by) in one.text]
    assert lines[0].kind == kind
    assert asked_by in lines[0].text or asked_by.casefold() == approved_by.casefold()


def test_who_asked_and_who_approved_is_no_other_content(packed: Packed) -> None:
    """A final pack is compared with its draft by it."""
    draft = _figures(packed.world, packed.world.after, asked_by="Lan")
    final = _figures(packed.world, packed.world.after, asked_by="Minh", approved_by=LEADER)
    assert hash_content(draft) == hash_content(final)


def _svg_pages(document: PackDocument) -> list[str]:
    made = typst.compile(build_typst_sources(document), format="svg", ignore_system_fonts=True)
    return [page.decode() for page in (made if isinstance(made, list) else [made])]


def test_a_page_for_each_commune_with_its_marks(packed: Packed) -> None:
    figures = _figures(packed.world, packed.world.before, packed.world.after)
    document = build_pack_document(figures, "vi")
    assert len(_svg_pages(document)) >= 2 + len(figures.communes)
    assert [one.number for one in figures.communes] == list(range(1, len(figures.communes) + 1))
    marks = [mark for one in figures.communes for mark in one.marks]
    assert [mark.author for mark in marks] == ["Lan", "Lan"]
    assert [mark.number for mark in (*marks, *figures.loose_marks)] == [1, 2, 3]
    assert [mark.author for mark in figures.loose_marks] == ["Minh"]
    cells = [
        cell for block in document.blocks if isinstance(block, Table) for row in block.rows for cell in row
    ]
    assert "đất đá <tràn> & chắn đường" in cells
    assert any(f"{LAT:.6f}, {LON:.6f}" in cell for cell in cells)  # copied coordinates have dots


def test_the_word_document_holds_text_tables_and_pictures(packed: Packed) -> None:
    document = docx.Document(str(packed.real.out / "bao-cao-nhanh.docx"))
    assert len(document.inline_shapes) == 1 + len(packed.real.communes)
    text = "".join(one.text or "" for one in document.element.iter(qn("w:t")))
    for expected in ("BÁO CÁO NHANH", "BAN CHỈ HUY", "đất đá <tràn> & chắn đường", *packed.real.communes):
        assert expected in text
    assert [one.text for one in document.sections[0].header.paragraphs] == ["DỰ THẢO"]
    drill = docx.Document(str(packed.drill.out / "quick-report.docx"))
    assert [one.text for one in drill.sections[0].header.paragraphs] == [DRILL_MARK]


def test_the_page_needs_no_server(packed: Packed) -> None:
    for report in (packed.real, packed.drill):
        page = (report.out / "index.html").read_text("utf-8")
        for refused in ('type="module"', "import ", "fetch(", "XMLHttpRequest", "http://", "https://"):
            assert refused not in page
        assert (DRILL_MARK in page) == report.is_drill
        named = [unquote(unescape(name)) for name in re.findall(r'(?:src|href)="([^"]+)"', page)]
        assert len(named) > 8
        assert all((report.out / name).is_file() for name in named)


def test_layers_open_in_other_programs(packed: Packed) -> None:
    path = packed.real.out / "du-lieu.gpkg"
    assert {name for name, _ in pyogrio.list_layers(path)} == {
        "flights",
        "communes",
        "marks",
        "sectors",
    }
    assert pyogrio.read_info(path, layer="marks")["features"] == 2
    _, _, outlines, fields = pyogrio.raw.read(path, layer="sectors", columns=["number", "note"])
    assert (fields[0].tolist(), fields[1].tolist()) == ([1], ["tổ 3"])
    assert shapely.from_wkb(outlines[0]).area > 1000.0
    info = pyogrio.read_info(path, layer="flights")
    assert (info["crs"], info["features"]) == ("EPSG:32648", 2)
    for report, file, mark in ((packed.real, "du-lieu.gpkg", ""), (packed.drill, "data.gpkg", DRILL_MARK)):
        path = report.out / file
        for name, _ in pyogrio.list_layers(path):
            _, _, _, (drill,) = pyogrio.raw.read(path, layer=name, columns=["drill"], read_geometry=False)
            assert set(drill) == {mark}, f"every row of {name} says whether it is a drill's"
    with zipfile.ZipFile(packed.drill.out / "map.kmz") as archive:
        assert f"<name>{DRILL_MARK} – " in archive.read("doc.kml").decode()


def test_what_was_exported_and_approved_is_in_the_audit_log(packed: Packed) -> None:
    line = packed.world.workspace.catalog.audit.lines()[-1]
    assert (line.what, line.subject) == ("pack", packed.world.drill)
    assert LEADER in line.detail
    assert packed.drill.manifest_sha256 in line.detail
    manifest = (packed.drill.out / MANIFEST).read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == packed.drill.manifest_sha256


def test_a_signed_head_is_printed_with_what_checks_it(packed: Packed, tmp_path: Path) -> None:
    workspace, copy = packed.world.workspace, tmp_path / "catalog.sqlite"
    workspace.catalog.save(copy)
    with open_catalog(f"sqlite:///{copy}", tmp_path / "audit.key") as catalog:
        line = catalog.audit.append("box", "pack", "x")
        figures = _figures(
            replace(packed.world, workspace=replace(workspace, catalog=catalog)), packed.world.after
        )
        blocks = build_pack_document(figures, "vi").blocks
        values = [row[1] for one in blocks if isinstance(one, Table) for row in one.rows]
        signature = figures.audit_signature
        printed = [str(line.seq), line.digest, catalog.audit.key(), signature[:64], signature[64:]]
        assert [value for value in values if value in printed] == printed
        assert is_signed(figures.audit_key, line.seq, line.digest, figures.audit_signature)


def test_run_again_it_replaces(packed: Packed, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    shutil.copytree(packed.drill.out, out)
    request = PackRequest(flights=(packed.world.drill,), language="en")
    (out / "index.html").unlink()
    (out / "pictures" / "Thumbs.db").touch()
    again = write_briefing_pack(packed.world.workspace, request, out)
    assert all(path.is_file() for path in again.files)
    assert not (out / "pictures" / "Thumbs.db").exists()
    assert [one.name for one in tmp_path.iterdir()] == ["pack"]


def test_what_people_wrote_into_a_pack_is_not_lost(packed: Packed, tmp_path: Path) -> None:
    """A report that was edited, a file that was added, a folder that only has a manifest by that name."""
    request = PackRequest(flights=(packed.world.drill,))
    for name in ("quick-report.docx", "pictures/ghi chú.txt"):
        out = tmp_path / name.replace("/", " ")
        shutil.copytree(packed.drill.out, out)
        (out / name).write_text("của văn phòng", encoding="utf-8")
        with pytest.raises(InputUnusable, match=re.escape(f"({name})")):
            write_briefing_pack(packed.world.workspace, request, out)
        assert (out / name).read_text("utf-8") == "của văn phòng"
    other = tmp_path / "ảnh"
    other.mkdir()
    (other / MANIFEST).write_bytes(b"\xff\xfe not ours")
    (other / "DJI_0001.JPG").touch()
    with pytest.raises(InputUnusable, match=rf"\((DJI_0001.JPG|{MANIFEST})\)"):
        write_briefing_pack(packed.world.workspace, request, other)


def test_a_drill_never_stands_beside_a_real_flight(packed: Packed, tmp_path: Path) -> None:
    both = PackRequest(flights=(packed.world.after, packed.world.drill))
    with pytest.raises(OptionUnusable, match="drill"):
        write_briefing_pack(packed.world.workspace, both, tmp_path / "pack")
    with pytest.raises(OptionUnusable, match="approved-by"):
        write_briefing_pack(
            packed.world.workspace,
            PackRequest(flights=(packed.world.after,), approved_by=" "),
            tmp_path / "pack",
        )
    with pytest.raises(NotFound):
        write_briefing_pack(packed.world.workspace, PackRequest(flights=("không có",)), tmp_path / "pack")
    assert not list(tmp_path.iterdir())


def test_a_flight_that_is_not_over_is_said_to_be_so(packed: Packed) -> None:
    figures = _figures(packed.world, packed.world.after)
    aloft = replace(figures, flights=(replace(figures.flights[0], is_complete=False),))
    for shown, expected in ((figures, False), (aloft, True)):
        blocks = build_pack_document(shown, "vi").blocks
        cares = [one.text for one in blocks if isinstance(one, Paragraph) and one.kind == "care"]
        assert any(text.startswith("1. ") for text in cares) == expected
