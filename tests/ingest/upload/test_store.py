"""Uploads on the disk: names that may be, what a power cut leaves, the same card again."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.errors import DiskFull, InputUnusable, NotFound, StorageFailed
from flycam.ingest.upload import registry, service
from flycam.ingest.upload.memory_card import UploadFile, format_label, validate_card_path, validate_path
from flycam.ingest.upload.registry import UploadRegistry
from flycam.ingest.upload.upload import Journal
from flycam.storage import keys
from flycam.workspace import Workspace
from tests.operations.test_retention import Clock, make
from tests.suites.retention_suite import GONE


def file(path: str, size: int) -> UploadFile:
    return UploadFile(path=path, size=size, modified_ms=0)


FILES = [file("DCIM/100MEDIA/DJI_0001.JPG", 10), file("b.jpg", 4)]


@pytest.mark.parametrize(
    "name",
    [
        "../a.jpg",
        "/etc/passwd.jpg",
        ".hidden.jpg",
        "a\\..\\b.jpg",
        "C:b.jpg",
        "a\nb.jpg",
        "a\u202egpj.exe.jpg",
        " a.jpg",
        "x" * 250 + ".jpg",
        "/".join("abcdefghi") + "/a.jpg",
        "\udcff.jpg",
        "a.jpg.exe",
        "a.svg",
    ],
)
def test_names_that_could_mean_another_place_are_refused(name: str) -> None:
    with pytest.raises(InputUnusable) as refused:
        validate_card_path(name)
    assert (
        refused.value.message.in_language("vi") != str(refused.value)
        and "\x00" not in str(refused.value)
        and "\u202e" not in str(refused.value)
    )


@given(st.text(max_size=40))
def test_no_name_leaves_its_folder(name: str) -> None:
    root = Path("/root/of/uploads")
    try:
        path = validate_path(name)
    except InputUnusable:
        return
    assert Path(os.path.normpath(root / path)).is_relative_to(root)
    assert not any(part.startswith(".") for part in path.split("/"))


def test_a_label_is_one_plain_folder() -> None:
    assert format_label("../../x/..") == "x"
    assert format_label("Bản Lầu\n2") == "Bản Lầu 2"
    assert format_label("..") == ""
    longest = format_label("🛩" * 90)
    assert longest == "🛩" * 50 and format_label("ộ" * 90) == "ộ" * 66  # 200 bytes: a disk takes 255


@pytest.mark.parametrize("torn", [b"", b"0000", b"\x00" * 64, b"12345678 at 0 9\n", b"zz at 0 x\nzz\n"])
def test_what_a_power_cut_left_is_cut_off_and_joins_no_later_line(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "journal"
    Journal(path).append([("at", 0, "5"), ("at", 1, "4")])
    with path.open("ab") as out:
        out.write(torn)
    again = Journal(path)
    assert again.lines == [("at", 0, "5"), ("at", 1, "4")]
    again.append([("at", 0, "7")])
    assert Journal(path).lines[-1] == ("at", 0, "7")


def test_what_is_passed_over_is_on_the_disk_with_the_upload(tmp_path: Path) -> None:
    """The card may not be wiped while it holds what is nowhere else, whoever looks, whenever."""
    store = UploadRegistry(tmp_path)
    upload = store.open("Lan", [*FILES, file("a:b.JPG", 3)])
    plain = store.open("Minh", FILES)
    assert [one.path for one in upload.manifest.files] == [one.path for one in plain.manifest.files]
    assert (upload.manifest.passed_over.count, plain.manifest.passed_over.count) == (1, 0)
    store.close()
    again = UploadRegistry(tmp_path)
    assert again.get(upload.upload_id).manifest == upload.manifest
    assert again.open("Lan", FILES) is again.get(upload.upload_id)  # the odd file was taken off the card
    assert again.get(upload.upload_id).manifest.passed_over.count == 0


def test_the_same_card_is_the_same_upload_also_after_a_restart(tmp_path: Path) -> None:
    store = UploadRegistry(tmp_path)
    upload = store.open("Lan", FILES, folder="Bản Lầu")
    number = next(n for n, one in enumerate(upload.manifest.files) if one.path == "b.jpg")
    writer = upload.writer(number, 0)
    assert writer is not None and writer.write(b"abc") and writer.commit() == 3
    assert writer.write(b"d")  # never committed: a kill comes here
    store.close()
    again = UploadRegistry(tmp_path)
    same = again.open("Lan", list(reversed(FILES)), folder="another name of the folder")
    assert (same.upload_id, same.offsets[number]) == (upload.upload_id, 3)
    assert again.open("Minh", FILES).upload_id != upload.upload_id
    assert again.open("Lan", [FILES[0]]).upload_id != upload.upload_id
    assert same.card.name == "Bản Lầu"


def test_only_the_end_of_a_file_is_added_to_and_by_one_at_a_time(tmp_path: Path) -> None:
    upload = UploadRegistry(tmp_path).open("Lan", FILES)
    first = upload.writer(0, 0)
    assert first is not None
    assert upload.writer(0, 0) is None and upload.is_written(0)
    assert upload.writer(1, 2) is None and not upload.is_written(1)
    first.write(b"xy")
    first.heard_s -= 60.0  # its line went dead
    assert upload.writer(0, 0) is None  # what it brought was kept
    assert upload.offsets[0] == 2
    second = upload.writer(0, 2)
    assert second is not None and not first.write(b"late")
    with pytest.raises(NotFound):
        upload.writer(2, 0)


def test_one_process_receives(tmp_path: Path) -> None:
    first = UploadRegistry(tmp_path)
    with pytest.raises(StorageFailed, match="another server"):
        UploadRegistry(tmp_path)
    first.close()
    UploadRegistry(tmp_path).close()


def test_what_nobody_goes_on_with_is_forgotten(tmp_path: Path) -> None:
    now = [1.8e9]
    store = UploadRegistry(tmp_path, clock_s=lambda: now[0], uptime_s=lambda: now[0])
    upload = store.open("Lan", FILES)
    now[0] += registry.UNFINISHED_TTL_S - 60
    assert not store.expire()
    now[0] += 120
    expired: list[str] = []
    assert store.expire(lambda one: expired.append(one.upload_id)) == [upload.upload_id] == expired
    assert not upload.folder.exists()
    with pytest.raises(NotFound):
        store.get(upload.upload_id)


def test_who_still_holds_an_upload_given_up_cannot_touch_the_next_one(tmp_path: Path) -> None:
    store = UploadRegistry(tmp_path)
    old = store.open("Lan", FILES)
    number = next(n for n, one in enumerate(old.manifest.files) if one.path == "b.jpg")
    late = old.writer(number, 0)
    assert late is not None and late.write(b"ab")
    store.remove(old)
    new = store.open("Lan", FILES)
    assert (new.folder, new is old) == (old.folder, False)
    writer = new.writer(number, 0)
    assert writer is not None and writer.write(b"abcd") and writer.commit() == 4
    assert not late.write(b"cd") and late.commit() == 0
    for touch in (
        lambda: old.writer(number, 0),
        lambda: old.note_arrived([(number, 2)]),
        lambda: old.note_stored(number, "0" * 64),
        old.note_processed,
    ):
        with pytest.raises(NotFound):
            touch()
    store.remove(old)  # once more, late: the new one stays
    store.close()
    again = UploadRegistry(tmp_path).get(new.upload_id)
    assert again.offsets[number] == 4 and again.path(number).read_bytes() == b"abcd"


def test_what_is_saved_and_not_on_the_map_never_expires(tmp_path: Path) -> None:
    now = [1.8e9]
    store = UploadRegistry(tmp_path, clock_s=lambda: now[0], uptime_s=lambda: now[0])
    upload = store.open("Lan", FILES)
    for number in range(len(FILES)):
        upload.note_stored(number, "0" * 64)
    assert store.get_expiry(upload) is None
    now[0] += 10 * registry.FINISHED_TTL_S
    assert not store.expire()
    upload.note_processed()
    assert store.expire() == [upload.upload_id]


@pytest.mark.parametrize("jump_s", [40 * 365 * 86_400.0, -40 * 365 * 86_400.0])
def test_a_clock_that_is_set_forgets_nothing(tmp_path: Path, jump_s: float) -> None:
    now, uptime = [1.8e9], [100.0]
    store = UploadRegistry(tmp_path, clock_s=lambda: now[0], uptime_s=lambda: uptime[0])
    upload = store.open("Lan", FILES)
    now[0] += jump_s
    uptime[0] += 3600.0
    assert not store.expire() and store.get_expiry(upload) == now[0] + registry.UNFINISHED_TTL_S
    store.close()
    if jump_s > 0:  # also after a restart
        assert UploadRegistry(tmp_path).get(upload.upload_id).touched_s == pytest.approx(now[0], abs=1.0)
    for clock in (now, uptime):
        clock[0] += registry.UNFINISHED_TTL_S + 60.0
    assert store.expire() == [upload.upload_id]


def test_what_is_read_into_the_evidence_store_is_not_given_up_under_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashed before and copied after, zeros of the same card announced again would lie under its hash."""
    monkeypatch.setattr(registry, "_READ_S", 0.05)
    store = UploadRegistry(tmp_path)
    upload = store.open("Lan", FILES)

    def slow_keep(_workspace: object, path: Path, **_: object) -> str:
        with pytest.raises(StorageFailed):
            store.remove(upload)
        assert path.is_file()
        return "0" * 64

    monkeypatch.setattr(service, "store_original", slow_keep)
    with closing(make(tmp_path / "house", Clock()).catalog) as catalog:
        house = cast("Workspace", SimpleNamespace(catalog=catalog, clock_ns=Clock()))
        service.store_upload_file(house, upload, 0)
        assert upload.stored
        store.remove(upload)
        with pytest.raises(NotFound):
            service.store_upload_file(house, upload, 1)


