"""`verify`, `backup`, `restore`, `audit verify` as other programs call them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flycam.catalog.catalog import open_catalog
from flycam.cli import flycam
from flycam.drill.photo_drill import DrillReport
from flycam.errors import StoreUnavailable
from flycam.messages import verbatim
from flycam.operations import verify
from flycam.operations.inventory import InventoryKind
from flycam.operations.jobs import RETRYABLE_ERRORS
from flycam.workspace import Progress, Workspace
from tests.finished_house import ingested, open_workspace
from tests.operations.spoiled import close, copy_of, held, spoil


@dataclass(frozen=True)
class Answered:
    exit_code: int
    json: dict[str, Any]
    stderr: str


Run = Callable[..., Answered]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, drill: DrillReport) -> Path:
    folder = tmp_path_factory.mktemp("keeping") / "house"
    close(ingested(folder, drill))
    return folder


@pytest.fixture
def data(root: Path, tmp_path: Path) -> Path:
    close(copy_of(root, tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def run(data: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in [name for name in os.environ if name.startswith("FLYCAM_")]:
        monkeypatch.delenv(name)

    def call(*words: object, where: Path = data, language: str = "C.UTF-8") -> Answered:
        monkeypatch.setenv("LC_ALL", language)
        result = CliRunner().invoke(flycam, [*map(str, words), "--data", str(where), "--json"])
        lines = result.stdout.strip().splitlines()
        return Answered(result.exit_code, json.loads(lines[-1]) if lines else {}, result.stderr)

    return call


def test_a_store_that_goes_away_in_mid_work_is_waited_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, times = verify.verify_objects, []

    def falters(workspace: Workspace, request: Any, progress: Progress) -> object:
        times.append(1)
        progress("verify", 0, 1)
        if len(times) == 1:
            raise StoreUnavailable(verbatim("the store is away"))
        return whole(workspace, request, progress)

    monkeypatch.setattr(verify, "verify_objects", falters)
    assert run("verify").exit_code == 0 and len(times) == 2


def test_a_store_whose_disk_is_not_mounted_is_refused_until_it_is(
    run: Run, data: Path, drill: DrillReport, tmp_path: Path
) -> None:
    """As a service meets it after a power cut: nothing is written where the disk is to be mounted."""
    (data / "store").rename(tmp_path / "disk")
    (data / "store").mkdir()
    for words in (("ingest", drill.photos), ("dem", "list"), ("backup", tmp_path / "stick"), ("verify",)):
        answer = run(*words)
        assert answer.exit_code == 4 and answer.json["error"] in {
            error.__name__ for error in RETRYABLE_ERRORS
        }
    assert not list((data / "store").iterdir())
    (data / "store").rmdir()
    (tmp_path / "disk").rename(data / "store")
    again = run("ingest", drill.photos)
    assert again.exit_code == 0 and run("verify").json["whole"] is True


def test_a_lost_store_is_begun_anew_from_what_there_is(run: Run, data: Path, drill: DrillReport) -> None:
    shutil.rmtree(data / "store")
    assert run("dem", "list").exit_code == 4
    report = run("verify", "--from", drill.photos)
    assert report.json["mended"] > 0
    assert run("dem", "list").exit_code == 0


def test_a_whole_house(run: Run) -> None:
    answer = run("verify")
    assert answer.exit_code == 0 and answer.json["whole"] is True
    assert (answer.json["mended"], answer.json["standing"], answer.json["left"]) == (0, 0, 0)
    assert set(answer.json) >= {"objects", "bytes", "parts", "damaged", "catalogue", "audit", "seconds"}
    assert run("verify", "--share", "0.1").json["left"] > 0
    assert run("verify", "--since", "1").json["parts"] == 0
    assert run("verify", "--share", "2").exit_code == 2


def test_what_is_mended_ends_well_and_what_is_not_ends_with_4(
    run: Run, data: Path, drill: DrillReport
) -> None:
    house = open_workspace(data)
    spoil(house, held(house, InventoryKind.TILE)[0].key, "flipped")
    photo = held(house, InventoryKind.PHOTO)[0]
    mended = run("verify")
    assert mended.exit_code == 0 and mended.json["whole"] is True
    assert [(one["kind"], one["state"], one["mended"]) for one in mended.json["damaged"]] == [
        ("tile", "damaged", True)
    ]
    spoil(house, photo.key, "lost")
    answer = run("verify", language="vi_VN.UTF-8")
    assert answer.exit_code == answer.json["exit_code"] == 4 and answer.json["error"] == "DataDamaged"
    (one,) = answer.json["damaged"]
    assert (one["name"], one["state"], one["mended"]) == (photo.name, "lost", False)
    assert "--from" in one["cure"] and "lấy lại" in one["cure_vi"]
    assert f"ảnh gốc {photo.name}" in answer.stderr and "bị mất" in answer.stderr
    assert run("verify", "--from", drill.photos).exit_code == 0
    close(house)


def test_saved_and_put_back(run: Run, data: Path, drill: DrillReport, tmp_path: Path) -> None:
    stick, new = tmp_path / "stick", tmp_path / "new"
    assert run("guests", "add", "--hours", 1).exit_code == 0  # a line that this box signs
    saved = run("backup", stick)
    assert saved.exit_code == 0 and saved.json["new"] == saved.json["objects"] > 0
    assert run("restore", stick, "--check").json["objects"] == saved.json["objects"]
    refused = run("restore", stick)
    assert refused.exit_code == 3 and "--data" in refused.json["sentence"]
    done = run("restore", stick, where=new)
    assert done.exit_code == 0 and done.json["written"] == saved.json["objects"]
    assert run("verify", where=new).exit_code == 0
    head = run("audit", "verify").json["head"]
    assert saved.json["audit_head"] != head, "the backup itself is on record"
    assert run("audit", "verify", "--head", saved.json["audit_head"], where=new).exit_code == 0
    came = run("audit", "verify", where=new).json["signed_by"]
    here = run("audit", "verify").json
    assert [one["known"] for one in came] == [False, True] and came[0]["key"] == here["key"] != came[1]["key"]
    assert run("audit", "verify", "--key", here["key"], where=new).json["signed_by"][0]["known"]
    inside = run("backup", data / "copy")
    assert inside.exit_code == 2 and "another disk" in inside.json["sentence"]
    photo = next((stick / "objects" / "evidence").rglob("*/*"))
    photo.write_bytes(photo.read_bytes()[:-1])
    checked = run("restore", stick, "--check")
    assert checked.exit_code == 4 and [Path(name).name for name in checked.json["damaged"]] == [photo.name]
    third = run("restore", stick, where=tmp_path / "third")
    assert third.exit_code == 4 and photo.name in third.json["sentence"]
    assert third.json["written"] == saved.json["objects"] - 1 and len(third.json["left_out"]) == 1
    assert run("verify", "--from", drill.photos, where=tmp_path / "third").exit_code == 0


def test_the_audit_log(run: Run, data: Path) -> None:
    proven = run("audit", "verify")
    assert proven.exit_code == 0 and proven.json["whole"] is True
    number, _, digest = proven.json["head"].partition(":")
    assert int(number) == proven.json["lines"] and len(digest) == 64
    assert run("audit", "verify", "--head", f"{number}:{digest[:8]}").exit_code == 0
    assert run("audit", "verify", "--head", "nonsense").exit_code == 2
    assert run("audit", "verify", "--key", "nonsense").exit_code == 2
    with open_catalog(f"sqlite:///{data / 'catalog.sqlite'}") as catalog, catalog._database.write() as it:
        it.exec_driver_sql("UPDATE audit_log SET detail = 'other' WHERE seq = 1")
    bad = run("audit", "verify", language="vi_VN.UTF-8")
    assert bad.exit_code == 4 and bad.json["first_bad"] == 1 and "dòng 1" in bad.stderr
    assert run("verify").exit_code == 4


READING = (
    ("verify",),
    ("backup", "saved"),
    ("audit", "verify"),
    ("collect",),
    ("withdraw", "f1", "--reason", "nhà dân"),
    ("bundle", "write", "stick.fcb"),
    ("dem", "list"),
)


@pytest.mark.parametrize("words", READING, ids=lambda words: " ".join(words[:2]))
def test_a_house_that_is_not_there_is_not_begun_by_what_reads_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*words, where=tmp_path / "typo")
    assert (done.exit_code, done.json["error"]) == (3, "NotFound")
    assert "typo/catalog.sqlite" in done.stderr and "FLYCAM_DATA" in done.stderr
    assert sorted(one.name for one in tmp_path.iterdir()) == ["data"]


@pytest.mark.parametrize("words", [("doctor",), ("user", "add", "lan", "--role", "viewer")])
def test_a_house_is_begun_by_what_a_new_machine_is_asked(
    run: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    assert run(*words, where=tmp_path / "new").json.get("error") is None
    assert (tmp_path / "new" / "catalog.sqlite").exists()
