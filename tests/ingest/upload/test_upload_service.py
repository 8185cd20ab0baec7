"""The work behind uploads: what holds one up, and what is forgotten with it."""

from __future__ import annotations

import stat
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from flycam.access.policy import UNRESTRICTED
from flycam.catalog.audit import Audit
from flycam.errors import StorageFailed
from flycam.http.guards import Principal, Services
from flycam.ingest.upload import registry, service
from flycam.ingest.upload.memory_card import UploadFile
from flycam.ingest.upload.registry import UNFINISHED_TTL_S
from flycam.ingest.upload.routes import get_upload_stage
from flycam.ingest.upload.service import UploadService, get_upload_result_so_far, is_in_progress
from flycam.ingest.upload.upload import (
    PHOTOS_RESULT_FILE,
    VIDEOS_RESULT_FILE,
    Upload,
    read_json_file,
    write_json,
)
from flycam.storage.files import SPARE_BYTES
from flycam.workspace import Workspace
from tests.serve.world import make_workspace
from tests.texts import pair
from tests.waiting import until

FILES = [UploadFile(path="a.jpg", size=4, modified_ms=1)]


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return Services(workspace=make_workspace(tmp_path), uploads_dir=tmp_path / "uploads")


@pytest.fixture
def reception(services: Services) -> Iterator[UploadService]:
    reception = UploadService(services)
    yield reception
    reception.stop()


def filled(reception: UploadService, data: bytes = b"abcd") -> Upload:
    upload = reception.uploads.open("Lan", FILES)
    writer = upload.writer(0, 0)
    assert writer is not None and writer.write(data)
    writer.close()
    reception.wake()
    return upload


def card_of(reception: UploadService, owner: str, *paths: str) -> Upload:
    """A card whose files are all whole."""
    files = [UploadFile(path=path, size=4, modified_ms=1) for path in paths]
    upload = reception.uploads.open(owner, files)
    for number in range(len(files)):
        writer = upload.writer(number, 0)
        assert writer is not None and writer.write(f"{owner[:2]}{number:02}".encode())
        writer.close()
    return upload


