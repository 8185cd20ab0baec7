"""Commands as other programs call them: one JSON object on the last line, and the exit code."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from flycam.catalog.catalog import open_catalog
from flycam.cli import flycam
from flycam.drill.photo_drill import DrillReport
from flycam.ingest.upload.client import UploadReport
from flycam.messages import verbatim
from flycam.model.board import LayerKind
from tests.change.impacted import add_roads_and_masts, add_things, impacted_house, point
from tests.geodata.rasters import read_raster


@dataclass(frozen=True)
class Answered:
    """What a command said."""

    exit_code: int
    json: dict[str, Any]
    stderr: str


Run = Callable[..., Answered]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command with --json on a data folder of its own."""
    for name in [name for name in os.environ if name.startswith("FLYCAM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FLYCAM_DATA", str(tmp_path / "data"))

    def call(*arguments: object, **environment: str) -> Answered:
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            result = CliRunner().invoke(flycam, [*map(str, arguments), "--json"])
        lines = result.stdout.strip().splitlines()
        return Answered(result.exit_code, json.loads(lines[-1]) if lines else {}, result.stderr)

    return call


@pytest.fixture
def begun(run: Run, tmp_path: Path) -> Run:
    """The same, of a house in which nothing lies yet."""
    open_catalog(f"sqlite:///{tmp_path / 'data' / 'catalog.sqlite'}").close()
    return run


@pytest.fixture
def ready(run: Run, drill: DrillReport) -> Run:
    """`run` on a house that knows the drill's terrain and communes."""
    assert run("dem", "add", drill.dem).exit_code == 0
    assert run("communes", "add", drill.communes).exit_code == 0
    return run


def recorded(tmp_path: Path, since: int = 0) -> list[tuple[str, str, str]]:
    """What the audit log of the commands' house says: what, of which subject, and more."""
    with open_catalog(f"sqlite:///{tmp_path / 'data' / 'catalog.sqlite'}") as catalog:
        return [(line.what, line.subject, line.detail) for line in catalog.audit.lines(since)]


def test_what_is_taken_in_and_what_is_exported_is_on_record(
    ready: Run, drill: DrillReport, tmp_path: Path
) -> None:
    terrain, communes = recorded(tmp_path)
    assert (terrain[0], communes[:2]) == ("dem add", ("communes add", drill.communes.name))
    assert terrain[2].startswith(drill.dem.name) and "SHA-256" in terrain[2]
    flight = ready("ingest", drill.photos, "--name", "thử").json["flight_id"]
    known = len(recorded(tmp_path))
    assert ready("export", "thử", tmp_path / "map.tif").exit_code == 0
    assert ready("export", "không có", tmp_path / "other.tif").exit_code == 3
    assert ready("marks", "export", tmp_path / "marks.geojson").exit_code == 0
    with open_catalog(f"sqlite:///{tmp_path / 'data' / 'catalog.sqlite'}") as catalog:
        event = catalog.flights.flight(flight).event_id
    assert ready("changes", "export", tmp_path / "changes.csv", "--event", event).exit_code == 0
    assert recorded(tmp_path, known) == [
        ("export", flight, "map.tif"),
        ("export marks", "all", "marks.geojson, 0"),
        ("export changes", event, "changes.csv"),
    ]


def test_ingest_then_export_then_withdraw(ready: Run, drill: DrillReport, tmp_path: Path) -> None:
    done = ready("ingest", drill.photos, "--name", "thử")
    assert done.exit_code == 0
    assert done.json["frames"] == {"read": 6, "used": 6, "in_flight": 6, "rejected": {}}
    assert set(done.json) >= {"flight_id", "frames", "gsd_m", "communes", "seconds"}
    assert set(done.json["communes"][0]) >= {"code", "name", "covered_pct", "area_m2"}
    out = tmp_path / "map.tif"
    exported = ready("export", "thử", out, "--commune", done.json["communes"][0]["code"])
    assert exported.exit_code == 0
    assert set(exported.json) >= {"path", "crs", "gsd_m", "bounds"}
    raster = read_raster(out)
    assert raster.tags["FLYCAM_DRILL"] == "DIỄN TẬP"
    assert exported.json["warnings"] == [] == exported.json["warnings_vi"]
    packed = ready("pack", "thử", "--out", tmp_path / "pack", "--approved-by", "Lê Văn An")
    assert packed.exit_code == 0
    assert set(packed.json) >= {"files", "communes", "drill", "draft"}
    assert all(Path(name).is_file() for name in packed.json["files"])
    assert {Path(name).suffix for name in packed.json["files"]} >= {
        ".pdf",
        ".docx",
        ".pmtiles",
        ".gpkg",
        ".kmz",
    }
    assert (packed.json["drill"], packed.json["draft"]) == (True, False)
    elsewhere = ready("export", "thử", out, "--crs", "EPSG:32650", "--gsd", 2)
    assert elsewhere.exit_code == 0
    (said,) = elsewhere.json["warnings"]
    assert "EPSG:32650" in said and "114°E-120°E" in said and done.json["work_crs"] in said
    assert "vẫn được ghi" in elsewhere.json["warnings_vi"][0]
    assert ready("export", "thử", out, "--crs", "EPSG:3405", "--gsd", 2).json["warnings"] == []
    name = sorted(drill.photos.iterdir())[0].name
    gone = ready("withdraw", name, "--reason", "lộ mặt nạn nhân", "--authority", "Ban chỉ huy")
    assert gone.exit_code == 0 and gone.json["frames"] == 1 and gone.json["tiles"] > 0
    again = ready("withdraw", name, "--reason", "lộ mặt nạn nhân")
    assert (again.json["frames"], again.json["tiles"]) == (0, 0)
    assert ready("ingest", drill.photos).json["frames"]["used"] == 5


def test_inspect_writes_nothing(run: Run, drill: DrillReport, tmp_path: Path) -> None:
    seen = run("inspect", drill.photos, "--dem", drill.dem)
    assert seen.exit_code == 0
    assert (seen.json["frames"], seen.json["usable"]) == (6, 6)
    assert seen.json["is_drill"] and seen.json["problems"] is not None
    assert not (tmp_path / "data").exists()


def test_inspect_and_ingest_tell_the_same_heights_and_what_of_a_card_was_not_read(
    ready: Run, card: Path
) -> None:
    (card / "ghi chú.txt").write_text("gió mạnh")
    (card / "DJI_0001.SRT").write_text("")
    seen, laid = ready("inspect", card), ready("ingest", card)
    assert laid.json["relief"] == seen.json["relief"] and len(seen.json["relief"]) > 0
    (unread,) = (one for one in seen.json["problems"] if one["code"] == "files_not_read")
    assert "ghi chú.txt" in unread["sentence"] and "SRT" not in unread["sentence"]
    assert unread["sentence"] in laid.json["problems"]


def test_inspect_hands_out_the_gap_to_refly(run: Run, drill: DrillReport, card: Path, tmp_path: Path) -> None:
    kml = tmp_path / "bay lại.kml"
    sorted(card.iterdir())[1].unlink()
    seen = run("inspect", card, "--dem", drill.dem, "--refly", kml, "--no-pixels")
    assert seen.json["missing_names"] == ["DJI_0002.JPG"]
    assert kml.read_text(encoding="utf-8").startswith("<?xml")


def test_inspect_reads_logs_and_films_where_no_photo_lies(
    run: Run, shared_data: Path, tmp_path: Path
) -> None:
    log = tmp_path / "chuyến 1.bin"
    log.write_bytes((shared_data / "logs" / "arducopter_2016.bin").read_bytes())
    alone = run("inspect", log)
    assert (alone.exit_code, alone.json["positions"], alone.json["first"][:4]) == (0, 1305, "2016")
    subtitles = run("inspect", shared_data / "srt" / "matrice_300.srt")
    # no subtitle says in which zone the aircraft's clock goes
    assert subtitles.json["first"] == "2022-06-21T16:06:17.000" and alone.json["first"].endswith("Z")
    (tmp_path / "cụt.srt").touch()
    (tmp_path / "ghi chú.txt").write_text("not asked for by name")
    both = run("inspect", tmp_path).json["recordings"]
    assert [one["log"] for one in both] == ["chuyến 1.bin", "cụt.srt"]
    assert [one["untold"] is None for one in both] == [True, False]
    assert run("inspect", tmp_path / "cụt.srt").exit_code == 3


def test_doctor_says_what_is_missing(run: Run) -> None:
    answer = run("doctor")
    checks = {check["name"]: check for check in answer.json["checks"]}
    assert answer.json["ready"] is False
    assert (
        answer.stderr.splitlines()[-1].startswith("NOT READY") and "terrain" in answer.stderr.splitlines()[-1]
    )
    assert "(UTC+7)" in checks["clock"]["sentence"]
    assert "CHƯA SẴN SÀNG" in run("doctor", LC_ALL="vi_VN.UTF-8").stderr
    assert checks["store"]["ok"] and checks["catalogue"]["ok"]
    assert "disk is" in checks["encryption"]["sentence"]
    unknown = run("doctor", FLYCAM_POWER="ít thôi")
    assert unknown.exit_code == 2 and "FLYCAM_POWER: ít thôi" in unknown.stderr
    assert not checks["terrain"]["ok"] and "flycam dem add" in checks["terrain"]["sentence"]


@pytest.mark.parametrize(
    ("content", "named"),
    [(b"", "rỗng.jpg"), (b"no photo at all", "rỗng.jpg"), (b"\xff\xd8\xff\xe0\x00\x10JFIF", "rỗng.jpg")],
)
def test_a_photo_that_is_none(run: Run, tmp_path: Path, content: bytes, named: str) -> None:
    folder = tmp_path / "card"
    folder.mkdir()
    (folder / named).write_bytes(content)
    answer = run("ingest", folder)
    assert answer.exit_code == 3
    assert named in answer.json["sentence"]
    assert named in answer.stderr


@pytest.mark.parametrize(("passed_over", "code"), [(0, 0), (1, 6)])
def test_a_script_that_wipes_cards_learns_of_files_that_are_on_the_card_alone(
    run: Run, card: Path, monkeypatch: pytest.MonkeyPatch, passed_over: int, code: int
) -> None:
    """The files that went are told as ever; the code alone says that the card must stay."""
    why = (verbatim("a:b.JPG: this name has ':'"),)
    sent = UploadReport(
        upload_id="u",
        files=6,
        bytes=60,
        sent_bytes=60,
        skipped=(),
        skipped_count=passed_over,
        skipped_reasons=why[:passed_over],
        result={"flight_id": "f", "name": "Bản Lầu", "event": "Bão", "frames": {"used": 6}},
        seconds=1.0,
    )
    monkeypatch.setattr("flycam.ingest.upload.client.send_card", lambda *_: sent)
    answer = run("upload", "http://127.0.0.1:9", card, LC_ALL="vi_VN.UTF-8")
    assert (answer.exit_code, answer.json["flight_id"], answer.json["files"]) == (code, "f", 6)
    assert answer.json.get("error") == ("UploadIncomplete" if passed_over else None)
    assert ("Phải giữ thẻ nhớ" in answer.stderr) == bool(passed_over)


@pytest.mark.parametrize("words", [("doctor",), ("dem", "list")])
def test_an_option_of_every_command_that_stands_before_it(words: tuple[str, ...], tmp_path: Path) -> None:
    (*groups, last) = words
    command = [*groups, "--data", str(tmp_path / "typo"), last]
    result = CliRunner().invoke(flycam, command, env={"LC_ALL": "C"})
    assert result.exit_code == 2 and f"{' '.join(('flycam', *groups))} COMMAND --data" in result.stderr


def test_a_place_that_takes_no_file_is_no_full_disk(ready: Run, card: Path) -> None:
    flight_id = ready("ingest", card).json["flight_id"]
    answer = ready("export", flight_id, "/proc/o.tif")
    assert answer.exit_code == 4 and answer.json["error"] == "StorageFailed"
    assert "/proc/o.tif" in answer.json["sentence"]


def test_how_true_terrain_is_is_stated_and_listed(run: Run, drill: DrillReport) -> None:
    added = run("dem", "add", drill.dem, "--sigma", "0.3,1")
    assert added.exit_code == 0 and added.json["sigma_m"] == [0.3, 1.0]
    again = run("dem", "add", drill.dem)
    assert again.json["sigma_m"] == [0.3, 1.0], "what was stated stays"
    assert run("dem", "add", drill.dem, "--sigma", "0.5").json["sigma_m"] == [0.5, None]
    assert run("dem", "list").json["dems"][0]["sigma_m"] == [0.5, None]
    for wrong in ("0", "-1", "1,2,3", "nan", "a", "101", "0.3,0"):
        refused = run("dem", "add", drill.dem, "--sigma", wrong)
        assert refused.exit_code == 2 and f"--sigma {wrong}" in refused.stderr


def test_unknown_option_is_a_usage_error(run: Run) -> None:
    answer = run("ingest", "--no-such-option")
    assert answer.exit_code == 2 and answer.json["exit_code"] == 2
    assert "--no-such-option" in answer.json["sentence"] and "flycam ingest --help" in answer.json["sentence"]
    assert "--no-such-option" in answer.stderr


def test_a_usage_error_is_headed_in_the_language_of_the_terminal(run: Run) -> None:
    for settings in ({"LC_ALL": "vi_VN.UTF-8", "LANG": "C"}, {"LC_ALL": "", "LANG": "vi_VN.UTF-8"}):
        assert "Câu lệnh chưa đúng" in run("ingest", "--no-such-option", **settings).stderr


def test_options_that_contradict_each_other_leave_nothing_behind(run: Run, tmp_path: Path) -> None:
    for beside in (("--gsd", 0.2), ("--gsd", 0), ("--figures",)):
        lines = ("--contours", tmp_path / "a.gpkg")
        answered = run("export", "any", tmp_path / "a.tif", "--dsm", *beside, *lines)
        assert answered.exit_code == 2 and "--dsm" in answered.json["sentence"]
        assert "Traceback" not in answered.stderr
        assert not list(tmp_path.glob("a.*"))


def test_store_that_is_down(run: Run, drill: DrillReport) -> None:
    answer = run(
        "dem",
        "add",
        drill.dem,
        FLYCAM_STORE="s3://flycam/x?endpoint=http://127.0.0.1:9",
        AWS_ACCESS_KEY_ID="key",
        AWS_SECRET_ACCESS_KEY="secret",
    )
    assert answer.exit_code == 4
    assert "127.0.0.1:9" in answer.json["sentence"]


@pytest.mark.slow
def test_kill_at_any_moment_then_again(ready: Run, drill: DrillReport, tmp_path: Path) -> None:
    reference = ready("ingest", drill.photos).json["flight_id"]
    ready("export", reference, tmp_path / "whole.tif")
    whole = read_raster(tmp_path / "whole.tif")
    choose = random.Random(20240910)
    for attempt in range(2):
        data = tmp_path / f"killed-{attempt}"
        arguments = [sys.executable, "-m", "flycam", "ingest", str(drill.photos), "--dem", str(drill.dem)]
        child = subprocess.Popen([*arguments, "--data", str(data)], stderr=subprocess.DEVNULL)
        time.sleep(choose.uniform(0.5, 3.0))
        child.send_signal(signal.SIGKILL)
        child.wait()
        done = ready("ingest", drill.photos, "--dem", drill.dem, "--data", data)
        assert (done.exit_code, done.json["flight_id"]) == (0, reference)
        ready("export", reference, tmp_path / "again.tif", "--data", data)
        again = read_raster(tmp_path / "again.tif")
        assert np.array_equal(again.pixels, whole.pixels) and np.array_equal(again.mask, whole.mask)
        shutil.rmtree(data)


def test_a_drill_is_of_photos_or_a_film_and_says_what_does_not_belong(run: Run, tmp_path: Path) -> None:
    for wrong in (["--video", "--pitch", "-65"], ["--seconds", "20"], ["--video", "--dem-error", "2"]):
        said = run("drill", "--out", tmp_path / "d", *wrong)
        assert said.exit_code == 2 and "--video" in said.json["sentence"], wrong
    assert run("drill", "--out", tmp_path / "d", "--video", "--seconds", "1").exit_code == 2
    for wrong in (["--resend"], ["--stream", "5600"], ["--link", "127.0.0.1:0"]):
        said = run("drill", "--out", tmp_path / "d", "--video", *wrong)
        assert said.exit_code == 2 and wrong[0] in said.json["sentence"], wrong
    nobody = run("drill", "--out", tmp_path / "d", "--video", "--resend", "--link", "127.0.0.1:14999")
    assert nobody.exit_code == 3
    assert not (tmp_path / "d").exists()


def test_a_live_flight_says_what_it_was_not_given_right(run: Run, tmp_path: Path) -> None:
    (tmp_path / "log.srt").write_text("no subtitle")
    video = ["--video", "rtsp://127.0.0.1:9/none", "--telemetry", "udp://127.0.0.1:14998"]
    no_key = run("live", *video, "--mavlink-key", tmp_path / "missing.key")
    assert no_key.exit_code == 3 and "missing.key" in no_key.json["sentence"]
    assert run("live", *video).exit_code == 3  # nobody serves this stream
    mixed = run("live", "--video", "film.mp4", "--telemetry", "udp://127.0.0.1:14998")
    assert mixed.exit_code == 2 and "recorded" in mixed.json["sentence"]
    gone = run("live", "--video", tmp_path / "gone.mp4", "--telemetry", tmp_path / "log.srt")
    assert gone.exit_code == 3 and "gone.mp4" in gone.json["sentence"]
    for wrong in ("nan", "inf", "-1e300"):
        offset = run("live", *video, "--clock-offset", wrong)
        assert offset.exit_code == 2 and "--clock-offset" in offset.json["sentence"]
    both = run("live", *video, "--camera", "c.json", "--hfov", "80")
    assert both.exit_code == 2


def _masts(path: Path, status: str) -> Path:
    mast = {
        "type": "Feature",
        "properties": {"ten": "Trạm A", "tinh_trang": status},
        "geometry": {"type": "Point", "coordinates": [104.8, 21.9]},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [mast]}), encoding="utf-8")
    return path


