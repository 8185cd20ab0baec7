"""A house saved and put back: nothing is lost on the way, nothing half-way is ever taken for whole."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from sqlalchemy import select

from flycam.access.audit import verify_audit_log
from flycam.catalog.audit import Audit
from flycam.catalog.catalog import Catalog, open_catalog
from flycam.catalog.tables import metadata
from flycam.drill.photo_drill import DrillReport
from flycam.errors import (
    CatalogUnavailable,
    DataDamaged,
    FlightBusy,
    InputUnusable,
    SourceUnreadable,
    StorageFailed,
    StoreUnavailable,
)
from flycam.ingest.batch import ingest
from flycam.ingest.preflight_check import PreflightRequest
from flycam.mosaic.amendments import withdraw_by_reference
from flycam.mosaic.eviction import collect_garbage
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.operations.backup import (
    INDEX,
    MANIFEST,
    OBJECTS,
    RUNS_TO_READ_ALL,
    read_backup_manifest,
    save_backup,
)
from flycam.operations.inventory import InventoryKind
from flycam.operations.restore import require_manifest, restore_backup, verify_backup
from flycam.operations.verify import VerifyRequest, verify_objects
from flycam.storage.stores import open_store
from flycam.workspace import Workspace
from tests.clips import cut_all
from tests.finished_house import NAME, ingested, open_workspace
from tests.operations.spoiled import WAYS, close, copy_of, held, objects, spoil, with_pack
from tests.texts import pair
from tests.unreliable_stores import CountingStore, FaultyStore

ALONE = hashlib.sha256(b"a log that nothing names").hexdigest()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, drill: DrillReport) -> Path:
    folder = tmp_path_factory.mktemp("backup") / "house"
    workspace = ingested(folder, drill)
    cut_all(workspace, workspace.catalog.flights.flight(NAME).flight_id)
    close(with_pack(workspace))
    return folder


@pytest.fixture
def workspace(root: Path, tmp_path: Path) -> Iterator[Workspace]:
    workspace = copy_of(root, tmp_path / "house")
    yield workspace
    close(workspace)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Workspace]:
    (tmp_path / "new").mkdir()
    workspace = open_workspace(tmp_path / "new")
    yield workspace
    close(workspace)


def rows(catalog: Catalog, *, but: tuple[str, ...] = ("audit_log",)) -> dict[str, list[str]]:
    """Every row of every table."""
    with catalog._database.read() as connection:
        return {
            table.name: sorted(repr(tuple(row)) for row in connection.execute(select(table)))
            for table in metadata.sorted_tables
            if table.name not in but
        }


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def spoil_file(stick: Path, what: str, way: str) -> str:
    """Spoil the first file of a backup whose name begins so; its name."""
    name = next(name for name in sorted(files(stick)) if name.startswith(what))
    change = WAYS[way]
    if change is None:
        (stick / name).unlink()
    else:
        (stick / name).write_bytes(change((stick / name).read_bytes()))
    return name


def test_what_was_saved_is_put_back_whole(
    workspace: Workspace, empty: Workspace, drill: DrillReport, tmp_path: Path
) -> None:
    saved = save_backup(workspace, tmp_path / "stick")
    assert saved.error is None and saved.new == saved.manifest.objects == len(objects(workspace))
    done = restore_backup(empty, tmp_path / "stick")
    assert done.written == saved.new
    assert objects(empty) == objects(workspace) and rows(empty.catalog) == rows(workspace.catalog)
    assert verify_objects(empty).error is None
    lines = empty.catalog.audit.lines()
    assert (
        lines[-1].what == "restore" and verify_audit_log(empty, saved.manifest.audit_head).first_bad is None
    )
    again = ingest(empty, PreflightRequest(paths=(drill.photos,)), FlightLabels())
    assert (again.new, again.repaired) == (0, 0)


def test_other_programs_can_check_it(workspace: Workspace, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    save_backup(workspace, stick)
    (sums,) = stick.glob("SHA256SUMS-*")
    said = subprocess.run(
        ["sha256sum", "--strict", "--quiet", "-c", sums.name], cwd=stick, capture_output=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert len(sums.read_text().splitlines()) == len(objects(workspace)) + 1


def test_again_only_what_is_new_is_copied_and_what_was_let_go_goes(
    workspace: Workspace, empty: Workspace, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    first = save_backup(workspace, stick)
    counting = CountingStore(workspace.store)
    second = save_backup(replace(workspace, store=counting), stick)
    assert (second.new, second.removed, counting.bytes_received) == (0, 0, 0)
    assert second.manifest.objects == first.manifest.objects
    withdraw_by_reference(workspace, NAME, "doanh trại", "UBND")
    collect_garbage(workspace, grace_s=0.0)
    third = save_backup(workspace, stick)
    assert third.new > 0 and third.removed > 0 and third.error is None
    assert {name.removeprefix(f"{OBJECTS}/") for name in files(stick) if name.startswith(OBJECTS)} == set(
        objects(workspace)
    )
    restore_backup(empty, stick)
    assert verify_objects(empty).error is None


def test_what_the_house_has_lost_stays_in_the_backup(
    workspace: Workspace, empty: Workspace, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    workspace.store.put(f"evidence/ab/{'ab' * 32}", b"")  # named by nothing, and not even what its key says
    log = b"a log that nothing names"
    digest = hashlib.sha256(log).hexdigest()
    workspace.store.put(f"evidence/{digest[:2]}/{digest}", log)
    first = save_backup(workspace, stick)
    assert first.manifest.missing == (f"evidence/ab/{'ab' * 32}",) and first.error is not None
    for one in held(workspace, InventoryKind.PHOTO, InventoryKind.TERRAIN, InventoryKind.TILE):
        spoil(workspace, one.key, "lost")
    workspace.store.delete(f"evidence/{digest[:2]}/{digest}")
    second = save_backup(workspace, stick)
    assert second.manifest.objects == first.manifest.objects and second.removed == 0
    restore_backup(empty, stick)
    assert verify_objects(empty, VerifyRequest(repair=False)).damages == ()
    assert empty.store.get(f"evidence/{digest[:2]}/{digest}") == log


def test_what_is_not_whole_is_not_copied(workspace: Workspace, tmp_path: Path) -> None:
    bad = [
        held(workspace, kind)[0].key
        for kind in (InventoryKind.PHOTO, InventoryKind.TERRAIN, InventoryKind.TILE, InventoryKind.CLIP)
    ]
    for number, key in enumerate(bad):
        spoil(workspace, key, sorted(WAYS)[number % 3])
    report = save_backup(workspace, tmp_path / "stick")
    assert set(report.manifest.missing) == set(bad) and isinstance(report.error, DataDamaged)
    assert not [key for key in bad if (tmp_path / "stick" / OBJECTS / key).exists()]
    for key in bad:
        workspace.store.delete(key)
    verify_objects(workspace)


@pytest.mark.parametrize(("what", "way"), [("catalogue-", "flipped"), ("SHA256SUMS-", "lost")])
def test_a_damaged_list_or_catalogue_is_refused_before_anything_is_written(
    workspace: Workspace, empty: Workspace, tmp_path: Path, what: str, way: str
) -> None:
    stick = tmp_path / "stick"
    save_backup(workspace, stick)
    name = spoil_file(stick, what, way)
    for refused in (
        lambda: restore_backup(empty, stick),
        lambda: verify_backup(stick, require_manifest(stick)),
    ):
        with pytest.raises(DataDamaged, match=Path(name).name[:20]) as caught:
            refused()
        assert (
            caught.value.message.in_language("vi") != str(caught.value)
            and empty.catalog.is_empty()
            and not objects(empty)
        )


def test_of_a_damaged_backup_all_that_is_whole_comes_back_and_verify_mends_the_rest(
    workspace: Workspace, empty: Workspace, drill: DrillReport, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    saved = save_backup(workspace, stick)
    bad = {spoil_file(stick, "objects/evidence", "flipped"), spoil_file(stick, "objects/mosaics", "lost")}
    assert set(verify_backup(stick, require_manifest(stick))) == bad
    done = restore_backup(empty, stick)
    assert {f"{OBJECTS}/{key}" for key in done.unreadable} == bad and done.written == saved.new - 2
    assert isinstance(done.error, DataDamaged) and done.error.message.in_language("vi") != str(done.error)
    assert set(objects(empty)) == set(objects(workspace)) - set(done.unreadable)
    assert verify_objects(empty, VerifyRequest(source=drill.photos)).error is None
    assert objects(empty) == objects(workspace)


def test_what_rots_in_a_backup_is_copied_anew_within_ten_runs(workspace: Workspace, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    save_backup(workspace, stick)
    whole = files(stick / OBJECTS)
    for what in ("objects/evidence", "objects/mosaics"):
        spoil_file(stick, what, "flipped")
    runs = [save_backup(workspace, stick).new for _ in range(RUNS_TO_READ_ALL)]
    assert sum(runs) == 2 and files(stick / OBJECTS) == whole
    assert not verify_backup(stick, require_manifest(stick))


@pytest.mark.parametrize("name", ["objects/evidence", "index.sqlite", ".lock"])
def test_a_link_in_the_folder_is_not_followed(workspace: Workspace, tmp_path: Path, name: str) -> None:
    stick, theirs = tmp_path / "stick", tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "kept").write_bytes(b"kept")
    (stick / name).parent.mkdir(parents=True)
    (stick / name).symlink_to(theirs if name.startswith(OBJECTS) else theirs / "new")
    with pytest.raises(InputUnusable, match=name) as caught:
        save_backup(workspace, stick)
    assert caught.value.message.in_language("vi") != str(caught.value) and files(theirs) == {"kept": b"kept"}


@pytest.mark.parametrize("manifest", [None, b"", b"[]", b'{"format": "flycam-backup", "version": 2}'])
def test_no_backup_is_refused(empty: Workspace, tmp_path: Path, manifest: bytes | None) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    if manifest is not None:
        (stick / MANIFEST).write_bytes(manifest)
        with pytest.raises(SourceUnreadable):
            save_backup(empty, stick)
    with pytest.raises(SourceUnreadable):
        restore_backup(empty, stick)


@pytest.mark.parametrize("lie", ["../../outside", "/etc/passwd", "a/../../b"])
def test_a_manifest_leads_nowhere_else(
    workspace: Workspace, empty: Workspace, tmp_path: Path, lie: str
) -> None:
    stick = tmp_path / "stick"
    save_backup(workspace, stick)
    values = json.loads((stick / MANIFEST).read_text())
    (stick / MANIFEST).write_text(json.dumps({**values, "catalogue": lie}))
    with pytest.raises(SourceUnreadable):
        restore_backup(empty, stick)
    sums = stick / values["sums"]
    sums.write_text(f"{'0' * 64}  {OBJECTS}/{lie}\n")
    digest = hashlib.sha256(sums.read_bytes()).hexdigest()
    (stick / MANIFEST).write_text(json.dumps({**values, "sums_sha256": digest}))
    with pytest.raises(DataDamaged):
        restore_backup(empty, stick)
    assert empty.catalog.is_empty() and not objects(empty)


def test_only_into_an_empty_place(workspace: Workspace, empty: Workspace, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    save_backup(workspace, stick)
    with pytest.raises(InputUnusable, match="--data"):
        restore_backup(workspace, stick)
    empty.store.put("evidence/00/other", b"of somebody else")
    with pytest.raises(InputUnusable, match="--data"):
        restore_backup(empty, stick)
    assert list(empty.store.list("")) == ["evidence/00/other"] and empty.catalog.is_empty()


def test_a_restore_that_nobody_was_told_of_is_completed(
    workspace: Workspace, empty: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalogue was filled, its line in the audit log was not written, and then the power went."""
    stick = tmp_path / "stick"
    save_backup(workspace, stick)
    gone = CatalogUnavailable(pair("gone", "mất"))
    with monkeypatch.context() as patch, pytest.raises(CatalogUnavailable):
        patch.setattr(Audit, "append", Mock(side_effect=gone))
        restore_backup(empty, stick)
    empty.store.delete(sorted(objects(empty))[0])
    assert restore_backup(empty, stick).written == 1
    assert objects(empty) == objects(workspace)
    assert [line.what for line in empty.catalog.audit.lines()].count("restore") == 1
    empty.catalog.audit.append("Lan", "withdraw", "f1", "")
    with pytest.raises(InputUnusable, match="--data"):
        restore_backup(empty, stick)


