"""A commune's annex tells its part of a change, with its error, and shows the ground before and after."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
import shapely.affinity

from flycam.access.policy import UNRESTRICTED, AccessPolicy, IdFilter, RedactedGround
from flycam.access.restrictions import set_flight_classification
from flycam.catalog.changes import ChangeVersion
from flycam.change import detector_coefficients
from flycam.change.volume import Volume
from flycam.model.board import NO_VOLUME_REASONS, ChangeKind, ChangeStatus
from flycam.model.flight import DRILL_MARK, Classification
from flycam.model.records import FrameStatus, Withdrawal
from flycam.mosaic.redaction import MaskOverlay
from flycam.reports.briefing import maps as briefing_maps
from flycam.reports.briefing.contents import (
    MissingImage,
    PackContents,
    PackImage,
    find_image_pairs,
    gather_contents,
)
from flycam.reports.briefing.document import COVERED, PackDocument, build_pack_document
from flycam.reports.briefing.figures import Letterhead, PackFigures
from flycam.reports.briefing.files import write_source_list
from flycam.reports.briefing.maps import draw_image_pairs, draw_pair, read_size_px
from flycam.reports.briefing.measures import gather_pack_figures
from flycam.reports.briefing.pdf import to_drill_band
from flycam.reports.briefing.workflow import PackRequest, write_briefing_pack
from flycam.reports.layout import FigureRow, Paragraph, Table
from flycam.storage import keys
from tests.change.impacted import changed, square
from tests.serve.world import REAL, World, make_world
from tests.suites.catalog_suite import finished, used
from tests.suites.comparison_suite import compared_on

FLOOD, SLIDE, DRAWN, FILES = (f"change-0000000{number}" for number in range(1, 5))


@dataclass(frozen=True)
class Packed:
    world: World
    scene: PackContents
    figures: PackFigures


def _line(world: World, name: str, west_m: float, south_m: float, **more: object) -> ChangeVersion:
    shown = {
        side: f"{world.mosaic_of(flight).mosaic_id}@0"
        for side, flight in (("before_shown", world.before), ("after_shown", world.after))
    }
    said: dict[str, object] = {
        "event_id": REAL,
        "status": ChangeStatus.ACCEPTED,
        "error_m": 1.5,
        **shown,
        **more,
    }
    area_m2 = said.pop("area_m2", 10_000.0)
    return replace(changed(name, square(west_m, south_m, 80), **said), area_m2=area_m2)  # type: ignore[arg-type]


DOUBT = NO_VOLUME_REASONS["not_finished"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """A flood of which a quarter lies in the first commune (20 of 80 m), a slide, one drawn by hand, one that
    was found on files."""
    world = make_world(tmp_path_factory.mktemp("pairs") / "world")
    drawn = {"before_shown": "", "after_shown": "", "error_m": None, "score": None}
    files = {"before_shown": "truoc.tif", "error_m": None}
    world.workspace.catalog.changes.append(
        [
            _line(world, FLOOD, 599.8, -250, kind=ChangeKind.FLOOD, area_m2=20_000.0),
            _line(world, SLIDE, 200, -250),
            _line(world, DRAWN, 330, -250, area_m2=500.0, **drawn),
            _line(world, FILES, 450, -250, area_m2=400.0, **files),
        ]
    )
    after = world.workspace.catalog.changes.last([FILES])[0].after_shown
    compared = compared_on("compared-1", REAL, square(400, -300, 200), "truoc.tif", after)
    world.workspace.catalog.comparisons.add([replace(compared, doubts=(DOUBT,))])
    scene = gather_contents(world.workspace, [world.after])
    scene, pictures, slides = draw_image_pairs(world.workspace, scene, MaskOverlay(UNRESTRICTED), None)
    figures = gather_pack_figures(world.workspace, scene, pictures, Letterhead(), "")
    return Packed(world, scene, replace(figures, slides=slides))


def _tables(document: PackDocument) -> list[Table]:
    """Those of changes, commune by commune."""
    return [
        block
        for block in document.blocks
        if isinstance(block, Table) and any(row[0] == "T1" for row in block.rows)
    ]


@pytest.mark.parametrize(
    ("language", "parts"),
    [
        ("vi", ["0,50 ± 0,02 ha trong xã này; cả thay đổi 2,00 ± 0,06 ha", "1,50 ± 0,04 ha trong xã này"]),
        ("en", ["0.50 ± 0.02 ha in this commune; 2.00 ± 0.06 ha in all", "1.50 ± 0.04 ha in this commune"]),
    ],
)
def test_each_commune_is_told_its_part_and_the_whole(packed: Packed, language: str, parts: list[str]) -> None:
    tables = _tables(build_pack_document(packed.figures, language))
    sizes = {
        row[2].replace("\N{NO-BREAK SPACE}", " ") for table in tables for row in table.rows if row[0] == "T1"
    }
    assert len(tables) == len(sizes) == 2
    assert all(any(one.startswith(part) for one in sizes) for part in parts), sizes


def test_parts_add_up_to_the_whole_and_to_the_table_by_commune(packed: Packed) -> None:
    held = [
        (one, commune) for commune in packed.figures.communes for one in commune.changes if one.number == 1
    ]
    parts = [one.size_in_commune for one, _ in held]
    assert all(part is not None for part in parts)
    assert sum(part.area_m2 for part in parts if part) == pytest.approx(20_000.0, rel=1e-3)
    whole = held[0][0].full_size
    assert whole.error_m2 == pytest.approx(
        math.hypot(1.5, detector_coefficients.RIM_M["flood"]) * 4 * 80, rel=0.01
    )
    assert sum(part.error_m2 or 0.0 for part in parts if part) == pytest.approx(whole.error_m2, rel=1e-3)
    east = next(
        commune for one, commune in held if one.size_in_commune and one.size_in_commune.area_m2 > 10_000.0
    )
    assert east.touched is not None and east.touched.area_m2 == pytest.approx(15_000.0, rel=0.01)


def test_what_lies_in_one_commune_whole_is_told_once_with_the_error_of_its_outline(packed: Packed) -> None:
    told = {
        one.number: one for commune in packed.figures.communes for one in commune.changes if one.number > 1
    }
    assert all(one.size_in_commune is None for one in told.values())
    (table,) = [
        one
        for one in _tables(build_pack_document(packed.figures, "vi"))
        if any(row[0] == "T2" for row in one.rows)
    ]
    sizes = {row[0]: row[2].replace("\N{NO-BREAK SPACE}", " ") for row in table.rows}
    assert (sizes["T2"], sizes["T3"], sizes["T4"]) == ("1,00 ± 0,06 ha", "500 ± 320 m²", "400 ± 400 m²")


@pytest.mark.parametrize(
    ("language", "said", "first"),
    [
        ("vi", f"{DOUBT.in_language('vi')}.", "Trong đó 1 thay đổi theo cặp ảnh kém chắc chắn."),
        ("en", f"{DOUBT}.", "Of these 1 change is of two doubtful pictures."),
    ],
)
def test_why_two_pictures_are_doubtful_is_told_with_what_was_found_on_them(
    packed: Packed, language: str, said: str, first: str
) -> None:
    """In the summary, beside the communes and where it is told of: who reads one may not read another."""
    assert [one.doubts for one in packed.figures.changes] == [(), (), (), (DOUBT,)]
    paragraphs = [
        one for one in build_pack_document(packed.figures, language).blocks if isinstance(one, Paragraph)
    ]
    told = [one.text for one in paragraphs if one.text.endswith(said)]
    assert len(told) == 2 and all(one.startswith("T4: ") for one in told)
    assert sum(first in one.text.replace("\N{NO-BREAK SPACE}", " ") for one in paragraphs) == 1


def test_the_ground_is_shown_before_and_after(packed: Packed) -> None:
    """The storm painted the ground anew in this house."""
    assert sorted(packed.figures.pictures) == ["change-1", "change-2", "change-4"]
    pair = cv2.imdecode(np.frombuffer(packed.figures.pictures["change-2"], np.uint8), cv2.IMREAD_COLOR)
    half = pair.shape[1] // 2
    left, right = pair[:, : half - 8].astype(int), pair[:, half + 8 :].astype(int)
    assert abs(left.shape[1] - right.shape[1]) <= 2 and 1.2 < left.shape[1] / left.shape[0] < 1.5
    middle = slice(pair.shape[0] // 3, 2 * pair.shape[0] // 3), slice(half // 3, half // 2)
    assert np.abs(left[middle] - right[middle]).mean() > 5.0
    alone = cv2.imdecode(np.frombuffer(packed.figures.pictures["change-4"], np.uint8), cv2.IMREAD_COLOR)
    hatched = alone[20 : alone.shape[0] // 2, 20 : half // 4]
    assert set(np.unique(hatched // 32)) <= {5, 6, 7}, "the file is not kept: hatched as what was not flown"


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "vi",
            [
                "trái, trước (Thung lũng Nậm Lúc – trước bão, 20/08/2024",
                "tệp truoc.tif, hệ thống không giữ",
                "T3",
            ],
        ),
        (
            "en",
            ["before on the left (Thung lũng Nậm Lúc – trước bão, 20/08/2024", "file truoc.tif, which", "T3"],
        ),
    ],
)
def test_captions_say_which_is_which_and_what_has_none(
    packed: Packed, language: str, said: list[str]
) -> None:
    document = build_pack_document(packed.figures, language)
    captions = [f.caption for block in document.blocks if isinstance(block, FigureRow) for f in block.figures]
    small = [
        block.text for block in document.blocks if isinstance(block, Paragraph) and block.kind == "small"
    ]
    text = "\n".join([*captions, *small])
    assert all(one in text for one in said), text


@pytest.mark.parametrize(
    ("language", "over", "none"),
    [
        ("vi", "vẽ tay trên hai ảnh này: trái, trước (Thung", "vẽ tay mà không ghi cặp ảnh"),
        ("en", "drawn by hand over these two: before on the left (Thung", "drawn by hand over none"),
    ],
)
def test_what_was_drawn_over_two_pictures_is_shown_as_that(
    packed: Packed, language: str, over: str, none: str
) -> None:
    by_hand = {"score": None, "rmse_m": None, "error_m": None, "tie_m": None}
    scene = packed.scene
    (slide,) = [one for one in scene.changes if one.impact.line.change_id == SLIDE]
    drawn = replace(slide, impact=replace(slide.impact, line=replace(slide.impact.line, **by_hand)))
    scene = replace(scene, changes=tuple(drawn if one is slide else one for one in scene.changes))
    figures = gather_pack_figures(packed.world.workspace, scene, packed.figures.pictures, Letterhead(), "")
    captions = _captions(figures, language).split("\n")
    assert [over in one for one in captions if "T2." in one] == [True], captions
    assert not any(over in one for one in captions if "T2." not in one)
    small = [one.text for one in build_pack_document(figures, language).blocks if isinstance(one, Paragraph)]
    assert any(none in text and "T3" in text for text in small)


def test_a_volume_stands_beside_the_area(packed: Packed) -> None:
    scene = packed.scene
    volume = Volume(
        lost_m3=1234.4,
        lost_sigma_m3=300.2,
        gained_m3=0.1,
        gained_sigma_m3=0.1,
        net_sigma_m3=300.0,
        measured_m2=8_000.0,
        shift_m=(0.0, 0.0, 0.0),
        level_sigma_m=0.1,
    )
    slide = next(one for one in scene.changes if one.impact.line.change_id == SLIDE)
    measured = replace(slide, impact=replace(slide.impact, volume=volume))
    with_it = replace(scene, changes=tuple(measured if one is slide else one for one in scene.changes))
    figures = gather_pack_figures(packed.world.workspace, with_it, {}, Letterhead(), "")
    rows = [
        row for table in _tables(build_pack_document(figures, "en")) for row in table.rows if row[0] == "T2"
    ]
    said = rows[0][2].replace("\N{NO-BREAK SPACE}", " ")
    assert said == "1.00 ± 0.06 ha. Volume: lost 1,234 ± 300 m³; measured on 80 % of it"


def test_a_flight_that_is_withheld_is_not_shown_in_any_pair(packed: Packed) -> None:
    lines = [patch.impact.line for patch in packed.scene.changes]
    hiding = AccessPolicy(flights=IdFilter(hidden=frozenset({packed.world.before})))
    (pair, *_), seen = (
        list(find_image_pairs(packed.world.workspace, lines, policy)) for policy in (hiding, UNRESTRICTED)
    )
    assert pair is not None and pair[0] == MissingImage("") and isinstance(pair[1], PackImage)
    assert seen[0] is not None and all(isinstance(one, PackImage) for one in seen[0])
    assert [one is None for one in seen] == [False, False, True, False]


def test_a_flight_of_which_a_part_is_withheld_is_not_shown_either(packed: Packed) -> None:
    """On its western rim, which AFTER does not reach."""
    west, south, _, north = packed.world.workspace.catalog.flights.flight(
        packed.world.before
    ).bounds_lonlat_deg or (0, 0, 0, 0)
    middle = (south + north) / 2.0
    rim = shapely.to_wkb(shapely.box(west, middle, west + 0.0001, middle + 0.0001))
    lines = [patch.impact.line for patch in packed.scene.changes]
    pair = next(find_image_pairs(packed.world.workspace, lines, AccessPolicy(areas=[rim])))
    assert pair is not None and pair[0] == MissingImage("") and isinstance(pair[1], PackImage)


def _shown_before(scene: PackContents) -> PackImage:
    """What stands for BEFORE of the first change."""
    pair = scene.changes[0].pair
    assert pair is not None and isinstance(pair[0], PackImage)
    return pair[0]


def _captions(figures: PackFigures, language: str) -> str:
    plates = [one for one in build_pack_document(figures, language).blocks if isinstance(one, FigureRow)]
    return "\n".join(figure.caption for plate in plates for figure in plate.figures)


def test_a_revision_that_holds_a_withdrawn_photo_is_shown_no_more_and_the_caption_says_what_stands_in(
    tmp_path: Path,
) -> None:
    """Its row and its tiles stay until past their grace."""
    world = make_world(tmp_path / "world")
    workspace, mosaic = world.workspace, world.mosaic_of(world.before)
    revisions, frames = workspace.catalog.revisions, workspace.catalog.frames
    photos = [one.frame_id for one in frames.list_for_flight(world.before, FrameStatus.USED)]
    number = revisions.open(mosaic, "hash-a", {}, 5)
    revisions.put_frames(mosaic.mosaic_id, number, [replace(used(1), frame_id=one) for one in photos])
    revisions.publish(finished(number, mosaic_id=mosaic.mosaic_id))
    found_on = f"{mosaic.mosaic_id}@{number}"
    workspace.catalog.changes.append([_line(world, SLIDE, 200, -250, before_shown=found_on)])

    before = _shown_before(gather_contents(workspace, [world.after]))
    assert (before.mosaic.revision, before.is_substitute) == (number, False)
    gone = Withdrawal(
        frame_id=photos[0],
        flight_id=world.before,
        reason="nhà dân",
        authority="UBND tỉnh",
        withdrawn_ns=6,
    )
    frames.withdraw([gone])
    revisions.retire_holding([gone.frame_id], gone.reason)
    assert any(one.revision == number for one in workspace.catalog.tiles.mosaics(world.before))
    scene = gather_contents(workspace, [world.after])
    scene, pictures, _ = draw_image_pairs(workspace, scene, MaskOverlay(UNRESTRICTED), None)
    before = _shown_before(scene)
    assert (before.mosaic.revision, before.is_substitute, before.is_lost) == (0, True, False)
    figures = gather_pack_figures(workspace, scene, pictures, Letterhead(), "")
    assert "20/08/2024 09:10; bản đang hiển thị, không phải bản đã dùng" in _captions(figures, "vi")
    assert "the revision on show, not the one that was used" in _captions(figures, "en")
    (beside,) = figures.further_flights
    assert beside.flight_id == world.before and len(beside.sources) == len(photos) - 1


def test_a_pair_from_which_masks_took_something_says_so_and_no_other(packed: Packed) -> None:
    """The flight before the change is none of the pack's: only its picture is in it."""
    here = next(patch for patch in packed.scene.changes if patch.impact.line.change_id == SLIDE)
    only = replace(packed.scene, changes=(here,))
    for offset_deg, is_covered in ((0.0, True), (0.01, False)):
        ground = shapely.to_wkb(shapely.affinity.translate(here.shape, offset_deg))
        policy = AccessPolicy(masks=RedactedGround({"p": (ground,)}, (("p", ground),)))
        cover = MaskOverlay(policy)
        _, pictures, _ = draw_image_pairs(packed.world.workspace, only, cover, None)
        assert cover.has_covered is is_covered
        assert (pictures != {"change-1": packed.figures.pictures["change-2"]}) is is_covered
    said = [block.text for block in build_pack_document(replace(packed.figures, is_covered=True), "en").blocks
            if isinstance(block, Paragraph)]  # fmt: skip
    assert str(COVERED) in said


