"""The model itself: programs that sync in the right order survive every cut, and others are found out."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from tests.faults import kernel
from tests.faults.disk import Loss, cut_after
from tests.faults.programs import outcomes, watched

pytestmark = pytest.mark.skipif(kernel.why_not() is not None, reason=str(kernel.why_not()))

_WRITE = "open('part', 'wb').write(b'new' * 1000)\n"
_MOVE = "os.replace('part', 'file')\n"
_SYNC_BYTES, _SYNC_NAMES = "synced('part')\n", "synced('.')\n"
_WHOLE = (b"old", b"new" * 1000)


def test_a_name_moved_over_bytes_that_were_not_synced_may_hold_anything(tmp_path: Path) -> None:
    found = outcomes(watched(tmp_path, _WRITE + _MOVE), "file")
    assert {*_WHOLE, b""} < found


def test_bytes_synced_before_the_move_are_old_or_new(tmp_path: Path) -> None:
    run = watched(tmp_path, _WRITE + _SYNC_BYTES + _MOVE)
    assert outcomes(run, "file") == set(_WHOLE)
    assert outcomes(run, "file", len(run[0].lines)) == set(_WHOLE), "the move is not safe yet"


def test_a_move_is_safe_when_its_folder_was_synced(tmp_path: Path) -> None:
    run = watched(tmp_path, _WRITE + _SYNC_BYTES + _MOVE + _SYNC_NAMES)
    assert outcomes(run, "file", len(run[0].lines)) == {_WHOLE[1]}


def test_what_a_thread_and_a_child_do_is_seen(tmp_path: Path) -> None:
    program = """
import shutil, subprocess, threading
def copy(): shutil.copyfile('file', 'copy'); synced('copy')
one = threading.Thread(target=copy); one.start(); one.join()
child = "import os; os.mkdir('d'); os.link('copy', 'd/link'); os.unlink('file'); os.truncate('copy', 2)"
subprocess.run([sys.executable, '-c', child], check=True)
os.sync()
"""
    run = watched(tmp_path, program)
    assert outcomes(run, "d/link", len(run[0].lines)) == {b"ol"}
    assert outcomes(run, "file", len(run[0].lines)) == {None}


@pytest.mark.parametrize(("level", "is_safe"), [("FULL", True), ("OFF", False)])
def test_what_sqlite_promises_is_seen(tmp_path: Path, level: str, is_safe: bool) -> None:
    """A commit that was told stays; without syncs it may not."""
    program = f"""
database = sqlite3.connect('a.sqlite', isolation_level=None)
database.execute('PRAGMA journal_mode=WAL')
database.execute('PRAGMA synchronous={level}')
database.execute('CREATE TABLE t (n)')
for n in range(5): database.execute('INSERT INTO t VALUES (?)', (n,))
print('told', flush=True)
"""
    journal, before = watched(tmp_path, program)
    told = next(n for n, line in enumerate(journal.lines, 1) if getattr(line, "to", "") == "out")
    counts = set()
    for seed in range(8):
        folder = tmp_path / f"cut-{seed}"
        cut_after(journal, before, told, Loss.SOME, random.Random(seed)).write_to(folder)
        counts.add(_rows(folder / "a.sqlite"))
    assert (counts == {5}) is is_safe


def _rows(path: Path) -> int:
    try:
        with sqlite3.connect(path) as database:
            (count,) = database.execute("SELECT count(*) FROM t").fetchone()
            return int(count)
    except sqlite3.DatabaseError:
        return -1
