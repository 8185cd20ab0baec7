"""Who else on a machine may read a house: nobody, unless its owner has said so."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from tests.attack.commands import Operator
from tests.attack.test_disk import answered
from tests.ports import free_port
from tests.waiting import until


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """As most systems have it, whatever this run was given."""
    before = os.umask(0o022)
    yield
    assert os.umask(before) == 0o022, "a command leaves it as it was"


def open_to_others(folder: Path) -> list[Path]:
    """What of a folder, itself too, lets the group or others in."""
    return [one for one in (folder, *folder.rglob("*")) if stat.S_IMODE(one.lstat().st_mode) & 0o077]


def modes(*paths: Path) -> list[int]:
    """Their permissions."""
    return [stat.S_IMODE(path.stat().st_mode) for path in paths]


def is_told(operator: Operator) -> bool:
    """Whether `doctor` warns of a house that is open."""
    (check,) = [one for one in operator("doctor").json["checks"] if one["name"] == "privacy"]
    assert check["ok"], "it holds up no flight"
    assert ("chmod -R go-rwx" in check["sentence"]) == check["warns"]
    return bool(check["warns"])


def test_all_that_a_house_keeps_is_its_owners(drill: DrillReport, tmp_path: Path) -> None:
    operator = Operator(tmp_path / "dữ liệu", {}).with_ground(drill)
    flight_id = operator("ingest", drill.photos).json["flight_id"]
    assert operator("finish", flight_id, "--no-surface").exit_code == 0
    assert operator("backup", tmp_path / "sao lưu").exit_code == 0
    port = free_port()
    server = operator.start("serve", "--port", port)
    try:
        until(lambda: server.poll() is not None or answered(f"http://127.0.0.1:{port}/healthz"))
        assert (operator.data / "catalog.sqlite-wal").exists()
        assert open_to_others(operator.data) == []
    finally:
        server.terminate()
        server.communicate(timeout=90)
    assert open_to_others(operator.data) == open_to_others(tmp_path / "sao lưu") == []
    assert not is_told(operator)


def test_what_is_made_for_others_is_readable_by_them_and_only_its_owner_writes_it(
    drill: DrillReport, tmp_path: Path
) -> None:
    operator = Operator(tmp_path / "dữ liệu", {}).with_ground(drill)
    flight_id = operator("ingest", drill.photos, "--event", "Bão").json["flight_id"]
    assert operator("finish", flight_id, "--no-surface").exit_code == 0
    out = tmp_path / "ra"
    out.mkdir(mode=0o755)
    os.umask(0)
    for command in (
        ("export", flight_id, out / "bản đồ.tif"),
        ("report", flight_id, out / "báo cáo.pdf"),
        ("pack", flight_id, "--out", out / "gói"),
        ("bundle", "write", out / "gói.fcb", "--originals"),
        ("inspect", drill.photos, "--no-pixels", "--refly", out / "bay lại.kml"),
        ("marks", "export", out / "dấu.geojson"),
        ("changes", "export", out / "đổi.geojson", "--event", "Bão"),
        ("changes", "impact", "--event", "Bão", "--csv", out / "xã.csv"),
        ("settlements", "export", out / "bản.csv", "--event", "Bão"),
    ):
        said = operator(*command)
        assert said.exit_code == 0, (command, said.sentence)
    assert os.umask(0o022) == 0
    folders = [one for one in out.rglob("*") if one.is_dir()]
    assert set(modes(*folders)) == {0o755}
    assert set(modes(*(one for one in out.rglob("*") if one.is_file()))) == {0o644}
    box = Operator(tmp_path / "tỉnh", {"FLYCAM_BOX": "tinh"})
    assert box("bundle", "read", out / "gói.fcb").exit_code == 0
    assert modes(*out.glob("*.receipt.json")) == [0o644]
    assert open_to_others(box.data) == []


@pytest.mark.parametrize(("made", "kept"), [(0o755, 0o700), (0o777, 0o700), (0o750, 0o750), (0o2770, 0o2770)])
def test_an_empty_folder_is_closed_unless_its_maker_shares_it(
    drill: DrillReport, tmp_path: Path, made: int, kept: int
) -> None:
    operator = Operator(tmp_path / "dữ liệu", {})
    operator.data.mkdir()
    operator.data.chmod(made)
    operator.with_ground(drill)
    assert modes(operator.data) == [kept]
    files = [one for one in operator.data.rglob("*") if one.is_file() and one.name != "audit.key"]
    assert {mode & 0o077 for mode in modes(*files)} == {kept & 0o077 & ~0o033}
    assert is_told(operator) == bool(kept & 0o077)


def test_a_house_in_use_stays_open_until_its_owner_closes_it(drill: DrillReport, tmp_path: Path) -> None:
    operator = Operator(tmp_path / "dữ liệu", {}).with_ground(drill)
    operator.data.chmod(0o755)
    assert is_told(operator)
    assert modes(operator.data) == [0o755]
    operator.data.chmod(0o700)
    assert not is_told(operator)


def test_a_store_and_a_backup_elsewhere_are_told_too(drill: DrillReport, tmp_path: Path) -> None:
    store, saved = tmp_path / "kho", tmp_path / "sao lưu"
    operator = Operator(tmp_path / "dữ liệu", {"FLYCAM_STORE": store.as_uri()}).with_ground(drill)
    assert operator("backup", saved).exit_code == 0
    assert modes(store, saved) == [0o700, 0o700] and not is_told(operator)
    for place in (store, saved):
        place.chmod(0o750)
        assert is_told(operator)
        place.chmod(0o700)
    saved.rename(tmp_path / "đã cất")
    assert not is_told(operator), "a disk that is put away"
