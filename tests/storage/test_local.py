from __future__ import annotations

import errno
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from flycam.errors import DiskFull, StoreUnavailable
from flycam.storage import stores
from flycam.storage.stores import LocalStore
from tests.storage.processes import kill_a_writer
from tests.suites.store_suite import StoreSuite


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    opened = LocalStore(tmp_path / "store")
    yield opened
    opened.close()


class TestLocalStore(StoreSuite):
    pass


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


_WRITER = """
import random, sys
from pathlib import Path
from flycam.storage.stores import LocalStore
store = LocalStore(Path(sys.argv[1]))
for i in range(100_000):
    store.put(f"t/{i}", bytes([i % 251]) * 3_000_000, durable=i % 3 == 0)
    print(i, flush=True)
"""


def test_a_writer_killed_at_a_random_moment_leaves_only_whole_objects(tmp_path: Path) -> None:
    root = tmp_path / "store"
    torn = 0
    for attempt in range(40):
        if attempt >= 6 and torn >= 2:
            break
        acknowledged = kill_a_writer(_WRITER, str(root), random.Random(attempt).uniform(0.0, 0.15))
        torn += len(_files(root / ".tmp"))
        reopened = LocalStore(root)
        keys = {int(key.removeprefix("t/")) for key in reopened.list("")}
        assert set(range(acknowledged + 1)) <= keys
        for i in keys:
            assert reopened.get(f"t/{i}") == bytes([i % 251]) * 3_000_000
        assert _files(root / ".tmp") == [], "what the dead writer left is swept"
        for i in keys:
            reopened.delete(f"t/{i}")
        reopened.close()
    assert torn > 0, "no kill hit a write: the test proves nothing"


def _put_in_child(store: LocalStore, start: int) -> int:
    for i in range(start, start + 50):
        store.put(f"t/{i}", str(i).encode() * 1000)
    return os.getpid()


def test_a_forked_child_writes_beside_its_parent(store: LocalStore) -> None:
    store.put("a/b", b"parent")
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_put_in_child, args=(store, 50 * i)) for i in range(2)]
    for child in children:
        child.start()
    _put_in_child(store, 100)
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert all(store.get(f"t/{i}") == str(i).encode() * 1000 for i in range(150))


def _bid(root: Path, i: int) -> bool:
    return LocalStore(root).put_if_absent("lock/one", f"process {i}".encode() * 10_000)


