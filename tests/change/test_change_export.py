"""Exports hold confirmed changes only, open in GDAL, and CAP is never a warning."""

from __future__ import annotations

import csv
import io
import math
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import defusedxml.ElementTree
import pyogrio
import pytest
import shapely

from flycam.access.policy import UNRESTRICTED, AccessPolicy
from flycam.change.export import SUFFIXES, export_changes
from flycam.change.features import COEFFICIENTS
from flycam.cli.products import format_exported_changes
from flycam.config import read_settings
from flycam.errors import InputUnusable, NotFound, OptionUnusable
from flycam.model.board import ChangeKind, ChangeStatus
from flycam.model.flight import Event, EventKind
from flycam.model.time import format_iso, format_minute
from flycam.workspace import Workspace
from tests.geodata.cap_schema import cap_faults
from tests.serve.world import LAT, LON, add_communes, make_workspace, ns
from tests.suites.catalog_suite import MOSAIC, flight
from tests.suites.change_suite import FOUND

CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"
HOLED = shapely.MultiPolygon(
    [
        shapely.box(LON, LAT, LON + 0.002, LAT + 0.002)
        - shapely.box(LON + 0.0005, LAT + 0.0005, LON + 0.001, LAT + 0.001),
        shapely.box(LON + 0.003, LAT, LON + 0.004, LAT + 0.001),
    ]
)
ACCEPTED = replace(
    FOUND,
    status=ChangeStatus.ACCEPTED,
    commune="99000",
    note='=HYPERLINK("http://x")',
    author="Lan & <Minh>",
    area_m2=38_000.0,
    wkb=shapely.to_wkb(HOLED),
    bounds_lonlat_deg=tuple(HOLED.bounds),
)
DRAWN = replace(
    ACCEPTED, change_id="change-00000002", kind=ChangeKind.FLOOD, score=None, tie_m=None, rmse_m=None, note=""
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    one = make_workspace(tmp_path / "house")
    add_communes(one)
    for event_id, is_drill in (("e1", False), ("e2", True)):
        kind = EventKind.DRILL if is_drill else EventKind.STORM
        one.catalog.flights.put_event(
            Event(event_id=event_id, name=f"Bão {event_id} & <b>", kind=kind, is_drill=is_drill)
        )
    waiting = replace(FOUND, change_id="change-00000003")
    rejected = replace(FOUND, change_id="change-00000004", status=ChangeStatus.REJECTED)
    one.catalog.changes.append([ACCEPTED, DRAWN, waiting, rejected])
    return one


@pytest.mark.parametrize("ending", sorted({*SUFFIXES} - {".csv", ".xml"}))
def test_gdal_opens_what_is_confirmed_and_nothing_else(
    workspace: Workspace, tmp_path: Path, ending: str
) -> None:
    out = tmp_path / f"changes{ending}"
    assert export_changes(workspace, out, "e1") == 2
    source = out
    if ending == ".kmz":  # not every GDAL has the driver that opens it zipped
        with zipfile.ZipFile(out) as archive:
            archive.extract("doc.kml", tmp_path)
        source = tmp_path / "doc.kml"
    info = pyogrio.read_info(source)
    assert info["features"] == 2
    _, _, shapes, _ = pyogrio.raw.read(source)
    assert info["crs"] == ("EPSG:32648" if ending == ".gpkg" else "EPSG:4326")
    if ending != ".gpkg":
        for wkb in shapes:
            assert shapely.hausdorff_distance(shapely.force_2d(shapely.from_wkb(wkb)), HOLED) < 1e-6
    else:
        assert shapely.from_wkb(shapes[0]).area == pytest.approx(4.75e-6 * 110_700 * 103_400, rel=0.01)


def test_a_spreadsheet_runs_nothing_that_somebody_wrote(workspace: Workspace, tmp_path: Path) -> None:
    export_changes(workspace, tmp_path / "a.csv", "e1")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text("utf-8-sig"))))
    by_id = {row["change_id"]: row for row in rows}
    assert by_id[ACCEPTED.change_id]["note"] == '\'=HYPERLINK("http://x")'
    assert by_id[DRAWN.change_id]["score"] == "", "drawn by hand: nobody scored it"
    assert shapely.hausdorff_distance(shapely.from_wkt(rows[0]["wkt"]), HOLED) < 1e-6
    inside = shapely.Point(float(rows[0]["lon_deg"]), float(rows[0]["lat_deg"]))
    assert HOLED.contains(inside)


