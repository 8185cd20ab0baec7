"""`flycam finish` from end to end on a small rehearsal flight with known truth."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.windows import from_bounds

from flycam.cli.products import format_finish
from flycam.drill.photo_drill import DrillReport, read_truth
from flycam.errors import DiskFull, InputUnusable, NotFound, OptionUnusable
from flycam.geodata.crs import describe_crs, transform_points
from flycam.geometry.grid import compute_grid_pixel_m, get_tile_bounds
from flycam.geometry.pose import PoseSource
from flycam.geometry.terrain import interpolate_heights
from flycam.model.access import RedactionReason
from flycam.model.frame import TileRecord
from flycam.model.records import FrameStatus, RevisionState
from flycam.model.time import format_iso
from flycam.mosaic.adjustment.block import TerrainPrior
from flycam.mosaic.amendments import withdraw_by_reference
from flycam.mosaic.export import export_contours, export_flight, export_surface
from flycam.mosaic.finish import workflow
from flycam.mosaic.finish.finished_tiles import compute_error_m, decode_error_m
from flycam.mosaic.finish.workflow import FinishRequest, plan_layer_jobs
from flycam.mosaic.redaction import RedactionRequest, add_redaction
from flycam.mosaic.terrain import load_recorded_terrain, register_dem
from flycam.mosaic.tiles.codec import compute_content_hash, read_tile
from flycam.workspace import Workspace
from tests.clips import cut_all
from tests.finished_house import (
    NAME,
    QUICK,
    Finished,
    finish_quickly,
    ingested,
    make_finished,
    tiles_of,
)
from tests.finishing import finish_flight


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, drill: DrillReport) -> Finished:
    return make_finished(tmp_path_factory.mktemp("finished"), drill)


@dataclass(frozen=True)
class Quick:
    """Tiles of the revision without a surface, made by one undisturbed run, and its progress."""

    tiles: dict[str, str]
    progress: list[tuple[str, int]]


@pytest.fixture(scope="module")
def quick(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Quick:
    workspace = finished.copy(tmp_path_factory.mktemp("quick") / "house", finished=False)
    steps: list[tuple[str, int]] = []
    report = finish_quickly(workspace, lambda stage, done, total: steps.append((stage, done * 100 // total)))
    assert report.layers[0].new
    return Quick(tiles_of(workspace, finished.mosaic_id, 1), steps)


def test_a_new_revision_is_shown_beside_the_live_one(finished: Finished) -> None:
    catalog, record = finished.workspace.catalog, finished.report.main
    assert record is not None
    assert (record.revision, record.state) == (1, RevisionState.PUBLISHED)
    assert catalog.tiles.mosaic(finished.mosaic_id).revision == 1
    assert tiles_of(finished.workspace, finished.mosaic_id, 0) == finished.live
    used = catalog.frames.list_for_flight(finished.report.flight.flight_id, FrameStatus.USED)
    frames = catalog.revisions.frames(finished.mosaic_id, 1)
    assert {one.frame_id for one in frames} == {one.frame_id for one in used}
    assert all(one.exterior.source is PoseSource.ADJUSTED for one in frames)
    assert all(one.state == "tied" and one.ties > 100 for one in frames)
    line = catalog.audit.lines()[-1]
    assert (line.who, line.what) == ("Trần Thị Bưởi", "finish")
    assert "revision 1: accepted" in line.detail
    assert not [one for one in (finished.root / "cache").rglob("*") if one.suffix in (".stage", ".part")]


def test_communes_and_their_clips_follow_the_revision_on_show(finished: Finished, tmp_path: Path) -> None:
    workspace, flight_id = finished.copy(tmp_path / "house"), finished.report.flight.flight_id
    coverage = workspace.catalog.boundaries.coverage(flight_id)
    assert coverage and set(finished.report.communes) == set(coverage)
    assert all(one.clip_key is None for one in coverage), "nobody has asked for one"
    for key in cut_all(workspace, flight_id):
        assert key.startswith(f"products/{finished.mosaic_id}/r1/")
        assert workspace.store.exists(key)
    finish_flight(workspace, NAME)
    assert cut_all(workspace, flight_id) == [
        one.clip_key for one in workspace.catalog.boundaries.coverage(flight_id)
    ]


def test_poses_come_nearer_to_the_truth(finished: Finished, drill: DrillReport) -> None:
    """After one common shift, which nothing can tell without control."""
    truth = read_truth(drill.photos.parent).exteriors
    catalog = finished.workspace.catalog
    adjusted = {one.frame_id: one for one in catalog.revisions.frames(finished.mosaic_id, 1)}
    before, after = [], []
    for frame in catalog.frames.list_for_flight(finished.report.flight.flight_id):
        true = np.array(truth[frame.header.provenance.source_name].projection_centre_m)
        before.append(np.array(frame.header.exterior_prior.projection_centre_m) - true)
        after.append(np.array(adjusted[frame.frame_id].exterior.projection_centre_m) - true)
    spread = [np.hypot(*(np.array(e) - np.mean(e, axis=0))[:, :2].T).mean() for e in (before, after)]
    assert spread[1] < 0.6 * spread[0]


def test_every_pixel_says_how_far_off_it_may_be(finished: Finished) -> None:
    catalog = finished.workspace.catalog
    mosaic = catalog.tiles.mosaic(finished.mosaic_id)
    errors = []
    for head in catalog.tiles.heads(mosaic.mosaic_id, 1, z=mosaic.base_zoom):
        tile = read_tile(finished.workspace.store, head)
        assert ((tile.quality > 0) == (tile.source > 0)).all()
        errors.append(decode_error_m(tile.quality[tile.quality > 0]))
    error = np.concatenate(errors)
    assert 0.05 < np.median(error) < 3.0
    assert error.max() <= 65.0
    answer, _ = format_finish(finished.report)
    median, p95 = np.percentile(error, [50.0, 95.0])  # the report looks at every so many pixels
    assert answer["map_error_m"]["median"] == pytest.approx(median, rel=0.03)
    assert answer["map_error_m"]["p95"] == pytest.approx(p95, rel=0.03)


def test_the_same_inputs_and_options_make_nothing_new(finished: Finished, tmp_path: Path) -> None:
    workspace = finished.copy(tmp_path / "house")
    seq = workspace.catalog.tiles.last_seq(finished.mosaic_id)
    again = finish_flight(workspace, NAME)
    assert not again.layers[0].new
    assert again.main == finished.report.main
    assert workspace.catalog.tiles.last_seq(finished.mosaic_id) == seq


def test_other_options_make_a_further_revision_and_the_first_may_be_shown_again(
    finished: Finished, tmp_path: Path, quick: Quick
) -> None:
    workspace = finished.copy(tmp_path / "house")
    photo = workspace.catalog.frames.list_for_flight(finished.report.flight.flight_id, FrameStatus.USED)[0]
    corners = [(100.0, 100.0), (130.0, 100.0), (130.0, 120.0)]
    mask = add_redaction(
        workspace,
        RedactionRequest(
            redaction_id="mask-00000001",
            frame_id=photo.frame_id,
            reason=RedactionReason.HOME,
            corners=corners,
        ),
        "Lan",
    )
    footprints = workspace.catalog.redactions.list_footprints([mask.line_id])
    assert len({one.wkb for one in footprints}) == 2, (
        "as the photo lies live, and as the finished map adjusted it"
    )
    other = finish_quickly(workspace)
    assert len(workspace.catalog.redactions.list_footprints([mask.line_id])) == 3, "and in the next revision"
    assert other.main is not None
    assert (other.main.revision, other.main.support_key) == (2, None)
    assert tiles_of(workspace, finished.mosaic_id, 2) == quick.tiles, "the same bytes in another house"
    assert workspace.catalog.tiles.mosaic(finished.mosaic_id).revision == 2
    first = finish_flight(workspace, NAME)
    assert (first.main, first.layers[0].new) == (finished.report.main, False)
    assert first.layers[0].instead_of == 2
    assert workspace.catalog.audit.lines()[-1].detail.endswith("instead of 2")
    assert workspace.catalog.tiles.mosaic(finished.mosaic_id).revision == 1
    assert all("/r1/" in key for key in cut_all(workspace, first.flight.flight_id))


def test_exports_follow_the_revision(finished: Finished, tmp_path: Path) -> None:
    tags, terrain = {}, {}
    for wanted in (None, "final", "live"):
        out = tmp_path / f"{wanted}.tif"
        export_flight(finished.workspace, NAME, out, revision=wanted)
        with rasterio.open(out) as picture:
            tags[wanted] = picture.tags()["FLYCAM_REVISION"]
            terrain[wanted] = picture.tags()["FLYCAM_TERRAIN"].partition(" ")[0]
    assert tags == {None: "final 1", "final": "final 1", "live": "live"}
    record = finished.workspace.catalog.revisions.get(finished.mosaic_id, 1)
    assert terrain["final"] == record.dem_id != terrain["live"], "each tells the ground that it lies on"


def test_the_ground_it_lies_on_is_exported_with_its_support(finished: Finished, tmp_path: Path) -> None:
    out = tmp_path / "dsm.tif"
    exported = export_surface(finished.workspace, NAME, out)
    with rasterio.open(out) as dsm:
        assert (dsm.count, dsm.dtypes) == (2, ("float32", "float32"))
        known_crs = describe_crs(dsm.crs.to_wkt())
        assert known_crs.horizontal == finished.report.flight.work_crs
        assert (known_crs.vertical_datum, known_crs.vertical_unit_m) == ("EGM96", 1.0)
        assert exported.crs == f"{finished.report.flight.work_crs}+5773" and dsm.units == ("metre", "1")
        assert tuple(dsm.bounds) == pytest.approx(exported.bounds)
        assert dsm.descriptions[0].startswith("height, m, ") and dsm.descriptions[1].startswith("1 = own")
        heights, own = dsm.read()
        known = dsm.dataset_mask() > 0
    assert set(np.unique(own)) == {0.0, 1.0}
    assert known[own == 1].all()
    assert 0.1 < own.mean() < 1.0
    assert 0.3 < known.mean() < 0.97
    assert 50.0 < np.median(heights[known]) < 2000.0
    with pytest.raises(NotFound):
        export_surface(finished.workspace, NAME, out, revision="live")


def test_error_and_age_are_exported_as_the_tiles_have_them(finished: Finished, tmp_path: Path) -> None:
    """On the pixels of the tiles themselves the file says what the tiles say."""
    workspace = finished.workspace
    flight = finished.report.flight
    now_ns = flight.last_ns + 36 * 3_600_000_000_000
    later = replace(workspace, clock_ns=lambda: now_ns)
    for revision in (0, 1):
        mosaic = replace(workspace.catalog.tiles.mosaic(finished.mosaic_id), revision=revision)
        pixel_m = compute_grid_pixel_m(mosaic.base_zoom)
        out = tmp_path / f"{revision}.tif"
        wanted = "final" if revision else "live"
        export_flight(later, NAME, out, crs="EPSG:3857", gsd_m=pixel_m, with_figures=True, revision=wanted)
        heads = workspace.catalog.tiles.heads(finished.mosaic_id, revision, z=mosaic.base_zoom)
        head = max(heads, key=lambda head: int((read_tile(workspace.store, head).quality > 0).sum()))
        tile = read_tile(workspace.store, head)
        frames = {name: workspace.catalog.frames.get(name) for name in tile.frames}
        with rasterio.open(out) as figures:
            assert figures.dtypes == ("float32", "float32") and figures.units == ("metre", "hour")
            assert "1 sigma" in figures.descriptions[0] and format_iso(now_ns) in figures.descriptions[1]
            window = from_bounds(*get_tile_bounds(tile.tile_id), transform=figures.transform)
            found = figures.read(window=window.round_offsets().round_lengths())
            shown = figures.read_masks(1, window=window.round_offsets().round_lengths()) > 0
        there = tile.quality > 0
        assert np.array_equal(shown, there)
        assert np.isnan(found[:, ~there]).all(), "to who does not read the mask 0 m would be a figure"
        errors = compute_error_m(tile, frames if revision == 0 else None)
        assert np.array_equal(found[0][there], errors[there], equal_nan=True)
        assert np.nanmax(errors[there]) < 30.0 and np.isfinite(errors[there]).mean() > 0.9
        ages = {round((now_ns - frame.header.captured_ns) / 3.6e12, 3) for frame in frames.values()}
        assert {round(float(age), 3) for age in np.unique(found[1][there])} <= ages


@pytest.mark.parametrize("suffix", ["gpkg", "geojson"])
def test_its_contours_lie_on_the_heights_they_say(finished: Finished, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"lines.{suffix}"
    count = export_contours(finished.workspace, NAME, out, 10.0)
    info, __, shapes, (heights, own) = pyogrio.raw.read(out)
    assert list(info["fields"]) == ["height_m", "own"] and set(np.unique(own)) == {0, 1}
    assert len(shapes) == count > 5
    assert set(np.asarray(heights) % 10.0) == {0.0}
    work = finished.report.flight.work_crs
    assert info["crs"] == (work if suffix == "gpkg" else "EPSG:4326")
    record = finished.report.main
    assert record is not None
    terrain = load_recorded_terrain(finished.workspace, record.stats["surface"]["terrain_id"])
    places = [shapely.from_wkb(one).interpolate(0.5, normalized=True).coords[0][:2] for one in shapes]
    xy = transform_points(np.array(places), info["crs"], work)
    off = np.abs(interpolate_heights(terrain, xy) - heights)
    assert np.nanmedian(off) < 1.0


def test_a_withdrawn_frame_takes_the_final_with_it(finished: Finished, tmp_path: Path) -> None:
    workspace = finished.copy(tmp_path / "house")
    frame = workspace.catalog.frames.list_for_flight(finished.report.flight.flight_id)[0]
    before = cut_all(workspace, finished.report.flight.flight_id)
    report = withdraw_by_reference(workspace, frame.frame_id, "nhà dân", "UBND tỉnh")
    assert report.retired == (1,)
    assert workspace.catalog.tiles.mosaic(finished.mosaic_id).revision == 0
    with pytest.raises(NotFound):
        export_flight(workspace, NAME, tmp_path / "final.tif", revision="final")
    after = cut_all(workspace, report.flight.flight_id)
    assert all("/r0/" in key for key in after) and not set(after) & set(before)
    again = finish_quickly(workspace)
    assert again.main is not None
    assert again.main.revision == 2
    frames = workspace.catalog.revisions.frames(finished.mosaic_id, 2)
    assert len(frames) == 5 and frame.frame_id not in {one.frame_id for one in frames}


def test_progress_never_goes_back_and_ends_at_the_end(quick: Quick) -> None:
    shares = [share for __, share in quick.progress]
    assert shares == sorted(shares)
    assert shares[-1] == 100
    stages = list(dict.fromkeys(stage for stage, __ in quick.progress))
    assert stages == ["ties", "adjust", "overviews", "radiometry", "seams", "blend", "report", "communes"]


def test_tiles_lost_or_damaged_after_it_was_finished_are_made_again(
    finished: Finished, tmp_path: Path
) -> None:
    """Base tiles from the photos, parents from their children: the same states under the same keys."""
    workspace = finished.copy(tmp_path / "house")
    heads = workspace.catalog.tiles.heads(finished.mosaic_id, 1)
    base = [head for head in heads if head.tile_id.z == max(one.tile_id.z for one in heads)]
    parents = [head for head in heads if head not in base]
    spoil(workspace, base[0], b"")
    spoil(workspace, parents[-1], b"rust")
    workspace.store.delete(base[-1].key)
    workspace.store.delete(parents[0].key)
    seq = workspace.catalog.tiles.last_seq(finished.mosaic_id)
    again = finish_flight(workspace, NAME)
    assert (again.layers[0].new, again.layers[0].repaired) == (False, 4)
    assert workspace.catalog.tiles.last_seq(finished.mosaic_id) == seq
    for head in heads:
        assert compute_content_hash(read_tile(workspace.store, head)) == head.content_hash
    assert finish_flight(workspace, NAME).layers[0].repaired == 0
    assert not list((tmp_path / "house" / "cache").rglob("*.stage"))


def spoil(workspace: Workspace, head: TileRecord, data: bytes) -> None:
    workspace.store.delete(head.key)
    workspace.store.put(head.key, data)


def test_too_few_photos_are_said(drill: DrillReport, card: Path, tmp_path: Path) -> None:
    for photo in sorted(card.iterdir())[1:]:
        photo.unlink()
    workspace = ingested(tmp_path / "house", drill, card)
    with pytest.raises(InputUnusable, match="1 photo"):
        finish_flight(workspace, NAME)


@pytest.mark.parametrize(
    ("request_", "option"),
    [
        (FinishRequest(held_out_share=0.9), "--held-out 0.9"),
        (FinishRequest(gsd_m=0.001), "--gsd 0.001"),
        (FinishRequest(dsm_spacing_m=math.nan), "--dsm-spacing nan"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    finished: Finished, request_: FinishRequest, option: str
) -> None:
    with pytest.raises(OptionUnusable, match=option):
        finish_flight(finished.workspace, NAME, request_)


def test_a_disk_that_is_too_small_is_said_before_the_work(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow, "_FRAME_BYTES", 10**17)
    workspace = finished.copy(tmp_path / "house", finished=False)
    with pytest.raises(DiskFull, match="Bản Lầu"):
        finish_quickly(workspace)


def test_how_true_the_terrain_is_decides_the_result_and_is_recorded(
    finished: Finished, tmp_path: Path, drill: DrillReport
) -> None:
    house = finished.copy(tmp_path / "house", finished=False)
    flight = house.catalog.flights.flight(NAME)
    (usual,) = plan_layer_jobs(house, flight, QUICK)
    assert usual.terrain_sigma_m is None
    assert "terrain_sigma_m" not in usual.options
    register_dem(house, drill.dem, sigma_m=(0.4, None))
    (stated,) = plan_layer_jobs(house, flight, QUICK)
    assert stated.terrain_sigma_m == (0.4, None)
    assert stated.options["terrain_sigma_m"] == [0.4, None]
    assert stated.digest != usual.digest
    terrain = load_recorded_terrain(house, stated.dem_id)
    for sigma_m, shift_m in (((0.4, None), (5.0, 5.0, 0.4)), ((0.4, 1.0), (1.0, 1.0, 0.4))):
        prior = TerrainPrior.from_stated_sigma(terrain, sigma_m)
        assert (prior.sigma_height_m, prior.sigma_shift_m) == (0.4, shift_m)