def test_what_an_upload_brings_is_noted_and_what_was_let_go_is_not_kept_anew(tmp_path: Path) -> None:
    house = make(tmp_path / "house", Clock())
    upload = UploadRegistry(tmp_path / "uploads").open("Lan", [*FILES, file("DJI_0001.SRT", 5)])
    hashes = []
    for number, one in enumerate(upload.manifest.files):
        upload.path(number).write_bytes(bytes([number + 1]) * one.size)
        hashes.append(hashlib.sha256(bytes([number + 1]) * one.size).hexdigest())
    by_name = dict(zip((one.path for one in upload.manifest.files), hashes, strict=True))
    house.catalog.retention.learn([replace(GONE, sha256=by_name["b.jpg"])])
    for number in range(3):
        service.store_upload_file(house, upload, number)
    assert upload.stored == dict(enumerate(hashes)), "all is here as far as the sender need know"
    stored = {
        name for name, sha256 in by_name.items() if house.store.exists(keys.format_original_key(sha256))
    }
    assert stored == {"DCIM/100MEDIA/DJI_0001.JPG", "DJI_0001.SRT"}
    (noted,) = house.catalog.retention.list_uploaded()
    assert (noted.name, noted.sha256, noted.event_id) == (
        "DJI_0001.JPG",
        by_name["DCIM/100MEDIA/DJI_0001.JPG"],
        "",
    )
    house.catalog.close()