def test_a_layer_is_added_listed_refreshed_and_removed(run: Run, tmp_path: Path) -> None:
    path = _masts(tmp_path / "masts.geojson", "mất sóng")
    added = run(
        "layers", "add", path, "--kind", "mast", "--owner", "Viettel", "--valid-time", "10/09/2024 10:15"
    )
    assert added.exit_code == 0
    assert (added.json["added"], added.json["troubles"], added.json["stale"]) == (1, 1, True)
    assert added.json["valid_ns"] == 1_725_938_100 * 10**9
    _masts(path, "hoạt động")
    assert run("layers", "refresh", "masts").json["troubles"] == 0
    assert [one["owner"] for one in run("layers", "list").json["layers"]] == ["Viettel"]
    assert run("layers", "remove", "masts").exit_code == 0
    assert run("layers", "list").json == {"layers": []}


def test_a_layer_that_cannot_be_says_so_with_its_code(run: Run, tmp_path: Path) -> None:
    path = _masts(tmp_path / "masts.geojson", "")
    assert run("layers", "add", path, "--kind", "masts").exit_code == 2
    assert run("layers", "add", path, "--kind", "mast", "--valid-time", "hôm qua").exit_code == 2
    wrong = run("layers", "add", path, "--kind", "road")
    assert (wrong.exit_code, wrong.json["error"]) == (3, "LayerInvalid")
    far = run("layers", "add", "http://127.0.0.1:9/a.geojson", "--kind", "mast")
    assert (far.exit_code, far.json["error"]) == (3, "SourceUnreadable")
    assert "FLYCAM_LAYER_HOSTS" in far.stderr
    listed = run(
        "layers", "add", "http://127.0.0.1:9/a.geojson", "--kind", "mast", FLYCAM_LAYER_HOSTS="127.0.0.1:9"
    )
    assert "does not answer" in listed.stderr
    assert run("layers", "refresh", "none").exit_code == 3