def test_tiles_that_are_missing_are_told_with_the_cure(tmp_path: Path) -> None:
    world = make_world(tmp_path / "world")
    workspace = world.workspace
    workspace.catalog.changes.append([_line(world, SLIDE, 200, -250)])
    for key in list(workspace.store.list(keys.format_mosaic_prefix(world.mosaic_of(world.before).mosaic_id))):
        workspace.store.delete(key)
    scene = gather_contents(workspace, [world.after])
    scene, pictures, slides = draw_image_pairs(workspace, scene, MaskOverlay(UNRESTRICTED), None)
    figures = gather_pack_figures(workspace, scene, pictures, Letterhead(), "")
    assert sorted(pictures) == ["change-1"] and not slides, "half a slide would be read as not flown"
    assert "tiles missing, so that it stays empty: run flycam verify), after on the right" in _captions(
        figures, "en"
    )
    said = _captions(figures, "vi")
    assert said.count("thiếu mảnh ảnh nên để trống, hãy chạy flycam verify") == 1


def test_photos_of_flights_that_changes_are_shown_on_are_named_by_their_hashes(
    packed: Packed, tmp_path: Path
) -> None:
    catalog = packed.world.workspace.catalog
    held = {
        one.header.provenance.source_sha256
        for one in catalog.frames.list_for_flight(packed.world.before, FrameStatus.USED)
    }
    document = build_pack_document(packed.figures, "vi")
    rows = {row for block in document.blocks if isinstance(block, Table) for row in block.rows}
    name = catalog.flights.flight(packed.world.before).name
    assert {row[2] for row in rows if row[0] == name and len(row) == 3} == held
    write_source_list(tmp_path / "nguon-anh.csv", packed.figures)
    listed = (tmp_path / "nguon-anh.csv").read_text(encoding="utf-8-sig").splitlines()
    assert {line.rsplit(",", 1)[1] for line in listed if line.startswith(packed.world.before)} == held