def test_a_restore_that_was_cut_short_is_done_again_over_what_it_put_there(
    workspace: Workspace, empty: Workspace, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    saved = save_backup(workspace, stick)
    puts = iter(range(10_000))
    gone = StoreUnavailable(pair("gone", "mất"))
    faulty = FaultyStore(empty.store, lambda what, _: gone if what == "put_file" and next(puts) > 9 else None)
    with pytest.raises(StoreUnavailable):
        restore_backup(replace(empty, store=faulty), stick)
    there = objects(empty)
    assert there and empty.catalog.is_empty()
    spoil(empty, sorted(there)[0], "cut")
    report = restore_backup(empty, stick)
    assert report.written == saved.manifest.objects - len(there) + 1
    assert objects(empty) == objects(workspace)


def test_a_backup_made_while_a_flight_is_ingested_is_whole(
    empty: Workspace, drill: DrillReport, tmp_path: Path
) -> None:
    ingesting = threading.Thread(
        target=ingest, args=(empty, PreflightRequest(paths=(drill.photos,)), FlightLabels(name=NAME))
    )
    ingesting.start()
    seen = 0
    while ingesting.is_alive():
        save_backup(empty, tmp_path / "stick")
        place = tmp_path / f"put back {seen}"
        place.mkdir()
        there = open_workspace(place)
        with there.catalog, closing(there.store):
            restore_backup(there, tmp_path / "stick")
            report = verify_objects(there, VerifyRequest(repair=False))
            assert report.error is None and not report.damages
        seen += 1
    ingesting.join()
    assert seen and verify_objects(empty).error is None


@pytest.mark.parametrize("is_empty", [True, False], ids=["an empty house", "a house with a history"])
def test_the_backup_of_another_house_is_not_written_over(
    workspace: Workspace, empty: Workspace, tmp_path: Path, is_empty: bool
) -> None:
    save_backup(workspace, tmp_path / "stick")
    before = files(tmp_path / "stick")
    if not is_empty:
        for number in range(len(workspace.catalog.audit.lines()) + 1):
            empty.catalog.audit.append("Lan", "ingest", f"f{number}")
    with pytest.raises(InputUnusable) as refused:
        save_backup(empty, tmp_path / "stick")
    assert refused.value.message.values["box"] == workspace.box
    assert files(tmp_path / "stick") == before


def test_a_house_that_was_put_back_goes_on_with_its_backup(
    workspace: Workspace, empty: Workspace, tmp_path: Path
) -> None:
    save_backup(workspace, tmp_path / "stick")
    restore_backup(empty, tmp_path / "stick")
    again = save_backup(replace(empty, box="renamed"), tmp_path / "stick")
    assert (again.new, again.manifest.box) == (0, "renamed")


def test_one_backup_at_a_time(workspace: Workspace, tmp_path: Path) -> None:
    values: list[BaseException] = []

    def look(_stage: str, _done: int, _total: int) -> None:
        if not values:
            with pytest.raises(FlightBusy) as caught:
                save_backup(workspace, tmp_path / "stick")
            values.append(caught.value)

    save_backup(workspace, tmp_path / "stick", look)
    assert values


def test_without_its_index_a_backup_still_has_what_it_had(
    workspace: Workspace, empty: Workspace, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    workspace.store.put(f"evidence/{ALONE[:2]}/{ALONE}", b"a log that nothing names")
    first = save_backup(workspace, stick)
    for one in (
        *held(workspace, InventoryKind.PHOTO, InventoryKind.TERRAIN),
        *held(workspace, InventoryKind.TILE)[:1],
    ):
        spoil(workspace, one.key, "lost")
    workspace.store.delete(f"evidence/{ALONE[:2]}/{ALONE}")
    bad = spoil_file(stick, f"{OBJECTS}/{held(workspace, InventoryKind.TILE)[1].key}", "flipped")
    (stick / "index.sqlite").write_bytes(b"no database at all" * 100)
    second = save_backup(workspace, stick)
    assert second.new == 1 and second.error is None, f"only {bad} is copied anew"
    assert second.manifest.objects == first.manifest.objects
    assert not verify_backup(stick, second.manifest)
    restore_backup(empty, stick)
    assert verify_objects(empty, VerifyRequest(repair=False)).damages == ()


def test_what_people_keep_in_the_folder_stays(workspace: Workspace, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    save_backup(workspace, stick)
    old = {path.name for path in stick.glob("SHA256SUMS-*")} | {
        path.name for path in stick.glob("catalogue-*")
    }
    (stick / ".new-photos of ours").mkdir()
    (stick / "catalogue-of the library").mkdir()
    theirs = [
        ".new-photos of ours/1.jpg",
        "catalogue-2025.pdf",
        "SHA256SUMS-other",
        "catalogue-of the library/a",
    ]
    for name in theirs:
        (stick / name).write_bytes(b"kept")
    workspace.store.put(
        f"evidence/{hashlib.sha256(b'x').hexdigest()[:2]}/{hashlib.sha256(b'x').hexdigest()}", b"x"
    )
    save_backup(workspace, stick)
    assert all((stick / name).read_bytes() == b"kept" for name in theirs)
    assert not [name for name in old if (stick / name).exists()]


@pytest.mark.postgres
def test_from_one_database_into_the_other_and_back(
    workspace: Workspace, postgres_url: str, tmp_path: Path
) -> None:
    save_backup(workspace, tmp_path / "stick")
    there = replace(
        workspace, store=open_store((tmp_path / "far").as_uri()), catalog=open_catalog(postgres_url)
    )
    with there.catalog, closing(there.store):
        restore_backup(there, tmp_path / "stick")
        assert rows(there.catalog) == rows(workspace.catalog) and objects(there) == objects(workspace)
        save_backup(there, tmp_path / "second")
        (tmp_path / "third").mkdir()
        back = open_workspace(tmp_path / "third")
        with back.catalog, closing(back.store):
            restore_backup(back, tmp_path / "second")
            assert rows(back.catalog) == rows(workspace.catalog)
            assert verify_objects(back).error is None


@pytest.mark.s3
def test_from_one_store_into_the_other(
    workspace: Workspace, empty: Workspace, s3_url: str, tmp_path: Path
) -> None:
    save_backup(workspace, tmp_path / "stick")
    there = replace(empty, store=open_store(s3_url))
    restore_backup(there, tmp_path / "stick")
    assert objects(there) == objects(workspace)
    spoil(there, held(there, InventoryKind.TILE)[0].key, "flipped")
    spoil(there, held(there, InventoryKind.PHOTO)[0].key, "lost")
    assert verify_objects(there, VerifyRequest(source=tmp_path / "stick")).error is None
    assert save_backup(there, tmp_path / "stick").new == 0
    there.store.close()


def hot_journal(database: bytes, victim: Path) -> bytes:
    """A journal of a database's first page that is to be rolled back, and then `victim` to be deleted as the
    super-journal of a transaction over several files (sqlite.org/fileformat2.html, 3)."""
    magic, nonce, page, name = bytes.fromhex("d9d505f920a163d7"), 7, database[:4096], str(victim).encode()
    head = magic + struct.pack(">5I", 1, nonce, len(database) // 4096, 512, 4096)
    record = struct.pack(">I", 1) + page + struct.pack(">I", nonce + sum(page[4096 - 200 : 0 : -200]))
    lock_page = (1 << 30) // 4096 + 1
    tail = struct.pack(">I", lock_page) + name + struct.pack(">II", len(name), sum(name)) + magic
    return head.ljust(512, b"\0") + record + tail


def test_a_journal_that_lies_beside_the_index_deletes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    stick, theirs = tmp_path / "stick", tmp_path / "theirs"
    theirs.write_bytes(b"kept")
    save_backup(workspace, stick)
    index = stick / INDEX
    Path(f"{index}-journal").write_bytes(hot_journal(index.read_bytes(), theirs))
    again = save_backup(workspace, stick)
    assert theirs.read_bytes() == b"kept"
    assert again.new == 0 and not verify_backup(stick, again.manifest)


@pytest.mark.parametrize(
    "planted",
    [
        "CREATE TRIGGER spoils AFTER INSERT ON objects BEGIN DELETE FROM objects; END",
        "ALTER TABLE objects RENAME TO others; CREATE VIEW objects AS SELECT * FROM others",
        "INSERT INTO objects VALUES ('evidence/../../theirs', 4, hex(zeroblob(32)), 1)",
    ],
)
def test_an_index_that_is_another_is_begun_anew(workspace: Workspace, tmp_path: Path, planted: str) -> None:
    stick = tmp_path / "stick"
    (tmp_path / "theirs").write_bytes(b"kept")
    first = save_backup(workspace, stick)
    with closing(sqlite3.connect(stick / INDEX)) as database:
        database.executescript(planted)
    again = save_backup(workspace, stick)
    assert (again.new, again.manifest.objects) == (0, first.manifest.objects) and again.error is None
    assert (tmp_path / "theirs").read_bytes() == b"kept"
    assert not verify_backup(stick, again.manifest)


def sign(stick: Path, *, catalogue: str = "", more: str = "") -> None:
    """Give a backup the hashes of its catalogue as it lies there, `more` in its list, and of the list: as
    whoever made it could."""
    values = json.loads((stick / MANIFEST).read_text())
    sums = stick / values["sums"]
    lines = sums.read_text()
    if catalogue:
        with closing(sqlite3.connect(stick / values["catalogue"])) as database:
            database.executescript(catalogue)
        was, now = lines[:64], hashlib.sha256((stick / values["catalogue"]).read_bytes()).hexdigest()
        lines = lines.replace(was, now)
    sums.write_text(lines + more)
    digest = hashlib.sha256(sums.read_bytes()).hexdigest()
    (stick / MANIFEST).write_text(json.dumps({**values, "sums_sha256": digest}))


@pytest.mark.parametrize(
    "more",
    [
        f"{'0' * 64}  {OBJECTS}/evidence/.hid\n",
        f"{'0' * 64}  {OBJECTS}/{'a' * 256}\n",
        f"{'0' * 64}  {OBJECTS}/{'a/' * (1 << 20)}a\n",
        "0" * (1 << 20),
    ],
    ids=["hidden", "long name", "long key", "no end"],
)
def test_a_list_with_what_is_no_key_is_refused(
    workspace: Workspace, empty: Workspace, tmp_path: Path, more: str
) -> None:
    stick = tmp_path / "stick"
    saved = save_backup(workspace, stick)
    sign(stick)
    assert not verify_backup(stick, require_manifest(stick))
    sign(stick, more=more)
    with pytest.raises(DataDamaged):
        verify_backup(stick, require_manifest(stick))
    with pytest.raises(DataDamaged):
        restore_backup(empty, stick)
    assert saved.new and empty.catalog.is_empty() and not objects(empty)


@pytest.mark.parametrize(
    "planted",
    [
        "ALTER TABLE events RENAME TO others; CREATE VIEW events AS SELECT * FROM others",
        "CREATE TRIGGER spoils AFTER INSERT ON events BEGIN DELETE FROM events; END",
    ],
    ids=["view", "trigger"],
)
def test_a_catalogue_that_makes_up_rows_is_refused(
    workspace: Workspace, empty: Workspace, tmp_path: Path, planted: str
) -> None:
    stick = tmp_path / "stick"
    save_backup(workspace, stick)
    sign(stick, catalogue=planted)
    with pytest.raises(DataDamaged):
        verify_backup(stick, require_manifest(stick))
    with pytest.raises(DataDamaged):
        restore_backup(empty, stick)
    assert empty.catalog.is_empty() and not objects(empty)


@pytest.mark.parametrize("way", ["vast", "deep", "words", "endless figure"])
def test_a_manifest_that_is_none_is_refused(workspace: Workspace, tmp_path: Path, way: str) -> None:
    stick = tmp_path / "stick"
    save_backup(workspace, stick)
    path = stick / MANIFEST
    values = json.loads(path.read_text())
    match way:
        case "vast":
            os.truncate(path, 1 << 40)  # sparse
        case "deep":
            path.write_text("[" * 1_000_000)
        case "words":
            path.write_text(json.dumps({**values, "made_ns": "yesterday"}))
        case "endless figure":
            path.write_text(json.dumps({**values, "made_ns": float("inf")}))
    with pytest.raises(SourceUnreadable):
        read_backup_manifest(stick)


@pytest.mark.parametrize("name", ["index.sqlite-journal", MANIFEST])
def test_a_pipe_in_the_folder_is_not_waited_at(workspace: Workspace, tmp_path: Path, name: str) -> None:
    stick = tmp_path / "stick"
    save_backup(workspace, stick)
    (stick / name).unlink(missing_ok=True)
    os.mkfifo(stick / name)
    if name.endswith("-journal"):
        assert save_backup(workspace, stick).new == 0
    else:
        with pytest.raises((SourceUnreadable, StorageFailed)):
            save_backup(workspace, stick)