def test_a_film_on_its_way_to_the_store_holds_nobodys_photos_back(
    reception: UploadService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor those of its own card, nor another upload's; and films go one at a time."""
    begun, may_end, kept = list[str](), threading.Event(), threading.Lock()
    as_ever = service.store_upload_file

    def keep(workspace: Workspace, upload: Upload, number: int) -> None:
        if upload.path(number).suffix == ".mp4":
            with upload.get_reading_lock(number):
                assert kept.acquire(blocking=False), "two films at once"
                begun.append(upload.path(number).name)
                may_end.wait()
                kept.release()
        as_ever(workspace, upload, number)

    monkeypatch.setattr(service, "store_upload_file", keep)
    reception.start()
    films = card_of(reception, "Lan", "a.mp4", "b.mp4")
    reception.wake()
    until(lambda: begun)
    mixed, photos = card_of(reception, "Minh", "c.mp4", "c.jpg"), card_of(reception, "Mai", "d.jpg")
    late = [UploadFile(path=path, size=4, modified_ms=1) for path in ("e.jpg", "e.mp4")]
    own = reception.uploads.open("Lan", late)
    reception.wake()
    until(lambda: photos.is_saved and mixed.has_photos_saved)
    assert len(begun) == 1 and not films.stored and not mixed.is_saved
    may_end.set()
    until(lambda: films.is_saved and mixed.is_saved)
    assert sorted(begun) == ["a.mp4", "b.mp4", "c.mp4"] and not own.stored


def test_a_film_waits_while_photos_do_but_not_for_photos_that_something_holds_up(
    reception: UploadService, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_ever, order, away = service.store_upload_file, list[str](), [True]

    def keep(workspace: Workspace, upload: Upload, number: int) -> None:
        name = upload.path(number).name
        if name == "stuck.jpg" and away[0]:
            raise StorageFailed(pair("full", "đầy"))
        order.append(name)
        as_ever(workspace, upload, number)

    monkeypatch.setattr(service, "_RETRY_S", 600.0)
    monkeypatch.setattr(service, "store_upload_file", keep)
    reception.start()
    stuck = card_of(reception, "Lan", "stuck.jpg", "stuck.mp4")
    film = card_of(reception, "Mai", "film.mp4", "photo.jpg")
    reception.wake()
    until(lambda: film.is_saved and reception.get_trouble(stuck))
    assert order.index("photo.jpg") < order.index("film.mp4")


def test_what_would_take_the_room_of_flights_waits_and_goes_on_by_itself(
    reception: UploadService, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_RETRY_S", 0.1)
    reception.start()
    upload = card_of(reception, "Lan", "a.jpg")
    free = [SPARE_BYTES + 3]
    monkeypatch.setattr(type(services.workspace.store), "free_bytes", lambda _: free[0])
    reception.wake()
    until(lambda: reception.get_trouble(upload))
    assert not upload.stored and not list(services.workspace.store.list("evidence/"))
    assert upload.path(0).stat().st_size == 4
    free[0] += 1
    until(lambda: upload.is_saved)
    assert reception.get_trouble(upload) is None


FAILURE = {"error": "Ended", "sentence": "it ended", "sentence_vi": "đã dừng"}
PLACED = {"flight_id": "f", "frames": {"read": 1, "used": 1}}


@pytest.mark.parametrize(
    ("photos", "films", "stage", "shown"),
    [
        (PLACED, None, "laying", PLACED),  # shown at once, and nothing of the card goes yet
        (PLACED, {"films": []}, "laying", {**PLACED, "films": []}),  # for a moment: it is laid next
        (FAILURE, {"films": [], "flight_id": "g"}, "laying", {"films": [], "flight_id": "g"}),
        (FAILURE, {"films": [], **FAILURE}, "failed", {"films": [], **FAILURE}),
        (FAILURE, None, "laying", FAILURE),
    ],
)
def test_a_card_is_done_once_its_photos_and_its_films_were_tried(
    reception: UploadService,
    photos: dict[str, Any],
    films: dict[str, Any] | None,
    stage: str,
    shown: dict[str, Any],
) -> None:
    reception.start()
    files = [UploadFile(path=path, size=1, modified_ms=1) for path in ("a.jpg", "b.mp4", "b.srt")]
    upload = reception.uploads.open("Lan", files)
    for number in range(3):
        upload.note_arrived([(number, 1)])
        upload.note_stored(number, f"{number:064}")
    write_json(upload.folder / PHOTOS_RESULT_FILE, photos)
    if films is not None:
        write_json(upload.folder / VIDEOS_RESULT_FILE, films)
    assert (get_upload_stage(upload), get_upload_result_so_far(upload)) == (stage, shown)
    assert is_in_progress(upload) is (films is None)


def _pass_s(reception: UploadService, seconds: float) -> None:
    """So much time goes by for the uploads, by either clock."""
    uploads = reception.uploads
    clock_s, uptime_s = uploads._clock_s, uploads._uptime_s
    uploads._clock_s, uploads._uptime_s = lambda: clock_s() + seconds, lambda: uptime_s() + seconds


def test_what_expires_is_in_the_audit_log(reception: UploadService, services: Services) -> None:
    reception.start()
    upload = reception.uploads.open("Lan", FILES, folder="Bản Lầu")
    _pass_s(reception, UNFINISHED_TTL_S + 60.0)
    reception._expire()
    assert not reception.uploads.list_uploads()
    lines = services.workspace.catalog.audit.lines()
    assert [(one.what, one.subject, one.detail) for one in lines] == [
        ("upload expired", upload.upload_id, "Lan: Bản Lầu, 0 of 1 files")
    ]


def test_what_stays_is_not_said_to_be_gone(
    reception: UploadService, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of it is being kept in the evidence store for so long; then the disk does not let go of it."""
    monkeypatch.setattr(registry, "_READ_S", 0.01)
    reception.start()
    upload = reception.uploads.open("Lan", FILES, folder="Bản Lầu")
    _pass_s(reception, UNFINISHED_TTL_S + 60.0)
    with upload.reading:
        for _ in range(2):
            reception._expire()
        with pytest.raises(StorageFailed):
            reception.remove(upload, Principal(None, UNRESTRICTED))
    assert reception.uploads.list_uploads() == [upload] and not services.workspace.catalog.audit.lines()

    def refuses(_folder: Path) -> None:
        raise StorageFailed(pair("refused", "từ chối"))

    monkeypatch.setattr(reception.uploads, "_erase", refuses)
    reception._expire()
    logged = [one.what for one in services.workspace.catalog.audit.lines()]
    assert logged == ["upload expired", "upload not removed"]


def program_of(tmp_path: Path, body: str) -> str:
    """What works on uploads: `folder` is that of its own, `what` is asked of it; how often it began is
    counted in `begun`."""
    program = tmp_path / "work"
    program.write_text(
        f"#!{sys.executable}\nimport json, pathlib, sys, time\n"
        f"here = pathlib.Path({str(tmp_path)!r})\n"
        "folder, what = here / 'uploads' / sys.argv[1], sys.argv[2]\n"
        "owner = json.loads((folder / 'manifest.json').read_text())['owner']\n"
        "with (here / 'begun').open('a') as file: file.write(f'{owner} {what}\\n')\n" + body
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def begun(tmp_path: Path, line: str) -> int:
    """How often that was begun."""
    log = tmp_path / "begun"
    return log.read_text().splitlines().count(line) if log.exists() else 0


HANGS = """
if owner == 'Lan':
    (folder / 'reading.json').write_text('{"file": "logs/nest.ulg"}')
    time.sleep(600)
(folder / 'look.json').write_text('{}')
"""


def test_a_process_that_gets_no_further_holds_nobody_up_for_ever_and_is_given_up_over_restarts(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log hung it: every later upload waited, and a restart began the same again."""
    for name, value in (("_RETRY_S", 0.1), ("_SILENCE_TIMEOUT_S", 4.0), ("_POLL_S", 0.2)):
        monkeypatch.setattr(service, name, value)
    working = replace(services, upload_work=(program_of(tmp_path, HANGS),))
    reception = UploadService(working)
    reception.start()
    try:
        hung = filled(reception, b"ab")
        until(lambda: begun(tmp_path, "Lan look"))
        other = card_of(reception, "Minh", "b.jpg")
        until((other.folder / "look.json").exists)
        until(lambda: reception.get_trouble(hung))
        trouble = reception.get_trouble(hung)
        assert trouble is not None and trouble.values["name"] == "logs/nest.ulg"
        until(lambda: (hung.folder / "look.json").exists() or begun(tmp_path, "Lan look") == 2)
    finally:
        reception.stop()
    again = UploadService(working)
    again.start()
    try:
        (upload,) = (one for one in again.uploads.list_uploads() if one.manifest.owner == "Lan")
        until((upload.folder / "look.json").exists)
        answer = read_json_file(upload.folder, "look.json") or {}
        assert answer["error"] == "Ended" and "logs/nest.ulg" in answer["sentence"]
        assert 2 <= begun(tmp_path, "Lan look") <= 3  # the stop of the server may have ended one, not we
        assert upload.path(0).read_bytes()[:2] == b"ab"
    finally:
        again.stop()


def test_a_process_that_takes_the_machines_memory_is_ended(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_RETRY_S", 0.1)
    monkeypatch.setattr(service, "_POLL_S", 0.2)
    monkeypatch.setattr(service, "_MAX_MEMORY_SHARE", (200 << 20) / psutil.virtual_memory().total)
    body = "held = b'x' * (300 << 20)\ntime.sleep(600)\n"
    reception = UploadService(replace(services, upload_work=(program_of(tmp_path, body),)))
    reception.start()
    try:
        upload = filled(reception, b"ab")
        until((upload.folder / "look.json").exists)
        answer = read_json_file(upload.folder, "look.json") or {}
        assert answer["error"] == "Ended" and "memory" in answer["sentence"]
        assert answer["sentence"].startswith(upload.manifest.label)  # no file was named
        assert begun(tmp_path, "Lan look") == 2
    finally:
        reception.stop()


def test_no_second_process_waits_for_the_first_on_one_upload(services: Services, tmp_path: Path) -> None:
    """It would wait for its lock, and hold up the work of its kind on all others."""
    body = (
        "if owner == 'Lan' and what == 'look':\n    while not (here / 'may-end').exists(): time.sleep(0.02)\n"
        "(folder / {'look': 'look.json', 'lay': 'laid.json'}[what]).write_text('{}')\n"
    )
    reception = UploadService(replace(services, upload_work=(program_of(tmp_path, body),)))
    reception.start()
    try:
        first = card_of(reception, "Lan", "a.jpg")
        until(lambda: begun(tmp_path, "Lan look") and first.has_photos_saved)
        second = card_of(reception, "Minh", "b.jpg")
        until((second.folder / "laid.json").exists)
        assert begun(tmp_path, "Lan lay") == 0
        (tmp_path / "may-end").touch()
        until((first.folder / "laid.json").exists)
    finally:
        reception.stop()


def test_a_database_that_is_away_stops_no_work(
    reception: UploadService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing expires without a line in the audit log."""
    reception.start()
    upload = reception.uploads.open("Lan", FILES)
    _pass_s(reception, UNFINISHED_TTL_S + 60.0)

    def away(*_: object) -> None:
        raise StorageFailed(pair("away", "đi vắng"))

    monkeypatch.setattr(Audit, "append", away)
    reception._expire()
    assert reception.uploads.list_uploads() == [upload]