def test_where_no_change_has_a_picture_that_is_said(packed: Packed) -> None:
    bare = replace(packed.figures, pictures={})
    document = build_pack_document(bare, "en")
    small = [one.text for one in document.blocks if isinstance(one, Paragraph) and one.kind == "small"]
    assert any(text.startswith("Without pictures before and after: T1, T2") for text in small), small


def test_the_pack_is_as_restricted_as_what_its_pairs_show(tmp_path: Path) -> None:
    world = make_world(tmp_path / "world")
    workspace = world.workspace

    def level() -> Classification:
        return gather_pack_figures(
            workspace, gather_contents(workspace, [world.after]), {}, Letterhead(), ""
        ).classification

    set_flight_classification(workspace, world.before, Classification.RESTRICTED, "Quân")
    assert level() is Classification.OPEN
    workspace.catalog.changes.append([_line(world, SLIDE, 200, -250)])
    assert level() is Classification.RESTRICTED


def test_the_pack_holds_the_pairs_for_any_browser_and_names_the_flights_that_they_show(
    packed: Packed, tmp_path: Path
) -> None:
    workspace = packed.world.workspace
    report = write_briefing_pack(workspace, PackRequest(flights=(packed.world.after,)), tmp_path / "pack")
    names = {path.name for path in report.files}
    assert {"change-1.jpg", "change-2.jpg", "change-4.jpg"} <= names
    page = (tmp_path / "pack" / "index.html").read_text(encoding="utf-8")
    assert "anh/change-1.jpg" in page
    said = page.replace("\N{NO-BREAK SPACE}", " ")
    names = [one.name for one in packed.figures.communes]
    for change in ("T1. Ngập lụt, 2,00 ± 0,06 ha – ", "T3. Sạt lở, 500 ± "):
        where = said.index(change) + len(change)
        assert any(name in said[where : where + 60] for name in names), change
    assert said.index("không có ảnh trước và sau:") < said.index("T3. "), "drawn over none that were named"
    assert "Dự thảo, chưa có lãnh đạo phê duyệt" in said
    asked = PackRequest(flights=(packed.world.after,), requested_by="Lan", approved_by="Minh")
    write_briefing_pack(workspace, asked, tmp_path / "final")
    final = (tmp_path / "final" / "index.html").read_text(encoding="utf-8")
    assert re.search(r"Người phê duyệt: Minh, lúc \d\d/\d\d/\d{4} \d\d:\d\d .*Người lập: Lan", final)
    assert report.flights_seen == (packed.world.after, packed.world.before)
    line = next(one for one in workspace.catalog.audit.lines() if one.what == "pack")
    assert line.subject == f"{packed.world.after} {packed.world.before}"