@pytest.mark.parametrize("wrong", ["phòng@laocai.gov.vn", "a b@c.vn", "<a@c.vn", "laocai"])
def test_a_sender_that_cap_forbids_is_refused(wrong: str) -> None:
    with pytest.raises(OptionUnusable, match="FLYCAM_CAP_SENDER"):
        read_settings({"FLYCAM_CAP_SENDER": wrong})
    assert read_settings({"FLYCAM_CAP_SENDER": " pccr@laocai.gov.vn "}).cap_sender == "pccr@laocai.gov.vn"


def test_how_sure_and_of_when_is_told_or_left_empty(workspace: Workspace, tmp_path: Path) -> None:
    flown = {
        "before": ns("2024-09-05 02:00"),
        "storm": ns("2024-09-09 02:00"),
    }
    shown = {name: f"{_flown(workspace, name, at_ns)}@0" for name, at_ns in flown.items()}
    sure = {"error_m": 0.25, "before_shown": shown["before"]}
    workspace.catalog.changes.append(
        [
            replace(ACCEPTED, change_id="change-00000005", after_shown=shown["storm"], **sure),
            replace(ACCEPTED, change_id="change-00000007", after_shown="ve-tinh.tif", **sure),
        ]
    )
    export_changes(workspace, tmp_path / "a.csv", "e1")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text("utf-8-sig"))))
    by_id = {row["change_id"]: row for row in rows}
    found, file, old = (by_id[f"change-0000000{number}"] for number in (5, 7, 1))
    before, storm = (format_iso(at_ns, "seconds") for at_ns in flown.values())
    assert (found["before_time"], found["after_time"]) == (before, storm)
    assert (file["before_time"], file["after_time"]) == (before, "")
    perimeter_m = 2 * (0.002 + 0.0005 + 0.001) * (110_700 + 103_300)
    assert float(found["error_m"]) == 0.25
    rim_m = COEFFICIENTS.rim_m["landslide"]
    assert float(found["area_error_m2"]) == pytest.approx(math.hypot(rim_m, 0.25) * perimeter_m, rel=0.01)
    assert float(old["area_error_m2"]) == pytest.approx(rim_m * perimeter_m, rel=0.01)
    assert (old["error_m"], old["before_time"]) == ("", "")


def test_people_read_names_kinds_and_times_of_vietnam_first(workspace: Workspace, tmp_path: Path) -> None:
    """In the language asked for; what programs read stands behind it, under the same names in both."""
    before = _flown(workspace, "Nậm Lúc, trước bão", ns("2024-09-05 02:00"))
    after = _flown(workspace, "=Nậm Lúc, sau bão", ns("2024-09-09 19:30"))
    seen = {"before_shown": f"{before}@2", "after_shown": f"{after}@0"}
    found = replace(ACCEPTED, change_id="change-00000005", score=0.99996, slope_deg=20.0, **seen)
    lost = replace(found, change_id="change-00000006", after_shown="x-colour@1")
    workspace.catalog.changes.append([found, lost])
    rows: dict[str, list[dict[str, str]]] = {}
    for language in ("vi", "en"):
        export_changes(workspace, tmp_path / "a.csv", "e1", language=language)
        rows[language] = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text("utf-8-sig"))))
    vietnamese, english = (
        next(row for row in rows[language] if row["change_id"] == found.change_id) for language in rows
    )
    assert [*vietnamese.values()][:10] == [
        *("Sạt lở", vietnamese["Diện tích"], "Nậm Lúc", "> 99,9 %"),
        *("Nậm Lúc, trước bão", "05/09/2024 09:00", "'=Nậm Lúc, sau bão", "10/09/2024 02:30"),
        *("Lan & <Minh>", format_minute(ACCEPTED.at_ns)),
    ]
    assert vietnamese["Diện tích"].startswith("3,80 ± ") and vietnamese["Diện tích"].endswith(" ha")
    assert [*vietnamese][10:] == [*english][10:], "columns for programs are not translated"
    assert [*vietnamese.values()][10:] == [*english.values()][10:]
    assert vietnamese["score"] == "0.999", "what is not certain is not told as certain"
    assert vietnamese["before"] == f"{before}@2" and vietnamese["kind"] == "landslide"
    gone = next(row for row in rows["vi"] if row["change_id"] == lost.change_id)
    assert gone["Ảnh sau chụp lúc (UTC+7)"] == ""


