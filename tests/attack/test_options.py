"""Options typed in a hurry."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from tests.attack.commands import Operator


@pytest.mark.parametrize("gsd", ["-1", "nan", "1e9", "0.001"])
def test_senseless_gsd_leaves_no_flight(ready: Operator, drill: DrillReport, gsd: str) -> None:
    said = ready("ingest", drill.photos, "--gsd", gsd)
    assert said.exit_code == 2 and "--gsd" in said.sentence
    assert ready.flights() == []


@pytest.mark.parametrize(
    ("takeoff", "cure"),
    [
        ("21.8999,104.8002", "--takeoff 104.8,21.8999"),
        ("nan", "LON,LAT"),
        ("500,500", "LON,LAT"),
        ("sân UBND", "LON,LAT"),
    ],
)
def test_takeoff_that_is_none(ready: Operator, drill: DrillReport, takeoff: str, cure: str) -> None:
    said = ready("ingest", drill.photos, "--takeoff", takeoff)
    assert said.exit_code == 2 and takeoff in said.sentence and cure in said.sentence


def test_takeoff_far_away_is_said(ready: Operator, drill: DrillReport) -> None:
    said = ready("ingest", drill.photos, "--takeoff", "0,0")
    assert said.exit_code == 0
    assert any("terrain" in problem for problem in said.json["problems"])


@pytest.mark.parametrize("seconds", ["nan", "1e30"])
def test_clock_offset_that_is_none(ready: Operator, drill: DrillReport, seconds: str) -> None:
    said = ready("ingest", drill.photos, "--clock-offset", seconds)
    assert said.exit_code == 2 and "--clock-offset" in said.sentence


@pytest.mark.parametrize("option", ["--telemetry", "--camera", "--dem", "--communes"])
def test_files_that_are_missing_or_of_another_kind(
    operator: Operator, drill: DrillReport, tmp_path: Path, option: str
) -> None:
    letter = tmp_path / "thư.txt"
    letter.write_text("Kính gửi Ban chỉ huy", encoding="utf-8")
    for path in (tmp_path / "không có.bin", letter, drill.photos / "DJI_0001.JPG"):
        said = operator("ingest", drill.photos, option, path)
        assert said.exit_code == 3 and path.name in said.sentence


def test_exports_that_make_no_sense(flown: Operator, tmp_path: Path) -> None:
    (flight_id,) = flown.flights()
    out = tmp_path / "bản đồ.tif"
    for options, word in [
        (("--gsd", "inf"), "--gsd"),
        (("--gsd", "1e9"), "--gsd"),
        (("--gsd", "0.0001"), "--gsd"),
        (("--gsd", "nan"), "--gsd"),
        (("--crs", "EPSG:999999"), "EPSG:999999"),
        (("--revision", "final"), "--revision live"),
    ]:
        said = flown("export", flight_id, out, *options)
        assert said.exit_code == (3 if "--revision" in options else 2) and word in said.sentence
    for name in ("bản đồ.jpg", "bản đồ.png", "bản đồ", ".tif"):
        said = flown("export", flight_id, tmp_path / name)
        assert said.exit_code == 2 and f"{name}: " in said.sentence
        assert not (tmp_path / name).exists()
    for place in (tmp_path, tmp_path / "chưa có" / "a.tif"):
        said = flown("export", flight_id, place)
        assert said.exit_code == 3 and str(place) in said.sentence
    assert not list(tmp_path.glob("*.tif")) and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--pitch", "-20"), "pitch"),
        (("--dem-error", "1e6"), "terrain error"),
        (("--yaw-step", "inf"), "yaw step"),
        (("--photos", "0", "3"), "photos 0 3"),
        (("--gsd", "-1"), "gsd -1"),
        (("--relief", "inf"), "relief inf"),
        (("--noise", "nan"), "noise nan"),
        (("--seed", "-1"), "seed -1"),
    ],
)
def test_drills_that_make_no_sense(
    operator: Operator, tmp_path: Path, options: tuple[str, ...], word: str
) -> None:
    said = operator("drill", "--out", tmp_path / "diễn tập", *options)
    assert said.exit_code == 2 and word in said.sentence
    assert not list(tmp_path.glob("*diễn tập*"))


def test_a_port_that_is_taken_and_a_host_that_is_none_are_said(operator: Operator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = operator("serve", "--port", port)
    assert said.exit_code == 2 and f"127.0.0.1, port {port}: " in said.sentence
    assert operator("serve", "--host", "nowhere.invalid").exit_code == 2
    assert operator("serve", "--port", "99999").exit_code == 2


@pytest.mark.parametrize(
    "content", ["{}", "[]", '[{"cameras": {}}]', "[" * 5000, '{"type": "FeatureCollection", "features": []}']
)
def test_json_that_holds_no_poses_is_named_with_the_cure(
    operator: Operator, drill: DrillReport, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "điểm chụp.json"
    path.write_text(content, encoding="utf-8")
    said = operator("inspect", drill.photos, "--no-pixels", "--telemetry", path)
    assert said.exit_code == 3 and path.name in said.sentence and not said.trace