@pytest.mark.parametrize(
    ("language", "before", "size", "confirmed"),
    [
        ("vi", "TRƯỚC: ", "T1. Ngập lụt, 2,00 ± 0,06 ha – ", "thay đổi đã xác nhận (viền tím)"),
        ("en", "BEFORE: ", "T1. Flood, 2.00 ± 0.06 ha – ", "confirmed changes (violet)"),
    ],
)
def test_a_screen_shows_the_largest_changes_before_and_after(
    packed: Packed, language: str, before: str, size: str, confirmed: str
) -> None:
    """Maps alone were on the screen; nobody was told there that anything had changed. Of T4 one half would be
    empty, as ground that was not flown."""
    slides = build_pack_document(packed.figures, language).slides
    assert [one.picture for one in slides if one.is_pair] == ["change-1", "change-2"]
    said = [(one.title.replace("\N{NO-BREAK SPACE}", " "), one.line) for one in slides if one.is_pair]
    title, line = said[0]
    assert title.startswith(size) and any(one.name in title for one in packed.figures.communes)
    assert line.startswith(before) and packed.figures.changes[0].author in line
    maps = [one.line for one in slides if not one.is_pair]
    changed = sum(one.touched is not None for one in packed.figures.communes)
    assert sum(confirmed in line for line in maps) == 1 + changed


