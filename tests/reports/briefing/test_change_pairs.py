"""A commune's annex tells its part of a change, with its error, and shows the ground before and after."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
import shapely.affinity

from flycam.access.policy import UNRESTRICTED, AccessPolicy, IdFilter, RedactedGround
from flycam.access.restrictions import set_flight_classification
from flycam.catalog.changes import ChangeVersion
from flycam.model.board import ChangeKind, ChangeStatus
from flycam.model.flight import Classification
from flycam.model.records import FrameStatus, Withdrawal
from flycam.mosaic.redaction import MaskOverlay
from flycam.reports.briefing.contents import (
    MissingImage,
    PackContents,
    PackImage,
    find_image_pairs,
    gather_contents,
)
from flycam.reports.briefing.document import COVERED, build_pack_document
from flycam.reports.briefing.figures import Letterhead, PackFigures, gather_pack_figures
from flycam.reports.briefing.maps import draw_image_pairs
from flycam.reports.briefing.workflow import PackRequest, write_briefing_pack, write_source_list
from flycam.reports.layout import FigureRow, Paragraph, Table
from flycam.storage import keys
from tests.change.impacted import changed, square
from tests.serve.world import REAL, World, make_world
from tests.suites.catalog_suite import finished, used

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
    options: dict[str, object] = {
        "event_id": REAL,
        "status": ChangeStatus.ACCEPTED,
        "error_m": 1.5,
        **shown,
        **more,
    }
    area_m2 = options.pop("area_m2", 10_000.0)
    return replace(changed(name, square(west_m, south_m, 80), **options), area_m2=area_m2)  # type: ignore[arg-type]


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
    scene = gather_contents(world.workspace, [world.after])
    scene, pictures, slides = draw_image_pairs(world.workspace, scene, MaskOverlay(UNRESTRICTED), None)
    figures = gather_pack_figures(world.workspace, scene, pictures, Letterhead(), "")
    return Packed(world, scene, replace(figures, slides=slides))


def test_the_ground_is_shown_before_and_after(packed: Packed) -> None:
    """The storm painted the ground anew here."""
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


def test_a_flight_that_is_withheld_is_not_shown_in_any_pair(packed: Packed) -> None:
    lines = [patch.impact.line for patch in packed.scene.changes]
    hiding = AccessPolicy(flights=IdFilter(hidden=frozenset({packed.world.before})))
    (pair, *_), seen = (
        list(find_image_pairs(packed.world.workspace, lines, policy)) for policy in (hiding, UNRESTRICTED)
    )
    assert pair is not None and pair[0] == MissingImage("") and isinstance(pair[1], PackImage)
    assert seen[0] is not None and all(isinstance(one, PackImage) for one in seen[0])
    assert [one is None for one in seen] == [False, False, True, False]


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
    assert "20/08/2024 09:10; " in _captions(figures, "vi")
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
    blocks = build_pack_document(replace(packed.figures, is_covered=True), "en").blocks
    assert str(COVERED) in [block.text for block in blocks if isinstance(block, Paragraph)]


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
    assert _captions(figures, "vi").count("flycam verify") == 1


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
    assert report.flights_seen == (packed.world.after, packed.world.before)
    line = next(one for one in workspace.catalog.audit.lines() if one.what == "pack")
    assert line.subject == f"{packed.world.after} {packed.world.before}"


def test_a_screen_shows_the_largest_changes_before_and_after(packed: Packed) -> None:
    """Of T4 one half would be empty, as ground that was not flown."""
    slides = [one for one in build_pack_document(packed.figures, "vi").slides if one.is_pair]
    assert [one.picture for one in slides] == ["change-1", "change-2"]
    assert slides[0].title.startswith("T1. ") and packed.figures.changes[0].author in slides[0].line
    assert any(one.name in slides[0].title for one in packed.figures.communes)
