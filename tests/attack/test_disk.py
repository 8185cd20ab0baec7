"""Disks that are full or may not be written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from urllib.request import urlopen

import pytest

from flycam.drill.photo_drill import DrillReport
from tests.attack.commands import Operator, Said, remounted
from tests.ports import free_port
from tests.waiting import until

InRam = Callable[..., Path]


@pytest.mark.parametrize("size", ["400k", "900k"])
def test_data_folder_fills_up_then_has_room(
    in_ram: InRam, drill: DrillReport, whole: Said, size: str
) -> None:
    """Catalogue, evidence, tiles, clips: wherever it stops, more room and the same command complete it."""
    disk = in_ram(size)
    operator = Operator(disk / "dữ liệu", {})
    command = ("ingest", drill.photos, "--dem", drill.dem, "--communes", drill.communes)
    said = operator(*command)
    assert said.exit_code == 4
    assert said.json["error"] == "DiskFull" and str(disk) in said.sentence
    remounted(disk, "size=80m")
    again = operator(*command)
    assert (again.exit_code, again.json["frames"]["used"]) == (0, 6)
    assert again.json["communes"] == whole.json["communes"]
    assert operator.tiles(again.json["flight_id"]) == whole.json["tiles"]


def test_a_file_system_of_a_disk_fills_up_then_has_room(
    on_ext4: Callable[..., Path], drill: DrillReport, whole: Said
) -> None:
    """Room is given when bytes are written back, not when they are written."""
    disk = on_ext4()
    with (disk / "đầy").open("wb") as full:
        os.posix_fallocate(full.fileno(), 0, shutil.disk_usage(disk).free - 500_000)
    operator = Operator(disk / "dữ liệu", {})
    command = ("ingest", drill.photos, "--dem", drill.dem, "--communes", drill.communes)
    said = operator(*command)
    assert (said.exit_code, said.json["error"]) == (4, "DiskFull")
    assert str(disk) in said.sentence
    (disk / "đầy").unlink()
    again = operator(*command)
    assert (again.exit_code, again.json["frames"]["used"]) == (0, 6)
    assert again.json["communes"] == whole.json["communes"]
    assert operator.tiles(again.json["flight_id"]) == whole.json["tiles"]


def test_a_disk_that_holds_no_more_files_is_told_from_one_without_room(
    on_ext4: Callable[..., Path], drill: DrillReport, whole: Said
) -> None:
    disk = on_ext4("-N", "256")
    inside = disk / "dữ liệu"
    inside.mkdir()
    names = (disk / f"{number}" for number in count())
    while os.statvfs(disk).f_favail > 60:
        next(names).touch()
    operator = Operator(inside, {})
    command = ("ingest", drill.photos, "--dem", drill.dem, "--communes", drill.communes)
    said = operator(*command)
    assert (said.exit_code, said.json["error"]) == (4, "DiskFull")
    assert str(disk) in said.sentence and "no more files" in said.sentence
    for path in disk.glob("[0-9]*"):
        path.unlink()
    again = operator(*command)
    assert again.exit_code == 0 and operator.tiles(again.json["flight_id"]) == whole.json["tiles"]


def test_cache_fills_up(in_ram: InRam, drill: DrillReport, tmp_path: Path) -> None:
    """Store and catalogue have room, but copies of terrain do not fit."""
    disk = in_ram("16k")
    places = {
        "FLYCAM_STORE": (tmp_path / "store").as_uri(),
        "FLYCAM_DATABASE": f"sqlite:///{tmp_path / 'catalog.sqlite'}",
    }
    operator = Operator(disk / "dữ liệu", places).with_ground(drill)
    said = operator("ingest", drill.photos)
    assert said.exit_code == 4 and str(disk) in said.sentence
    assert not list((disk / "dữ liệu").rglob("tmp*"))
    remounted(disk, "size=80m")
    assert operator("ingest", drill.photos).json["frames"]["used"] == 6


def test_a_pack_on_a_full_disk_leaves_nothing(flown: Operator, in_ram: InRam) -> None:
    """Tiles, layers, documents: wherever it stops, the stick is empty again, and named as it was given."""
    disk = in_ram("400k")
    (flight_id,) = flown.flights()
    said = flown("pack", flight_id, "--out", disk / "gói họp")
    assert said.exit_code == 4
    assert f"{disk / 'gói họp'}: " in said.sentence
    assert list(disk.iterdir()) == []
    remounted(disk, "size=80m")
    again = flown("pack", flight_id, "--out", disk / "gói họp")
    assert again.exit_code == 0
    assert [path.name for path in disk.iterdir()] == ["gói họp"]


def test_places_that_may_not_be_written(flown: Operator, in_ram: InRam, drill: DrillReport) -> None:
    disk = in_ram("1m")
    remounted(disk, "ro")
    (flight_id,) = flown.flights()
    for command in (
        ("ingest", drill.photos, "--data", disk / "dữ liệu"),
        ("export", flight_id, disk / "bản đồ.tif"),
        ("inspect", drill.photos, "--no-pixels", "--refly", disk / "bay lại.kml"),
        ("drill", "--out", disk / "diễn tập", "--photos", "1", "1", "--gsd", "0.1"),
    ):
        said = flown(*command)
        assert said.exit_code in (3, 4) and str(disk) in said.sentence
        assert "full" not in said.sentence and "no space" not in said.sentence


def test_data_folder_that_is_a_file(make_operator: Callable[..., Operator], drill: DrillReport) -> None:
    operator = make_operator()
    operator.data.write_text("ghi chú", encoding="utf-8")
    said = operator("ingest", drill.photos)
    assert said.exit_code == 4 and str(operator.data) in said.sentence and "--data" in said.sentence


def test_catalogue_that_is_none(operator: Operator, drill: DrillReport) -> None:
    operator.data.mkdir()
    (operator.data / "catalog.sqlite").write_text("ghi chú" * 2000, encoding="utf-8")
    said = operator("ingest", drill.photos)
    assert said.exit_code == 4 and "catalog.sqlite" in said.sentence


def test_a_disk_with_the_catalogues_reserve_left_stops_flights_and_takes_decisions(
    in_ram: InRam, drill: DrillReport, flown: Operator
) -> None:
    """No photo and no tile takes what is reserved; a withdrawal is still written, and all of it completes."""
    disk = in_ram("200m")
    operator = on_disk(flown, disk)
    (flight_id,) = operator.flights()
    with (disk / "đầy").open("wb") as full:
        os.posix_fallocate(full.fileno(), 0, shutil.disk_usage(disk).free - (31 << 20))
    for command in (("ingest", drill.photos), ("finish", flight_id)):
        said = operator(*command)
        assert (said.exit_code, said.json["error"]) == (4, "DiskFull")
        assert str(disk) in said.sentence and "34 MB" in said.sentence
    checks = {check["name"]: check for check in operator("doctor").json["checks"]}
    assert not checks["room"]["ok"]
    assert operator("withdraw", flight_id, "--reason", "doanh trại").exit_code == 0
    (disk / "đầy").unlink()
    assert operator("verify").json["whole"]
    freed = operator("collect", "--until-free", "1", "--dry-run")
    assert (freed.exit_code, freed.json["dry_run"]) == (0, True)
    assert freed.json["places"][0]["free_bytes"] > 0


def on_disk(house: Operator, disk: Path) -> Operator:
    """A copy of a house on this disk."""
    shutil.copytree(house.data, disk / "dữ liệu")
    return Operator(disk / "dữ liệu", {})


def use_up(disk: Path) -> None:
    """Take the last byte that is free."""
    names = (disk / f"đầy-{number}" for number in count(len(list(disk.iterdir()))))
    while free := shutil.disk_usage(disk).free:
        with next(names).open("wb") as full, suppress(OSError):
            os.posix_fallocate(full.fileno(), 0, free)
    assert shutil.disk_usage(disk).free == 0


def answered(url: str) -> bytes:
    """What a server answers; nothing while nobody listens."""
    with suppress(OSError):
        return bytes(urlopen(url, timeout=90).read())
    return b""


@pytest.fixture
def used_up(on_ext4: Callable[..., Path], flown: Operator) -> tuple[Operator, str]:
    """A house with a flight, on a disk without a free byte."""
    disk = on_ext4()
    operator = on_disk(flown, disk)
    (flight_id,) = operator.flights()
    use_up(disk)
    return operator, flight_id


def test_a_house_on_a_disk_without_a_free_byte_opens_and_is_read(
    used_up: tuple[Operator, str], tmp_path: Path
) -> None:
    """Each command finds the disk as full as the one before; the reserve is whole again behind each."""
    operator, flight_id = used_up
    disk = operator.data.parent
    for command in (
        ("flights", "list"),
        ("verify",),
        ("collect",),
        ("audit", "verify"),
        ("export", flight_id, tmp_path / "bản đồ.tif"),
        ("backup", tmp_path / "sao lưu"),
    ):
        said = operator(*command)
        assert said.exit_code == 0, (command, said.sentence)
        use_up(disk)
    checks = {check["name"]: check["ok"] for check in operator("doctor").json["checks"]}
    assert not checks["disk"] and checks["catalogue"]


def test_the_map_is_served_from_a_disk_without_a_free_byte(used_up: tuple[Operator, str]) -> None:
    operator, flight_id = used_up
    port = free_port()
    server = operator.start("serve", "--port", port)
    try:
        base = f"http://127.0.0.1:{port}"
        until(lambda: server.poll() is not None or answered(f"{base}/healthz"))
        assert server.poll() is None
        assert flight_id in answered(f"{base}/api/flights").decode()
        assert operator("flights", "list").exit_code == 0, "a command beside it"
    finally:
        server.terminate()
        server.communicate(timeout=90)


def test_collecting_frees_a_disk_without_a_free_byte(used_up: tuple[Operator, str]) -> None:
    operator, flight_id = used_up
    for full in operator.data.parent.glob("đầy-*"):
        full.unlink()
    assert operator("withdraw", flight_id, "--reason", "doanh trại").exit_code == 0
    use_up(operator.data.parent)
    said = operator("collect", "--grace-days", "0")
    assert said.exit_code == 0 and said.json["freed_bytes"] > 0
    assert shutil.disk_usage(operator.data).free > 0
