"""`compare`: what two pictures have in common is laid on each other, and every candidate lies where it is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pyogrio
import pytest
import shapely
from click.testing import CliRunner
from rasterio.warp import Resampling, calculate_default_transform, reproject

from flycam.change.comparison import compare_sources
from flycam.change.comparison_grid import MAX_COARSENING, open_image_source
from flycam.change.detection import prepare_detection
from flycam.cli import flycam
from flycam.cli.products import format_comparison
from flycam.errors import (
    CoregistrationFailed,
    InputUnusable,
    NotFound,
    OptionUnusable,
    SourceUnreadable,
)
from flycam.geodata.crs import transform_points
from flycam.geodata.raster import write_geotiff
from flycam.model.records import CommuneRecord
from flycam.mosaic.coverage import get_flight_date
from flycam.mosaic.export import export_flight
from flycam.mosaic.orthorectify.flight_session import make_event
from flycam.mosaic.orthorectify.flight_session import resolve_flight_event as event_for_ingest
from tests.change.compared import CRS, GSD_M, NORTH, WEST, Finder, Found, picture, square
from tests.change.ground import field, ground, moved, other_light
from tests.change.test_cloud_mask import overcast

pytestmark = pytest.mark.usefixtures("registered_once")
SHIFT_PX = (9.0, -6.0)


@pytest.fixture(scope="module")
def scenes() -> tuple[np.ndarray, np.ndarray]:
    """Ground before, and the same after in other light and off by SHIFT_PX."""
    before = ground(1, 900)
    return before, other_light(moved(before, field(before.shape[:2], SHIFT_PX)))


@pytest.fixture
def files(scenes, tmp_path) -> tuple[str, str]:
    before, after = scenes
    return str(picture(tmp_path / "before.tif", before)), str(picture(tmp_path / "after.tif", after))


@pytest.fixture
def workspace(make_house):
    return make_house().workspace


def _communes(workspace, *easts: float) -> None:
    """Communes side by side, borders at metres east of WEST."""
    records = []
    for number, (left, right) in enumerate(pairwise(easts)):
        corners = [(left, -400.0), (right, -400.0), (right, 100.0), (left, 100.0)]
        ring = np.add(corners, (WEST, NORTH))
        polygon = shapely.Polygon(transform_points(ring, CRS, "EPSG:4326"))
        records.append(
            CommuneRecord(
                code=f"0{number}",
                name=f"Xã {number}",
                valid_from=date(2025, 7, 1),
                wkb=shapely.to_wkb(polygon),
                area_m2=(right - left) * 500.0,
                search_name=f"xa {number}",
            )
        )
    workspace.catalog.boundaries.put_communes(records)


def _aoi(path: Path, *corners: tuple[float, float]) -> Path:
    """A polygon, metres from the pictures' upper left corner (east, south)."""
    ring = np.add(np.multiply(corners, (1.0, -1.0)), (WEST, NORTH))
    degrees = transform_points(ring, CRS, "EPSG:4326")
    feature = {
        "type": "Feature",
        "properties": {},
        "geometry": shapely.geometry.mapping(shapely.Polygon(degrees)),
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


def test_after_is_laid_on_before_and_what_it_says_is_written(workspace, files, tmp_path, scenes):
    finder = Finder()
    out = tmp_path / "changes.gpkg"
    done = compare_sources(workspace, *files, out, finder)
    pair = finder.pairs[0]
    registration = done.registration
    assert registration.shift_m == pytest.approx((SHIFT_PX[0] * GSD_M, -SHIFT_PX[1] * GSD_M), abs=0.1)
    # the pair shows the same ground: edges of both lie on each other
    both = pair.both_seen[100:-100, 100:-100]
    one, other = (a[100:-100, 100:-100].mean(axis=2)[both] for a in (pair.before_rgb, pair.after_rgb))
    best = np.corrcoef(scenes[0].mean(axis=2).ravel(), other_light(scenes[0]).mean(axis=2).ravel())[0, 1]
    assert np.corrcoef(one, other)[0, 1] > 0.95 * best
    assert finder.stable[0].shape == pair.before_seen.shape and finder.stable[0].mean() > 0.5
    assert np.isnan(pair.heights_m).all()
    meta, _, wkb, values = pyogrio.raw.read(out, layer="registration")
    assert meta["crs"] == CRS
    fields = dict(zip(meta["fields"], values, strict=True))
    agreed = fields["state"] == "agreed"
    assert agreed.sum() == registration.agreed.sum()
    assert np.median(fields["east_m"][agreed]) == pytest.approx(SHIFT_PX[0] * GSD_M, abs=0.1)
    at = shapely.get_coordinates(shapely.from_wkb(wkb)) - (WEST, NORTH)
    assert (at[:, 0] > 0).all() and (at[:, 0] < 225).all() and (at[:, 1] < 0).all()


def test_a_candidate_lies_where_its_pixels_do_in_every_commune_it_touches(workspace, files, tmp_path):
    _communes(workspace, -50.0, 100.0, 300.0)
    over_border = Found(square((340 - 0.5, 200 - 0.5), 80.0))
    inside = Found(square((600 - 0.5, 600 - 0.5), 40.0), kind="flood", score=0.9)
    overlapping = Found(square((600 - 0.5, 620 - 0.5), 40.0), kind="flood", score=0.3)
    other = Found(square((700 - 0.5, 200 - 0.5), 40.0), kind="other", score=0.2)  # no ground of it is summed
    out = tmp_path / "changes.gpkg"
    done = compare_sources(workspace, *files, out, Finder([over_border, inside, overlapping, other]))
    meta, _, wkb, values = pyogrio.raw.read(out, layer="changes")
    fields = dict(zip(meta["fields"], values, strict=True))
    assert list(fields["kind"]) == ["flood", "landslide", "flood", "other"], "the likeliest first"
    assert fields["area_m2"] == pytest.approx([100.0, 400.0, 100.0, 100.0])
    assert np.isnan(fields["slope_deg"]).all(), "no terrain is known"
    assert list(fields["commune"]) == ["01", "00", "01", "01"], "most of it decides"
    assert list(fields["commune_name"][:2]) == ["Xã 1", "Xã 0"]
    west, south, east, north = shapely.bounds(shapely.from_wkb(wkb[1]))
    assert (west - WEST, NORTH - north) == pytest.approx((85.0, 50.0), abs=0.01)
    assert (east - west, north - south) == pytest.approx((20.0, 20.0))
    rows = {row.code: row for row in done.by_commune}
    assert rows["00"].area_m2_by_kind == pytest.approx({"landslide": 300.0}, rel=0.01)
    assert rows["01"].area_m2_by_kind == pytest.approx({"landslide": 100.0, "flood": 150.0}, rel=0.01)
    assert (rows["00"].changes, rows["01"].changes) == (1, 4)


def test_a_drills_communes_count_in_its_own_comparisons_only(workspace, files, tmp_path):
    """They lie over those that exist, and a change counted in both."""
    _communes(workspace, -50.0, 300.0)
    (real,) = workspace.catalog.boundaries.communes()
    workspace.catalog.boundaries.put_communes([replace(real, code="DT001", name="Nậm Diễn Tập")])
    drill = make_event("DIỄN TẬP", is_drill=True)
    workspace.catalog.flights.put_event(drill)
    found = Finder([Found(square((340 - 0.5, 200 - 0.5), 80.0))])
    for event, code in ((None, "00"), (drill.name, "DT001")):
        done = compare_sources(workspace, *files, tmp_path / "c.gpkg", found, event=event)
        assert [(row.code, row.changes) for row in done.by_commune] == [(code, 1)]


def test_the_detector_sees_all_around_an_area_and_the_area_cuts_what_it_found(workspace, files, tmp_path):
    aoi = _aoi(tmp_path / "aoi.geojson", (60, 60), (120, 60), (120, 120), (60, 120))
    whole, cut = (Finder([Found(square((200.0, 200.0), 100.0))]) for _ in range(2))
    compare_sources(workspace, *files, tmp_path / "whole.gpkg", whole)
    done = compare_sources(workspace, *files, tmp_path / "cut.gpkg", cut, aoi=aoi)
    # the margin of the area reaches all over these pictures
    assert cut.pairs[0].both_seen.sum() == pytest.approx(whole.pairs[0].both_seen.sum(), rel=0.02)
    assert done.common_m2 == pytest.approx(60 * 60, rel=0.01)
    # of the 25 m from (50, 50) on, the area holds 15 by 15
    assert [one.area_m2 for one in done.changes] == pytest.approx([225.0], rel=0.03)


def test_a_change_that_the_area_cuts_has_at_least_its_area(workspace, files, tmp_path):
    aoi = _aoi(tmp_path / "aoi.geojson", (60, 60), (120, 60), (120, 120), (60, 120))
    found = Finder([Found(square((200.0, 200.0), 100.0)), Found(square((320.0, 320.0), 60.0), kind="flood")])
    done = compare_sources(workspace, *files, tmp_path / "c.gpkg", found, aoi=aoi)
    assert {one.kind: one.is_cut for one in done.changes} == {"landslide": True, "flood": False}
    meta, _, _, values = pyogrio.raw.read(tmp_path / "c.gpkg", layer="changes")
    fields = dict(zip(meta["fields"], values, strict=True))
    assert dict(zip(fields["kind"], fields["at_least"], strict=True)) == {"landslide": "area", "flood": ""}
    answer, lines = format_comparison(done)
    assert [row["kinds_at_least"] for row in answer["by_commune"]] == [["landslide"]]
    (row,) = [str(line) for line in lines if "at least" in str(line)]
    assert "landslide at least 229" in row and "flood 225" in row


@pytest.mark.parametrize(("kind", "side_px", "count"), [("landslide", 45, 0), ("flood", 45, 1)])
def test_a_scrap_that_an_area_leaves_of_a_change_is_none(workspace, files, tmp_path, kind, side_px, count):
    """It has the score of the whole. 11 by 11 m: less than a slide is at the least, enough of a flood."""
    aoi = _aoi(tmp_path / "aoi.geojson", (60, 60), (120, 60), (120, 120), (60, 120))
    side = 40.0 + side_px
    found = Finder([Found(square((200.0, 200.0), side), kind=kind)])
    done = compare_sources(workspace, *files, tmp_path / "c.gpkg", found, aoi=aoi)
    assert [one.kind for one in done.changes] == [kind] * count


def test_ground_that_was_compared_is_told_from_ground_that_was_not(workspace, scenes, tmp_path):
    before, after = scenes
    hole = (slice(200, 600), slice(0, 300))
    files = (
        str(picture(tmp_path / "b.tif", before, hole=hole)),
        str(picture(tmp_path / "a.tif", after)),
    )
    _communes(workspace, -400.0, -30.0, -20.0, 100.0, 400.0)  # the first is beyond the grid's rim
    out = tmp_path / "c.gpkg"
    done = compare_sources(workspace, *files, out, Finder([Found(square((100.0, 300.0), 400.0))]))
    unseen = shapely.box(WEST + 5, NORTH - 145, WEST + 70, NORTH - 55)
    assert done.changes[0].polygon.intersection(unseen).area == 0.0, "never reported"
    rows = {row.code: row for row in done.by_commune}
    assert set(rows) == {"01", "02", "03"}
    assert rows["01"].compared_m2 == 0.0 and rows["01"].changes == 0
    for row, width_m in ((rows["02"], 120.0), (rows["03"], 300.0)):
        assert row.compared_pct == pytest.approx(100.0 * row.compared_m2 / (width_m * 500.0), rel=0.01)
    assert sum(row.compared_m2 for row in rows.values()) == pytest.approx(done.common_m2, rel=1e-6)
    assert sorted(pyogrio.list_layers(out)[:, 0]) == ["changes", "compared", "registration"]
    meta, _, wkb, values = pyogrio.raw.read(out, layer="compared")
    (ground_,) = shapely.from_wkb(wkb)
    assert meta["crs"] == CRS and values[0][0] == pytest.approx(done.common_m2)
    assert ground_.area == pytest.approx(done.common_m2)
    assert not ground_.intersects(unseen)
    answer, _ = format_comparison(done)
    assert all({"compared_m2", "compared_pct"} <= set(row) for row in answer["by_commune"])


def test_ground_under_a_cloud_was_not_compared_and_that_is_said(workspace, scenes, tmp_path):
    before, after = scenes
    under, opaque = overcast(after, 0.15, 3)
    files = (str(picture(tmp_path / "b.tif", before)), str(picture(tmp_path / "a.tif", under)))
    done = compare_sources(workspace, *files, tmp_path / "c.gpkg", Finder())
    hidden = (opaque > 0.95).sum() * GSD_M**2
    whole = opaque.size * GSD_M**2
    assert hidden > 0.05 * whole and done.common_m2 < whole - hidden
    assert [set(one.values) for one in done.remarks[:1]] == [{"percent"}]


def test_geojson_names_the_ground_that_was_compared(workspace, files, tmp_path):
    out = tmp_path / "changes.geojson"
    done = compare_sources(workspace, *files, out, Finder())
    compared = shapely.geometry.shape(json.loads(out.read_text())["compared"])
    inside, beside = ((WEST + 100.0, NORTH - 100.0), (WEST - 50.0, NORTH - 100.0))
    degrees = transform_points(np.array([inside, beside]), CRS, "EPSG:4326")
    assert list(shapely.contains_xy(compared, degrees)) == [True, False]
    assert done.changes == ()
    assert "CRS84" in json.dumps(json.loads(out.read_text())["crs"])


def test_another_crs_and_another_pixel_are_compared_at_the_coarser(workspace, files, scenes, tmp_path):
    before = scenes[0]
    transform, width, height = calculate_default_transform(
        CRS, "EPSG:4326", 900, 900, WEST, NORTH - 225, WEST + 225, NORTH, resolution=0.6 / 111_000
    )
    other = np.zeros((3, height, width), np.uint8)
    reproject(
        np.moveaxis(before, -1, 0),
        other,
        src_transform=(GSD_M, 0, WEST, 0, -GSD_M, NORTH),
        src_crs=CRS,
        dst_transform=transform,
        dst_crs="EPSG:4326",
        resampling=Resampling.average,
    )
    write_geotiff(
        tmp_path / "sat.tif", np.moveaxis(other, 0, -1), tuple(transform)[:6], "EPSG:4326", nodata=0
    )
    done = compare_sources(workspace, str(tmp_path / "sat.tif"), files[1], tmp_path / "c.gpkg", Finder())
    assert done.crs == CRS
    assert 0.5 < done.gsd_m < 0.62
    assert done.registration.shift_m == pytest.approx((SHIFT_PX[0] * GSD_M, -SHIFT_PX[1] * GSD_M), abs=0.15)


def test_a_hole_that_no_file_speaks_of_was_not_imaged_and_that_is_said(workspace, scenes, tmp_path):
    before, after = (np.clip(scene, 1, 254) for scene in scenes)
    after[300:540, 300:540] = 255
    for name, values in (("b.tif", before), ("a.tif", after)):
        write_geotiff(tmp_path / name, values, (GSD_M, 0.0, WEST, 0.0, -GSD_M, NORTH), CRS)
    finder = Finder([Found(square((250.0, 250.0), 400.0), kind="flood")])
    files = str(tmp_path / "b.tif"), str(tmp_path / "a.tif")
    done = compare_sources(workspace, *files, tmp_path / "c.gpkg", finder)
    # AFTER lies off by its shift; within that the hole is nowhere reported, nor compared
    west, north = WEST + 75.0 - SHIFT_PX[0] * GSD_M, NORTH - 75.0 + SHIFT_PX[1] * GSD_M
    hole = shapely.box(west + 1.0, north - 59.0, west + 59.0, north - 1.0)
    assert done.changes[0].polygon.intersection(hole).area == 0.0
    _, _, wkb, _ = pyogrio.raw.read(tmp_path / "c.gpkg", layer="compared")
    assert shapely.from_wkb(wkb[0]).intersection(hole).area == 0.0
    remarks = [one.values for one in done.remarks if one.values.get("name") == "a.tif"]
    assert remarks == [{"name": "a.tif", "percent": pytest.approx(7.1, abs=0.1)}]


def test_a_registration_that_little_of_the_ground_vouches_for_is_said_first(
    workspace, files, tmp_path, monkeypatch
):
    done = compare_sources(workspace, *files, tmp_path / "c.gpkg", Finder())
    sure, _ = format_comparison(done)
    figures = sure["registration"]
    assert figures["agreed"] <= figures["found"] <= figures["windows"]
    assert figures["agreed_share"] == pytest.approx(figures["agreed"] / figures["found"], abs=1e-3)
    assert figures["found_p95_m"] >= figures["p95_m"]
    few = done.registration.agreed & (np.arange(len(done.registration.agreed)) % 4 == 0)
    doubted = replace(done.registration, agreed=few, found_p95_m=1.37)
    monkeypatch.setattr("flycam.change.comparison.coregister_images", lambda *_, **__: doubted)
    again = compare_sources(workspace, *files, tmp_path / "c.gpkg", Finder())
    values = {"agreed": few.sum(), "windows": doubted.found, "off_m": 1.37}
    assert [values in [one.values for one in report.remarks[:1]] for report in (done, again)] == [False, True]


# -- what cannot be compared ------------------------------------------------------------------


def test_no_ground_in_common(workspace, files, scenes, tmp_path):
    far = str(picture(tmp_path / "far.tif", scenes[1], west=WEST + 5000.0))
    with pytest.raises(CoregistrationFailed, match=r"far\.tif"):
        compare_sources(workspace, files[0], far, tmp_path / "c.gpkg", Finder())
    assert not (tmp_path / "c.gpkg").exists()


def test_another_place_under_the_same_coordinates(workspace, files, tmp_path):
    other = str(picture(tmp_path / "other.tif", ground(5, 900)))
    with pytest.raises(CoregistrationFailed, match=r"other\.tif"):
        compare_sources(workspace, files[0], other, tmp_path / "c.gpkg", Finder())
    assert not (tmp_path / "c.gpkg").exists()


@pytest.mark.parametrize(("coarse_m", "advised_m"), [(2.0, 0.14), (4.0, 0.27), (3.0, 0.2)])
def test_the_pixel_that_is_advised_is_one_that_can_be_compared(
    workspace, scenes, tmp_path, coarse_m, advised_m
):
    fine = str(picture(tmp_path / "fine.tif", scenes[1], gsd_m=0.05))
    sat = str(picture(tmp_path / "sat.tif", ground(3, 60), gsd_m=coarse_m))
    with pytest.raises(CoregistrationFailed) as failure:
        compare_sources(workspace, sat, fine, tmp_path / "c.gpkg", Finder())
    assert failure.value.message.values["cure"].values == {"gsd_m": pytest.approx(advised_m)}
    assert coarse_m / advised_m <= MAX_COARSENING


def test_a_picture_that_shows_nothing_is_named(workspace, files, scenes, tmp_path):
    path, pixels = tmp_path / "den.tif", np.zeros_like(scenes[1])
    empty = str(write_geotiff(path, pixels, (GSD_M, 0.0, WEST, 0.0, -GSD_M, NORTH), CRS) or path)
    with pytest.raises(CoregistrationFailed, match=r"^den\.tif"):
        compare_sources(workspace, files[0], empty, tmp_path / "c.gpkg", Finder())


def test_an_area_beside_the_pictures(workspace, files, tmp_path):
    aoi = _aoi(tmp_path / "aoi.geojson", (5000, 0), (5100, 0), (5100, 100))
    with pytest.raises(InputUnusable, match=r"aoi\.geojson"):
        compare_sources(workspace, *files, tmp_path / "c.gpkg", Finder(), aoi=aoi)


@pytest.mark.parametrize(
    ("before", "out", "error"),
    [
        ("nowhere.tif", "c.gpkg", SourceUnreadable),
        ("no-flight", "c.gpkg", NotFound),
        ("text.tif", "c.gpkg", SourceUnreadable),
        ("before.tif", "changes.shp", OptionUnusable),
        ("before.tif", "changes", OptionUnusable),
        ("before.tif", "none/c.gpkg", InputUnusable),
    ],
)
def test_what_cannot_be_compared_is_refused_before_the_work(
    workspace, files, tmp_path, monkeypatch, before, out, error
):
    monkeypatch.chdir(tmp_path)
    Path("text.tif").write_text("no picture")
    finder = Finder()
    with pytest.raises(error):
        compare_sources(workspace, before, files[1], Path(out), finder)
    assert not finder.pairs


def test_a_grey_picture_is_laid_and_no_change_is_looked_for_in_it(workspace, files, scenes, tmp_path):
    values = cv2.cvtColor(scenes[1], cv2.COLOR_RGB2GRAY)
    grey = str(picture(tmp_path / "pan.tif", np.repeat(values[..., None], 3, axis=2)))
    out = tmp_path / "c.gpkg"
    done = compare_sources(workspace, files[0], grey, out, prepare_detection, event="Bão")
    assert done.registration.shift_m == pytest.approx((SHIFT_PX[0] * GSD_M, -SHIFT_PX[1] * GSD_M), abs=0.15)
    assert not done.is_detected and done.changes == ()
    assert workspace.catalog.comparisons.events() == set(), "no ground is on record as compared"
    for layer in ("changes", "compared"):
        assert pyogrio.read_info(out, layer=layer)["features"] == 0
    answer, _ = format_comparison(done)
    assert answer["looked_for"] is False
    for warnings in (answer["warnings"], answer["warnings_vi"]):
        assert [one.startswith("pan.tif") for one in warnings].count(True) == 1


def test_a_script_tells_that_nothing_was_looked_for_from_that_nothing_was_found(files, tmp_path):
    words = ["compare", files[0], files[0], "--out", str(tmp_path / "c.gpkg")]
    done = CliRunner().invoke(flycam, [*words, "--data", str(tmp_path / "data"), "--json"])
    answer = json.loads(done.stdout.splitlines()[-1])
    assert done.exit_code == 5
    assert answer["looked_for"] is False and answer["changes"] == 0, "all that is known is told too"
    assert pyogrio.read_info(tmp_path / "c.gpkg", layer="compared")["features"] == 0
    assert {row["compared_m2"] for row in answer["by_commune"]} <= {0.0}


def test_two_pictures_begin_an_event_and_wait_there_for_an_analyst(workspace, files, scenes, tmp_path):
    found = compare_sources(
        workspace, *files, tmp_path / "c.gpkg", Finder([Found(square((300.0, 300.0), 40.0))]), event="Bão thử"
    )
    event = workspace.catalog.flights.event("Bão thử")
    assert found.enqueued is not None and found.enqueued.is_new_event
    assert (found.enqueued.event, event.is_drill, found.enqueued.new) == (event, False, len(found.changes))
    assert len(workspace.catalog.changes.current(event.event_id)) == len(found.changes) > 0
    again = compare_sources(workspace, *files, tmp_path / "c.gpkg", Finder(), event="Bão thử")
    assert again.enqueued is not None and not again.enqueued.is_new_event
    assert workspace.catalog.flights.events() == [event]
    assert event_for_ingest(workspace, "Bão thử", is_drill=False) == event, "photos join it"
    other = str(picture(tmp_path / "other.tif", ground(5, 900)))
    with pytest.raises(CoregistrationFailed):
        compare_sources(workspace, files[0], other, tmp_path / "d.gpkg", Finder(), event="Bão khác")
    assert workspace.catalog.flights.events() == [event], "what is refused begins nothing"


@pytest.mark.parametrize(("after", "code"), [("after", 0), ("elsewhere", 5)])
def test_the_command_ends_with_the_code_of_what_was_found(files, scenes, tmp_path, after, code):
    if after == "elsewhere":
        picture(tmp_path / "elsewhere.tif", ground(5, 900))
    out = tmp_path / "changes.gpkg"
    words = ["compare", files[0], str(tmp_path / f"{after}.tif"), "--out", str(out)]
    done = CliRunner().invoke(flycam, [*words, "--data", str(tmp_path / "data"), "--json"])
    answer = json.loads(done.stdout.splitlines()[-1])
    assert done.exit_code == code
    assert out.exists() == (code == 0)
    if code == 0:
        assert answer["registration"]["ok"] is True
        assert {"registration", "changes", "by_commune"} <= set(answer)
    else:
        assert answer["exit_code"] == 5 and "elsewhere.tif" in answer["sentence"]


# -- flights ----------------------------------------------------------------------------------


def test_a_flight_against_its_own_export(make_house, drill, tmp_path):
    node = make_house(drill)
    report = node.ingest(drill.photos, "trước")
    exported = export_flight(node.workspace, "trước", tmp_path / "own.tif", crs="EPSG:9208")
    assert open_image_source(node.workspace, "trước").is_drill
    assert open_image_source(node.workspace, str(exported.path)).is_drill
    finder = Finder()
    done = compare_sources(node.workspace, "trước", str(exported.path), tmp_path / "c.gpkg", finder)
    assert done.crs == report.flight.work_crs
    assert done.gsd_m == pytest.approx(report.flight.gsd_m, rel=0.01)
    assert np.hypot(*done.registration.shift_m) < 0.1
    assert np.isfinite(finder.pairs[0].heights_m).mean() > 0.9
    answer, _ = format_comparison(done)
    assert answer["registration"]["ok"] is True and answer["changes"] == 0
    assert {"names": "trước"} in [one.values for one in done.remarks]


def test_communes_are_of_the_day_of_what_came_after(make_house, drill, tmp_path):
    node = make_house(drill)
    flight = node.ingest(drill.photos, "trước").flight
    boundaries = node.workspace.catalog.boundaries
    then = boundaries.communes()
    later = get_flight_date(flight) + timedelta(days=400)
    boundaries.put_communes(
        [replace(one, name=f"{one.name} mới", valid_from=later, valid_to=None) for one in then]
    )
    exported = str(export_flight(node.workspace, "trước", tmp_path / "own.tif", crs="EPSG:9208").path)
    for sides, new in ((("trước", exported), True), ((exported, "trước"), False)):
        done = compare_sources(node.workspace, *sides, tmp_path / "c.gpkg", Finder())
        names = {row.name for row in done.by_commune if row.code}
        assert names and all(name.endswith(" mới") is new for name in names)
