"""What changes touch: roads cut by name, houses counted or said to be unknown, each in its own commune."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest
import shapely

from flycam.access.policy import UNRESTRICTED, AccessPolicy
from flycam.change.export import ImpactReport, build_impact_report, format_commune_csv, serialize_impact
from flycam.change.impact import (
    ChangeImpact,
    CommuneImpact,
    FeatureCount,
    compute_impact,
    find_communes_around,
    sum_impact_by_commune,
)
from flycam.errors import NotFound, OptionUnusable
from flycam.model.board import ChangeStatus, LayerKind
from flycam.workspace import Workspace
from tests.change.impacted import (
    FLOOD,
    SLIDE,
    add_roads_and_masts,
    add_things,
    changed,
    impacted_house,
    line,
    place,
    point,
    square,
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    one = impacted_house(tmp_path)
    add_roads_and_masts(one, tmp_path)
    return one


def of(workspace: Workspace, distance_m: float | None = None) -> dict[str, ChangeImpact]:
    report = build_impact_report(workspace, ["e1"], distance_m)
    return {one.line.change_id: one for one in report.impact.changes}


def test_a_road_is_cut_by_name_with_its_length_under_the_slide_and_where(workspace: Workspace) -> None:
    found = of(workspace)
    (road,) = found[SLIDE].roads_cut
    assert road.feature.name == "ĐT 153"
    assert road.under_m == pytest.approx(100.0, rel=0.01)
    assert road.lonlat_deg == pytest.approx(place(50, 50), abs=1e-5)
    # one that ends ten metres before the slide is near, and not cut
    assert found[SLIDE].count(LayerKind.ROAD) == FeatureCount(inside=1, near=1)
    assert [one.feature.name for one in found[FLOOD].roads_cut] == ["ĐT 153"], "would be, while it waits"
    assert "change-00000003" not in found, "what was rejected did nothing"


@pytest.mark.parametrize(
    ("distance", "masts"), [(None, (0, 1)), (0.0, (0, 0)), (29.0, (0, 0)), (31.0, (0, 1)), (151.0, (0, 2))]
)
def test_how_near_counts_is_the_kinds_own_or_what_is_asked(
    workspace: Workspace, distance: float | None, masts: tuple[int, int]
) -> None:
    found = of(workspace, distance)[SLIDE].count(LayerKind.MAST)
    assert found is not None
    assert (found.inside, found.near) == masts


@pytest.mark.parametrize("distance", [-1.0, float("nan"), float("inf"), 5001.0])
def test_a_distance_that_is_none_is_refused(workspace: Workspace, distance: float) -> None:
    with pytest.raises(OptionUnusable):
        of(workspace, distance)


def test_where_no_layer_of_houses_covers_the_ground_nobody_says_none(
    workspace: Workspace, tmp_path: Path
) -> None:
    assert of(workspace)[SLIDE].count(LayerKind.HOUSE) is None
    add_things(workspace, tmp_path, "Nhà nơi khác", LayerKind.HOUSE, [("", point(5000, 5000))])
    assert of(workspace)[SLIDE].count(LayerKind.HOUSE) is None, "of another place"
    houses = [("a", point(10, 10)), ("b", point(60, 60)), ("c", point(-20, 50)), ("d", point(900, 900))]
    add_things(workspace, tmp_path, "Nhà", LayerKind.HOUSE, [*houses, ("e", point(-300, -300))])
    found = of(workspace)
    assert found[SLIDE].count(LayerKind.HOUSE) == FeatureCount(inside=2, near=1)
    assert found[FLOOD].count(LayerKind.HOUSE) == FeatureCount(inside=0, near=0), "covered, and there is none"


def houses_at(*places: tuple[float, float]) -> list[tuple[str, shapely.Geometry]]:
    return [("", point(*one)) for one in places]


def house_counts(workspace: Workspace, *shapes: shapely.MultiPolygon) -> FeatureCount | None:
    """Of confirmed changes in one commune."""
    changes = [
        changed(f"change-0000001{number}", shape, status=ChangeStatus.ACCEPTED)
        for number, shape in enumerate(shapes)
    ]
    (row,) = by_commune(workspace, compute_impact(workspace, changes).changes)
    return row.confirmed.counts[LayerKind.HOUSE]


def test_houses_under_two_changes_count_once_whichever_layer_tells(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Each layer misses one: under the first change one layer has more, under the second the other."""
    shared = [(30.0 + 5.0 * n, 50.0) for n in range(8)]
    add_things(workspace, tmp_path, "Nhà A", LayerKind.HOUSE, houses_at(*shared, (10, 10), (12, 10)))
    add_things(workspace, tmp_path, "Nhà B", LayerKind.HOUSE, houses_at(*shared, (190, 90)))
    found = house_counts(workspace, square(0, 0, 100), square(20, 0, 180))
    assert found == FeatureCount(inside=11, near=0)


def test_who_is_there_for_one_commune_is_told_of_no_thing_beyond_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    add_things(workspace, tmp_path, "Nhà", LayerKind.HOUSE, houses_at((10, 10), (575, 90), (665, 90)))
    within = AccessPolicy(within=workspace.catalog.boundaries.commune("99002").wkb)
    lines = workspace.catalog.changes.current("e1", statuses=[ChangeStatus.ACCEPTED])
    everybody, mine = (
        compute_impact(workspace, lines, 5000.0, policy).changes[0] for policy in (UNRESTRICTED, within)
    )
    assert everybody.count(LayerKind.HOUSE) == FeatureCount(inside=1, near=2)
    assert mine.count(LayerKind.HOUSE) == FeatureCount(inside=1, near=1)
    assert {one.feature.name for one in mine.roads_cut} == {"ĐT 153"}, "a road that comes in stands"