def test_a_damaged_upload_stops_no_other_and_is_not_erased(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = UploadRegistry(tmp_path)
    intact, lost = store.open("Lan", FILES), store.open("Lan", FILES[:1])
    store.close()
    (lost.folder / "manifest.json").write_text('{"files": 3}')
    again = UploadRegistry(tmp_path)
    assert [one.upload_id for one in again.list_uploads()] == [intact.upload_id]
    assert str(lost.folder) in caplog.text
    with pytest.raises(StorageFailed, match="cannot be opened"):
        again.open("Lan", FILES[:1])
    assert lost.path(0).is_file()


def test_room_is_kept_for_what_an_upload_will_still_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 bytes each: "part" brought 40, "whole" all, "stored" is in the evidence store too."""
    now, free = [time.time()], [10 << 30]
    monkeypatch.setattr(registry.shutil, "disk_usage", lambda _: SimpleNamespace(free=free[0]))
    store = UploadRegistry(tmp_path, clock_s=lambda: now[0], uptime_s=lambda: now[0])
    upload = store.open("Lan", [file(f"{name}.jpg", 100) for name in ("part", "stored", "whole")])
    upload.note_arrived([(0, 40), (1, 100), (2, 100)])
    upload.note_stored(1, "0" * 64)
    spare = 1 << 30
    free[0] = spare + (60 + 100) + 100 + 2 * 10 - 1
    with pytest.raises(DiskFull):
        store.open("Lan", [file("a.jpg", 10)])
    free[0] += 1
    store.remove(store.open("Lan", [file("a.jpg", 10)]))
    now[0] += 3700.0  # nothing came for an hour: only the copy of what is whole still counts
    free[0] = spare + 100 + 2 * 10 - 1
    with pytest.raises(DiskFull):
        store.open("Lan", [file("a.jpg", 10)])
    free[0] += 1
    store.open("Lan", [file("a.jpg", 10)])


def test_what_somebody_adds_to_does_not_expire(tmp_path: Path) -> None:
    now = [1.8e9]
    store = UploadRegistry(tmp_path, clock_s=lambda: now[0], uptime_s=lambda: now[0])
    upload = store.open("Lan", FILES)
    writer = upload.writer(0, 0)
    assert writer is not None
    now[0] += 2 * registry.UNFINISHED_TTL_S
    assert not store.expire()
    writer.close()
    assert store.expire() == [upload.upload_id]
