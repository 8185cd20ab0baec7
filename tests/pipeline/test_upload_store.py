"""Uploads on the disk: names that may be, what a power cut leaves, the same card again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.errors import DiskFull, InputUnusable, NotFound, StorageTrouble
from flycam.pipeline import uploads as uploads_module
from flycam.pipeline.upload import UploadFile
from flycam.pipeline.upload_journal import Journal
from flycam.pipeline.upload_names import checked_path, checked_photo_path, label_of
from flycam.pipeline.uploads import Uploads

FILES = [UploadFile(path="DCIM/100MEDIA/DJI_0001.JPG", size=10), UploadFile(path="b.jpg", size=4)]


@pytest.mark.parametrize(
    "name",
    [
        "../a.jpg",
        "a/../../b.jpg",
        "/etc/passwd.jpg",
        "a//b.jpg",
        "./a.jpg",
        ".hidden.jpg",
        "a/.git/b.jpg",
        "a\\..\\b.jpg",
        "C:b.jpg",
        "a\x00.jpg",
        "a\nb.jpg",
        "a\u202egpj.exe.jpg",
        "a\u200b.jpg",
        " a.jpg",
        "a /b.jpg",
        "",
        "x" * 250 + ".jpg",
        "/".join("abcdefghi") + "/a.jpg",
        "\udcff.jpg",
    ],
)
def test_names_that_could_mean_another_place_are_refused(name: str) -> None:
    with pytest.raises(InputUnusable) as refused:
        checked_photo_path(name)
    assert refused.value.vi and "\x00" not in str(refused.value) and "\u202e" not in str(refused.value)


@given(st.text(max_size=40))
def test_no_name_leaves_its_folder(name: str) -> None:
    root = Path("/root/of/uploads")
    try:
        path = checked_path(name)
    except InputUnusable:
        return
    assert Path(os.path.normpath(root / path)).is_relative_to(root)
    assert not any(part.startswith(".") for part in path.split("/"))


def test_names_of_cameras_and_people_pass() -> None:
    for name in ("DCIM/100MEDIA/DJI_0001.JPG", "Bản Lầu (2)/ảnh 1.jpeg", "IMG+1,2.tif"):
        assert checked_photo_path(name)


@pytest.mark.parametrize("name", ["a.zip", "a.jpg.exe", "a.mp4", "a", "a.svg", "a.html"])
def test_only_photos_are_taken(name: str) -> None:
    with pytest.raises(InputUnusable):
        checked_photo_path(name)


def test_a_label_is_one_plain_folder() -> None:
    assert label_of("../../x/..") == "x"
    assert label_of("Bản Lầu\n2") == "Bản Lầu 2"
    assert label_of("..") == ""


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


def test_the_same_card_is_the_same_upload_also_after_a_restart(tmp_path: Path) -> None:
    store = Uploads(tmp_path)
    upload = store.open("Lan", FILES, folder="Bản Lầu")
    number = next(n for n, one in enumerate(upload.manifest.files) if one.path == "b.jpg")
    writer = upload.writer(number, 0)
    assert writer is not None and writer.write(b"abc") and writer.commit() == 3
    assert writer.write(b"d")  # never committed: a kill comes here
    store.close()
    again = Uploads(tmp_path)
    same = again.open("Lan", list(reversed(FILES)), folder="another name of the folder")
    assert (same.upload_id, same.offsets[number]) == (upload.upload_id, 3)
    assert again.open("Minh", FILES).upload_id != upload.upload_id
    assert again.open("Lan", [FILES[0]]).upload_id != upload.upload_id
    assert same.card.name == "Bản Lầu"


def test_a_card_offered_again_may_have_another_name_and_event(tmp_path: Path) -> None:
    store = Uploads(tmp_path)
    upload = store.open("Lan", FILES, event="Bão số 3")
    assert store.open("Lan", FILES).manifest.event == "Bão số 3"
    assert store.open("Lan", FILES, name="Nậm Lúc", event="Bão số 4") is upload
    store.close()
    manifest = Uploads(tmp_path).get(upload.upload_id).manifest
    assert (manifest.name, manifest.event, manifest.label) == ("Nậm Lúc", "Bão số 4", upload.manifest.label)


def test_a_log_that_is_not_announced(tmp_path: Path) -> None:
    with pytest.raises(InputUnusable, match="log"):
        Uploads(tmp_path).open("Lan", FILES, telemetry="log.csv")


def test_only_the_end_of_a_file_is_added_to_and_by_one_at_a_time(tmp_path: Path) -> None:
    upload = Uploads(tmp_path).open("Lan", FILES)
    first = upload.writer(0, 0)
    assert first is not None
    assert upload.writer(0, 0) is None and upload.is_written(0)
    assert upload.writer(1, 2) is None and not upload.is_written(1)
    first.write(b"xy")
    first.heard_s -= 60.0  # its line went dead
    assert upload.writer(0, 0) is None  # what it brought was kept
    assert upload.offsets[0] == 2
    second = upload.writer(0, 2)
    assert second is not None and not first.write(b"late") and not first.is_open
    with pytest.raises(NotFound):
        upload.writer(2, 0)


def test_what_must_be_whole_is_dropped_when_its_line_goes_dead(tmp_path: Path) -> None:
    upload = Uploads(tmp_path).open("Lan", FILES)
    writer = upload.writer(0, 0)
    assert writer is not None
    writer.keeps_parts = False
    writer.write(b"xy")
    writer.heard_s -= 60.0
    assert upload.writer(0, 0) is not None and upload.offsets[0] == 0


def test_two_files_that_would_be_one(tmp_path: Path) -> None:
    store = Uploads(tmp_path)
    for paths in (["a.jpg", "a.jpg"], ["a.jpg", "a.jpg/b.jpg"], ["é.jpg", "e\u0301.jpg"]):
        with pytest.raises(InputUnusable):
            store.open("Lan", [UploadFile(path=path, size=1) for path in paths])
    assert not store.all()


@pytest.mark.parametrize("size", [0, 3 << 30])
def test_sizes_that_no_photo_has(tmp_path: Path, size: int) -> None:
    with pytest.raises(InputUnusable, match=r"a\.jpg"):
        Uploads(tmp_path).open("Lan", [UploadFile(path="a.jpg", size=size)])


def test_a_card_that_does_not_fit_is_refused_before_a_byte_goes(tmp_path: Path) -> None:
    store = Uploads(tmp_path)
    huge = [UploadFile(path=f"{n}.jpg", size=2 << 30) for n in range(249)]
    with pytest.raises(DiskFull):
        store.open("Lan", huge)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_one_process_receives(tmp_path: Path) -> None:
    first = Uploads(tmp_path)
    with pytest.raises(StorageTrouble, match="another server"):
        Uploads(tmp_path)
    first.close()
    Uploads(tmp_path).close()


def test_what_nobody_goes_on_with_is_forgotten(tmp_path: Path) -> None:
    now = [1.8e9]
    store = Uploads(tmp_path, clock_s=lambda: now[0])
    upload = store.open("Lan", FILES)
    now[0] += uploads_module.UNFINISHED_S - 60
    assert not store.expire()
    now[0] += 120
    assert store.expire() == [upload.upload_id]
    assert not upload.folder.exists()
    with pytest.raises(NotFound):
        store.get(upload.upload_id)


def test_who_still_holds_an_upload_given_up_cannot_touch_the_next_one(tmp_path: Path) -> None:
    store = Uploads(tmp_path)
    old = store.open("Lan", FILES)
    number = next(n for n, one in enumerate(old.manifest.files) if one.path == "b.jpg")
    late = old.writer(number, 0)
    assert late is not None and late.write(b"ab")
    store.remove(old)
    new = store.open("Lan", FILES)
    assert (new.folder, new is old) == (old.folder, False)
    writer = new.writer(number, 0)
    assert writer is not None and writer.write(b"abcd") and writer.commit() == 4
    assert not late.is_open and not late.write(b"cd") and late.commit() == 0
    for touch in (
        lambda: old.writer(number, 0),
        lambda: old.note_arrived([(number, 2)]),
        lambda: old.note_stored(number, "0" * 64),
        old.note_laid,
    ):
        with pytest.raises(NotFound):
            touch()
    store.remove(old)  # once more, late: the new one stays
    store.close()
    again = Uploads(tmp_path).get(new.upload_id)
    assert again.offsets[number] == 4 and again.path(number).read_bytes() == b"abcd"


def test_a_damaged_upload_does_not_stop_the_others(tmp_path: Path) -> None:
    store = Uploads(tmp_path)
    kept, lost = store.open("Lan", FILES), store.open("Lan", FILES[:1])
    store.close()
    (lost.folder / "manifest.json").write_text('{"files": 3}')
    assert [one.upload_id for one in Uploads(tmp_path).all()] == [kept.upload_id]
