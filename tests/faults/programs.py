"""Small programs that are watched, and what the disk may hold after a power cut in them."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

from tests.faults.disk import Loss, cut_after
from tests.faults.journal import Journal, load

_HEAD = """
import os, sqlite3, sys
os.chdir(sys.argv[1])
def synced(path):
    fd = os.open(path, os.O_RDONLY); os.fsync(fd); os.close(fd)
"""


def watched(tmp_path: Path, program: str) -> tuple[Journal, Path]:
    """What a program did in a folder that held `file`."""
    root, before, journal = tmp_path / "root", tmp_path / "before", tmp_path / "journal"
    root.mkdir()
    (root / "file").write_bytes(b"old")
    shutil.copytree(root, before)
    watcher = [sys.executable, "-m", "tests.faults.watcher", str(root), str(journal)]
    subprocess.run([*watcher, sys.executable, "-c", _HEAD + program, str(root)], check=True)
    return load(journal), before


def outcomes(run: tuple[Journal, Path], name: str, line: int | None = None) -> set[bytes | None]:
    """What may be under a name after a cut, anywhere or after a line; None: nothing."""
    journal, before = run
    lines = range(len(journal.lines) + 1) if line is None else [line]
    return {
        cut_after(journal, before, at, loss, random.Random(seed)).as_dict().get(name)
        for at in lines
        for loss in Loss
        for seed in range(8)
    }