def _flown(workspace: Workspace, name: str, at_ns: int) -> str:
    """The mosaic of a flight of which no more is known than when it was."""
    flown = flight(flight_id=name, event_id="e1", name=name, first_ns=at_ns, last_ns=at_ns)
    workspace.catalog.flights.put_flight(flown)
    workspace.catalog.tiles.put_mosaic(replace(MOSAIC, mosaic_id=f"{name}-colour", flight_id=name))
    return f"{name}-colour"


def _names(element: Any) -> list[str]:
    return [child.tag.removeprefix(CAP) for child in element]


@pytest.mark.parametrize(("event", "status", "places"), [("e1", "Draft", 2), ("e2", "Exercise", 1)])
def test_cap_is_a_draft_or_an_exercise(
    workspace: Workspace, tmp_path: Path, event: str, status: str, places: int
) -> None:
    changes = workspace.catalog.changes
    confirmed = changes.current("e1", statuses=[ChangeStatus.ACCEPTED])[0]
    changes.append([replace(confirmed, change_id="change-of-e2", version=1, step_id="e2", event_id="e2")])
    export_changes(workspace, tmp_path / "a.xml", event)
    assert cap_faults((tmp_path / "a.xml").read_bytes()) == []
    alert = defusedxml.ElementTree.parse(tmp_path / "a.xml").getroot()
    assert alert is not None
    assert alert.tag == f"{CAP}alert"
    assert alert.findtext(f"{CAP}status") == status
    assert not set(" ,<&") & set(alert.findtext(f"{CAP}identifier") + alert.findtext(f"{CAP}sender"))
    assert alert.findtext(f"{CAP}sent", "").endswith("+07:00")
    assert _names(alert)[:8] == [
        *("identifier", "sender", "sent", "status", "msgType", "scope", "restriction", "note")
    ], "the standard is a sequence"
    infos = alert.findall(f"{CAP}info")
    assert len(infos) == places
    for info in infos:
        said = ["language", "category", "event", "urgency", "severity", "certainty", "description", "area"]
        assert _names(info) == said
        assert sorted(set(_names(info[-1])), key=_names(info[-1]).index) == ["areaDesc", "polygon", "geocode"]
        ring = info.findtext(f"{CAP}area/{CAP}polygon", "").split(" ")
        assert len(ring) >= 4 and ring[0] == ring[-1]
        lat, lon = map(float, ring[0].split(","))
        assert abs(lat - LAT) < 0.01 and abs(lon - LON) < 0.01, "latitude comes first"
        assert info.findtext(f"{CAP}area/{CAP}geocode/{CAP}value") == "99000"


@pytest.mark.parametrize("ending", sorted({*SUFFIXES} - {".xml"}))
def test_an_event_without_confirmed_changes_makes_an_empty_file_and_says_so(
    workspace: Workspace, tmp_path: Path, ending: str
) -> None:
    out = tmp_path / f"a{ending}"
    assert export_changes(workspace, out, "e2") == 0
    assert out.stat().st_size > 0
    assert [len(format_exported_changes(out, count)[1]) for count in (0, 1)] == [2, 1]


def test_a_message_of_nothing_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    withheld = AccessPolicy(areas=[shapely.to_wkb(shapely.box(LON - 1, LAT - 1, LON + 1, LAT + 1))])
    for event, policy in (("e2", UNRESTRICTED), ("e1", withheld)):  # something is confirmed in e1
        with pytest.raises(InputUnusable, match=f"Bão {event}"):
            export_changes(workspace, tmp_path / "a.xml", event, policy)
        assert not (tmp_path / "a.xml").exists()


def test_what_cannot_be_written_is_said(workspace: Workspace, tmp_path: Path) -> None:
    for out, event, kind in (
        (tmp_path / "a.shp", "e1", OptionUnusable),
        (tmp_path / "a.gpkg", "e9", NotFound),
        (tmp_path / "none" / "a.csv", "e1", InputUnusable),
        (tmp_path / "none" / "a.gpkg", "e1", InputUnusable),
    ):
        with pytest.raises(kind):
            export_changes(workspace, out, event)
        assert not out.exists()
