"""What is told of a machine before a flight: the right disks, and numbers as each language writes them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from flycam.cli.node import format_checks
from flycam.drill.photo_drill import DrillReport
from flycam.messages import join
from flycam.operations.backup import save_backup
from flycam.operations.health import HealthCheck, check_encryption, run_health_checks
from flycam.operations.verify import VerifyRequest, verify_objects
from tests.finished_house import ingested
from tests.operations.spoiled import close

_DATA, _STORE = Path("/data"), Path("/media/store")


@pytest.mark.parametrize(
    ("encryption", "is_clear", "named"),
    [
        ({_DATA: True, _STORE: True}, False, set()),
        ({_DATA: True, _STORE: False}, True, {_STORE}),
        ({_DATA: False, _STORE: None}, True, {_DATA}),
        ({_DATA: True, _STORE: None}, False, {_STORE}),
    ],
)
def test_of_several_disks_the_worst_is_told_by_name(
    encryption: dict[Path, bool | None], is_clear: bool, named: set[Path]
) -> None:
    check = check_encryption([_DATA, _STORE], encryption.__getitem__)
    assert check.ok and check.warns == is_clear
    answer, lines = format_checks([check])
    assert join(lines).in_language("vi").startswith("!   mã hoá" if is_clear else "ok  mã hoá")
    assert answer["ready"], "it flies as well"
    for place, said in itertools.product((_DATA, _STORE), check.sentence.to_fields().values()):
        assert (str(place) in said) == (place in named)


def test_a_store_on_another_disk_is_asked_for_too(
    drill: DrillReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = ingested(tmp_path / "house", drill)
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other disk here")
    checked: list[list[Path]] = []
    monkeypatch.setattr(
        "flycam.operations.health.check_encryption",
        lambda places: checked.append(places) or check_encryption(places),
    )
    run_health_checks(workspace, tmp_path, other)
    run_health_checks(workspace, tmp_path, tmp_path / "house" / "store")
    assert checked == [[tmp_path, other], [tmp_path]]
    close(workspace)


def test_when_all_was_last_read_back_and_saved_is_told(drill: DrillReport, tmp_path: Path) -> None:
    workspace = ingested(tmp_path / "house", drill)

    def check_backups() -> tuple[HealthCheck, HealthCheck]:
        found = {one.name: one for one in run_health_checks(workspace, tmp_path / "house")}
        return found["readback"], found["backup"]

    read, saved = check_backups()
    assert (read.ok, saved.ok, saved.warns) == (True, True, True)
    verify_objects(workspace, VerifyRequest(share=0.5))
    assert check_backups()[0].sentence.values["percent"] == 50
    verify_objects(workspace)
    save_backup(workspace, tmp_path / "stick")
    read, saved = check_backups()
    assert read.ok
    assert saved.sentence.values["folder"] == str(tmp_path / "stick") and not saved.warns
    now_ns = workspace.clock_ns()
    workspace = replace(workspace, clock_ns=lambda: now_ns + 8 * 86_400 * 10**9)
    assert check_backups()[1].warns
    close(workspace)
