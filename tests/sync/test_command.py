"""`flycam bundle` as other programs call it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flycam.cli import flycam
from flycam.drill.photo_drill import DrillReport
from flycam.errors import StoreUnavailable
from flycam.sync import client
from flycam.sync.client import SyncReport
from flycam.workspace import Progress
from tests.texts import pair


def call(data: Path, *arguments: object, language: str = "C") -> Result:
    """A command on the box whose data are in a folder of its own; its name is the folder's."""
    settings = {"FLYCAM_DATA": str(data), "FLYCAM_BOX": data.name, "LC_ALL": language}
    return CliRunner().invoke(flycam, [*map(str, arguments)], env=settings)


def run_json(data: Path, *arguments: object) -> dict[str, Any]:
    """What a command that succeeds says in JSON."""
    done = call(data, *arguments, "--json")
    assert done.exit_code == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def test_a_bundle_brings_the_map_to_another_box(drill: DrillReport, tmp_path: Path) -> None:
    field, province = tmp_path / "field", tmp_path / "province"
    path = tmp_path / "field.fcb"
    flight_id = run_json(field, "ingest", drill.photos, "--dem", drill.dem, "--name", "thử")["flight_id"]
    written = run_json(field, "bundle", "write", path)
    assert (written["left"], written["parts"], written["sent"]) == (0, 1, path.stat().st_size)
    read = run_json(province, "bundle", "read", path)
    assert (read["box"], read["flights"], read["apart"]) == ("field", [flight_id], [])
    assert read["lines"] > 0
    run_json(province, "export", "thử", tmp_path / "map.tif")
    assert run_json(province, "bundle", "read", path)["lines"] == 0
    assert run_json(field, "bundle", "write", path)["tiles"] == 0  # the receipt lies beside the bundle
    assert run_json(field, "bundle", "write", path, "--all")["tiles"] > 0
    done = call(province, "bundle", "read", path, language="vi_VN.UTF-8")
    assert "đã nhận từ field: 1 chuyến bay" in done.stdout


def test_a_bundle_that_is_not_there_is_named(tmp_path: Path) -> None:
    read = call(tmp_path / "box", "bundle", "read", tmp_path / "field.fcb")
    assert read.exit_code == 3
    assert "field.fcb: there is no such file; name the first part" in read.stderr
    written = call(tmp_path / "box", "bundle", "write", tmp_path / "x.fcb", "--receipt", tmp_path / "no.json")
    assert written.exit_code == 3 and "no.json: there is no such receipt; " in written.stderr
    assert call(tmp_path / "box", "bundle", "write", tmp_path / "x.fcb", "--part-size", "big").exit_code == 2


def test_a_sync_outlasts_its_own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[int] = []

    class Unlucky:
        """A sender whose store goes away in its first round."""

        def __init__(self, _house: Any, _line: Any, _limits: Any, progress: Progress, **_how: Any) -> None:
            self._progress, self.sent = progress, SyncReport()

        def run_round(self) -> None:
            rounds.append(1)
            self._progress("sync", len(rounds), 3)
            if len(rounds) == 1:
                raise StoreUnavailable(pair("s3: no answer; run again", "s3: không trả lời"))

    monkeypatch.setattr(client, "Sender", Unlucky)
    done = call(tmp_path / "field", "sync", "http://127.0.0.1:9", "--once")
    assert done.exit_code == 0, done.stderr
    assert len(rounds) == 2
    assert "unavailable since" in done.stderr
    assert "it resumes" in done.stderr


def test_a_server_that_is_not_there_is_not_taken_for_the_own_store(tmp_path: Path) -> None:
    done = call(tmp_path / "field", "sync", "http://127.0.0.1:9", "--once", "--patience", "0.1")
    assert done.exit_code == 4
    assert "unavailable since" not in done.stderr
    assert "http://127.0.0.1:9: " in done.stderr.splitlines()[-1]
