"""Candidates of a comparison in the catalogue: once, of one event, a drill's never beside real ones."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely

from flycam.catalog.changes import format_file_reference, strip_digest
from flycam.change.comparison import (
    choose_review_event,
    compare_sources,
    enqueue_candidates,
    find_comparison_windows,
    make_comparison_reader,
    match_comparisons,
    measure_event_distance,
)
from flycam.change.comparison_grid import open_image_pair, open_image_source
from flycam.change.features import COEFFICIENTS
from flycam.change.outlines import ChangePolygon, estimate_area_error
from flycam.change.review import ReviewStep, apply_review_step, estimate_position_error
from flycam.cli.products import format_comparison
from flycam.errors import NotFound, OptionUnusable, StoreConflict
from flycam.geodata.crs import WGS84, make_point_transform
from flycam.geodata.raster import EXERCISE_TAG, compute_raster_digest
from flycam.model.board import ChangeAction, ChangeKind, ChangeStatus
from flycam.model.flight import Event, EventKind, Flight, FlightState
from flycam.model.records import AuditEntry, CommuneRecord
from tests.change.compared import CRS, GSD_M, WEST, Finder, Found, picture, square
from tests.change.ground import field, ground, moved, other_light

pytestmark = pytest.mark.usefixtures("registered_once")
SIZE_PX = 720


@pytest.fixture
def workspace(make_house):
    one = make_house().workspace
    for event_id, kind in (("e1", EventKind.STORM), ("e2", EventKind.DRILL)):
        is_drill = kind is EventKind.DRILL
        one.catalog.flights.put_event(
            Event(event_id=event_id, name=f"Sự kiện {event_id}", kind=kind, is_drill=is_drill)
        )
    return one


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    before = ground(1, SIZE_PX)
    after = other_light(moved(before, field(before.shape[:2], (9.0, -6.0))))
    return str(picture(folder / "before.tif", before)), str(picture(folder / "after.tif", after))


def finder():
    return Finder(
        found=[Found(square((300, 300), 80), score=0.6), Found(square((500, 500), 60), kind="flood")]
    )


def test_candidates_wait_in_the_event_that_was_named(workspace, files, tmp_path):
    done = compare_sources(workspace, *files, tmp_path / "c.gpkg", finder(), event="Sự kiện e1")
    lines = workspace.catalog.changes.current("e1")
    assert [(one.kind, one.score) for one in lines] == [(one.kind, one.score) for one in done.changes]
    assert {(one.status, one.action, one.version) for one in lines} == {
        (ChangeStatus.PROPOSED, ChangeAction.FOUND, 1)
    }
    (shown,) = {(one.before_shown, one.after_shown) for one in lines}
    paths = [Path(one) for one in files]
    assert shown == tuple(
        format_file_reference(one.name, compute_raster_digest(one), one.parent.name) for one in paths
    )
    onto = make_point_transform(WGS84, done.crs)
    for line, change in zip(lines, done.changes, strict=True):
        flat = shapely.transform(shapely.from_wkb(line.wkb), onto)
        assert shapely.hausdorff_distance(flat, change.polygon) < 0.01
        assert (line.area_m2, line.length_m, line.tie_m) == (change.area_m2, change.length_m, change.tie_m)
        assert line.error_m == change.error_m and 0.0 < change.error_m < 1.0
        rim_m = math.hypot(COEFFICIENTS.rim_m[change.kind], change.error_m)
        assert estimate_area_error(line) == pytest.approx(change.polygon.length * rim_m, rel=1e-3)
        assert change.area_error_m2 == pytest.approx(change.polygon.length * rim_m)
        assert line.rmse_m == done.registration.rmse_m
        assert line.slope_deg is None, "no terrain is known"
    answer, _ = format_comparison(done)
    counts = {"new": 2, "renewed": 0, "known": 0, "decided": 0}
    assert answer["review"] == {"event_id": "e1", "begun": False, **counts}
    assert "changes found" in [one.what for one in workspace.catalog.audit.lines()]


def test_files_of_one_name_are_pictures_of_their_own(workspace, files, tmp_path):
    """ODM calls every picture odm_orthophoto.tif: what was rejected on day 2 hid what came down on day 3."""
    days = []
    for number, path in enumerate(files, 1):
        (folder := tmp_path / f"d{number}").mkdir()
        days.append(str(shutil.copy(path, folder / "odm_orthophoto.tif")))
    names = ["d1/odm_orthophoto.tif", "d2/odm_orthophoto.tif"]
    assert [side.name for side in open_image_pair(workspace, *days)] == names


def test_the_same_files_in_another_folder_are_the_same_pictures(workspace, enqueue):
    enqueue("before.tif#0a1b2c3d", "ngay-2/after.tif#4e5f6a7b", slide())
    (line,) = list_waiting(workspace)
    step = ReviewStep(step_id="step-00000001", action=ChangeAction.REJECT, changes={line.change_id: 1})
    apply_review_step(workspace, step, "Lan")
    moved = "usb/before.tif#0a1b2c3d", "usb/after.tif, 10/09/2024 10:15#4e5f6a7b"
    assert count(enqueue(*moved, slide())) == (0, 0, 1, 0)
    assert count(enqueue(*moved, slide(1.0))) == (0, 0, 1, 1), "drawn a little differently too"
    assert count(enqueue("usb/before.tif#0a1b2c3d", "usb/after.tif#99999999", slide())) == (1, 0, 0, 0)


def slide(west_m=0.0, south_m=0.0, width_m=80.0, height_m=80.0, kind="landslide", slope_deg=20.0):
    """A candidate whose lower left corner lies so many metres off a place in UTM zone 48."""
    west, south = 430_000 + west_m, 2_400_000 + south_m
    return ChangePolygon(
        polygon=shapely.MultiPolygon([shapely.box(west, south, west + width_m, south + height_m)]),
        **{"kind": kind, "score": 0.6, "area_m2": width_m * height_m, "length_m": 80.0},
        slope_deg=slope_deg,
        **{"commune": "", "commune_name": "", "tie_m": 3.0, "error_m": 0.2},
    )


@pytest.fixture
def enqueue(workspace):
    """Keep candidates found between two mosaics or pictures."""

    def put(before, after, *found):
        sides = tuple(SimpleNamespace(shown=shown, flight=None) for shown in (before, after))
        event = workspace.catalog.flights.event("e1")
        stored = enqueue_candidates(workspace, event, sides, found, SimpleNamespace(rmse_m=0.2), "EPSG:32648")
        assert stored.new + stored.renewed + stored.known == len(found)
        return stored

    return put


def list_waiting(workspace):
    return workspace.catalog.changes.current("e1", statuses=[ChangeStatus.PROPOSED])


def count(stored):
    return stored.new, stored.renewed, stored.known, stored.decided


def test_what_was_decided_on_is_not_put_up_again_in_another_outline(workspace, enqueue):
    enqueue("m1@0", "m2@0", slide(), slide(300.0, kind="flood"))
    rejected, accepted = list_waiting(workspace)
    for line, action, kind in (
        (rejected, ChangeAction.REJECT, None),
        (accepted, ChangeAction.ACCEPT, ChangeKind.OTHER),
    ):
        step_id = f"step-{line.change_id[-8:]}"
        step = ReviewStep(step_id=step_id, action=action, changes={line.change_id: 1}, kind=kind)
        apply_review_step(workspace, step, "Lan")
    drawn_otherwise = [
        slide(2.0, 1.0, width_m=75.0),
        slide(301.0, kind="flood"),  # found as a flood, accepted as something else
        slide(1.0, kind="other", slope_deg=math.nan),  # without terrain any kind is like any other
        slide(60.0, 60.0),
    ]
    assert count(enqueue("m1@0", "m2@0", *drawn_otherwise)) == (1, 0, 3, 3)
    assert len(list_waiting(workspace)) == 1


def test_what_waits_untouched_gives_way_to_what_a_newer_revision_shows_there(workspace, enqueue):
    assert count(enqueue("m1@0", "m2@0", slide(), slide(300.0), slide(600.0, kind="flood"))) == (
        3,
        0,
        0,
        0,
    )
    old = {line.change_id for line in list_waiting(workspace)}
    again = enqueue("m1@1", "m2@1", slide(3.0, 2.0), slide(900.0), slide(600.0))
    assert count(again) == (2, 1, 0, 0), "of another kind is another finding"
    now = list_waiting(workspace)
    assert len(now) == 5, "the one found again once, those that were not still, and two new ones"
    (heir,) = (line for line in now if line.origins)
    (gone,) = old - {line.change_id for line in now}
    assert heir.origins == (gone,)
    assert (heir.before_shown, heir.after_shown, heir.version) == ("m1@1", "m2@1", 1)
    first, last = workspace.catalog.changes.history(gone)
    assert (first.status, last.status) == (ChangeStatus.PROPOSED, ChangeStatus.REPLACED)
    assert (last.wkb, last.before_shown, last.step_id) == (first.wkb, "m1@0", heir.step_id)
    (entry,) = (one for one in workspace.catalog.audit.lines() if one.subject == gone)
    assert entry.what == "change" and heir.change_id in entry.detail


def test_every_further_revision_replaces_what_waits_and_no_earlier_one_does(workspace, enqueue):
    for revision in range(4):
        enqueue(f"m1@{revision}", "m2@0", slide(float(revision)))
        assert [line.before_shown for line in list_waiting(workspace)] == [f"m1@{revision}"]
    stamp = workspace.catalog.changes.stamp()
    assert count(enqueue("m1@1", "m2@0", slide(1.0))) == (0, 0, 1, 0), "its very id gave way before"
    assert count(enqueue("m1@1", "m2@0", slide(1.5))) == (0, 0, 1, 0), "of an older revision"
    assert count(enqueue("m1@3", "m2@0", slide(2.5))) == (0, 0, 1, 0), "of the same, by another detector"
    assert workspace.catalog.changes.stamp() == stamp


def test_pieces_and_wholes_take_the_place_of_each_other_and_a_corner_does_not(workspace, enqueue):
    enqueue("m1@0", "m2@0", slide())
    (whole,) = list_waiting(workspace)
    assert count(enqueue("m1@1", "m2@0", slide(width_m=38.0), slide(42.0, width_m=38.0))) == (0, 2, 0, 0)
    assert {line.origins for line in list_waiting(workspace)} == {(whole.change_id,)}
    pieces = tuple(sorted(line.change_id for line in list_waiting(workspace)))
    assert count(enqueue("m1@2", "m2@0", slide())) == (0, 1, 0, 0)
    assert [line.origins for line in list_waiting(workspace)] == [pieces]
    assert count(enqueue("m1@3", "m2@0", slide(width_m=20.0, height_m=20.0))) == (1, 0, 0, 0)
    assert len(list_waiting(workspace)) == 2, "most of what waits was not found again"


def test_what_was_found_without_terrain_gives_way_to_what_is_found_with_it(workspace, enqueue):
    """Without terrain nearly all is "other"; compared again with it each place stood on the list twice."""
    bare = slide(kind="other", slope_deg=math.nan), slide(300.0, kind="other", slope_deg=math.nan)
    assert count(enqueue("m1@1", "m2@1", *bare)) == (2, 0, 0, 0)
    assert {(line.probability, line.no_score) for line in list_waiting(workspace)} == {(None, "no_terrain")}
    assert count(enqueue("m1@1", "m2@1", *bare)) == (0, 0, 2, 0)
    same_outline = slide(kind="other")
    assert count(enqueue("m1@1", "m2@1", same_outline, slide(600.0))) == (1, 1, 0, 0)
    here = {line.bounds_lonlat_deg[0]: line for line in list_waiting(workspace)}
    heir, unfound, new = (here[west] for west in sorted(here))
    assert (heir.kind, heir.probability, len(heir.origins)) == (ChangeKind.OTHER, 0.6, 1)
    assert new.origins == () and unfound.probability is None
    assert count(enqueue("m1@1", "m2@1", slide(302.0, kind="flood"))) == (0, 1, 0, 0), "whatever its kind"
    assert count(enqueue("m1@1", "m2@1", slide(5.0, kind="other", slope_deg=math.nan))) == (0, 0, 1, 0)
    assert count(enqueue("m1@0", "m2@1", slide(kind="flood"))) == (1, 0, 0, 0), "kinds that are told are two"


def test_what_somebody_wrote_to_stays_and_is_not_put_up_a_second_time(workspace, enqueue):
    enqueue("m1@0", "m2@0", slide())
    (line,) = list_waiting(workspace)
    step = {line.change_id: 1}
    comment = ReviewStep(step_id="step-00000001", action=ChangeAction.COMMENT, changes=step, note="xem lại")
    apply_review_step(workspace, comment, "Lan")
    assert count(enqueue("m1@1", "m2@1", slide(2.0))) == (0, 0, 1, 0)
    assert [(one.change_id, one.note) for one in list_waiting(workspace)] == [(line.change_id, "xem lại")]


def test_what_is_decided_on_while_a_comparison_is_written_does_not_give_way(workspace, enqueue, monkeypatch):
    enqueue("m1@0", "m2@0", slide(), slide(300.0))
    first = list_waiting(workspace)[0]
    changes, tries = type(workspace.catalog.changes), []
    add_new = changes.add_new

    def decided_on_before(self, *args, **more):
        if not tries:
            step = ReviewStep(
                step_id="step-00000001", action=ChangeAction.ACCEPT, changes={first.change_id: 1}
            )
            apply_review_step(workspace, step, "Lan")
        tries.append(more["replaced"])
        return add_new(self, *args, **more)

    monkeypatch.setattr(changes, "add_new", decided_on_before)
    assert count(enqueue("m1@1", "m2@0", slide(2.0), slide(302.0))) == (0, 1, 1, 1)
    assert [len(replaced) for replaced in tries] == [2, 1]
    assert workspace.catalog.changes.history(first.change_id)[-1].status is ChangeStatus.ACCEPTED
    assert len(list_waiting(workspace)) == 1


def test_how_surely_a_part_lies_is_told_by_the_windows_on_record(workspace, files, tmp_path):
    compare_sources(workspace, *files, tmp_path / "c.gpkg", finder(), event="e1")
    for line in workspace.catalog.changes.current("e1"):
        again = estimate_position_error(line, find_comparison_windows(workspace.catalog, line))
        assert again.tie_m == pytest.approx(line.tie_m, rel=0.01, abs=0.05)
        assert again.error_m == pytest.approx(line.error_m, rel=0.02)
    _, south, east, north = line.bounds_lonlat_deg
    away = shapely.MultiPolygon([shapely.box(east + 0.01, south, east + 0.011, north)])
    off = estimate_position_error(
        replace(line, wkb=shapely.to_wkb(away)), find_comparison_windows(workspace.catalog, line)
    )
    assert off.tie_m > 500.0 and off.error_m > 2 * line.error_m
    unknown = estimate_position_error(line, [])
    assert (unknown.tie_m, unknown.error_m) == (None, None)


def test_pictures_of_no_event_are_put_up_for_nobody(workspace, files, tmp_path):
    for options in ({}, {"event": "e1", "for_review": False}):
        done = compare_sources(workspace, *files, tmp_path / "c.gpkg", finder(), **options)
        assert done.enqueued is None and format_comparison(done)[0]["review"] is None
    assert workspace.catalog.changes.stamp() == 0
    assert workspace.catalog.comparisons.events() == set()


def test_a_flight_begins_no_event_by_a_name_that_was_mistyped(workspace):
    sides = _side(None), _side("e1")
    with pytest.raises(NotFound, match="e9"):
        choose_review_event(workspace, sides, "e9")
    pictures = _side(None), _side(None)
    assert choose_review_event(workspace, pictures, "e9").name == "e9"


def _side(event_id):
    """A flight of an event (e2: a drill), or a picture of nothing that is a drill."""
    flight = None if event_id is None else SimpleNamespace(event_id=event_id)
    return SimpleNamespace(name=f"a flight of {event_id}", flight=flight, is_drill=event_id == "e2")


@pytest.mark.parametrize(
    ("sides", "event_ref", "expected"),
    [
        (("e1", "e1"), None, "e1"),
        (("e1", "e2"), None, None),
        ((None, "e1"), None, None),
        ((None, None), None, None),
        ((None, "e1"), "e1", "e1"),
        (("e1", "e2"), "e2", "e2"),
    ],
)
def test_whose_changes_they_are(workspace, sides, event_ref, expected):
    event = choose_review_event(workspace, tuple(map(_side, sides)), event_ref)
    assert (event.event_id if event else None) == expected


def test_a_drills_changes_never_stand_beside_real_ones(workspace):
    with pytest.raises(OptionUnusable) as failure:
        choose_review_event(workspace, (_side(None), _side("e2")), "e1")
    assert failure.value.message.in_language("vi") != str(failure.value)


def test_pictures_of_a_drill_stay_a_drills(workspace, files, tmp_path):
    """As exports of rehearsals say that they are."""
    drilled = tmp_path / "ortho.tif"
    shutil.copy(files[1], drilled)
    with rasterio.open(drilled, "r+") as opened:
        opened.update_tags(**{EXERCISE_TAG: "DIỄN TẬP"})
    real, drill = open_image_source(workspace, files[0]), open_image_source(workspace, str(drilled))
    with pytest.raises(OptionUnusable, match=r"ortho\.tif"):
        choose_review_event(workspace, (real, drill), "e1")
    assert choose_review_event(workspace, (real, drill), "e2").event_id == "e2"
    assert choose_review_event(workspace, (real, drill), "Hai ảnh").is_drill
    assert not choose_review_event(workspace, (real, real), "Hai ảnh").is_drill


def test_what_ground_was_compared_is_kept_once_and_never_more_of_it(workspace, files, tmp_path):
    done = compare_sources(workspace, *files, tmp_path / "c.gpkg", finder(), event="e1")
    (stored,) = workspace.catalog.comparisons.list_for_event("e1")
    onto = make_point_transform(WGS84, done.crs)
    ground = shapely.transform(shapely.from_wkb(stored.wkb), onto)
    compared = shapely.from_wkb(pyogrio.raw.read(tmp_path / "c.gpkg", layer="compared")[2][0])
    assert ground.difference(compared.buffer(0.01)).is_empty
    assert 0.97 < ground.area / compared.area < 1.0
    assert [strip_digest(one) for one in stored.pair] == ["before.tif", "after.tif"]
    assert stored.rmse_m == done.registration.rmse_m
    windows = workspace.catalog.comparisons.windows(stored.comparison_id)
    assert len(windows) == len(done.registration.windows)
    assert sum(one.state == "agreed" for one in windows) == done.registration.agreed.sum()
    assert all((one.residual_m is None) == (one.state == "not found") for one in windows)
    compare_sources(workspace, *files, tmp_path / "c.gpkg", finder(), event="e1")
    assert workspace.catalog.comparisons.list_for_event("e1") == [stored]
    assert [one.what for one in workspace.catalog.audit.lines()].count("ground compared") == 1


def test_what_is_to_be_known_of_two_pictures_stays_with_them_as_it_holds_now(
    workspace, files, tmp_path, monkeypatch
):
    done = compare_sources(workspace, *files, tmp_path / "c.gpkg", finder(), event="e1")
    (first,) = workspace.catalog.comparisons.list_for_event("e1")
    assert first.doubts == ()
    few = done.registration.agreed & (np.arange(len(done.registration.agreed)) % 4 == 0)
    doubted = replace(done.registration, agreed=few)
    monkeypatch.setattr("flycam.change.comparison.coregister_images", lambda *_, **__: doubted)
    compare_sources(workspace, *files, tmp_path / "c.gpkg", finder(), event="e1")
    lines = workspace.catalog.changes.current("e1")
    assert len(lines) == 2, "what was found stays as it was"
    others = [replace(lines[0], before_shown="", after_shown=""), replace(lines[0], score=None, rmse_m=None)]
    found = match_comparisons(make_comparison_reader(workspace.catalog), [*lines, *others])
    assert found[0] == found[1] != first and found[2] is None
    assert found[3] is None, "drawn over the same two pictures"
    assert (
        find_comparison_windows(workspace.catalog, lines[0])
        and find_comparison_windows(workspace.catalog, others[1]) == []
    )
    (doubt,) = found[0].doubts
    assert doubt.values["agreed"] == few.sum()
    assert found[0].warnings == first.warnings


def test_of_a_part_under_another_name_nothing_is_kept_but_the_file(workspace, files, tmp_path):
    left_px = 200
    rgb = ground(1, SIZE_PX)[:, left_px:]
    copy = str(picture(tmp_path / "copy.tif", rgb, west=WEST + left_px * GSD_M))
    done = compare_sources(workspace, files[0], copy, tmp_path / "c.gpkg", finder(), event="e1")
    assert done.enqueued is None and done.is_unfit and len(done.changes) == 2
    assert workspace.catalog.changes.stamp() == 0
    assert workspace.catalog.comparisons.events() == set()
    assert {"before": "before.tif", "after": "copy.tif"} in [one.values for one in done.remarks]


def _commune_at(lon, lat):
    return CommuneRecord(
        code="00001",
        name="Xã Một",
        valid_from=date(2025, 7, 1),
        wkb=shapely.to_wkb(shapely.box(lon, lat, lon + 0.1, lat + 0.1)),
        area_m2=1e8,
        search_name="xa mot",
    )


def _flight_at(lon, lat, state=FlightState.READY, event_id="e1"):
    return Flight(
        flight_id=f"f-{event_id}-{lon}",
        name=f"Chuyến {event_id} {lon}",
        event_id=event_id,
        state=state,
        work_crs=CRS,
        vertical_datum="EGM2008",
        dem_id="dem",
        gsd_m=0.1,
        first_ns=1,
        last_ns=2,
        bounds_lonlat_deg=(lon, lat, lon + 0.01, lat + 0.01),
    )


# the pictures lie at 104.33 E, 21.70 N: 111 km to a degree of latitude
NEAR, FAR = (104.3, 22.2), (104.3, 23.7)


@pytest.mark.parametrize(
    ("known", "far_km"),
    [
        ([_flight_at(*FAR)], 222),
        ([_commune_at(*FAR)], 222),
        ([_flight_at(*FAR), _flight_at(*NEAR)], None),
        ([_flight_at(*FAR), _commune_at(*NEAR)], None),
        ([_flight_at(*FAR, state=FlightState.WITHDRAWN)], None),
        ([_flight_at(*FAR, event_id="e2")], None),
    ],
)
def test_ground_is_far_from_all_that_is_known_of_an_event(workspace, known, far_km):
    catalog = workspace.catalog
    for one in known:
        if isinstance(one, Flight):
            catalog.flights.put_flight(one)
        else:
            catalog.boundaries.put_communes([one])
    off_m = measure_event_distance(catalog, catalog.flights.event("e1"), (104.33, 21.69, 104.34, 21.70))
    assert off_m == (None if far_km is None else pytest.approx(far_km * 1e3, abs=3e3))


def test_of_ground_far_from_the_event_nothing_is_kept_but_the_file(workspace, files, tmp_path):
    workspace.catalog.flights.put_flight(_flight_at(*FAR))
    out = tmp_path / "c.gpkg"
    done = compare_sources(workspace, *files, out, finder(), event="e1")
    assert pyogrio.read_info(out, layer="changes")["features"] == 2
    assert done.enqueued is None and done.is_unfit
    assert workspace.catalog.changes.stamp() == 0
    assert workspace.catalog.comparisons.events() == set()
    (remark,) = (one for one in done.remarks if "off_km" in one.values)
    assert remark.values["off_km"] == pytest.approx(222, abs=3)
    assert format_comparison(done)[0]["review"] is None


def test_a_flight_that_is_moved_during_a_comparison_leaves_nothing_in_its_former_event(
    workspace, files, tmp_path, monkeypatch
):
    flights = workspace.catalog.flights
    for number, name in enumerate(("before.tif", "after.tif"), start=1):
        one = replace(_flight_at(*NEAR), flight_id=name, name=name, first_ns=number, last_ns=number)
        flights.put_flight(one)
    flights.put_event(Event(event_id="e3", name="Lũ quét", kind=EventKind.STORM, is_drill=False))

    def flown(workspace, ref):
        side = open_image_source(workspace, ref)
        side.flight = flights.flight(side.name)
        return side

    def moved_meanwhile(pair, **options):
        entry = AuditEntry(who="Lan", what="flight moved", subject="after.tif", detail="", at_ns=1)
        flights.move("after.tif", "e3", entry)
        return finder()(pair, **options)

    monkeypatch.setattr("flycam.change.comparison_grid.open_image_source", flown)
    monkeypatch.setattr("flycam.change.comparison.find_communes_in_grid", lambda *_, **__: [])
    with pytest.raises(StoreConflict, match=r"after\.tif"):
        compare_sources(workspace, *files, tmp_path / "c.gpkg", moved_meanwhile)
    assert workspace.catalog.changes.stamp() == 0 and workspace.catalog.comparisons.stamp() == 0
    done = compare_sources(workspace, *files, tmp_path / "d.gpkg", finder(), event="e1")
    assert done.enqueued.new == 2 and workspace.catalog.comparisons.events() == {"e1"}