def test_of_several_processes_one_writes_if_absent(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        won = list(pool.map(_bid, [tmp_path] * 8, range(8)))
    assert won.count(True) == 1
    assert LocalStore(tmp_path).get("lock/one") == f"process {won.index(True)}".encode() * 10_000


class TestFullDisk:
    """A file system of 2 MB, really full."""

    @pytest.fixture
    def small_disk(self, tmp_path: Path) -> Iterator[Path]:
        place = tmp_path / "small"
        place.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode != 0:
            pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
        yield place
        subprocess.run(["umount", "-l", place], check=True)

    def test_the_write_is_refused_and_nothing_half_written_is_left(
        self, small_disk: Path, durable: bool = True
    ) -> None:
        store = LocalStore(small_disk)
        store.put("a/first", bytes(500_000), durable=durable)
        with pytest.raises(DiskFull, match=f"a/second.*{small_disk}.*free some"):
            store.put("a/second", bytes(2_000_000), durable=durable)
        assert list(store.list("")) == ["a/first"]
        assert [path.name for path in _files(small_disk)] == ["first"]
        store.put("a/third", bytes(500_000), durable=durable)
        store.close()

    def test_also_from_a_file_and_if_absent(self, small_disk: Path, tmp_path: Path) -> None:
        store = LocalStore(small_disk)
        (tmp_path / "photo").write_bytes(bytes(3_000_000))
        with pytest.raises(DiskFull, match="a/photo"):
            store.put_file("a/photo", tmp_path / "photo", durable=True)
        with pytest.raises(DiskFull, match="a/lock"):
            store.put_if_absent("a/lock", bytes(3_000_000))
        assert _files(small_disk) == []
        store.close()


def test_a_folder_that_may_not_be_written_is_denied(public_folder: Path) -> None:
    root = public_folder / "store"
    LocalStore(root).put("a/b", b"x")
    program = (
        "import os, sys; from pathlib import Path; from flycam.storage.stores import LocalStore\n"
        "from flycam.errors import StoreDenied\n"
        "os.geteuid() == 0 and os.setuid(65534)\n"
        "store = LocalStore(Path(sys.argv[1]))\n"
        "print(store.get('a/b'))\n"
        "try: store.put('a/c', b'x')\n"
        "except StoreDenied as error: print(error)\n"
    )
    (root / "a").chmod(0o555)
    root.chmod(0o555)
    done = subprocess.run([sys.executable, "-c", program, root], capture_output=True, text=True, check=False)
    root.chmod(0o755)
    (root / "a").chmod(0o755)
    read, denied = done.stdout.splitlines()
    assert read == "b'x'", "a store that may only be read is still read"
    assert denied.startswith("a/c: ")
    assert denied.endswith("allow it")


def test_a_failed_sync_is_not_forgotten(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel reports a failed write-back once; the objects stay pending until a flush succeeds."""
    for i in range(3):
        store.put(f"t/{i}", b"x")
    synced: list[Path] = []

    def failing(path: Path) -> None:
        if len(synced) == 1:
            synced.append(path)
            raise OSError(errno.EIO, "Input/output error")
        synced.append(path)

    monkeypatch.setattr(stores, "sync_path", failing)
    with pytest.raises(StoreUnavailable, match="Input/output error"):
        store.flush()
    store.flush()
    assert {path.name for path in synced[2:]} >= {"0", "1", "2"}
    synced.clear()
    synced.append(Path())
    synced.append(Path())
    store.flush()
    assert len(synced) == 2, "nothing is pending any more"


def test_a_disk_that_was_plugged_in_again_is_synced_where_it_is_now(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder that is held open is that of the mount before."""
    store.put("t/first", b"1")
    (tmp_path / "store").rename(tmp_path / "pulled out")
    with pytest.raises(StoreUnavailable, match="store"):
        store.exists("t/first")
    shutil.copytree(tmp_path / "pulled out", tmp_path / "store")
    for number in range(20):
        store.put(f"t/{number}", b"2")
    synced: list[Path] = []
    monkeypatch.setattr(stores, "sync_path", synced.append)
    store.flush()
    assert {path.name for path in synced} >= {str(number) for number in range(20)}


def test_a_durable_put_syncs_the_file_and_every_folder_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path / "store")
    calls: list[Path] = []
    monkeypatch.setattr(stores, "sync_path", calls.append)
    store.put("evidence/ab/abcd", b"x", durable=True)
    root = tmp_path / "store"
    assert calls == [root / "evidence" / "ab", root / "evidence", root]
    calls.clear()
    store.put("evidence/ab/ab12", b"x", durable=True)
    assert calls == [root / "evidence" / "ab"]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    calls: list[Path] = []
    monkeypatch.setattr(stores, "sync_path", calls.append)
    return calls


def test_who_loses_may_rely_on_the_bytes_and_the_names_of_who_won(tmp_path: Path, synced: list[Path]) -> None:
    """The winner may have linked its file and not yet synced the folders that name it."""
    root = tmp_path / "store"
    winner, loser = LocalStore(root), LocalStore(root)
    assert winner.put_if_absent("lock/one", b"first")
    synced.clear()
    assert not loser.put_if_absent("lock/one", b"second")
    assert synced == [root / "lock" / "one", root / "lock", root]
    winner.close()
    loser.close()


@pytest.mark.parametrize("durable", [False, True])
def test_who_finds_an_object_that_another_has_not_flushed_syncs_it(
    store: LocalStore, tmp_path: Path, synced: list[Path], durable: bool
) -> None:
    root = tmp_path / "store"
    finder = LocalStore(root)
    store.put("evidence/ab/abcd", b"x")
    synced.clear()
    finder.ensure_durable("evidence/ab/abcd", durable=durable)
    expected = [root / "evidence" / "ab" / "abcd", root / "evidence" / "ab", root / "evidence", root]
    assert synced == (expected if durable else [])
    finder.flush()
    assert synced == expected
    finder.close()