def test_slides_of_pairs_are_not_marked_twice(packed: Packed) -> None:
    """The slide has a band of its own; what is for paper has it too."""
    world = packed.world.workspace
    band, cover = to_drill_band(DRILL_MARK), MaskOverlay(UNRESTRICTED)
    _, paper, slides = draw_image_pairs(world, packed.scene, cover, band)
    _, plain, _ = draw_image_pairs(world, packed.scene, cover, None)
    assert set(slides) == {"change-1", "change-2"} and all(slides[name] == plain[name] for name in slides)
    assert all(read_size_px(paper[name])[1] > read_size_px(plain[name])[1] for name in plain)


@pytest.mark.parametrize(
    ("band", "encoded"), [(None, 11), (to_drill_band(DRILL_MARK), 11 + 8)], ids=["real", "drill"]
)
def test_the_eight_largest_that_both_pictures_show_have_slides_and_only_those_are_drawn_twice(
    packed: Packed, monkeypatch: pytest.MonkeyPatch, band: bytes | None, encoded: int
) -> None:
    """Of the second one half is empty; the ninth and tenth that both show are on paper alone."""
    drawn = list[bytes | None]()

    def counted(*given: Any) -> bytes:
        drawn.append(given[-1])
        return draw_pair(*given)

    monkeypatch.setattr(briefing_maps, "draw_pair", counted)
    by_id = {patch.impact.line.change_id: patch for patch in packed.scene.changes}
    slide, files = by_id[SLIDE], by_id[FILES]
    scene = replace(packed.scene, changes=(slide, files, *[slide] * 9))
    cover = MaskOverlay(UNRESTRICTED)
    _, paper, slides = draw_image_pairs(packed.world.workspace, scene, cover, band)
    assert list(paper) == [f"change-{number}" for number in range(1, 12)]
    assert list(slides) == [f"change-{number}" for number in (1, *range(3, 10))]
    assert len(drawn) == encoded