def test_changes_are_exported_of_an_event(begun: Run, tmp_path: Path) -> None:
    assert begun("changes", "export", tmp_path / "a.gpkg", "--event", "không có").exit_code == 3
    assert begun("changes", "export", tmp_path / "a.txt", "--event", "x").exit_code == 2
    assert begun("changes", "export", tmp_path / "a.gpkg").exit_code == 2


def test_what_changes_touch_is_told_of_an_event(run: Run, tmp_path: Path) -> None:
    workspace = impacted_house(tmp_path)
    add_roads_and_masts(workspace, tmp_path)
    workspace.catalog.close()
    house = {
        "FLYCAM_DATABASE": f"sqlite:///{tmp_path / 'house' / 'catalog.sqlite'}",
        "FLYCAM_STORE": (tmp_path / "house" / "store").as_uri(),
    }
    table = tmp_path / "table.csv"
    said = run("changes", "impact", "Bão e1", "--csv", table, **house)
    assert (said.exit_code, said.json["csv"], len(said.json["changes"])) == (0, str(table), 2)
    assert said.json["communes"][0]["confirmed"]["roads_cut"][0]["name"] == "ĐT 153"
    assert "ĐT 153" in table.read_text("utf-8-sig")
    assert run("changes", "impact", "Bão e1", "--distance", "31", **house).json["reach_m"]["house"] == 31.0
    by_event = run("changes", "impact", "--event", "Bão e1", **house)
    assert by_event.exit_code == 0 and by_event.json["communes"] == said.json["communes"]
    assert run("changes", "impact", "Bão e1", "--distance", "-1", **house).exit_code == 2
    assert run("changes", "impact", "không có", **house).exit_code == 3
    assert run("changes", "impact", "a", "b", **house).exit_code == 3
    assert run("changes", "impact", "a", "b", "c").exit_code == 2
    assert run("changes", "impact").exit_code == 2
    assert run("changes", "impact", "a", "--event", "Bão e1").exit_code == 2


