"""Three flights of a drill through the real commands: before the storm, after it, once the water has fallen
and the slides have grown. What is told of each place is held against the drill's truth."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import shapely
from click.testing import CliRunner

from flycam.cli import flycam
from flycam.drill.between import Between, later
from flycam.drill.drill import write_drill
from flycam.drill.light import Sun
from flycam.serve.services import Services
from tests.serve.running import running
from tests.serve.world import make_workspace

pytestmark = pytest.mark.slow

SEED = 31
KINDS = ("flood", "landslide")
SUN = Sun(azimuth_rad=math.radians(140.0), elevation_rad=math.radians(55.0), strength=0.8)
STORM = Between(seed=SEED, sun=SUN, fields=0.1, cleared=0.0, roads=0, houses=0.0)
DATES = {"before": None, "storm": STORM, "later": later(STORM, days=4, flood_m=0.0, grown_m=5.0)}
PAIRS = (("before", "storm"), ("before", "later"), ("storm", "later"))
OPTIONS = {"seed": SEED, "gsd_m": 0.3, "photos": (3, 4), "size_px": (880, 660), "relief_m": 150.0}
"""Seed and size were chosen so that slopes and the river are in the picture, not for what is found."""


@dataclass(frozen=True)
class Told:
    """The folder, the event's id, and what one call of the command answers."""

    root: Path
    event_id: str
    run: Callable[..., dict[str, Any]]

    def truth(self, date: str, kind: str) -> shapely.Geometry:
        """Ground of a kind on a date, WGS 84."""
        document = json.loads((self.root / date / "truth" / "changes.geojson").read_text(encoding="utf-8"))
        shapes = [
            shapely.geometry.shape(one["geometry"])
            for one in document["features"]
            if one["properties"]["kind"] == kind
        ]
        return shapely.union_all(shapely.make_valid(shapes))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    root = tmp_path_factory.mktemp("three")

    def run(*asked: object) -> dict[str, Any]:
        done = CliRunner().invoke(flycam, [*map(str, asked), "--data", str(root / "data"), "--json"])
        assert done.exit_code == 0, done.output
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    for date, between in DATES.items():
        options = {**OPTIONS, "after": between is not None, "between": between}
        write_drill(root / date, truth_rasters=False, **options)
        run("ingest", root / date / "photos", "--dem", root / date / "dem.tif", "--name", date)
    answers = [run("compare", *pair, "--out", root / f"{'-'.join(pair)}.gpkg") for pair in PAIRS]
    (event_id,) = {one["review"]["event_id"] for one in answers}
    assert answers[0]["by_kind"]["flood"] >= 1 and answers[0]["by_kind"]["landslide"] >= 1
    return Told(root, event_id, run)


@pytest.fixture
def client(told: Told) -> Iterator[httpx.Client]:
    """Of a server on the same folder, open as on one machine."""
    workspace = make_workspace(told.root / "data")
    with workspace.catalog, running(Services(workspace=workspace)) as url:
        yield httpx.Client(base_url=url)


def _of_kind(series: list[dict[str, Any]], kind: str) -> list[list[dict[str, Any]]]:
    """Points of each place: its size at both dates, then what is new since the later."""
    return [one["points"] for one in series if one["kind"] == kind]


def _sizes(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in points if not one["new"]]


def test_a_flood_that_fell_is_told_as_nothing_found_and_a_slide_as_grown(told: Told) -> None:
    series = told.run("changes", "series", told.event_id)["series"]
    floods, slides = _of_kind(series, "flood"), _of_kind(series, "landslide")
    assert told.truth("later", "flood").is_empty
    fallen = [_sizes(points) for points in floods]
    assert [[one["state"] for one in points] for points in fallen] == [["found", "none"]] * len(fallen)
    assert all(points[1]["growth_pct"] == -100.0 for points in fallen)
    whole = [_sizes(points) for points in slides if not any(one["part"] for one in _sizes(points))]
    grew = [points for points in whole if [one["state"] for one in points] == ["found", "found"]]
    assert grew, "a slide is found at both dates"
    truth = [told.truth(date, "landslide").area for date in ("storm", "later")]
    assert truth[1] > 1.1 * truth[0]
    assert sum(points[1]["area_m2"] for points in grew) > 1.1 * sum(points[0]["area_m2"] for points in grew)
    for points in (*fallen, *grew):
        times = [one["after"] for one in points]
        assert times == sorted(times) and times[0].startswith("2026-09-09") and "2026-09-13" in times[1]


def test_the_server_tells_the_same(told: Told, client: httpx.Client) -> None:
    series = told.run("changes", "series", told.event_id)["series"]
    assert client.get("/api/changes/series", params={"event": told.event_id}).json()["series"] == series
    floods = [one["points"] for one in series if one["kind"] == "flood"]
    (change_id, *_) = floods[0][0]["change_ids"]
    (place,) = client.get("/api/changes/series", params={"change": change_id}).json()["series"]
    assert place["points"] == floods[0]


def test_what_is_confirmed_of_both_dates_is_in_the_files(told: Told, client: httpx.Client) -> None:
    lines = client.get("/api/changes", params={"event": told.event_id}).json()["features"]
    for number, line in enumerate(lines):
        seen = {line["properties"]["change_id"]: line["properties"]["version"]}
        step = {"action": "accept", "changes": seen}
        assert client.put(f"/api/changes/steps/step-{number:08x}", json=step).is_success
    out = told.root / "confirmed.geojson"
    told.run("changes", "export", out, "--event", told.event_id)
    rows = [one["properties"] for one in json.loads(out.read_text(encoding="utf-8"))["features"]]
    assert len(rows) == len(lines)
    shown = [{(row["before"], row["after"]) for row in rows if row["kind"] == kind} for kind in KINDS]
    of_place = {
        (point["before_shown"], point["after_shown"])
        for one in told.run("changes", "series", told.event_id)["series"]
        for point in one["points"]
        if point["state"] == "found" and point["confirmed"]
    }
    assert shown[0] < of_place and len(shown[1]) >= 2, "floods at one date, slides at both"