@pytest.mark.parametrize(
    ("language", "before", "others"),
    [
        (
            "vi",
            "TRƯỚC: 20/08/2024 09:10 (bản khác bản đã dùng) · SAU: ",
            " · vẽ tay · cặp ảnh kém chắc chắn · ",
        ),
        (
            "en",
            "BEFORE: 20/08/2024 09:10 (another revision than was used) · AFTER: ",
            " · drawn by hand · two doubtful pictures · ",
        ),
    ],
)
def test_a_slide_says_of_its_two_pictures_what_the_paper_says(
    packed: Packed, language: str, before: str, others: str
) -> None:
    """The date alone stood there: the chairman sees the slide, and not the caption."""
    first, *rest = packed.figures.changes
    assert first.seen is not None
    seen = replace(first.seen[0], stands_in=True), first.seen[1]
    doubted = replace(first, seen=seen, is_drawn=True, doubts=(DOUBT,))
    figures = replace(packed.figures, changes=(doubted, *rest))
    said, plain = (one.line for one in build_pack_document(figures, language).slides if one.is_pair)
    assert said.startswith(before) and others in said
    assert others not in plain and " (" not in plain.split(" · ")[0]


@pytest.mark.parametrize(
    ("language", "none", "compared", "not_compared"),
    [
        (
            "vi",
            "không có thay đổi nào được xác nhận trên phần đã so",
            "đã so ảnh trước và sau trên 12 % diện tích",
            "chưa so ảnh trước và sau",
        ),
        (
            "en",
            "no change confirmed on what was compared",
            "before and after compared on 12 % of it",
            "before and after not compared",
        ),
    ],
)
def test_a_communes_slide_says_how_much_of_it_was_compared_as_the_paper_does(
    packed: Packed, language: str, none: str, compared: str, not_compared: str
) -> None:
    """Where two pictures were compared and nothing was confirmed it was silent."""
    touched = next(one for one in packed.figures.communes if one.touched is not None)
    bare = replace(touched, touched=None, changes=())
    cases = [
        (replace(bare, compared_pct=12.0), {none, compared}),
        (replace(touched, compared_pct=12.0), {compared}),
        (replace(bare, compared_pct=None), {not_compared}),
        (replace(touched, compared_pct=None), {not_compared}),
    ]
    for commune, said in cases:
        _, slide, *_ = build_pack_document(replace(packed.figures, communes=(commune,)), language).slides
        parts = set(slide.line.replace("\N{NO-BREAK SPACE}", " ").split(" · "))
        assert parts & {none, compared, not_compared} == said, slide.line


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("vi", "thay đổi đã xác nhận (viền tím): 1 ngập lụt, 3 sạt lở, tổng "),
        ("en", "confirmed changes (violet): 1 flood, 3 landslides; "),
    ],
)
def test_the_first_slide_counts_changes_in_one_list(packed: Packed, language: str, said: str) -> None:
    assert said in build_pack_document(packed.figures, language).slides[0].line