def test_settlements_are_listed_said_and_exported(run: Run, tmp_path: Path) -> None:
    workspace = impacted_house(tmp_path)
    add_roads_and_masts(workspace, tmp_path)
    add_things(workspace, tmp_path, "Thôn bản", LayerKind.SETTLEMENT, [("Nậm Lúc", point(300, 80))])
    workspace.catalog.close()
    house = {
        "FLYCAM_DATABASE": f"sqlite:///{tmp_path / 'house' / 'catalog.sqlite'}",
        "FLYCAM_STORE": (tmp_path / "house" / "store").as_uri(),
    }
    (one,) = run("settlements", "list", "Bão e1", **house).json["settlements"]
    assert (one["name"], one["access"]) == ("Nậm Lúc", "unknown")
    said = run("settlements", "set", "Bão e1", "Nậm Lúc", "isolated", "--by", "Lan", **house)
    assert (said.exit_code, said.json["version"]) == (0, 1)
    (one,) = run("settlements", "list", "Bão e1", "--reach", "50", **house).json["settlements"]
    assert (one["access"], one["said_by"]) == ("isolated", "Lan")
    assert run("settlements", "export", tmp_path / "s.csv", "--event", "Bão e1", **house).exit_code == 0
    assert run("settlements", "set", "Bão e1", "Không Có", "isolated", **house).exit_code == 3
    assert run("settlements", "set", "Bão e1", "Nậm Lúc", "xa", **house).exit_code == 2
    assert run("settlements", "list", "không có", **house).exit_code == 3
