"""A house saved and put back: nothing is lost on the way, nothing half-way is ever taken for whole."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import select

from flycam.catalog.audit import Audit
from flycam.catalog.catalog import Catalog, open_catalog
from flycam.catalog.tables import metadata
from flycam.drill.drill import DrillReport
from flycam.errors import (
    CatalogUnavailable,
    FlightBusy,
    InputUnusable,
    NotWhole,
    SourceUnreadable,
    StorageTrouble,
    StoreUnavailable,
)
from flycam.messages import Bilingual, verbatim
from flycam.pipeline.batch import ingest
from flycam.pipeline.collect import collect
from flycam.pipeline.laying.opening import Labels
from flycam.pipeline.laying.survey import SurveyRequest
from flycam.pipeline.upkeep import backup as backup_recipe
from flycam.pipeline.upkeep import backup_place
from flycam.pipeline.upkeep.audit import prove_audit
from flycam.pipeline.upkeep.backup import backup
from flycam.pipeline.upkeep.backup_copying import RUNS_TO_READ_ALL
from flycam.pipeline.upkeep.backup_place import MANIFEST, OBJECTS, read_manifest
from flycam.pipeline.upkeep.held import Kind
from flycam.pipeline.upkeep.restore import check_backup, manifest_of, restore
from flycam.pipeline.upkeep.verify import VerifyRequest, verify
from flycam.pipeline.withdraw import withdraw
from flycam.pipeline.workspace import Workspace
from flycam.store import keys, syncing
from flycam.store.opening import open_store
from flycam.sync.ledger import Ledger
from tests.clips import cut_all
from tests.pipeline.finished_house import NAME, ingested, open_workspace
from tests.pipeline.spoiled import WAYS, close, copy_of, held, objects, spoil, with_pack
from tests.unreliable_stores import CountingStore, FaultyStore
from tests.waiting import trials

ALONE = hashlib.sha256(b"a log that nothing names").hexdigest()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, drill: DrillReport) -> Path:
    folder = tmp_path_factory.mktemp("backup") / "house"
    workspace = ingested(folder, drill)
    cut_all(workspace, workspace.catalog.flights.flight(NAME).flight_id)
    close(with_pack(workspace))
    return folder


@pytest.fixture
def house(root: Path, tmp_path: Path) -> Iterator[Workspace]:
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
    house: Workspace, empty: Workspace, drill: DrillReport, tmp_path: Path
) -> None:
    saved = backup(house, tmp_path / "stick")
    assert saved.trouble is None and saved.new == saved.manifest.objects == len(objects(house))
    done = restore(empty, tmp_path / "stick")
    assert done.written == saved.new
    assert objects(empty) == objects(house) and rows(empty.catalog) == rows(house.catalog)
    assert verify(empty).trouble is None
    lines = empty.catalog.audit.lines()
    assert lines[-1].what == "restore" and prove_audit(empty, saved.manifest.audit_head).first_bad is None
    again = ingest(empty, SurveyRequest(paths=(drill.photos,)), Labels())
    assert (again.new, again.mended) == (0, 0)


def test_other_programs_can_check_it(house: Workspace, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    backup(house, stick)
    (sums,) = stick.glob("SHA256SUMS-*")
    said = subprocess.run(
        ["sha256sum", "--strict", "--quiet", "-c", sums.name], cwd=stick, capture_output=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert len(sums.read_text().splitlines()) == len(objects(house)) + 1


def test_again_only_what_is_new_is_copied_and_what_was_let_go_goes(
    house: Workspace, empty: Workspace, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    first = backup(house, stick)
    counting = CountingStore(house.store)
    second = backup(replace(house, store=counting), stick)
    assert (second.new, second.removed, counting.bytes_received) == (0, 0, 0)
    assert second.manifest.objects == first.manifest.objects
    withdraw(house, NAME, "doanh trại", "UBND")
    collect(house, grace_s=0.0)
    third = backup(house, stick)
    assert third.new > 0 and third.removed > 0 and third.trouble is None
    assert {name.removeprefix(f"{OBJECTS}/") for name in files(stick) if name.startswith(OBJECTS)} == set(
        objects(house)
    )
    restore(empty, stick)
    assert verify(empty).trouble is None


def test_what_the_house_has_lost_stays_in_the_backup(
    house: Workspace, empty: Workspace, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    house.store.put(f"evidence/ab/{'ab' * 32}", b"")  # named by nothing, and not even what its key says
    log = b"a log that nothing names"
    digest = hashlib.sha256(log).hexdigest()
    house.store.put(f"evidence/{digest[:2]}/{digest}", log)
    first = backup(house, stick)
    assert first.manifest.missing == (f"evidence/ab/{'ab' * 32}",) and first.trouble is not None
    for one in held(house, Kind.PHOTO, Kind.TERRAIN, Kind.TILE):
        spoil(house, one.key, "lost")
    house.store.delete(f"evidence/{digest[:2]}/{digest}")
    second = backup(house, stick)
    assert second.manifest.objects == first.manifest.objects and second.removed == 0
    restore(empty, stick)
    assert verify(empty, VerifyRequest(mend=False)).damages == ()
    assert empty.store.get(f"evidence/{digest[:2]}/{digest}") == log


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_whole_is_not_copied(house: Workspace, tmp_path: Path, way: str) -> None:
    bad = [held(house, kind)[0].key for kind in (Kind.PHOTO, Kind.TERRAIN, Kind.TILE, Kind.CLIP)]
    for key in bad:
        spoil(house, key, way)
    report = backup(house, tmp_path / "stick")
    assert set(report.manifest.missing) == set(bad) and isinstance(report.trouble, NotWhole)
    assert not [key for key in bad if (tmp_path / "stick" / OBJECTS / key).exists()]
    for key in bad:
        house.store.delete(key)
    verify(house)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", ["catalogue-", "SHA256SUMS-"])
def test_a_damaged_list_or_catalogue_is_refused_before_anything_is_written(
    house: Workspace, empty: Workspace, tmp_path: Path, what: str, way: str
) -> None:
    stick = tmp_path / "stick"
    backup(house, stick)
    name = spoil_file(stick, what, way)
    for refused in (lambda: restore(empty, stick), lambda: check_backup(stick, manifest_of(stick))):
        with pytest.raises(NotWhole, match=Path(name).name[:20]) as caught:
            refused()
        assert caught.value.vi and empty.catalog.is_empty() and not objects(empty)


@pytest.mark.parametrize("way", WAYS)
def test_of_a_damaged_backup_all_that_is_whole_comes_back_and_verify_mends_the_rest(
    house: Workspace, empty: Workspace, drill: DrillReport, tmp_path: Path, way: str
) -> None:
    stick = tmp_path / "stick"
    saved = backup(house, stick)
    bad = {spoil_file(stick, what, way) for what in ("objects/evidence", "objects/mosaics")}
    assert set(check_backup(stick, manifest_of(stick))) == bad
    done = restore(empty, stick)
    assert {f"{OBJECTS}/{key}" for key in done.left_out} == bad and done.written == saved.new - 2
    assert isinstance(done.trouble, NotWhole) and done.trouble.vi
    assert set(objects(empty)) == set(objects(house)) - set(done.left_out)
    assert verify(empty, VerifyRequest(source=drill.photos)).trouble is None
    assert objects(empty) == objects(house)


@pytest.mark.parametrize("way", WAYS)
def test_what_rots_in_a_backup_is_copied_anew_within_ten_runs(
    house: Workspace, tmp_path: Path, way: str
) -> None:
    stick = tmp_path / "stick"
    backup(house, stick)
    whole = files(stick / OBJECTS)
    for what in ("objects/evidence", "objects/mosaics"):
        spoil_file(stick, what, way)
    runs = [backup(house, stick).new for _ in range(RUNS_TO_READ_ALL)]
    assert sum(runs) == 2 and files(stick / OBJECTS) == whole
    assert not check_backup(stick, manifest_of(stick))


def test_what_rots_in_a_backup_and_is_lost_in_the_house_is_told(house: Workspace, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    house.store.put(f"evidence/{ALONE[:2]}/{ALONE}", b"a log that nothing names")
    backup(house, stick)
    gone = {f"evidence/{ALONE[:2]}/{ALONE}", held(house, Kind.PHOTO)[0].key}
    for key in gone:
        house.store.delete(key)
        (stick / OBJECTS / key).write_bytes(b"")
    report = backup(house, stick)
    assert set(report.manifest.missing) == gone and len(report.manifest.missing) == 2
    assert not check_backup(stick, report.manifest)


def test_a_disk_that_fails_under_a_backup_is_not_taken_for_the_houses(
    house: Workspace, empty: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stick = tmp_path / "stick"
    backup(house, stick)
    bad = held(house, Kind.PHOTO)[0].key
    opened = Path.open

    def fails(path: Path, *words: Any, **more: Any) -> Any:
        if path == stick / OBJECTS / bad:
            raise OSError(errno.EIO, "Input/output error")
        return opened(path, *words, **more)

    monkeypatch.setattr(Path, "open", fails)
    assert restore(empty, stick).left_out == (bad,)


@pytest.mark.parametrize("name", ["objects", "objects/.tmp", "objects/evidence", "index.sqlite", ".lock"])
def test_a_link_in_the_folder_is_not_followed(house: Workspace, tmp_path: Path, name: str) -> None:
    stick, theirs = tmp_path / "stick", tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "kept").write_bytes(b"kept")
    (stick / name).parent.mkdir(parents=True)
    (stick / name).symlink_to(theirs if name.startswith(OBJECTS) else theirs / "new")
    with pytest.raises(InputUnusable, match=name) as caught:
        backup(house, stick)
    assert caught.value.vi and files(theirs) == {"kept": b"kept"}


def test_the_manifest_is_not_written_through_a_link(house: Workspace, tmp_path: Path) -> None:
    stick, theirs = tmp_path / "stick", tmp_path / "theirs"
    stick.mkdir()
    theirs.write_bytes(b"kept")
    (stick / f"{MANIFEST}.new").symlink_to(theirs)
    backup(house, stick)
    assert theirs.read_bytes() == b"kept" and not (stick / MANIFEST).is_symlink()


@pytest.mark.parametrize("manifest", [None, b"", b"[]", b'{"format": "flycam-backup", "version": 2}'])
def test_no_backup_is_refused(empty: Workspace, tmp_path: Path, manifest: bytes | None) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    if manifest is not None:
        (stick / MANIFEST).write_bytes(manifest)
        with pytest.raises(SourceUnreadable):
            backup(empty, stick)
    with pytest.raises(SourceUnreadable):
        restore(empty, stick)


@pytest.mark.parametrize("lie", ["../../outside", "/etc/passwd", "a/../../b"])
def test_a_manifest_leads_nowhere_else(house: Workspace, empty: Workspace, tmp_path: Path, lie: str) -> None:
    stick = tmp_path / "stick"
    backup(house, stick)
    told = json.loads((stick / MANIFEST).read_text())
    (stick / MANIFEST).write_text(json.dumps({**told, "catalogue": lie}))
    with pytest.raises(SourceUnreadable):
        restore(empty, stick)
    sums = stick / told["sums"]
    sums.write_text(f"{'0' * 64}  {OBJECTS}/{lie}\n")
    digest = hashlib.sha256(sums.read_bytes()).hexdigest()
    (stick / MANIFEST).write_text(json.dumps({**told, "sums_sha256": digest}))
    with pytest.raises(NotWhole):
        restore(empty, stick)
    assert empty.catalog.is_empty() and not objects(empty)


def test_only_into_an_empty_place(house: Workspace, empty: Workspace, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    backup(house, stick)
    with pytest.raises(InputUnusable, match="--data"):
        restore(house, stick)
    empty.store.put("evidence/00/other", b"of somebody else")
    with pytest.raises(InputUnusable, match="--data"):
        restore(empty, stick)
    assert list(empty.store.list("")) == ["evidence/00/other"] and empty.catalog.is_empty()


@pytest.mark.parametrize("is_on_record", [False, True])
def test_a_restore_that_nobody_was_told_of_is_completed(
    house: Workspace, empty: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_on_record: bool
) -> None:
    """The catalogue was filled, its line in the audit log written or not, and then the power went."""
    stick = tmp_path / "stick"
    backup(house, stick)
    if not is_on_record:
        gone = CatalogUnavailable(verbatim(Bilingual("gone", "mất")))
        with monkeypatch.context() as patch, pytest.raises(CatalogUnavailable):
            patch.setattr(Audit, "append", Mock(side_effect=gone))
            restore(empty, stick)
    else:
        restore(empty, stick)
    empty.store.delete(sorted(objects(empty))[0])
    assert restore(empty, stick).written == 1
    assert objects(empty) == objects(house)
    assert [line.what for line in empty.catalog.audit.lines()].count("restore") == 1
    empty.catalog.audit.append("Lan", "withdraw", "f1", "")
    with pytest.raises(InputUnusable, match="--data"):
        restore(empty, stick)


def test_a_restore_that_was_cut_short_is_done_again_over_what_it_put_there(
    house: Workspace, empty: Workspace, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    saved = backup(house, stick)
    puts = iter(range(10_000))
    gone = StoreUnavailable(verbatim(Bilingual("gone", "mất")))
    faulty = FaultyStore(empty.store, lambda what, _: gone if what == "put_file" and next(puts) > 9 else None)
    with pytest.raises(StoreUnavailable):
        restore(replace(empty, store=faulty), stick)
    there = objects(empty)
    assert there and empty.catalog.is_empty()
    spoil(empty, sorted(there)[0], "cut")
    report = restore(empty, stick)
    assert report.written == saved.manifest.objects - len(there) + 1
    assert objects(empty) == objects(house)


_BACKUP = """
import sys
from pathlib import Path
from tests.pipeline.finished_house import open_workspace
from flycam.pipeline.upkeep.backup import backup
workspace = open_workspace(Path(sys.argv[1]))
print("begun", flush=True)
backup(workspace, Path(sys.argv[2]))
"""


def test_killed_at_any_moment_the_backup_before_stands_and_the_next_run_completes(
    house: Workspace, drill: DrillReport, tmp_path: Path
) -> None:
    before = tmp_path / "before"
    backup(house, before)
    withdraw(house, held(house, Kind.PHOTO)[0].name, "nhà dân", "UBND")  # tiles anew
    unfinished: list[bool] = []
    for attempt in trials(4, lambda: any(unfinished)):
        stick = tmp_path / f"stick{attempt}"
        shutil.copytree(before, stick)
        old = read_manifest(stick)
        assert old is not None
        words = [sys.executable, "-c", _BACKUP, str(tmp_path / "house"), str(stick)]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None and child.stdout.readline() == b"begun\n"
            time.sleep(random.Random(attempt).uniform(0.0, 0.5) / (1 + attempt // 4))
            child.send_signal(signal.SIGKILL)
        standing = manifest_of(stick)
        unfinished.append(standing == old)
        assert not check_backup(stick, standing)
        done = backup(house, stick)
        assert done.trouble is None and not list(stick.glob(".new-*"))
        assert not check_backup(stick, manifest_of(stick))
    assert any(unfinished), "no run was killed half-way"


def test_a_backup_made_while_a_flight_is_ingested_is_whole(
    empty: Workspace, drill: DrillReport, tmp_path: Path
) -> None:
    ingesting = threading.Thread(
        target=ingest, args=(empty, SurveyRequest(paths=(drill.photos,)), Labels(name=NAME))
    )
    ingesting.start()
    seen = 0
    while ingesting.is_alive():
        backup(empty, tmp_path / "stick")
        place = tmp_path / f"put back {seen}"
        place.mkdir()
        there = open_workspace(place)
        with there.catalog, closing(there.store):
            restore(there, tmp_path / "stick")
            report = verify(there, VerifyRequest(mend=False))
            assert report.trouble is None and not report.damages
        seen += 1
    ingesting.join()
    assert seen and verify(empty).trouble is None


class _Flown(CountingStore):
    """A store in whose house a photo is withdrawn, and what it had made is freed, while the first tile is
    read after the catalogue was saved."""

    def __init__(self, house: Workspace, photos: list[str]) -> None:
        super().__init__(house.store)
        self._house, self._left, self._flying = house, photos, threading.Lock()
        self._is_saved = False

    def list(self, prefix: str) -> Iterator[str]:
        """See ObjectStore.list."""
        self._is_saved |= prefix in keys.cursor_prefixes()
        return super().list(prefix)

    def size(self, key: str) -> int:
        """See ObjectStore.size."""
        with self._flying:
            if key.startswith("mosaics/") and self._is_saved and self._left:
                self._is_saved = False
                withdraw(self._house, self._left.pop(), "nhà dân", "UBND")
                collect(self._house, grace_s=0.0)
        return super().size(key)


def test_tiles_that_are_replaced_and_freed_while_it_is_made_are_saved_as_they_stand_then(
    house: Workspace, empty: Workspace, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    photos = [one.name for one in held(house, Kind.PHOTO)]
    saved = backup(replace(house, store=_Flown(house, photos[:1])), stick)
    assert saved.trouble is None
    assert not check_backup(stick, manifest_of(stick))
    restore(empty, stick)
    assert objects(empty) == objects(house)
    assert verify(empty, VerifyRequest(mend=False)).damages == ()


def test_of_a_house_that_never_stands_still_what_is_not_saved_is_told(
    house: Workspace, tmp_path: Path
) -> None:
    photos = [one.name for one in held(house, Kind.PHOTO)]
    saved = backup(replace(house, store=_Flown(house, photos[:3])), tmp_path / "stick")
    assert saved.manifest.missing and isinstance(saved.trouble, NotWhole)
    assert backup(house, tmp_path / "stick").trouble is None


def test_the_manifest_gets_its_name_after_those_of_its_files_are_safe(
    house: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stick = tmp_path / "stick"
    done: list[str] = []
    renamed, synced = Path.replace, syncing.sync_path

    def rename(path: Path, target: Path) -> Path:
        if target.parent == stick:
            done.append(target.name.partition("-")[0])
        return renamed(path, target)

    def sync(path: Path) -> None:
        synced(path)
        if path == stick:
            done.append("synced")

    monkeypatch.setattr(Path, "replace", rename)
    for module in (backup_recipe, backup_place, syncing):
        monkeypatch.setattr(module, "sync_path", sync)
    backup(house, stick)
    last = done[done.index("catalogue") :]
    assert last[:4] == ["catalogue", "SHA256SUMS", "synced", MANIFEST] and last[-1] == "synced"


@pytest.mark.parametrize("is_empty", [True, False], ids=["an empty house", "a house with a history"])
def test_the_backup_of_another_house_is_not_written_over(
    house: Workspace, empty: Workspace, tmp_path: Path, is_empty: bool
) -> None:
    backup(house, tmp_path / "stick")
    before = files(tmp_path / "stick")
    if not is_empty:
        for number in range(len(house.catalog.audit.lines()) + 1):
            empty.catalog.audit.append("Lan", "ingest", f"f{number}")
    with pytest.raises(InputUnusable, match=r"another house \(.*\).*a folder of this house's own") as caught:
        backup(empty, tmp_path / "stick")
    assert "hệ thống khác" in (caught.value.vi or "")
    assert files(tmp_path / "stick") == before


def test_a_house_that_was_put_back_goes_on_with_its_backup(
    house: Workspace, empty: Workspace, tmp_path: Path
) -> None:
    backup(house, tmp_path / "stick")
    restore(empty, tmp_path / "stick")
    again = backup(replace(empty, box="renamed"), tmp_path / "stick")
    assert (again.new, again.manifest.box) == (0, "renamed")


def test_a_house_without_a_history_is_known_by_its_box(empty: Workspace, tmp_path: Path) -> None:
    assert backup(empty, tmp_path / "stick").manifest.audit_head is None
    with pytest.raises(InputUnusable, match="another house"):
        backup(replace(empty, box="another"), tmp_path / "stick")
    assert backup(empty, tmp_path / "stick").manifest.audit_head is not None


def test_one_backup_at_a_time(house: Workspace, tmp_path: Path) -> None:
    told: list[BaseException] = []

    def look(_stage: str, _done: int, _total: int) -> None:
        if not told:
            with pytest.raises(FlightBusy) as caught:
                backup(house, tmp_path / "stick")
            told.append(caught.value)

    backup(house, tmp_path / "stick", look)
    assert told


@pytest.mark.parametrize("index", [None, b"no database at all" * 100])
def test_without_its_index_a_backup_still_has_what_it_had(
    house: Workspace, empty: Workspace, tmp_path: Path, index: bytes | None
) -> None:
    stick = tmp_path / "stick"
    house.store.put(f"evidence/{ALONE[:2]}/{ALONE}", b"a log that nothing names")
    first = backup(house, stick)
    for one in (*held(house, Kind.PHOTO, Kind.TERRAIN), *held(house, Kind.TILE)[:1]):
        spoil(house, one.key, "lost")
    house.store.delete(f"evidence/{ALONE[:2]}/{ALONE}")
    bad = spoil_file(stick, f"{OBJECTS}/{held(house, Kind.TILE)[1].key}", "flipped")
    (stick / "index.sqlite").unlink()
    if index is not None:
        (stick / "index.sqlite").write_bytes(index)
    second = backup(house, stick)
    assert second.new == 1 and second.trouble is None, f"only {bad} is copied anew"
    assert second.manifest.objects == first.manifest.objects
    assert not check_backup(stick, second.manifest)
    restore(empty, stick)
    assert verify(empty, VerifyRequest(mend=False)).damages == ()


def test_what_people_keep_in_the_folder_stays(house: Workspace, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    backup(house, stick)
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
    house.store.put(
        f"evidence/{hashlib.sha256(b'x').hexdigest()[:2]}/{hashlib.sha256(b'x').hexdigest()}", b"x"
    )
    backup(house, stick)
    assert all((stick / name).read_bytes() == b"kept" for name in theirs)
    assert not [name for name in old if (stick / name).exists()]


@pytest.mark.postgres
def test_from_one_database_into_the_other_and_back(
    house: Workspace, postgres_url: str, tmp_path: Path
) -> None:
    backup(house, tmp_path / "stick")
    there = replace(house, store=open_store((tmp_path / "far").as_uri()), catalog=open_catalog(postgres_url))
    with there.catalog, closing(there.store):
        restore(there, tmp_path / "stick")
        assert rows(there.catalog) == rows(house.catalog) and objects(there) == objects(house)
        backup(there, tmp_path / "second")
        (tmp_path / "third").mkdir()
        back = open_workspace(tmp_path / "third")
        with back.catalog, closing(back.store):
            restore(back, tmp_path / "second")
            assert rows(back.catalog) == rows(house.catalog)
            assert verify(back).trouble is None


@pytest.mark.s3
def test_from_one_store_into_the_other(
    house: Workspace, empty: Workspace, s3_url: str, tmp_path: Path
) -> None:
    backup(house, tmp_path / "stick")
    there = replace(empty, store=open_store(s3_url))
    restore(there, tmp_path / "stick")
    assert objects(there) == objects(house)
    spoil(there, held(there, Kind.TILE)[0].key, "flipped")
    spoil(there, held(there, Kind.PHOTO)[0].key, "lost")
    assert verify(there, VerifyRequest(source=tmp_path / "stick")).trouble is None
    assert backup(there, tmp_path / "stick").new == 0
    there.store.close()


def test_what_is_noted_while_it_is_saved_is_asked_for_again_after_it_was_put_back(
    house: Workspace, tmp_path: Path
) -> None:
    """An entry that is ahead of the saved catalogue would keep what it speaks of away for ever."""
    Ledger(house.store, "province").note("layer", "before", "1" * 64)

    def meanwhile(_stage: str, _done: int, _total: int) -> None:
        Ledger(house.store, "province").note("layer", "meanwhile", "2" * 64)

    backup(house, tmp_path / "saved", meanwhile)
    with closing(open_store((tmp_path / "saved" / OBJECTS).as_uri())) as saved:
        ledger = Ledger(saved, "province")
        assert (ledger.of("layer", "before"), ledger.of("layer", "meanwhile")) == ("1" * 64, "")
    assert Ledger(house.store, "province").of("layer", "meanwhile")


def hot_journal(database: bytes, victim: Path) -> bytes:
    """A journal of a database's first page that is to be rolled back, and then `victim` to be deleted as the
    super-journal of a transaction over several files (sqlite.org/fileformat2.html, 3)."""
    magic, nonce, page, name = bytes.fromhex("d9d505f920a163d7"), 7, database[:4096], str(victim).encode()
    head = magic + struct.pack(">5I", 1, nonce, len(database) // 4096, 512, 4096)
    record = struct.pack(">I", 1) + page + struct.pack(">I", nonce + sum(page[4096 - 200 : 0 : -200]))
    lock_page = (1 << 30) // 4096 + 1
    tail = struct.pack(">I", lock_page) + name + struct.pack(">II", len(name), sum(name)) + magic
    return head.ljust(512, b"\0") + record + tail


def test_a_journal_that_lies_beside_the_index_deletes_nothing(house: Workspace, tmp_path: Path) -> None:
    stick, theirs = tmp_path / "stick", tmp_path / "theirs"
    theirs.write_bytes(b"kept")
    backup(house, stick)
    index = stick / backup_place.INDEX
    Path(f"{index}-journal").write_bytes(hot_journal(index.read_bytes(), theirs))
    again = backup(house, stick)
    assert theirs.read_bytes() == b"kept"
    assert again.new == 0 and not check_backup(stick, again.manifest)


@pytest.mark.parametrize(
    "planted",
    [
        "CREATE TRIGGER spoils AFTER INSERT ON objects BEGIN DELETE FROM objects; END",
        "ALTER TABLE objects RENAME TO others; CREATE VIEW objects AS SELECT * FROM others",
        "INSERT INTO objects VALUES ('evidence/../../theirs', 4, hex(zeroblob(32)), 1)",
        "INSERT INTO objects VALUES ('products/../../../theirs', 4, hex(zeroblob(32)), 1)",
        "UPDATE objects SET sha256 = 'none', run = 9223372036854775807",
    ],
)
def test_an_index_that_is_another_is_begun_anew(house: Workspace, tmp_path: Path, planted: str) -> None:
    stick = tmp_path / "stick"
    (tmp_path / "theirs").write_bytes(b"kept")
    first = backup(house, stick)
    with closing(sqlite3.connect(stick / backup_place.INDEX)) as database:
        database.executescript(planted)
    again = backup(house, stick)
    assert (again.new, again.manifest.objects) == (0, first.manifest.objects) and again.trouble is None
    assert (tmp_path / "theirs").read_bytes() == b"kept"
    assert not check_backup(stick, again.manifest)


def sign(stick: Path, *, catalogue: str = "", more: str = "") -> None:
    """Give a backup the hashes of its catalogue as it lies there, `more` in its list, and of the list: as
    whoever made it could."""
    told = json.loads((stick / MANIFEST).read_text())
    sums = stick / told["sums"]
    lines = sums.read_text()
    if catalogue:
        with closing(sqlite3.connect(stick / told["catalogue"])) as database:
            database.executescript(catalogue)
        was, now = lines[:64], hashlib.sha256((stick / told["catalogue"]).read_bytes()).hexdigest()
        lines = lines.replace(was, now)
    sums.write_text(lines + more)
    digest = hashlib.sha256(sums.read_bytes()).hexdigest()
    (stick / MANIFEST).write_text(json.dumps({**told, "sums_sha256": digest}))


@pytest.mark.parametrize(
    "more",
    [
        f"{'0' * 64}  {OBJECTS}/.hid\n",
        f"{'0' * 64}  {OBJECTS}/evidence/.hid\n",
        f"{'0' * 64}  {OBJECTS}/{'a' * 256}\n",
        f"{'0' * 64}  {OBJECTS}/a\\b\n",
        f"{'0' * 64}  {OBJECTS}/{'a/' * (1 << 20)}a\n",
        "0" * (1 << 20),
    ],
    ids=["hidden", "hidden below", "long name", "backslash", "long key", "no end"],
)
def test_a_list_with_what_is_no_key_is_refused(
    house: Workspace, empty: Workspace, tmp_path: Path, more: str
) -> None:
    stick = tmp_path / "stick"
    saved = backup(house, stick)
    sign(stick)
    assert not check_backup(stick, manifest_of(stick))
    sign(stick, more=more)
    with pytest.raises(NotWhole):
        check_backup(stick, manifest_of(stick))
    with pytest.raises(NotWhole):
        restore(empty, stick)
    assert saved.new and empty.catalog.is_empty() and not objects(empty)


@pytest.mark.parametrize(
    "planted",
    [
        "ALTER TABLE events RENAME TO others; CREATE VIEW events AS SELECT * FROM others",
        "CREATE TRIGGER spoils AFTER INSERT ON events BEGIN DELETE FROM events; END",
        "ALTER TABLE events ADD COLUMN vast AS (zeroblob(1000000000))",
        "CREATE VIRTUAL TABLE words USING fts5(word)",
    ],
    ids=["view", "trigger", "computed", "virtual"],
)
def test_a_catalogue_that_makes_up_rows_is_refused(
    house: Workspace, empty: Workspace, tmp_path: Path, planted: str
) -> None:
    stick = tmp_path / "stick"
    backup(house, stick)
    sign(stick, catalogue=planted)
    with pytest.raises(NotWhole):
        check_backup(stick, manifest_of(stick))
    with pytest.raises(NotWhole):
        restore(empty, stick)
    assert empty.catalog.is_empty() and not objects(empty)


@pytest.mark.parametrize("way", ["vast", "deep", "words", "endless figure"])
def test_a_manifest_that_is_none_is_refused(house: Workspace, tmp_path: Path, way: str) -> None:
    stick = tmp_path / "stick"
    backup(house, stick)
    path = stick / MANIFEST
    told = json.loads(path.read_text())
    match way:
        case "vast":
            os.truncate(path, 1 << 40)  # sparse
        case "deep":
            path.write_text("[" * 1_000_000)
        case "words":
            path.write_text(json.dumps({**told, "made_ns": "yesterday"}))
        case "endless figure":
            path.write_text(json.dumps({**told, "made_ns": float("inf")}))
    with pytest.raises(SourceUnreadable):
        read_manifest(stick)


@pytest.mark.parametrize("name", [".lock", "index.sqlite", "index.sqlite-journal", MANIFEST])
def test_a_pipe_in_the_folder_is_not_waited_at(house: Workspace, tmp_path: Path, name: str) -> None:
    stick = tmp_path / "stick"
    backup(house, stick)
    (stick / name).unlink(missing_ok=True)
    os.mkfifo(stick / name)
    if name.endswith("-journal"):
        assert backup(house, stick).new == 0
    else:
        with pytest.raises((SourceUnreadable, StorageTrouble)):
            backup(house, stick)
