"""A change that reaches the rim of what was compared: its area is a lower bound wherever it is printed."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import httpx
import pytest
import shapely

from flycam.change.comparison import find_cut_changes
from flycam.change.export import build_impact_report, export_changes, format_commune_csv, serialize_impact
from flycam.change.outlines import sum_changes, sum_changes_by_commune
from flycam.cli.products import _describe_impact
from flycam.http.guards import Services
from flycam.model.board import ChangeKind
from flycam.workspace import Workspace
from tests.change.impacted import FLOOD, SLIDE, changed, impacted_house, place, square
from tests.serve.running import running
from tests.suites.comparison_suite import compared_on

CUT, WHOLE = changed(SLIDE, square(0, 0, 100)), changed(FLOOD, square(400, 0, 100), kind=ChangeKind.FLOOD)
# its western edge is that of the slide
COMPARED = compared_on("compared-1", "e1", square(0, -300, 900), "m1@2", "m2@1")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    house = impacted_house(tmp_path)
    house.catalog.comparisons.add([COMPARED])
    return house


@pytest.mark.parametrize(("gap_m", "is_cut"), [(-5.0, True), (0.0, True), (1.5, True), (2.5, False)])
def test_the_rim_is_also_that_of_a_cloud(gap_m: float, is_cut: bool) -> None:
    cloud = shapely.box(*place(100 + gap_m, 20), *place(200, 80))
    ground = shapely.MultiPolygon([shapely.box(*place(-500, -500), *place(900, 900)) - cloud])
    found_by = compared_on("compared-1", "e1", ground, "m1@2", "m2@1")
    assert find_cut_changes([CUT, WHOLE], [found_by, found_by]) == ({CUT} if is_cut else set())
    moved = changed(SLIDE, square(400, 0, 100), version=2)
    assert find_cut_changes([CUT, moved], [found_by, found_by]) == ({CUT} if is_cut else set()), (
        "each version"
    )
    assert find_cut_changes([CUT], [None]) == set(), "drawn by hand: it has no such rim"


def test_a_sum_with_a_lower_bound_is_one() -> None:
    middle, corners = place(300, 0)[0], (*place(-500, -500), *place(900, 900))
    west, south, east, north = corners
    tree = shapely.STRtree([shapely.box(west, south, middle, north), shapely.box(middle, south, east, north)])
    assert sum_changes([CUT, WHOLE], {CUT}).is_lower_bound
    assert not sum_changes([WHOLE], {CUT}).is_lower_bound
    held = sum_changes_by_commune([CUT, WHOLE], tree, {CUT})
    assert [one is not None and one.is_lower_bound for one in held] == [True, False]


def test_files_for_people_say_so(workspace: Workspace, tmp_path: Path) -> None:
    for ending in ("csv", "xml"):
        export_changes(workspace, tmp_path / f"a.{ending}", "e1")
    (row,) = csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text("utf-8-sig")))
    assert row["Diện tích"].startswith("ít nhất 1,00 ± ") and row["at_least"] == "area"
    assert "<description>Sạt lở ít nhất 1,00 ha, " in (tmp_path / "a.xml").read_text("utf-8")


def test_an_impact_tells_kinds_and_lower_bounds(workspace: Workspace) -> None:
    report = build_impact_report(workspace, ["Bão e1"])
    answer = serialize_impact(report.impact, report.communes, report.names, report.at_ns)
    assert {one["change_id"]: one["area_at_least"] for one in answer["changes"]} == {
        SLIDE: True,
        FLOOD: False,
    }
    (row,) = answer["communes"]
    totals = [(row[of]["places"], row[of]["area_at_least"]) for of in ("confirmed", "waiting")]
    assert totals == [({"landslide": 1}, True), ({"flood": 1}, False)]
    rows = list(csv.DictReader(io.StringIO(format_commune_csv(report.communes).decode("utf-8-sig"))))
    assert [(one["landslide"], one["flood"], one["other"], one["at_least"]) for one in rows] == [
        ("1", "0", "0", "area"),
        ("0", "1", "0", ""),
    ]
    lines = [str(one) for one in _describe_impact(report)]
    assert [line.split(": ", 1)[1] for line in lines if line.startswith("  ") and "change (" in line] == [
        "1 change (1 landslide), at least 1.00\N{NO-BREAK SPACE}ha",
        "1 change (1 flood), 1.00\N{NO-BREAK SPACE}ha",
    ]
    assert any("wrecked houses" in line for line in lines)


def test_the_api_tells_it_of_each_change_and_of_what_waits(workspace: Workspace) -> None:
    # of other pictures, so that it found neither
    workspace.catalog.comparisons.add([compared_on("compared-2", "e1", square(400, 0, 9), "m1@2", "m3@1")])
    with (
        running(Services(workspace=workspace, follow_s=0.1)) as url,
        httpx.Client(base_url=url) as client,
    ):
        answer = client.get("/api/changes?event=e1").json()
        board = client.get("/api/board?event=e1").json()
    cut = {one["id"]: one["properties"]["area_at_least"] for one in answer["features"]}
    assert (cut[SLIDE], cut[FLOOD]) == (True, False)
    (waiting,) = [one["waiting"] for one in board["communes"] if one["waiting"]]
    assert waiting["area_at_least"] is answer["waiting"]["area_at_least"] is False