def by_commune(workspace: Workspace, changes: Sequence[ChangeImpact]) -> list[CommuneImpact]:
    return sum_impact_by_commune(
        find_communes_around(workspace.catalog.boundaries, changes, is_drill=False), changes
    )


def test_things_count_in_the_commune_where_they_are_touched(workspace: Workspace, tmp_path: Path) -> None:
    # the border of two communes runs through the flood-wide change that lies 600 m to 700 m east
    across = changed("change-00000004", square(570, 0, 100), status=ChangeStatus.ACCEPTED)
    workspace.catalog.changes.append([across])
    houses = [("tây", point(575, 90)), ("đông", point(665, 90)), ("ngoài", point(-3000, 90))]
    add_things(workspace, tmp_path, "Nhà", LayerKind.HOUSE, houses)
    found = compute_impact(workspace, [across]).changes
    rows = {row.code: row for row in by_commune(workspace, found)}
    assert sorted(rows) == ["99002", "99003"]
    for row in rows.values():
        assert row.confirmed.ground.count == 1
        assert row.confirmed.counts[LayerKind.HOUSE] == FeatureCount(inside=1, near=0)
        assert row.waiting.ground.count == 0
    assert sum(row.confirmed.ground.area_m2 for row in rows.values()) == pytest.approx(10_000.0)
    assert rows["99002"].confirmed.ground.area_m2 == pytest.approx(5_000.0, rel=0.05)


def report(workspace: Workspace) -> ImpactReport:
    return build_impact_report(workspace, ["Bão e1"])


def test_the_table_keeps_what_waits_apart_and_leaves_empty_what_nobody_knows(workspace: Workspace) -> None:
    result = report(workspace)
    rows = list(csv.DictReader(io.StringIO(format_commune_csv(result.communes).decode("utf-8-sig"))))
    assert [(row["commune"], row["status"], row["changes"]) for row in rows] == [
        ("99002", "accepted", "1"),
        ("99002", "proposed", "1"),
    ]
    assert (rows[0]["roads_cut"], rows[0]["road_inside"], rows[0]["mast_near"]) == ("ĐT 153", "1", "1")
    assert float(rows[0]["road_cut_m"]) == pytest.approx(100.0, rel=0.01)
    assert rows[0]["house_inside"] == rows[0]["house_near"] == "", "not none: not known"


def test_the_answer_says_whose_and_how_old_the_layers_are(workspace: Workspace) -> None:
    result = report(workspace)
    answer = serialize_impact(result.impact, result.communes, result.names, result.at_ns)
    assert {(one["name"], one["valid"], one["stale"]) for one in answer["layers"]} == {
        ("Đường", None, True),
        ("Trạm BTS", None, True),
    }
    slide = next(one for one in answer["changes"] if one["change_id"] == SLIDE)
    assert slide["counts"]["house"] is None
    assert slide["counts"]["mast"] == {"inside": 0, "near": 1, "whole": True}
    (mast,) = [one for one in slide["touched"] if one["kind"] == "mast"]
    assert (mast["name"], mast["condition"], mast["stale"]) == ("LCI0123", "no_signal", True)
    assert mast["distance_m"] == pytest.approx(30.0, abs=0.5)


def test_between_two_flights_or_pictures(workspace: Workspace) -> None:
    # the changes were found between mosaics m1 and m2, which are pictures' names to this house
    assert len(build_impact_report(workspace, ["m1", "m2"]).impact.changes) == 2
    with pytest.raises(NotFound):
        build_impact_report(workspace, ["m2", "m1"])
    workspace.catalog.changes.append([changed("change-00000006", square(0, 0, 100), event_id="e2")])
    with pytest.raises(OptionUnusable) as unsure:
        build_impact_report(workspace, ["m1", "m2"])
    assert "Bão e2" in unsure.value.message.in_language("vi")


def test_where_layers_cover_a_part_it_is_said_that_there_may_be_more(
    workspace: Workspace, tmp_path: Path
) -> None:
    add_things(workspace, tmp_path, "Nhà", LayerKind.HOUSE, houses_at((10, 10), (60, 60)))
    add_things(workspace, tmp_path, "Trường", LayerKind.SCHOOL, houses_at((-75, 0), (-75, 50)))
    beyond = changed("change-00000012", square(400, 0, 100), status=ChangeStatus.ACCEPTED)
    workspace.catalog.changes.append([beyond])
    result = report(workspace)
    rows = list(csv.DictReader(io.StringIO(format_commune_csv(result.communes).decode("utf-8-sig"))))
    accepted = next(row for row in rows if row["status"] == "accepted")
    assert (accepted["house_inside"], accepted["at_least"]) == ("2", "mast, school, house")
    assert all(set(row["at_least"].split(", ")) <= {"", *LayerKind} for row in rows)


def test_a_road_in_two_layers_is_cut_once(workspace: Workspace, tmp_path: Path) -> None:
    add_things(workspace, tmp_path, "Đường OSM", LayerKind.ROAD, [("ĐT 153", line((-200, 52), (900, 52)))])
    result = report(workspace)
    one = next(one for one in result.impact.changes if one.line.change_id == SLIDE)
    assert [at.feature.name for at in one.roads_cut] == ["ĐT 153"]
    assert one.road_cut_m == pytest.approx(100.0, rel=0.01)
